/*
 * native: ringcast's own client protocol, docs/protocol.md: JSON text form here (native_read.c, native.c), compact
 * binary form in native_binary.
 *
 * A connection has one form in which it is answered (by the subprotocol it asked for), and may send operations in
 * either: text parts are JSON, binary parts are binary. Events with binary data always leave in the binary form,
 * since JSON has no place for bytes. This file chooses; callers need not.
 *
 * Pure code: no allocation, no input or output, no state beyond the reader. Only a worker calls it. Decoding fails
 * with an error to answer, encoding cannot fail.
 */
#ifndef RC_WORKER_PROTO_NATIVE_H
#define RC_WORKER_PROTO_NATIVE_H

#include "common/base/span.h"
#include "common/records/channel_name.h"
#include "worker/proto/codec.h"
#include "worker/proto/native_binary.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RC_NATIVE_SUBPROTOCOL "ringcast.v1"
#define RC_NATIVE_SUBPROTOCOL_BINARY "ringcast.v1.binary"

enum rc_native_form {
    RC_NATIVE_JSON = 0,   /* text frames */
    RC_NATIVE_BINARY = 1, /* binary frames */
    RC_NATIVE_TEXT = 2,   /* JSON of whatever there is: bytes as "data_base64" */
};

/* Is it who comes and goes in a channel, or that something of that was missed? What another process has written of it is looked at. */
static inline bool rc_native_is_presence_event(const struct rc_event *event)
{
    if (!rc_channel_is_presence(event->channel)) {
        return false;
    }
    return event->type == RC_EVENT_GAP ||
           (event->type == RC_EVENT_MESSAGE && event->data_kind == RC_DATA_JSON && event->data.count > 2 &&
            event->data.bytes[0] == '{' && event->data.bytes[event->data.count - 1] == '}' &&
            (rc_span_equal(event->event, RC_SPAN("presence_state")) ||
             rc_span_equal(event->event, RC_SPAN("presence_diff"))));
}

/* The form in which an event leaves on a connection of `form`, JSON or BINARY: RC_NATIVE_BINARY for binary data where that may be, JSON for
 * histories and presence events, else `form`. It decides the WebSocket opcode. */
static inline enum rc_native_form rc_native_event_form(enum rc_native_form form, const struct rc_event *event)
{
    bool has_data = event->type == RC_EVENT_MESSAGE || event->type == RC_EVENT_DIRECT;

    return event->type == RC_EVENT_HISTORY || form == RC_NATIVE_TEXT || rc_native_is_presence_event(event)
               ? RC_NATIVE_JSON
           : has_data && event->data_kind == RC_DATA_BINARY ? RC_NATIVE_BINARY
                                                            : form;
}

/* rc_codec.decode of both forms: text parts are read here (native_read.c), binary ones by native_binary.h. */
int rc_native_decode(struct rc_reader *reader, struct rc_operation *operation, struct rc_operation_error *error);

/* Upper bound of the event's size in bytes, to reserve; close, and exact for messages whose channel_json is given. */
size_t rc_native_event_bytes_max(enum rc_native_form form, const struct rc_event *event);

/* Writes the event's WebSocket payload, without frame header, to `out`, which has room for
 * rc_native_event_bytes_max(form, event) bytes. Returns the size written. The form used is
 * rc_native_event_form(form, event). */
size_t rc_native_event_encode(enum rc_native_form form, const struct rc_event *event, uint8_t *out);

/* How a delivery begins in the JSON form: all but its content and the closing brace. */
size_t rc_native_delivery_head_bytes_max(const struct rc_event *event);
uint8_t *rc_native_delivery_head_put(uint8_t *out, const struct rc_event *event);

/* What the native protocol has words for. */
#define RC_NATIVE_EVENTS (RC_EVENT_BIT(RC_EVENT_ECHO) - 1u)

/* rc_codec.goodbye: {"reconnect_ms":1234}. */
size_t rc_native_goodbye(uint8_t out[RC_GOODBYE_BYTES_MAX], uint32_t reconnect_ms);

#endif
