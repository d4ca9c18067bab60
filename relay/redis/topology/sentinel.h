/*
 * sentinel: asks the sentinels which server is the master, and follows a failover.
 *
 *   ask one sentinel ─ address ─▶ node 0 (re)opens its connections there (ROLE must say master)
 *        ▲ every second; at once on +switch-master or when the master is lost; another sentinel when this one is lost
 *
 * The URL's user and password are the master's; sentinels have redis.sentinel_user and redis.sentinel_password. A sentinel
 * that still names the old master does no harm: that one answers ROLE with "slave", or not at all.
 */
#ifndef RC_RELAY_REDIS_TOPOLOGY_SENTINEL_H
#define RC_RELAY_REDIS_TOPOLOGY_SENTINEL_H

#include "relay/redis/topology/topology.h"

/* What a sentinel answered to GET-MASTER-ADDR-BY-NAME. */
void rc_redis_sentinel_follow(struct rc_redis_link *link, const redisReply *reply);

#endif
