/* api_ask: calls that every worker, or a client's own, carries out: asking, and putting the replies together. See api.h. */
#include "worker/api/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/channel_name.h"
#include "worker/gate/permission.h"
#include "worker/ws/frame.h"

/* --- asking --- */

int rc_api_ask_workers(struct rc_api_call *call, enum rc_call_operation operation,
                       const struct rc_api_question *question, struct rc_api_fault *fault)
{
    struct rc_clients *clients = call->api->clients;
    uint8_t data[sizeof(struct rc_call_head) + 2 * RC_CALL_TEXT_MAX + RC_CLIENT_ID_BYTES_MAX];
    const struct rc_call_head head = {.operation = (uint8_t)operation,
                                      .user_bytes = (uint8_t)question->user.count,
                                      .text_bytes = (uint8_t)question->text.count,
                                      .client_bytes = (uint8_t)question->foreign.count,
                                      .close_code = question->close_code,
                                      .limit = (uint16_t)call->limit};
    if (!call->asking && rc_api_ask(call, fault) < 0) {
        return -EINVAL;
    }
    const struct rc_call_tag tag = rc_api_tag(call, 0);
    size_t used = sizeof(head);
    memcpy(data, &head, sizeof(head));
    if (question->user.count > 0) {
        memcpy(data + used, question->user.bytes, question->user.count);
        used += question->user.count;
    }
    if (question->text.count > 0) {
        memcpy(data + used, question->text.bytes, question->text.count);
        used += question->text.count;
    }
    if (question->foreign.count > 0) {
        memcpy(data + used, question->foreign.bytes, question->foreign.count);
        used += question->foreign.count;
    }
    struct rc_envelope_view view = {.head = {.time_ns = clients->io->now_ns,
                                             .origin = {.worker = (uint16_t)clients->worker},
                                             .target = question->client,
                                             .flags = RC_ENVELOPE_API,
                                             .data_bytes = (uint32_t)used,
                                             .channel_bytes = (uint8_t)question->channel.count,
                                             .request_id_bytes = sizeof(tag)},
                                    .channel = (const char *)question->channel.bytes,
                                    .request_id = (const uint8_t *)&tag,
                                    .data = data};
    if (rc_api_pass_on(call, RC_UP_CALL, &view, fault) < 0) {
        return -EINVAL;
    }
    call->operation = operation;
    call->by_user = question->user.count > 0;
    rc_api_release_body(call);
    call->state = RC_API_WAITING;
    return 0;
}

/* Exactly one of client and user. */
static int read_whom(struct rc_api_call *call, const struct rc_json_value *members, struct rc_api_question *question,
                     struct rc_api_fault *fault)
{
    const struct rc_control *control = call->api->clients->control;
    const struct rc_json_value *client = &members[RC_API_CLIENT];
    const struct rc_json_value *user = &members[RC_API_USER];
    struct rc_span id;
    uint64_t number;
    if ((client->type == RC_JSON_NONE) == (user->type == RC_JSON_NONE)) {
        return rc_api_fault(fault, 400, "one of client and user must be there");
    }
    if (user->type == RC_JSON_NUMBER && rc_json_uint64(user, &number) == 0) {
        question->user = user->raw; /* a number means its decimal string */
        return 0;
    }
    if (user->type != RC_JSON_NONE) {
        return rc_api_string(call, user, "user", RC_CHANNEL_NAME_MAX - RC_USER_CHANNEL_HEAD_BYTES, &question->user,
                             fault);
    }
    if (rc_api_string(call, client, "client", RC_CLIENT_ID_BYTES_MAX, &id, fault) < 0) {
        return -EINVAL;
    }
    switch (rc_client_id_read((const char *)id.bytes, id.count, control->instance_id, control->boot_nonce,
                              &question->client)) {
    case RC_CLIENT_ID_LOCAL:
        return 0;
    case RC_CLIENT_ID_FOREIGN:
        if (call->api->clients->config->redis.url.text[0] != '\0') {
            question->client = (struct rc_client_ref){.random = 1, .worker = RC_WORKER_FOREIGN};
            question->foreign = id;
            return 0;
        }
        break;
    case RC_CLIENT_ID_STALE:
    case RC_CLIENT_ID_INVALID:
        break;
    }
    return rc_api_fault(fault, 404, "no such client");
}

static int ask_subscription(struct rc_api_call *call, enum rc_call_operation operation, struct rc_api_fault *fault)
{
    struct rc_json_value members[RC_API_MEMBER_COUNT];
    struct rc_api_question question = {0};
    if (rc_api_body_members(call, members, fault) < 0 ||
        rc_api_channel(call, &members[RC_API_CHANNEL], &question.channel, fault) < 0 ||
        read_whom(call, members, &question, fault) < 0) {
        return -EINVAL;
    }
    if (rc_permission_reserved(question.channel)) {
        return rc_api_fault(fault, 403, "connections are in this channel by themselves");
    }
    return rc_api_ask_workers(call, operation, &question, fault);
}

int rc_api_subscribe(struct rc_api_call *call, struct rc_api_fault *fault)
{
    return ask_subscription(call, RC_CALL_SUBSCRIBE, fault);
}

int rc_api_unsubscribe(struct rc_api_call *call, struct rc_api_fault *fault)
{
    return ask_subscription(call, RC_CALL_UNSUBSCRIBE, fault);
}

int rc_api_disconnect(struct rc_api_call *call, struct rc_api_fault *fault)
{
    struct rc_json_value members[RC_API_MEMBER_COUNT];
    struct rc_api_question question = {.close_code = RC_CLOSE_DISCONNECTED,
                                       .text = rc_span_text(rc_close_reason(RC_CLOSE_DISCONNECTED))};
    uint64_t code = RC_CLOSE_DISCONNECTED;
    if (rc_api_body_members(call, members, fault) < 0 || read_whom(call, members, &question, fault) < 0) {
        return -EINVAL;
    }
    if (members[RC_API_CODE].type != RC_JSON_NONE &&
        (rc_json_uint64(&members[RC_API_CODE], &code) < 0 || !(code == 1000 || (code >= 3000 && code <= 4999)))) {
        return rc_api_fault(fault, 400, "code must be 1000 or a number from 3000 to 4999");
    }
    question.close_code = (uint16_t)code;
    if (members[RC_API_REASON].type != RC_JSON_NONE &&
        rc_api_string(call, &members[RC_API_REASON], "reason", RC_WS_CLOSE_REASON_BYTES_MAX, &question.text, fault) <
            0) {
        return -EINVAL;
    }
    return rc_api_ask_workers(call, RC_CALL_DISCONNECT, &question, fault);
}

int rc_api_query_text(const struct rc_api_call *call, const char *name, char *out, size_t capacity,
                      struct rc_span *span, struct rc_api_fault *fault)
{
    *span = (struct rc_span){0};
    const int bytes = rc_http_query_find(call->exchange->request->query, name, out, capacity);
    if (bytes == -ENOENT) {
        return 0;
    }
    if (bytes < 0 || !rc_json_utf8_valid(rc_span_of(out, (size_t)bytes))) {
        return rc_api_fault(fault, 400, "%s is longer than %zu bytes or not correctly encoded", name, capacity);
    }
    *span = rc_span_of(out, (size_t)bytes);
    return 0;
}

int rc_api_query_limit(struct rc_api_call *call, uint32_t otherwise, uint32_t most, struct rc_api_fault *fault)
{
    char limit[8];
    uint64_t value = otherwise;
    struct rc_json_value token = {.type = RC_JSON_NUMBER};
    if (rc_api_query_text(call, "limit", limit, sizeof(limit), &token.raw, fault) < 0) {
        return -EINVAL;
    }
    if (token.raw.count > 0 && (rc_json_uint64(&token, &value) < 0 || value == 0 || value > most)) {
        return rc_api_fault(fault, 400, "limit must be a number from 1 to %u", most);
    }
    call->limit = (uint32_t)value;
    return 0;
}

/* --- putting together --- */

struct entry {
    uint32_t subscribers;
    uint8_t name_bytes;
    const uint8_t *name; /* borrowed from a list */
};

static int entry_compare(const void *left, const void *right)
{
    const struct entry *a = left;
    const struct entry *b = right;
    const size_t common = a->name_bytes < b->name_bytes ? a->name_bytes : b->name_bytes;
    const int order = memcmp(a->name, b->name, common);
    return order != 0 ? order : (int)a->name_bytes - (int)b->name_bytes;
}

/* The entry at `*at`, which moves on; false when the list has none there. */
static bool entry_next(const struct rc_api_list *list, uint32_t *at, struct entry *entry)
{
    if (list->size - *at < 5) {
        return false;
    }
    memcpy(&entry->subscribers, list->bytes + *at, 4);
    entry->name_bytes = list->bytes[*at + 4];
    entry->name = list->bytes + *at + 5;
    if (entry->name_bytes == 0 || list->size - *at - 5 < entry->name_bytes) {
        return false;
    }
    *at += 5u + entry->name_bytes;
    return true;
}

/* All entries of all lists; `*end` is the last name that every worker has told everything up to. */
static uint32_t ask_gather(const struct rc_api_call *call, struct entry *entries, uint32_t capacity, struct entry *end)
{
    uint32_t count = 0;
    *end = (struct entry){0};
    for (uint32_t i = 0; i < call->list_count; i++) {
        const struct rc_api_list *list = &call->lists[i];
        struct entry entry = {0};
        uint32_t at = 0;
        while (count < capacity && entry_next(list, &at, &entry)) {
            entries[count++] = entry;
        }
        if (list->more && entry.name_bytes > 0 && (end->name_bytes == 0 || entry_compare(&entry, end) < 0)) {
            *end = entry;
        }
    }
    return count;
}

void rc_api_put_incomplete(struct rc_text *text, const struct rc_api_call *call)
{
    uint32_t count = 0;
    if (!call->incomplete) {
        return;
    }
    rc_text_put(text, ",\"incomplete\":true");
    for (uint32_t i = 0; i < RC_WORKERS_MAX; i++) {
        if ((call->silent.bits[i / 64] >> (i % 64) & 1) != 0) {
            rc_text_put(text, "%s%u", count++ == 0 ? ",\"silent\":[" : ",", i);
        }
    }
    rc_text_put(text, count > 0 ? "]" : "");
}

/* How much of the cluster the answer is about, and its end. */
static void put_scope(struct rc_text *text, const struct rc_api_call *call)
{
    rc_text_put(text, call->local ? ",\"scope\":\"local\"" : "");
    rc_api_put_incomplete(text, call);
    rc_text_put(text, "}\n");
}

void rc_api_list_late(struct rc_api_call *call)
{
    struct rc_api_fault fault;
    if (!call->asked_known) {
        rc_api_fault(&fault, 504,
                     "the relay has not answered in time: it hangs, or was just started (ringcast status)");
        rc_api_fail(call, &fault);
    } else if (call->busy) {
        rc_api_fault(&fault, 503, "a worker has too much to do for this: try again");
        rc_api_fail(call, &fault);
    } else {
        for (size_t i = 0; i < RC_ARRAY_COUNT(call->silent.bits); i++) {
            call->silent.bits[i] |= call->asked.bits[i] & ~call->replied.bits[i];
        }
        call->incomplete = true;
        call->finish(call);
    }
}

static void put_channels(struct rc_text *text, const struct rc_api_call *call, struct entry *entries, uint32_t count,
                         const struct entry *end)
{
    uint32_t written = 0;
    uint32_t i = 0;
    qsort(entries, count, sizeof(*entries), entry_compare);
    rc_text_put(text, "{\"channels\":[");
    while (i < count && written < call->limit && (end->name_bytes == 0 || entry_compare(&entries[i], end) <= 0)) {
        const struct entry *first = &entries[i];
        uint64_t subscribers = 0;
        for (; i < count && entry_compare(&entries[i], first) == 0; i++) {
            subscribers += entries[i].subscribers;
        }
        rc_text_put(text, "%s{\"channel\":", written++ == 0 ? "" : ",");
        rc_text_put_json(text, rc_span_of(first->name, first->name_bytes));
        rc_text_put(text, ",\"subscribers\":%llu}", (unsigned long long)subscribers);
    }
    rc_text_put(text, "],\"next\":");
    if (i > 0 && (i < count || end->name_bytes > 0)) {
        rc_text_put_json(text, rc_span_of(entries[i - 1].name, entries[i - 1].name_bytes));
    } else {
        rc_text_put(text, "null");
    }
    put_scope(text, call);
}

void rc_api_forget_replies(struct rc_api_call *call)
{
    for (uint32_t i = 0; i < call->list_count; i++) {
        free(call->lists[i].bytes);
    }
    call->list_count = 0;
    call->asked_known = call->others_done = call->busy = call->found = false;
    call->asked = call->replied = (struct rc_call_asked){0};
    call->affected = 0;
}

int rc_api_each_channel(const struct rc_api_call *call,
                        int (*each)(void *context, struct rc_span name, uint64_t subscribers), void *context,
                        char *next)
{
    struct entry end;
    uint32_t capacity = 0;
    for (uint32_t i = 0; i < call->list_count; i++) {
        capacity += call->lists[i].count;
    }
    struct entry *entries = malloc((capacity + 1) * sizeof(*entries));
    if (entries == NULL) {
        return -ENOMEM;
    }
    const uint32_t count = ask_gather(call, entries, capacity, &end);
    uint32_t written = 0;
    uint32_t i = 0;
    int rc = 0;
    qsort(entries, count, sizeof(*entries), entry_compare);
    while (rc == 0 && i < count && written < call->limit &&
           (end.name_bytes == 0 || entry_compare(&entries[i], &end) <= 0)) {
        const struct entry *first = &entries[i];
        uint64_t subscribers = 0;
        for (; i < count && entry_compare(&entries[i], first) == 0; i++) {
            subscribers += entries[i].subscribers;
        }
        written++;
        rc = each(context, rc_span_of(first->name, first->name_bytes), subscribers);
    }
    if (rc == 0 && i > 0 && (i < count || end.name_bytes > 0)) {
        memcpy(next, entries[i - 1].name, entries[i - 1].name_bytes);
        rc = entries[i - 1].name_bytes;
    }
    free(entries);
    return rc;
}

static void finish_channels(struct rc_api_call *call)
{
    struct rc_text text = {0};
    struct entry end;
    uint32_t capacity = 0;
    for (uint32_t i = 0; i < call->list_count; i++) {
        capacity += call->lists[i].count;
    }
    struct entry *entries = malloc((capacity + 1) * sizeof(*entries));
    if (entries == NULL) {
        text.failed = true;
    } else {
        const uint32_t count = ask_gather(call, entries, capacity, &end);
        put_channels(&text, call, entries, count, &end);
    }
    free(entries);
    rc_api_finish(call, &text);
}

int rc_api_channels(struct rc_api_call *call, struct rc_api_fault *fault)
{
    char prefix[RC_CHANNEL_NAME_MAX];
    char cursor[RC_CHANNEL_NAME_MAX];
    struct rc_api_question question = {0};
    if (rc_api_query_text(call, "prefix", prefix, sizeof(prefix), &question.text, fault) < 0 ||
        rc_api_query_text(call, "cursor", cursor, sizeof(cursor), &question.channel, fault) < 0 ||
        rc_api_query_limit(call, RC_API_CHANNELS_DEFAULT, RC_API_CHANNELS_MAX, fault) < 0) {
        return -EINVAL;
    }
    call->listing = true;
    call->finish = finish_channels;
    call->late = rc_api_list_late;
    return rc_api_ask_workers(call, RC_CALL_CHANNELS, &question, fault);
}

void rc_api_absent(struct rc_api_call *call)
{
    struct rc_api_fault fault;
    if (call->local) {
        rc_api_fault(&fault, 503, "this client is of another instance, which cannot be asked now: try again");
    } else if (call->incomplete) {
        rc_api_fault(&fault, 504, "this client's instance did not answer in time; it may have been done all the same");
    } else {
        rc_api_fault(&fault, 404, "no such client");
    }
    rc_api_fail(call, &fault);
}

static void finish_affected(struct rc_api_call *call)
{
    static const char *const names[] = {[RC_CALL_SUBSCRIBE] = "subscribed",
                                        [RC_CALL_UNSUBSCRIBE] = "unsubscribed",
                                        [RC_CALL_DISCONNECT] = "disconnected"};
    struct rc_text text = {0};
    if (!call->by_user && !call->found) {
        rc_api_absent(call);
        return;
    }
    rc_text_put(&text, "{\"%s\":%llu", names[call->operation], (unsigned long long)call->affected);
    put_scope(&text, call);
    rc_api_finish(call, &text);
}

/* Everybody who was asked has replied? */
static void ask_settle(struct rc_api_call *call)
{
    struct rc_api_fault fault;
    if (!call->asked_known || (call->asked.scope == RC_CALL_SCOPE_ALL && !call->others_done) ||
        (call->asked.bits[0] & ~call->replied.bits[0]) != 0 || (call->asked.bits[1] & ~call->replied.bits[1]) != 0) {
        return;
    }
    if (call->busy) {
        rc_api_fault(&fault, 503, "a worker has too much to do for this: try again");
        rc_api_fail(call, &fault);
    } else if (call->finish != NULL) {
        call->finish(call);
    } else {
        finish_affected(call);
    }
}

static void ask_asked(struct rc_api_call *call, const struct rc_envelope_view *view)
{
    struct rc_api_fault fault;
    if (view->head.data_bytes != sizeof(call->asked)) {
        rc_metric_add(call->api->clients->metrics, RC_METRIC_RING_CORRUPT, 1);
        return;
    }
    if (view->head.code == RC_CODE_NOT_FOUND) {
        rc_api_fault(&fault, 404, "no such client");
        rc_api_fail(call, &fault);
        return;
    }
    if (view->head.code != 0) {
        rc_api_fault(&fault, 503, "not everybody could be asked: try again");
        rc_api_fail(call, &fault);
        return;
    }
    memcpy(&call->asked, view->data, sizeof(call->asked));
    call->local |= call->asked.scope == RC_CALL_SCOPE_LOCAL;
    call->asked_known = true;
    ask_settle(call);
}

static bool keep_list(struct rc_api_call *call, const struct rc_reply_head *head, const struct rc_envelope_view *view)
{
    const uint32_t size = view->head.data_bytes - (uint32_t)sizeof(*head);
    if (size == 0) {
        return true;
    }
    if (size > RC_CALL_REPLY_BYTES_MAX || head->count > RC_API_CHANNELS_MAX || call->list_count == RC_API_LISTS_MAX) {
        return false;
    }
    uint8_t *bytes = malloc(size);
    if (bytes == NULL) {
        return false;
    }
    struct rc_api_list *lists = realloc(call->lists, (call->list_count + 1) * sizeof(*lists));
    if (lists == NULL) {
        free(bytes);
        return false;
    }
    call->lists = lists;
    memcpy(bytes, view->data + sizeof(*head), size);
    call->lists[call->list_count++] = (struct rc_api_list){
        .bytes = bytes, .count = head->count, .size = size, .more = (head->flags & RC_REPLY_MORE) != 0};
    return true;
}

/* Of a worker of this host: each replies once, though a relay that was started in between asks twice. */
static bool count_reply(struct rc_api_call *call, uint32_t worker)
{
    if (worker >= call->api->clients->control->worker_count || (call->replied.bits[worker / 64] >> (worker % 64) & 1)) {
        return false;
    }
    call->replied.bits[worker / 64] |= UINT64_C(1) << (worker % 64);
    return true;
}

static void ask_replied(struct rc_api_call *call, const struct rc_envelope_view *view)
{
    const uint32_t worker = view->head.origin.worker;
    struct rc_reply_head head;
    memcpy(&head, view->data, sizeof(head));
    if (worker == RC_WORKER_FOREIGN) {
        call->others_done |= (head.flags & RC_REPLY_LAST) != 0;
        call->local |= (head.flags & RC_REPLY_LOCAL) != 0;
        call->incomplete |= (head.flags & RC_REPLY_INCOMPLETE) != 0;
    } else if (!count_reply(call, worker)) {
        return;
    }
    call->local |= (head.flags & RC_REPLY_UNCONFIRMED) != 0;
    if ((head.flags & RC_REPLY_BUSY) != 0 && call->late == rc_api_list_late && worker < RC_WORKERS_MAX) {
        call->silent.bits[worker / 64] |= UINT64_C(1) << (worker % 64);
        call->incomplete = true;
    } else {
        call->busy |= (head.flags & RC_REPLY_BUSY) != 0;
    }
    call->found |= (head.flags & RC_REPLY_FOUND) != 0;
    if (!call->listing) {
        call->affected += head.count;
    } else if (!keep_list(call, &head, view)) {
        call->busy = true;
    }
    ask_settle(call);
}

void rc_api_gathered(struct rc_api_call *call, enum rc_record_type type, const struct rc_envelope_view *view)
{
    if (type == RC_DOWN_REPLY) {
        ask_replied(call, view);
    } else if (type == RC_DOWN_ANSWER) {
        ask_asked(call, view);
    }
}
