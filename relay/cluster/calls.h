/*
 * calls: calls of the HTTP API that other instances carry out, questions of rows about rooms that they answer, and theirs that this one does
 * (docs/redis.md).
 *
 *   worker ── RC_UP_CALL ──▶ router ──▶ calls ── PUBLISH ws:instances:call, ws:instance:{id}:call ──▶ Redis
 *   worker ◀── RC_DOWN_REPLY ── router ◀── calls ◀── ws:instance:{own id}:reply ── Redis
 *
 *   Redis ── ws:instances:call, ws:instance:{own id}:call ──▶ calls ── rc_router_call ──▶ RC_DOWN_CALL ──▶ workers
 *   Redis ◀── PUBLISH ws:instance:{asker}:reply ── calls ◀── router ◀── RC_UP_REPLY ── workers
 *
 * Each instance's replies to a call end with one that says `last`. How many of them are to come is the number of subscribers that
 * PUBLISH told, so that an instance which is dead already is not waited for; in a Cluster, which cannot tell, it is the number of
 * instances that the registry knows. RC_CALLS_MS is the end in any case: an asker learns that it does not know everything.
 *
 * Owned by remote; one thread, the link's. Bounded: RC_CALLS_MAX calls that wait for others, as many that others wait for.
 */
#ifndef RC_RELAY_CLUSTER_CALLS_H
#define RC_RELAY_CLUSTER_CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/call.h"
#include "relay/bridge/bridge.h"
#include "relay/cluster/registry.h"
#include "relay/route/router.h"

#define RC_CALLS_MAX 256u
#define RC_CALLS_MS 1000u       /* until all others have replied */
#define RC_CALLS_ROOM_MS 500u   /* the same of a room: a row waits for it, which knows what is here */
#define RC_CALLS_LATE_MS 200u   /* for those that the registry does not know, after all others */
#define RC_CALLS_SERVED_MS 800u /* until all workers have: an asker should hear of it */

struct rc_call_sent;
struct rc_call_served;

/* Servers of another kind beside the instances, who have clients in rooms, too (relay/bridge/adapter_asks.h). */
struct rc_calls_others {
    /* Who of theirs is in the room of the channel? 0: rc_calls_told will say, with the token, and not within this; else nobody is asked. NULL: there
     * are none. */
    int (*ask)(void *context, struct rc_span channel, uint64_t token);
    void *context; /* borrowed */
};

struct rc_calls {
    const struct rc_bridge *bridge;     /* borrowed */
    const struct rc_registry *registry; /* borrowed */
    struct rc_router *router;           /* borrowed */
    uint32_t boot_nonce;
    uint32_t serial; /* of the last call, sent or served */
    struct rc_calls_others others;
    struct rc_call_sent *sent;     /* owner: RC_CALLS_MAX */
    struct rc_call_served *served; /* owner: RC_CALLS_MAX */
    struct rc_timer timer;
    char own_channel[RC_INSTANCE_ID_MAX + 24];
    char reply_channel[RC_INSTANCE_ID_MAX + 24];
    struct rc_redis_subscription own;
    struct rc_redis_subscription everybody;
    struct rc_redis_subscription replies;
    uint8_t scratch[RC_CALL_REPLY_BYTES_MAX];
};

/* Subscribes for the life of the link. 0 or -ENOMEM. */
int rc_calls_open(struct rc_calls *calls, const struct rc_bridge *bridge, const struct rc_registry *registry,
                  struct rc_router *router, const struct rc_calls_others *others);
/* After the link was closed. */
void rc_calls_close(struct rc_calls *calls);

/* For the router: rc_remote_ops.call and .replied. */
int rc_calls_send(struct rc_calls *calls, uint32_t worker, const struct rc_envelope_view *view);
void rc_calls_replied(struct rc_calls *calls, uint32_t worker, const struct rc_envelope_view *view);

/* What others know of a room: ids of some who are there, as entries of common/records/sockets.h, `count` of them. */
void rc_calls_told(struct rc_calls *calls, uint64_t token, struct rc_span ids, uint32_t count);
/* No more come; `whole`: all of them have said what they know. */
void rc_calls_told_all(struct rc_calls *calls, uint64_t token, bool whole);

#endif
