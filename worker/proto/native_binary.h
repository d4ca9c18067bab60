/*
 * native_binary: the compact binary form of the native client protocol, docs/protocol.md.
 *
 * One WebSocket binary message holds one operation or event: a type byte, a flags byte, then the fields that the type
 * and flags call for, the data last and up to the end. Or it holds a batch of operations, each with its length before
 * it. Numbers and lengths are LEB128, shortest form only.
 *
 * Callers use native.h, which chooses between the forms; only native.c and tests include this. Pure code as there.
 */
#ifndef RC_WORKER_PROTO_NATIVE_BINARY_H
#define RC_WORKER_PROTO_NATIVE_BINARY_H

#include "common/base/span.h"
#include "worker/proto/codec.h"
#include "worker/proto/operation.h"

#include <stddef.h>
#include <stdint.h>

#define RC_NATIVE_VERSION 1 /* of the protocol, in both forms */

enum rc_native_binary_type {
    RC_NATIVE_BINARY_SUBSCRIBE = 0x01, /* client to server; answers have 0x40 set */
    RC_NATIVE_BINARY_UNSUBSCRIBE = 0x02,
    RC_NATIVE_BINARY_PUBLISH = 0x03,
    RC_NATIVE_BINARY_BROADCAST = 0x04,
    RC_NATIVE_BINARY_DIRECT = 0x05,
    RC_NATIVE_BINARY_PRESENCE = 0x06,
    RC_NATIVE_BINARY_HISTORY = 0x07,
    RC_NATIVE_BINARY_PING = 0x08,
    RC_NATIVE_BINARY_AUTH = 0x09,
    RC_NATIVE_BINARY_REFRESH = 0x0a,
    RC_NATIVE_BINARY_RETAIN = 0x0b, /* a publish, and the channel's retained value from now on */
    RC_NATIVE_BINARY_BATCH = 0x0f,

    RC_NATIVE_BINARY_SUBSCRIBED = 0x41,
    RC_NATIVE_BINARY_UNSUBSCRIBED = 0x42,
    RC_NATIVE_BINARY_PUBLISHED = 0x43,
    RC_NATIVE_BINARY_BROADCASTED = 0x44,
    RC_NATIVE_BINARY_SENT = 0x45,
    RC_NATIVE_BINARY_PRESENT = 0x46,
    RC_NATIVE_BINARY_PONG = 0x48,
    RC_NATIVE_BINARY_AUTHENTICATED = 0x49,
    RC_NATIVE_BINARY_REFRESHED = 0x4a,
    RC_NATIVE_BINARY_WELCOME = 0x50,
    RC_NATIVE_BINARY_ERROR = 0x51,

    RC_NATIVE_BINARY_MESSAGE = 0x81,
    RC_NATIVE_BINARY_DIRECTED = 0x82,
    RC_NATIVE_BINARY_GAP = 0x83,
    RC_NATIVE_BINARY_KEPT = 0x84, /* a message of a channel with history: its offset, then as 0x81 */
};

enum rc_native_binary_flags {
    RC_NATIVE_BINARY_ID_MASK = 0x03, /* both directions: how the id is written */
    RC_NATIVE_BINARY_ID_NONE = 0x00,
    RC_NATIVE_BINARY_ID_NUMBER = 0x01,   /* varint */
    RC_NATIVE_BINARY_ID_STRING = 0x02,   /* length, then UTF-8 without quotation mark, backslash, control characters */
    RC_NATIVE_BINARY_ID_JSON = 0x03,     /* length, then a JSON number or string token: every other id */
    RC_NATIVE_BINARY_DATA_BINARY = 0x04, /* both directions: data is bytes, not JSON text */

    RC_NATIVE_BINARY_NO_ECHO = 0x08, /* operations */
    RC_NATIVE_BINARY_EXCLUDE = 0x10,
    RC_NATIVE_BINARY_LIMIT = 0x20,
    RC_NATIVE_BINARY_KEY = 0x40,
    RC_NATIVE_BINARY_ARGS = 0x20,     /* publish, broadcast, direct */
    RC_NATIVE_BINARY_RETAINED = 0x08, /* subscribe; events: message */
    RC_NATIVE_BINARY_SINCE = 0x08,    /* history */
    RC_NATIVE_BINARY_RECOVER = 0x10,  /* subscribe */
    RC_NATIVE_BINARY_LAST = 0x20,     /* subscribe */
    RC_NATIVE_BINARY_FORMER = 0x40,   /* subscribe, with RECOVER */

    RC_NATIVE_BINARY_EVENT = 0x80, /* both directions: what a message is called */

    RC_NATIVE_BINARY_LOCAL = 0x08,    /* events: subscribed, presence */
    RC_NATIVE_BINARY_MORE = 0x10,     /* presence */
    RC_NATIVE_BINARY_CHANNEL = 0x10,  /* error */
    RC_NATIVE_BINARY_PLACE = 0x10,    /* published, subscribed: epoch and offset are there */
    RC_NATIVE_BINARY_FROM = 0x20,     /* message, direct */
    RC_NATIVE_BINARY_USER = 0x40,     /* welcome */
    RC_NATIVE_BINARY_HAS_ARGS = 0x40, /* message, direct */

    RC_NATIVE_BINARY_RECOVERED = 0x20,     /* subscribed */
    RC_NATIVE_BINARY_NOT_RECOVERED = 0x40, /* subscribed */
    RC_NATIVE_BINARY_BEGINS = 0x10,        /* kept: the epoch is there */
};

/* rc_codec.decode of a binary part. */
int rc_native_binary_next(struct rc_reader *reader, struct rc_operation *operation, struct rc_operation_error *error);

/* As rc_native_event_bytes_max and rc_native_event_encode. */
size_t rc_native_binary_event_bytes_max(const struct rc_event *event);
size_t rc_native_binary_event_encode(const struct rc_event *event, uint8_t *out);

#endif
