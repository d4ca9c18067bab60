/* call_wire: see call_wire.h. */
#include "relay/bridge/call_wire.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/channel_name.h"
#include "common/records/sockets.h"
#include "common/base/check.h"
#include "common/text/json_scan.h"
#include "relay/bridge/foreign.h"
#include "relay/bridge/notifications.h"

#define USER_BYTES_MAX (RC_CHANNEL_NAME_MAX - RC_USER_CHANNEL_HEAD_BYTES)

static const char *const operations[] = {
    [RC_CALL_SUBSCRIBE] = "subscribe",   [RC_CALL_UNSUBSCRIBE] = "unsubscribe",
    [RC_CALL_DISCONNECT] = "disconnect", [RC_CALL_CHANNELS] = "channels",
    [RC_CALL_ROOM_COUNT] = "count",      [RC_CALL_ROOM_MEMBERS] = "members",
    [RC_CALL_ROOM_USERS] = "users",      [RC_CALL_DO] = "do",
};

static bool is_of_room(uint32_t operation)
{
    return operation >= RC_CALL_ROOM_COUNT && operation <= RC_CALL_ROOM_USERS;
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

enum member {
    OPERATION,
    CALL,
    FROM,
    CLIENT,
    USER,
    CHANNEL,
    CODE,
    REASON,
    PREFIX,
    CURSOR,
    LIMIT,
    FOUND,
    COUNT,
    CHANNELS,
    IDS,
    MORE,
    BUSY,
    LAST,
    INCOMPLETE,
    UNCONFIRMED,
    PARTLY,
    NSP,
    ROOM,
    FIRST,
    BODY,
    MEMBERS
};

static const char *const member_names[MEMBERS] = {
    "operation",  "call",        "from",   "client", "user",     "channel", "code", "reason", "prefix",
    "cursor",     "limit",       "found",  "count",  "channels", "ids",     "more", "busy",   "last",
    "incomplete", "unconfirmed", "partly", "nsp",    "room",     "first",   "body"};

/* Of a member that is there twice the last one counts. */
static int call_wire_members_read(struct rc_span message, struct rc_json_value members[MEMBERS])
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    memset(members, 0, MEMBERS * sizeof(*members));
    int got = rc_json_object_begin(&cursor, message, RC_JSON_CHECK_UTF8);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        for (uint32_t i = 0; i < MEMBERS; i++) {
            if (rc_json_string_is(&name, rc_span_text(member_names[i]))) {
                members[i] = value;
                break;
            }
        }
    }
    return got;
}

/* A string of at most `most` bytes that is not empty, or nothing at all. */
static bool text_read(const struct rc_json_value *value, char *out, size_t most, uint8_t *bytes)
{
    struct rc_span text;
    *bytes = 0;
    if (value->type == RC_JSON_NONE) {
        return true;
    }
    if (rc_json_string_decode(value, (uint8_t *)out, most, &text) < 0 || text.count == 0) {
        return false;
    }
    memmove(out, text.bytes, text.count);
    *bytes = (uint8_t)text.count;
    return true;
}

/* A whole number means its digits. */
static bool user_read(const struct rc_json_value *value, struct rc_call_request *request)
{
    uint64_t number;
    if (value->type == RC_JSON_NUMBER && rc_json_uint64(value, &number) == 0) {
        request->user_bytes =
            (uint8_t)snprintf(request->user, sizeof(request->user), "%llu", (unsigned long long)number);
        return true;
    }
    return text_read(value, request->user, USER_BYTES_MAX, &request->user_bytes) &&
           (request->user_bytes == 0 || rc_channel_name_check(request->user, request->user_bytes, USER_BYTES_MAX) == 0);
}

static bool call_wire_sender_read(const struct rc_json_value *members, char *call, uint8_t *call_bytes, char *from,
                                  uint8_t *from_bytes)
{
    return text_read(&members[CALL], call, RC_CALL_ID_MAX, call_bytes) &&
           text_read(&members[FROM], from, RC_INSTANCE_ID_MAX, from_bytes) &&
           (*call_bytes == 0) == (*from_bytes == 0) &&
           (*from_bytes == 0 || rc_foreign_is_instance(rc_span_of(from, *from_bytes)));
}

static bool call_wire_reserved(const struct rc_call_request *request)
{
    const struct rc_span name = rc_span_of(request->channel, request->channel_bytes);
    return rc_span_equal(name, RC_SPAN("*")) || rc_span_starts_with(name, RC_SPAN(RC_USER_CHANNEL_HEAD));
}

static const char *subscription_read(struct rc_call_request *request, const struct rc_json_value *members)
{
    if (!text_read(&members[CHANNEL], request->channel, sizeof(request->channel), &request->channel_bytes) ||
        rc_channel_name_check(request->channel, request->channel_bytes, sizeof(request->channel)) < 0) {
        return "channel is no channel's name";
    }
    return call_wire_reserved(request) ? "connections are in this channel by themselves" : NULL;
}

static const char *disconnect_read(struct rc_call_request *request, const struct rc_json_value *members)
{
    uint64_t code = RC_CALL_CLOSE_CODE;
    if (members[CODE].type != RC_JSON_NONE &&
        (members[CODE].type != RC_JSON_NUMBER || rc_json_uint64(&members[CODE], &code) < 0 ||
         !(code == 1000 || (code >= 3000 && code <= 4999)))) {
        return "code is not 1000 or 3000 to 4999";
    }
    request->code = (uint16_t)code;
    if (!text_read(&members[REASON], request->text, RC_CALL_REASON_MAX, &request->text_bytes)) {
        return "reason is not 1 to 123 bytes of text";
    }
    if (members[REASON].type == RC_JSON_NONE) {
        request->text_bytes = sizeof(RC_CALL_CLOSE_REASON) - 1;
        memcpy(request->text, RC_CALL_CLOSE_REASON, request->text_bytes);
    }
    return NULL;
}

static const char *channels_read(struct rc_call_request *request, const struct rc_json_value *members)
{
    uint64_t limit = 100;
    if (!text_read(&members[PREFIX], request->text, sizeof(request->text), &request->text_bytes) ||
        !text_read(&members[CURSOR], request->channel, sizeof(request->channel), &request->channel_bytes)) {
        return "prefix or cursor is no text";
    }
    if (members[LIMIT].type != RC_JSON_NONE &&
        (members[LIMIT].type != RC_JSON_NUMBER || rc_json_uint64(&members[LIMIT], &limit) < 0 || limit == 0 ||
         limit > RC_CALL_LIMIT_MAX)) {
        return "limit is not 1 to 1000";
    }
    request->limit = (uint16_t)limit;
    return NULL;
}

/* The operations are looked at by who carries them out. */
static const char *do_read(struct rc_call_request *request, const struct rc_json_value *members)
{
    uint64_t first = 0;
    uint64_t limit = 0;
    if (!text_read(&members[NSP], request->text, RC_NSP_MAX, &request->text_bytes) || request->text_bytes == 0 ||
        !text_read(&members[ROOM], request->channel, sizeof(request->channel), &request->channel_bytes)) {
        return "nsp or room is no name";
    }
    if (members[ROOM].type != RC_JSON_NONE && request->channel_bytes == 0) {
        return "room is no room";
    }
    if (rc_json_uint64(&members[FIRST], &first) < 0 || rc_json_uint64(&members[LIMIT], &limit) < 0 || limit == 0 ||
        first > 256 || limit > 256 - first) {
        return "first and limit name no operations";
    }
    if (members[BODY].type != RC_JSON_OBJECT) {
        return "body is no object";
    }
    request->code = (uint16_t)first;
    request->limit = (uint16_t)limit;
    request->body = members[BODY].raw;
    return NULL;
}

static const char *room_read(struct rc_call_request *request, const struct rc_json_value *members)
{
    return text_read(&members[CHANNEL], request->channel, sizeof(request->channel), &request->channel_bytes) &&
                   rc_channel_name_check(request->channel, request->channel_bytes, sizeof(request->channel)) == 0
               ? NULL
               : "channel is no channel's name";
}

int rc_call_request_read(struct rc_call_request *request, struct rc_span message, const char **why)
{
    struct rc_json_value members[MEMBERS];
    *request = (struct rc_call_request){0};
    *why = "not a JSON object";
    const int got = call_wire_members_read(message, members);
    if (got < 0) {
        return got;
    }
    for (uint32_t i = RC_CALL_SUBSCRIBE; i < RC_ARRAY_COUNT(operations); i++) {
        if (operations[i] != NULL && members[OPERATION].type == RC_JSON_STRING &&
            rc_json_string_is(&members[OPERATION], rc_span_text(operations[i]))) {
            request->operation = i;
        }
    }
    *why = "no such operation";
    if (request->operation == 0) {
        return -EINVAL;
    }
    *why = "call and from do not say who asks";
    if (!call_wire_sender_read(members, request->call, &request->call_bytes, request->from, &request->from_bytes)) {
        return -EINVAL;
    }
    *why = "client or user is no id";
    if (!text_read(&members[CLIENT], request->client, sizeof(request->client), &request->client_bytes) ||
        !user_read(&members[USER], request)) {
        return -EINVAL;
    }
    *why = "one of client and user must be there";
    const bool of_room = request->operation == RC_CALL_DO && members[ROOM].type != RC_JSON_NONE;
    if (request->operation != RC_CALL_CHANNELS && !is_of_room(request->operation) && !of_room &&
        (request->client_bytes == 0) == (request->user_bytes == 0)) {
        return -EINVAL;
    }
    switch (request->operation) {
    case RC_CALL_SUBSCRIBE:
    case RC_CALL_UNSUBSCRIBE:
        *why = subscription_read(request, members);
        break;
    case RC_CALL_DISCONNECT:
        *why = disconnect_read(request, members);
        break;
    case RC_CALL_DO:
        request->client_bytes = of_room ? 0 : request->client_bytes;
        request->user_bytes = of_room ? 0 : request->user_bytes;
        *why = do_read(request, members);
        break;
    case RC_CALL_CHANNELS:
        request->client_bytes = request->user_bytes = 0;
        *why = request->from_bytes == 0 ? "a list that nobody wants" : channels_read(request, members);
        break;
    default:
        request->client_bytes = request->user_bytes = 0;
        *why = request->from_bytes == 0 ? "an answer that nobody wants" : room_read(request, members);
        break;
    }
    return *why == NULL ? 0 : -EINVAL;
}

/* [["name",subscribers],…] as entries; false when it is something else. */
static bool entries_read(struct rc_call_reply *reply, const struct rc_json_value *value, uint8_t *scratch)
{
    struct rc_json_cursor cursor;
    struct rc_json_cursor pair;
    struct rc_json_value element;
    struct rc_json_value name;
    struct rc_json_value number;
    uint32_t used = 0;
    reply->count = 0;
    if (value->type != RC_JSON_ARRAY) {
        return false;
    }
    int got = rc_json_array_begin(&cursor, value->raw, 0);
    while (got >= 0 && (got = rc_json_array_next(&cursor, &element)) == 1) {
        struct rc_span text;
        char decoded[RC_CHANNEL_NAME_MAX];
        uint64_t count;
        if (element.type != RC_JSON_ARRAY || rc_json_array_begin(&pair, element.raw, 0) < 0 ||
            rc_json_array_next(&pair, &name) != 1 || rc_json_array_next(&pair, &number) != 1 ||
            rc_json_string_decode(&name, (uint8_t *)decoded, sizeof(decoded), &text) < 0 || text.count == 0 ||
            number.type != RC_JSON_NUMBER || rc_json_uint64(&number, &count) < 0) {
            return false;
        }
        const uint32_t subscribers = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
        if (reply->count == RC_CALL_LIMIT_MAX ||
            used + 5 + text.count > RC_CALL_REPLY_BYTES_MAX - sizeof(struct rc_reply_head)) {
            reply->flags |= RC_REPLY_MORE;
            break;
        }
        memcpy(scratch + used, &subscribers, 4);
        scratch[used + 4] = (uint8_t)text.count;
        memcpy(scratch + used + 5, text.bytes, text.count);
        used += 5 + (uint32_t)text.count;
        reply->count++;
    }
    reply->entries = rc_span_of(scratch, used);
    return got >= 0;
}

/* ["id",…] as entries; false when it is something else. */
static bool ids_read(struct rc_call_reply *reply, const struct rc_json_value *value, uint8_t *scratch)
{
    struct rc_json_cursor cursor;
    struct rc_json_value element;
    uint32_t used = 0;
    reply->count = 0;
    reply->texts = true;
    int got = value->type == RC_JSON_ARRAY ? rc_json_array_begin(&cursor, value->raw, 0) : -EINVAL;
    while (got >= 0 && (got = rc_json_array_next(&cursor, &element)) == 1) {
        if (element.type != RC_JSON_STRING) {
            return false;
        }
        const uint32_t after = rc_sockets_entry_put(
            scratch, used, RC_CALL_REPLY_BYTES_MAX - (uint32_t)sizeof(struct rc_reply_head), element.raw);
        if (after == 0) {
            reply->flags |= RC_REPLY_MORE;
            break;
        }
        used = after;
        reply->count++;
    }
    reply->entries = rc_span_of(scratch, used);
    return got >= 0;
}

int rc_call_reply_read(struct rc_call_reply *reply, struct rc_span message, uint8_t *scratch, const char **why)
{
    static const struct {
        enum member member;
        uint32_t flag;
    } flags[] = {{FOUND, RC_REPLY_FOUND},
                 {MORE, RC_REPLY_MORE},
                 {BUSY, RC_REPLY_BUSY},
                 {LAST, RC_REPLY_LAST},
                 {INCOMPLETE, RC_REPLY_INCOMPLETE},
                 {UNCONFIRMED, RC_REPLY_UNCONFIRMED},
                 {PARTLY, RC_REPLY_PARTLY}};
    struct rc_json_value members[MEMBERS];
    uint64_t count = 0;
    *reply = (struct rc_call_reply){0};
    *why = "not a JSON object";
    const int got = call_wire_members_read(message, members);
    if (got < 0) {
        return got;
    }
    *why = "call and from do not say whose reply it is";
    if (!call_wire_sender_read(members, reply->call, &reply->call_bytes, reply->from, &reply->from_bytes) ||
        reply->from_bytes == 0) {
        return -EINVAL;
    }
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(flags); i++) {
        reply->flags |= members[flags[i].member].type == RC_JSON_TRUE ? flags[i].flag : 0;
    }
    *why = "count is no number";
    if (members[COUNT].type != RC_JSON_NONE &&
        (members[COUNT].type != RC_JSON_NUMBER || rc_json_uint64(&members[COUNT], &count) < 0 || count > UINT32_MAX)) {
        return -EINVAL;
    }
    reply->count = (uint32_t)count;
    *why = "ids is no list of texts";
    if (members[IDS].type != RC_JSON_NONE && !ids_read(reply, &members[IDS], scratch)) {
        return -EINVAL;
    }
    *why = "channels is no list of names and numbers";
    if (members[CHANNELS].type != RC_JSON_NONE && !entries_read(reply, &members[CHANNELS], scratch)) {
        return -EINVAL;
    }
    return 0;
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

/* A text of a size that is known to be enough. */
struct text {
    char *bytes; /* owner */
    size_t count;
    size_t capacity;
};

__attribute__((format(printf, 2, 3))) static void text_put(struct text *text, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    const int bytes = vsnprintf(text->bytes + text->count, text->capacity - text->count, format, list);
    va_end(list);
    RC_ASSERT(bytes >= 0 && (size_t)bytes < text->capacity - text->count);
    text->count += (size_t)bytes;
}

static void call_wire_put_json(struct text *text, struct rc_span value)
{
    const size_t bytes =
        rc_json_string_encode((uint8_t *)text->bytes + text->count, text->capacity - text->count, value);
    RC_ASSERT(bytes > 0);
    text->count += bytes;
}

static void put_member(struct text *text, const char *name, const char *value, size_t bytes)
{
    if (bytes > 0) {
        text_put(text, ",\"%s\":", name);
        call_wire_put_json(text, rc_span_of(value, bytes));
    }
}

char *rc_call_request_write(const struct rc_call_request *request, size_t *bytes)
{
    struct text text = {.capacity = 512 + RC_JSON_STRING_BYTES_MAX(sizeof(*request)) + request->body.count};
    text.bytes = malloc(text.capacity);
    if (text.bytes == NULL) {
        return NULL;
    }
    text_put(&text, "{\"operation\":\"%s\"", operations[request->operation]);
    put_member(&text, "client", request->client, request->client_bytes);
    put_member(&text, "user", request->user, request->user_bytes);
    switch (request->operation) {
    case RC_CALL_SUBSCRIBE:
    case RC_CALL_UNSUBSCRIBE:
        put_member(&text, "channel", request->channel, request->channel_bytes);
        break;
    case RC_CALL_DISCONNECT:
        text_put(&text, ",\"code\":%u", request->code);
        put_member(&text, "reason", request->text, request->text_bytes);
        break;
    case RC_CALL_DO:
        put_member(&text, "room", request->channel, request->channel_bytes);
        put_member(&text, "nsp", request->text, request->text_bytes);
        text_put(&text, ",\"first\":%u,\"limit\":%u,\"body\":%.*s", request->code, request->limit,
                 (int)request->body.count, (const char *)request->body.bytes);
        break;
    case RC_CALL_CHANNELS:
        put_member(&text, "prefix", request->text, request->text_bytes);
        put_member(&text, "cursor", request->channel, request->channel_bytes);
        text_put(&text, ",\"limit\":%u", request->limit);
        break;
    default:
        put_member(&text, "channel", request->channel, request->channel_bytes);
        break;
    }
    put_member(&text, "call", request->call, request->call_bytes);
    put_member(&text, "from", request->from, request->from_bytes);
    text_put(&text, "}");
    *bytes = text.count;
    return text.bytes;
}

/* They are JSON already: who read them, or the worker, has seen to it. */
static void put_ids(struct text *text, struct rc_span entries)
{
    struct rc_span json;
    text_put(text, ",\"ids\":[");
    for (const char *before = ""; rc_sockets_entry_next(&entries, &json); before = ",") {
        text_put(text, "%s%.*s", before, (int)json.count, (const char *)json.bytes);
    }
    text_put(text, "]");
}

char *rc_call_reply_write(const struct rc_call_reply *reply, size_t *bytes)
{
    struct text text = {.capacity = 512 + RC_JSON_STRING_BYTES_MAX(sizeof(*reply)) +
                                    RC_JSON_STRING_BYTES_MAX(reply->entries.count) + 24u * (size_t)reply->count};
    text.bytes = malloc(text.capacity);
    if (text.bytes == NULL) {
        return NULL;
    }
    text_put(&text, "{\"call\":");
    call_wire_put_json(&text, rc_span_of(reply->call, reply->call_bytes));
    put_member(&text, "from", reply->from, reply->from_bytes);
    if (reply->texts && reply->entries.count > 0) {
        put_ids(&text, reply->entries);
    } else if (reply->entries.count > 0) {
        const uint8_t *at = reply->entries.bytes;
        const uint8_t *end = at + reply->entries.count;
        text_put(&text, ",\"channels\":[");
        for (uint32_t i = 0; i < reply->count && end - at >= 5 && end - at - 5 >= at[4]; i++) {
            uint32_t subscribers;
            memcpy(&subscribers, at, 4);
            text_put(&text, "%s[", i == 0 ? "" : ",");
            call_wire_put_json(&text, rc_span_of(at + 5, at[4]));
            text_put(&text, ",%u]", subscribers);
            at += 5 + at[4];
        }
        text_put(&text, "]");
    } else {
        text_put(&text, ",\"count\":%u", reply->count);
    }
    text_put(&text, "%s%s%s%s%s%s%s}", (reply->flags & RC_REPLY_FOUND) != 0 ? ",\"found\":true" : "",
             (reply->flags & RC_REPLY_MORE) != 0 ? ",\"more\":true" : "",
             (reply->flags & RC_REPLY_BUSY) != 0 ? ",\"busy\":true" : "",
             (reply->flags & RC_REPLY_INCOMPLETE) != 0 ? ",\"incomplete\":true" : "",
             (reply->flags & RC_REPLY_UNCONFIRMED) != 0 ? ",\"unconfirmed\":true" : "",
             (reply->flags & RC_REPLY_PARTLY) != 0 ? ",\"partly\":true" : "",
             (reply->flags & RC_REPLY_LAST) != 0 ? ",\"last\":true" : "");
    *bytes = text.count;
    return text.bytes;
}
