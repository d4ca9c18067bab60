/*
 * single: the topology of one server, which Sentinel's is too once its address is known.
 */
#ifndef RC_RELAY_REDIS_TOPOLOGY_SINGLE_H
#define RC_RELAY_REDIS_TOPOLOGY_SINGLE_H

#include "relay/redis/topology/topology.h"

/* The one node, home and closed, with the URL's first address. NULL: no memory. */
struct rc_redis_node *rc_redis_single_add(struct rc_redis_link *link);

#endif
