/*
 * adapter: this instance as one more server beside Socket.IO servers with an adapter for Redis (socketio.adapter).
 *
 * What stands where, KEY = socketio.adapter_key:
 *
 *   "classic", createAdapter of @socket.io/redis-adapter (adapter_wire.h, adapter_request.h)
 *     KEY#NSP#ROOM#   for exactly one room: subscribed while a worker wants the room's channel
 *     KEY#NSP#        for everybody in the namespace, several rooms, or with exceptions: while a worker wants any channel of it
 *     KEY-request#NSP#  what servers ask one another: always
 *     KEY#NSP#SID#    for one client: one pattern (any namespace, IIIII: what our sids begin with) hears what is for any of this instance (common/records/sid.h)
 *   "sharded", createShardedAdapter of the same package (cluster_wire.h), by SSUBSCRIBE and SPUBLISH
 *     KEY#NSP#ROOM#   as above
 *     KEY#NSP#        everything else, for one client too: always
 *     KEY#NSP#UID#    answers to the server UID
 *   "streams", @socket.io/redis-streams-adapter (cluster_wire.h)
 *     KEY             a stream: all broadcasts, joining, leaving, disconnecting (relay/redis/stream.h)
 *     KEY#NSP#        what is answered: always
 *     KEY#NSP#UID#    answers to the server UID
 *
 * "Always" is for namespaces that the configuration names; one that it has only a pattern for is listened to while a worker wants any channel of
 * it. A room is subscribed before its own channel (bridge/channel), so that the confirmation of that one stands for both where they come over
 * one connection.
 *
 * What comes in goes to whom targets.h says. What clients of this instance emit goes out as a broadcast for one room, for the
 * servers; other instances of ringcast have it from us in our own format (wire.h), and know by the uid that they have: ours are "~" and
 * the five characters that the instance's sids begin with, which no server draws (they take six of [A-Za-z0-9_-], or 16 hex digits).
 *
 * What is subscribed is the matter of adapter_interest, what is answered that of adapter_answer. Owned by relay/remote; one thread.
 */
#ifndef RC_RELAY_BRIDGE_ADAPTER_H
#define RC_RELAY_BRIDGE_ADAPTER_H

#include "relay/bridge/adapter_state.h"

/* Right behind rc_redis_link_open. Subscribes for the life of the link, unless socketio.adapter says that there is nothing to do: then the others
 * do nothing. -ENOMEM. */
int rc_adapter_open(struct rc_adapter_bridge *adapter, const struct rc_bridge *bridge,
                    const struct rc_config_socketio *config);
/* Behind the link's end. */
void rc_adapter_close(struct rc_adapter_bridge *adapter);

/* Of a kind that is a stream: the id of its entry that was read last; "" = none, or it is no stream. */
const char *rc_adapter_place(const struct rc_adapter_bridge *adapter);
/* Was the stream read up to that id? True where there is none. */
bool rc_adapter_has(const struct rc_adapter_bridge *adapter, struct rc_span id);

/* Is this uid an instance's of ringcast? */
bool rc_adapter_is_ringcast(const struct rc_adapter_bridge *adapter, struct rc_span uid);
/* A broadcast as this host's workers get it: views of itself, of the adapter's buffers, and of the message. */
struct rc_adapter_record {
    enum rc_record_type type; /* 0: it is for nobody here, or was refused */
    struct rc_targets targets;
    struct rc_adapter_event event;
    struct rc_envelope_view view;
};
/* Makes it of a broadcast on the namespace's channel that came in `message`, whose size bounds what it holds. `before` bytes in front
 * of the data are free. Counted, and refused when it is no event. */
void rc_adapter_record(struct rc_adapter_bridge *adapter, struct rc_span nsp, struct rc_adapter_broadcast *broadcast,
                       struct rc_span message, size_t before, struct rc_adapter_record *record);

/* A sequenced message of this host: goes out when it is an event (it has a name, or arguments). `flags`: enum rc_redis_publish_flags. */
void rc_adapter_publish(struct rc_adapter_bridge *adapter, const struct rc_envelope_view *view, uint32_t flags);
/* The same of an RC_UP_SELECT: one message, whatever rooms it is for. */
void rc_adapter_select(struct rc_adapter_bridge *adapter, const struct rc_envelope_view *view, uint32_t flags);

#endif
