/*
 * channel: messages of channels, on Redis channels `ws:channel:{name}`.
 *
 * The JSON envelope of wire.h, or its binary form for binary payloads. Subscribed in Redis only while a worker of this host wants
 * the channel. With redis.sharded on sharded pub/sub.
 */
#ifndef RC_RELAY_BRIDGE_CHANNEL_H
#define RC_RELAY_BRIDGE_CHANNEL_H

#include "relay/bridge/bridge.h"

#define RC_CHANNEL_BRIDGE_HEAD "ws:channel:"

struct rc_channel_bridge {
    const struct rc_bridge *bridge; /* borrowed */
};

void rc_channel_bridge_open(struct rc_channel_bridge *channel, const struct rc_bridge *bridge);
/* A sequenced message of this host. `flags`: enum rc_redis_publish_flags. */
void rc_channel_bridge_publish(struct rc_channel_bridge *channel, const struct rc_envelope_view *view, uint32_t flags);
/* The same, with the names of channels in its exclude text whose members do not get it (RC_WIRE_SELECT). */
void rc_channel_bridge_select(struct rc_channel_bridge *channel, const struct rc_envelope_view *view, uint32_t flags);
/* Is it one that rc_channel_bridge_publish can publish at no time (rc_redis_publish_never)? */
bool rc_channel_bridge_never(const struct rc_channel_bridge *channel, const struct rc_envelope_view *view);

#endif
