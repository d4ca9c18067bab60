/*
 * pubsub_ask: what pubsub asks of Redis: the queue of each node, the commands, and how they are counted.
 *
 * Used by pubsub and pubsub_damping.
 */
#ifndef RC_RELAY_REDIS_PUBSUB_ASK_H
#define RC_RELAY_REDIS_PUBSUB_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/redis/pubsub_entry.h"
#include "relay/redis/pubsub_state.h"

/* The node where it belongs; RC_REDIS_NODE_NONE = none is known now. */
uint16_t rc_redis_pubsub_place_of(const struct rc_redis_pubsub *pubsub, const struct rc_redis_pubsub_entry *entry);
/* Every change of an entry's state: keeps count of the missed ones that are on their way. */
void rc_redis_pubsub_change(struct rc_redis_pubsub *pubsub, struct rc_redis_pubsub_entry *entry,
                            enum rc_redis_entry_state state, bool missed);
/* Behind what else is to be asked for at its node; nothing where that is not there. */
void rc_redis_pubsub_enqueue(struct rc_redis_pubsub *pubsub, uint32_t index);
/* As many as may be unconfirmed, of a node that is there. */
void rc_redis_pubsub_send_queue(struct rc_redis_pubsub *pubsub, struct rc_redis_pubsub_node *node);

/* May it be in one command with those of a batch? Keys of one command must share a slot in a Cluster: sharded channels go one by one,
 * pipelined all the same. */
bool rc_redis_pubsub_fits(const struct rc_redis_pubsub *pubsub, const uint32_t *batch, uint32_t count, uint32_t index);
/* (Un)subscribes a batch, of at most RC_REDIS_BATCH_MAX, in one command. -ENOMEM, or what rc_redis_conn_send_quiet fails with. */
int rc_redis_pubsub_send(struct rc_redis_pubsub *pubsub, struct rc_redis_conn *conn, bool subscribe,
                         const uint32_t *indexes, uint32_t count);

/* The gauge of what is confirmed. */
void rc_redis_pubsub_count(const struct rc_redis_pubsub *pubsub);

#endif
