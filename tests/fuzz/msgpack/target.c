/*
 * msgpack: any bytes, as msgpack and as JSON text. What the reader takes stays inside; what can be converted fits the bounds that the
 * header names, is JSON, and survives being converted back and forth.
 */
#include "common/base/check.h"
#include "common/text/json_scan.h"
#include "common/text/msgpack_json.h"

#include <errno.h>
#include <stdlib.h>

#define ATTACHMENTS_MAX 16u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* JSON text to msgpack; NULL when it cannot be converted. */
static uint8_t *to_msgpack(struct rc_span json, const struct rc_span *attachments, uint32_t count, size_t *bytes)
{
    size_t attachment_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        attachment_bytes += attachments[i].count;
    }
    const size_t room = RC_JSON_MSGPACK_BYTES_MAX(json.count, attachment_bytes, count);
    uint8_t *out = malloc(room);
    RC_ASSERT(out != NULL);
    struct rc_msgpack_writer writer = rc_msgpack_writer_of(out, room);
    if (rc_json_to_msgpack(&writer, json, attachments, count) < 0) {
        free(out);
        return NULL;
    }
    RC_ASSERT(!writer.full);
    *bytes = writer.count;
    return out;
}

/* One value of msgpack to JSON text; NULL when it cannot be converted. */
static uint8_t *to_json(struct rc_span msgpack, struct rc_msgpack_json *json)
{
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(msgpack);
    json->room = RC_MSGPACK_JSON_BYTES_MAX(msgpack.count, json->attachment_max);
    json->text = malloc(json->room);
    RC_ASSERT(json->text != NULL);
    const int rc = rc_msgpack_to_json(&reader, json);
    RC_ASSERT(rc != -EMSGSIZE && reader.at <= reader.end);
    if (rc < 0) {
        free(json->text);
        json->text = NULL;
    }
    return json->text;
}

/* What was made of JSON stays the same. (The first time numbers beyond 2^53 may change their digits, not their value.) */
static void same_again(struct rc_span msgpack, uint32_t attachment_count)
{
    struct rc_span attachments[ATTACHMENTS_MAX];
    struct rc_msgpack_json json = {.attachments = attachments, .attachment_max = ATTACHMENTS_MAX};
    size_t bytes = 0;
    uint8_t *text = to_json(msgpack, &json);
    RC_ASSERT(text != NULL && json.attachment_count == attachment_count);
    uint8_t *again = to_msgpack(rc_span_of(text, json.count), attachments, attachment_count, &bytes);
    RC_ASSERT(again != NULL && rc_span_equal(rc_span_of(again, bytes), msgpack));
    free(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct rc_span input = rc_span_of(data, size);
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(input);
    struct rc_span raw;
    const int skipped = rc_msgpack_skip(&reader, &raw);
    RC_ASSERT(skipped < 0 ? reader.at == data : raw.bytes == data && raw.count <= size);

    struct rc_span attachments[ATTACHMENTS_MAX];
    struct rc_msgpack_json json = {.attachments = attachments, .attachment_max = ATTACHMENTS_MAX};
    uint8_t *text = to_json(input, &json);
    RC_ASSERT(text == NULL || skipped == 0);
    if (text != NULL) {
        struct rc_json_value value;
        size_t bytes = 0;
        RC_ASSERT(rc_json_scan(rc_span_of(text, json.count), RC_JSON_CHECK_UTF8, &value, NULL) == 0);
        uint8_t *again = to_msgpack(value.raw, attachments, json.attachment_count, &bytes);
        /* A map of the sender's that says that it is a placeholder may name an attachment that is not there, or name one twice. */
        if (again != NULL && memmem(data, size, "_placeholder", 12) == NULL) {
            same_again(rc_span_of(again, bytes), json.attachment_count);
        }
        RC_ASSERT(again != NULL || memmem(data, size, "_placeholder", 12) != NULL);
        free(again);
        free(text);
    }

    struct rc_json_value value;
    size_t bytes = 0;
    const int scanned = rc_json_scan(input, 0, &value, NULL);
    uint8_t *msgpack = to_msgpack(input, NULL, 0, &bytes);
    RC_ASSERT((msgpack != NULL) == (scanned == 0) || size > 1024); /* a bare number can be too long */
    free(msgpack);
    return 0;
}
