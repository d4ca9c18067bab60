/* keys: see keys.h. */
#include "relay/cluster/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"

#define CODE_UNAVAILABLE 503
#define CODE_BAD_REQUEST 400

struct question;

/* Where a command's answer belongs. */
struct place {
    struct question *question;
    uint32_t index;
};

struct question {
    struct rc_keys *owner;
    struct rc_envelope asked; /* the record's head */
    uint32_t worker;
    uint32_t flying; /* commands without an answer */
    bool failed;     /* one of them was no answer, or could not be sent */
    uint8_t kind;    /* enum rc_query_kind */
    uint8_t request_id[RC_REQUEST_ID_MAX];
    struct rc_query_value value;
    uint8_t *text;                          /* owned: the value; NULL = none */
    uint32_t lives_s;                       /* SET */
    uint32_t count;                         /* KEYS, MARKS */
    struct rc_span keys[RC_QUERY_KEYS_MAX]; /* in `bytes` */
    struct place places[RC_QUERY_KEYS_MAX];
    uint8_t there[RC_QUERY_KEYS_MAX];
    uint64_t marks[RC_QUERY_KEYS_MAX];
    uint8_t bytes[]; /* of the question, behind its head */
};

static void keys_send(const struct question *question, uint16_t code, const void *data, uint32_t bytes)
{
    const struct rc_envelope_view view = {.head = {.origin = question->asked.origin,
                                                   .token = question->asked.token,
                                                   .flags = (uint16_t)(question->asked.flags & RC_ENVELOPE_API),
                                                   .code = code,
                                                   .data_bytes = bytes,
                                                   .request_id_bytes = question->asked.request_id_bytes},
                                          .request_id = question->request_id,
                                          .data = data};
    if (code != 0) {
        rc_metric_add(question->owner->router->setup.metrics, RC_METRIC_QUERIES_REFUSED, 1);
    }
    (void)rc_router_send(question->owner->router, question->worker, RC_DOWN_QUERY, &view); /* lost: it has a deadline */
}

static void value_send(struct question *question)
{
    uint8_t data[sizeof(question->value) + RC_QUERY_VALUE_BYTES_MAX];
    const uint64_t room = rc_router_record_max(question->owner->router, question->worker) / 2;
    if (question->value.bytes + sizeof(question->value) + sizeof(struct rc_envelope) > room) {
        question->value.state = RC_QUERY_VALUE_TOO_LARGE;
        question->value.bytes = 0;
    }
    memcpy(data, &question->value, sizeof(question->value));
    if (question->value.bytes > 0) {
        memcpy(data + sizeof(question->value), question->text, question->value.bytes);
    }
    keys_send(question, 0, data, (uint32_t)sizeof(question->value) + question->value.bytes);
}

static void question_end(struct question *question)
{
    if (question->failed) {
        keys_send(question, CODE_UNAVAILABLE, NULL, 0);
    } else if (question->kind == RC_QUERY_KEYS) {
        keys_send(question, 0, question->there, question->count);
    } else if (question->kind == RC_QUERY_MARKS) {
        keys_send(question, 0, question->marks, question->count * (uint32_t)sizeof(question->marks[0]));
    } else if (question->kind == RC_QUERY_VALUE) {
        value_send(question);
    } else {
        keys_send(question, 0, NULL, 0);
    }
    question->owner->asked--;
    free(question->text);
    free(question);
}

/* One command of it; `context` goes to `replied`. */
static void question_command(struct question *question, rc_redis_replied *replied, void *context, uint32_t argc,
                             const struct rc_span *argv)
{
    if (rc_redis_command(question->owner->link, replied, context, 1, argc, argv) < 0) {
        question->failed = true;
    } else {
        question->flying++;
    }
}

static void question_answered(struct question *question, bool good)
{
    question->failed |= !good;
    if (--question->flying == 0) {
        question_end(question);
    }
}

/* --- a value ------------------------------------------------------------------------------------------------------- */

static void value_came(void *context, const redisReply *reply)
{
    struct question *question = context;
    bool good = true;
    if (reply != NULL && reply->type == REDIS_REPLY_NIL) {
        question->value.state = RC_QUERY_VALUE_MISSING;
    } else if (reply != NULL && reply->type == REDIS_REPLY_STRING) {
        const bool large = reply->len > RC_QUERY_VALUE_BYTES_MAX;
        question->value.state = large ? RC_QUERY_VALUE_TOO_LARGE : RC_QUERY_VALUE_THERE;
        if (!large && reply->len > 0) {
            question->text = malloc(reply->len);
            good = question->text != NULL;
        }
        if (question->text != NULL) {
            memcpy(question->text, reply->str, reply->len);
            question->value.bytes = (uint32_t)reply->len;
        }
    } else if (reply != NULL && reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "WRONGTYPE", 9) == 0) {
        question->value.state = RC_QUERY_VALUE_NO_TEXT;
    } else {
        if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
            rc_log_limited(RC_LOG_WARN, 1, "session_not_read",
                           "answer=\"%s\" remedy=\"redis.url needs a user that may "
                           "GET, PTTL and EXISTS the keys of [[identity]] key\"",
                           reply->str);
        }
        good = false;
    }
    question_answered(question, good);
}

static void lives_came(void *context, const redisReply *reply)
{
    struct question *question = context;
    const bool good = reply != NULL && reply->type == REDIS_REPLY_INTEGER;
    if (good && reply->integer == -2) {
        question->value.lives_ms = 0; /* it went between the two */
    } else if (good) {
        question->value.lives_ms = reply->integer < 0 ? UINT64_MAX : (uint64_t)reply->integer;
    }
    question_answered(question, good);
}

/* --- which are there ----------------------------------------------------------------------------------------------- */

static void key_came(void *context, const redisReply *reply)
{
    const struct place *place = context;
    struct question *question = place->question;
    const bool good = reply != NULL && reply->type == REDIS_REPLY_INTEGER;
    if (good) {
        question->there[place->index] = reply->integer > 0;
    }
    question_answered(question, good);
}

static void keys_each(struct question *question)
{
    for (uint32_t i = 0; i < question->count; i++) {
        const struct rc_span argv[] = {RC_SPAN("EXISTS"), question->keys[i]};
        question->places[i] = (struct place){.question = question, .index = i};
        question_command(question, key_came, &question->places[i], RC_ARRAY_COUNT(argv), argv);
    }
}

/* How many of them are: usually all. Else it is asked for each. */
static void keys_came(void *context, const redisReply *reply)
{
    struct question *question = context;
    const bool good = reply != NULL && reply->type == REDIS_REPLY_INTEGER;
    if (good && reply->integer == (long long)question->count) {
        memset(question->there, 1, question->count);
    } else if (good && reply->integer != 0) {
        keys_each(question);
    }
    question_answered(question, good);
}

/* --- what they say --------------------------------------------------------------------------------------------------- */

static uint64_t number_of(const redisReply *reply)
{
    uint64_t number = 0;
    for (size_t i = 0; i < reply->len; i++) {
        if (reply->str[i] < '0' || reply->str[i] > '9' || number > RC_QUERY_MARK_NUMBER_MAX / 10) {
            return RC_QUERY_MARK_TEXT;
        }
        number = number * 10 + (uint64_t)(reply->str[i] - '0');
    }
    return number == 0 ? RC_QUERY_MARK_TEXT : number;
}

/* False: it is no answer. A key that is no string is there all the same. */
static bool mark_of(const redisReply *reply, uint64_t *mark)
{
    if (reply != NULL && reply->type == REDIS_REPLY_NIL) {
        *mark = RC_QUERY_MARK_NONE;
    } else if (reply != NULL && reply->type == REDIS_REPLY_STRING) {
        *mark = number_of(reply);
    } else if (reply != NULL && reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "WRONGTYPE", 9) == 0) {
        *mark = RC_QUERY_MARK_TEXT;
    } else {
        return false;
    }
    return true;
}

static void keys_refused(const redisReply *reply)
{
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        rc_log_limited(
            RC_LOG_WARN, 1, "revocation_refused",
            "answer=\"%s\" remedy=\"redis.url needs a user that may GET, MGET and SET the keys ws:revoked:*\"",
            reply->str);
    }
}

static void mark_came(void *context, const redisReply *reply)
{
    const struct place *place = context;
    const bool good = mark_of(reply, &place->question->marks[place->index]);
    if (!good) {
        keys_refused(reply);
    }
    question_answered(place->question, good);
}

static void marks_came(void *context, const redisReply *reply)
{
    struct question *question = context;
    bool good = reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == question->count;
    if (!good) {
        keys_refused(reply);
    }
    for (uint32_t i = 0; good && i < question->count; i++) {
        good = mark_of(reply->element[i], &question->marks[i]);
    }
    question_answered(question, good);
}

static void marks_ask(struct question *question)
{
    struct rc_span argv[RC_QUERY_KEYS_MAX + 1] = {RC_SPAN("MGET")};
    memcpy(argv + 1, question->keys, question->count * sizeof(argv[0]));
    if (!rc_redis_clustered(question->owner->link)) {
        question_command(question, marks_came, question, question->count + 1, argv);
        return;
    }
    for (uint32_t i = 0; i < question->count; i++) { /* they are on different nodes */
        const struct rc_span get[] = {RC_SPAN("GET"), question->keys[i]};
        question->places[i] = (struct place){.question = question, .index = i};
        question_command(question, mark_came, &question->places[i], RC_ARRAY_COUNT(get), get);
    }
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

static void set_came(void *context, const redisReply *reply)
{
    struct question *question = context;
    const bool good = reply != NULL && reply->type == REDIS_REPLY_STATUS;
    if (!good) {
        keys_refused(reply);
    }
    question_answered(question, good);
}

/* keys[0] is the key, keys[1] its value. */
static void set_ask(struct question *question)
{
    char lives[16];
    (void)snprintf(lives, sizeof(lives), "%u", question->lives_s);
    const struct rc_span argv[] = {RC_SPAN("SET"), question->keys[0], question->keys[1], RC_SPAN("EX"),
                                   rc_span_text(lives)};
    question_command(question, set_came, question, RC_ARRAY_COUNT(argv), argv);
}

static uint16_t set_read(struct question *question, struct rc_span data)
{
    struct rc_query_set set;
    if (data.count < sizeof(set)) {
        return CODE_BAD_REQUEST;
    }
    memcpy(&set, data.bytes, sizeof(set));
    if (set.key_bytes == 0 || set.key_bytes > RC_QUERY_KEY_MAX || set.lives_s == 0 ||
        set.lives_s > RC_QUERY_LIVES_S_MAX || data.count - sizeof(set) != (size_t)set.key_bytes + set.value_bytes) {
        return CODE_BAD_REQUEST;
    }
    question->lives_s = set.lives_s;
    question->keys[0] = rc_span_of(data.bytes + sizeof(set), set.key_bytes);
    question->keys[1] = rc_span_of(data.bytes + sizeof(set) + set.key_bytes, set.value_bytes);
    return 0;
}

/* --- questions ------------------------------------------------------------------------------------------------------- */

static void value_ask(struct question *question)
{
    const struct rc_span get[] = {RC_SPAN("GET"), question->keys[0]};
    const struct rc_span lives[] = {RC_SPAN("PTTL"), question->keys[0]};
    question_command(question, value_came, question, RC_ARRAY_COUNT(get), get);
    question_command(question, lives_came, question, RC_ARRAY_COUNT(lives), lives);
}

static void keys_ask(struct question *question)
{
    struct rc_span argv[RC_QUERY_KEYS_MAX + 1] = {RC_SPAN("EXISTS")};
    if (rc_redis_clustered(question->owner->link)) {
        keys_each(question); /* they are on different nodes */
        return;
    }
    memcpy(argv + 1, question->keys, question->count * sizeof(argv[0]));
    question_command(question, keys_came, question, question->count + 1, argv);
}

/* 0, or the code of the refusal. */
static uint16_t question_read(struct question *question, const struct rc_query_head *head, size_t bytes)
{
    struct rc_span rest = rc_span_of(question->bytes, bytes);
    if (head->kind == RC_QUERY_SET) {
        return set_read(question, rest);
    }
    if (head->kind == RC_QUERY_VALUE) {
        question->keys[0] = rest;
        return bytes == 0 || bytes > RC_QUERY_KEY_MAX ? CODE_BAD_REQUEST : 0;
    }
    while (question->count < RC_QUERY_KEYS_MAX && rc_query_key_next(&rest, &question->keys[question->count])) {
        question->count++;
    }
    return rest.count > 0 || question->count == 0 ? CODE_BAD_REQUEST : 0;
}

bool rc_keys_mine(const struct rc_envelope_view *view)
{
    return view->head.data_bytes >= sizeof(struct rc_query_head) && view->data[0] >= RC_QUERY_VALUE &&
           view->data[0] <= RC_QUERY_SET;
}

static void question_ask(struct question *question)
{
    switch ((enum rc_query_kind)question->kind) {
    case RC_QUERY_VALUE:
        value_ask(question);
        break;
    case RC_QUERY_MARKS:
        marks_ask(question);
        break;
    case RC_QUERY_SET:
        set_ask(question);
        break;
    default:
        keys_ask(question);
        break;
    }
}

void rc_keys_take(struct rc_keys *keys, uint32_t worker, const struct rc_envelope_view *view)
{
    struct rc_query_head head;
    struct question refused = {.owner = keys, .asked = view->head, .worker = worker};
    RC_ASSERT(rc_keys_mine(view));
    memcpy(&head, view->data, sizeof(head));
    if (view->head.request_id_bytes > 0) {
        memcpy(refused.request_id, view->request_id, view->head.request_id_bytes);
    }
    refused.kind = head.kind;
    const size_t bytes = view->head.data_bytes - sizeof(head);
    struct question *question = NULL;
    if (keys->link != NULL && rc_redis_up(keys->link) && keys->asked < RC_KEYS_MAX) {
        question = malloc(sizeof(*question) + bytes);
    }
    if (question == NULL) {
        keys_send(&refused, CODE_UNAVAILABLE, NULL, 0);
        return;
    }
    *question = refused;
    memcpy(question->bytes, view->data + sizeof(head), bytes);
    keys->asked++;
    if (question_read(question, &head, bytes) != 0) {
        keys->asked--;
        keys_send(question, CODE_BAD_REQUEST, NULL, 0);
        free(question);
        return;
    }
    question_ask(question);
    if (question->flying == 0) {
        question_end(question); /* nothing could be sent */
    }
}
