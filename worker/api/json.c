/* api_json: members of the bodies of API calls. See api.h. */
#include "worker/api/api.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/records/channel_name.h"
#include "common/text/base64.h"

static const char *const member_names[RC_API_MEMBER_COUNT] = {
    [RC_API_CHANNEL] = "channel",
    [RC_API_CHANNELS] = "channels",
    [RC_API_MESSAGES] = "messages",
    [RC_API_DATA] = "data",
    [RC_API_DATA_BASE64] = "data_base64",
    [RC_API_EXCLUDE] = "exclude",
    [RC_API_CLIENT] = "client",
    [RC_API_USER] = "user",
    [RC_API_CODE] = "code",
    [RC_API_REASON] = "reason",
    [RC_API_IDEMPOTENCY_KEY] = "idempotency_key",
    [RC_API_KEY] = "key",
    [RC_API_EVENT] = "event",
    [RC_API_ARGS] = "args",
    [RC_API_JTI] = "jti",
    [RC_API_ISSUED_BEFORE] = "issued_before",
    [RC_API_TTL] = "ttl",
    [RC_API_RETAIN] = "retain",
};

static int json_fault(struct rc_api_fault *fault, int error, size_t offset)
{
    switch (error) {
    case -EILSEQ:
        return rc_api_fault(fault, 400, "the body is not UTF-8 at byte %zu", offset);
    case -EOVERFLOW:
        return rc_api_fault(fault, 400, "the body has more than %d arrays and objects inside each other",
                            RC_JSON_DEPTH_MAX);
    default:
        return rc_api_fault(fault, 400, "the body is not a JSON object (byte %zu)", offset);
    }
}

int rc_api_members(struct rc_span object, uint32_t flags, struct rc_json_value members[RC_API_MEMBER_COUNT],
                   struct rc_api_fault *fault)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    memset(members, 0, RC_API_MEMBER_COUNT * sizeof(*members));
    int got = rc_json_object_begin(&cursor, object, flags);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        for (uint32_t i = 0; i < RC_API_MEMBER_COUNT; i++) {
            if (!rc_json_string_is(&name, rc_span_text(member_names[i]))) {
                continue;
            }
            if (members[i].type != RC_JSON_NONE) {
                return rc_api_fault(fault, 400, "%s is there twice", member_names[i]);
            }
            members[i] = value;
        }
    }
    return got < 0 ? json_fault(fault, got, rc_json_offset(&cursor)) : 0;
}

int rc_api_body_members(struct rc_api_call *call, struct rc_json_value members[RC_API_MEMBER_COUNT],
                        struct rc_api_fault *fault)
{
    if (call->exchange->byte_count == 0) {
        return rc_api_fault(fault, 400, "there is no body: send a JSON object");
    }
    if (rc_api_arena(call, fault) < 0 || rc_api_members(rc_span_of(call->exchange->bytes, call->exchange->byte_count),
                                                        RC_JSON_CHECK_UTF8, members, fault) < 0) {
        return -EINVAL;
    }
    const struct rc_json_value *key = &members[RC_API_IDEMPOTENCY_KEY];
    if (key->type == RC_JSON_NONE) {
        return 0;
    }
    struct rc_span text;
    if (rc_api_string(call, key, "idempotency_key", RC_API_KEY_BYTES_MAX, &text, fault) < 0) {
        return -EINVAL;
    }
    if (call->key_bytes != 0 && !rc_span_equal(text, rc_span_of(call->key, call->key_bytes))) {
        return rc_api_fault(fault, 400, "idempotency_key and the header Idempotency-Key differ");
    }
    memcpy(call->key, text.bytes, text.count);
    call->key_bytes = (uint32_t)text.count;
    return 0;
}

int rc_api_string(struct rc_api_call *call, const struct rc_json_value *value, const char *name, size_t bytes_max,
                  struct rc_span *out, struct rc_api_fault *fault)
{
    if (value->type != RC_JSON_STRING) {
        return rc_api_fault(fault, 400, "%s must be a string", name);
    }
    /* Decoding only shortens: what all strings of a body need together is never more than the body. */
    uint8_t *scratch = call->arena + call->arena_used;
    const size_t room = call->arena_size - call->arena_used;
    const int rc = rc_json_string_decode(value, scratch, bytes_max < room ? bytes_max : room, out);
    if (rc == -EMSGSIZE) {
        return rc_api_fault(fault, 400, "%s is longer than %zu bytes", name, bytes_max);
    }
    if (rc < 0) {
        return rc_api_fault(fault, 400, "%s has an escape that stands for no character", name);
    }
    if (out->count == 0) {
        return rc_api_fault(fault, 400, "%s is empty", name);
    }
    if (out->bytes == scratch) {
        call->arena_used += out->count;
    }
    return 0;
}

int rc_api_channel(struct rc_api_call *call, const struct rc_json_value *value, struct rc_span *out,
                   struct rc_api_fault *fault)
{
    const uint32_t bytes_max = call->exchange->exchanges->config->limits.max_channel_name;
    if (value->type == RC_JSON_NONE) {
        return rc_api_fault(fault, 400, "channel is missing");
    }
    if (rc_api_string(call, value, "channel", bytes_max, out, fault) < 0) {
        return -EINVAL;
    }
    if (rc_channel_name_check((const char *)out->bytes, out->count, bytes_max) < 0) {
        return rc_api_fault(fault, 400, "the channel's name has characters that are not allowed");
    }
    return 0;
}

int rc_api_base64(struct rc_api_call *call, const struct rc_json_value *value, struct rc_span *out,
                  struct rc_api_fault *fault)
{
    struct rc_span text;
    if (value->type == RC_JSON_STRING && value->raw.count == 2) {
        *out = rc_span_of("", 0);
        return 0;
    }
    if (rc_api_string(call, value, "data_base64", value->raw.count, &text, fault) < 0) {
        return -EINVAL;
    }
    uint8_t *to = call->arena + call->arena_used;
    const int64_t bytes = text.count > call->arena_size - call->arena_used
                              ? -EINVAL
                              : rc_base64_decode_strict(to, text.bytes, text.count);
    if (bytes < 0) {
        return rc_api_fault(fault, 400, "data_base64 is not base64 (RFC 4648, with padding)");
    }
    call->arena_used += (size_t)bytes;
    *out = rc_span_of(to, (size_t)bytes);
    return 0;
}
