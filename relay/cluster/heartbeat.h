/*
 * heartbeat: tells the cluster that this instance lives, and hears the others.
 *
 * `ws:instance:{id}:heartbeat` carries {"timestamp":…,"clientCount":…} every cluster.heartbeat_interval, the first one as soon as
 * this instance owns its id. `timestamp` is milliseconds since 1970 and only for people: what counts is when it came.
 *
 * Owned by remote; one thread, the link's.
 */
#ifndef RC_RELAY_CLUSTER_HEARTBEAT_H
#define RC_RELAY_CLUSTER_HEARTBEAT_H

#include <stdint.h>

#include "common/base/span.h"
#include "relay/redis/link.h"
#include "relay/timer.h"
#include "relay/cluster/registry.h"

struct rc_heartbeat {
    struct rc_redis_link *link;   /* borrowed */
    struct rc_timers *timers;     /* borrowed: the loop's */
    struct rc_registry *registry; /* borrowed */
    struct rc_metrics *metrics;   /* borrowed */
    uint64_t interval_ms;
    uint64_t (*client_count)(void *context); /* open WebSocket connections of this host */
    void *context;                           /* borrowed */
    char channel[RC_INSTANCE_ID_MAX + 24];
    struct rc_timer timer;
    struct rc_redis_subscription subscription; /* everybody's */
};

void rc_heartbeat_open(struct rc_heartbeat *heartbeat, struct rc_redis_link *link, struct rc_timers *timers,
                       struct rc_registry *registry, struct rc_metrics *metrics, uint64_t interval_ms,
                       uint64_t (*client_count)(void *context), void *context);
void rc_heartbeat_close(struct rc_heartbeat *heartbeat);
/* After a reload: the next one comes when the new interval says. */
void rc_heartbeat_configure(struct rc_heartbeat *heartbeat, uint64_t interval_ms);
/* Says so now: this instance has just registered. */
void rc_heartbeat_now(struct rc_heartbeat *heartbeat);

/* Reads a heartbeat. 0; an error of json_scan; -EINVAL when there is no integer `timestamp`. Without a usable clientCount it is 0. */
int rc_heartbeat_read(struct rc_span message, uint64_t *timestamp_ms, uint64_t *client_count);
/* The id in "ws:instance:{id}:heartbeat"; empty when it is another channel. */
struct rc_span rc_heartbeat_instance(struct rc_span channel);

#endif
