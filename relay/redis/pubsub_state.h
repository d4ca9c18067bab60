/*
 * pubsub_state: what pubsub is made of, for pubsub and its parts (pubsub_entry, pubsub_ask, pubsub_damping,
 * pubsub_fixed).
 *
 * Everybody else includes pubsub.h.
 */
#ifndef RC_RELAY_REDIS_PUBSUB_STATE_H
#define RC_RELAY_REDIS_PUBSUB_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/hashmap.h"
#include "relay/redis/handlers.h"
#include "relay/redis/overlap.h"
#include "relay/redis/wire.h"
#include "relay/timer.h"

struct rc_redis_conn;

#define RC_REDIS_NODE_NONE UINT16_MAX
#define RC_REDIS_ASKED_MAX 16384u  /* unconfirmed on one connection */
#define RC_REDIS_BATCH_MAX 256u    /* channels of one command */
#define RC_REDIS_DAMPING_MS 2000u  /* a channel that nobody wants is kept for this long */
#define RC_REDIS_DAMPED_MAX 65536u /* channels that nobody wants; the oldest go at once */
#define RC_REDIS_CONFIRM_MS 100u
#define RC_REDIS_WAITERS_MAX 262144u
#define RC_REDIS_REFUSED_MS 5000u /* before what Redis refused is asked for again */
#define RC_REDIS_MISSED_MAX 4096u /* channels lost with one connection that are named one by one */

struct rc_redis_pubsub_entry;
struct rc_redis_pubsub_waiter;

/* What is asked on one subscription connection. */
struct rc_redis_pubsub_node {
    struct rc_redis_conn *conn; /* borrowed; NULL = no such node */
    uint32_t queue_first;       /* entries to be asked for */
    uint32_t queue_last;
    uint32_t asked;     /* unconfirmed */
    uint32_t marks;     /* fixed subscriptions that are everywhere, asked here where home is not, and not answered */
    uint32_t confirmed; /* channels; fixed subscriptions are not counted */
};

struct rc_redis_pubsub_ops {
    struct rc_redis_channel_ops channel;
    struct rc_redis_foreign_ops foreign; /* message NULL: there are none */
    /* The node on which a channel (its Redis name) is subscribed; RC_REDIS_NODE_NONE = none is known now. */
    uint16_t (*node_of)(void *context, struct rc_span redis_name, bool sharded);
    /* What the node is called on all instances; 0 = it is the only one, or not known. May be NULL: 0. */
    uint64_t (*place_of)(void *context, uint16_t node);
    void *context; /* borrowed: of node_of and place_of */
};

struct rc_redis_pubsub {
    struct rc_redis_wire *wire; /* borrowed */
    struct rc_redis_pubsub_ops ops;
    char head[RC_REDIS_NAME_MAX]; /* prefix and ops.channel.head */
    uint32_t head_bytes;
    const char *prefix; /* borrowed */
    uint32_t prefix_bytes;
    bool sharded; /* channels of ours; foreign ones: ops.foreign.sharded */
    struct rc_hashmap map;
    struct rc_redis_pubsub_entry *entries; /* owner; [0] is never used */
    uint32_t entry_max;
    uint32_t entry_count;
    uint32_t entry_free;
    uint32_t damped_first; /* nobody wants them, in order of time */
    uint32_t damped_last;
    uint32_t damped_count;
    struct rc_redis_pubsub_waiter *waiters; /* owner; [0] is never used */
    uint32_t waiter_max;
    uint32_t waiter_count;
    uint32_t waiter_free;
    uint32_t waiter_first; /* in order of time */
    uint32_t waiter_last;
    uint32_t confirmed;              /* of all nodes */
    uint32_t missed_pending;         /* entries that are `missed` and on their way to be confirmed */
    bool missed_all;                 /* true exactly while `missed` for all channels is owed */
    struct rc_redis_overlap overlap; /* with a relay that this one follows, or that follows this one */
    bool holding;    /* true exactly while confirmations are not told, as the other one may not hear the channel */
    bool succeeding; /* true until a predecessor's interest is known and confirmed: it was subscribed to the same */
    struct rc_redis_pubsub_node nodes[RC_REDIS_NODES_MAX];
    uint16_t node_count;                               /* those that are there */
    uint16_t node_end;                                 /* no node from here on was ever there */
    uint16_t home;                                     /* node of the fixed subscriptions; RC_REDIS_NODE_NONE = none */
    struct rc_redis_subscription *fixed;               /* borrowed, a list */
    char names[RC_REDIS_BATCH_MAX][RC_REDIS_NAME_MAX]; /* scratch of one command */
    struct rc_timer damping;
    struct rc_timer confirming;
    struct rc_timer refusing;
    struct rc_timer again; /* fixed ones that could not be asked, or were refused where home is not */
};

#endif
