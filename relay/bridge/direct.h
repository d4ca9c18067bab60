/*
 * direct: messages for one client, on Redis channel `ws:direct:{clientId}`.
 *
 * {payload} (wire.h). A client id begins with its instance's name, so that one pattern subscription `ws:direct:{instance}~*` hears
 * what is for any client of this host. What is for a client that is gone is counted as a failed delivery. What is for the room of one
 * Socket.IO socket of another instance has that room's channel in the place of what follows the "~": its id, or "/nsp#id". With "rooms" it is for
 * all of these, of which that one is one.
 */
#ifndef RC_RELAY_BRIDGE_DIRECT_H
#define RC_RELAY_BRIDGE_DIRECT_H

#include "common/records/sid.h"
#include "relay/bridge/bridge.h"

/* How often it is passed on to where its socket went (view->head.passed). */
#define RC_DIRECT_PASSED_MAX 32u

struct rc_direct {
    const struct rc_bridge *bridge; /* borrowed */
    char everybody[RC_NSP_MAX + 1]; /* of the namespace of the socket that something is for */
    char pattern[RC_INSTANCE_ID_MAX + 16];
    struct rc_redis_subscription subscription;
};

/* Subscribes for the life of the link. */
/* A channel that this instance alone hears, and that names no client. */
void rc_direct_mark(char *name, size_t capacity, const char *instance_id);
void rc_direct_open(struct rc_direct *direct, const struct rc_bridge *bridge);
/* A sequenced message for the client of another instance whose id is the view's channel. False: that is no client id. */
bool rc_direct_publish(struct rc_direct *direct, const struct rc_envelope_view *view);
/* A sequenced message on the channel of a socket of that other instance. False: Redis does not get it. */
bool rc_direct_publish_socket(struct rc_direct *direct, const char *instance, const struct rc_envelope_view *view);
/* The same of an RC_UP_SELECT with the channel of that socket among its rooms. */
bool rc_direct_select_socket(struct rc_direct *direct, const char *instance, struct rc_span socket,
                             const struct rc_envelope_view *view);

#endif
