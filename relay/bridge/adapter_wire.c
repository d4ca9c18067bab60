/* adapter_wire: see adapter_wire.h. */
#include "relay/bridge/adapter_wire.h"

#include <errno.h>
#include <string.h>

#include "common/config/socketio.h"
#include "common/records/args.h"
#include "common/records/channel_name.h"
#include "common/records/select.h"
#include "common/text/decimal.h"
#include "common/text/json_scan.h"
#include "common/text/msgpack_json.h"

/* What a message of ours has around uid, namespace, room, event and data. */
#define AROUND_BYTES 128u

/* --- reading --------------------------------------------------------------------------------------------------------- */

/* A string; nothing (nil, undefined) is the empty one. */
static int adapter_take_text(struct rc_msgpack_reader *reader, struct rc_span *text)
{
    struct rc_msgpack_value value;
    const int rc = rc_msgpack_next(reader, &value);
    *text = value.type == RC_MSGPACK_STRING ? value.bytes : (struct rc_span){0};
    if (rc == 0 && value.type != RC_MSGPACK_STRING && value.type != RC_MSGPACK_NIL) {
        return -EBADMSG;
    }
    return rc;
}

/* An array of rooms; nothing is an empty one. */
static int adapter_take_rooms(struct rc_msgpack_reader *reader, struct rc_adapter_rooms *rooms)
{
    struct rc_msgpack_value value;
    struct rc_span raw;
    int rc = rc_msgpack_peek(reader, &value);
    if (rc == 0 && value.type == RC_MSGPACK_NIL) {
        *rooms = (struct rc_adapter_rooms){.count = 0};
        return rc_msgpack_next(reader, &value);
    }
    rc = rc == 0 ? rc_msgpack_skip(reader, &raw) : rc;
    if (rc < 0) {
        return rc;
    }
    rooms->reader = rc_msgpack_reader_of(raw);
    return rc_msgpack_array(&rooms->reader, &rooms->count);
}

static int packet_member(struct rc_adapter_broadcast *broadcast, struct rc_msgpack_reader *reader, struct rc_span name)
{
    struct rc_msgpack_value value;
    if (rc_span_equal(name, RC_SPAN("type"))) {
        const int rc = rc_msgpack_next(reader, &value);
        broadcast->type = rc == 0 && value.type == RC_MSGPACK_UNSIGNED ? value.whole : UINT64_MAX;
        return rc == 0 && value.type != RC_MSGPACK_UNSIGNED ? -EBADMSG : rc;
    }
    if (rc_span_equal(name, RC_SPAN("nsp"))) {
        return adapter_take_text(reader, &broadcast->nsp);
    }
    return rc_msgpack_skip(reader, rc_span_equal(name, RC_SPAN("data")) ? &broadcast->data : NULL);
}

/* A number of milliseconds; what is none says nothing. */
static uint32_t flag_ms(const struct rc_msgpack_value *value)
{
    if (value->type == RC_MSGPACK_UNSIGNED) {
        return value->whole < UINT32_MAX ? (uint32_t)value->whole : UINT32_MAX;
    }
    if (value->type == RC_MSGPACK_FLOAT && value->number > 0) { /* not NaN */
        return value->number < (double)UINT32_MAX ? (uint32_t)value->number : UINT32_MAX;
    }
    return 0;
}

/* A map of flags; nothing, or anything else, is none. */
static int adapter_take_flags(struct rc_adapter_broadcast *broadcast, struct rc_msgpack_reader *reader)
{
    struct rc_msgpack_value value;
    struct rc_span raw;
    int rc = rc_msgpack_skip(reader, &raw);
    if (rc < 0) {
        return rc;
    }
    struct rc_msgpack_reader flags = rc_msgpack_reader_of(raw);
    uint32_t count;
    broadcast->is_volatile = false;
    broadcast->timeout_ms = 0;
    if (rc_msgpack_map(&flags, &count) < 0) {
        return 0;
    }
    for (; count > 0; count--) {
        struct rc_span name;
        if (rc_msgpack_string(&flags, &name) < 0) {
            return 0; /* no key that JavaScript has */
        }
        rc = rc_msgpack_peek(&flags, &value);
        if (rc == 0 && rc_span_equal(name, RC_SPAN("volatile"))) {
            broadcast->is_volatile = value.type == RC_MSGPACK_BOOLEAN && value.boolean;
        } else if (rc == 0 && rc_span_equal(name, RC_SPAN("timeout"))) {
            broadcast->timeout_ms = flag_ms(&value);
        }
        rc = rc == 0 ? rc_msgpack_skip(&flags, NULL) : rc;
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int option_member(struct rc_adapter_broadcast *broadcast, struct rc_msgpack_reader *reader, struct rc_span name)
{
    if (rc_span_equal(name, RC_SPAN("rooms"))) {
        return adapter_take_rooms(reader, &broadcast->rooms);
    }
    if (rc_span_equal(name, RC_SPAN("except"))) {
        return adapter_take_rooms(reader, &broadcast->except);
    }
    if (rc_span_equal(name, RC_SPAN("flags"))) {
        return adapter_take_flags(broadcast, reader);
    }
    return rc_msgpack_skip(reader, NULL);
}

typedef int adapter_take_member(struct rc_adapter_broadcast *broadcast, struct rc_msgpack_reader *reader,
                                struct rc_span name);

static int adapter_take_map(struct rc_adapter_broadcast *broadcast, struct rc_msgpack_reader *reader,
                            adapter_take_member *take)
{
    uint32_t count;
    int rc = rc_msgpack_map(reader, &count);
    for (; rc == 0 && count > 0; count--) {
        struct rc_span name;
        rc = rc_msgpack_string(reader, &name);
        rc = rc == 0 ? take(broadcast, reader, name) : rc;
    }
    return rc;
}

int rc_adapter_broadcast_read(struct rc_adapter_broadcast *broadcast, struct rc_span message)
{
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(message);
    uint32_t count;
    *broadcast = (struct rc_adapter_broadcast){.type = UINT64_MAX};
    int rc = rc_msgpack_array(&reader, &count);
    if (rc < 0 || count != 3) {
        return -EBADMSG;
    }
    rc = rc_msgpack_string(&reader, &broadcast->uid);
    rc = rc == 0 ? adapter_take_map(broadcast, &reader, packet_member) : rc;
    rc = rc == 0 ? adapter_take_map(broadcast, &reader, option_member) : rc;
    if (rc == 0 && (rc_msgpack_left(&reader) > 0 || broadcast->type == UINT64_MAX)) {
        return -EBADMSG;
    }
    if (broadcast->nsp.count == 0) {
        broadcast->nsp = RC_SPAN("/");
    }
    return rc;
}

int rc_adapter_parts_read(struct rc_adapter_broadcast *broadcast, struct rc_span packet, struct rc_span options)
{
    struct rc_msgpack_reader packet_reader = rc_msgpack_reader_of(packet);
    struct rc_msgpack_reader option_reader = rc_msgpack_reader_of(options);
    *broadcast = (struct rc_adapter_broadcast){.type = UINT64_MAX, .nsp = RC_SPAN("/")};
    int rc = adapter_take_map(broadcast, &packet_reader, packet_member);
    rc = rc == 0 ? adapter_take_map(broadcast, &option_reader, option_member) : rc;
    if (broadcast->nsp.count == 0) {
        broadcast->nsp = RC_SPAN("/");
    }
    return rc == 0 && broadcast->type == UINT64_MAX ? -EBADMSG : rc;
}

/* A string, or a whole number as its text. False: it is neither. */
static bool text_of(const struct rc_msgpack_value *value, char scratch[RC_ADAPTER_SCRATCH_BYTES], struct rc_span *text)
{
    if (value->type == RC_MSGPACK_STRING) {
        *text = value->bytes;
        return true;
    }
    const bool negative = value->type == RC_MSGPACK_NEGATIVE;
    if (!negative && value->type != RC_MSGPACK_UNSIGNED) {
        return false;
    }
    scratch[0] = '-';
    const char *end = rc_decimal_write(scratch + negative, negative ? 0 - (uint64_t)value->negative : value->whole);
    *text = rc_span_of(scratch, (size_t)(end - scratch));
    return true;
}

static bool room_fits(struct rc_span room)
{
    return rc_channel_name_check((const char *)room.bytes, room.count, RC_CHANNEL_NAME_MAX) == 0;
}

int rc_adapter_rooms_take(const struct rc_json_value *value, struct rc_span *array)
{
    *array = value->type == RC_JSON_ARRAY ? value->raw : (struct rc_span){0};
    return value->type == RC_JSON_ARRAY || value->type == RC_JSON_NULL ? 0 : -EINVAL;
}

struct rc_adapter_rooms rc_adapter_rooms_of(struct rc_span array)
{
    struct rc_adapter_rooms rooms = {.is_json = true};
    struct rc_json_value value;
    if (array.count == 0 || rc_json_array_begin(&rooms.cursor, array, 0) < 0) {
        return (struct rc_adapter_rooms){.count = 0};
    }
    struct rc_json_cursor walk = rooms.cursor;
    while (rc_json_array_next(&walk, &value) == 1) {
        rooms.count++;
    }
    return rooms;
}

static int room_next_json(struct rc_adapter_rooms *rooms, char scratch[RC_ADAPTER_SCRATCH_BYTES], struct rc_span *room)
{
    struct rc_json_value value;
    while (rooms->count > 0 && rc_json_array_next(&rooms->cursor, &value) == 1) {
        rooms->count--;
        *room = value.raw;
        if ((value.type == RC_JSON_NUMBER ||
             rc_json_string_decode(&value, (uint8_t *)scratch, RC_CHANNEL_NAME_MAX, room) == 0) &&
            room_fits(*room)) {
            return 1;
        }
    }
    rooms->count = 0;
    return 0;
}

int rc_adapter_room_next(struct rc_adapter_rooms *rooms, char scratch[RC_ADAPTER_SCRATCH_BYTES], struct rc_span *room)
{
    if (rooms->is_json) {
        return room_next_json(rooms, scratch, room);
    }
    while (rooms->count > 0) {
        struct rc_msgpack_value value;
        struct rc_span raw;
        (void)rc_msgpack_peek(&rooms->reader, &value);
        rooms->count--;
        if (rc_msgpack_skip(&rooms->reader, &raw) < 0) {
            rooms->count = 0; /* adapter_take_rooms has looked */
            return 0;
        }
        if (text_of(&value, scratch, room) && room_fits(*room)) {
            return 1;
        }
    }
    return 0;
}

size_t rc_adapter_event_room(size_t message_bytes, size_t data_bytes_max)
{
    const size_t text = RC_MSGPACK_JSON_BYTES_MAX(message_bytes, RC_ARGS_ATTACHMENTS_MAX);
    return RC_ARGS_BEFORE_MAX + (text < data_bytes_max ? text : data_bytes_max);
}

int rc_adapter_event_split(struct rc_span data, uint8_t out[RC_EVENT_NAME_MAX], struct rc_span *name, uint8_t *args,
                           struct rc_span *arguments)
{
    struct rc_json_cursor cursor;
    struct rc_json_value value;
    if (rc_json_array_begin(&cursor, data, 0) < 0 || rc_json_array_next(&cursor, &value) != 1) {
        return -EINVAL;
    }
    *name = value.raw;
    if ((value.type != RC_JSON_NUMBER && rc_json_string_decode(&value, out, RC_EVENT_NAME_MAX, name) < 0) ||
        name->count > RC_EVENT_NAME_MAX || rc_config_event_reserved(*name)) {
        return -EINVAL;
    }
    const uint8_t *end = data.bytes + data.count - 1; /* "]" */
    const uint8_t *at = value.raw.bytes + value.raw.count;
    const uint8_t *comma = memchr(at, ',', (size_t)(end - at)); /* white space alone may be before it */
    const size_t rest = comma != NULL ? (size_t)(end - comma - 1) : 0;
    args[0] = '[';
    if (rest > 0) {
        memcpy(args + 1, comma + 1, rest);
    }
    args[1 + rest] = ']';
    *arguments = rc_span_of(args, rest + 2);
    return 0;
}

static int event_read_json(struct rc_adapter_event *event, const struct rc_adapter_broadcast *broadcast,
                           uint8_t *buffer, size_t room)
{
    struct rc_span args;
    if (room < RC_ARGS_BEFORE_MAX + broadcast->data.count) {
        return -EMSGSIZE;
    }
    room -= RC_ARGS_BEFORE_MAX;
    if (rc_adapter_event_split(broadcast->data, (uint8_t *)event->scratch, &event->name, buffer + RC_ARGS_BEFORE_MAX,
                               &args) < 0) {
        return -EBADMSG;
    }
    event->data = rc_args_wrap(buffer + RC_ARGS_BEFORE_MAX, args.count, room - args.count, broadcast->attachments,
                               broadcast->attachment_count);
    return event->data.count > 0 ? 0 : -EMSGSIZE;
}

int rc_adapter_event_read(struct rc_adapter_event *event, const struct rc_adapter_broadcast *broadcast, uint8_t *buffer,
                          size_t room)
{
    if (broadcast->is_json) {
        return event_read_json(event, broadcast, buffer, room);
    }
    const struct rc_span data = broadcast->data;
    struct rc_span attachments[RC_ARGS_ATTACHMENTS_MAX];
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(data);
    struct rc_msgpack_value name;
    struct rc_msgpack_json json = {.text = buffer + RC_ARGS_BEFORE_MAX,
                                   .room = room - RC_ARGS_BEFORE_MAX,
                                   .attachments = attachments,
                                   .attachment_max = RC_ARGS_ATTACHMENTS_MAX};
    uint32_t count;
    int rc = rc_msgpack_array(&reader, &count);
    if (rc < 0 || count == 0 || rc_msgpack_next(&reader, &name) < 0 || !text_of(&name, event->scratch, &event->name) ||
        event->name.count > RC_EVENT_NAME_MAX || rc_config_event_reserved(event->name)) {
        return -EBADMSG;
    }
    if (!rc_json_utf8_valid(event->name)) {
        return -EILSEQ;
    }
    rc = rc_msgpack_to_json_array(&reader, count - 1, &json);
    if (rc < 0) {
        return rc;
    }
    event->data = rc_args_wrap(json.text, json.count, json.room - json.count, attachments, json.attachment_count);
    return event->data.count > 0 ? 0 : -EMSGSIZE;
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

size_t rc_adapter_message_room(const struct rc_adapter_message *message)
{
    const size_t data = message->view->head.data_bytes;
    return AROUND_BYTES + message->uid.count + message->nsp.count + message->room.count + message->event.count +
           5 * (message->except.count + message->rooms.count) + /* each name has a head of at most 5 bytes */
           message->id.count + RC_JSON_MSGPACK_BYTES_MAX(data, data, RC_ARGS_ATTACHMENTS_MAX);
}

/* [event, …args] */
static int write_data(struct rc_msgpack_writer *writer, const struct rc_adapter_message *message)
{
    const struct rc_span data = rc_span_of(message->view->data, message->view->head.data_bytes);
    const uint32_t flags = message->view->head.flags;
    struct rc_args_view args;
    if ((flags & RC_ENVELOPE_ARGS) == 0) {
        rc_msgpack_put_array(writer, 2);
        rc_msgpack_put_string(writer, message->event);
        if ((flags & RC_ENVELOPE_BINARY) != 0) {
            rc_msgpack_put_binary(writer, data);
            return 0;
        }
        return rc_json_to_msgpack(writer, data, NULL, 0);
    }
    if (rc_args_read(data, &args) < 0) {
        return -EBADMSG;
    }
    struct rc_span attachments[RC_ARGS_ATTACHMENTS_MAX];
    uint32_t count = 0;
    size_t offset = 0;
    while (rc_args_next(&args, &count, &offset, &attachments[count])) {}
    return rc_json_to_msgpack_event(writer, message->event, args.json, attachments, count, (struct rc_span){0});
}

bool rc_adapter_name_next(struct rc_span *names, struct rc_span *room)
{
    struct rc_span name;
    struct rc_span nsp;
    if (!rc_select_next(names, &name)) {
        return false;
    }
    (void)rc_channel_split(name, &nsp, room);
    return true;
}

static void write_names(struct rc_msgpack_writer *writer, struct rc_span names)
{
    struct rc_span rest = names;
    struct rc_span room;
    uint32_t count = 0;
    while (rc_adapter_name_next(&rest, &room)) {
        count++;
    }
    rc_msgpack_put_array(writer, count);
    while (rc_adapter_name_next(&names, &room)) {
        rc_msgpack_put_string(writer, room);
    }
}

static int write_packet(struct rc_msgpack_writer *writer, const struct rc_adapter_message *message)
{
    rc_msgpack_put_map(writer, 3);
    rc_msgpack_put_string(writer, RC_SPAN("type"));
    rc_msgpack_put_unsigned(writer, RC_ADAPTER_EVENT);
    rc_msgpack_put_string(writer, RC_SPAN("data"));
    if (write_data(writer, message) < 0) {
        return -EBADMSG;
    }
    rc_msgpack_put_string(writer, RC_SPAN("nsp"));
    rc_msgpack_put_string(writer, message->nsp);
    return 0;
}

static void write_options(struct rc_msgpack_writer *writer, const struct rc_adapter_message *message)
{
    const bool is_volatile = (message->view->head.flags & RC_ENVELOPE_VOLATILE) != 0;
    rc_msgpack_put_map(writer, 3);
    rc_msgpack_put_string(writer, RC_SPAN("rooms"));
    if (message->room.count > 0) {
        rc_msgpack_put_array(writer, 1);
        rc_msgpack_put_string(writer, message->room);
    } else {
        write_names(writer, message->rooms);
    }
    rc_msgpack_put_string(writer, RC_SPAN("except"));
    write_names(writer, message->except);
    rc_msgpack_put_string(writer, RC_SPAN("flags"));
    rc_msgpack_put_map(writer, is_volatile ? 1 : 0);
    if (is_volatile) {
        rc_msgpack_put_string(writer, RC_SPAN("volatile"));
        rc_msgpack_put_boolean(writer, true);
    }
}

struct rc_span rc_adapter_message_write(const struct rc_adapter_message *message, uint8_t *buffer, size_t room)
{
    struct rc_msgpack_writer writer = rc_msgpack_writer_of(buffer, room);
    rc_msgpack_put_array(&writer, 3);
    rc_msgpack_put_string(&writer, message->uid);
    if (write_packet(&writer, message) < 0) {
        return (struct rc_span){0};
    }
    write_options(&writer, message);
    return rc_msgpack_written(&writer);
}

struct rc_span rc_adapter_ask_write(const struct rc_adapter_message *message, uint8_t *buffer, size_t room)
{
    struct rc_msgpack_writer writer = rc_msgpack_writer_of(buffer, room);
    rc_msgpack_put_map(&writer, 5);
    rc_msgpack_put_string(&writer, RC_SPAN("uid"));
    rc_msgpack_put_string(&writer, message->uid);
    rc_msgpack_put_string(&writer, RC_SPAN("requestId"));
    rc_msgpack_put_string(&writer, message->id);
    rc_msgpack_put_string(&writer, RC_SPAN("type"));
    rc_msgpack_put_unsigned(&writer, RC_ADAPTER_BROADCAST_ASK);
    rc_msgpack_put_string(&writer, RC_SPAN("packet"));
    if (write_packet(&writer, message) < 0) {
        return (struct rc_span){0};
    }
    rc_msgpack_put_string(&writer, RC_SPAN("opts"));
    write_options(&writer, message);
    return rc_msgpack_written(&writer);
}

size_t rc_adapter_ack_room(const struct rc_adapter_ack *answer)
{
    return AROUND_BYTES + answer->id.count +
           RC_JSON_MSGPACK_BYTES_MAX(answer->args.json.count, answer->args.attachments.count,
                                     answer->args.attachment_count);
}

struct rc_span rc_adapter_ack_write(const struct rc_adapter_ack *answer, uint8_t *buffer, size_t room)
{
    struct rc_msgpack_writer writer = rc_msgpack_writer_of(buffer, room);
    struct rc_span attachments[RC_ARGS_ATTACHMENTS_MAX];
    struct rc_json_cursor cursor;
    struct rc_json_value first;
    uint32_t count = 0;
    size_t offset = 0;
    if (rc_json_array_begin(&cursor, answer->args.json, 0) < 0) {
        return (struct rc_span){0};
    }
    const int got = rc_json_array_next(&cursor, &first);
    rc_msgpack_put_map(&writer, got == 1 ? 3 : 2);
    rc_msgpack_put_string(&writer, RC_SPAN("type"));
    rc_msgpack_put_unsigned(&writer, RC_ADAPTER_BROADCAST_ACK);
    rc_msgpack_put_string(&writer, RC_SPAN("requestId"));
    rc_msgpack_put_string(&writer, answer->id);
    if (got == 1) {
        rc_msgpack_put_string(&writer, RC_SPAN("packet"));
        while (count < RC_ARGS_ATTACHMENTS_MAX && rc_args_next(&answer->args, &count, &offset, &attachments[count])) {}
    }
    if (got < 0 || (got == 1 && rc_json_to_msgpack(&writer, first.raw, attachments, count) < 0)) {
        return (struct rc_span){0};
    }
    return rc_msgpack_written(&writer);
}
