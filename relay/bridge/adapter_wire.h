/*
 * adapter_wire: a broadcast of @socket.io/redis-adapter and @socket.io/redis-emitter, as the bytes that stand in Redis.
 *
 *   [uid, {"type": 2, "data": [event, …args], "nsp": "/"}, {"rooms": […], "except": […], "flags": {…}}]    msgpack, as notepack writes it
 *
 * Pure; anybody who can publish to Redis may have written it: everything is checked before anything is believed, unknown members are
 * passed over. Errors are negative errnos of common/text/msgpack_json.h.
 */
#ifndef RC_RELAY_BRIDGE_ADAPTER_WIRE_H
#define RC_RELAY_BRIDGE_ADAPTER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/records/args.h"
#include "common/records/envelope.h"
#include "common/text/json_scan.h"
#include "common/text/msgpack.h"

#define RC_ADAPTER_EVENT 2u /* type of the packet, with binary arguments too */

/* Rooms, in msgpack or JSON. */
struct rc_adapter_rooms {
    struct rc_msgpack_reader reader;
    struct rc_json_cursor cursor;
    bool is_json;
    uint32_t count; /* that are left */
};

struct rc_adapter_broadcast {
    struct rc_span uid;                /* of the server that sent it */
    struct rc_span nsp;                /* "/" when it says none */
    uint64_t type;                     /* of the packet */
    struct rc_span data;               /* the event's name and its arguments: msgpack, or */
    bool is_json;                      /* JSON, in which placeholders stand for */
    const struct rc_span *attachments; /* borrowed */
    uint32_t attachment_count;
    struct rc_adapter_rooms rooms;
    struct rc_adapter_rooms except;
    uint32_t timeout_ms; /* flags.timeout: how long acknowledgements are waited for; 0 = it says none */
    bool is_volatile;    /* of its flags; the others are the sender's business, or its client's */
};

/* Views of a message; they live as long as it does. */
int rc_adapter_broadcast_read(struct rc_adapter_broadcast *broadcast, struct rc_span message);
/* The same of a packet and its options that stand elsewhere; the uid stays empty. */
int rc_adapter_parts_read(struct rc_adapter_broadcast *broadcast, struct rc_span packet, struct rc_span options);

/* The value of "rooms" or "except" in JSON: an array, or an empty span for nothing (null), as a server's `new Set(value)` has it. -EINVAL: what
 * is neither names nobody, and must not become everybody. */
int rc_adapter_rooms_take(const struct rc_json_value *value, struct rc_span *array);
/* Rooms in JSON that has been looked at; an empty span is none. */
struct rc_adapter_rooms rc_adapter_rooms_of(struct rc_span array);
/* Takes the next room. 1; 0 at the end; a room that no client of ours can be in (too long, control characters, no text) is passed over. A
 * number is its text. What does not stand in the message as it is, is written to `scratch`. */
#define RC_ADAPTER_SCRATCH_BYTES 256u
_Static_assert(RC_ADAPTER_SCRATCH_BYTES >= RC_CHANNEL_NAME_MAX && RC_ADAPTER_SCRATCH_BYTES >= RC_EVENT_NAME_MAX,
               "any name fits");
int rc_adapter_room_next(struct rc_adapter_rooms *rooms, char scratch[RC_ADAPTER_SCRATCH_BYTES], struct rc_span *room);

/* An event as a record has it: arguments laid out as common/records/args.h says. */
struct rc_adapter_event {
    struct rc_span name;
    struct rc_span data;
    char scratch[RC_ADAPTER_SCRATCH_BYTES];
};

/* Bytes of a buffer in which the event of a message of `message_bytes` surely fits, unless it has more than `data_bytes_max` of text
 * and attachments. */
size_t rc_adapter_event_room(size_t message_bytes, size_t data_bytes_max);
/* Lays the event of a broadcast out in `buffer`, in which nothing of the broadcast lies. -EMSGSIZE: it does not fit; -EBADMSG also when it
 * has no name, or one that is kept for the library. */
int rc_adapter_event_read(struct rc_adapter_event *event, const struct rc_adapter_broadcast *broadcast, uint8_t *buffer,
                          size_t room);
/* Takes the event's name off [name, ...args], which is valid JSON: the name decoded into `out`, and the arguments as a JSON array, written to
 * `args`, which has data.count bytes. -EINVAL: it has none, or one that is kept for the library. */
int rc_adapter_event_split(struct rc_span data, uint8_t out[RC_EVENT_NAME_MAX], struct rc_span *name, uint8_t *args,
                           struct rc_span *arguments);

/* What a broadcast of ours says. */
struct rc_adapter_message {
    struct rc_span uid;
    struct rc_span nsp;
    struct rc_span room;   /* empty: everybody, or */
    struct rc_span rooms;  /* names of channels, each ended by a NUL, whose members get it */
    struct rc_span event;  /* its name */
    struct rc_span except; /* names of channels likewise, whose members do not get it */
    struct rc_span id;     /* of those whose clients are to answer: by which their servers answer. Else empty */
    const struct rc_envelope_view *view;
};

/* Takes the room of the first channel off such names, which begin as the message's. False: there are no more. */
bool rc_adapter_name_next(struct rc_span *names, struct rc_span *room);

/* Bytes of a buffer in which it surely fits. */
size_t rc_adapter_message_room(const struct rc_adapter_message *message);
/* Writes it. An empty span: its data is not what its flags say. */
struct rc_span rc_adapter_message_write(const struct rc_adapter_message *message, uint8_t *buffer, size_t room);
/* The same of one whose clients are to answer: {type: 7, uid, requestId, packet, opts}, as servers ask one another (adapter_request.h). */
struct rc_span rc_adapter_ask_write(const struct rc_adapter_message *message, uint8_t *buffer, size_t room);

/* What a client answers to a broadcast of which acknowledgements are wanted: {type: 9, requestId, packet: its first argument}. */
struct rc_adapter_ack {
    struct rc_span uid; /* of who says it, and */
    struct rc_span nsp; /* where: cluster_wire.h has them */
    struct rc_span id;
    struct rc_args_view args; /* without arguments there is no packet in it, as notepack leaves undefined out */
};

#define RC_ADAPTER_BROADCAST_ASK 7u
#define RC_ADAPTER_BROADCAST_ACK 9u
/* Bytes of a buffer in which it fits, unless it names an attachment more than once. */
size_t rc_adapter_ack_room(const struct rc_adapter_ack *answer);
/* Writes it. An empty span: it does not fit, or its arguments are none. */
struct rc_span rc_adapter_ack_write(const struct rc_adapter_ack *answer, uint8_t *buffer, size_t room);

#endif
