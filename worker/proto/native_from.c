/*
 * native_from: see native_from.h.
 */
#include "worker/proto/native_from.h"

#include "worker/proto/native_content.h"

#include <string.h>

static int offset_take(const struct rc_json_value *value, const char *name, struct rc_operation *operation,
                       struct rc_operation_error *error)
{
    return rc_json_uint64(value, &operation->since) < 0 || operation->since > RC_OFFSET_MAX
               ? rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s must be a whole number", name)
               : 0;
}

/* History: an offset. Subscribe: "last 5". */
int rc_native_since_take(const struct rc_json_value *value, struct rc_operation *operation,
                         struct rc_operation_error *error)
{
    const struct rc_span text = value->raw;
    const size_t before = RC_SPAN("\"last ").count;
    struct rc_json_value number = {.type = RC_JSON_NUMBER};
    uint64_t count;

    if (operation->type != RC_OPERATION_SUBSCRIBE) {
        operation->has_since = true;
        return offset_take(value, "since", operation, error);
    }
    if (value->type == RC_JSON_STRING && text.count > before + 1 && memcmp(text.bytes, "\"last ", before) == 0) {
        number.raw = rc_span_of(text.bytes + before, text.count - before - 1);
        if (number.raw.bytes[0] >= '1' && number.raw.bytes[0] <= '9' && rc_json_uint64(&number, &count) == 0 &&
            count <= UINT32_MAX) {
            operation->limit = (uint32_t)count;
            return 0;
        }
    }
    return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "since must be \"last N\", N from 1 to %u; offsets: recover",
                             UINT32_MAX);
}

/* {"epoch":"5f","offset":7,"client":"web1~x"}: the first two must be there. */
int rc_native_recover_take(struct rc_reader *reader, const struct rc_json_value *value, struct rc_operation *operation,
                           struct rc_operation_error *error)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name, member;
    struct rc_json_value epoch = {.type = RC_JSON_NONE}, offset = epoch, client = epoch;
    bool twice = false;
    int failed;

    if (value->type != RC_JSON_OBJECT) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "recover must be an object with epoch and offset");
    }
    (void)rc_json_object_begin(&cursor, value->raw, 0); /* the value has been scanned: neither call can fail */
    while (rc_json_object_next(&cursor, &name, &member) == 1) {
        struct rc_json_value *its = rc_json_string_is(&name, RC_SPAN("epoch"))    ? &epoch
                                    : rc_json_string_is(&name, RC_SPAN("offset")) ? &offset
                                    : rc_json_string_is(&name, RC_SPAN("client")) ? &client
                                                                                  : NULL;
        if (its != NULL) {
            twice |= its->type != RC_JSON_NONE;
            *its = member;
        }
    }
    if (twice) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "recover has a member twice");
    }
    operation->recovers = true;
    failed = rc_native_string_take(reader, &epoch, "recover.epoch", RC_EPOCH_BYTES_MAX, &operation->epoch, error);
    if (failed == 0) {
        failed = offset_take(&offset, "recover.offset", operation, error);
    }
    if (failed == 0 && client.type != RC_JSON_NONE) {
        failed =
            rc_native_string_take(reader, &client, "recover.client", RC_CLIENT_ID_BYTES_MAX, &operation->former, error);
    }
    return failed;
}
