/*
 * remote: this host's way to all others, where the router, the bridges and the link to Redis meet.
 *
 *   router ── publish, direct, interest ──▶ remote ──▶ bridges ──▶ redis/link
 *   router ◀── rc_router_deliver, rc_router_interest_done ── remote ◀── bridges ◀── redis/link
 *
 * Owned by main; one thread. Without redis.url it is not opened, and this host is all there is. A redis.url that cannot work leaves
 * the broker in local-only mode: the log and /health/redis say why.
 */
#ifndef RC_RELAY_REMOTE_H
#define RC_RELAY_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/shm/control.h"
#include "relay/bridge/adapter.h"
#include "relay/bridge/adapter_asks.h"
#include "relay/bridge/adapter_requests.h"
#include "relay/bridge/application.h"
#include "relay/bridge/bridge.h"
#include "relay/bridge/broadcast.h"
#include "relay/bridge/channel.h"
#include "relay/bridge/direct.h"
#include "relay/bridge/gaps.h"
#include "relay/bridge/notifications.h"
#include "relay/bridge/python.h"
#include "relay/cluster/calls.h"
#include "relay/cluster/comeback.h"
#include "relay/cluster/consumers.h"
#include "relay/cluster/emits.h"
#include "relay/cluster/entries.h"
#include "relay/cluster/heartbeat.h"
#include "relay/cluster/newcomer.h"
#include "relay/cluster/presence.h"
#include "relay/cluster/presence_events.h"
#include "relay/cluster/registry.h"
#include "relay/cluster/retained.h"
#include "relay/cluster/shared.h"
#include "relay/route/router.h"
#include "relay/cluster/sets.h"

struct rc_remote {
    const struct rc_control *control;   /* borrowed */
    const struct rc_config *config;     /* borrowed: in force */
    struct rc_router *router;           /* borrowed */
    struct rc_redis_link *link;         /* owner; NULL = not opened */
    char mark[RC_INSTANCE_ID_MAX + 32]; /* channel of this instance alone, for an overlap with a former relay */
    struct rc_wire wire;
    struct rc_bridge bridge;
    struct rc_broadcast broadcast;
    struct rc_direct direct;
    struct rc_channel_bridge channel;
    struct rc_notifications notifications;
    struct rc_gaps gaps;
    struct rc_application application;
    struct rc_adapter_bridge adapter;
    struct rc_adapter_requests requests;
    struct rc_adapter_asks asks;
    struct rc_python_bridge python;
    struct rc_registry registry;
    struct rc_heartbeat heartbeat;
    struct rc_entries entries;
    struct rc_subscription_sets sets;
    struct rc_presence presence;
    struct rc_calls calls;
    struct rc_emits emits;
    struct rc_cluster_retained retained;
    struct rc_shared shared;
    struct rc_consumers consumers;
    struct rc_newcomers *newcomers;             /* borrowed: set by the owner */
    struct rc_presence_events *presence_events; /* likewise */
    struct rc_comeback *comeback;               /* likewise */
};

/* What the router is opened with; context: a struct rc_remote. */
extern const struct rc_remote_ops rc_remote_ops;

/* Before the router is opened. `pass_fd`: what the former relay forwards comes there; -1 = there is none, or it has ended. 0 also when Redis cannot be used at all; -ENOMEM. */
int rc_remote_open(struct rc_remote *remote, struct rc_control *control, const struct rc_config *config,
                   struct rc_router *router, struct rc_history *history, struct rc_timers *timers,
                   const struct rc_redis_host *host, int pass_fd, struct rc_err *err);
void rc_remote_close(struct rc_remote *remote);
/* Lost sockets of Socket.IO are in the channel, which no worker may want: its messages are to come; they are not any more. */
void rc_remote_hold(struct rc_remote *remote, struct rc_span name, bool held);
/* Redis has confirmed the channel, which is wanted, and all that came over it is delivered. */
bool rc_remote_hears(struct rc_remote *remote, struct rc_span name);
/* The broker stops: what this instance has in Redis goes; true when Redis knows. To be asked again until then. */
bool rc_remote_leave(struct rc_remote *remote);
/* After a reload. */
void rc_remote_configure(struct rc_remote *remote, const struct rc_config *config);

#endif
