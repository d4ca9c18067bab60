/*
 * Replies of backends: whatever they say, what is taken of it is within its bounds, and can be walked as its readers do.
 *
 * Input: a byte that says of which call, then the reply.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/backend/call.h"

static struct rc_reply reply;

static void walk_rooms(const struct rc_json_value *of)
{
    uint8_t scratch[RC_CHANNEL_NAME_MAX];
    struct rc_reply_rooms rooms;
    struct rc_span room;
    rc_reply_rooms_begin(&rooms, of);
    while (rc_reply_rooms_next(&rooms, scratch, &room)) {
        RC_ASSERT(room.count > 0 && room.count <= RC_CHANNEL_NAME_MAX && rc_json_utf8_valid(room));
    }
}

static void walk(void)
{
    uint8_t scratch[RC_REPLY_MESSAGE_MAX];
    RC_ASSERT(reply.count <= RC_REPLY_OPERATIONS_MAX);
    for (uint32_t i = 0; i < reply.count; i++) {
        const struct rc_reply_operation *operation = &reply.operations[i];
        struct rc_span spans[RC_CONFIG_ATTACHMENTS_MAX];
        uint8_t *out = malloc(operation->attachments.count + 1);
        RC_ASSERT(out != NULL);
        const uint32_t count = rc_reply_attachments(operation->attachments, out, spans, RC_CONFIG_ATTACHMENTS_MAX);
        for (uint32_t n = 0; n < count; n++) {
            RC_ASSERT(spans[n].count <= operation->attachments.count);
        }
        free(out);
        walk_rooms(&operation->to);
        walk_rooms(&operation->except);
        if (operation->name.type != RC_JSON_NONE) {
            RC_ASSERT(rc_reply_text(&operation->name, scratch, sizeof(scratch)).count > 0);
        }
        if (operation->type == RC_REPLY_ACK || (operation->type == RC_REPLY_EMIT && operation->value.count > 0)) {
            RC_ASSERT(operation->value.bytes[0] == '[');
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct rc_err err;
    if (bytes < 1 || bytes > 16384) {
        return 0;
    }
    uint8_t *copy = malloc(bytes);
    RC_ASSERT(copy != NULL);
    memcpy(copy, data, bytes);
    const struct rc_backend_answer answer = {.outcome = RC_BACKEND_ANSWERED,
                                             .status = (data[0] & 4) != 0 ? 403 : 200,
                                             .body = rc_span_of(copy + 1, bytes - 1),
                                             .why = ""};
    if ((data[0] & 3) == 0) {
        struct rc_reply_aim aim;
        RC_ASSERT(((data[0] & 8) != 0 ? rc_reply_read_aimed(&reply, &aim, answer.body, &err)
                                      : rc_reply_read(&reply, answer.body, &err)) == 0 ||
                  reply.count == 0);
    } else if ((data[0] & 3) == 1) {
        struct rc_backend_connect_reply connect;
        rc_backend_connect_reply_read(&connect, &reply, &answer);
        RC_ASSERT(connect.verdict == RC_BACKEND_ACCEPTED || reply.count == 0);
        RC_ASSERT(connect.message.count <= RC_BACKEND_MESSAGE_MAX);
    } else if ((data[0] & 3) == 2) {
        struct rc_backend_connect_reply refreshed;
        reply.count = 0;
        rc_backend_refresh_reply_read(&refreshed, &answer);
        RC_ASSERT(refreshed.verdict != RC_BACKEND_ACCEPTED || refreshed.expired ||
                  refreshed.expire_at_s <= UINT64_MAX / 1000u);
    } else {
        struct rc_backend_allow_reply allow;
        rc_backend_allow_reply_read(&allow, &reply, &answer);
    }
    walk();
    free(copy);
    return 0;
}
