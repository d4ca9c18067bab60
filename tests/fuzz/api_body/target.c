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
    const bool in_body = span.bytes >= call->exchange->bytes &&
                         span.bytes + span.count <= call->exchange->bytes + call->exchange->byte_count;
    const bool in_arena = span.bytes >= call->arena && span.bytes + span.count <= call->arena + call->arena_used;
    RC_ASSERT(span.count == 0 || in_body || in_arena);
}

static void object(struct rc_api_call *call, const struct rc_json_value *members, uint32_t depth)
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
            if (rc_api_channel(call, &members[i], &span, &fault) == 0) {
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
            object(call, inner, 1);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rc_exchanges exchanges = {.config = &config, .metrics = &metrics};
    struct rc_exchange exchange = {
        .exchanges = &exchanges, .bytes = malloc(size + 1), .byte_count = size, .byte_capacity = size + 1};
    struct rc_api_call call = {.exchange = &exchange};
    struct rc_json_value members[RC_API_MEMBER_COUNT];
    struct rc_api_fault fault;
    config.limits.max_channel_name = RC_CHANNEL_NAME_MAX;
    config.limits.worker_log_bytes = 1u << 30;
    exchanges.bytes = exchange.byte_capacity;
    RC_ASSERT(exchange.bytes != NULL);
    if (size > 0) {
        memcpy(exchange.bytes, data, size);
    }
    if (rc_api_body_members(&call, members, &fault) == 0) {
        RC_ASSERT(call.key_bytes <= RC_API_KEY_BYTES_MAX);
        object(&call, members, 0);
    }
    rc_api_release_body(&call);
    RC_ASSERT(exchanges.bytes == 0);
    return 0;
}
