/*
 * socketio_msgpack: the packets of Socket.IO as socket.io-msgpack-parser 3 writes them: one binary message each, which holds a
 * map of MessagePack, {type, data, nsp, id}, and in it binary where it belongs.
 *
 * What is checked of a packet is what that parser checks; besides, what the text parser checks of an event: that it has a name, and
 * one that is not reserved. Strings must be UTF-8. Of a member that occurs twice the last one counts, as in JavaScript.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/socketio.h"
#include "common/records/args.h"
#include "common/records/envelope.h"
#include "common/records/placeholders.h"
#include "common/text/decimal.h"
#include "common/text/js_number.h"
#include "common/text/json_scan.h"
#include "common/text/msgpack_json.h"
#include "worker/proto/codec.h"
#include "worker/proto/engineio.h"
#include "worker/proto/socketio.h"

enum packet_type {
    PACKET_CONNECT,
    PACKET_DISCONNECT,
    PACKET_EVENT,
    PACKET_ACK,
    PACKET_CONNECT_ERROR,
};

#define WHOLE_MAX 9007199254740991u /* 2^53 - 1: what a JavaScript number says exactly */

/* --- reading --------------------------------------------------------------------------------------------------------- */

/* A packet's members, as far as they mean something. */
struct members {
    struct rc_msgpack_value type;
    struct rc_msgpack_value nsp;
    struct rc_msgpack_value id;
    struct rc_span data; /* whole; count 0 = there is none */
    bool has_type;
    bool has_nsp;
    bool has_id;
};

/* Number.isInteger, for those that are not negative. */
static bool whole_number(const struct rc_msgpack_value *value, uint64_t *number)
{
    if (value->type == RC_MSGPACK_UNSIGNED) {
        *number = value->whole;
        return *number <= WHOLE_MAX;
    }
    if (value->type != RC_MSGPACK_FLOAT || !(value->number >= 0 && value->number <= (double)WHOLE_MAX) ||
        floor(value->number) != value->number) {
        return false;
    }
    *number = (uint64_t)value->number;
    return true;
}

/* 0 or -EBADMSG. */
static int unpack_member(struct rc_msgpack_reader *reader, struct members *members)
{
    struct rc_msgpack_value key;
    struct rc_msgpack_value value;
    struct rc_span whole;
    if (rc_msgpack_next(reader, &key) < 0 || key.type == RC_MSGPACK_ARRAY || key.type == RC_MSGPACK_MAP ||
        rc_msgpack_peek(reader, &value) < 0 || rc_msgpack_skip(reader, &whole) < 0) {
        return -EBADMSG;
    }
    const bool there = !rc_msgpack_undefined(&value);
    if (key.type != RC_MSGPACK_STRING) {
        return 0;
    }
    if (rc_span_equal(key.bytes, RC_SPAN("type"))) {
        members->type = value;
        members->has_type = there;
    } else if (rc_span_equal(key.bytes, RC_SPAN("nsp"))) {
        members->nsp = value;
        members->has_nsp = there;
    } else if (rc_span_equal(key.bytes, RC_SPAN("id"))) {
        members->id = value;
        members->has_id = there;
    } else if (rc_span_equal(key.bytes, RC_SPAN("data"))) {
        members->data = there ? whole : (struct rc_span){0};
    }
    return 0;
}

static int unpack_members(struct rc_span frame, struct members *members)
{
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(frame);
    uint32_t count;
    *members = (struct members){0};
    if (rc_msgpack_map(&reader, &count) < 0) {
        return -EBADMSG;
    }
    while (count-- > 0) {
        if (unpack_member(&reader, members) < 0) {
            return -EBADMSG;
        }
    }
    return rc_msgpack_left(&reader) == 0 ? 0 : -EBADMSG;
}

/* An event's name. A number is one, as the text parser has it. */
static int unpack_name(const struct rc_msgpack_value *value, struct rc_reader *reader, struct rc_operation *operation)
{
    char *scratch = (char *)reader->scratch->bytes + reader->scratch_used;
    size_t bytes;
    switch (value->type) {
    case RC_MSGPACK_STRING:
        operation->event = value->bytes;
        return value->bytes.count <= RC_EVENT_NAME_MAX && rc_json_utf8_valid(value->bytes) &&
                       !rc_config_event_reserved(value->bytes)
                   ? 0
                   : -EBADMSG;
    case RC_MSGPACK_UNSIGNED:
        bytes = (size_t)(rc_decimal_write(scratch, value->whole) - scratch);
        break;
    case RC_MSGPACK_NEGATIVE:
        scratch[0] = '-';
        bytes = (size_t)(rc_decimal_write(scratch + 1, 0 - (uint64_t)value->negative) - scratch);
        break;
    case RC_MSGPACK_FLOAT:
        if (!isfinite(value->number)) {
            return -EBADMSG;
        }
        bytes = rc_js_number_write(scratch, value->number);
        break;
    default:
        return -EBADMSG;
    }
    operation->event = rc_span_of(scratch, bytes);
    reader->scratch_used += bytes;
    return 0;
}

/* The arguments, `count` values, as rc_args keeps them, in the reader's room. */
static int unpack_args(struct rc_msgpack_reader *data, uint32_t count, struct rc_reader *reader,
                       struct rc_operation *operation)
{
    struct rc_span attachments[RC_ARGS_ATTACHMENTS_MAX];
    struct rc_msgpack_json json = {.text = reader->room + RC_ARGS_BEFORE_MAX,
                                   .room = reader->room_bytes - RC_ARGS_BEFORE_MAX,
                                   .attachments = attachments,
                                   .attachment_max = RC_ARGS_ATTACHMENTS_MAX};
    if (rc_msgpack_to_json_array(data, count, &json) < 0) {
        return -EBADMSG;
    }
    operation->data_kind = RC_DATA_ARGS;
    operation->data =
        rc_args_wrap(json.text, json.count, json.room - json.count, json.attachments, json.attachment_count);
    return operation->data.count > 0 ? 0 : -EBADMSG;
}

static int unpack_event(struct rc_span data, struct rc_reader *reader, struct rc_operation *operation)
{
    struct rc_msgpack_reader rest = rc_msgpack_reader_of(data);
    struct rc_msgpack_value name;
    uint32_t count;
    operation->type = RC_OPERATION_EVENT;
    if (rc_msgpack_array(&rest, &count) < 0 || count == 0 || rc_msgpack_next(&rest, &name) < 0 ||
        unpack_name(&name, reader, operation) < 0) {
        return -EBADMSG;
    }
    return unpack_args(&rest, count - 1, reader, operation);
}

static int unpack_ack(struct rc_span data, struct rc_reader *reader, struct rc_operation *operation)
{
    struct rc_msgpack_reader rest = rc_msgpack_reader_of(data);
    uint32_t count;
    operation->type = RC_OPERATION_ACK;
    return rc_msgpack_array(&rest, &count) < 0 ? -EBADMSG : unpack_args(&rest, count, reader, operation);
}

/* The payload of a CONNECT: a map, or nothing. Binary in it has no place in JSON. */
static int unpack_connect(struct rc_span data, struct rc_reader *reader, struct rc_operation *operation)
{
    struct rc_msgpack_reader rest = rc_msgpack_reader_of(data);
    struct rc_msgpack_json json = {.text = reader->room, .room = reader->room_bytes};
    struct rc_msgpack_value value;
    operation->type = RC_OPERATION_CONNECT;
    if (data.count == 0) {
        return 0;
    }
    if (rc_msgpack_peek(&rest, &value) < 0 || value.type != RC_MSGPACK_MAP || rc_msgpack_to_json(&rest, &json) < 0) {
        return -EBADMSG;
    }
    operation->data = rc_span_of(json.text, json.count);
    return 0;
}

static int unpack_payload(uint64_t type, struct rc_span data, struct rc_reader *reader, struct rc_operation *operation)
{
    switch (type) {
    case PACKET_CONNECT:
        return unpack_connect(data, reader, operation);
    case PACKET_DISCONNECT:
        operation->type = RC_OPERATION_LEAVE;
        return data.count == 0 ? 0 : -EBADMSG;
    case PACKET_EVENT:
        return unpack_event(data, reader, operation);
    case PACKET_ACK:
        return unpack_ack(data, reader, operation);
    default: /* CONNECT_ERROR is the server's */
        return -EBADMSG;
    }
}

static int msgpack_decode(struct rc_reader *reader, struct rc_operation *operation, struct rc_operation_error *error)
{
    struct members members;
    uint64_t type;
    uint64_t id;
    if (reader->ended) {
        return 0;
    }
    reader->ended = true;
    rc_operation_reset(operation);
    RC_ASSERT(reader->room_bytes >= rc_codec_socketio_msgpack.room_bytes_max(reader->frame.count));
    if (reader->kind != RC_PART_BINARY || unpack_members(reader->frame, &members) < 0) {
        return rc_sio_broken(error, "no packet of socket.io-msgpack-parser");
    }
    if (!members.has_type || !whole_number(&members.type, &type)) {
        return rc_sio_broken(error, "no type of a packet");
    }
    operation->nsp = members.nsp.bytes;
    if (!members.has_nsp || members.nsp.type != RC_MSGPACK_STRING || operation->nsp.count == 0 ||
        operation->nsp.bytes[0] != '/' || operation->nsp.count > RC_SIO_NSP_MAX ||
        !rc_json_utf8_valid(operation->nsp)) {
        return rc_sio_broken(error, "no namespace");
    }
    if (members.has_id) {
        char *digits = (char *)reader->scratch->bytes;
        if (!whole_number(&members.id, &id)) {
            return rc_sio_broken(error, "no id of a packet");
        }
        operation->id = rc_span_of(digits, (size_t)(rc_decimal_write(digits, id) - digits));
        reader->scratch_used = operation->id.count;
    }
    if (unpack_payload(type, members.data, reader, operation) < 0) {
        return rc_sio_broken(error, "an invalid payload");
    }
    return 1;
}

static size_t msgpack_room_bytes_max(size_t message_bytes)
{
    return RC_ARGS_BEFORE_MAX + RC_MSGPACK_JSON_BYTES_MAX(message_bytes, RC_ARGS_ATTACHMENTS_MAX) + message_bytes;
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

/* The map's head, names of members, an id, a type, heads of arrays and strings, names in payloads. */
#define PACKET_AROUND_MAX 128u

/* All attachments as often as they are named: a row may give one twice. */
static size_t attachments_bytes(const struct rc_args_view *view)
{
    struct rc_placeholders walk;
    uint32_t number;
    size_t bytes = view->attachments.count;
    uint64_t named[RC_ARGS_ATTACHMENTS_MAX / 64] = {0};
    rc_placeholders_begin(&walk, view->json);
    while (view->attachment_count > 0 && rc_placeholders_next(&walk, &number) == 1) {
        if (number < view->attachment_count) {
            if (named[number / 64] >> number % 64 & 1) {
                bytes += rc_args_attachment(view, number).count;
            }
            named[number / 64] |= (uint64_t)1 << number % 64;
        }
    }
    return bytes;
}

static size_t msgpack_bytes_max(const struct rc_event *event, uint32_t *parts)
{
    const size_t strings =
        rc_sio_name_of(event).count + 2 * event->channel.count + event->message.count + event->standing.count;
    *parts = 1;
    if (event->data_kind == RC_DATA_BINARY) {
        return PACKET_AROUND_MAX + strings + event->data.count;
    }
    size_t attachment_bytes = 0;
    size_t json_bytes = event->data.count;
    uint32_t attachment_count = 0;
    struct rc_args_view view;
    if (event->data_kind == RC_DATA_ARGS && rc_args_read(event->data, &view) == 0) {
        json_bytes = view.json.count;
        attachment_bytes = attachments_bytes(&view);
        attachment_count = view.attachment_count;
    }
    return PACKET_AROUND_MAX + strings + RC_JSON_MSGPACK_BYTES_MAX(json_bytes, attachment_bytes, attachment_count);
}

static void pack_name(struct rc_msgpack_writer *out, const char *name)
{
    rc_msgpack_put_string(out, rc_span_text(name));
}

/* [name, ...args], and of an acknowledgement [...args]. -EBADMSG: what should be JSON is none. */
static int pack_args(struct rc_msgpack_writer *out, const struct rc_event *event)
{
    const bool ack = event->type == RC_EVENT_ACK;
    const struct rc_span offset = rc_sio_offset_of(event);
    struct rc_span attachments[RC_ARGS_ATTACHMENTS_MAX];
    struct rc_args_view view;
    if (event->data_kind == RC_DATA_ARGS) {
        uint32_t count = 0;
        size_t at = 0;
        if (rc_args_read(event->data, &view) < 0) {
            return -EBADMSG;
        }
        while (count < RC_ARGS_ATTACHMENTS_MAX && rc_args_next(&view, &count, &at, &attachments[count])) {}
        return ack ? rc_json_to_msgpack(out, view.json, attachments, count)
                   : rc_json_to_msgpack_event(out, rc_sio_name_of(event), view.json, attachments, count, offset);
    }
    rc_msgpack_put_array(out, ack ? 1 : 2u + (offset.count > 0));
    if (!ack) {
        rc_msgpack_put_string(out, rc_sio_name_of(event));
    }
    int rc = 0;
    if (event->data_kind == RC_DATA_BINARY) {
        rc_msgpack_put_binary(out, event->data);
    } else {
        rc = rc_json_to_msgpack(out, event->data, NULL, 0);
    }
    if (offset.count > 0) {
        rc_msgpack_put_string(out, offset);
    }
    return rc;
}

/* `data` of an event or an acknowledgement. JSON out of another process's memory may be none: then it has no arguments. */
static void pack_array(struct rc_msgpack_writer *out, const struct rc_event *event)
{
    const size_t before = out->count;
    if (pack_args(out, event) == 0 && !out->full) {
        return;
    }
    out->count = before;
    out->full = false;
    rc_msgpack_put_array(out, event->type == RC_EVENT_ACK ? 0 : 1);
    if (event->type != RC_EVENT_ACK) {
        rc_msgpack_put_string(out, rc_sio_name_of(event));
    }
}

/* `data` of what the server says by itself. */
static void pack_own(struct rc_msgpack_writer *out, const struct rc_event *event)
{
    switch (event->type) {
    case RC_EVENT_CONNECTED:
        rc_msgpack_put_map(out, event->standing.count > 0 ? 2 : 1);
        pack_name(out, "sid");
        rc_msgpack_put_string(out, event->data);
        if (event->standing.count > 0) {
            pack_name(out, "pid");
            rc_msgpack_put_string(out, event->standing);
        }
        return;
    case RC_EVENT_CONNECT_ERROR:
        rc_msgpack_put_map(out, event->data.count > 0 ? 2 : 1);
        pack_name(out, "message");
        rc_msgpack_put_string(out, event->message);
        if (event->data.count > 0) {
            pack_name(out, "data");
            const size_t before = out->count;
            if (rc_json_to_msgpack(out, event->data, NULL, 0) < 0) {
                out->count = before;
                rc_msgpack_put_nil(out);
            }
        }
        return;
    case RC_EVENT_GAP:
        rc_msgpack_put_array(out, 2);
        rc_msgpack_put_string(out, rc_sio_name_of(event));
        rc_msgpack_put_map(out, event->channel.count > 0 ? 1 : 0);
        if (event->channel.count > 0) {
            pack_name(out, "channel");
            rc_msgpack_put_string(out, event->channel);
        }
        return;
    case RC_EVENT_ERROR:
        rc_msgpack_put_array(out, 2);
        rc_msgpack_put_string(out, rc_sio_name_of(event));
        rc_msgpack_put_map(out, 2);
        pack_name(out, "code");
        rc_msgpack_put_unsigned(out, (uint64_t)event->code);
        pack_name(out, "message");
        rc_msgpack_put_string(out, event->message);
        return;
    default:
        rc_msgpack_put_nil(out);
        return;
    }
}

static enum packet_type packet_type_of(const struct rc_event *event)
{
    switch (event->type) {
    case RC_EVENT_CONNECTED:
        return PACKET_CONNECT;
    case RC_EVENT_CONNECT_ERROR:
        return PACKET_CONNECT_ERROR;
    case RC_EVENT_DISCONNECTED:
        return PACKET_DISCONNECT;
    case RC_EVENT_ACK:
        return PACKET_ACK;
    default:
        return PACKET_EVENT;
    }
}

static uint64_t id_number(struct rc_span id)
{
    uint64_t number = 0;
    for (size_t i = 0; i < id.count && i < RC_SIO_ID_DIGITS_MAX; i++) {
        number = number * 10 + (uint64_t)(id.bytes[i] - '0');
    }
    return number;
}

static void msgpack_encode(const struct rc_event *event, struct rc_unit *unit)
{
    uint32_t parts;
    const size_t bytes_max = msgpack_bytes_max(event, &parts);
    struct rc_msgpack_writer out = rc_msgpack_writer_of(rc_unit_part(unit, bytes_max), bytes_max);
    const bool array = event->type == RC_EVENT_MESSAGE || event->type == RC_EVENT_DIRECT || event->type == RC_EVENT_ACK;
    const bool has_id = array && event->id.count > 0;
    const bool has_data = event->type != RC_EVENT_DISCONNECTED;
    rc_msgpack_put_map(&out, 2u + has_data + has_id);
    pack_name(&out, "type");
    rc_msgpack_put_unsigned(&out, packet_type_of(event));
    if (has_data) {
        pack_name(&out, "data");
        if (array) {
            pack_array(&out, event);
        } else {
            pack_own(&out, event);
        }
    }
    pack_name(&out, "nsp");
    rc_msgpack_put_string(&out, rc_sio_nsp_of(event));
    if (has_id) {
        pack_name(&out, "id");
        rc_msgpack_put_unsigned(&out, id_number(event->id));
    }
    RC_ASSERT(!out.full);
    rc_unit_part_end(unit, RC_PART_BINARY, out.count);
}

const struct rc_codec rc_codec_socketio_msgpack = {
    .name = "socketio_msgpack",
    .events = RC_EVENT_BIT(RC_EVENT_MESSAGE) | RC_EVENT_BIT(RC_EVENT_DIRECT) | RC_EVENT_BIT(RC_EVENT_GAP) |
              RC_EVENT_BIT(RC_EVENT_ERROR) | RC_EVENT_BIT(RC_EVENT_CONNECTED) | RC_EVENT_BIT(RC_EVENT_CONNECT_ERROR) |
              RC_EVENT_BIT(RC_EVENT_DISCONNECTED) | RC_EVENT_BIT(RC_EVENT_ACK),
    .hears_channels = true,
    .decode = msgpack_decode,
    .room_bytes_max = msgpack_room_bytes_max,
    .event_bytes_max = msgpack_bytes_max,
    .encode = msgpack_encode,
    .heartbeat = rc_eio_heartbeat,
    .goodbye = rc_eio_goodbye,
};
