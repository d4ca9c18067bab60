/*
 * native_content: what a message of the native protocol says: its event, and its data or arguments. For both forms, see native.h.
 */
#ifndef RC_WORKER_PROTO_NATIVE_CONTENT_H
#define RC_WORKER_PROTO_NATIVE_CONTENT_H

#include <stddef.h>
#include <stdint.h>

#include "worker/proto/codec.h"

/* Is this no name of a message? -EBADMSG. */
int rc_native_event_check(struct rc_span name, struct rc_operation_error *error);
/* rc_codec.room_bytes_max of both forms. */
size_t rc_native_room_bytes_max(size_t message_bytes);
/* Lays arguments out in the reader's room: the operation's data. */
void rc_native_args_take(struct rc_reader *reader, struct rc_span json, const struct rc_span *attachments,
                         uint32_t attachment_count, struct rc_operation *operation);

/* The members of the JSON form, "event" and "data", or "data_base64" of bytes, or "args" and "attachments", each with a comma before it: an upper
 * bound, exact for data without an event; and where they end once written. */
size_t rc_native_content_bytes_max(const struct rc_event *event);
uint8_t *rc_native_content_put(uint8_t *out, const struct rc_event *event);

#endif
