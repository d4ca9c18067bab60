/*
 * pubsub_fixed: the subscriptions of pubsub that are there for good: the bridges' own channels and patterns, on the home node. Used by pubsub
 * and the link.
 */
#ifndef RC_RELAY_REDIS_PUBSUB_FIXED_H
#define RC_RELAY_REDIS_PUBSUB_FIXED_H

#include "relay/redis/pubsub_state.h"

/* One more, behind the others; it must stay where it is. Asked for at once where there is a home. */
void rc_redis_fixed_add(struct rc_redis_pubsub *pubsub, struct rc_redis_subscription *subscription);
/* Subscribes all of them at home, or unsubscribes them. */
void rc_redis_fixed_ask_all(struct rc_redis_pubsub *pubsub, bool subscribe);
/* Subscribes those that are not confirmed. */
void rc_redis_fixed_ask_missing(struct rc_redis_pubsub *pubsub);
/* The one that Redis calls by this name or pattern; NULL when there is none. */
struct rc_redis_subscription *rc_redis_fixed_find(struct rc_redis_pubsub *pubsub, bool pattern,
                                                  struct rc_span redis_name);
/* Are all of them confirmed? */
bool rc_redis_fixed_all(const struct rc_redis_pubsub *pubsub);
/* How many are. */
uint32_t rc_redis_fixed_confirmed(const struct rc_redis_pubsub *pubsub);
/* Home is lost or another one: none is confirmed, and what they would have heard is missed. */
void rc_redis_fixed_forget(struct rc_redis_pubsub *pubsub);

#endif
