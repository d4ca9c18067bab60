/*
 * python: what backends with python-socketio publish reaches this host's clients (socketio.python_channel).
 *
 *   RedisManager(url, write_only=True).emit(…) ──▶ one Redis channel ──▶ every instance ──▶ RC_DOWN_MESSAGE, _DIRECT, _SELECT
 *   enter_room, leave_room, close_room, disconnect of Python servers ─────────────────────▶ RC_DOWN_CALL (common/records/sockets.h)
 *
 *   callback of a Python server ◀── what clients answer to an emit with one ◀── RC_UP_REPLY (common/records/emit.h)
 *
 * An emit goes to whom targets.h says. Everything is done by each instance for its own clients; nothing is published but what is for a
 * callback, as often as a client answers: the server takes the first. What is no JSON object is refused before a byte of it is interpreted: versions before
 * 5.14 publish pickles, which are programs.
 *
 * Owned by relay/remote; one thread.
 */
#ifndef RC_RELAY_BRIDGE_PYTHON_H
#define RC_RELAY_BRIDGE_PYTHON_H

#include "common/config/values.h"
#include "relay/bridge/emission.h"

struct rc_python_bridge {
    struct rc_emission emission; /* its bridge NULL = off */
    char channel[RC_CONFIG_TEXT_MAX];
    uint64_t nonce; /* of our calls, whose replies nobody waits for */
    uint32_t serial;
    struct rc_redis_subscription subscription;
};

/* Subscribes for the life of the link, unless socketio.python_channel is empty. -ENOMEM. */
int rc_python_open(struct rc_python_bridge *python, const struct rc_bridge *bridge,
                   const struct rc_config_socketio *config);
/* Behind the link's end. */
void rc_python_close(struct rc_python_bridge *python);
/* A worker's reply. False: it is to a call of somebody else. */
bool rc_python_replied(const struct rc_python_bridge *python, const struct rc_envelope_view *view);

#endif
