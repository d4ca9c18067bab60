/*
 * keys: reads and writes keys in Redis for workers that others know too: web applications' sessions, tokens that were revoked
 * (common/records/query.h, RC_QUERY_VALUE, RC_QUERY_KEYS, RC_QUERY_MARKS, RC_QUERY_SET).
 *
 *   worker ── RC_UP_QUERY ──▶ queries ──▶ keys ── GET and PTTL, EXISTS, MGET, SET ──▶ Redis
 *   worker ◀── RC_DOWN_QUERY ────────────── keys ◀── answers
 *
 * Commands go out at once and pipelined, in a Cluster each to the node of its key; nothing is kept of what they say. Whoever asks has a
 * deadline of its own. Owned by main; one thread, the link's. Bounded: RC_KEYS_MAX questions at a time, more are answered 503.
 */
#ifndef RC_RELAY_CLUSTER_KEYS_H
#define RC_RELAY_CLUSTER_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/envelope.h"
#include "common/records/query.h"
#include "relay/redis/link.h"
#include "relay/route/router.h"

#define RC_KEYS_MAX 4096u

struct rc_keys {
    struct rc_router *router;   /* borrowed */
    struct rc_redis_link *link; /* borrowed; NULL = no Redis */
    uint32_t asked;             /* questions whose answers are not all there */
};

/* Is it one of these kinds? */
bool rc_keys_mine(const struct rc_envelope_view *view);
/* `view`: one of them; lives during the call only. */
void rc_keys_take(struct rc_keys *keys, uint32_t worker, const struct rc_envelope_view *view);

#endif
