/*
 * script: scripts that Redis runs for messages on their way: EVALSHA in the outbox, in order with what is published.
 *
 *   rc_redis_run ──▶ outbox ──▶ EVALSHA ──▶ rc_redis_script_ops.ended (once for each run that was taken)
 *
 * Every command connection is told the scripts (SCRIPT LOAD) when it is ready, and again when the server says that it does not know one
 * (NOSCRIPT: SCRIPT FLUSH); what it refused so waits as any message that was refused for a moment, in order. A run may be repeated after
 * a reconnect: scripts have to know a second copy.
 *
 * Part of the link, one thread.
 */
#ifndef RC_RELAY_REDIS_SCRIPT_H
#define RC_RELAY_REDIS_SCRIPT_H

#include <stdint.h>

#include "common/base/span.h"
#include "relay/redis/handlers.h"

struct rc_redis_conn;
struct rc_redis_link;

#define RC_REDIS_SHA1_TEXT 41u    /* with its NUL */
#define RC_REDIS_RUN_ARGS_MAX 16u /* keys and arguments of a run, but for the last one */
#define RC_REDIS_RUN_PARTS_MAX 4u

/* Inside of the owner's; stays until the link is closed. */
struct rc_redis_script {
    const char *text; /* borrowed */
    char sha1[RC_REDIS_SHA1_TEXT];
    const struct rc_redis_script *next;
};

/* What is run, with its keys first, then its arguments. The last argument comes in parts. */
struct rc_redis_run {
    const struct rc_redis_script *script;
    uint32_t key_count; /* in a Cluster all of one slot */
    uint32_t arg_count; /* keys included, the last argument not */
    struct rc_span args[RC_REDIS_RUN_ARGS_MAX];
    uint32_t part_count;
    struct rc_span parts[RC_REDIS_RUN_PARTS_MAX];
    uint32_t channel; /* which of `args` is the channel's name with prefix: order and losses are its */
    uint64_t token;   /* for `ended`; not 0 */
    uint32_t flags;   /* enum rc_redis_publish_flags: FLEETING, TOLD, YIELDING */
};

/* Right behind rc_redis_link_open. One user of a link's scripts. -EINVAL: no hash of the text can be made. */
int rc_redis_scripts_open(struct rc_redis_link *link, struct rc_redis_script *script,
                          const struct rc_redis_script_ops *ops);

/* The arguments are copied. 0; -ENOTCONN (fleeting, and Redis is away), -ENOBUFS, -ENOMEM or -EMSGSIZE: dropped and counted; its end is not
 * told, or (-ENOBUFS) was told in here. YIELDING: -EAGAIN, there is no room now, or -EFBIG, there never is. In here `ended` may be called for others, which make room. */
int rc_redis_run(struct rc_redis_link *link, const struct rc_redis_run *run);
/* A message for this channel, whose name is with prefix, was to be such a run, and cannot be: others are told as of one that was dropped. */
void rc_redis_run_lost(struct rc_redis_link *link, struct rc_span channel);

/* --- for the link --- */

/* Tells a ready connection all scripts. */
void rc_redis_scripts_load(const struct rc_redis_link *link, struct rc_redis_conn *conn);

#endif
