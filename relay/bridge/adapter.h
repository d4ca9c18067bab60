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
 * Owned by relay/remote; one thread.
 */
#ifndef RC_RELAY_BRIDGE_ADAPTER_H
#define RC_RELAY_BRIDGE_ADAPTER_H

#include "common/base/hashmap.h"
#include "common/config/values.h"
#include "common/records/sid.h"
#include "relay/bridge/adapter_request.h"
#include "relay/bridge/emission.h"
#include "relay/redis/stream.h"

#define RC_ADAPTER_UID_BYTES (1 + RC_SID_INSTANCE_BYTES)

/* A namespace of which some channel is wanted. */
struct rc_adapter_nsp {
    char *name; /* owner; NULL = free */
    uint32_t name_bytes;
    uint32_t channels; /* that are wanted */
};

/* A server asked something. `message` is what was read, for what is logged of it. */
typedef void rc_adapter_requested(void *context, struct rc_span nsp, struct rc_adapter_request *request,
                                  struct rc_span message);

struct rc_adapter_kind;

struct rc_adapter_bridge {
    const struct rc_bridge *bridge;     /* borrowed; NULL = off */
    const struct rc_adapter_kind *kind; /* static */
    char head[RC_CONFIG_TEXT_MAX + 1];  /* KEY# */
    uint32_t head_bytes;
    char request_head[RC_CONFIG_TEXT_MAX + 16]; /* KEY-request# */
    rc_adapter_requested *requested;            /* NULL = requests are not heard */
    void *requested_context;                    /* borrowed */
    struct rc_config_socketio config;           /* at the start: namespaces that it names are heard of for good */
    char uid[RC_ADAPTER_UID_BYTES];
    char pattern[2 * RC_CONFIG_TEXT_MAX + 16];
    struct rc_redis_subscription clients;
    struct rc_redis_stream stream;
    struct rc_hashmap nsp_map;
    struct rc_adapter_nsp *nsps; /* owner */
    uint32_t nsp_count;          /* places in use or free */
    uint32_t nsp_room;
    struct rc_emission emission;
    struct rc_scratch text; /* owner: of a message that came as msgpack */
};

/* Right behind rc_redis_link_open. Subscribes for the life of the link, unless socketio.adapter says that there is nothing to do: then the others
 * do nothing. -ENOMEM. */
int rc_adapter_open(struct rc_adapter_bridge *adapter, const struct rc_bridge *bridge,
                    const struct rc_config_socketio *config);
/* Behind the link's end. */
void rc_adapter_close(struct rc_adapter_bridge *adapter);

/* Subscribes to requests. */
void rc_adapter_set_requests(struct rc_adapter_bridge *adapter, rc_adapter_requested *requested, void *context);
/* "KEY{mark}NSP#", mark "-response#" or "#". `out` has RC_REDIS_NAME_MAX bytes. */
struct rc_span rc_adapter_channel(const struct rc_adapter_bridge *adapter, const char *mark, struct rc_span nsp,
                                  char *out);
/* Answers an asker with the values that it asked for, a list or one; none: an empty list, null, 0. Of requests that are answered. */
struct rc_adapter_asker {
    struct rc_span nsp;
    struct rc_span uid;
    struct rc_span id; /* JSON string with quotes */
};
void rc_adapter_answer(struct rc_adapter_bridge *adapter, const struct rc_adapter_asker *asker,
                       enum rc_adapter_request_type type, struct rc_span values);
/* Passes on what a client has answered to a broadcast of an asker, whose `id` is the text here, not JSON. 0; -EMSGSIZE: it cannot be written as
 * the adapter has it; -ENOMEM; or why it was not published. */
int rc_adapter_acknowledge(struct rc_adapter_bridge *adapter, const struct rc_adapter_asker *asker,
                           const struct rc_args_view *args);
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

/* The first worker wants a channel, or the last one does not any more. */
void rc_adapter_interest(struct rc_adapter_bridge *adapter, struct rc_span channel, bool wanted);
/* A sequenced message of this host: goes out when it is an event (it has a name, or arguments). `flags`: enum rc_redis_publish_flags. */
void rc_adapter_publish(struct rc_adapter_bridge *adapter, const struct rc_envelope_view *view, uint32_t flags);
/* The same, with the names of channels in its exclude text whose members do not get it. */
void rc_adapter_select(struct rc_adapter_bridge *adapter, const struct rc_envelope_view *view, uint32_t flags);

#endif
