/*
 * direct: messages for one client, on Redis channel `ws:direct:{clientId}`.
 *
 * {payload} (wire.h). A client id begins with its instance's name, so that one pattern subscription `ws:direct:{instance}~*` hears
 * what is for any client of this host. What is for a client that is gone is counted as a failed delivery.
 */
#ifndef RC_RELAY_BRIDGE_DIRECT_H
#define RC_RELAY_BRIDGE_DIRECT_H

#include "relay/bridge/bridge.h"

struct rc_direct {
    const struct rc_bridge *bridge; /* borrowed */
    char pattern[RC_INSTANCE_ID_MAX + 16];
    struct rc_redis_subscription subscription;
};

/* Subscribes for the life of the link. */
void rc_direct_open(struct rc_direct *direct, const struct rc_bridge *bridge);
/* A sequenced message for the client of another instance whose id is the view's channel. False: that is no client id. */
bool rc_direct_publish(struct rc_direct *direct, const struct rc_envelope_view *view);

#endif
