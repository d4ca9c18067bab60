/*
 * limits: asks Redis for workers whether something may happen once more, on all instances together (common/records/limit.h).
 *
 *   worker ── RC_UP_LIMIT ──▶ router ──▶ limits ── EVALSHA (EVAL until it has the script), pipelined ──▶ Redis
 *   worker ◀── RC_DOWN_LIMIT ── router ◀── limits ◀── yes, or the time until it may; 503: Redis is away or has refused
 *
 * One key a call, `{prefix}rate:{what is counted}`, so that a Cluster has it where the key is; its time to live is the window. The script
 * has the same sliding log as common/shm/windows.h, by the clock of Redis: no window of any position ever holds more than the count.
 *
 * Owned by main; one thread, the link's. Bounded: RC_LIMIT_FLIGHTS_MAX at a time, more are answered 503. How long a worker waits is its
 * own business: an answer may come too late.
 */
#ifndef RC_RELAY_CLUSTER_LIMITS_H
#define RC_RELAY_CLUSTER_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/redis/link.h"
#include "relay/route/router.h"

#define RC_LIMIT_FLIGHTS_MAX 8192u
#define RC_LIMIT_SHA1_TEXT 41u

struct rc_limit_flight;

struct rc_cluster_limits {
    struct rc_router *router;    /* borrowed */
    struct rc_redis_link *link;  /* borrowed; NULL = no Redis */
    struct rc_limit_flight *all; /* owned: RC_LIMIT_FLIGHTS_MAX, pages touched with use only */
    struct rc_limit_flight *free;
    uint32_t used; /* of them up to here were ever used */
    char sha1[RC_LIMIT_SHA1_TEXT];
    bool loaded; /* Redis has had the script since it is up */
    struct rc_redis_observer observer;
};

/* 0 or -ENOMEM. */
int rc_cluster_limits_open(struct rc_cluster_limits *limits, struct rc_router *router, struct rc_redis_link *link);
/* After the link was closed. */
void rc_cluster_limits_close(struct rc_cluster_limits *limits);

/* For the router: rc_router_setup.limit; context: struct rc_cluster_limits. */
void rc_cluster_limits_take(void *context, uint32_t worker, const struct rc_envelope_view *view);

#endif
