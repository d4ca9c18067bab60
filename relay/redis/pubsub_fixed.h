/*
 * pubsub_fixed: the subscriptions of pubsub that are there for good: the bridges' own channels and patterns, on the home node, a few
 * on the others, too. Used by pubsub and the link.
 */
#ifndef RC_RELAY_REDIS_PUBSUB_FIXED_H
#define RC_RELAY_REDIS_PUBSUB_FIXED_H

#include "relay/redis/pubsub_state.h"

/* One more, behind the others; it must stay where it is. Asked for at once where there is a home. */
void rc_redis_fixed_add(struct rc_redis_pubsub *pubsub, struct rc_redis_subscription *subscription);
/* Those that are everywhere, at another node than home. */
void rc_redis_fixed_ask_everywhere(struct rc_redis_pubsub *pubsub, uint16_t node);
/* Subscribes all of them at home, or unsubscribes them but for those that are everywhere. */
void rc_redis_fixed_ask_all(struct rc_redis_pubsub *pubsub, bool subscribe);
/* Subscribes those that are not confirmed, at home or where they are to be, too. */
void rc_redis_fixed_ask_missing(struct rc_redis_pubsub *pubsub);
/* The one that Redis calls by this name or pattern; NULL when there is none. */
struct rc_redis_subscription *rc_redis_fixed_find(struct rc_redis_pubsub *pubsub, bool pattern,
                                                  struct rc_span redis_name);
/* Are all of them confirmed? */
bool rc_redis_fixed_all(const struct rc_redis_pubsub *pubsub);
/* Or refused: is nothing to come? */
bool rc_redis_fixed_answered(const struct rc_redis_pubsub *pubsub);
/* The node has it. At home what it would have heard is missed behind a refusal, as the others do not wait for it. False: the error that was taken for its
 * own (rc_redis_fixed_refused_at) was another command's. */
bool rc_redis_fixed_confirm(struct rc_redis_pubsub *pubsub, struct rc_redis_subscription *one, uint16_t node);
/* An error at a node. True: home is elsewhere, and it is of one that is everywhere, which is asked for again there later. */
bool rc_redis_fixed_refused_at(struct rc_redis_pubsub *pubsub, uint16_t node);
/* The node's connection is lost: what it had confirmed is not there any more. */
void rc_redis_fixed_lost(struct rc_redis_pubsub *pubsub, uint16_t node);
/* An error at home: of the first that is not answered, if one is not, as answers come in order. Of another command's it counts, too, until
 * its own answer comes. */
void rc_redis_fixed_refuse(struct rc_redis_pubsub *pubsub);
/* How many are. */
uint32_t rc_redis_fixed_confirmed(const struct rc_redis_pubsub *pubsub);
/* Home is lost or another one: none is confirmed, and what they would have heard is missed. */
void rc_redis_fixed_forget(struct rc_redis_pubsub *pubsub);

#endif
