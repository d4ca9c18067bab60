/* native: see native.h. Events in the JSON form, and the choice between the two forms. */
#include "worker/proto/native.h"

#include "common/base/check.h"
#include "common/text/decimal.h"
#include "common/text/hex.h"
#include "worker/proto/native_content.h"
#include "worker/proto/native_binary.h"

#include <assert.h>

/* The longest sum of an event's fixed texts, the code and two numbers. */
#define FIXED_BYTES_MAX 192

static inline uint8_t *native_put(uint8_t *out, struct rc_span bytes)
{
    if (bytes.count != 0) {
        memcpy(out, bytes.bytes, bytes.count);
    }
    return out + bytes.count;
}

#define PUT(out, literal) native_put((out), RC_SPAN(literal))

static uint8_t *put_string(uint8_t *out, struct rc_span text)
{
    return out + rc_json_string_encode(out, RC_JSON_STRING_BYTES_MAX(text.count), text);
}

static uint8_t *put_number(uint8_t *out, uint64_t number)
{
    return (uint8_t *)rc_decimal_write((char *)out, number);
}

static inline uint8_t *put_channel(uint8_t *out, const struct rc_event *event)
{
    if (event->channel_json.count != 0) {
        return native_put(out, event->channel_json);
    }
    return put_string(out, event->channel);
}

static inline size_t channel_bytes_max(const struct rc_event *event)
{
    if (event->channel_json.count != 0) {
        return event->channel_json.count;
    }
    return RC_JSON_STRING_BYTES_MAX(event->channel.count);
}

/* As written by put_members; every comma between two instances makes room for the quotes around one. */
static size_t members_bytes_max(const struct rc_presence_list *list)
{
    struct rc_span rest = list->entries;
    struct rc_query_entry entry;
    size_t bytes = 0;

    while (rc_query_entry_next(&rest, &entry)) {
        bytes += 64 + RC_JSON_STRING_BYTES_MAX(entry.user.count) + 6 * entry.instances.count;
    }
    return bytes;
}

static uint8_t *put_epoch(uint8_t *out, uint64_t epoch)
{
    return PUT((uint8_t *)rc_hex_write((char *)PUT(out, ",\"epoch\":\""), epoch), "\"");
}

size_t rc_native_delivery_head_bytes_max(const struct rc_event *event)
{
    return RC_SPAN("{\"type\":\"message\",\"channel\":}").count + channel_bytes_max(event) +
           (event->from.count != 0 ? RC_SPAN(",\"from\":").count + RC_JSON_STRING_BYTES_MAX(event->from.count) : 0) +
           (event->retained ? RC_SPAN(",\"retained\":true").count : 0) +
           (event->offset != 0 ? RC_SPAN(",\"offset\":").count + RC_DECIMAL_BYTES_MAX : 0) +
           (event->begins ? RC_SPAN(",\"epoch\":\"\"").count + RC_HEX_BYTES_MAX : 0);
}

uint8_t *rc_native_delivery_head_put(uint8_t *out, const struct rc_event *event)
{
    if (event->type == RC_EVENT_MESSAGE) {
        out = put_channel(PUT(out, "{\"type\":\"message\",\"channel\":"), event);
    } else {
        out = PUT(out, "{\"type\":\"direct\"");
    }
    if (event->from.count != 0) {
        out = put_string(PUT(out, ",\"from\":"), event->from);
    }
    if (event->retained) {
        out = PUT(out, ",\"retained\":true");
    }
    if (event->offset != 0) {
        out = put_number(PUT(out, ",\"offset\":"), event->offset);
        out = event->begins ? put_epoch(out, event->epoch) : out;
    }
    return out;
}

size_t rc_native_event_bytes_max(enum rc_native_form form, const struct rc_event *event)
{
    const struct rc_welcome *welcome = event->welcome;

    if (rc_native_event_form(form, event) == RC_NATIVE_BINARY) {
        return rc_native_binary_event_bytes_max(event);
    }
    switch (event->type) {
    case RC_EVENT_MESSAGE:
        return rc_native_delivery_head_bytes_max(event) + rc_native_content_bytes_max(event);
    case RC_EVENT_WELCOME:
        return FIXED_BYTES_MAX + RC_JSON_STRING_BYTES_MAX(welcome->client.count) +
               RC_JSON_STRING_BYTES_MAX(welcome->instance.count) + RC_JSON_STRING_BYTES_MAX(welcome->user.count);
    case RC_EVENT_PRESENCE:
        return FIXED_BYTES_MAX + event->id.count + channel_bytes_max(event) + members_bytes_max(event->presence);
    default:
        return FIXED_BYTES_MAX + event->id.count + channel_bytes_max(event) +
               RC_JSON_STRING_BYTES_MAX(event->from.count) + rc_native_content_bytes_max(event) +
               RC_JSON_STRING_BYTES_MAX(event->message.count);
    }
}

static uint8_t *put_welcome(uint8_t *out, const struct rc_welcome *welcome)
{
    out = PUT(out, "{\"type\":\"welcome\",\"protocol\":");
    out = put_number(out, RC_NATIVE_VERSION);
    out = PUT(out, ",\"client\":");
    out = put_string(out, welcome->client);
    out = PUT(out, ",\"instance\":");
    out = put_string(out, welcome->instance);
    out = PUT(out, ",\"user\":");
    out = welcome->user.count != 0 ? put_string(out, welcome->user) : PUT(out, "null");
    out = PUT(out, ",\"ping_interval\":");
    out = put_number(out, welcome->ping_interval_ms);
    out = PUT(out, ",\"max_message_size\":");
    return put_number(out, welcome->message_size_max);
}

static uint8_t *put_id(uint8_t *out, struct rc_span id)
{
    if (id.count == 0) {
        return out;
    }
    return native_put(PUT(out, ",\"id\":"), id);
}

/* Where it stands in the channel's history, if it has one. */
static uint8_t *put_place(uint8_t *out, const struct rc_event *event)
{
    return event->epoch == 0 ? out : put_number(PUT(put_epoch(out, event->epoch), ",\"offset\":"), event->offset);
}

static uint8_t *put_error(uint8_t *out, const struct rc_event *event)
{
    out = put_id(PUT(out, "{\"type\":\"error\""), event->id);
    out = PUT(out, ",\"code\":");
    out = put_number(out, (uint64_t)event->code);
    out = PUT(out, ",\"reason\":\"");
    out = native_put(out, rc_span_text(rc_code_reason(event->code)));
    out = PUT(out, "\",\"message\":");
    out = put_string(out, event->message);
    if (event->channel.count != 0 || event->channel_json.count != 0) {
        out = put_channel(PUT(out, ",\"channel\":"), event);
    }
    return out;
}

static uint8_t *put_members(uint8_t *out, const struct rc_presence_list *list)
{
    struct rc_span rest = list->entries;
    struct rc_query_entry entry;
    bool first = true;

    while (rc_query_entry_next(&rest, &entry)) {
        struct rc_span id;
        bool first_id = true;

        out = first ? PUT(out, "{\"user\":") : PUT(out, ",{\"user\":");
        out = entry.user.count != 0 ? put_string(out, entry.user) : PUT(out, "null");
        out = put_number(PUT(out, ",\"clients\":"), entry.clients);
        out = PUT(out, ",\"instances\":[");
        while (rc_query_instance_of(&entry.instances, &id)) {
            out = put_string(first_id ? out : PUT(out, ","), id);
            first_id = false;
        }
        out = PUT(out, "]}");
        first = false;
    }
    return out;
}

static uint8_t *put_presence(uint8_t *out, const struct rc_event *event)
{
    const struct rc_query_answer *answer = &event->presence->answer;

    out = put_id(PUT(out, "{\"type\":\"presence\""), event->id);
    out = put_channel(PUT(out, ",\"channel\":"), event);
    out = put_number(PUT(out, ",\"clients\":"), answer->clients);
    out = put_number(PUT(out, ",\"users\":"), answer->users);
    out = put_members(PUT(out, ",\"members\":["), event->presence);
    out = (answer->flags & RC_QUERY_MORE) != 0 ? PUT(out, "],\"more\":true") : PUT(out, "],\"more\":false");
    return event->local ? PUT(out, ",\"scope\":\"local\"") : out;
}

/* Who comes and goes in a channel, in JSON in both forms: the relay has written all but what it is. A loss of that, too. */
static uint8_t *put_presence_event(uint8_t *out, const struct rc_event *event)
{
    if (event->type == RC_EVENT_GAP) {
        const struct rc_span channel = rc_span_of(event->channel.bytes + 1, event->channel.count - 1);
        return put_string(PUT(out, "{\"type\":\"presence_gap\",\"channel\":"), channel);
    }
    out = PUT(native_put(PUT(out, "{\"type\":\""), event->event), "\",");
    return native_put(out, rc_span_of(event->data.bytes + 1, event->data.count - 2)); /* between its braces */
}

size_t rc_native_event_encode(enum rc_native_form form, const struct rc_event *event, uint8_t *out)
{
    uint8_t *begin = out;

    if (rc_native_event_form(form, event) == RC_NATIVE_BINARY) {
        return rc_native_binary_event_encode(event, out);
    }
    if (rc_native_is_presence_event(event)) {
        return (size_t)(PUT(put_presence_event(out, event), "}") - begin);
    }
    switch (event->type) {
    case RC_EVENT_MESSAGE:
    case RC_EVENT_DIRECT:
        out = rc_native_content_put(rc_native_delivery_head_put(out, event), event);
        break;
    case RC_EVENT_WELCOME:
        out = put_welcome(out, event->welcome);
        break;
    case RC_EVENT_SUBSCRIBED:
        out = put_id(PUT(out, "{\"type\":\"subscribed\""), event->id);
        out = put_channel(PUT(out, ",\"channel\":"), event);
        if (event->deltas) {
            out = PUT(out, ",\"delta\":\"fossil\"");
        }
        if (event->local) {
            out = PUT(out, ",\"scope\":\"local\"");
        }
        if (event->recovery != RC_RECOVERY_NOT_ASKED) {
            out = event->recovery == RC_RECOVERED ? PUT(out, ",\"recovered\":true") : PUT(out, ",\"recovered\":false");
        }
        out = put_place(out, event);
        break;
    case RC_EVENT_UNSUBSCRIBED:
        out = put_id(PUT(out, "{\"type\":\"unsubscribed\""), event->id);
        out = put_channel(PUT(out, ",\"channel\":"), event);
        break;
    case RC_EVENT_PUBLISHED:
        out = put_place(put_id(PUT(out, "{\"type\":\"published\""), event->id), event);
        break;
    case RC_EVENT_BROADCASTED:
        out = put_id(PUT(out, "{\"type\":\"broadcasted\""), event->id);
        break;
    case RC_EVENT_SENT:
        out = put_id(PUT(out, "{\"type\":\"sent\""), event->id);
        break;
    case RC_EVENT_PONG:
        out = put_id(PUT(out, "{\"type\":\"pong\""), event->id);
        break;
    case RC_EVENT_AUTHENTICATED:
        out = put_id(PUT(out, "{\"type\":\"authenticated\""), event->id);
        out = put_string(PUT(out, ",\"user\":"), event->from);
        break;
    case RC_EVENT_REFRESHED:
        out = put_id(PUT(out, "{\"type\":\"refreshed\""), event->id);
        out = put_string(PUT(out, ",\"user\":"), event->from);
        break;
    case RC_EVENT_PRESENCE:
        out = put_presence(out, event);
        break;
    case RC_EVENT_HISTORY:
        out = put_id(PUT(out, "{\"type\":\"history\""), event->id);
        out = native_put(put_channel(PUT(out, ",\"channel\":"), event), event->data);
        break;
    case RC_EVENT_ERROR:
        out = put_error(out, event);
        break;
    case RC_EVENT_GAP:
        out = PUT(out, "{\"type\":\"gap\"");
        if (event->channel.count != 0 || event->channel_json.count != 0) {
            out = put_channel(PUT(out, ",\"channel\":"), event);
        }
        break;
    case RC_EVENT_ECHO: /* the codec does not say these */
    case RC_EVENT_CONNECTED:
    case RC_EVENT_CONNECT_ERROR:
    case RC_EVENT_DISCONNECTED:
    case RC_EVENT_ACK:
        break;
    }
    out = PUT(out, "}");
    return (size_t)(out - begin);
}

/* An event as one part: JSON, or binary where the connection or the data wants it. */
static void native_part(enum rc_native_form form, const struct rc_event *event, struct rc_unit *unit)
{
    uint8_t *out = rc_unit_part(unit, unit->payload_bytes_max);
    const size_t bytes = rc_native_event_encode(form, event, out);

    rc_unit_part_end(unit, rc_native_event_form(form, event) == RC_NATIVE_BINARY ? RC_PART_BINARY : RC_PART_TEXT,
                     bytes);
}

static size_t json_bytes_max(const struct rc_event *event, uint32_t *parts)
{
    *parts = 1;
    return rc_native_event_bytes_max(RC_NATIVE_JSON, event);
}

static void json_encode(const struct rc_event *event, struct rc_unit *unit)
{
    native_part(RC_NATIVE_JSON, event, unit);
}

static size_t binary_bytes_max(const struct rc_event *event, uint32_t *parts)
{
    *parts = 1;
    return rc_native_event_bytes_max(RC_NATIVE_BINARY, event);
}

static void binary_encode(const struct rc_event *event, struct rc_unit *unit)
{
    native_part(RC_NATIVE_BINARY, event, unit);
}

size_t rc_native_goodbye(uint8_t out[RC_GOODBYE_BYTES_MAX], uint32_t reconnect_ms)
{
    uint8_t *end = put_number(PUT(out, "{\"reconnect_ms\":"), reconnect_ms);

    return (size_t)(PUT(end, "}") - out);
}

static_assert(RC_GOODBYE_BYTES_MAX >= sizeof("{\"reconnect_ms\":4294967295}"), "the longest goodbye");

const struct rc_codec rc_codec_json = {
    .name = "json",
    .subprotocol = RC_NATIVE_SUBPROTOCOL,
    .events = RC_NATIVE_EVENTS,
    .hears_everybody = true,
    .hears_user = true,
    .hears_channels = true,
    .decode = rc_native_decode,
    .room_bytes_max = rc_native_room_bytes_max,
    .event_bytes_max = json_bytes_max,
    .encode = json_encode,
    .heartbeat = rc_codec_websocket_ping,
    .goodbye = rc_native_goodbye,
};

const struct rc_codec rc_codec_binary = {
    .name = "binary",
    .subprotocol = RC_NATIVE_SUBPROTOCOL_BINARY,
    .events = RC_NATIVE_EVENTS,
    .hears_everybody = true,
    .hears_user = true,
    .hears_channels = true,
    .decode = rc_native_decode,
    .room_bytes_max = rc_native_room_bytes_max,
    .event_bytes_max = binary_bytes_max,
    .encode = binary_encode,
    .heartbeat = rc_codec_websocket_ping,
    .goodbye = rc_native_goodbye,
};
