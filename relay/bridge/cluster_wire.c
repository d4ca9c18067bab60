/* cluster_wire: see cluster_wire.h. */
#include "relay/bridge/cluster_wire.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/text/base64.h"
#include "common/text/json_scan.h"
#include "common/text/msgpack_json.h"

/* What a broadcast of ours has around event, room and data. */
#define AROUND_BYTES 256u

/* --- reading: JSON --------------------------------------------------------------------------------------------------- */

/* The types of what is asked; the others are answers, and signs of life. */
static const uint8_t types[] = {
    [0] = RC_ADAPTER_NOTHING, [1] = RC_ADAPTER_NOTHING,      [2] = RC_ADAPTER_NOTHING,    [3] = RC_ADAPTER_BROADCAST,
    [4] = RC_ADAPTER_JOIN,    [5] = RC_ADAPTER_LEAVE,        [6] = RC_ADAPTER_DISCONNECT, [7] = RC_ADAPTER_FETCH,
    [8] = RC_ADAPTER_NOTHING, [9] = RC_ADAPTER_SERVER_EVENT,
};

static struct rc_span cluster_text(const struct rc_json_value *value)
{
    return value->type == RC_JSON_STRING ? value->raw : (struct rc_span){0};
}

static struct rc_span cluster_array(const struct rc_json_value *value)
{
    return value->type == RC_JSON_ARRAY ? value->raw : (struct rc_span){0};
}

typedef int cluster_member(struct rc_cluster_message *message, const struct rc_json_value *name,
                           const struct rc_json_value *value);

static int cluster_members(struct rc_cluster_message *message, struct rc_span object, uint32_t flags,
                           cluster_member *member)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    int got = rc_json_object_begin(&cursor, object, flags);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        const int rc = member(message, &name, &value);
        got = rc < 0 ? rc : got;
    }
    return got;
}

static int cluster_packet(struct rc_cluster_message *message, const struct rc_json_value *name,
                          const struct rc_json_value *value)
{
    struct rc_adapter_broadcast *broadcast = &message->request.broadcast;
    if (rc_json_string_is(name, RC_SPAN("type"))) {
        return rc_json_uint64(value, &broadcast->type) == 0 ? 0 : -EINVAL;
    }
    if (rc_json_string_is(name, RC_SPAN("data"))) {
        broadcast->data = cluster_array(value);
    }
    return 0; /* "nsp" is the message's own */
}

/* A whole number of milliseconds; what is none says nothing. */
static uint32_t cluster_ms(const struct rc_json_value *value)
{
    uint64_t whole;
    if (rc_json_uint64(value, &whole) != 0) {
        return 0;
    }
    return whole < UINT32_MAX ? (uint32_t)whole : UINT32_MAX;
}

static int cluster_flag(struct rc_cluster_message *message, const struct rc_json_value *name,
                        const struct rc_json_value *value)
{
    struct rc_adapter_broadcast *broadcast = &message->request.broadcast;
    if (rc_json_string_is(name, RC_SPAN("volatile"))) {
        broadcast->is_volatile = value->type == RC_JSON_TRUE;
    } else if (rc_json_string_is(name, RC_SPAN("timeout"))) {
        broadcast->timeout_ms = cluster_ms(value);
    }
    return 0; /* the others are the sender's business, or its client's */
}

static int cluster_option(struct rc_cluster_message *message, const struct rc_json_value *name,
                          const struct rc_json_value *value)
{
    if (rc_json_string_is(name, RC_SPAN("rooms"))) {
        return rc_adapter_rooms_take(value, &message->request.rooms);
    }
    if (rc_json_string_is(name, RC_SPAN("except"))) {
        return rc_adapter_rooms_take(value, &message->request.except);
    }
    if (rc_json_string_is(name, RC_SPAN("flags")) && value->type == RC_JSON_OBJECT) {
        return cluster_members(message, value->raw, 0, cluster_flag);
    }
    return 0;
}

static int cluster_data(struct rc_cluster_message *message, const struct rc_json_value *name,
                        const struct rc_json_value *value)
{
    struct rc_adapter_request *request = &message->request;
    if (rc_json_string_is(name, RC_SPAN("opts"))) {
        request->has_options = true;
        return value->type == RC_JSON_OBJECT ? cluster_members(message, value->raw, 0, cluster_option) : -EINVAL;
    }
    if (rc_json_string_is(name, RC_SPAN("packet"))) {
        request->data = cluster_array(value);
        return value->type == RC_JSON_OBJECT ? cluster_members(message, value->raw, 0, cluster_packet) : 0;
    }
    if (rc_json_string_is(name, RC_SPAN("requestId"))) {
        request->id = cluster_text(value);
        return request->id.count <= RC_ADAPTER_REQUEST_ID_MAX + 2 ? 0 : -EINVAL;
    }
    if (rc_json_string_is(name, RC_SPAN("rooms"))) {
        request->targets = cluster_array(value);
    } else if (rc_json_string_is(name, RC_SPAN("close"))) {
        request->close = value->type == RC_JSON_TRUE;
    }
    return 0;
}

static int cluster_type(struct rc_cluster_message *message, const struct rc_json_value *value)
{
    uint64_t type;
    if (rc_json_uint64(value, &type) != 0) {
        return -EINVAL;
    }
    message->request.type =
        (enum rc_adapter_request_type)(type < RC_ARRAY_COUNT(types) ? types[type] : RC_ADAPTER_NOTHING);
    return 0;
}

static int cluster_envelope(struct rc_cluster_message *message, const struct rc_json_value *name,
                            const struct rc_json_value *value)
{
    if (rc_json_string_is(name, RC_SPAN("type"))) {
        return cluster_type(message, value);
    }
    if (rc_json_string_is(name, RC_SPAN("data"))) {
        return value->type == RC_JSON_OBJECT ? cluster_members(message, value->raw, 0, cluster_data) : 0;
    }
    if (rc_json_string_is(name, RC_SPAN("uid"))) {
        const struct rc_span text = cluster_text(value);
        if (text.count < 3 || value->escaped) {
            return -EINVAL;
        }
        message->request.uid = rc_span_of(text.bytes + 1, text.count - 2);
    } else if (rc_json_string_is(name, RC_SPAN("nsp"))) {
        return rc_json_string_decode(value, message->nsp_text, sizeof(message->nsp_text), &message->nsp);
    }
    return 0;
}

/* Its text. */
static int cluster_keep_id(struct rc_adapter_request *request)
{
    struct rc_json_value value;
    const int rc = rc_json_scan(request->id, 0, &value, NULL);
    return rc < 0 ? rc
                  : rc_json_string_decode(&value, (uint8_t *)request->scratch, sizeof(request->scratch),
                                          &request->id_text);
}

/* Is everything there that its type takes? */
static int cluster_check(struct rc_cluster_message *message)
{
    struct rc_adapter_request *request = &message->request;
    struct rc_adapter_broadcast *broadcast = &request->broadcast;
    if (request->uid.count == 0 || request->uid.count > RC_ADAPTER_ASKER_MAX || message->nsp.count == 0 ||
        message->nsp.count > RC_NSP_MAX) {
        return -EINVAL;
    }
    const bool of_sockets = request->type != RC_ADAPTER_SERVER_EVENT && request->type != RC_ADAPTER_NOTHING;
    if (of_sockets && !request->has_options) {
        return -EINVAL;
    }
    switch (request->type) {
    case RC_ADAPTER_BROADCAST:
        broadcast->uid = request->uid;
        broadcast->nsp = message->nsp;
        broadcast->is_json = true;
        broadcast->rooms = rc_adapter_rooms_of(request->rooms);
        broadcast->except = rc_adapter_rooms_of(request->except);
        if (broadcast->data.count == 0 || broadcast->type == UINT64_MAX) {
            return -EINVAL;
        }
        return request->id.count > 0 ? cluster_keep_id(request) : 0;
    case RC_ADAPTER_FETCH:
        return request->id.count > 0 ? 0 : -EINVAL;
    case RC_ADAPTER_JOIN:
    case RC_ADAPTER_LEAVE:
        request->id = (struct rc_span){0}; /* nobody answers it, whatever it says */
        return request->targets.count > 0 ? 0 : -EINVAL;
    case RC_ADAPTER_SERVER_EVENT:
        return request->data.count > 0 ? 0 : -EINVAL;
    default:
        request->id = (struct rc_span){0};
        return 0;
    }
}

/* --- reading: msgpack ------------------------------------------------------------------------------------------------ */

static size_t json_room(size_t bytes, size_t text_bytes_max)
{
    const size_t most = RC_MSGPACK_JSON_BYTES_MAX(bytes, RC_ARGS_ATTACHMENTS_MAX);
    return most < text_bytes_max ? most : text_bytes_max;
}

size_t rc_cluster_read_room(size_t message_bytes, size_t text_bytes_max)
{
    return message_bytes + json_room(message_bytes, text_bytes_max); /* base64 is decoded first */
}

/* A map as JSON text, its binary as attachments. */
static int cluster_unpack(struct rc_cluster_message *message, struct rc_span bytes, uint8_t *buffer, size_t room,
                          struct rc_span *text)
{
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(bytes);
    struct rc_msgpack_json json = {
        .text = buffer, .room = room, .attachments = message->attachments, .attachment_max = RC_ARGS_ATTACHMENTS_MAX};
    const int rc = rc_msgpack_to_json(&reader, &json);
    if (rc < 0 || rc_msgpack_left(&reader) > 0) {
        return rc < 0 ? rc : -EBADMSG;
    }
    message->request.broadcast.attachments = message->attachments;
    message->request.broadcast.attachment_count = json.attachment_count;
    *text = rc_span_of(json.text, json.count);
    return 0;
}

static void cluster_begin(struct rc_cluster_message *message)
{
    message->request = (struct rc_adapter_request){.type = RC_ADAPTER_NOTHING, .broadcast = {.type = UINT64_MAX}};
    message->nsp = (struct rc_span){0};
}

int rc_cluster_read(struct rc_cluster_message *message, struct rc_span bytes, uint8_t *buffer, size_t room)
{
    struct rc_span text = bytes;
    int rc = 0;
    cluster_begin(message);
    if (bytes.count == 0 || bytes.bytes[0] != '{') {
        rc = cluster_unpack(message, bytes, buffer, room, &text);
    }
    rc = rc == 0 ? cluster_members(message, text, RC_JSON_CHECK_UTF8, cluster_envelope) : rc;
    return rc == 0 ? cluster_check(message) : rc;
}

struct rc_cluster_entry rc_cluster_entry_of(const struct rc_span *values, uint32_t value_count)
{
    struct rc_cluster_entry entry = {.uid = {0}};
    for (uint32_t i = 0; i + 1 < value_count; i += 2) {
        if (rc_span_equal(values[i], RC_SPAN("uid"))) {
            entry.uid = values[i + 1];
        } else if (rc_span_equal(values[i], RC_SPAN("nsp"))) {
            entry.nsp = values[i + 1];
        } else if (rc_span_equal(values[i], RC_SPAN("type"))) {
            entry.type = values[i + 1];
        } else if (rc_span_equal(values[i], RC_SPAN("data"))) {
            entry.data = values[i + 1];
        }
    }
    return entry;
}

int rc_cluster_read_entry(struct rc_cluster_message *message, const struct rc_cluster_entry *entry, uint8_t *buffer,
                          size_t room)
{
    const struct rc_json_value type = {.raw = entry->type, .type = RC_JSON_NUMBER};
    struct rc_span text = entry->data;
    cluster_begin(message);
    message->request.uid = entry->uid;
    message->nsp = entry->nsp;
    int rc = cluster_type(message, &type);
    if (rc == 0 && text.count > 0 && text.bytes[0] != '{') {
        const int64_t bytes = text.count <= room ? rc_base64_decode(buffer, text.bytes, text.count) : -EMSGSIZE;
        rc = bytes < 0 ? (int)bytes
                       : cluster_unpack(message, rc_span_of(buffer, (size_t)bytes), buffer + text.count,
                                        room - text.count, &text);
    }
    if (rc == 0 && text.count > 0) {
        rc = cluster_members(message, text, RC_JSON_CHECK_UTF8, cluster_data);
    }
    if (rc == 0 && !(rc_json_utf8_valid(message->nsp) && rc_json_utf8_valid(message->request.uid))) {
        rc = -EILSEQ;
    }
    return rc == 0 ? cluster_check(message) : rc;
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

/* The arguments of an event as JSON, its attachments apart. */
struct cluster_args {
    struct rc_span json; /* the array; or the one argument */
    bool is_array;
    struct rc_span attachments[RC_ARGS_ATTACHMENTS_MAX];
    uint32_t attachment_count;
};

static int args_of(const struct rc_envelope_view *view, struct cluster_args *args)
{
    const struct rc_span data = rc_span_of(view->data, view->head.data_bytes);
    struct rc_args_view parts;
    size_t offset = 0;
    args->attachment_count = 0;
    args->is_array = (view->head.flags & RC_ENVELOPE_ARGS) != 0;
    if (!args->is_array) {
        args->json = data;
        if ((view->head.flags & RC_ENVELOPE_BINARY) != 0) {
            args->json = RC_SPAN("{\"_placeholder\":true,\"num\":0}");
            args->attachments[args->attachment_count++] = data;
        }
        return 0;
    }
    if (rc_args_read(data, &parts) < 0 || rc_json_peek(parts.json) != RC_JSON_ARRAY) {
        return -EBADMSG;
    }
    args->json = parts.json;
    while (rc_args_next(&parts, &args->attachment_count, &offset, &args->attachments[args->attachment_count])) {}
    return 0;
}

struct text_out {
    uint8_t *bytes;
    size_t room;
    size_t count;
};

static void out_put(struct text_out *out, struct rc_span text)
{
    RC_ASSERT(text.count <= out->room - out->count);
    if (text.count > 0) {
        memcpy(out->bytes + out->count, text.bytes, text.count);
    }
    out->count += text.count;
}

static void out_string(struct text_out *out, struct rc_span text)
{
    const size_t bytes = rc_json_string_encode(out->bytes + out->count, out->room - out->count, text);
    RC_ASSERT(bytes > 0);
    out->count += bytes;
}

/* Names of rooms, without the brackets. */
static void out_names(struct text_out *out, struct rc_span names)
{
    struct rc_span room;
    for (bool any = false; rc_adapter_name_next(&names, &room); any = true) {
        out_put(out, any ? RC_SPAN(",") : (struct rc_span){0});
        out_string(out, room);
    }
}

/* {"packet":…[,"requestId":…],"opts":…} */
static void out_data(struct text_out *out, const struct rc_adapter_message *message, const struct cluster_args *args)
{
    struct rc_json_cursor cursor;
    struct rc_json_value first;
    struct rc_span rest = args->json;
    bool some = true;
    if (args->is_array) { /* of [a, b] what is behind the bracket */
        some = rc_json_array_begin(&cursor, args->json, 0) == 0 && rc_json_array_next(&cursor, &first) == 1;
        const uint8_t *open = memchr(args->json.bytes, '[', args->json.count);
        rest = rc_span_of(open + 1, (size_t)(args->json.bytes + args->json.count - open - 1));
    }
    out_put(out, RC_SPAN("{\"packet\":{\"type\":2,\"data\":["));
    out_string(out, message->event);
    out_put(out, some ? RC_SPAN(",") : (struct rc_span){0});
    out_put(out, rest); /* of an array with its closing bracket */
    out_put(out, args->is_array ? RC_SPAN("}") : RC_SPAN("]}"));
    if (message->id.count > 0) {
        out_put(out, RC_SPAN(",\"requestId\":"));
        out_string(out, message->id);
    }
    out_put(out, RC_SPAN(",\"opts\":{\"rooms\":["));
    if (message->room.count > 0) {
        out_string(out, message->room);
    } else {
        out_names(out, message->rooms);
    }
    const bool is_volatile = (message->view->head.flags & RC_ENVELOPE_VOLATILE) != 0;
    out_put(out, RC_SPAN("],\"except\":["));
    out_names(out, message->except);
    out_put(out, is_volatile ? RC_SPAN("],\"flags\":{\"volatile\":true}}}") : RC_SPAN("],\"flags\":{}}}"));
}

static size_t text_room(const struct rc_adapter_message *message)
{
    return AROUND_BYTES + message->view->head.data_bytes + RC_JSON_STRING_BYTES_MAX(message->uid.count) +
           RC_JSON_STRING_BYTES_MAX(message->nsp.count) + RC_JSON_STRING_BYTES_MAX(message->room.count) +
           RC_JSON_STRING_BYTES_MAX(message->event.count) + RC_JSON_STRING_BYTES_MAX(message->id.count) +
           RC_JSON_STRING_BYTES_MAX(message->except.count) + RC_JSON_STRING_BYTES_MAX(message->rooms.count) +
           /* quotes and a comma for each of the names, of which a byte is the shortest */
           3 * (message->except.count + message->rooms.count);
}

static size_t packed_room(const struct rc_adapter_message *message)
{
    return RC_JSON_MSGPACK_BYTES_MAX(text_room(message), message->view->head.data_bytes, RC_ARGS_ATTACHMENTS_MAX);
}

size_t rc_cluster_write_room(const struct rc_adapter_message *message)
{
    return text_room(message) + RC_BASE64_BYTES(packed_room(message));
}

/* What was written as text, packed behind it. */
static struct rc_span text_pack(const struct text_out *text, const struct cluster_args *args, size_t room)
{
    struct rc_msgpack_writer writer = rc_msgpack_writer_of(text->bytes + text->count, room - text->count);
    const int rc =
        rc_json_to_msgpack(&writer, rc_span_of(text->bytes, text->count), args->attachments, args->attachment_count);
    return rc == 0 ? rc_msgpack_written(&writer) : (struct rc_span){0};
}

/* The text, or packed when it has attachments. */
static struct rc_span cluster_pack(const struct text_out *text, const struct cluster_args *args, size_t room)
{
    return args->attachment_count == 0 ? rc_span_of(text->bytes, text->count) : text_pack(text, args, room);
}

/* False: its data is not what its flags say. */
static bool message_text(const struct rc_adapter_message *message, struct text_out *out, struct cluster_args *args)
{
    if (args_of(message->view, args) < 0) {
        return false;
    }
    out_put(out, RC_SPAN("{\"uid\":"));
    out_string(out, message->uid);
    out_put(out, RC_SPAN(",\"nsp\":"));
    out_string(out, message->nsp);
    out_put(out, RC_SPAN(",\"type\":3,\"data\":"));
    out_data(out, message, args);
    out_put(out, RC_SPAN("}"));
    return true;
}

struct rc_span rc_cluster_write(const struct rc_adapter_message *message, uint8_t *buffer, size_t room)
{
    struct cluster_args args;
    struct text_out out = {.bytes = buffer, .room = text_room(message)};
    RC_ASSERT(room >= rc_cluster_write_room(message));
    return message_text(message, &out, &args) ? cluster_pack(&out, &args, room) : (struct rc_span){0};
}

struct rc_span rc_cluster_pack(const struct rc_adapter_message *message, uint8_t *buffer, size_t room)
{
    struct cluster_args args;
    struct text_out out = {.bytes = buffer, .room = text_room(message)};
    RC_ASSERT(room >= rc_cluster_write_room(message));
    return message_text(message, &out, &args) ? text_pack(&out, &args, room) : (struct rc_span){0};
}

struct rc_span rc_cluster_write_entry(const struct rc_adapter_message *message, uint8_t *buffer, size_t room)
{
    struct cluster_args args;
    struct text_out out = {.bytes = buffer, .room = text_room(message)};
    RC_ASSERT(room >= rc_cluster_write_room(message));
    if (args_of(message->view, &args) < 0) {
        return (struct rc_span){0};
    }
    out_data(&out, message, &args);
    const struct rc_span packed = cluster_pack(&out, &args, text_room(message) + packed_room(message));
    if (args.attachment_count == 0 || packed.count == 0) {
        return packed;
    }
    uint8_t *at = buffer + out.count;
    return rc_span_of(at, rc_base64_encode(at, packed.bytes, packed.count));
}

static size_t ack_text_room(const struct rc_adapter_ack *ack)
{
    return AROUND_BYTES + RC_JSON_STRING_BYTES_MAX(ack->uid.count) + RC_JSON_STRING_BYTES_MAX(ack->nsp.count) +
           RC_JSON_STRING_BYTES_MAX(ack->id.count) + ack->args.json.count;
}

size_t rc_cluster_ack_room(const struct rc_adapter_ack *ack)
{
    const size_t text = ack_text_room(ack);
    return text + RC_JSON_MSGPACK_BYTES_MAX(text, ack->args.attachments.count, ack->args.attachment_count);
}

/* {"uid","nsp","type":12,"data":{"requestId"[,"packet"]}}, its attachments apart. False: its arguments are none. */
static bool ack_text(const struct rc_adapter_ack *ack, struct text_out *out, struct cluster_args *args)
{
    struct rc_json_cursor cursor;
    struct rc_json_value first;
    size_t offset = 0;
    args->attachment_count = 0;
    if (rc_json_array_begin(&cursor, ack->args.json, 0) < 0) {
        return false;
    }
    const int got = rc_json_array_next(&cursor, &first);
    out_put(out, RC_SPAN("{\"uid\":"));
    out_string(out, ack->uid);
    out_put(out, RC_SPAN(",\"nsp\":"));
    out_string(out, ack->nsp);
    out_put(out, RC_SPAN(",\"type\":12,\"data\":{\"requestId\":"));
    out_string(out, ack->id);
    if (got == 1) {
        out_put(out, RC_SPAN(",\"packet\":"));
        out_put(out, first.raw);
        while (args->attachment_count < RC_ARGS_ATTACHMENTS_MAX &&
               rc_args_next(&ack->args, &args->attachment_count, &offset, &args->attachments[args->attachment_count])) {
        }
    }
    out_put(out, RC_SPAN("}}"));
    return got >= 0;
}

struct rc_span rc_cluster_ack_write(const struct rc_adapter_ack *ack, uint8_t *buffer, size_t room)
{
    struct cluster_args args;
    struct text_out out = {.bytes = buffer, .room = ack_text_room(ack)};
    RC_ASSERT(room >= rc_cluster_ack_room(ack));
    return ack_text(ack, &out, &args) ? cluster_pack(&out, &args, room) : (struct rc_span){0};
}

struct rc_span rc_cluster_ack_pack(const struct rc_adapter_ack *ack, uint8_t *buffer, size_t room)
{
    struct cluster_args args;
    struct text_out out = {.bytes = buffer, .room = ack_text_room(ack)};
    RC_ASSERT(room >= rc_cluster_ack_room(ack));
    return ack_text(ack, &out, &args) ? text_pack(&out, &args, room) : (struct rc_span){0};
}
