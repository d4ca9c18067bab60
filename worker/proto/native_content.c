/* native_content: see native_content.h. */
#include "worker/proto/native_content.h"

#include <string.h>

#include "common/base/check.h"
#include "common/config/socketio.h"
#include "common/records/args.h"
#include "common/text/base64.h"
#include "common/text/json_scan.h"

int rc_native_event_check(struct rc_span name, struct rc_operation_error *error)
{
    return rc_config_event_own(name)
               ? rc_operation_fail(error, RC_CODE_BAD_REQUEST, "event is a name of a protocol's own")
               : 0;
}

void rc_native_args_take(struct rc_reader *reader, struct rc_span json, const struct rc_span *attachments,
                         uint32_t attachment_count, struct rc_operation *operation)
{
    size_t bytes = rc_args_bytes(json.count, attachment_count, NULL);

    for (uint32_t i = 0; i < attachment_count; i++) {
        bytes += attachments[i].count;
    }
    RC_ASSERT(reader->room_bytes >= bytes);
    rc_args_write(reader->room, json, attachments, attachment_count);
    operation->data = rc_span_of(reader->room, bytes);
    operation->data_kind = RC_DATA_ARGS;
}

/* Arguments are as long as they are in the message, and laid out. */
size_t rc_native_room_bytes_max(size_t message_bytes)
{
    return RC_ARGS_BEFORE_MAX + message_bytes;
}

/* What the message itself takes: its event, and its data or arguments. */
size_t rc_native_content_bytes_max(const struct rc_event *event)
{
    const size_t name =
        event->event.count == 0 ? 0 : RC_SPAN(",\"event\":").count + RC_JSON_STRING_BYTES_MAX(event->event.count);
    struct rc_args_view view;

    if (event->data_kind == RC_DATA_BINARY) {
        return name + RC_SPAN(",\"data_base64\":\"\"").count + RC_BASE64_BYTES(event->data.count);
    }
    if (event->data_kind != RC_DATA_ARGS) {
        return name + RC_SPAN(",\"data\":").count + event->data.count;
    }
    if (rc_args_read(event->data, &view) < 0) {
        return name + RC_SPAN(",\"args\":[]").count;
    }
    return name + RC_SPAN(",\"args\":,\"attachments\":[]").count + view.json.count + view.attachments.count / 3 * 4 +
           view.attachment_count * RC_SPAN("\"\",====").count + 4;
}

static uint8_t *content_put(uint8_t *out, struct rc_span bytes)
{
    if (bytes.count > 0) {
        memcpy(out, bytes.bytes, bytes.count);
    }
    return out + bytes.count;
}

/* Base64 in place of each attachment. */
static uint8_t *content_put_attachments(uint8_t *out, const struct rc_args_view *view)
{
    struct rc_span attachment;
    uint32_t index = 0;
    size_t offset = 0;

    out = content_put(out, RC_SPAN(",\"attachments\":["));
    while (rc_args_next(view, &index, &offset, &attachment)) {
        out = index > 1 ? content_put(out, RC_SPAN(",\"")) : content_put(out, RC_SPAN("\""));
        out += rc_base64_encode(out, attachment.bytes, attachment.count);
        out = content_put(out, RC_SPAN("\""));
    }
    return content_put(out, RC_SPAN("]"));
}

/* Arguments that are not laid out as such, out of another process's memory, are none. */
static uint8_t *content_put_args(uint8_t *out, struct rc_span data)
{
    struct rc_args_view view;

    if (rc_args_read(data, &view) < 0) {
        return content_put(out, RC_SPAN(",\"args\":[]"));
    }
    out = content_put(content_put(out, RC_SPAN(",\"args\":")), view.json);
    return view.attachment_count > 0 ? content_put_attachments(out, &view) : out;
}

uint8_t *rc_native_content_put(uint8_t *out, const struct rc_event *event)
{
    if (event->event.count > 0) {
        out = content_put(out, RC_SPAN(",\"event\":"));
        out += rc_json_string_encode(out, RC_JSON_STRING_BYTES_MAX(event->event.count), event->event);
    }
    if (event->data_kind == RC_DATA_ARGS) {
        return content_put_args(out, event->data);
    }
    if (event->data_kind == RC_DATA_BINARY) {
        out = content_put(out, RC_SPAN(",\"data_base64\":\""));
        out += rc_base64_encode(out, event->data.bytes, event->data.count);
        return content_put(out, RC_SPAN("\""));
    }
    return content_put(content_put(out, RC_SPAN(",\"data\":")), event->data);
}
