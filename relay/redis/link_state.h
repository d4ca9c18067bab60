/*
 * link_state: what a link is made of, for the files that are the link: link (connections, state, commands), publish (outboxes),
 * sentinel and cluster (who is to be talked to).
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

#define RC_REDIS_SLOTS 16384u
#define RC_REDIS_REDIRECTS_MAX 8u /* of one command */

struct rc_redis_node {
    struct rc_redis_link *link; /* borrowed */
    uint16_t index;
    bool known; /* a Cluster's map names it, or it is the only one */
    struct rc_redis_address address;
    struct rc_redis_conn command;
    struct rc_redis_conn subscriber;
    struct rc_redis_outbox outbox; /* sharded channels */
};

struct rc_redis_sentinel {
    struct rc_redis_conn conn;
    uint32_t host; /* index of the one that is asked */
    bool asking;   /* true exactly while a question is out */
    bool found;    /* the master's address is known */
    struct rc_timer timer;
};

struct rc_redis_cluster {
    uint16_t owners[RC_REDIS_SLOTS];  /* node index, RC_REDIS_NODE_NONE = nobody's */
    uint16_t before[RC_REDIS_SLOTS];  /* as the map before said */
    uint32_t waiting[RC_REDIS_SLOTS]; /* messages for the slot in the nodes' outboxes, all in one of them: */
    uint16_t place[RC_REDIS_SLOTS];   /* in this node's; of no meaning while none waits */
    bool asking;                      /* true exactly while CLUSTER SLOTS is out */
    bool read;                        /* the map was read once */
    bool stale;                       /* it was contradicted since */
    uint32_t seed;                    /* index of the host of the URL that is tried next */
    uint32_t turn;                    /* which node is asked next */
    uint64_t seed_ms;
    uint64_t refresh_ms;
    struct rc_timer timer;
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
    bool active;      /* true exactly after the start: ops of connections count */
    bool sharded;
    bool refused; /* true exactly while Redis has refused a subscription (rights) and not confirmed all since */
    char error[RC_REDIS_ERROR_MAX];  /* why it is not good, or was not last: the first that went wrong */
    char latest[RC_REDIS_ERROR_MAX]; /* what went wrong last since then; "" = nothing */
    struct rc_redis_outbox outbox;   /* everything but sharded channels */
    struct rc_redis_losses losses;   /* of all outboxes */
    struct rc_redis_loss_ops loss_ops;
    uint64_t losses_ms; /* not before they are told again */
    struct rc_redis_pubsub pubsub;
    struct rc_redis_observer *observers; /* borrowed, a list */
    struct rc_redis_sentinel sentinel;
    struct rc_redis_cluster *cluster; /* owner; NULL outside of a Cluster */
    struct rc_timer aging;
};

/* --- link.c, for sentinel and cluster --- */

/* A new node, closed. NULL: no memory or RC_REDIS_NODES_MAX. */
struct rc_redis_node *rc_redis_node_add(struct rc_redis_link *link, const struct rc_redis_address *address);
/* Opens (again) both connections of a node, or the command connection alone. */
void rc_redis_node_open(struct rc_redis_node *node, bool subscriber);
void rc_redis_node_close(struct rc_redis_node *node);
/* A closed one that is not home, not inside of handlers. */
void rc_redis_node_free(struct rc_redis_node *node);
/* Classic traffic goes to this node from now on. */
void rc_redis_link_set_home(struct rc_redis_link *link, uint16_t home);

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

/* --- sentinel.c --- */

void rc_redis_sentinel_open(struct rc_redis_link *link);
void rc_redis_sentinel_close(struct rc_redis_link *link);
/* The master was lost or is no master: ask. */
void rc_redis_sentinel_ask(struct rc_redis_link *link);

/* What a sentinel answered to GET-MASTER-ADDR-BY-NAME. */
void rc_redis_sentinel_follow(struct rc_redis_link *link, const redisReply *reply);

/* --- cluster.c --- */

int rc_redis_cluster_open(struct rc_redis_link *link);
void rc_redis_cluster_close(struct rc_redis_link *link);
/* A node's command connection is ready, or lost. */
void rc_redis_cluster_ready(struct rc_redis_link *link, struct rc_redis_node *node);
void rc_redis_cluster_lost(struct rc_redis_link *link, struct rc_redis_node *node);
/* The map is out of date: it is read again soon. */
void rc_redis_cluster_stale(struct rc_redis_link *link);
/* What `asked` answered to CLUSTER SLOTS. */
void rc_redis_cluster_take_map(struct rc_redis_link *link, const struct rc_redis_node *asked, const redisReply *reply);
/* Ends nodes that the map does not name and for which nothing waits. Not inside of handlers. */
void rc_redis_cluster_drop_unknown(struct rc_redis_link *link);
/* Slot of a key: CRC16 of it, or of what stands in its first {…} (Redis Cluster specification, "Hash tags"). */
uint16_t rc_redis_cluster_slot(struct rc_span key);
/* The node that "MOVED slot host:port" and "ASK slot host:port" name, added when it is new; NULL when it names none. */
struct rc_redis_node *rc_redis_cluster_redirect(struct rc_redis_link *link, const struct rc_redis_node *from,
                                                const redisReply *reply, bool *ask);

#endif
