/* reply: see reply.h. */
#include "worker/backend/reply.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/channel_name.h"
#include "common/records/envelope.h"
#include "common/records/placeholders.h"
#include "common/text/base64.h"

#define NEST_MAX 1u /* `do` within `do` is not there */

/* The members of one object, as they were found; done in the order of the table below, whatever theirs. */
enum member {
    MEMBER_USER,
    MEMBER_SET,
    MEMBER_LEAVE,
    MEMBER_JOIN,
    MEMBER_RETAIN,
    MEMBER_ACK,
    MEMBER_ATTACHMENTS, /* of `ack` */
    MEMBER_EMIT,
    MEMBER_ERROR,
    MEMBER_DISCONNECT,
    MEMBER_DO,
    MEMBER_COUNT,
};

static const char *const member_names[MEMBER_COUNT] = {"user",        "set",  "leave", "join",       "retain", "ack",
                                                       "attachments", "emit", "error", "disconnect", "do"};

static int reply_refuse(struct rc_err *err, const char *what)
{
    return rc_err_set(err, -EBADMSG, "%s", what);
}

static struct rc_reply_operation *reply_add(struct rc_reply *reply, enum rc_reply_type type)
{
    if (reply->count == RC_REPLY_OPERATIONS_MAX) {
        return NULL;
    }
    struct rc_reply_operation *operation = &reply->operations[reply->count++];
    *operation = (struct rc_reply_operation){.type = (uint8_t)type};
    return operation;
}

static int too_many(struct rc_err *err)
{
    return rc_err_set(err, -EBADMSG, "more than %u operations", RC_REPLY_OPERATIONS_MAX);
}

/* A string of 1 to `max` bytes without control characters. */
static bool text_ok(const struct rc_json_value *value, size_t max)
{
    uint8_t scratch[RC_REPLY_MESSAGE_MAX];
    struct rc_span text;
    RC_ASSERT(max <= sizeof(scratch));
    return value->type == RC_JSON_STRING && rc_json_string_decode(value, scratch, max, &text) == 0 && text.count > 0 &&
           rc_channel_name_check((const char *)text.bytes, text.count, max) == 0;
}

/* One room, or an array of them. */
static bool rooms_ok(const struct rc_json_value *value)
{
    struct rc_json_cursor cursor;
    struct rc_json_value room;
    if (value->type != RC_JSON_ARRAY) {
        return text_ok(value, RC_CHANNEL_NAME_MAX);
    }
    uint32_t count = 0;
    int got = rc_json_array_begin(&cursor, value->raw, 0);
    while (got >= 0 && (got = rc_json_array_next(&cursor, &room)) == 1) {
        if (!text_ok(&room, RC_CHANNEL_NAME_MAX) || ++count > RC_EVENT_ROOMS_MAX * 4) {
            return false;
        }
    }
    return got == 0;
}

static bool attachments_ok(const struct rc_json_value *value, uint32_t *count)
{
    struct rc_json_cursor cursor;
    struct rc_json_value one;
    *count = 0;
    if (value->type != RC_JSON_ARRAY) {
        return false;
    }
    int got = rc_json_array_begin(&cursor, value->raw, 0);
    while (got >= 0 && (got = rc_json_array_next(&cursor, &one)) == 1) {
        /* Base64 has nothing to escape. */
        if (one.type != RC_JSON_STRING || one.escaped || ++*count > RC_CONFIG_ATTACHMENTS_MAX) {
            return false;
        }
        for (size_t i = 1; i + 1 < one.raw.count; i++) {
            const uint8_t byte = one.raw.bytes[i];
            const bool letter = (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
                                (byte >= '0' && byte <= '9') || byte == '+' || byte == '/' || byte == '=';
            if (!letter) {
                return false;
            }
        }
    }
    return got == 0;
}

static int args_take(struct rc_reply_operation *operation, const struct rc_json_value *args,
                     const struct rc_json_value *attachments, struct rc_err *err)
{
    uint32_t count = 0;
    if (args->type != RC_JSON_NONE && args->type != RC_JSON_ARRAY) {
        return reply_refuse(err, "arguments are no array");
    }
    if (attachments->type != RC_JSON_NONE && !attachments_ok(attachments, &count)) {
        return reply_refuse(err, "attachments are no array of at most 256 base64 texts");
    }
    if (count > 0 && (args->type == RC_JSON_NONE || rc_placeholders_check(args->raw, count) < 0)) {
        return reply_refuse(err, "a placeholder has no attachment");
    }
    operation->value = args->raw;
    operation->attachments = count > 0 ? attachments->raw : (struct rc_span){0};
    return 0;
}

/* --- members --- */

static int take_rooms(struct rc_reply *reply, enum rc_reply_type type, const struct rc_json_value *value,
                      struct rc_err *err)
{
    struct rc_json_cursor cursor;
    struct rc_json_value room;
    if (value->type != RC_JSON_ARRAY) {
        return reply_refuse(err, "join and leave are arrays of rooms");
    }
    int got = rc_json_array_begin(&cursor, value->raw, 0);
    while (got >= 0 && (got = rc_json_array_next(&cursor, &room)) == 1) {
        if (!text_ok(&room, RC_CHANNEL_NAME_MAX)) {
            return reply_refuse(err, "a room is no text of 1 to 255 bytes without control characters");
        }
        struct rc_reply_operation *operation = reply_add(reply, type);
        if (operation == NULL) {
            return too_many(err);
        }
        operation->name = room;
    }
    return 0;
}

static bool flag_ok(const struct rc_json_value *value)
{
    return value->type == RC_JSON_NONE || value->type == RC_JSON_TRUE || value->type == RC_JSON_FALSE;
}

enum emit_member {
    EMIT_EVENT,
    EMIT_ARGS,
    EMIT_ATTACHMENTS,
    EMIT_TO,
    EMIT_EXCEPT,
    EMIT_NSP,
    EMIT_OTHERS,
    EMIT_VOLATILE,
    EMIT_ACK,
    EMIT_TIMEOUT,
    EMIT_COUNT
};

static int take_emit(struct rc_reply *reply, const struct rc_json_value *value, struct rc_err *err)
{
    static const char *const names[EMIT_COUNT] = {"event", "args",   "attachments", "to",  "except",
                                                  "nsp",   "others", "volatile",    "ack", "timeout"};
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value member;
    struct rc_json_value its[EMIT_COUNT];
    memset(its, 0, sizeof(its));
    if (value->type != RC_JSON_OBJECT) {
        return reply_refuse(err, "emit is no array of objects");
    }
    int got = rc_json_object_begin(&cursor, value->raw, 0);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &member)) == 1) {
        for (uint32_t i = 0; i < EMIT_COUNT; i++) {
            if (rc_json_string_is(&name, rc_span_text(names[i]))) {
                its[i] = member;
            }
        }
    }
    if (!text_ok(&its[EMIT_EVENT], RC_EVENT_NAME_MAX)) {
        return reply_refuse(err, "an emit has no event, or its name is no text of 1 to 255 bytes");
    }
    if ((its[EMIT_TO].type != RC_JSON_NONE && !rooms_ok(&its[EMIT_TO])) ||
        (its[EMIT_EXCEPT].type != RC_JSON_NONE && !rooms_ok(&its[EMIT_EXCEPT]))) {
        return reply_refuse(err, "to and except are a room or at most 64 of them");
    }
    if (its[EMIT_NSP].type != RC_JSON_NONE && !text_ok(&its[EMIT_NSP], RC_NSP_MAX)) {
        return reply_refuse(err, "nsp is no namespace");
    }
    if (!flag_ok(&its[EMIT_OTHERS]) || !flag_ok(&its[EMIT_VOLATILE])) {
        return reply_refuse(err, "others and volatile are true or false");
    }
    uint64_t timeout_ms = 0;
    if (its[EMIT_ACK].type != RC_JSON_NONE && !text_ok(&its[EMIT_ACK], RC_REPLY_TOKEN_MAX)) {
        return reply_refuse(err, "ack of an emit is no text of 1 to 128 bytes without control characters");
    }
    if (its[EMIT_TIMEOUT].type != RC_JSON_NONE &&
        (rc_json_uint64(&its[EMIT_TIMEOUT], &timeout_ms) < 0 || timeout_ms == 0 || timeout_ms > UINT32_MAX)) {
        return reply_refuse(err, "timeout is no whole number of milliseconds");
    }
    struct rc_reply_operation *operation = reply_add(reply, RC_REPLY_EMIT);
    if (operation == NULL) {
        return too_many(err);
    }
    operation->ack = its[EMIT_ACK];
    operation->timeout_ms = (uint32_t)timeout_ms;
    operation->name = its[EMIT_EVENT];
    operation->to = its[EMIT_TO];
    operation->except = its[EMIT_EXCEPT];
    operation->nsp = its[EMIT_NSP];
    operation->others = its[EMIT_OTHERS].type == RC_JSON_TRUE;
    operation->is_volatile = its[EMIT_VOLATILE].type == RC_JSON_TRUE;
    return args_take(operation, &its[EMIT_ARGS], &its[EMIT_ATTACHMENTS], err);
}

enum retain_member { RETAIN_ROOM, RETAIN_DATA, RETAIN_KEY, RETAIN_COUNT };

static int take_retain(struct rc_reply *reply, const struct rc_json_value *value, struct rc_err *err)
{
    static const char *const names[RETAIN_COUNT] = {"room", "data", "key"};
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value member;
    struct rc_json_value its[RETAIN_COUNT];
    memset(its, 0, sizeof(its));
    if (value->type != RC_JSON_OBJECT) {
        return reply_refuse(err, "retain is no array of objects");
    }
    int got = rc_json_object_begin(&cursor, value->raw, 0);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &member)) == 1) {
        for (uint32_t i = 0; i < RETAIN_COUNT; i++) {
            if (rc_json_string_is(&name, rc_span_text(names[i]))) {
                its[i] = member;
            }
        }
    }
    if (!text_ok(&its[RETAIN_ROOM], RC_CHANNEL_NAME_MAX) || its[RETAIN_DATA].type == RC_JSON_NONE) {
        return reply_refuse(err, "retain has no room, or no data");
    }
    if (its[RETAIN_KEY].type != RC_JSON_NONE && !text_ok(&its[RETAIN_KEY], RC_MESSAGE_KEY_MAX)) {
        return reply_refuse(err, "the key of retain is no text of 1 to 64 bytes");
    }
    struct rc_reply_operation *operation = reply_add(reply, RC_REPLY_RETAIN);
    if (operation == NULL) {
        return too_many(err);
    }
    operation->name = its[RETAIN_ROOM];
    operation->value = its[RETAIN_DATA].raw;
    operation->key = its[RETAIN_KEY];
    return 0;
}

/* One object, or an array of them. */
static int take_each(struct rc_reply *reply, const struct rc_json_value *value,
                     int (*take)(struct rc_reply *reply, const struct rc_json_value *value, struct rc_err *err),
                     struct rc_err *err)
{
    struct rc_json_cursor cursor;
    struct rc_json_value one;
    if (value->type != RC_JSON_ARRAY) {
        return take(reply, value, err);
    }
    int rc = rc_json_array_begin(&cursor, value->raw, 0);
    while (rc >= 0 && (rc = rc_json_array_next(&cursor, &one)) == 1) {
        rc = take(reply, &one, err);
    }
    return rc;
}

static int take_object(struct rc_reply *reply, enum rc_reply_type type, const struct rc_json_value *value,
                       struct rc_err *err)
{
    if (value->type != RC_JSON_OBJECT) {
        return reply_refuse(err, type == RC_REPLY_USER ? "user is no object" : "set is no object");
    }
    struct rc_reply_operation *operation = reply_add(reply, type);
    if (operation == NULL) {
        return too_many(err);
    }
    operation->value = value->raw;
    return 0;
}

static int take_ack(struct rc_reply *reply, const struct rc_json_value *value, const struct rc_json_value *attachments,
                    struct rc_err *err)
{
    struct rc_reply_operation *operation = reply_add(reply, RC_REPLY_ACK);
    return operation == NULL ? too_many(err) : args_take(operation, value, attachments, err);
}

static int take_error(struct rc_reply *reply, const struct rc_json_value *value, struct rc_err *err)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value member;
    struct rc_json_value message = {0};
    uint64_t code = 0;
    bool good = value->type == RC_JSON_OBJECT;
    int got = good ? rc_json_object_begin(&cursor, value->raw, 0) : -EBADMSG;
    while (good && got >= 0 && (got = rc_json_object_next(&cursor, &name, &member)) == 1) {
        if (rc_json_string_is(&name, RC_SPAN("code"))) {
            good = rc_json_uint64(&member, &code) == 0 && code <= 999999;
        } else if (rc_json_string_is(&name, RC_SPAN("message"))) {
            message = member;
        }
    }
    if (!good || code == 0 || !text_ok(&message, RC_CHANNEL_NAME_MAX)) {
        return reply_refuse(err, "error is no object with a code (1 to 999999) and a message of at most 255 bytes");
    }
    struct rc_reply_operation *operation = reply_add(reply, RC_REPLY_ERROR);
    if (operation == NULL) {
        return too_many(err);
    }
    operation->code = (uint32_t)code;
    operation->name = message;
    return 0;
}

static int take_disconnect(struct rc_reply *reply, const struct rc_json_value *value, struct rc_err *err)
{
    const bool closes = rc_json_string_is(value, RC_SPAN("close"));
    if (value->type == RC_JSON_FALSE) {
        return 0;
    }
    if (value->type != RC_JSON_TRUE && !(value->type == RC_JSON_STRING && closes)) {
        return reply_refuse(err, "disconnect is neither true nor \"close\"");
    }
    struct rc_reply_operation *operation = reply_add(reply, RC_REPLY_DISCONNECT);
    if (operation == NULL) {
        return too_many(err);
    }
    operation->closes = closes;
    return 0;
}

static int read_object(struct rc_reply *reply, struct rc_reply_aim *aim, struct rc_span text, uint32_t depth,
                       struct rc_err *err);

static int take_do(struct rc_reply *reply, const struct rc_json_value *value, uint32_t depth, struct rc_err *err)
{
    struct rc_json_cursor cursor;
    struct rc_json_value one;
    if (value->type != RC_JSON_ARRAY || depth >= NEST_MAX) {
        return reply_refuse(err, "do is an array of objects, and not within itself");
    }
    int rc = rc_json_array_begin(&cursor, value->raw, 0);
    while (rc >= 0 && (rc = rc_json_array_next(&cursor, &one)) == 1) {
        rc = one.type == RC_JSON_OBJECT ? read_object(reply, NULL, one.raw, depth + 1, err)
                                        : reply_refuse(err, "do is an array of objects");
    }
    return rc;
}

static int member_take(struct rc_reply *reply, enum member which, const struct rc_json_value *its, uint32_t depth,
                       struct rc_err *err)
{
    const struct rc_json_value *value = &its[which];
    switch (which) {
    case MEMBER_USER:
        return take_object(reply, RC_REPLY_USER, value, err);
    case MEMBER_SET:
        return take_object(reply, RC_REPLY_SET, value, err);
    case MEMBER_LEAVE:
        return take_rooms(reply, RC_REPLY_LEAVE, value, err);
    case MEMBER_JOIN:
        return take_rooms(reply, RC_REPLY_JOIN, value, err);
    case MEMBER_RETAIN:
        return take_each(reply, value, take_retain, err);
    case MEMBER_ACK:
        return take_ack(reply, value, &its[MEMBER_ATTACHMENTS], err);
    case MEMBER_EMIT:
        return take_each(reply, value, take_emit, err);
    case MEMBER_ERROR:
        return take_error(reply, value, err);
    case MEMBER_DISCONNECT:
        return take_disconnect(reply, value, err);
    case MEMBER_DO:
        return take_do(reply, value, depth, err);
    case MEMBER_ATTACHMENTS:
    case MEMBER_COUNT:
        break;
    }
    return 0;
}

/* Is the member about whom it is for? */
static bool aim_take(struct rc_reply_aim *aim, const struct rc_json_value *name, const struct rc_json_value *value)
{
    const struct rc_json_value nothing = {0};
    const struct {
        const char *name;
        struct rc_json_value *value;
    } known[] = {{"client", &aim->client}, {"room", &aim->room}, {"nsp", &aim->nsp}, {"backend", &aim->backend}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (rc_json_string_is(name, rc_span_text(known[i].name))) {
            *known[i].value = value->type == RC_JSON_NULL ? nothing : *value;
            return true;
        }
    }
    if (!rc_json_string_is(name, RC_SPAN("user")) || value->type == RC_JSON_OBJECT) {
        return false;
    }
    aim->user = value->type == RC_JSON_NULL ? nothing : *value;
    return true;
}

static int read_object(struct rc_reply *reply, struct rc_reply_aim *aim, struct rc_span text, uint32_t depth,
                       struct rc_err *err)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    struct rc_json_value its[MEMBER_COUNT];
    memset(its, 0, sizeof(its));
    int got = rc_json_object_begin(&cursor, text, RC_JSON_CHECK_UTF8);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        if (aim != NULL && aim_take(aim, &name, &value)) {
            continue;
        }
        for (uint32_t i = 0; i < MEMBER_COUNT; i++) {
            if (rc_json_string_is(&name, rc_span_text(member_names[i]))) {
                its[i] = value; /* the last of one name, as JavaScript has it */
            }
        }
    }
    if (got < 0) {
        return reply_refuse(err, "it is no JSON object");
    }
    int rc = 0;
    for (uint32_t i = 0; i < MEMBER_COUNT && rc == 0; i++) {
        /* null is a member that is not there: languages write it so. */
        if (its[i].type != RC_JSON_NONE && its[i].type != RC_JSON_NULL) {
            rc = member_take(reply, (enum member)i, its, depth, err);
        }
    }
    return rc;
}

static int reply_read(struct rc_reply *reply, struct rc_reply_aim *aim, struct rc_span text, struct rc_err *err)
{
    reply->count = 0;
    (void)reply_refuse(err, "it is no JSON object");
    if (text.count == 0) {
        return 0;
    }
    const int rc = read_object(reply, aim, text, 0, err);
    if (rc < 0) {
        reply->count = 0;
    }
    return rc;
}

int rc_reply_read(struct rc_reply *reply, struct rc_span text, struct rc_err *err)
{
    return reply_read(reply, NULL, text, err);
}

int rc_reply_read_aimed(struct rc_reply *reply, struct rc_reply_aim *aim, struct rc_span text, struct rc_err *err)
{
    memset(aim, 0, sizeof(*aim));
    return reply_read(reply, aim, text, err);
}

/* --- what is in it --- */

struct rc_span rc_reply_text(const struct rc_json_value *value, uint8_t *scratch, size_t max)
{
    struct rc_span text = {0};
    return rc_json_string_decode(value, scratch, max, &text) == 0 ? text : (struct rc_span){0};
}

void rc_reply_rooms_begin(struct rc_reply_rooms *rooms, const struct rc_json_value *of)
{
    *rooms = (struct rc_reply_rooms){.of = of};
    if (of->type == RC_JSON_ARRAY) {
        (void)rc_json_array_begin(&rooms->cursor, of->raw, 0);
    }
}

bool rc_reply_rooms_next(struct rc_reply_rooms *rooms, uint8_t scratch[RC_CHANNEL_NAME_MAX], struct rc_span *room)
{
    struct rc_json_value value = *rooms->of;
    if (rooms->of->type == RC_JSON_ARRAY ? rc_json_array_next(&rooms->cursor, &value) != 1
                                         : rooms->given > 0 || rooms->of->type != RC_JSON_STRING) {
        return false;
    }
    rooms->given++;
    *room = rc_reply_text(&value, scratch, RC_CHANNEL_NAME_MAX);
    return room->count > 0;
}

uint32_t rc_reply_attachments(struct rc_span attachments, uint8_t *out, struct rc_span *spans, uint32_t max)
{
    struct rc_json_cursor cursor;
    struct rc_json_value one;
    uint32_t count = 0;
    int got = attachments.count == 0 ? -ENOENT : rc_json_array_begin(&cursor, attachments, 0);
    while (got >= 0 && count < max && (got = rc_json_array_next(&cursor, &one)) == 1) {
        const int64_t bytes = rc_base64_decode(out, one.raw.bytes + 1, one.raw.count - 2);
        spans[count++] = rc_span_of(out, bytes < 0 ? 0 : (size_t)bytes);
        out += bytes < 0 ? 0 : bytes;
    }
    return count;
}
