/* socketio: see socketio.h. */
#include "worker/proto/socketio.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/socketio.h"
#include "common/records/args.h"
#include "common/records/channel_name.h"
#include "common/records/envelope.h"
#include "common/text/decimal.h"
#include "common/text/json_scan.h"
#include "worker/proto/codec.h"
#include "worker/proto/engineio.h"

enum packet_type {
    PACKET_CONNECT = '0',
    PACKET_DISCONNECT = '1',
    PACKET_EVENT = '2',
    PACKET_ACK = '3',
    PACKET_CONNECT_ERROR = '4',
    PACKET_BINARY_EVENT = '5',
    PACKET_BINARY_ACK = '6',
};

#define ID_DIGITS_MAX 16u /* 2^53 - 1 */

/* --- reading --------------------------------------------------------------------------------------------------------- */

static bool is_digit(uint8_t character)
{
    return character >= '0' && character <= '9';
}

/* "<attachments>-" at `at`: what stands behind it, or NULL. */
static const uint8_t *read_attachments(const uint8_t *at, const uint8_t *end, uint32_t *count)
{
    const uint8_t *begin = at;
    *count = 0;
    while (at < end && is_digit(*at) && at - begin < 4) {
        *count = *count * 10 + (uint32_t)(*at++ - '0');
    }
    return at == begin || at == end || *at != '-' || *count == 0 ? NULL : at + 1;
}

/* An event's name and arguments. 0 or -EBADMSG. */
static int read_event(struct rc_span json, struct rc_reader *reader, struct rc_operation *operation)
{
    struct rc_json_cursor cursor;
    struct rc_json_value value;
    if (rc_json_array_begin(&cursor, json, 0) < 0 || rc_json_array_next(&cursor, &value) != 1) {
        return -EBADMSG;
    }
    const uint8_t *behind = value.raw.bytes + value.raw.count;
    if (value.type == RC_JSON_NUMBER) {
        operation->event = value.raw;
    } else if (value.type != RC_JSON_STRING ||
               rc_json_string_decode(&value, reader->scratch->bytes, RC_EVENT_NAME_MAX, &operation->event) < 0 ||
               rc_config_event_reserved(operation->event)) {
        return -EBADMSG;
    }
    int rc;
    while ((rc = rc_json_array_next(&cursor, &value)) == 1) {}
    if (rc < 0) {
        return -EBADMSG;
    }
    const uint8_t *end = json.bytes + json.count;
    const uint8_t *comma = behind;
    while (*comma == ' ' || *comma == '\t' || *comma == '\n' || *comma == '\r') {
        comma++;
    }
    comma += *comma == ','; /* else it is the array's end */
    operation->data = rc_span_of(comma, (size_t)(end - comma));
    return 0;
}

static int read_ack(struct rc_span json, struct rc_operation *operation)
{
    struct rc_json_value value;
    if (rc_json_scan(json, 0, &value, NULL) < 0 || value.type != RC_JSON_ARRAY) {
        return -EBADMSG;
    }
    operation->data = rc_span_of(value.raw.bytes + 1, value.raw.count - 1);
    return 0;
}

static int read_payload(uint8_t type, struct rc_span json, struct rc_reader *reader, struct rc_operation *operation)
{
    struct rc_json_value value;
    switch (type) {
    case PACKET_CONNECT:
        operation->type = RC_OPERATION_CONNECT;
        operation->data = json;
        return json.count == 0 || (rc_json_scan(json, 0, &value, NULL) == 0 && value.type == RC_JSON_OBJECT) ? 0
                                                                                                             : -EBADMSG;
    case PACKET_DISCONNECT:
        operation->type = RC_OPERATION_LEAVE;
        return json.count == 0 ? 0 : -EBADMSG;
    case PACKET_EVENT:
    case PACKET_BINARY_EVENT:
        operation->type = RC_OPERATION_EVENT;
        return read_event(json, reader, operation);
    default:
        operation->type = RC_OPERATION_ACK;
        return read_ack(json, operation);
    }
}

static int packet_broken(struct rc_operation_error *error, const char *why)
{
    error->id = (struct rc_span){0};
    return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s", why);
}

static int socketio_decode(struct rc_reader *reader, struct rc_operation *operation, struct rc_operation_error *error)
{
    const uint8_t *at = reader->frame.bytes;
    const uint8_t *end = at + reader->frame.count;
    if (reader->ended) {
        return 0;
    }
    reader->ended = true;
    rc_operation_reset(operation);
    const uint8_t type = at < end ? *at++ : 0;
    if (type < PACKET_CONNECT || type > PACKET_BINARY_ACK || type == PACKET_CONNECT_ERROR) {
        return packet_broken(error, "no Socket.IO packet of a client");
    }
    if (type >= PACKET_BINARY_EVENT) {
        at = read_attachments(at, end, &operation->attachment_count);
        if (at == NULL) {
            return packet_broken(error, "a binary packet without its number of attachments");
        }
    }
    operation->nsp = RC_SPAN("/");
    if (at < end && *at == '/') {
        const uint8_t *comma = memchr(at, ',', (size_t)(end - at));
        const uint8_t *nsp_end = comma == NULL ? end : comma;
        operation->nsp = rc_span_of(at, (size_t)(nsp_end - at));
        at = nsp_end + (comma != NULL);
    }
    const uint8_t *id = at;
    while (at < end && is_digit(*at)) {
        at++;
    }
    operation->id = rc_span_of(id, (size_t)(at - id));
    if (operation->id.count > ID_DIGITS_MAX || operation->nsp.count > RC_CHANNEL_BYTES_MAX) {
        return packet_broken(error, "an id or a namespace that is too long");
    }
    if (read_payload(type, rc_span_of(at, (size_t)(end - at)), reader, operation) < 0) {
        return packet_broken(error, "an invalid payload");
    }
    return 1;
}

/* --- placeholders ---------------------------------------------------------------------------------------------------- */

/* The number of {"_placeholder":true,"num":n}; -1: the object is none. */
static int64_t placeholder_number(struct rc_span object)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    bool is = false;
    int64_t number = INT64_MAX; /* a placeholder without a number names none */
    int rc = rc_json_object_begin(&cursor, object, 0);
    while (rc >= 0 && (rc = rc_json_object_next(&cursor, &name, &value)) == 1) {
        if (rc_json_string_is(&name, RC_SPAN("_placeholder"))) {
            is = value.type == RC_JSON_TRUE;
        } else if (rc_json_string_is(&name, RC_SPAN("num"))) {
            uint64_t whole;
            number = value.type == RC_JSON_NUMBER && rc_json_uint64(&value, &whole) == 0 && whole < UINT32_MAX
                         ? (int64_t)whole
                         : INT64_MAX;
        }
    }
    return is ? number : -1;
}

int rc_sio_placeholders_check(struct rc_span json, uint32_t count)
{
    static const char mark[] = "\"_placeholder\"";
    const uint8_t *at = json.bytes;
    const uint8_t *end = json.bytes + json.count;
    while ((at = memmem(at, (size_t)(end - at), mark, sizeof(mark) - 1)) != NULL) {
        /* The innermost object around it, as far as it can be told by braces: one in a string is no mark of ours. */
        const uint8_t *open = at;
        while (open > json.bytes && *open != '{') {
            open--;
        }
        const uint8_t *close = memchr(at, '}', (size_t)(end - at));
        if (*open == '{' && close != NULL) {
            const int64_t number = placeholder_number(rc_span_of(open, (size_t)(close - open) + 1));
            if (number >= 0 && number >= count) {
                return -EBADMSG;
            }
        }
        at += sizeof(mark) - 1;
    }
    return 0;
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

static uint8_t *put_span(uint8_t *out, struct rc_span text)
{
    if (text.count > 0) {
        memcpy(out, text.bytes, text.count);
    }
    return out + text.count;
}

static uint8_t *put_json_string(uint8_t *out, struct rc_span text)
{
    return out + rc_json_string_encode(out, RC_JSON_STRING_BYTES_MAX(text.count), text);
}

/* What an event's data is as arguments. */
struct arguments {
    struct rc_span json; /* between the brackets; empty = none */
    uint32_t attachment_count;
    struct rc_args_view view; /* with attachments of RC_DATA_ARGS */
    bool binary;              /* one attachment: the data itself */
};

static struct rc_span between_brackets(struct rc_span array)
{
    size_t begin = 1;
    while (begin + 1 < array.count && (array.bytes[begin] == ' ' || array.bytes[begin] == '\t' ||
                                       array.bytes[begin] == '\n' || array.bytes[begin] == '\r')) {
        begin++;
    }
    return array.count < 2 ? (struct rc_span){0} : rc_span_of(array.bytes + begin, array.count - begin - 1);
}

static struct arguments arguments_of(const struct rc_event *event)
{
    struct arguments args = {0};
    switch (event->data_kind) {
    case RC_DATA_ARGS:
        if (rc_args_read(event->data, &args.view) == 0) {
            args.json = between_brackets(args.view.json);
            args.attachment_count = args.view.attachment_count;
        }
        return args;
    case RC_DATA_BINARY:
        args.json = RC_SPAN("{\"_placeholder\":true,\"num\":0}");
        args.attachment_count = 1;
        args.binary = true;
        return args;
    case RC_DATA_JSON:
        args.json = event->data;
        return args;
    }
    return args;
}

#define PACKET_HEAD_MAX (2 + 5 + RC_CHANNEL_BYTES_MAX + 1 + ID_DIGITS_MAX) /* "45255-/nsp,id" */
#define PACKET_AROUND_MAX 64u                                              /* brackets, names of members, numbers */

static struct rc_span name_of(const struct rc_event *event)
{
    switch (event->type) {
    case RC_EVENT_GAP:
        return RC_SPAN("gap");
    case RC_EVENT_ERROR:
        return RC_SPAN("error");
    default:
        return event->event.count > 0 ? event->event : event->unnamed;
    }
}

static size_t socketio_bytes_max(const struct rc_event *event, uint32_t *parts)
{
    const struct arguments args = arguments_of(event);
    const size_t strings = name_of(event).count + event->channel.count + event->message.count;
    *parts = 1 + args.attachment_count;
    return PACKET_HEAD_MAX + PACKET_AROUND_MAX + RC_JSON_STRING_BYTES_MAX(strings) + event->channel_json.count +
           args.json.count + event->data.count;
}

/* "4", the packet's type, and its namespace. */
static uint8_t *put_head(uint8_t *out, uint8_t type, const struct rc_event *event)
{
    struct rc_span nsp;
    struct rc_span room;
    *out++ = RC_EIO_MESSAGE;
    *out++ = type;
    (void)rc_channel_split(event->channel, &nsp, &room);
    if (nsp.count > 1) {
        out = put_span(out, nsp);
        *out++ = ',';
    }
    return out;
}

/* An event or an acknowledgement: head with the number of attachments, id, array. */
static uint8_t *put_array(uint8_t *out, const struct rc_event *event, const struct arguments *args)
{
    const bool ack = event->type == RC_EVENT_ACK;
    struct rc_span nsp;
    struct rc_span room;
    *out++ = RC_EIO_MESSAGE;
    if (args->attachment_count > 0) {
        *out++ = ack ? PACKET_BINARY_ACK : PACKET_BINARY_EVENT;
        out = (uint8_t *)rc_decimal_write((char *)out, args->attachment_count);
        *out++ = '-';
    } else {
        *out++ = ack ? PACKET_ACK : PACKET_EVENT;
    }
    (void)rc_channel_split(event->channel, &nsp, &room);
    if (nsp.count > 1) {
        out = put_span(out, nsp);
        *out++ = ',';
    }
    out = put_span(out, event->id);
    *out++ = '[';
    if (!ack) {
        out = put_json_string(out, name_of(event));
    }
    if (args->json.count > 0) {
        if (!ack) {
            *out++ = ',';
        }
        out = put_span(out, args->json);
    }
    *out++ = ']';
    return out;
}

static void put_attachments(struct rc_unit *unit, const struct rc_event *event, const struct arguments *args)
{
    uint32_t index = 0;
    size_t offset = 0;
    struct rc_span attachment;
    if (args->binary) {
        (void)put_span(rc_unit_part(unit, event->data.count), event->data);
        rc_unit_part_end(unit, RC_PART_BINARY, event->data.count);
        return;
    }
    while (args->attachment_count > 0 && rc_args_next(&args->view, &index, &offset, &attachment)) {
        (void)put_span(rc_unit_part(unit, attachment.count), attachment);
        rc_unit_part_end(unit, RC_PART_BINARY, attachment.count);
    }
}

/* What the server says by itself; the packet's end. */
static uint8_t *put_own(uint8_t *out, const struct rc_event *event)
{
    switch (event->type) {
    case RC_EVENT_CONNECTED:
        out = put_span(put_head(out, PACKET_CONNECT, event), RC_SPAN("{\"sid\":\""));
        return put_span(put_span(out, event->data), RC_SPAN("\"}"));
    case RC_EVENT_CONNECT_ERROR:
        out = put_span(put_head(out, PACKET_CONNECT_ERROR, event), RC_SPAN("{\"message\":"));
        out = put_json_string(out, event->message);
        if (event->data.count > 0) {
            out = put_span(put_span(out, RC_SPAN(",\"data\":")), event->data);
        }
        return put_span(out, RC_SPAN("}"));
    case RC_EVENT_DISCONNECTED:
        return put_head(out, PACKET_DISCONNECT, event);
    case RC_EVENT_GAP:
        out = put_span(put_head(out, PACKET_EVENT, event), RC_SPAN("[\"gap\",{"));
        if (event->channel.count > 0) {
            out = put_span(out, RC_SPAN("\"channel\":"));
            out = event->channel_json.count > 0 ? put_span(out, event->channel_json)
                                                : put_json_string(out, event->channel);
        }
        return put_span(out, RC_SPAN("}]"));
    case RC_EVENT_ERROR:
        out = put_span(put_head(out, PACKET_EVENT, event), RC_SPAN("[\"error\",{\"code\":"));
        out = (uint8_t *)rc_decimal_write((char *)out, (uint64_t)event->code);
        out = put_json_string(put_span(out, RC_SPAN(",\"message\":")), event->message);
        return put_span(out, RC_SPAN("}]"));
    default:
        return out;
    }
}

static void socketio_encode(const struct rc_event *event, struct rc_unit *unit)
{
    const bool array = event->type == RC_EVENT_MESSAGE || event->type == RC_EVENT_DIRECT || event->type == RC_EVENT_ACK;
    const struct arguments args = array ? arguments_of(event) : (struct arguments){0};
    uint32_t parts;
    uint8_t *out = rc_unit_part(unit, socketio_bytes_max(event, &parts) - (array ? 0 : event->data.count));
    const uint8_t *end = array ? put_array(out, event, &args) : put_own(out, event);
    rc_unit_part_end(unit, RC_PART_TEXT, (size_t)(end - out));
    put_attachments(unit, event, &args);
}

const struct rc_codec rc_codec_socketio = {
    .name = "socketio",
    .events = RC_EVENT_BIT(RC_EVENT_MESSAGE) | RC_EVENT_BIT(RC_EVENT_DIRECT) | RC_EVENT_BIT(RC_EVENT_GAP) |
              RC_EVENT_BIT(RC_EVENT_ERROR) | RC_EVENT_BIT(RC_EVENT_CONNECTED) | RC_EVENT_BIT(RC_EVENT_CONNECT_ERROR) |
              RC_EVENT_BIT(RC_EVENT_DISCONNECTED) | RC_EVENT_BIT(RC_EVENT_ACK),
    .hears_channels = true,
    .decode = socketio_decode,
    .event_bytes_max = socketio_bytes_max,
    .encode = socketio_encode,
    .heartbeat = rc_eio_heartbeat,
    .goodbye = rc_eio_goodbye,
};

/* TEMPORARY until socketio_msgpack.c */
static int msgpack_decode(struct rc_reader *reader, struct rc_operation *operation, struct rc_operation_error *error)
{
    (void)reader;
    (void)operation;
    return packet_broken(error, "msgpack");
}
const struct rc_codec rc_codec_socketio_msgpack = {
    .name = "socketio_msgpack",
    .events = 0,
    .hears_channels = true,
    .decode = msgpack_decode,
    .event_bytes_max = socketio_bytes_max,
    .encode = socketio_encode,
    .heartbeat = rc_eio_heartbeat,
    .goodbye = rc_eio_goodbye,
};
