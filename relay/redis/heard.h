/*
 * heard: a message of pub/sub, as a push of Redis has it.
 *
 * Pure. Elements of a push are of any type and number; what is no string counts as an empty one.
 */
#ifndef RC_RELAY_REDIS_HEARD_H
#define RC_RELAY_REDIS_HEARD_H

#include <stdbool.h>

#include <hiredis/hiredis.h>

#include "common/base/span.h"

/* One message: of a channel, or of a pattern and the channel that it came by. The spans are borrowed. */
struct rc_redis_heard {
    bool pattern;
    struct rc_span by; /* the pattern; empty without one */
    struct rc_span channel;
    struct rc_span body;
};
typedef void rc_redis_hear(void *context, const struct rc_redis_heard *heard);

/* The text of a reply; empty when it is none. Lives as long as the reply. */
struct rc_span rc_redis_text_of(const redisReply *reply);

/* "message", "smessage" or "pmessage". False: the push is something else. */
bool rc_redis_heard_of(struct rc_redis_heard *heard, const redisReply *push);

#endif
