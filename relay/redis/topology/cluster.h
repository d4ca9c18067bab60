/*
 * cluster: which node of a Redis Cluster owns which slot, and which one is home.
 *
 *   seeds of the URL ─▶ CLUSTER SLOTS ─▶ a node for every master (command connection; with redis.sharded a subscription one too)
 *
 * The map is read when the first node is ready, when an answer contradicts it (MOVED, a slot taken away, CLUSTERDOWN), when a
 * node is lost, and every 15 s. Home, the node of classic publish and subscribe, is whichever was ready first; when it is lost it
 * is another one: the Cluster's bus carries classic messages to all nodes. Where instances agree on one (rc_redis_agree) it is that one, as
 * soon as it is there; one to which the connection breaks time and again it goes back to less and less often, once a minute at last. Nodes that the map names no more are ended by the
 * timer, never inside of their own callbacks: where addresses change with each restart, their places are needed again.
 */
#ifndef RC_RELAY_REDIS_TOPOLOGY_CLUSTER_H
#define RC_RELAY_REDIS_TOPOLOGY_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/redis/topology/slot.h"
#include "relay/redis/topology/topology.h"
#include "relay/timer.h"

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
    uint64_t read_ms;       /* when the map was read first */
    uint64_t home_ms;       /* since when home is where it is */
    uint32_t home_stays_ms; /* so long before it goes back to the one that is agreed on */
    bool home_back;         /* true exactly while home is that one, and has been elsewhere before */
    uint64_t differ_ms;     /* when it was last told that others have another map */
    uint64_t digest;        /* of the map: which node, by its id, has which slot */
    struct rc_timer timer;
};

/* Of a link whose topology this is. */
static inline struct rc_redis_cluster *rc_redis_cluster_of(const struct rc_redis_link *link)
{
    return link->topology_state;
}

/* What `asked` answered to CLUSTER SLOTS. */
void rc_redis_cluster_take_map(struct rc_redis_link *link, const struct rc_redis_node *asked, const redisReply *reply);
/* Ends nodes that the map does not name and for which nothing waits. Not inside of handlers. */
void rc_redis_cluster_drop_unknown(struct rc_redis_link *link);
/* The node that "MOVED slot host:port" and "ASK slot host:port" name, added when it is new; NULL when it names none. */
struct rc_redis_node *rc_redis_cluster_redirect(struct rc_redis_link *link, const struct rc_redis_node *from,
                                                const redisReply *reply, bool *ask);

#endif
