/* emit_wire: see emit_wire.h. */
#include "relay/bridge/emit_wire.h"

#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/config/values.h"
#include "common/records/emit.h"
#include "common/text/json_scan.h"
#include "relay/bridge/foreign.h"

#define VERSION 0x01u
#define FLAG_VOLATILE 0x01u

/* --- reading --------------------------------------------------------------------------------------------------------- */

/* A text that a name may be: of at least one byte, without control characters. */
static bool emit_is_name(struct rc_span text, size_t most)
{
    for (size_t i = 0; i < text.count; i++) {
        if (text.bytes[i] < 0x20 || text.bytes[i] == 0x7f) {
            return false;
        }
    }
    return text.count > 0 && text.count <= most && rc_json_utf8_valid(text);
}

/* Each is ended by a NUL, as workers take them off. */
static bool emit_are_names(struct rc_span names)
{
    return names.count <= RC_EXCLUDE_TEXT_MAX && (names.count == 0 || names.bytes[names.count - 1] == '\0') &&
           rc_json_utf8_valid(names);
}

static bool emit_attachments(struct rc_span *rest, struct rc_args_view *args)
{
    uint64_t bytes = 0;
    uint64_t count;
    uint64_t size;
    if (!rc_bytes_take_be(rest, 2, &count) || count > RC_ARGS_ATTACHMENTS_MAX ||
        !rc_bytes_take(rest, count * sizeof(uint32_t), &args->sizes)) {
        return false;
    }
    args->attachment_count = (uint32_t)count;
    struct rc_span sizes = args->sizes;
    while (rc_bytes_take_be(&sizes, sizeof(uint32_t), &size)) {
        bytes += size;
    }
    args->attachments = *rest;
    return bytes == rest->count;
}

int rc_emit_message_read(struct rc_emit_message *message, struct rc_span bytes)
{
    struct rc_span rest = bytes;
    struct rc_json_value value;
    uint64_t version;
    uint64_t flags;
    uint64_t timeout_ms;
    *message = (struct rc_emit_message){.is_volatile = false};
    if (!rc_bytes_take_be(&rest, 1, &version) || version != VERSION || !rc_bytes_take_be(&rest, 1, &flags) ||
        flags > FLAG_VOLATILE || !rc_bytes_take_be(&rest, 4, &timeout_ms) ||
        !rc_bytes_take_counted(&rest, 1, &message->from) || !rc_bytes_take_counted(&rest, 1, &message->nsp) ||
        !rc_bytes_take_counted(&rest, 1, &message->event) || !rc_bytes_take_counted(&rest, 2, &message->asker) ||
        !rc_bytes_take_counted(&rest, 4, &message->names) || !rc_bytes_take_counted(&rest, 4, &message->args.json) ||
        !emit_attachments(&rest, &message->args)) {
        return -EBADMSG;
    }
    message->is_volatile = flags == FLAG_VOLATILE;
    message->timeout_ms = (uint32_t)timeout_ms;
    if (!rc_foreign_is_instance(message->from) || !emit_is_name(message->nsp, RC_NSP_MAX) ||
        message->nsp.bytes[0] != '/' || message->event.count == 0 || !rc_json_utf8_valid(message->event) ||
        message->asker.count > RC_EMIT_ASKER_MAX || !emit_are_names(message->names)) {
        return -EBADMSG;
    }
    size_t end;
    const int rc = rc_json_scan(message->args.json, RC_JSON_CHECK_UTF8, &value, &end);
    return rc < 0 ? rc : value.type == RC_JSON_ARRAY ? 0 : -EBADMSG;
}

size_t rc_emit_message_args_bytes(const struct rc_emit_message *message)
{
    return rc_args_bytes(message->args.json.count, message->args.attachment_count, NULL) +
           message->args.attachments.count;
}

void rc_emit_message_args(const struct rc_emit_message *message, uint8_t *out)
{
    const struct rc_args_view *args = &message->args;
    struct rc_span sizes = args->sizes;
    uint64_t size;
    uint8_t *at = rc_args_put_head(out, args->json.count, args->attachment_count) + sizeof(struct rc_args_head);
    while (rc_bytes_take_be(&sizes, sizeof(uint32_t), &size)) {
        const uint32_t word = (uint32_t)size;
        memcpy(at, &word, sizeof(word));
        at += sizeof(word);
    }
    memcpy(at, args->json.bytes, args->json.count);
    if (args->attachments.count > 0) {
        memcpy(at + args->json.count, args->attachments.bytes, args->attachments.count);
    }
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

size_t rc_emit_message_bytes(const struct rc_emit_message *message)
{
    RC_ASSERT(message->from.count <= UINT8_MAX && message->nsp.count <= UINT8_MAX &&
              message->event.count <= UINT8_MAX && message->asker.count <= RC_EMIT_ASKER_MAX);
    return (size_t)1 + 1 + 4 + 1 + message->from.count + 1 + message->nsp.count + 1 + message->event.count + 2 +
           message->asker.count + 4 + message->names.count + 4 + message->args.json.count + 2 +
           message->args.sizes.count + message->args.attachments.count;
}

void rc_emit_message_write(const struct rc_emit_message *message, uint8_t *out)
{
    uint32_t index = 0;
    size_t offset = 0;
    struct rc_span attachment;
    *out++ = VERSION;
    *out++ = message->is_volatile ? FLAG_VOLATILE : 0;
    out = rc_be_put(out, message->timeout_ms, 4);
    out = rc_bytes_put_counted(out, message->from, 1);
    out = rc_bytes_put_counted(out, message->nsp, 1);
    out = rc_bytes_put_counted(out, message->event, 1);
    out = rc_bytes_put_counted(out, message->asker, 2);
    out = rc_bytes_put_counted(out, message->names, 4);
    out = rc_bytes_put_counted(out, message->args.json, 4);
    out = rc_be_put(out, message->args.attachment_count, 2);
    while (rc_args_next(&message->args, &index, &offset, &attachment)) {
        out = rc_be_put(out, attachment.count, 4);
    }
    if (message->args.attachments.count > 0) {
        memcpy(out, message->args.attachments.bytes, message->args.attachments.count);
    }
}
