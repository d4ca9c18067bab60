/*
 * keys: reads keys in Redis that are not ringcast's own, for workers: web applications' sessions (common/records/query.h,
 * RC_QUERY_VALUE and RC_QUERY_KEYS).
 *
 *   worker ── RC_UP_QUERY ──▶ queries ──▶ keys ── GET and PTTL, or EXISTS ──▶ Redis
 *   worker ◀── RC_DOWN_QUERY ────────────── keys ◀── answers
 *
 * Commands go out at once and pipelined, in a Cluster each to the node of its key; nothing is kept of what they say. Whoever asks has a
 * deadline of its own. Owned by main; one thread, the link's. Bounded: RC_KEYS_MAX questions at a time, more are answered 503.
 */
#ifndef RC_RELAY_CLUSTER_KEYS_H
#define RC_RELAY_CLUSTER_KEYS_H

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

/* `view`: a question of one of the two kinds; lives during the call only. */
void rc_keys_take(struct rc_keys *keys, uint32_t worker, const struct rc_envelope_view *view);

#endif
