/* adapter_asks: see adapter_asks.h. */
#include "relay/bridge/adapter_asks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/records/channel_name.h"
#include "common/records/select.h"
#include "common/records/sockets.h"
#include "common/text/msgpack_json.h"
#include "relay/bridge/adapter_name.h"
#include "relay/bridge/adapter_response.h"
#include "relay/bridge/foreign.h"

#define UNKNOWN UINT32_MAX
#define ID_BYTES 20u /* of a question: nonce, place and serial in hexadecimal digits */

/*
 * FREE ──asked──▶ OPEN ──all have answered, or deadline──▶ FREE
 *                   └──the same, and Redis has not said how many they are──▶ LATE ──it has──▶ FREE
 */
enum state { FREE, OPEN, LATE };

struct rc_adapter_ask {
    struct rc_adapter_asks *owner;
    struct rc_adapter_ask_nsp *heard; /* borrowed, while it is open */
    enum state state;
    bool counting; /* Redis is to say how many servers there are */
    bool of_room;
    uint32_t serial;
    uint32_t next;     /* while it is free: place + 1 of the next; 0 = end */
    uint32_t expected; /* servers that answer; UNKNOWN until Redis has said so */
    uint32_t told;     /* of them, who have */
    uint32_t worker;   /* who asked for an event's answers */
    uint64_t clients;  /* that got it */
    uint64_t answered; /* of them, who have */
    uint64_t token;    /* of who asks about a room */
    uint64_t due_ms;
    uint16_t asker_bytes;
    uint8_t nsp_bytes;
    char nsp[RC_NSP_MAX];
    uint8_t asker[RC_EMIT_ASKER_MAX];
};

static void asks_count(const struct rc_adapter_asks *asks, enum rc_metric_id metric)
{
    rc_metric_add(asks->adapter->bridge->wire->metrics, metric, 1);
}

static bool asks_off(const struct rc_adapter_asks *asks)
{
    return asks->all == NULL;
}

/* --- for a worker ---------------------------------------------------------------------------------------------------- */

/* An answer's arguments, or (empty) how many have none: to the worker that asked, or another one when that is gone. */
static void ask_tell_worker(const struct rc_adapter_ask *ask, uint8_t *args, size_t args_bytes, uint64_t missing)
{
    const struct rc_adapter_asks *asks = ask->owner;
    const struct rc_bridge_host *host = &asks->adapter->bridge->host;
    static const struct rc_call_tag nobody;
    const struct rc_span nsp = rc_span_of(ask->nsp, ask->nsp_bytes);
    char everybody[RC_CHANNEL_NAME_MAX];
    struct rc_call_asked asked = {0};
    const uint8_t *data = rc_emit_put_asked(args, rc_span_of(ask->asker, ask->asker_bytes),
                                            missing < UINT16_MAX ? (uint16_t)missing : UINT16_MAX);
    const size_t channel_bytes = rc_channel_of_room(everybody, sizeof(everybody), nsp, (struct rc_span){0});
    struct rc_envelope_view view = {.head = {.time_ns = rc_clock_ns(),
                                             .target = {.random = 1, .worker = (uint16_t)ask->worker},
                                             .data_bytes = (uint32_t)((size_t)(args - data) + args_bytes),
                                             .channel_bytes = (uint8_t)channel_bytes,
                                             .request_id_bytes = sizeof(nobody)},
                                    .channel = everybody,
                                    .request_id = (const uint8_t *)&nobody,
                                    .data = data};
    (void)host->call(host->context, &view, &asked);
    for (uint16_t i = 0; i < RC_WORKERS_MAX && (asked.bits[0] | asked.bits[1]) == 0; i++) {
        view.head.target.worker = i;
        (void)host->call(host->context, &view, &asked);
    }
    asks_count(asks, (asked.bits[0] | asked.bits[1]) != 0 ? RC_METRIC_ADAPTER_ASKED_ANSWERS
                                                          : RC_METRIC_ADAPTER_ANSWERS_DROPPED);
}

/* --- places ---------------------------------------------------------------------------------------------------------- */

static struct rc_adapter_ask *ask_place(struct rc_adapter_asks *asks)
{
    if (asks->free_first != 0) {
        struct rc_adapter_ask *ask = &asks->all[asks->free_first - 1];
        asks->free_first = ask->next;
        return ask;
    }
    return asks->high < RC_ADAPTER_ASKS_MAX ? &asks->all[asks->high++] : NULL;
}

static void ask_free(struct rc_adapter_ask *ask)
{
    struct rc_adapter_asks *asks = ask->owner;
    ask->state = FREE;
    ask->next = asks->free_first;
    asks->free_first = (uint32_t)(ask - asks->all) + 1;
}

/* Nobody answers any more, but Redis. */
static void ask_late(struct rc_adapter_ask *ask)
{
    ask->heard->open--;
    ask->state = LATE;
    if (!ask->counting) {
        ask_free(ask);
    }
}

static void ask_end(struct rc_adapter_ask *ask)
{
    struct rc_adapter_asks *asks = ask->owner;
    uint8_t before[RC_EMIT_BEFORE_MAX];
    if (ask->of_room) {
        asks->ops.room_done(asks->ops.context, ask->token, ask->expected != UNKNOWN && ask->told >= ask->expected);
    } else if (ask->answered < ask->clients) {
        ask_tell_worker(ask, before + sizeof(before), 0, ask->clients - ask->answered);
    }
    ask_late(ask);
}

static void ask_settle(struct rc_adapter_ask *ask)
{
    if (ask->state == OPEN && ask->expected != UNKNOWN && ask->told >= ask->expected && ask->answered >= ask->clients) {
        ask_end(ask);
    }
}

static void asks_due(void *context, uint64_t now_ms)
{
    struct rc_adapter_asks *asks = context;
    uint64_t next_ms = RC_TIMER_NEVER;
    for (uint32_t i = 0; i < asks->high; i++) {
        struct rc_adapter_ask *ask = &asks->all[i];
        if (ask->state == OPEN && ask->due_ms <= now_ms) {
            ask_end(ask);
        } else if (ask->state == OPEN && ask->due_ms < next_ms) {
            next_ms = ask->due_ms;
        }
    }
    if (next_ms != RC_TIMER_NEVER) {
        rc_timer_set(asks->adapter->bridge->timers, &asks->timer, next_ms, asks_due, asks);
    }
}

/* --- asking ---------------------------------------------------------------------------------------------------------- */

/* How many subscribe the channel of questions: as many answer. */
static void ask_counted(void *context, const redisReply *reply)
{
    struct rc_adapter_ask *ask = context;
    ask->counting = false;
    if (ask->state == LATE) {
        ask_free(ask);
        return;
    }
    const bool known = reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
                       reply->element[1]->type == REDIS_REPLY_INTEGER && reply->element[1]->integer >= 0;
    if (known) {
        const long long count = reply->element[1]->integer;
        ask->expected = count < UINT16_MAX ? (uint32_t)count : UINT16_MAX;
        ask->told = count == 1 ? 1 : ask->told; /* it is alone, or they are: its own answer is on its way */
        ask_settle(ask);
    }
}

/* Hears answers in a namespace, or does not any more. */
static void asks_hear(struct rc_adapter_asks *asks, struct rc_span nsp, bool wanted)
{
    struct rc_adapter_bridge *adapter = asks->adapter;
    struct rc_redis_link *link = adapter->bridge->link;
    void (*const change)(struct rc_redis_link *, struct rc_span) =
        wanted ? rc_redis_foreign_want : rc_redis_foreign_unwant;
    const struct rc_span uid = rc_span_of(adapter->uid, sizeof(adapter->uid));
    const char *mark = adapter->kind->answers.mark;
    char text[RC_ADAPTER_NAME_MAX];
    if (mark == NULL) {
        change(link, rc_adapter_name(adapter, nsp, uid, text));
        return;
    }
    const struct rc_span all = rc_adapter_channel(adapter, mark, nsp, text);
    change(link, all);
    size_t bytes = rc_adapter_name_put(text, all.count, uid); /* for servers that answer to who asks */
    text[bytes++] = '#';
    change(link, rc_span_of(text, bytes));
}

/* A place for one more namespace: a new one, or that of the one that was asked in longest ago. NULL: questions wait in all of them. */
static struct rc_adapter_ask_nsp *asks_nsp_place(struct rc_adapter_asks *asks)
{
    struct rc_adapter_ask_nsp *oldest = NULL;
    if (asks->nsp_count < RC_ADAPTER_ASK_NSPS_MAX) {
        return &asks->nsps[asks->nsp_count];
    }
    for (uint32_t i = 0; i < asks->nsp_count; i++) {
        struct rc_adapter_ask_nsp *one = &asks->nsps[i];
        if (one->open == 0 && (oldest == NULL || one->asked < oldest->asked)) {
            oldest = one;
        }
    }
    return oldest;
}

/* Answers in the namespace are heard from now on. NULL: there are too many, or no memory. */
static struct rc_adapter_ask_nsp *asks_listen(struct rc_adapter_asks *asks, struct rc_span nsp)
{
    for (uint32_t i = 0; i < asks->nsp_count; i++) {
        if (rc_span_equal(rc_span_text(asks->nsps[i].name), nsp)) {
            return &asks->nsps[i];
        }
    }
    struct rc_adapter_ask_nsp *place = asks_nsp_place(asks);
    char *copy = place != NULL ? strndup((const char *)nsp.bytes, nsp.count) : NULL;
    if (copy == NULL) {
        return NULL;
    }
    if (place->name != NULL) {
        asks_hear(asks, rc_span_text(place->name), false);
        free(place->name);
    } else {
        asks->nsp_count++;
    }
    *place = (struct rc_adapter_ask_nsp){.name = copy};
    asks_hear(asks, nsp, true);
    return place;
}

/* The channel of questions. */
static struct rc_span asks_channel(const struct rc_adapter_asks *asks, struct rc_span nsp, char out[RC_REDIS_NAME_MAX])
{
    return rc_adapter_channel(asks->adapter, asks->adapter->kind->ask_mark, nsp, out);
}

/* Has Redis asked for the number of who answers. 0, or why not. */
static int ask_count(struct rc_adapter_ask *ask, struct rc_span channel)
{
    struct rc_redis_link *link = ask->owner->adapter->bridge->link;
    const bool sharded = ask->owner->adapter->kind->sharded;
    char name[RC_REDIS_NAME_MAX];
    const struct rc_span key = rc_redis_key(link, name, "%.*s", (int)channel.count, (const char *)channel.bytes);
    const struct rc_span argv[] = {RC_SPAN("PUBSUB"), sharded ? RC_SPAN("SHARDNUMSUB") : RC_SPAN("NUMSUB"), key};
    if (!sharded && rc_redis_clustered(link)) {
        return 0; /* a node knows of its own subscribers alone */
    }
    const int rc = rc_redis_command(link, ask_counted, ask, sharded ? 2 : 0, RC_ARRAY_COUNT(argv), argv);
    ask->counting = rc == 0;
    return rc;
}

static void id_write(const struct rc_adapter_ask *ask, char id[ID_BYTES + 1])
{
    const uint16_t place = (uint16_t)(ask - ask->owner->all);
    (void)snprintf(id, ID_BYTES + 1, "%08x%04x%08x", ask->owner->nonce, place, ask->serial);
}

/* A place, whose number is written to `id`. NULL: servers cannot be asked now, which is counted. */
static struct rc_adapter_ask *ask_begin(struct rc_adapter_asks *asks, struct rc_span nsp, uint64_t wait_ms,
                                        char id[ID_BYTES + 1])
{
    struct rc_adapter_ask_nsp *heard = asks_listen(asks, nsp);
    struct rc_adapter_ask *ask = heard != NULL ? ask_place(asks) : NULL;
    if (ask == NULL) {
        asks_count(asks, RC_METRIC_ADAPTER_ASKS_REFUSED);
        return NULL;
    }
    *ask = (struct rc_adapter_ask){.owner = asks,
                                   .heard = heard,
                                   .state = OPEN,
                                   .serial = ++asks->serial,
                                   .expected = UNKNOWN,
                                   .due_ms = rc_clock_ms() + wait_ms,
                                   .nsp_bytes = (uint8_t)nsp.count};
    heard->open++;
    heard->asked = ++asks->asked;
    memcpy(ask->nsp, nsp.bytes, nsp.count);
    id_write(ask, id);
    return ask;
}

/* The question is written: it goes. 0, or why not: then it is over with. */
static int ask_send(struct rc_adapter_ask *ask, struct rc_span message)
{
    struct rc_adapter_asks *asks = ask->owner;
    char name[RC_REDIS_NAME_MAX];
    const struct rc_span channel = asks_channel(asks, rc_span_of(ask->nsp, ask->nsp_bytes), name);
    int rc = message.count == 0 ? -EBADMSG : ask_count(ask, channel);
    if (rc == 0) {
        const uint32_t flags = rc_adapter_flags(asks->adapter, RC_REDIS_PUBLISH_FLEETING);
        const int sent = rc_redis_publish(asks->adapter->bridge->link, channel, &message, 1, flags);
        rc = sent < 0 ? sent : 0;
    }
    if (rc < 0) {
        ask_late(ask);
        asks_count(asks, RC_METRIC_ADAPTER_ASKS_REFUSED);
        return rc;
    }
    asks_count(asks, RC_METRIC_ADAPTER_ASKED);
    if (!asks->timer.set || ask->due_ms < asks->timer.due_ms) {
        rc_timer_set(asks->adapter->bridge->timers, &asks->timer, ask->due_ms, asks_due, asks);
    }
    return 0;
}

/* --- an event -------------------------------------------------------------------------------------------------------- */

/* Names of rooms, up to the mark behind them, and of those that do not get it. False: all rooms are clients of this instance. */
static bool names_split(const struct rc_adapter_asks *asks, struct rc_span names, struct rc_adapter_message *message)
{
    struct rc_span rest = names;
    struct rc_span room;
    struct rc_sid sid;
    uint32_t rooms = 0;
    uint32_t own = 0;
    message->rooms = rc_span_of(names.bytes, 0);
    while (rc_adapter_name_next(&rest, &room)) {
        rooms++;
        own += rc_targets_is_own(asks->adapter->emission.instance, room, &sid);
        message->rooms.count = names.count - rest.count;
    }
    message->except = rest;
    return rooms == 0 || own < rooms;
}

static uint64_t emit_wait_ms(const struct rc_adapter_asks *asks, const struct rc_emit_head *head)
{
    const uint64_t most_ms = asks->config->socketio.ack_timeout_ms;
    return head->timeout_ms == 0 || head->timeout_ms > most_ms ? most_ms : head->timeout_ms;
}

void rc_adapter_asks_emit(struct rc_adapter_asks *asks, uint32_t worker, const struct rc_envelope_view *view)
{
    struct rc_emit_head head;
    struct rc_span asker;
    struct rc_span args;
    struct rc_span room;
    struct rc_adapter_message message = {.event = rc_span_of(view->event, view->head.event_bytes)};
    char id[ID_BYTES + 1];
    const struct rc_span data =
        rc_span_of(view->data + sizeof(struct rc_call_head), view->head.data_bytes - sizeof(struct rc_call_head));
    if (asks_off(asks) || !rc_redis_up(asks->adapter->bridge->link) || rc_emit_read(data, &head, &asker, &args) < 0 ||
        (head.flags & RC_EMIT_HOOK) == 0) {
        return;
    }
    (void)rc_channel_split(rc_span_of(view->channel, view->head.channel_bytes), &message.nsp, &room);
    if (message.nsp.count == 0 || message.nsp.count > RC_NSP_MAX ||
        !names_split(asks, rc_span_of(view->exclude_text, view->head.exclude_text_bytes), &message)) {
        return;
    }
    struct rc_adapter_ask *ask = ask_begin(asks, message.nsp, emit_wait_ms(asks, &head), id);
    if (ask == NULL) {
        return;
    }
    ask->worker = worker;
    ask->asker_bytes = (uint16_t)asker.count;
    if (asker.count > 0) { /* the bytes of a zero count may be NULL */
        memcpy(ask->asker, asker.bytes, asker.count);
    }
    const bool is_volatile = (head.flags & RC_EMIT_VOLATILE) != 0;
    const struct rc_envelope_view event = {
        .head = {.flags = (uint16_t)(RC_ENVELOPE_ARGS | (is_volatile ? (uint32_t)RC_ENVELOPE_VOLATILE : 0u)),
                 .data_bytes = (uint32_t)args.count},
        .data = args.bytes};
    message.uid = rc_span_of(asks->adapter->uid, sizeof(asks->adapter->uid));
    message.id = rc_span_of(id, ID_BYTES);
    message.view = &event;
    const struct rc_adapter_kind *kind = asks->adapter->kind;
    struct rc_scratch *buffer = &asks->adapter->emission.buffer;
    const size_t bytes = kind->write_room(&message);
    const struct rc_span written =
        rc_scratch_room(buffer, bytes) ? kind->ask_write(&message, buffer->bytes, bytes) : (struct rc_span){0};
    (void)ask_send(ask, written);
}

/* --- a room ---------------------------------------------------------------------------------------------------------- */

struct question {
    uint8_t *bytes;
    size_t count;
};

static void question_put(struct question *text, struct rc_span part)
{
    memcpy(text->bytes + text->count, part.bytes, part.count);
    text->count += part.count;
}

static void question_put_string(struct question *text, struct rc_span part)
{
    text->count += rc_json_string_encode(text->bytes + text->count, RC_JSON_STRING_BYTES_MAX(part.count), part);
}

#define QUESTION_BYTES_MAX (256u + RC_JSON_STRING_BYTES_MAX(RC_NSP_MAX) + RC_JSON_STRING_BYTES_MAX(RC_CHANNEL_NAME_MAX))

/* Who is in the room: as servers ask one another. Empty: no memory. */
static struct rc_span room_question(struct rc_adapter_asks *asks, struct rc_span nsp, struct rc_span room,
                                    const char *id)
{
    const struct rc_adapter_kind *kind = asks->adapter->kind;
    const size_t packed = RC_JSON_MSGPACK_BYTES_MAX(QUESTION_BYTES_MAX, 0, 0);
    if (!rc_scratch_room(&asks->data, QUESTION_BYTES_MAX + packed)) {
        return (struct rc_span){0};
    }
    struct question text = {.bytes = asks->data.bytes};
    question_put(&text, RC_SPAN("{\"uid\":"));
    question_put_string(&text, rc_span_of(asks->adapter->uid, sizeof(asks->adapter->uid)));
    if (kind->answers.mark != NULL) {
        question_put(&text, RC_SPAN(",\"type\":0,\"requestId\":"));
        question_put_string(&text, rc_span_text(id));
        question_put(&text, RC_SPAN(",\"rooms\":["));
    } else {
        question_put(&text, RC_SPAN(",\"nsp\":"));
        question_put_string(&text, nsp);
        question_put(&text, RC_SPAN(",\"type\":7,\"data\":{\"requestId\":"));
        question_put_string(&text, rc_span_text(id));
        question_put(&text, RC_SPAN(",\"opts\":{\"except\":[],\"flags\":{},\"rooms\":["));
    }
    if (room.count > 0) {
        question_put_string(&text, room);
    }
    question_put(&text, kind->answers.mark != NULL ? RC_SPAN("]}") : RC_SPAN("]}}}"));
    if (!kind->answers.packed) {
        return rc_span_of(text.bytes, text.count);
    }
    struct rc_msgpack_writer writer = rc_msgpack_writer_of(asks->data.bytes + text.count, packed);
    const int rc = rc_json_to_msgpack(&writer, rc_span_of(text.bytes, text.count), NULL, 0);
    return rc == 0 ? rc_msgpack_written(&writer) : (struct rc_span){0};
}

int rc_adapter_asks_room(struct rc_adapter_asks *asks, struct rc_span channel, uint64_t token)
{
    struct rc_span nsp;
    struct rc_span room;
    char id[ID_BYTES + 1];
    if (asks_off(asks)) {
        return -ENOSYS;
    }
    if (!rc_redis_up(asks->adapter->bridge->link)) {
        return -ENOTCONN;
    }
    (void)rc_channel_split(channel, &nsp, &room);
    struct rc_adapter_ask *ask = nsp.count <= RC_NSP_MAX ? ask_begin(asks, nsp, RC_ADAPTER_ASK_ROOM_MS, id) : NULL;
    if (ask == NULL) {
        return -ENOBUFS;
    }
    ask->of_room = true;
    ask->token = token;
    return ask_send(ask, room_question(asks, nsp, room, id));
}

/* --- what servers answer --------------------------------------------------------------------------------------------- */

/* The question with that number, if it is one that waits. */
static struct rc_adapter_ask *ask_find(struct rc_adapter_asks *asks, struct rc_span nsp, struct rc_span id)
{
    char text[ID_BYTES + 1];
    unsigned place = 0;
    if (id.count != ID_BYTES) {
        return NULL;
    }
    memcpy(text, id.bytes + 8, 4);
    text[4] = '\0';
    if (sscanf(text, "%4x", &place) != 1 || place >= asks->high) {
        return NULL;
    }
    struct rc_adapter_ask *ask = &asks->all[place];
    id_write(ask, text);
    return ask->state == OPEN && rc_span_equal(rc_span_of(text, ID_BYTES), id) &&
                   rc_span_equal(rc_span_of(ask->nsp, ask->nsp_bytes), nsp)
               ? ask
               : NULL;
}

/* Who is in the room of one server. An error: it is none. */
static int take_sockets(struct rc_adapter_ask *ask, const struct rc_adapter_response *response)
{
    struct rc_adapter_asks *asks = ask->owner;
    struct rc_json_cursor cursor;
    struct rc_span id;
    uint32_t count = 0;
    uint32_t used = 0;
    int got = rc_json_array_begin(&cursor, response->sockets, 0);
    /* A comma and two quotes for each: no entry is longer than it was by more than its length's bytes. */
    const size_t room = response->sockets.count + response->sockets.count / 2 * sizeof(uint32_t) + sizeof(uint32_t);
    if (got == 0 && (room > UINT32_MAX || !rc_scratch_room(&asks->data, room))) {
        return -ENOMEM;
    }
    while (got >= 0 && (got = rc_adapter_response_socket(&cursor, &id)) == 1) {
        used = rc_sockets_entry_put(asks->data.bytes, used, (uint32_t)room, id);
        RC_ASSERT(used > 0);
        count++;
    }
    if (got < 0) {
        return got;
    }
    if (count > 0) {
        asks->ops.room(asks->ops.context, ask->token, rc_span_of(asks->data.bytes, used), count);
    }
    ask->told++;
    return 0;
}

/* What a client answers, for the backend. */
static int take_answer(struct rc_adapter_ask *ask, const struct rc_adapter_response *response)
{
    struct rc_adapter_asks *asks = ask->owner;
    size_t binary = 0;
    for (uint32_t i = 0; i < response->attachment_count; i++) {
        binary += response->attachments[i].count;
    }
    const size_t before = RC_EMIT_BEFORE_MAX + RC_ARGS_BEFORE_MAX;
    if (!rc_scratch_room(&asks->data, before + response->packet.count + 2 + binary)) {
        return -ENOMEM;
    }
    uint8_t *json = asks->data.bytes + before;
    size_t bytes = 0;
    json[bytes++] = '[';
    if (response->packet.count > 0) {
        memcpy(json + bytes, response->packet.bytes, response->packet.count);
        bytes += response->packet.count;
    }
    json[bytes++] = ']';
    const struct rc_span args = rc_args_wrap(json, bytes, binary, response->attachments, response->attachment_count);
    RC_ASSERT(args.count > 0);
    ask->answered++;
    ask_tell_worker(ask, (uint8_t *)(uintptr_t)args.bytes, args.count, 0);
    return 0;
}

static int ask_take(struct rc_adapter_ask *ask, const struct rc_adapter_response *response)
{
    switch (response->type) {
    case RC_ADAPTER_RESPONSE_SOCKETS:
        return ask->of_room ? take_sockets(ask, response) : -EINVAL;
    case RC_ADAPTER_RESPONSE_COUNT:
        if (ask->of_room) {
            return -EINVAL;
        }
        ask->clients += response->count < UINT32_MAX ? response->count : UINT32_MAX;
        ask->told++;
        return 0;
    case RC_ADAPTER_RESPONSE_ANSWER:
        return ask->of_room ? -EINVAL : take_answer(ask, response);
    case RC_ADAPTER_RESPONSE_NONE:
        break;
    }
    return -EINVAL;
}

/* rc_adapter_responded: an answer to this instance, or to anybody. */
static void asks_responded(void *context, struct rc_span nsp, struct rc_span message)
{
    struct rc_adapter_asks *asks = context;
    const struct rc_bridge *bridge = asks->adapter->bridge;
    struct rc_adapter_response response;
    char nonce[9];
    (void)snprintf(nonce, sizeof(nonce), "%08x", asks->nonce);
    if (!rc_foreign_received(bridge, "-response#", message) ||
        memmem(message.bytes, message.count, nonce, sizeof(nonce) - 1) == NULL) {
        return; /* servers answer each other: that is not looked at */
    }
    const size_t room = message.bytes[0] == '{' ? 1 : rc_adapter_response_room(message.count);
    int rc = rc_scratch_room(&asks->text, room) ? rc_adapter_response_read(&response, message, asks->text.bytes, room)
                                                : -ENOMEM;
    struct rc_adapter_ask *ask = rc == 0 ? ask_find(asks, nsp, response.id) : NULL;
    if (ask != NULL) {
        rc = ask_take(ask, &response);
        ask_settle(ask);
    }
    if (rc < 0) {
        rc_foreign_refused(bridge, "-response#", message, rc, "not an answer to what was asked");
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int rc_adapter_asks_open(struct rc_adapter_asks *asks, struct rc_adapter_bridge *adapter,
                         const struct rc_config *config, const struct rc_adapter_asks_ops *ops)
{
    *asks = (struct rc_adapter_asks){.adapter = adapter, .config = config, .ops = *ops};
    if (rc_adapter_off(adapter)) {
        return 0;
    }
    asks->nonce = adapter->bridge->wire->boot_nonce;
    asks->serial = (uint32_t)rc_clock_ns(); /* a predecessor's answers may still come */
    asks->all = calloc(RC_ADAPTER_ASKS_MAX, sizeof(*asks->all));
    if (asks->all == NULL) {
        return -ENOMEM;
    }
    adapter->responded = asks_responded;
    adapter->responded_context = asks;
    return 0;
}

void rc_adapter_asks_configure(struct rc_adapter_asks *asks, const struct rc_config *config)
{
    asks->config = config;
}

void rc_adapter_asks_close(struct rc_adapter_asks *asks)
{
    if (!asks_off(asks)) {
        rc_timer_cancel(asks->adapter->bridge->timers, &asks->timer);
    }
    for (uint32_t i = 0; i < asks->nsp_count; i++) {
        free(asks->nsps[i].name);
    }
    free(asks->all);
    free(asks->text.bytes);
    free(asks->data.bytes);
    *asks = (struct rc_adapter_asks){.all = NULL};
}
