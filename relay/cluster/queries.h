/*
 * queries: answers what workers ask about the cluster (common/records/query.h).
 *
 *   worker ── RC_UP_QUERY ──▶ router ──▶ queries ── commands ──▶ Redis
 *   worker ◀── RC_DOWN_QUERY ── router ◀── queries ◀── answers, or the deadline
 *
 * Without Redis, or while it is away, the answer is this host's own and given at once. Otherwise it waits for Redis, RC_QUERY_MS at
 * most, and then is this host's own after all. Owned by main; one thread, the link's. Bounded: RC_QUERIES_MAX wait at a time, more
 * are answered 503; RC_QUERY_BYTES_MAX for one answer.
 */
#ifndef RC_RELAY_CLUSTER_QUERIES_H
#define RC_RELAY_CLUSTER_QUERIES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/query.h"
#include "common/shm/control.h"
#include "relay/cluster/keys.h"
#include "relay/cluster/registry.h"
#include "relay/cluster/roster.h"
#include "relay/route/router.h"

#define RC_QUERIES_MAX 256u

struct rc_query;

struct rc_queries {
    struct rc_control *control;         /* borrowed */
    const struct rc_config *config;     /* borrowed: in force */
    struct rc_router *router;           /* borrowed */
    const struct rc_roster *roster;     /* borrowed */
    struct rc_timers *timers;           /* borrowed: the loop's */
    struct rc_redis_link *link;         /* borrowed; NULL = no Redis */
    const struct rc_registry *registry; /* borrowed; NULL = no Redis */
    struct rc_query *all;               /* owner: RC_QUERIES_MAX */
    uint32_t used;                      /* of them: waiting, or their commands are */
    uint64_t next_number;               /* the order in which they came */
    struct rc_timer timer;              /* sends what is new, ends what takes too long */
    struct rc_keys keys;                /* questions about keys are its */
    uint8_t bytes[RC_QUERY_BYTES_MAX];  /* of the answer that is being made */
};

/* `link` and `registry` NULL: this host is all there is. 0 or -ENOMEM. */
int rc_queries_open(struct rc_queries *queries, struct rc_control *control, const struct rc_config *config,
                    struct rc_router *router, const struct rc_roster *roster, struct rc_timers *timers,
                    struct rc_redis_link *link, const struct rc_registry *registry);
/* After the link was closed. */
void rc_queries_close(struct rc_queries *queries);
void rc_queries_configure(struct rc_queries *queries, const struct rc_config *config);

/* For the router: rc_router_setup.query; context: struct rc_queries. */
void rc_queries_take(void *context, uint32_t worker, const struct rc_envelope_view *view);

#endif
