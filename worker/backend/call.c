/* call: see call.h. */
#include "worker/backend/call.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/args.h"
#include "common/records/channel_name.h"
#include "worker/backend/pool.h"
#include "worker/http/parse.h"

#define FRAME_FIRST_BYTES 1024u

/* --- writing --- */

static uint8_t *frame_room(struct rc_backend_frame *frame, size_t bytes)
{
    if (frame->count + bytes > frame->capacity && !frame->failed) {
        size_t capacity = frame->capacity == 0 ? FRAME_FIRST_BYTES : frame->capacity;
        while (capacity < frame->count + bytes) {
            capacity *= 2;
        }
        uint8_t *larger = realloc(frame->bytes, capacity);
        frame->failed = larger == NULL;
        frame->bytes = larger == NULL ? frame->bytes : larger;
        frame->capacity = larger == NULL ? frame->capacity : capacity;
    }
    return frame->failed ? NULL : frame->bytes + frame->count;
}

static void frame_put(struct rc_backend_frame *frame, const void *bytes, size_t count)
{
    uint8_t *to = count == 0 ? NULL : frame_room(frame, count);
    if (to != NULL) {
        memcpy(to, bytes, count);
        frame->count += count;
    }
}

static void frame_put_text(struct rc_backend_frame *frame, struct rc_span text)
{
    const size_t bytes = rc_json_string_encoded_bytes(text);
    uint8_t *to = frame_room(frame, bytes);
    if (to != NULL) {
        frame->count += rc_json_string_encode(to, bytes, text);
    }
}

/* Names are ours: nothing in them has to be escaped. */
static void frame_name(struct rc_backend_frame *frame, const char *name)
{
    frame_put(frame, frame->count == 1 ? "\"" : ",\"", frame->count == 1 ? 1 : 2);
    frame_put(frame, name, strlen(name));
    frame_put(frame, "\":", 2);
}

void rc_backend_frame_text(struct rc_backend_frame *frame, const char *name, struct rc_span text)
{
    frame_name(frame, name);
    frame_put_text(frame, text);
}

void rc_backend_frame_json(struct rc_backend_frame *frame, const char *name, struct rc_span json)
{
    frame_name(frame, name);
    frame_put(frame, json.count > 0 ? (const char *)json.bytes : "null", json.count > 0 ? json.count : 4);
}

void rc_backend_frame_bool(struct rc_backend_frame *frame, const char *name, bool value)
{
    frame_name(frame, name);
    frame_put(frame, value ? "true" : "false", value ? 4 : 5);
}

/* RFC 4648, 4. */
static void frame_put_base64(struct rc_backend_frame *frame, struct rc_span bytes)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t room = (bytes.count + 2) / 3 * 4;
    uint8_t *to = frame_room(frame, room + 2);
    if (to == NULL) {
        return;
    }
    size_t at = 0;
    to[at++] = '"';
    for (size_t i = 0; i < bytes.count; i += 3) {
        const size_t left = bytes.count - i;
        const uint32_t group = (uint32_t)bytes.bytes[i] << 16 | (left > 1 ? (uint32_t)bytes.bytes[i + 1] << 8 : 0) |
                               (left > 2 ? bytes.bytes[i + 2] : 0);
        to[at++] = (uint8_t)letters[group >> 18];
        to[at++] = (uint8_t)letters[group >> 12 & 63];
        to[at++] = left > 1 ? (uint8_t)letters[group >> 6 & 63] : '=';
        to[at++] = left > 2 ? (uint8_t)letters[group & 63] : '=';
    }
    to[at++] = '"';
    frame->count += at;
}

void rc_backend_frame_base64(struct rc_backend_frame *frame, const char *name, const struct rc_span *bytes,
                             uint32_t count)
{
    if (count == 0) {
        return;
    }
    frame_name(frame, name);
    for (uint32_t i = 0; i < count; i++) {
        frame_put(frame, i == 0 ? "[" : ",", 1);
        frame_put_base64(frame, bytes[i]);
    }
    frame_put(frame, "]", 1);
}

void rc_backend_frame_args(struct rc_backend_frame *frame, struct rc_span args)
{
    struct rc_span attachments[RC_ARGS_ATTACHMENTS_MAX];
    struct rc_args_view its;
    uint32_t count = 0;
    size_t offset = 0;
    uint32_t index = 0;
    const int read = rc_args_read(args, &its);
    RC_ASSERT(read == 0);
    while (count < RC_ARGS_ATTACHMENTS_MAX && rc_args_next(&its, &index, &offset, &attachments[count])) {
        count++;
    }
    rc_backend_frame_json(frame, "args", its.json);
    rc_backend_frame_base64(frame, "attachments", attachments, count);
}

void rc_backend_frame_list_begin(struct rc_backend_frame *frame, const char *name)
{
    frame_name(frame, name);
    frame_put(frame, "[", 1);
}

void rc_backend_frame_list_text(struct rc_backend_frame *frame, struct rc_span text)
{
    if (!frame->failed && frame->bytes[frame->count - 1] != '[') {
        frame_put(frame, ",", 1);
    }
    frame_put_text(frame, text);
}

void rc_backend_frame_list_end(struct rc_backend_frame *frame)
{
    frame_put(frame, "]", 1);
}

void rc_backend_frame_begin(struct rc_backend_frame *frame, struct rc_backends *backends,
                            enum rc_backend_call_kind kind, const struct rc_backend_caller *caller)
{
    memset(frame, 0, sizeof(*frame));
    frame->request.kind = kind;
    rc_backend_next_id(backends, frame->request.id);
    frame_put(frame, "{", 1);
    rc_backend_frame_text(frame, "call", rc_span_text(rc_backend_call_name(kind)));
    rc_backend_frame_text(frame, "id", rc_span_text(frame->request.id));
    rc_backend_frame_text(frame, "instance", rc_span_text(backends->control->instance_id));
    if (caller->nsp.count > 0) {
        rc_backend_frame_text(frame, "nsp", caller->nsp);
    }
    if (caller->sid.count > 0) {
        rc_backend_frame_text(frame, "sid", caller->sid);
    }
    rc_backend_frame_json(frame, "user", caller->user);
    rc_backend_frame_json(frame, "client", caller->client.count > 0 ? caller->client : RC_SPAN("{}"));
}

void rc_backend_frame_drop(struct rc_backend_frame *frame)
{
    free(frame->bytes);
    memset(frame, 0, sizeof(*frame));
}

bool rc_backend_frame_end(struct rc_backend_frame *frame)
{
    frame_put(frame, "}", 1);
    frame->request.body = rc_span_of(frame->bytes, frame->failed ? 0 : frame->count);
    return !frame->failed;
}

int rc_backend_frame_call(struct rc_backend_frame *frame, struct rc_backends *backends, uint32_t backend,
                          struct rc_backend_waiter waiter)
{
    const int rc = rc_backend_frame_end(frame) ? rc_backend_call(backends, backend, &frame->request, waiter) : -ENOMEM;
    rc_backend_frame_drop(frame);
    return rc;
}

void rc_backend_key(uint8_t key[RC_BACKEND_KEY_BYTES], const struct rc_span *parts, uint32_t count)
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    unsigned int bytes = 0;
    bool good = hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1;
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t length = parts[i].count;
        good = good && EVP_DigestUpdate(hash, &length, sizeof(length)) == 1 &&
               EVP_DigestUpdate(hash, parts[i].bytes, parts[i].count) == 1;
    }
    good = good && EVP_DigestFinal_ex(hash, key, &bytes) == 1 && bytes == RC_BACKEND_KEY_BYTES;
    EVP_MD_CTX_free(hash);
    RC_ASSERT(good); /* SHA-256 fails for want of memory only, of some hundred bytes */
}

size_t rc_backend_forward(const struct rc_config_backend *backend, const struct rc_http_request *request, char *to,
                          size_t capacity)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < backend->forward_count; i++) {
        const char *name = backend->forward[i].text;
        const size_t name_bytes = strlen(name);
        const struct rc_http_view *value;
        uint32_t index = 0;
        while ((value = rc_http_header_next(request, name, &index)) != NULL) {
            const size_t line = name_bytes + 2 + value->bytes + 2;
            if (bytes + line <= capacity) {
                memcpy(to + bytes, name, name_bytes);
                memcpy(to + bytes + name_bytes, ": ", 2);
                memcpy(to + bytes + name_bytes + 2, value->text, value->bytes);
                memcpy(to + bytes + line - 2, "\r\n", 2);
                bytes += line;
            }
        }
    }
    return bytes;
}

void rc_backend_connect_request_write(struct rc_backend_frame *frame, struct rc_backends *backends,
                                      const struct rc_backend_connect *connect)
{
    rc_backend_frame_begin(frame, backends, RC_BACKEND_CONNECT, &connect->caller);
    rc_backend_frame_json(frame, "auth", connect->auth);
    rc_backend_frame_json(frame, "query", connect->query.count > 0 ? connect->query : RC_SPAN("{}"));
    rc_backend_frame_json(frame, "headers", connect->headers.count > 0 ? connect->headers : RC_SPAN("{}"));
    rc_backend_frame_text(frame, "address", connect->address);
    rc_backend_frame_text(frame, "transport", rc_span_text(connect->transport));
    rc_backend_frame_bool(frame, "recovered", connect->recovered);
    frame->request.headers = connect->forwarded;
    if (connect->credential_count > 0) {
        frame->request.shared = true;
        rc_backend_key(frame->request.key, connect->credentials, connect->credential_count);
    }
}

/* --- reading --- */

/* What all replies have in common: is it an answer that decides, and how; body: of a 200. */
static enum rc_backend_verdict verdict_of(const struct rc_backend_answer *answer, const char **why)
{
    *why = answer->why;
    if (answer->outcome != RC_BACKEND_ANSWERED) {
        return RC_BACKEND_NO_ANSWER;
    }
    if (answer->status >= 400 && answer->status < 500) {
        return RC_BACKEND_DENIED;
    }
    *why = "its status is none of 200, 204 and 4xx";
    return answer->status == 200 || answer->status == 204 ? RC_BACKEND_ACCEPTED : RC_BACKEND_NO_ANSWER;
}

/* Members of a reply that calls have beside operations. */
struct members {
    struct rc_json_value user;
    struct rc_json_value client;
    struct rc_json_value expire_at;
    struct rc_json_value expired;
    struct rc_json_value allow;
    struct rc_json_value data;
    struct rc_json_value deny;
    struct rc_json_value message;
};

static int members_read(struct members *members, struct rc_span text)
{
    const struct {
        const char *name;
        struct rc_json_value *value;
    } known[] = {{"user", &members->user},       {"client", &members->client},  {"expire_at", &members->expire_at},
                 {"expired", &members->expired}, {"allow", &members->allow},    {"data", &members->data},
                 {"deny", &members->deny},       {"message", &members->message}};
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    memset(members, 0, sizeof(*members));
    int got = rc_json_object_begin(&cursor, text, RC_JSON_CHECK_UTF8);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        for (size_t i = 0; i < RC_ARRAY_COUNT(known); i++) {
            if (value.type != RC_JSON_NULL && rc_json_string_is(&name, rc_span_text(known[i].name))) {
                *known[i].value = value;
            }
        }
    }
    return got;
}

static void denial_read(struct rc_backend_connect_reply *reply, const struct rc_json_value *message,
                        const struct rc_json_value *data)
{
    reply->verdict = RC_BACKEND_DENIED;
    if (message->type == RC_JSON_STRING) {
        reply->message = rc_reply_text(message, reply->text, sizeof(reply->text));
    }
    reply->data = data->raw;
}

static void connect_refuse(struct rc_backend_connect_reply *reply, const char *why)
{
    reply->verdict = RC_BACKEND_NO_ANSWER;
    reply->why = why;
    reply->refused = true;
}

/* `user`: an object whose `id` is a text. */
static bool user_read(struct rc_backend_connect_reply *reply, const struct rc_json_value *user)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    uint8_t scratch[RC_CHANNEL_NAME_MAX];
    if (user->type == RC_JSON_NONE) {
        return true;
    }
    int got = user->type == RC_JSON_OBJECT ? rc_json_object_begin(&cursor, user->raw, 0) : -EBADMSG;
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        if (rc_json_string_is(&name, RC_SPAN("id"))) {
            reply->user_id = value;
        }
    }
    const struct rc_span id =
        reply->user_id.type == RC_JSON_STRING
            ? rc_reply_text(&reply->user_id, scratch, RC_CHANNEL_NAME_MAX - RC_USER_CHANNEL_HEAD_BYTES)
            : (struct rc_span){0};
    reply->user = user->raw;
    return got == 0 && id.count > 0 &&
           rc_channel_name_check((const char *)id.bytes, id.count, RC_CHANNEL_NAME_MAX - RC_USER_CHANNEL_HEAD_BYTES) ==
               0;
}

/* A denial by status: what its body says, if it is JSON. */
static void connect_denied(struct rc_backend_connect_reply *reply, struct rc_span body)
{
    struct members members;
    if (members_read(&members, body) < 0) {
        memset(&members, 0, sizeof(members));
    }
    denial_read(reply, &members.message, &members.data);
}

static void connect_accepted(struct rc_backend_connect_reply *reply, struct rc_reply *operations, struct rc_span body)
{
    static struct rc_err err; /* `why` points into it until the next reply is read */
    struct members members;
    if (body.count == 0) {
        return;
    }
    if (members_read(&members, body) < 0) {
        connect_refuse(reply, "it is no JSON object");
        return;
    }
    if (members.deny.type != RC_JSON_NONE) {
        struct members denial;
        if (members.deny.type == RC_JSON_TRUE) {
            denial_read(reply, &members.message, &members.data);
        } else if (members_read(&denial, members.deny.raw) < 0) {
            connect_refuse(reply, "deny is no object");
        } else {
            denial_read(reply, &denial.message, &denial.data);
        }
        return;
    }
    if (!user_read(reply, &members.user)) {
        connect_refuse(reply, "user has no id, or it is no text of 1 to 250 bytes without control characters");
        return;
    }
    if (members.expired.type != RC_JSON_NONE && members.expired.type != RC_JSON_TRUE &&
        members.expired.type != RC_JSON_FALSE) {
        connect_refuse(reply, "expired is neither true nor false");
        return;
    }
    if ((members.client.type != RC_JSON_NONE && members.client.type != RC_JSON_OBJECT) ||
        (members.expire_at.type != RC_JSON_NONE && rc_json_uint64(&members.expire_at, &reply->expire_at_s) < 0)) {
        connect_refuse(reply, "client is no object, or expire_at no whole number of seconds");
        return;
    }
    reply->client = members.client.raw;
    reply->expired = members.expired.type == RC_JSON_TRUE;
    if (operations == NULL) {
        return;
    }
    if (rc_reply_read(operations, body, &err) < 0) {
        connect_refuse(reply, err.text);
    }
    if (operations->count > 0 && operations->operations[0].type == RC_REPLY_USER) { /* `user` has it */
        operations->count--;
        memmove(operations->operations, operations->operations + 1,
                operations->count * sizeof(operations->operations[0]));
    }
}

void rc_backend_connect_reply_read(struct rc_backend_connect_reply *reply, struct rc_reply *operations,
                                   const struct rc_backend_answer *answer)
{
    *reply = (struct rc_backend_connect_reply){.why = ""};
    if (operations != NULL) {
        operations->count = 0;
    }
    reply->verdict = verdict_of(answer, &reply->why);
    if (reply->verdict == RC_BACKEND_DENIED) {
        connect_denied(reply, answer->body);
    } else if (reply->verdict == RC_BACKEND_ACCEPTED && answer->status == 200) {
        connect_accepted(reply, operations, answer->body);
    }
    if (reply->verdict != RC_BACKEND_ACCEPTED && operations != NULL) {
        operations->count = 0;
    }
}

void rc_backend_refresh_reply_read(struct rc_backend_connect_reply *reply, const struct rc_backend_answer *answer)
{
    struct members members;
    rc_backend_connect_reply_read(reply, NULL, answer);
    if (reply->verdict != RC_BACKEND_ACCEPTED || reply->expired) {
        return;
    }
    const bool says = answer->status == 200 && members_read(&members, answer->body) == 0 &&
                      members.expire_at.type != RC_JSON_NONE && reply->expire_at_s <= UINT64_MAX / 1000u;
    if (!says) {
        connect_refuse(reply, "it has neither expire_at (Unix time) nor expired");
    }
}

static void allow_refuse(struct rc_backend_allow_reply *reply, const char *why)
{
    *reply = (struct rc_backend_allow_reply){.verdict = RC_BACKEND_NO_ANSWER, .why = why, .refused = true};
}

void rc_backend_allow_reply_read(struct rc_backend_allow_reply *reply, struct rc_reply *operations,
                                 const struct rc_backend_answer *answer)
{
    static struct rc_err err; /* `why` points into it until the next reply is read */
    struct members members;
    *reply = (struct rc_backend_allow_reply){.why = ""};
    reply->verdict = verdict_of(answer, &reply->why);
    if (operations != NULL) {
        operations->count = 0;
    }
    if (reply->verdict != RC_BACKEND_ACCEPTED || answer->status != 200 || answer->body.count == 0) {
        return;
    }
    if (members_read(&members, answer->body) < 0) {
        allow_refuse(reply, "it is no JSON object");
        return;
    }
    const enum rc_json_type allow = members.allow.type;
    if (allow != RC_JSON_NONE && allow != RC_JSON_TRUE && allow != RC_JSON_FALSE) {
        allow_refuse(reply, "allow is no boolean");
        return;
    }
    reply->verdict = allow == RC_JSON_FALSE ? RC_BACKEND_DENIED : RC_BACKEND_ACCEPTED;
    reply->data = members.data.raw;
    if (operations != NULL && rc_reply_read(operations, answer->body, &err) < 0) {
        allow_refuse(reply, err.text);
    }
}
