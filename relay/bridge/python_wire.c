/* python_wire: see python_wire.h. */
#include "relay/bridge/python_wire.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/socketio.h"
#include "common/records/channel_name.h"
#include "common/records/placeholders.h"
#include "common/text/base64.h"

/* --- the message ----------------------------------------------------------------------------------------------------- */

static enum rc_python_method python_method(const struct rc_json_value *value)
{
    static const char *const names[] = {[RC_PYTHON_EMIT] = "emit",
                                        [RC_PYTHON_DISCONNECT] = "disconnect",
                                        [RC_PYTHON_ENTER_ROOM] = "enter_room",
                                        [RC_PYTHON_LEAVE_ROOM] = "leave_room",
                                        [RC_PYTHON_CLOSE_ROOM] = "close_room"};
    for (uint32_t i = RC_PYTHON_EMIT; value->type == RC_JSON_STRING && i <= RC_PYTHON_CLOSE_ROOM; i++) {
        if (rc_json_string_is(value, rc_span_text(names[i]))) {
            return (enum rc_python_method)i;
        }
    }
    return RC_PYTHON_OTHER;
}

/* A text of at most `room` bytes; anything else is the empty one. */
static struct rc_span python_text(const struct rc_json_value *value, uint8_t *scratch, size_t room)
{
    struct rc_span text;
    if (value->type != RC_JSON_STRING || rc_json_string_decode(value, scratch, room, &text) < 0) {
        return (struct rc_span){0};
    }
    return text;
}

struct python_members {
    struct rc_json_value method;
    struct rc_json_value nsp;
    struct rc_json_value event;
    struct rc_json_value sid;
};

/* Of a member that occurs twice the last one counts, as in Python. */
static void python_member(struct rc_python_message *message, struct python_members *members,
                          const struct rc_json_value *name, const struct rc_json_value *value)
{
    if (rc_json_string_is(name, RC_SPAN("method"))) {
        members->method = *value;
    } else if (rc_json_string_is(name, RC_SPAN("namespace"))) {
        members->nsp = *value;
    } else if (rc_json_string_is(name, RC_SPAN("event"))) {
        members->event = *value;
    } else if (rc_json_string_is(name, RC_SPAN("sid"))) {
        members->sid = *value;
    } else if (rc_json_string_is(name, RC_SPAN("data"))) {
        message->data = *value;
    } else if (rc_json_string_is(name, RC_SPAN("room"))) {
        message->room = *value;
    } else if (rc_json_string_is(name, RC_SPAN("skip_sid"))) {
        message->skip_sid = *value;
    } else if (rc_json_string_is(name, RC_SPAN("callback"))) {
        message->callback = *value;
    } else if (rc_json_string_is(name, RC_SPAN("host_id"))) {
        message->host_id = *value;
    } else if (rc_json_string_is(name, RC_SPAN("binary"))) {
        message->binary = value->type == RC_JSON_TRUE;
    }
}

static int python_check(struct rc_python_message *message, const struct python_members *members)
{
    message->method = python_method(&members->method);
    if (members->method.type != RC_JSON_STRING) {
        return -EINVAL;
    }
    if (message->method == RC_PYTHON_OTHER) {
        return 0;
    }
    message->nsp = python_text(&members->nsp, message->nsp_text, sizeof(message->nsp_text));
    if (members->nsp.type == RC_JSON_NONE || members->nsp.type == RC_JSON_NULL ||
        rc_json_string_is(&members->nsp, RC_SPAN(""))) { /* namespace or "/", as Python says */
        message->nsp = RC_SPAN("/");
    }
    if (!rc_config_nsp_valid(message->nsp)) {
        return -EINVAL;
    }
    if (message->method == RC_PYTHON_EMIT) {
        message->event = python_text(&members->event, message->event_text, sizeof(message->event_text));
        const bool named = message->event.count > 0 && !rc_config_event_reserved(message->event);
        return named && message->data.type != RC_JSON_NONE ? 0 : -EINVAL;
    }
    /* One that is no sid of ours can be of another server: nothing that is wrong. */
    message->sid = python_text(&members->sid, message->sid_text, sizeof(message->sid_text));
    const bool has_sid = message->method == RC_PYTHON_CLOSE_ROOM || members->sid.type == RC_JSON_STRING;
    const bool has_room = message->method == RC_PYTHON_DISCONNECT || message->room.type != RC_JSON_NONE;
    return has_sid && has_room ? 0 : -EINVAL;
}

int rc_python_read(struct rc_python_message *message, struct rc_span text)
{
    struct python_members members = {.method = {.type = RC_JSON_NONE}};
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    message->binary = false;
    message->nsp = message->event = message->sid = (struct rc_span){0};
    message->data = message->room = message->skip_sid = (struct rc_json_value){.type = RC_JSON_NONE};
    message->callback = message->host_id = message->data;
    int got = rc_json_object_begin(&cursor, text, RC_JSON_CHECK_UTF8);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        python_member(message, &members, &name, &value);
    }
    return got < 0 ? got : python_check(message, &members);
}

/* --- rooms ----------------------------------------------------------------------------------------------------------- */

struct rc_python_names rc_python_names_of(const struct rc_json_value *value)
{
    struct rc_python_names names = {.value = *value, .list = value->type == RC_JSON_ARRAY};
    if (names.list) {
        names.ended = rc_json_array_begin(&names.cursor, value->raw, 0) < 0;
    }
    return names;
}

int rc_python_name_next(struct rc_python_names *names, uint8_t *scratch, struct rc_span *name)
{
    *name = (struct rc_span){0};
    if (names->ended) {
        return 0;
    }
    if (names->list) {
        names->ended = rc_json_array_next(&names->cursor, &names->value) != 1;
    }
    if (names->list && names->ended) {
        return 0;
    }
    names->ended = !names->list;
    const struct rc_json_value *value = &names->value;
    if (value->type == RC_JSON_NULL || value->type == RC_JSON_NONE) {
        return -ENOENT;
    }
    const struct rc_span text =
        value->type == RC_JSON_NUMBER ? value->raw : python_text(value, scratch, RC_CHANNEL_NAME_MAX);
    if (rc_channel_name_check((const char *)text.bytes, text.count, RC_CHANNEL_NAME_MAX) == 0) {
        *name = text;
    }
    return 1;
}

/* --- arguments ------------------------------------------------------------------------------------------------------- */

size_t rc_python_args_room(size_t text_bytes, size_t data_bytes_max)
{
    /* The brackets around one argument; behind it all attachments decoded, before they are laid out. */
    const size_t most = text_bytes + 2;
    return RC_ARGS_BEFORE_MAX + (most < data_bytes_max ? most : data_bytes_max) + text_bytes;
}

/* [null]: what emit makes of no data. */
static bool python_is_nothing(struct rc_span array)
{
    struct rc_json_cursor cursor;
    struct rc_json_value value;
    return rc_json_array_begin(&cursor, array, 0) == 0 && rc_json_array_next(&cursor, &value) == 1 &&
           value.type == RC_JSON_NULL && rc_json_array_next(&cursor, &value) == 0;
}

/* Writes the JSON text of the arguments; its bytes, or -EMSGSIZE. */
static int64_t python_write(const struct rc_json_value *data, uint8_t *out, size_t room)
{
    struct rc_span text = data->raw;
    const bool list = data->type == RC_JSON_ARRAY;
    if (data->type == RC_JSON_NULL || (list && python_is_nothing(text))) {
        text = RC_SPAN("[]");
    } else if (!list) {
        if (room < 2 || text.count > room - 2) {
            return -EMSGSIZE;
        }
        out[0] = '[';
        memcpy(out + 1, text.bytes, text.count);
        out[1 + text.count] = ']';
        return (int64_t)text.count + 2;
    }
    if (text.count > room) {
        return -EMSGSIZE;
    }
    memcpy(out, text.bytes, text.count);
    return (int64_t)text.count;
}

/* Decodes what follows in the list into `out`, which is as large as the list. */
static int python_attachments(struct rc_json_cursor *cursor, uint8_t *out,
                              struct rc_span attachments[RC_ARGS_ATTACHMENTS_MAX], uint32_t *count)
{
    struct rc_json_value value;
    int got;
    *count = 0;
    while ((got = rc_json_array_next(cursor, &value)) == 1) {
        struct rc_span text;
        if (*count == RC_ARGS_ATTACHMENTS_MAX || rc_json_string_decode(&value, out, value.raw.count, &text) < 0) {
            return -EINVAL;
        }
        const int64_t bytes = rc_base64_decode(out, text.bytes, text.count);
        if (bytes < 0) {
            return -EINVAL;
        }
        attachments[(*count)++] = rc_span_of(out, (size_t)bytes);
        out += bytes;
    }
    return got;
}

int rc_python_args(const struct rc_python_message *message, uint8_t *buffer, size_t data_bytes_max,
                   struct rc_span *args)
{
    struct rc_span attachments[RC_ARGS_ATTACHMENTS_MAX];
    struct rc_json_value data = message->data;
    struct rc_json_cursor cursor;
    uint32_t count = 0;
    uint8_t *json = buffer + RC_ARGS_BEFORE_MAX;
    const size_t most = message->data.raw.count + 2;
    const size_t room = most < data_bytes_max ? most : data_bytes_max;
    if (message->binary) {
        if (rc_json_array_begin(&cursor, message->data.raw, 0) < 0 || rc_json_array_next(&cursor, &data) != 1) {
            return -EINVAL;
        }
        const int rc = python_attachments(&cursor, json + room, attachments, &count);
        if (rc < 0) {
            return rc;
        }
    }
    const int64_t bytes = python_write(&data, json, room);
    if (bytes < 0) {
        return (int)bytes;
    }
    if (message->binary && rc_placeholders_check(rc_span_of(json, (size_t)bytes), count) < 0) {
        return -EINVAL;
    }
    *args = rc_args_wrap(json, (size_t)bytes, room - (size_t)bytes, attachments, count);
    return args->count > 0 ? 0 : -EMSGSIZE;
}

/* --- callbacks ------------------------------------------------------------------------------------------------------- */

static bool python_put(uint8_t *out, size_t room, size_t *used, struct rc_span text)
{
    if (text.count > room - *used) {
        return false;
    }
    memcpy(out + *used, text.bytes, text.count);
    *used += text.count;
    return true;
}

int64_t rc_python_callback(const struct rc_python_message *message, uint8_t *out, size_t room)
{
    struct rc_json_cursor cursor;
    struct rc_json_value parts[4]; /* room, namespace, id; no more */
    uint32_t count = 0;
    size_t used = 0;
    if (message->callback.type != RC_JSON_ARRAY || rc_json_array_begin(&cursor, message->callback.raw, 0) < 0) {
        return 0;
    }
    while (count < RC_ARRAY_COUNT(parts) && rc_json_array_next(&cursor, &parts[count]) == 1) {
        count++;
    }
    if (count != 3) {
        return 0;
    }
    if (message->host_id.type != RC_JSON_STRING ||
        !python_put(out, room, &used, RC_SPAN("{\"method\":\"callback\",\"host_id\":")) ||
        !python_put(out, room, &used, message->host_id.raw) || !python_put(out, room, &used, RC_SPAN(",\"sid\":")) ||
        !python_put(out, room, &used, parts[0].raw) || !python_put(out, room, &used, RC_SPAN(",\"namespace\":")) ||
        !python_put(out, room, &used, parts[1].raw) || !python_put(out, room, &used, RC_SPAN(",\"id\":")) ||
        !python_put(out, room, &used, parts[2].raw) || !python_put(out, room, &used, RC_SPAN(",\"args\":"))) {
        return -EINVAL;
    }
    return (int64_t)used;
}
