/*
 * link_state: what a link is made of, for the files that are the link: link (turns, commands), node (nodes and how they are), publish
 * (outboxes), topology/ (who is to be talked to).
 *
 *   node 0 … n: {command connection, subscription connection, outbox of sharded channels}
 *   home: the node that gets classic PUBLISH and SUBSCRIBE and commands without a key; the only one outside of a Cluster
 */
#ifndef RC_RELAY_REDIS_LINK_STATE_H
#define RC_RELAY_REDIS_LINK_STATE_H

#include "common/config/config.h"
#include "common/config/redis_url.h"
#include "common/shm/layout.h"
#include "relay/redis/conn.h"
#include "relay/redis/losses.h"
#include "relay/redis/outbox.h"
#include "relay/redis/pubsub.h"

struct rc_redis_script;
struct rc_redis_stream;
struct rc_redis_topology;

struct rc_redis_node {
    struct rc_redis_link *link; /* borrowed */
    uint16_t index;
    bool known;  /* a Cluster's map names it, or it is the only one */
    uint64_t id; /* what a Cluster calls it, the same on all instances; 0 = not known */
    struct rc_redis_address address;
    struct rc_redis_conn command;
    struct rc_redis_conn subscriber;
    struct rc_redis_outbox outbox; /* sharded channels */
};

struct rc_redis_link {
    struct rc_redis_url url;
    struct rc_config_redis config;
    struct rc_redis_wire wire;
    struct rc_redis_health *health; /* borrowed */
    char client_name[RC_INSTANCE_ID_MAX + 16];
    struct rc_redis_node *nodes[RC_REDIS_NODES_MAX]; /* owner; NULL = none */
    uint16_t node_count;                             /* places used */
    uint16_t home;
    bool up;          /* as told to observers */
    bool was_up;      /* true exactly when it has been once */
    uint64_t order;   /* of the message published last */
    uint64_t lost_ms; /* when `up` ended, or the start */
    bool successor;   /* this process follows one that had subscriptions, and read the stream */
    bool active;      /* true exactly after the start: ops of connections count */
    bool sharded;     /* channels of ours are (redis.sharded) */
    bool by_shard; /* some are, or streams are written: every master of the Cluster has its outbox and subscriptions */
    bool refused;  /* true exactly while Redis has refused a subscription (rights) and not confirmed all since */
    char error[RC_REDIS_ERROR_MAX];  /* why it is not good, or was not last: the first that went wrong */
    char latest[RC_REDIS_ERROR_MAX]; /* what went wrong last since then; "" = nothing */
    struct rc_redis_outbox outbox;   /* everything but sharded channels */
    struct rc_redis_losses losses;   /* of all outboxes */
    struct rc_redis_loss_ops loss_ops;
    const struct rc_redis_script *scripts; /* borrowed, a list */
    struct rc_redis_script_ops script_ops;
    uint64_t losses_ms; /* not before they are told again */
    struct rc_redis_pubsub pubsub;
    char agreed[RC_REDIS_NAME_MAX];      /* whose slot's master is home, with prefix; */
    uint16_t agreed_bytes;               /* 0 = whichever was ready first */
    const char *mark_channel;            /* borrowed; NULL = no other relay is followed */
    struct rc_redis_stream *stream;      /* borrowed; NULL = none */
    struct rc_redis_observer *observers; /* borrowed, a list */
    const struct rc_redis_topology *topology;
    void *topology_state; /* owner: the topology's own */
    uint32_t
        *slot_waiting; /* borrowed: the topology's, messages of each slot in the nodes' outboxes; NULL = not counted */
    struct rc_redis_outbox_ops outbox_ops; /* of all outboxes */
    struct rc_timer aging;
};

/* Where classic traffic goes; NULL = nowhere now. */
static inline struct rc_redis_node *rc_redis_link_home(const struct rc_redis_link *link)
{
    return link->home == RC_REDIS_NODE_NONE ? NULL : link->nodes[link->home];
}

/* True while commands are answered: rc_redis_up. */
static inline bool rc_redis_link_up(const struct rc_redis_link *link)
{
    const struct rc_redis_node *home = rc_redis_link_home(link);
    return home != NULL && rc_redis_conn_up(&home->command);
}

#endif
