/* socketio: see socketio.h. */
#include "worker/proto/socketio.h"

#include <errno.h>
#include <string.h>

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
    if (value.type == RC_JSON_NUMBER && value.raw.count <= RC_EVENT_NAME_MAX) {
        operation->event = value.raw;
    } else if (value.type != RC_JSON_STRING ||
               rc_json_string_decode(&value, reader->scratch->bytes, RC_EVENT_NAME_MAX, &operation->event) < 0 ||
               rc_config_event_reserved(operation->event)) {
        return -EBADMSG;
    }
    int rc;
    struct rc_args_index *index = &reader->scratch->index;
    struct rc_json_value *found = &index->first[0];
    index->count = 0;
    index->last = rc_span_of(NULL, 0);
    while ((rc = rc_json_array_next(&cursor, found)) == 1) {
        index->last = found->raw;
        index->count++;
        found = index->count < RC_ARGS_INDEXED_MAX ? &index->first[index->count] : &value;
    }
    if (rc < 0) {
        return -EBADMSG;
    }
    operation->index = index;
    const uint8_t *end = json.bytes + json.count;
    const uint8_t *comma = behind;
    while (end[-1] != ']') {
        end--; /* white space behind it */
    }
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

int rc_sio_broken(struct rc_operation_error *error, const char *why)
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
        return rc_sio_broken(error, "no Socket.IO packet of a client");
    }
    if (type >= PACKET_BINARY_EVENT) {
        at = read_attachments(at, end, &operation->attachment_count);
        if (at == NULL) {
            return rc_sio_broken(error, "a binary packet without its number of attachments");
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
    if (operation->id.count > RC_SIO_ID_DIGITS_MAX || operation->nsp.count > RC_SIO_NSP_MAX) {
        return rc_sio_broken(error, "an id or a namespace that is too long");
    }
    if (read_payload(type, rc_span_of(at, (size_t)(end - at)), reader, operation) < 0) {
        return rc_sio_broken(error, "an invalid payload");
    }
    return 1;
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

static uint8_t *packet_put(uint8_t *out, struct rc_span text)
{
    if (text.count > 0) {
        memcpy(out, text.bytes, text.count);
    }
    return out + text.count;
}

static uint8_t *packet_put_string(uint8_t *out, struct rc_span text)
{
    return out + rc_json_string_encode(out, RC_JSON_STRING_BYTES_MAX(text.count), text);
}

struct rc_span rc_sio_nsp_of(const struct rc_event *event)
{
    struct rc_span nsp;
    struct rc_span room;
    switch (event->type) {
    case RC_EVENT_CONNECTED:
    case RC_EVENT_CONNECT_ERROR:
    case RC_EVENT_DISCONNECTED:
        /* A name that was refused may have a '#' of its own. */
        return rc_span_of(event->channel.bytes, event->channel.count - (event->channel.count > 0));
    default:
        (void)rc_channel_split(event->channel, &nsp, &room);
        return nsp;
    }
}

struct rc_span rc_sio_name_of(const struct rc_event *event)
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
    if (array.count < 2) {
        return (struct rc_span){0};
    }
    while (begin + 1 < array.count && (array.bytes[begin] == ' ' || array.bytes[begin] == '\t' ||
                                       array.bytes[begin] == '\n' || array.bytes[begin] == '\r')) {
        begin++;
    }
    return rc_span_of(array.bytes + begin, array.count - begin - 1);
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

#define PACKET_HEAD_MAX (2 + 5 + RC_CHANNEL_BYTES_MAX + 1 + RC_SIO_ID_DIGITS_MAX) /* "45255-/nsp,id" */
#define PACKET_AROUND_MAX 64u /* brackets, names of members, numbers */

/* Upper bound of an event's text. */
static size_t text_bytes_max(const struct rc_event *event, const struct arguments *args)
{
    const size_t strings = rc_sio_name_of(event).count + event->message.count +
                           (event->type == RC_EVENT_GAP && event->channel_json.count == 0 ? event->channel.count : 0);
    return PACKET_HEAD_MAX + PACKET_AROUND_MAX + RC_JSON_STRING_BYTES_MAX(strings) + event->channel_json.count +
           args->json.count + event->standing.count;
}

static size_t socketio_bytes_max(const struct rc_event *event, uint32_t *parts)
{
    const struct arguments args = arguments_of(event);
    *parts = 1 + args.attachment_count;
    return text_bytes_max(event, &args) + (args.binary ? event->data.count : args.view.attachments.count);
}

/* "/" is left out. */
static uint8_t *put_nsp(uint8_t *out, const struct rc_event *event)
{
    const struct rc_span nsp = rc_sio_nsp_of(event);
    if (nsp.count > 1) {
        out = packet_put(out, nsp);
        *out++ = ',';
    }
    return out;
}

/* "4", the packet's type, and its namespace. */
static uint8_t *put_head(uint8_t *out, uint8_t type, const struct rc_event *event)
{
    *out++ = RC_EIO_MESSAGE;
    *out++ = type;
    return put_nsp(out, event);
}

/* An event or an acknowledgement: head with the number of attachments, id, array. */
static uint8_t *put_array(uint8_t *out, const struct rc_event *event, const struct arguments *args)
{
    const bool ack = event->type == RC_EVENT_ACK;
    const struct rc_span offset = rc_sio_offset_of(event);
    *out++ = RC_EIO_MESSAGE;
    if (args->attachment_count > 0) {
        *out++ = ack ? PACKET_BINARY_ACK : PACKET_BINARY_EVENT;
        out = (uint8_t *)rc_decimal_write((char *)out, args->attachment_count);
        *out++ = '-';
    } else {
        *out++ = ack ? PACKET_ACK : PACKET_EVENT;
    }
    out = put_nsp(out, event);
    out = packet_put(out, event->id);
    *out++ = '[';
    if (!ack) {
        out = packet_put_string(out, rc_sio_name_of(event));
    }
    if (args->json.count > 0) {
        if (!ack) {
            *out++ = ',';
        }
        out = packet_put(out, args->json);
    }
    if (offset.count > 0) {
        out = packet_put(packet_put(packet_put(out, RC_SPAN(",\"")), offset), RC_SPAN("\""));
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
        (void)packet_put(rc_unit_part(unit, event->data.count), event->data);
        rc_unit_part_end(unit, RC_PART_BINARY, event->data.count);
        return;
    }
    while (args->attachment_count > 0 && rc_args_next(&args->view, &index, &offset, &attachment)) {
        (void)packet_put(rc_unit_part(unit, attachment.count), attachment);
        rc_unit_part_end(unit, RC_PART_BINARY, attachment.count);
    }
}

/* What the server says by itself; the packet's end. */
static uint8_t *put_own(uint8_t *out, const struct rc_event *event)
{
    switch (event->type) {
    case RC_EVENT_CONNECTED:
        out = packet_put(put_head(out, PACKET_CONNECT, event), RC_SPAN("{\"sid\":\""));
        out = packet_put(out, event->data);
        if (event->standing.count > 0) {
            out = packet_put(packet_put(out, RC_SPAN("\",\"pid\":\"")), event->standing);
        }
        return packet_put(out, RC_SPAN("\"}"));
    case RC_EVENT_CONNECT_ERROR:
        out = packet_put(put_head(out, PACKET_CONNECT_ERROR, event), RC_SPAN("{\"message\":"));
        out = packet_put_string(out, event->message);
        if (event->data.count > 0) {
            out = packet_put(packet_put(out, RC_SPAN(",\"data\":")), event->data);
        }
        return packet_put(out, RC_SPAN("}"));
    case RC_EVENT_DISCONNECTED:
        return put_head(out, PACKET_DISCONNECT, event);
    case RC_EVENT_GAP:
        out = packet_put(put_head(out, PACKET_EVENT, event), RC_SPAN("[\"gap\",{"));
        if (event->channel.count > 0) {
            out = packet_put(out, RC_SPAN("\"channel\":"));
            out = event->channel_json.count > 0 ? packet_put(out, event->channel_json)
                                                : packet_put_string(out, event->channel);
        }
        return packet_put(out, RC_SPAN("}]"));
    case RC_EVENT_ERROR:
        out = packet_put(put_head(out, PACKET_EVENT, event), RC_SPAN("[\"error\",{\"code\":"));
        out = (uint8_t *)rc_decimal_write((char *)out, (uint64_t)event->code);
        out = packet_put_string(packet_put(out, RC_SPAN(",\"message\":")), event->message);
        return packet_put(out, RC_SPAN("}]"));
    default:
        return out;
    }
}

static void socketio_encode(const struct rc_event *event, struct rc_unit *unit)
{
    const bool array = event->type == RC_EVENT_MESSAGE || event->type == RC_EVENT_DIRECT || event->type == RC_EVENT_ACK;
    const struct arguments args = arguments_of(event);
    uint8_t *out = rc_unit_part(unit, text_bytes_max(event, &args));
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
