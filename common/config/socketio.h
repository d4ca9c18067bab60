/*
 * socketio: what [socketio] and the end points that speak Engine.IO mean, beyond single keys.
 *
 * Any process may call; the configuration is only read.
 */
#ifndef RC_COMMON_CONFIG_SOCKETIO_H
#define RC_COMMON_CONFIG_SOCKETIO_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/config/values.h"

/* May this be the name of a Socket.IO namespace? It begins with "/", has 1 to RC_NSP_MAX bytes of UTF-8 without control characters,
 * and none of "," and "?" (which end it on the wire), "#" (which ends it in a channel's name) and "*" (of patterns). */
bool rc_config_nsp_valid(struct rc_span name);

/* The names that Socket.IO keeps for the life of a connection: neither side may send such an event. */
bool rc_config_event_reserved(struct rc_span name);

/* May no client have others told of an event of this name: one that Socket.IO reserves, or one of Pusher Channels' own ("pusher:…",
 * "pusher_internal:…"), which its libraries carry out whatever the channel: who is signed in, who is there. */
bool rc_config_event_own(struct rc_span name);

/* Is `name` a namespace that clients may connect to: valid, and in socketio.namespaces? */
bool rc_config_nsp_allowed(const struct rc_config_socketio *socketio, struct rc_span name);

/* May a session begin so (RC_CONFIG_POLLING, RC_CONFIG_WEBSOCKET)? */
bool rc_config_transport_allowed(const struct rc_config_socketio *socketio, const char *transport);

/* Does a request's path lead to the end point with this one, where a "/" at the end makes no difference? Never for an empty
 * `path`. */
bool rc_config_engineio_path_is(const char *path, const char *requested);

/* Is a request's path one below it, as "/socket.io/default/"? Node takes those for Engine.IO, too. Never for an empty `path`. */
bool rc_config_engineio_path_below(const char *path, const char *requested);

/* Does [socketio] or any end point speak Engine.IO (and so may there be such clients)? */
bool rc_config_engineio_on(const struct rc_config *config);

/* What must hold across keys. -EINVAL with the remedy in `err`. */
int rc_config_socketio_check(const struct rc_config *config, struct rc_err *err);

#endif
