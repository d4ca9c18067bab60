/*
 * native_delta: the native protocol of groups whose members get deltas: messages that have versions; all else as in native.c.
 *
 * In the JSON form data comes as a string that holds its text, since a delta is against the very bytes.
 */
#include "worker/proto/native.h"

#include <string.h>

#include "common/text/decimal.h"
#include "common/text/json_scan.h"
#include "worker/proto/native_content.h"

static bool has_version(const struct rc_event *event)
{
    return event->type == RC_EVENT_MESSAGE && event->delta != NULL;
}

static uint8_t *version_put(uint8_t *out, struct rc_span bytes)
{
    if (bytes.count > 0) {
        memcpy(out, bytes.bytes, bytes.count);
    }
    return out + bytes.count;
}

static uint8_t *version_put_string(uint8_t *out, struct rc_span text)
{
    return out + rc_json_string_encode(out, RC_JSON_STRING_BYTES_MAX(text.count), text);
}

/* Quotes included. A message's data is long, and little of it is to be escaped. */
static size_t string_bytes(struct rc_span text)
{
    size_t bytes = 2 + text.count;
    for (size_t i = 0; i < text.count; i++) {
        const uint8_t byte = text.bytes[i];
        bytes += byte < 0x20 ? 5 : byte == '"' || byte == '\\' ? 1 : 0;
    }
    return bytes;
}

static struct rc_span version_content(const struct rc_event *event)
{
    return event->delta->bytes.count != 0 ? event->delta->bytes : event->data;
}

static size_t version_bytes_max(enum rc_native_form form, const struct rc_event *event)
{
    if (!has_version(event)) {
        return rc_native_event_bytes_max(form, event);
    }
    if (rc_native_event_form(form, event) == RC_NATIVE_BINARY) {
        return rc_native_binary_version_bytes_max(event);
    }
    return rc_native_delivery_head_bytes_max(event) + RC_SPAN(",\"version\":,\"key\":,\"event\":,\"delta\":}").count +
           RC_DECIMAL_BYTES_MAX + RC_JSON_STRING_BYTES_MAX(event->delta->key.count) +
           RC_JSON_STRING_BYTES_MAX(event->event.count) + string_bytes(version_content(event));
}

static size_t version_encode(const struct rc_event *event, uint8_t *begin)
{
    const struct rc_event_delta *delta = event->delta;
    const bool whole = delta->bytes.count == 0;
    const struct rc_span content = version_content(event);
    uint8_t *out = rc_native_delivery_head_put(begin, event);
    out = version_put(out, whole ? RC_SPAN(",\"version\":") : RC_SPAN(",\"base\":"));
    out = (uint8_t *)rc_decimal_write((char *)out, whole ? delta->version : delta->base);
    if (delta->key.count > 0) {
        out = version_put_string(version_put(out, RC_SPAN(",\"key\":")), delta->key);
    }
    if (event->event.count > 0) {
        out = version_put_string(version_put(out, RC_SPAN(",\"event\":")), event->event);
    }
    out = version_put(out, whole ? RC_SPAN(",\"full\":") : RC_SPAN(",\"delta\":"));
    out += rc_json_string_encode(out, string_bytes(content), content);
    return (size_t)(version_put(out, RC_SPAN("}")) - begin);
}

static void version_part(enum rc_native_form form, const struct rc_event *event, struct rc_unit *unit)
{
    uint8_t *out = rc_unit_part(unit, unit->payload_bytes_max);
    const bool binary = rc_native_event_form(form, event) == RC_NATIVE_BINARY;
    const size_t bytes = !has_version(event) ? rc_native_event_encode(form, event, out)
                         : binary            ? rc_native_binary_version_encode(event, out)
                                             : version_encode(event, out);
    rc_unit_part_end(unit, binary ? RC_PART_BINARY : RC_PART_TEXT, bytes);
}

static size_t json_delta_bytes_max(const struct rc_event *event, uint32_t *parts)
{
    *parts = 1;
    return version_bytes_max(RC_NATIVE_JSON, event);
}

static void json_delta_encode(const struct rc_event *event, struct rc_unit *unit)
{
    version_part(RC_NATIVE_JSON, event, unit);
}

static size_t binary_delta_bytes_max(const struct rc_event *event, uint32_t *parts)
{
    *parts = 1;
    return version_bytes_max(RC_NATIVE_BINARY, event);
}

static void binary_delta_encode(const struct rc_event *event, struct rc_unit *unit)
{
    version_part(RC_NATIVE_BINARY, event, unit);
}

const struct rc_codec rc_codec_json_delta = {
    .name = "json-delta",
    .events = RC_NATIVE_EVENTS,
    .hears_channels = true,
    .decode = rc_native_decode,
    .room_bytes_max = rc_native_room_bytes_max,
    .event_bytes_max = json_delta_bytes_max,
    .encode = json_delta_encode,
    .heartbeat = rc_codec_websocket_ping,
    .goodbye = rc_native_goodbye,
};

const struct rc_codec rc_codec_binary_delta = {
    .name = "binary-delta",
    .events = RC_NATIVE_EVENTS,
    .hears_channels = true,
    .decode = rc_native_decode,
    .room_bytes_max = rc_native_room_bytes_max,
    .event_bytes_max = binary_delta_bytes_max,
    .encode = binary_delta_encode,
    .heartbeat = rc_codec_websocket_ping,
    .goodbye = rc_native_goodbye,
};
