/*
 * pubsub_damping: channels of pubsub that nobody wants any more: they are unsubscribed after RC_REDIS_DAMPING_MS, the oldest at once
 * where there are more than RC_REDIS_DAMPED_MAX, and stay when they are wanted again before.
 *
 * Only what is confirmed is unsubscribed: what is asked for waits for its confirmation. Used by pubsub alone.
 */
#ifndef RC_RELAY_REDIS_PUBSUB_DAMPING_H
#define RC_RELAY_REDIS_PUBSUB_DAMPING_H

#include <stdint.h>

#include "relay/redis/pubsub_state.h"

/* Nobody wants the entry from now on. */
void rc_redis_pubsub_damp(struct rc_redis_pubsub *pubsub, uint32_t index);

#endif
