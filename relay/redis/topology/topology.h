/*
 * topology: who is to be talked to, behind one table for each kind of URL.
 *
 *   single     the one server (TCP or Unix)
 *   sentinel   the one server that the sentinels call master, node 0 wherever it is
 *   cluster    a node for every master of the map, which is read again when it was contradicted
 *
 * A topology makes, opens and ends the link's nodes (node.h); the link, its outboxes and its subscriptions ask it through this table and
 * do not know which one it is. NULL in the table: there is nothing to do, or no such thing. Owned by the link, one thread.
 */
#ifndef RC_RELAY_REDIS_TOPOLOGY_TOPOLOGY_H
#define RC_RELAY_REDIS_TOPOLOGY_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "common/base/span.h"
#include "relay/redis/link_state.h"

struct rc_redis_topology {
    /* There is one server at a time, and it must be a master: it knows all subscribers, and counts them. */
    bool one_master;
    bool strict; /* it must say so itself */
    /* Makes the first nodes and begins to look for others. 0 or -ENOMEM. */
    int (*open)(struct rc_redis_link *link);
    /* When the nodes are gone, or nobody is looked for any more; also when `open` failed, and twice. */
    void (*close)(struct rc_redis_link *link);
    /* A node's command connection is ready. */
    void (*ready)(struct rc_redis_link *link, struct rc_redis_node *node);
    /* One of a node's connections is lost. */
    void (*lost)(struct rc_redis_link *link, struct rc_redis_node *node);
    /* What is known of who has what was contradicted: it is asked for again soon. NULL: nothing can be. */
    void (*stale)(struct rc_redis_link *link);
    /* The node that has a key or sharded channel (its Redis name); NULL = nobody, now. The member NULL: home has all. */
    struct rc_redis_node *(*owner)(const struct rc_redis_link *link, struct rc_span name);
    /* Where an answer sends a command on to, NULL = nowhere. `*ask`: this once, behind ASKING. The member NULL: no answer does. */
    struct rc_redis_node *(*redirect)(struct rc_redis_link *link, const struct rc_redis_node *from,
                                      const redisReply *reply, bool *ask);
    /* The outbox for a message of a sharded channel, and its slot. NULL: there are no sharded channels. */
    struct rc_redis_outbox *(*outbox)(struct rc_redis_link *link, uint16_t slot);
    /* Once a turn, before the node's outbox goes on: what waits there for slots that are others' by now goes to theirs. */
    void (*settle)(struct rc_redis_link *link, struct rc_redis_node *node);
    /* Sends what its own connections have. Once a turn. */
    void (*flush)(struct rc_redis_link *link);
};

extern const struct rc_redis_topology rc_redis_topology_single;
extern const struct rc_redis_topology rc_redis_topology_sentinel;
extern const struct rc_redis_topology rc_redis_topology_cluster;

#endif
