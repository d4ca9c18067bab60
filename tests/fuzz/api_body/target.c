/* Bodies of API calls: members, texts, names, base64. Whatever comes, decoded strings stay inside the arena. */
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/api/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rc_config config;
static struct rc_metrics metrics;

static void inside(const struct rc_api_call *call, struct rc_span span)
{
    const bool in_body = span.bytes >= call->bytes && span.bytes + span.count <= call->bytes + call->byte_count;
    const bool in_arena = span.bytes >= call->arena && span.bytes + span.count <= call->arena + call->arena_used;
    RC_ASSERT(span.count == 0 || in_body || in_arena);
}

static void object(struct rc_api *api, struct rc_api_call *call, const struct rc_json_value *members, uint32_t depth)
{
    struct rc_api_fault fault;
    struct rc_span span;
    for (uint32_t i = 0; i < RC_API_MEMBER_COUNT; i++) {
        if (members[i].type == RC_JSON_NONE) {
            continue;
        }
        const size_t used = call->arena_used;
        if (i == RC_API_DATA_BASE64) {
            if (rc_api_base64(call, &members[i], &span, &fault) == 0) {
                inside(call, span);
            }
        } else if (i == RC_API_CHANNEL) {
            if (rc_api_channel(api, call, &members[i], &span, &fault) == 0) {
                RC_ASSERT(span.count > 0 && span.count <= RC_CHANNEL_NAME_MAX);
                inside(call, span);
            }
        } else if (rc_api_string(call, &members[i], "text", 128, &span, &fault) == 0) {
            RC_ASSERT(span.count > 0 && span.count <= 128);
            inside(call, span);
        }
        RC_ASSERT(call->arena_used >= used && call->arena_used <= call->arena_size);
    }
    struct rc_json_cursor cursor;
    struct rc_json_value element;
    struct rc_json_value inner[RC_API_MEMBER_COUNT];
    if (depth > 0 || members[RC_API_MESSAGES].type != RC_JSON_ARRAY) {
        return;
    }
    int got = rc_json_array_begin(&cursor, members[RC_API_MESSAGES].raw, 0);
    while (got >= 0 && (got = rc_json_array_next(&cursor, &element)) == 1) {
        if (rc_api_members(element.raw, 0, inner, &fault) == 0) {
            object(api, call, inner, 1);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rc_sessions sessions;
    static struct rc_api api;
    config.limits.max_channel_name = RC_CHANNEL_NAME_MAX;
    config.limits.worker_log_bytes = 1u << 30;
    sessions.config = &config;
    sessions.metrics = &metrics;
    api.sessions = &sessions;
    struct rc_api_call call = {.bytes = malloc(size + 1), .byte_count = size};
    struct rc_json_value members[RC_API_MEMBER_COUNT];
    struct rc_api_fault fault;
    RC_ASSERT(call.bytes != NULL);
    if (size > 0) {
        memcpy(call.bytes, data, size);
    }
    if (rc_api_body_members(&api, &call, members, &fault) == 0) {
        RC_ASSERT(call.key_bytes <= RC_API_KEY_BYTES_MAX);
        object(&api, &call, members, 0);
    }
    rc_api_release_body(&api, &call);
    api.bytes = 0;
    return 0;
}
