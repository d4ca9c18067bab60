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
#include "common/text/msgpack.h"

#define RC_ADAPTER_EVENT 2u /* type of the packet, with binary arguments too */

/* Rooms of a broadcast, in msgpack. */
struct rc_adapter_rooms {
    struct rc_msgpack_reader reader;
    uint32_t count;
};

struct rc_adapter_broadcast {
    struct rc_span uid;  /* of the server that sent it */
    struct rc_span nsp;  /* "/" when it says none */
    uint64_t type;       /* of the packet */
    struct rc_span data; /* msgpack: the event's name and its arguments */
    struct rc_adapter_rooms rooms;
    struct rc_adapter_rooms except;
    uint32_t timeout_ms; /* flags.timeout: how long acknowledgements are waited for; 0 = it says none */
    bool is_volatile;    /* of its flags; the others are the sender's business, or its client's */
};

/* Views of a message; they live as long as it does. */
int rc_adapter_broadcast_read(struct rc_adapter_broadcast *broadcast, struct rc_span message);
/* The same of a packet and its options that stand elsewhere; the uid stays empty. */
int rc_adapter_parts_read(struct rc_adapter_broadcast *broadcast, struct rc_span packet, struct rc_span options);

/* Takes the next room. 1; 0 at the end; a room that no client of ours can be in (too long, control characters, no text) is passed over. A
 * number is its text, written to `scratch`. */
#define RC_ADAPTER_SCRATCH_BYTES 32u
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
/* Lays an event out in `buffer`. -EMSGSIZE: it does not fit; -EBADMSG also when it has no name, or one that is kept for the library. */
int rc_adapter_event_read(struct rc_adapter_event *event, struct rc_span data, uint8_t *buffer, size_t room);

/* What a broadcast of ours says. */
struct rc_adapter_message {
    struct rc_span uid;
    struct rc_span nsp;
    struct rc_span room;  /* empty: everybody */
    struct rc_span event; /* its name */
    const struct rc_envelope_view *view;
};

/* Bytes of a buffer in which it surely fits. */
size_t rc_adapter_message_room(const struct rc_adapter_message *message);
/* Writes it. An empty span: its data is not what its flags say. */
struct rc_span rc_adapter_message_write(const struct rc_adapter_message *message, uint8_t *buffer, size_t room);

/* What a client answers to a broadcast of which acknowledgements are wanted: {type: 9, requestId, packet: its first argument}. */
struct rc_adapter_answer {
    struct rc_span id;
    struct rc_args_view args; /* without arguments there is no packet in it, as notepack leaves undefined out */
};

#define RC_ADAPTER_BROADCAST_ACK 9u
/* Bytes of a buffer in which it fits, unless it names an attachment more than once. */
size_t rc_adapter_answer_room(const struct rc_adapter_answer *answer);
/* Writes it. An empty span: it does not fit, or its arguments are none. */
struct rc_span rc_adapter_answer_write(const struct rc_adapter_answer *answer, uint8_t *buffer, size_t room);

#endif
