/* single: see single.h. */
#include "relay/redis/topology/single.h"

#include <errno.h>

#include "relay/redis/node.h"

struct rc_redis_node *rc_redis_single_add(struct rc_redis_link *link)
{
    struct rc_redis_node *node = rc_redis_node_add(link, &link->url.hosts[0]);
    if (node != NULL) {
        node->known = true;
        rc_redis_node_set_home(link, node->index);
    }
    return node;
}

static int single_open(struct rc_redis_link *link)
{
    struct rc_redis_node *node = rc_redis_single_add(link);
    if (node == NULL) {
        return -ENOMEM;
    }
    rc_redis_node_open(node, true);
    return 0;
}

const struct rc_redis_topology rc_redis_topology_single = {.one_master = true, .open = single_open};
