/*
 * native_codec: the client's side of the native protocol, for tests: writes operations in either form, reads events
 * in the binary form, compares operations. Written from docs/protocol.md, not from the codec under test.
 *
 * The caller owns every buffer; spans read point into the bytes given. Nothing allocates.
 */
#ifndef RC_TESTS_SUPPORT_NATIVE_CODEC_H
#define RC_TESTS_SUPPORT_NATIVE_CODEC_H

#include "worker/proto/operation.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room that is enough for any operation, beside its data. */
#define RC_TEST_OPERATION_ROOM 65536

/* Write one operation (a JSON object; the binary form without batch length). Return the size. `data` is taken as it is:
 * the JSON form needs data_kind RC_DATA_JSON, or RC_DATA_ARGS without attachments. */
size_t rc_test_operation_json(const struct rc_operation *operation, uint8_t *out);
size_t rc_test_operation_binary(const struct rc_operation *operation, uint8_t *out);

bool rc_test_operation_equal(const struct rc_operation *a, const struct rc_operation *b);

/* Reads one event in the binary form. `id` holds the id as written, without a JSON token's quotes added; `*welcome` is
 * filled in for a welcome. False when the bytes are not exactly one event. */
struct rc_test_event {
    unsigned type; /* enum rc_native_binary_type */
    unsigned flags;
    uint64_t id_number;
    struct rc_span id;
    uint64_t code;
    uint64_t version;
    struct rc_span reason;
    struct rc_span channel;
    struct rc_span from;
    struct rc_span event;
    uint64_t attachments; /* how many stood before the arguments */
    struct rc_span rest;  /* data, arguments or message */
    uint64_t offset;      /* message */
    struct rc_span epoch;
    uint64_t clients; /* presence, as the two after it */
    uint64_t users;
    uint64_t members;
    struct rc_welcome welcome;
};
bool rc_test_event_read(struct rc_span bytes, struct rc_test_event *event);

#endif
