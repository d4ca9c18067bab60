/*
 * bridge: what the bridges ask of the router, without knowing it. Wired by relay/remote.
 */
#ifndef RC_RELAY_BRIDGE_BRIDGE_H
#define RC_RELAY_BRIDGE_BRIDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/call.h"
#include "common/records/envelope.h"
#include "common/base/span.h"
#include "relay/bridge/wire.h"
#include "relay/redis/link.h"
#include "relay/timer.h"

/* How messages were missed. */
enum rc_missed {
    RC_MISSED_HERE,    /* the subscription was lost and is there again: a shared history is read anew for that */
    RC_MISSED_DOUBTED, /* another instance says that some were lost: of a shared history its stream says which, if any */
    RC_MISSED_LOST,    /* the same, and Redis never had them: they are in no shared history either */
};

struct rc_bridge_host {
    /* A message from Redis (rc_wire_read's view, channel or target added): RC_DOWN_MESSAGE, RC_DOWN_SELECT or RC_DOWN_DIRECT. False: nobody here
     * takes it. */
    bool (*deliver)(void *context, enum rc_record_type type, const struct rc_envelope_view *view);
    /* The answer to an interest that was not answered at once. */
    void (*interested)(void *context, uint64_t hash, struct rc_span name, uint32_t worker, uint64_t token,
                       bool confirmed);
    /* A message on the Redis channel of a channel, as it came. True: it has its place in a history that all instances share, and is taken
     * care of. May be NULL, as the two that follow. */
    bool (*placed)(void *context, struct rc_span name, struct rc_span message);
    /* rc_redis_channel_ops.changed. */
    void (*changed)(void *context, uint64_t hash, struct rc_span name, enum rc_redis_change change);
    /* A message for a channel that every instance has heard (`deliver`'s view). True: the channel's history is shared, and one instance gives
     * it its place: it comes back. */
    bool (*share)(void *context, const struct rc_envelope_view *view);
    /* Messages of this channel were missed; empty: of every channel, and direct ones. */
    void (*missed)(void *context, struct rc_span name, enum rc_missed missed);
    /* Does some worker of this host want the channel? Certain only when all have told (known). */
    bool (*wanted)(void *context, struct rc_span name);
    /* True when all workers have told what they want. */
    bool (*known)(void *context);
    /* A call for the target's worker, or all: rc_router_call. */
    bool (*call)(void *context, const struct rc_envelope_view *view, struct rc_call_asked *asked);
    /* A message for a user found no connection here. */
    void (*undelivered)(void *context, struct rc_span user);
    void *context; /* borrowed */
};

/* What every bridge works with. */
struct rc_bridge {
    struct rc_redis_link *link; /* borrowed */
    struct rc_timers *timers;   /* borrowed: the loop's */
    struct rc_wire *wire;       /* borrowed */
    struct rc_bridge_host host;
};

#endif
