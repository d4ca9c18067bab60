/*
 * broadcast: messages for everybody, on Redis channel `ws:broadcast`.
 *
 * {sourceInstance, payload, excludeIds} (wire.h): what an instance's clients broadcast goes out, what others publish reaches every
 * client of this host as a message on channel "*". An instance skips its own.
 */
#ifndef RC_RELAY_BRIDGE_BROADCAST_H
#define RC_RELAY_BRIDGE_BROADCAST_H

#include "relay/bridge/bridge.h"

#define RC_BROADCAST_CHANNEL "ws:broadcast"

struct rc_broadcast {
    const struct rc_bridge *bridge; /* borrowed */
    struct rc_redis_subscription subscription;
};

/* Subscribes for the life of the link. */
void rc_broadcast_open(struct rc_broadcast *broadcast, const struct rc_bridge *bridge);
/* A sequenced message of this host on "*". `flags`: enum rc_redis_publish_flags. */
void rc_broadcast_publish(struct rc_broadcast *broadcast, const struct rc_envelope_view *view, uint32_t flags);

#endif
