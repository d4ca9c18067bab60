/*
 * native: ringcast's own client protocol, docs/protocol.md: JSON text form here, compact binary form in
 * native_binary.
 *
 * A connection has one form in which it is answered (by the subprotocol it asked for), and may send operations in
 * either: text frames are JSON, binary frames are binary. Events with binary data always leave in the binary form,
 * since JSON has no place for bytes. This file chooses; callers need not.
 *
 * Pure code: no allocation, no input or output, no state beyond the reader. Only a worker calls it. Decoding fails
 * with an error to answer, encoding cannot fail.
 */
#ifndef RC_WORKER_PROTO_NATIVE_H
#define RC_WORKER_PROTO_NATIVE_H

#include "common/text/json_scan.h"
#include "common/base/span.h"
#include "worker/proto/operation.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RC_NATIVE_VERSION 1
#define RC_NATIVE_SUBPROTOCOL "ringcast.v1"
#define RC_NATIVE_SUBPROTOCOL_BINARY "ringcast.v1.binary"

enum rc_native_form {
    RC_NATIVE_JSON = 0,   /* text frames */
    RC_NATIVE_BINARY = 1, /* binary frames */
};

/* Reads the operations of one complete message. The caller owns it (on its stack); opaque. */
struct rc_native_reader {
    enum rc_native_form form;
    bool started;                         /* true exactly when the message's outer shape has been checked */
    bool ended;                           /* true exactly when _next has nothing more to say */
    struct rc_span frame;                 /* borrowed: the message */
    struct rc_operation_scratch *scratch; /* borrowed */
    size_t scratch_used;                  /* bytes taken by the operation last given */
    struct rc_json_cursor elements;       /* JSON batch: the array */
    size_t at;                            /* binary batch: offset of the next operation's length */
};

/* Begins to read a message: text (whose UTF-8 has been checked) with RC_NATIVE_JSON, binary with RC_NATIVE_BINARY.
 * `frame` and `scratch` are borrowed until the reader is no longer used. */
void rc_native_begin(struct rc_native_reader *reader, enum rc_native_form form, struct rc_span frame,
                     struct rc_operation_scratch *scratch);

/* The next operation. 1: `*operation` is filled in; 0: the message has ended; -EBADMSG: `*error` is filled in and is
 * to be answered; go on calling, the operations after it are independent. The spans of either live until the next
 * call.
 *
 * A message that is broken as a whole (not JSON, lengths that do not add up, more than RC_BATCH_MAX operations) gives
 * one error and no operation: nothing of a broken message is ever half done. */
int rc_native_next(struct rc_native_reader *reader, struct rc_operation *operation, struct rc_operation_error *error);

/* The form in which an event leaves on a connection of `form`: RC_NATIVE_BINARY for binary data, else `form`. It
 * decides the WebSocket opcode. */
static inline enum rc_native_form rc_native_event_form(enum rc_native_form form, const struct rc_event *event)
{
    bool has_data = event->type == RC_EVENT_MESSAGE || event->type == RC_EVENT_DIRECT;

    return has_data && event->data_kind == RC_DATA_BINARY ? RC_NATIVE_BINARY : form;
}

/* Upper bound of the event's size in bytes, to reserve; close, and exact for messages whose channel_json is given. */
size_t rc_native_event_bytes_max(enum rc_native_form form, const struct rc_event *event);

/* Writes the event's WebSocket payload, without frame header, to `out`, which has room for
 * rc_native_event_bytes_max(form, event) bytes. Returns the size written. The form used is
 * rc_native_event_form(form, event). */
size_t rc_native_event_encode(enum rc_native_form form, const struct rc_event *event, uint8_t *out);

/* The reason text of a close frame with RC_CLOSE_SERVICE_RESTART: {"reconnect_ms":1234}. Returns its size. */
#define RC_NATIVE_RESTART_REASON_BYTES_MAX 32
size_t rc_native_restart_reason(uint8_t out[RC_NATIVE_RESTART_REASON_BYTES_MAX], uint32_t reconnect_ms);

#endif
