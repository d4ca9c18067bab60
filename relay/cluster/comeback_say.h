/*
 * comeback_say: how instances tell each other of sessions that change hosts (comeback.h): through home to one or all of them, and in a Redis Cluster
 * through each other server, past all that waits there.
 */
#ifndef RC_RELAY_CLUSTER_COMEBACK_SAY_H
#define RC_RELAY_CLUSTER_COMEBACK_SAY_H

#include "relay/bridge/bridge.h"
#include "relay/cluster/comeback_wire.h"
#include "relay/redis/places.h"

#define RC_COMEBACK_EVERYBODY "ws:instances:session"
#define RC_COMEBACK_NAME_BYTES (RC_INSTANCE_ID_MAX + 32u) /* of an instance's channel, with its end */

/* The channels of an instance: through home, and through other servers. `room`: RC_COMEBACK_NAME_BYTES is enough. */
void rc_comeback_own_name(char *out, size_t room, struct rc_span instance);
void rc_comeback_mark_name(char *out, size_t room, struct rc_span instance);

/* To an instance; without one to all. `messages`: behind it, may be empty. Worth nothing later. False: it cannot be sent. */
bool rc_comeback_say(const struct rc_bridge *bridge, struct rc_span to, struct rc_comeback_message *message,
                     struct rc_span messages);
/* Through all of `places` but home, for which `message` is left. False: one of them did not take it, others may have. */
bool rc_comeback_mark_all(const struct rc_bridge *bridge, const char *to, struct rc_comeback_message *message,
                          const struct rc_redis_places *places);

#endif
