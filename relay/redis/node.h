/*
 * node: the servers that the link talks to, each with its connections, and what these tell: whether Redis is up, and why it is not.
 *
 * A topology says which nodes there are and which one is home. Part of the link, one thread.
 */
#ifndef RC_RELAY_REDIS_NODE_H
#define RC_RELAY_REDIS_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/redis_url.h"
#include "relay/redis/link_state.h"

/* A new node, closed. NULL: no memory or RC_REDIS_NODES_MAX. */
struct rc_redis_node *rc_redis_node_add(struct rc_redis_link *link, const struct rc_redis_address *address);
/* Opens (again) both connections of a node, or the command connection alone. */
void rc_redis_node_open(struct rc_redis_node *node, bool subscriber);
void rc_redis_node_close(struct rc_redis_node *node);
/* A closed one that is not home, not inside of handlers. */
void rc_redis_node_free(struct rc_redis_node *node);
/* Who logs in on connections to a master, and what the server must be. */
struct rc_redis_login rc_redis_node_login(const struct rc_redis_link *link);
/* A connection of the link that is no node's changed; `why` it is worse than before, NULL: it is not. */
void rc_redis_node_changed(struct rc_redis_link *link, const char *why);
/* Classic traffic goes to this node from now on. */
void rc_redis_node_set_home(struct rc_redis_link *link, uint16_t home);

#endif
