/* rule_room: see rule_room.h. */
#include "worker/engine/rule_room.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/query.h"
#include "common/text/json_scan.h"
#include "worker/engine/room.h"
#include "worker/engine/rule_retained.h"
#include "worker/gate/rule_policy.h"

/* A list of entries as it grows: what fits is bounded as any message. */
struct list {
    struct rc_rule_question *question;
    size_t most;
    bool failed;
};

static enum rc_sockets_operation call_of(uint32_t kind)
{
    return kind == RC_QUESTION_MEMBERS ? RC_CALL_ROOM_MEMBERS
           : kind == RC_QUESTION_USERS ? RC_CALL_ROOM_USERS
                                       : RC_CALL_ROOM_COUNT;
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

/* Each entry behind its length, until all are there. */
static void entry_add(void *context, struct rc_span json)
{
    struct list *list = context;
    struct rc_rule_question *question = list->question;
    const uint32_t count = (uint32_t)json.count;
    const size_t need = question->bytes + sizeof(count) + json.count;
    if (need > list->most) {
        list->failed = true;
        return;
    }
    if (need > question->room) {
        const size_t room = need > 2 * question->room ? need + 256 : 2 * question->room;
        uint8_t *larger = realloc(question->json, room);
        if (larger == NULL) {
            list->failed = true;
            return;
        }
        question->json = larger;
        question->room = room;
    }
    memcpy(question->json + question->bytes, &count, sizeof(count));
    memcpy(question->json + question->bytes + sizeof(count), json.bytes, json.count);
    question->bytes = need;
}

static int entry_compare(const void *a, const void *b)
{
    const struct rc_span *first = a;
    const struct rc_span *second = b;
    const size_t bytes = first->count < second->count ? first->count : second->count;
    const int order = memcmp(first->bytes, second->bytes, bytes);
    return order != 0 ? order : first->count < second->count ? -1 : first->count > second->count;
}

/* The entries as a JSON list; `once`: those that are the same are one. False: no memory. */
static bool list_write(struct rc_rule_question *question, bool once)
{
    struct rc_span rest = rc_span_of(question->json, question->bytes);
    struct rc_span entry;
    size_t count = 0;
    while (rc_sockets_entry_next(&rest, &entry)) {
        count++;
    }
    struct rc_span *entries = malloc((count + 1) * sizeof(*entries));
    uint8_t *json = malloc(question->bytes + 2);
    if (entries == NULL || json == NULL) {
        free(entries);
        free(json);
        return false;
    }
    rest = rc_span_of(question->json, question->bytes);
    for (size_t i = 0; rc_sockets_entry_next(&rest, &entry); i++) {
        entries[i] = entry;
    }
    if (once) {
        qsort(entries, count, sizeof(*entries), entry_compare);
    }
    size_t bytes = 0;
    json[bytes++] = '[';
    for (size_t i = 0; i < count; i++) {
        if (once && i > 0 && rc_span_equal(entries[i], entries[i - 1])) {
            continue;
        }
        if (bytes > 1) {
            json[bytes++] = ',';
        }
        memcpy(json + bytes, entries[i].bytes, entries[i].count);
        bytes += entries[i].count;
    }
    json[bytes++] = ']';
    free(entries);
    free(question->json);
    question->json = json;
    question->bytes = bytes;
    return true;
}

static bool number_write(struct rc_rule_question *question)
{
    question->json = malloc(16);
    if (question->json == NULL) {
        return false;
    }
    question->bytes = (size_t)snprintf((char *)question->json, 16, "%u", question->count);
    return true;
}

/* All that there is to know has come. */
static bool question_answer(struct rc_rule_wait *wait, uint32_t index)
{
    struct rc_rule_question *question = &wait->questions[index];
    const bool done = question->kind == RC_QUESTION_RETAINED ? question->json != NULL
                      : call_of(question->kind) == RC_CALL_ROOM_COUNT
                          ? number_write(question)
                          : list_write(question, question->kind == RC_QUESTION_USERS);
    wait->answers[index] = rc_span_of(question->json, question->bytes);
    return done;
}

/* --- what comes back ------------------------------------------------------------------------------------------------- */

/* One question less; with the last one the row goes on. */
static void question_close(struct rc_rule_wait *wait, uint32_t index, bool answered)
{
    struct rc_engines *engines = wait->engines;
    if (wait->questions[index].token != 0) {
        rc_asks_end(engines->clients->asks, wait->questions[index].token);
        wait->questions[index].token = 0;
    }
    const bool known = answered && question_answer(wait, index);
    wait->failed |= !known;
    rc_metric_add(engines->clients->metrics, RC_METRIC_ROOMS_LOCAL, known && wait->questions[index].local);
    RC_ASSERT(wait->open > 0);
    if (--wait->open > 0) {
        return;
    }
    if (wait->client == 0) {
        wait->goes_on(wait);
    } else if (rc_truth_named(engines->clients->truth, wait->client, wait->random) != NULL) {
        rc_client_answered(engines->clients, wait->client);
    }
}

/* Have all workers of this host said what they have? */
static bool question_complete_here(const struct rc_rule_question *question)
{
    return question->asked_known && (question->asked.bits[0] & ~question->replied.bits[0]) == 0 &&
           (question->asked.bits[1] & ~question->replied.bits[1]) == 0;
}

static bool question_complete(const struct rc_rule_question *question)
{
    return question_complete_here(question) && (question->asked.scope != RC_CALL_SCOPE_ALL || question->others_done);
}

/* What another worker has there, or other instances. Its bytes are another process's. */
static bool reply_take(struct rc_rule_wait *wait, struct rc_rule_question *question,
                       const struct rc_envelope_view *view)
{
    struct list list = {.question = question,
                        .most = (size_t)wait->engines->clients->config->limits.max_message_size_bytes};
    const uint32_t worker = view->head.origin.worker;
    const bool foreign = worker == RC_WORKER_FOREIGN;
    struct rc_reply_head head;
    struct rc_span entry;
    if (view->head.data_bytes < sizeof(head) || (worker >= RC_WORKERS_MAX && !foreign)) {
        return true; /* nobody's */
    }
    const uint64_t bit = UINT64_C(1) << (worker % 64);
    if (foreign ? question->others_done : (question->replied.bits[worker / 64] & bit) != 0) {
        return true;
    }
    memcpy(&head, view->data, sizeof(head));
    struct rc_span rest = rc_span_of(view->data + sizeof(head), view->head.data_bytes - sizeof(head));
    struct rc_json_value value;
    while (rc_sockets_entry_next(&rest, &entry)) {
        if (rc_json_scan(entry, RC_JSON_CHECK_UTF8, &value, NULL) != 0 || value.type != RC_JSON_STRING) {
            return false;
        }
        entry_add(&list, entry);
    }
    if (call_of(question->kind) == RC_CALL_ROOM_COUNT) {
        question->count += head.count;
    }
    if (foreign) {
        question->others_done = (head.flags & RC_REPLY_LAST) != 0;
        question->local |= (head.flags & (RC_REPLY_LOCAL | RC_REPLY_INCOMPLETE | RC_REPLY_MORE | RC_REPLY_BUSY)) != 0;
    } else if ((head.flags & RC_REPLY_PART) == 0) {
        question->replied.bits[worker / 64] |= bit;
    }
    return !list.failed;
}

static void room_answered(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_rule_wait *wait = ask->context;
    const uint32_t index = ask->id[0];
    struct rc_rule_question *question = &wait->questions[index];
    bool fine = true;
    if (question->kind == RC_QUESTION_RETAINED) {
        fine = type == RC_DOWN_QUERY && view->head.code == 0 &&
               rc_rule_retained_answer(question, rc_span_of(view->data, view->head.data_bytes),
                                       (size_t)wait->engines->clients->config->limits.max_message_size_bytes);
        question_close(wait, index, fine);
        return;
    }
    if (type == RC_DOWN_ANSWER) {
        fine = view->head.code == 0 && view->head.data_bytes == sizeof(question->asked);
        if (fine) {
            memcpy(&question->asked, view->data, sizeof(question->asked));
            question->asked_known = true;
            question->local |= question->asked.scope == RC_CALL_SCOPE_LOCAL;
        }
    } else if (type == RC_DOWN_REPLY) {
        fine = reply_take(wait, question, view);
    }
    if (!fine || question_complete(question)) {
        question_close(wait, index, fine);
    }
}

static void room_unanswered(const struct rc_ask *ask, enum rc_ask_end why)
{
    struct rc_rule_wait *wait = ask->context;
    const uint32_t index = ask->id[0];
    struct rc_rule_question *question = &wait->questions[index];
    (void)why;
    /* Where only other instances are missing, what is known has to do. */
    const bool here = question_complete_here(question);
    question->local |= here;
    rc_metric_add(wait->engines->clients->metrics, RC_METRIC_ROOMS_UNANSWERED, here ? 0 : 1);
    question->token = 0;
    question_close(wait, index, here);
}

static const struct rc_asker room_asker = {
    .kind = RC_ASK_RULES, .in_ms = RC_RULE_ROOM_MS, .answered = room_answered, .unanswered = room_unanswered};

/* --- asking ---------------------------------------------------------------------------------------------------------- */

/* The channel that is asked about. 0, or a code. */
static int question_channel(struct rc_rule_run *run, const struct rc_event_question *question,
                            char out[RC_CHANNEL_NAME_MAX], struct rc_span *channel)
{
    char name[RC_CHANNEL_NAME_MAX];
    size_t bytes = 0;
    int code = question->everybody != 0 ? 0 : rc_rule_room(&run->values, &question->room, name, &bytes);
    if (code != 0) {
        return rc_rule_state_fail(run, code, run->values.err.text);
    }
    /* Whoever names the room sees who is in it as far as any client may; its value who may subscribe. */
    struct rc_rule_room_asked asked = {.room = rc_span_of(name, bytes)};
    code = rc_rule_room_channel(&run->values, asked.room, out, channel);
    if (code == 0 && (question->room.flags & RC_EVENT_CLIENT_CHOOSES) != 0 && run->client != 0) {
        asked.user = rc_client_user(run->clients, run->client);
        asked.socket = rc_client_room_is_socket(run->clients, asked.room);
        asked.member = rc_rule_sees_who(run->clients->config, asked.room, question->kind) == RC_WHO_MEMBER &&
                       rc_client_is_in(run->clients, run->client, *channel);
        code = rc_rule_sees(&run->values, &asked, question->kind);
    }
    return code != 0 ? rc_rule_state_fail(run, code, run->values.err.text) : 0;
}

/* Asks by a record of that type with this data: the others who is in a room, the relay for its retained value. 0, -EAGAIN: no room in the up
 * ring, or another error. */
static int question_send(struct rc_rule_wait *wait, uint32_t index, struct rc_span channel, enum rc_record_type type,
                         struct rc_span data)
{
    struct rc_clients *clients = wait->engines->clients;
    struct rc_rule_question *question = &wait->questions[index];
    const uint8_t id = (uint8_t)index;
    int rc = rc_uplink_queued(clients->uplink)
                 ? -EAGAIN
                 : rc_asks_begin(clients->asks, &room_asker, wait, NULL, rc_span_of(&id, 1), &question->token);
    if (rc < 0) {
        return rc;
    }
    const struct rc_call_tag tag = rc_asks_tag(clients->asks, question->token, 0);
    struct rc_envelope_view view = {
        .head = {.time_ns = clients->io->now_ns,
                 .channel_hash = rc_channel_hash((const char *)channel.bytes, channel.count),
                 .origin = {.worker = (uint16_t)clients->worker},
                 .flags = RC_ENVELOPE_API,
                 .data_bytes = (uint32_t)data.count,
                 .channel_bytes = (uint8_t)channel.count,
                 .request_id_bytes = sizeof(tag)},
        .channel = (const char *)channel.bytes,
        .request_id = (const uint8_t *)&tag,
        .data = data.bytes};
    rc = rc_uplink_write(clients->uplink, type, &view);
    if (rc < 0) {
        rc_asks_end(clients->asks, question->token);
        question->token = 0;
    }
    return rc;
}

/* What this worker knows, and the question to the others. */
static int question_begin(struct rc_rule_run *run, struct rc_rule_wait *wait, uint32_t index,
                          const struct rc_event_question *asked)
{
    const struct rc_clients *clients = run->clients;
    struct rc_rule_question *question = &wait->questions[index];
    struct list list = {.question = question, .most = (size_t)clients->config->limits.max_message_size_bytes};
    const struct rc_room_listener listener = {.context = &list, .entry = entry_add};
    char name[RC_CHANNEL_NAME_MAX];
    struct rc_span channel;
    if (question->came) {
        return question_answer(wait, index) ? 0 : -ENOMEM;
    }
    const int code = question_channel(run, asked, name, &channel);
    if (code != 0) {
        return -EPERM;
    }
    question->kind = asked->kind;
    if (asked->kind == RC_QUESTION_RETAINED) {
        static const struct rc_query_head value = {.kind = RC_QUERY_RETAINED};
        const int sent = question_send(wait, index, channel, RC_UP_QUERY, rc_span_of(&value, sizeof(value)));
        wait->open += sent == 0 ? 1 : 0;
        return sent;
    }
    /* Who is leaving is not there any more. */
    const uint32_t except = asked->kind == RC_QUESTION_OTHERS || run->ends ? run->client : 0;
    question->count = rc_room_tell(run->engines, call_of(asked->kind), channel, except, &listener);
    if (list.failed) {
        return -ENOMEM;
    }
    if (clients->control->worker_count == 1 && clients->config->redis.url.text[0] == '\0') {
        return question_answer(wait, index) ? 0 : -ENOMEM;
    }
    const struct rc_call_head call = {.operation = (uint8_t)call_of(asked->kind)};
    const int rc = question_send(wait, index, channel, RC_UP_CALL, rc_span_of(&call, sizeof(call)));
    wait->open += rc == 0 ? 1 : 0;
    return rc;
}

/* As if nothing had been asked. */
static void questions_forget(struct rc_rule_wait *wait)
{
    for (uint32_t i = 0; i < wait->question_count; i++) {
        if (wait->questions[i].token != 0) {
            rc_asks_end(wait->engines->clients->asks, wait->questions[i].token);
        }
        if (!wait->questions[i].came) {
            free(wait->questions[i].json);
            wait->questions[i] = (struct rc_rule_question){0};
        }
    }
    wait->question_count = 0;
    wait->open = 0;
    wait->asked = false;
}

enum rc_rule_asked rc_rule_room_ask(struct rc_rule_run *run, struct rc_rule_wait *wait)
{
    const struct rc_event_question *asked = rc_event_questions(run->clients->config, run->row);
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < run->row->question_count; i++) {
        wait->question_count = i + 1;
        rc = question_begin(run, wait, i, &asked[i]);
    }
    if (rc == 0) {
        wait->asked = true;
        run->values.input.answers = wait->open == 0 ? wait->answers : NULL;
        return wait->open == 0 ? RC_RULE_KNOWN : RC_RULE_ASKS;
    }
    questions_forget(wait);
    if (rc == -EAGAIN) {
        return RC_RULE_FULL;
    }
    if (rc != -EPERM) {
        rc_rule_state_fail(run, RC_CODE_UNAVAILABLE, "the room cannot be asked about now: try again");
    }
    return RC_RULE_FAILED;
}
