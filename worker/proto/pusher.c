/*
 * pusher: messages of the Pusher Channels protocol, version 7 (pusher.com/docs/channels, "Pusher Channels Protocol"): one JSON object
 * {"event","channel","data"} in each text frame, whose data is a string that holds JSON in what the server says of itself and of events of
 * server SDKs, and any JSON in events of clients.
 *
 * Syntax alone: what a channel's name means, and who may, worker/pusher knows. Channels here are those of the broker: what stands before the
 * first colon is the app's and is left out (common/config/pusher.h).
 */
#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/config/pusher.h"
#include "common/records/args.h"
#include "common/text/decimal.h"
#include "worker/proto/codec.h"
#include "worker/proto/native.h"
#include "worker/proto/pusher.h"

/* --- what clients say ------------------------------------------------------------------------------------------------ */

enum { MEMBER_EVENT, MEMBER_CHANNEL, MEMBER_DATA, MEMBER_AUTH, MEMBER_CHANNEL_DATA, MEMBER_USER_DATA, MEMBER_COUNT };
static const char *const members[MEMBER_COUNT] = {"event", "channel", "data", "auth", "channel_data", "user_data"};

/* The known members of an object; the last of several counts, as in JavaScript. Negative: it is no JSON object. */
static int pusher_members_read(struct rc_span text, struct rc_json_value found[MEMBER_COUNT])
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    for (uint32_t i = 0; i < MEMBER_COUNT; i++) {
        found[i].type = RC_JSON_NONE;
    }
    int got = rc_json_object_begin(&cursor, text, 0);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        for (uint32_t i = 0; i < MEMBER_COUNT; i++) {
            if (rc_json_string_is(&name, rc_span_text(members[i]))) {
                found[i] = value;
            }
        }
    }
    return got;
}

/* A string member into the scratch area. Empty when it is not there. */
static int pusher_text_take(struct rc_reader *reader, const struct rc_json_value *value, const char *name,
                            size_t bytes_max, struct rc_span *out, struct rc_operation_error *error)
{
    *out = (struct rc_span){0};
    if (value->type == RC_JSON_NONE || value->type == RC_JSON_NULL) {
        return 0;
    }
    RC_ASSERT(reader->scratch_used + bytes_max <= sizeof(reader->scratch->bytes));
    switch (rc_json_string_decode(value, reader->scratch->bytes + reader->scratch_used, bytes_max, out)) {
    case 0:
        reader->scratch_used += bytes_max;
        return 0;
    case -EMSGSIZE:
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s is longer than %zu bytes", name, bytes_max);
    case -EILSEQ:
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s has half of a surrogate pair", name);
    default:
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s must be a string", name);
    }
}

/* A string that may be as long as the message, into the reader's room. */
static int signed_take(struct rc_reader *reader, const struct rc_json_value *value, const char *name,
                       struct rc_span *out, struct rc_operation_error *error)
{
    *out = (struct rc_span){0};
    if (value->type == RC_JSON_NONE || value->type == RC_JSON_NULL) {
        return 0;
    }
    return rc_json_string_decode(value, reader->room, reader->room_bytes, out) == 0
               ? 0
               : rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s must be a string of JSON", name);
}

/* auth, channel_data and user_data stand in `data`, which some clients send as a string that holds JSON. */
static int details_read(struct rc_reader *reader, const struct rc_json_value *data,
                        struct rc_json_value details[MEMBER_COUNT], struct rc_operation_error *error)
{
    struct rc_span text = data->raw;
    if (data->type == RC_JSON_STRING) {
        const size_t half = reader->room_bytes / 2;
        if (rc_json_string_decode(data, reader->room, half, &text) < 0) {
            return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "data must be an object");
        }
        rc_reader_give_room(reader, reader->room + half, reader->room_bytes - half);
    } else if (data->type != RC_JSON_OBJECT) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "data must be an object");
    }
    return pusher_members_read(text, details) < 0
               ? rc_operation_fail(error, RC_CODE_BAD_REQUEST, "data must be an object")
               : 0;
}

static int subscription_decode(struct rc_reader *reader, const struct rc_json_value *data,
                               struct rc_operation *operation, struct rc_operation_error *error)
{
    struct rc_json_value details[MEMBER_COUNT];
    if (details_read(reader, data, details, error) < 0 ||
        pusher_text_take(reader, &details[MEMBER_CHANNEL], "channel", RC_CHANNEL_BYTES_MAX, &operation->channel,
                         error) < 0) {
        return -EBADMSG;
    }
    if (operation->channel.count == 0) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "channel is missing");
    }
    if (operation->type == RC_OPERATION_UNSUBSCRIBE) {
        return 1;
    }
    return pusher_text_take(reader, &details[MEMBER_AUTH], "auth", RC_PUSHER_AUTH_MAX, &operation->to, error) < 0 ||
                   signed_take(reader, &details[MEMBER_CHANNEL_DATA], "channel_data", &operation->data, error) < 0
               ? -EBADMSG
               : 1;
}

static int signin_decode(struct rc_reader *reader, const struct rc_json_value *data, struct rc_operation *operation,
                         struct rc_operation_error *error)
{
    struct rc_json_value details[MEMBER_COUNT];
    return details_read(reader, data, details, error) < 0 ||
                   pusher_text_take(reader, &details[MEMBER_AUTH], "auth", RC_PUSHER_AUTH_MAX, &operation->to, error) <
                       0 ||
                   signed_take(reader, &details[MEMBER_USER_DATA], "user_data", &operation->data, error) < 0
               ? -EBADMSG
               : 1;
}

static int client_event_decode(struct rc_reader *reader, const struct rc_json_value *found,
                               struct rc_operation *operation, struct rc_operation_error *error)
{
    operation->type = RC_OPERATION_PUBLISH;
    operation->echo = false;
    if (pusher_text_take(reader, &found[MEMBER_CHANNEL], "channel", RC_CHANNEL_BYTES_MAX, &operation->channel, error) <
        0) {
        return -EBADMSG;
    }
    if (operation->channel.count == 0) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "channel is missing");
    }
    operation->data = found[MEMBER_DATA].type == RC_JSON_NONE ? RC_SPAN("null") : found[MEMBER_DATA].raw;
    return 1;
}

static int pusher_decode(struct rc_reader *reader, struct rc_operation *operation, struct rc_operation_error *error)
{
    static const struct {
        const char *name;
        enum rc_operation_type type;
    } events[] = {{"pusher:subscribe", RC_OPERATION_SUBSCRIBE},
                  {"pusher:unsubscribe", RC_OPERATION_UNSUBSCRIBE},
                  {"pusher:signin", RC_OPERATION_AUTH},
                  {"pusher:ping", RC_OPERATION_PING}};
    struct rc_json_value found[MEMBER_COUNT];
    if (reader->ended) {
        return 0;
    }
    reader->ended = true;
    reader->scratch_used = 0;
    error->id = (struct rc_span){0};
    rc_operation_reset(operation);
    if (reader->kind != RC_PART_TEXT || pusher_members_read(reader->frame, found) < 0) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "a message must be a JSON object with an event");
    }
    if (pusher_text_take(reader, &found[MEMBER_EVENT], "event", RC_EVENT_BYTES_MAX, &operation->event, error) < 0) {
        return -EBADMSG;
    }
    const struct rc_span event = operation->event;
    if (rc_span_starts_with(event, RC_SPAN(RC_PUSHER_CLIENT_EVENT))) {
        return client_event_decode(reader, found, operation, error);
    }
    if (rc_span_equal(event, RC_SPAN("pusher:pong"))) {
        return 0;
    }
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(events); i++) {
        if (!rc_span_equal(event, rc_span_text(events[i].name))) {
            continue;
        }
        operation->type = events[i].type;
        return operation->type == RC_OPERATION_PING ? 1
               : operation->type == RC_OPERATION_AUTH
                   ? signin_decode(reader, &found[MEMBER_DATA], operation, error)
                   : subscription_decode(reader, &found[MEMBER_DATA], operation, error);
    }
    return rc_operation_fail(error, RC_CODE_BAD_REQUEST,
                             event.count == 0 ? "event is missing"
                                              : "clients send pusher: events that there are, and client- events");
}

/* What is decoded of a message is no longer than it: a string within a string twice. */
static size_t pusher_room_bytes_max(size_t message_bytes)
{
    return 2 * message_bytes;
}

/* --- what they are told ---------------------------------------------------------------------------------------------- */

static uint8_t *pusher_put_string(uint8_t *out, struct rc_span text)
{
    return out + rc_json_string_encode(out, SIZE_MAX, text);
}

static uint8_t *pusher_put_channel(uint8_t *out, struct rc_span channel)
{
    uint8_t name[sizeof(RC_PUSHER_USER_CHANNEL) + RC_CHANNEL_BYTES_MAX];
    bool user;
    const struct rc_span its = rc_pusher_name_of(channel, &user);
    const size_t head = user ? sizeof(RC_PUSHER_USER_CHANNEL) - 1 : 0;
    out = rc_bytes_put(out, RC_SPAN("\"channel\":"));
    memcpy(name, RC_PUSHER_USER_CHANNEL, head);
    (void)rc_bytes_put(name + head, its);
    return pusher_put_string(out, rc_span_of(name, head + its.count));
}

/* An event of a client is what it sent, with who it is in a presence channel. */
struct said {
    struct rc_span data;
    struct rc_span user; /* JSON string; empty = none */
    bool quoted;         /* the data is to be a string that holds it */
};

static struct said said_of(const struct rc_event *event)
{
    struct said said = {.data = event->data};
    struct rc_args_view view;
    struct rc_json_cursor cursor;
    struct rc_json_value data;
    struct rc_json_value user;
    const bool client = rc_span_starts_with(event->event, RC_SPAN(RC_PUSHER_CLIENT_EVENT));
    if (client && event->data_kind == RC_DATA_ARGS && rc_args_read(event->data, &view) == 0 &&
        rc_json_array_begin(&cursor, view.json, 0) == 0 && rc_json_array_next(&cursor, &data) == 1 &&
        rc_json_array_next(&cursor, &user) == 1 && user.type == RC_JSON_STRING) {
        said.data = data.raw;
        said.user = user.raw;
        return said;
    }
    if (event->data_kind == RC_DATA_BINARY) {
        said.data = RC_SPAN("null"); /* there is no place for bytes */
        return said;
    }
    said.data = rc_codec_plain_data(event);
    said.quoted = !client && rc_json_peek(said.data) != RC_JSON_STRING;
    return said;
}

#define WORDS_BYTES 128u /* of what stands around names and data at most */

static size_t pusher_channel_bytes_max(const struct rc_event *event)
{
    return rc_json_string_encoded_bytes(event->channel) + sizeof(RC_PUSHER_USER_CHANNEL) + WORDS_BYTES;
}

static size_t message_bytes_max(const struct rc_event *event)
{
    const struct said said = said_of(event);
    return pusher_channel_bytes_max(event) + rc_json_string_encoded_bytes(event->event) + said.user.count +
           (said.quoted ? rc_json_string_encoded_bytes(said.data) : said.data.count);
}

static uint8_t *message_put(uint8_t *out, const struct rc_event *event)
{
    const struct said said = said_of(event);
    out = rc_bytes_put(out, RC_SPAN("{\"event\":"));
    out = pusher_put_string(out, event->event.count > 0 ? event->event : RC_SPAN(RC_PUSHER_UNNAMED));
    bool user;
    if (!(rc_pusher_kind_of(rc_pusher_name_of(event->channel, &user)) & RC_PUSHER_WATCH)) {
        out = pusher_put_channel(rc_bytes_put(out, RC_SPAN(",")), event->channel);
    }
    out = rc_bytes_put(out, RC_SPAN(",\"data\":"));
    out = said.quoted ? pusher_put_string(out, said.data) : rc_bytes_put(out, said.data);
    if (said.user.count > 0) {
        out = rc_bytes_put(rc_bytes_put(out, RC_SPAN(",\"user_id\":")), said.user);
    }
    return rc_bytes_put(out, RC_SPAN("}"));
}

/* Where a subscription fails its channel is told, else the connection. */
static uint8_t *error_put(uint8_t *out, const struct rc_event *event)
{
    if (event->channel.count > 0) {
        out =
            pusher_put_channel(rc_bytes_put(out, RC_SPAN("{\"event\":\"pusher:subscription_error\",")), event->channel);
        out = rc_bytes_put(out, event->code == RC_CODE_UNAUTHORIZED || event->code == RC_CODE_FORBIDDEN
                                    ? RC_SPAN(",\"data\":{\"type\":\"AuthError\",\"error\":")
                                : event->code == RC_CODE_LIMITED
                                    ? RC_SPAN(",\"data\":{\"type\":\"LimitReached\",\"error\":")
                                    : RC_SPAN(",\"data\":{\"type\":\"Error\",\"error\":"));
        out = pusher_put_string(out, event->message);
        out = rc_bytes_put(out, RC_SPAN(",\"status\":"));
        out = (uint8_t *)rc_decimal_write((char *)out, event->code);
        return rc_bytes_put(out, RC_SPAN("}}"));
    }
    out = rc_bytes_put(out, RC_SPAN("{\"event\":\"pusher:error\",\"data\":{\"code\":null,\"message\":"));
    out = pusher_put_string(out, event->message);
    return rc_bytes_put(out, RC_SPAN("}}"));
}

static uint8_t *welcome_put(uint8_t *out, const struct rc_event *event)
{
    out = rc_bytes_put(out, RC_SPAN("{\"event\":\"pusher:connection_established\",\"data\":\"{\\\"socket_id\\\":\\\""));
    out = rc_bytes_put(out, event->welcome->client);
    out = rc_bytes_put(out, RC_SPAN("\\\",\\\"activity_timeout\\\":"));
    out = (uint8_t *)rc_decimal_write((char *)out, event->welcome->ping_interval_ms / 1000);
    return rc_bytes_put(out, RC_SPAN("}\"}"));
}

static size_t pusher_bytes_max(const struct rc_event *event, uint32_t *parts)
{
    *parts = 1;
    switch (event->type) {
    case RC_EVENT_MESSAGE:
    case RC_EVENT_DIRECT:
        return message_bytes_max(event);
    case RC_EVENT_WELCOME:
        return WORDS_BYTES + event->welcome->client.count;
    default:
        return pusher_channel_bytes_max(event) + rc_json_string_encoded_bytes(event->message);
    }
}

static void pusher_encode(const struct rc_event *event, struct rc_unit *unit)
{
    uint8_t *begin = rc_unit_part(unit, unit->payload_bytes_max);
    uint8_t *out = begin;
    switch (event->type) {
    case RC_EVENT_MESSAGE:
    case RC_EVENT_DIRECT:
        out = message_put(out, event);
        break;
    case RC_EVENT_WELCOME:
        out = welcome_put(out, event);
        break;
    case RC_EVENT_SUBSCRIBED:
        out = pusher_put_channel(rc_bytes_put(out, RC_SPAN("{\"event\":\"pusher_internal:subscription_succeeded\",")),
                                 event->channel);
        out = rc_bytes_put(out, RC_SPAN(",\"data\":\"{}\"}"));
        break;
    case RC_EVENT_GAP: /* told, as everywhere; clients that do not know it have no handler for it */
        out = rc_bytes_put(out, RC_SPAN("{\"event\":\"" RC_PUSHER_GAP "\","));
        out = event->channel.count > 0 ? rc_bytes_put(pusher_put_channel(out, event->channel), RC_SPAN(",")) : out;
        out = rc_bytes_put(out, RC_SPAN("\"data\":\"{}\"}"));
        break;
    case RC_EVENT_ERROR:
        out = error_put(out, event);
        break;
    default: /* PONG: others are not for its clients (`events`) */
        out = rc_bytes_put(out, RC_SPAN("{\"event\":\"pusher:pong\",\"data\":\"{}\"}"));
        break;
    }
    rc_unit_part_end(unit, RC_PART_TEXT, (size_t)(out - begin));
}

/* Of a close that clients know: 4000 to 4099 never come back, 4100 to 4199 later, 4200 to 4299 at once; others come back after a while. */
static uint16_t pusher_close_code(uint16_t code)
{
    if (code >= RC_PUSHER_CLOSE) {
        return (uint16_t)(code - RC_PUSHER_CLOSE);
    }
    switch (code) {
    case RC_CLOSE_SLOW_CONSUMER:
    case RC_CLOSE_WRITE_STALLED:
        return RC_PUSHER_RECONNECT;
    case RC_CLOSE_PONG_TIMEOUT:
        return RC_PUSHER_NO_PONG;
    case RC_CLOSE_IDLE_TIMEOUT:
        return RC_PUSHER_INACTIVE;
    case RC_CLOSE_UNAUTHORIZED:
    case RC_CLOSE_NOT_ALLOWED:
    case RC_CLOSE_DISCONNECTED:
    case RC_CLOSE_POLICY_VIOLATION:
        return RC_PUSHER_UNAUTHORIZED;
    case RC_CLOSE_TRY_AGAIN_LATER:
    case RC_CLOSE_INTERNAL_ERROR:
        return RC_PUSHER_OVER_CAPACITY;
    case RC_CLOSE_SERVICE_RESTART:
        return RC_PUSHER_RECONNECT;
    default:
        return code;
    }
}

const struct rc_codec rc_codec_pusher = {
    .name = "pusher",
    .events = RC_EVENT_BIT(RC_EVENT_WELCOME) | RC_EVENT_BIT(RC_EVENT_SUBSCRIBED) | RC_EVENT_BIT(RC_EVENT_PONG) |
              RC_EVENT_BIT(RC_EVENT_ERROR) | RC_EVENT_BIT(RC_EVENT_MESSAGE) | RC_EVENT_BIT(RC_EVENT_DIRECT) |
              RC_EVENT_BIT(RC_EVENT_GAP),
    .hears_user = true,
    .decode = pusher_decode,
    .room_bytes_max = pusher_room_bytes_max,
    .event_bytes_max = pusher_bytes_max,
    .encode = pusher_encode,
    .heartbeat = rc_codec_websocket_ping,
    .goodbye = rc_native_goodbye,
    .close_code = pusher_close_code,
};
