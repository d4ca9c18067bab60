/* revocations: see revocations.h. */
#include "worker/identity/revocations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/records/query.h"

#define ANSWER_MS 2000u /* later is not at all */
#define TICK_MS 250u    /* a quarter of the clients is looked at */
#define TICKS (RC_REVOCATIONS_CHECK_MS / TICK_MS)
#define BATCHES_MAX 128u                    /* about clients, in a tick */
#define TOKENS_MAX (RC_QUERY_KEYS_MAX / 2u) /* of a batch */
#define BATCH_BYTES 24576u                  /* of keys */
#define TOKEN_KEY "ws:revoked:jti:"
#define USER_KEY "ws:revoked:user:"
#define TIME_MS_MIN 100000000000u /* larger ones are milliseconds */
#define TRIES_MAX 2u              /* a relay that is gone answers nothing, and its successor can be asked once */

/* NEW ──▶ ASKED ──▶ KNOWN ──250 ms──▶ gone */
enum stage { NEW, ASKED, KNOWN };

struct rc_revocation {
    uint64_t hash;
    uint64_t known_ms; /* CLOCK_MONOTONIC of the answer */
    struct rc_revocation *bucket_next;
    struct rc_revocation *next;         /* NEW, KNOWN: in that list */
    struct rc_revocation_waiter *first; /* who waits; NULL = nobody */
    uint64_t token_mark;                /* KNOWN: RC_QUERY_MARK_… */
    uint64_t user_mark;
    enum stage stage;
    bool answered; /* KNOWN: by Redis */
    uint8_t tries;
    uint8_t id_bytes;
    uint8_t user_bytes;
    uint8_t text[]; /* id, user */
};

struct rc_revocation_waiter {
    struct rc_identity_asker asker;
    struct rc_revocation *of;
    struct rc_revocation_waiter *next; /* of the same token */
    struct rc_revocation_waiter *bucket_next;
};

/* What a question is about: a token of somebody who comes, or that of a client. */
struct item {
    struct rc_revocation *entry; /* borrowed, while it is ASKED; NULL: a client's */
    uint64_t name;               /* client */
    uint64_t issued_s;
    uint32_t client;
    bool has_id; /* two keys, else one */
};

struct rc_revocation_batch {
    struct rc_revocations *owner;
    struct rc_revocation_batch *previous;
    struct rc_revocation_batch *next;
    uint32_t count; /* items */
    uint32_t keys;
    struct item items[TOKENS_MAX];
};

static uint64_t revocations_now_ms(const struct rc_revocations *revocations)
{
    return *revocations->now_ns / 1000000u;
}

void rc_revocations_open(struct rc_revocations *revocations, struct rc_asks *asks, struct rc_uplink *uplink,
                         struct rc_metrics *metrics, uint32_t worker, const uint64_t *now_ns,
                         const struct rc_revocations_ops *ops)
{
    *revocations = (struct rc_revocations){.ops = *ops,
                                           .asks = asks,
                                           .uplink = uplink,
                                           .metrics = metrics,
                                           .worker = worker,
                                           .now_ns = now_ns,
                                           .prefix = ""};
}

void rc_revocations_configure(struct rc_revocations *revocations, const char *prefix, bool used)
{
    revocations->prefix = prefix;
    revocations->used = used;
}

uint32_t rc_revocation_key(const char *prefix, bool of_user, struct rc_span name, uint8_t *out, uint32_t room)
{
    const struct rc_span parts[] = {rc_span_text(prefix), of_user ? RC_SPAN(USER_KEY) : RC_SPAN(TOKEN_KEY), name};
    size_t used = 0;
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(parts); i++) {
        if (parts[i].count > room - used) {
            return 0;
        }
        if (parts[i].count > 0) {
            memcpy(out + used, parts[i].bytes, parts[i].count);
        }
        used += parts[i].count;
    }
    return (uint32_t)used;
}

/* Does what stands under the two keys take back a token that was issued then? */
static bool is_revoked(uint64_t token_mark, uint64_t user_mark, uint64_t issued_s)
{
    if (token_mark != RC_QUERY_MARK_NONE) {
        return true;
    }
    if (user_mark == RC_QUERY_MARK_NONE) {
        return false;
    }
    if (user_mark == RC_QUERY_MARK_TEXT || user_mark < RC_REVOCATION_TIME_MIN_S) {
        return true;
    }
    return issued_s < (user_mark < TIME_MS_MIN ? user_mark : user_mark / 1000u);
}

/* --- tokens of those who come --------------------------------------------------------------------------------------- */

static uint64_t token_hash(const struct rc_revocable *token)
{
    return rc_hash(token->id.bytes, token->id.count) ^ (rc_hash(token->user.bytes, token->user.count) * 31u);
}

static struct rc_revocation **bucket_of(const struct rc_revocations *revocations, uint64_t hash)
{
    return &revocations->buckets[hash & (RC_REVOCATIONS_BUCKETS - 1)];
}

static struct rc_revocation *entry_find(const struct rc_revocations *revocations, uint64_t hash,
                                        const struct rc_revocable *token)
{
    struct rc_revocation *entry = *bucket_of(revocations, hash);
    while (entry != NULL &&
           !(entry->hash == hash && rc_span_equal(rc_span_of(entry->text, entry->id_bytes), token->id) &&
             rc_span_equal(rc_span_of(entry->text + entry->id_bytes, entry->user_bytes), token->user))) {
        entry = entry->bucket_next;
    }
    return entry;
}

static void list_add(struct rc_revocation **first, struct rc_revocation **last, struct rc_revocation *entry)
{
    entry->next = NULL;
    *(*first == NULL ? first : &(*last)->next) = entry;
    *last = entry;
}

/* NULL: no memory, or too many. */
static struct rc_revocation *entry_make(struct rc_revocations *revocations, uint64_t hash,
                                        const struct rc_revocable *token)
{
    struct rc_revocation *entry =
        revocations->count < RC_REVOCATIONS_MAX ? malloc(sizeof(*entry) + token->id.count + token->user.count) : NULL;
    if (entry == NULL) {
        return NULL;
    }
    struct rc_revocation **bucket = bucket_of(revocations, hash);
    *entry = (struct rc_revocation){.hash = hash,
                                    .bucket_next = *bucket,
                                    .id_bytes = (uint8_t)token->id.count,
                                    .user_bytes = (uint8_t)token->user.count};
    if (token->id.count > 0) {
        memcpy(entry->text, token->id.bytes, token->id.count);
    }
    memcpy(entry->text + token->id.count, token->user.bytes, token->user.count);
    *bucket = entry;
    revocations->count++;
    list_add(&revocations->first_new, &revocations->last_new, entry);
    return entry;
}

/* Known, and for RC_REVOCATIONS_FRESH_MS. */
static void entry_known(struct rc_revocations *revocations, struct rc_revocation *entry, bool answered)
{
    entry->stage = KNOWN;
    entry->answered = answered;
    entry->known_ms = revocations_now_ms(revocations);
    list_add(&revocations->first_known, &revocations->last_known, entry);
    while (entry->first != NULL) {
        const struct rc_identity_asker asker = entry->first->asker;
        rc_revocations_forget(revocations, asker.token);
        revocations->ops.ready(revocations->ops.context, &asker);
    }
}

/* The oldest go. */
static void entries_sweep(struct rc_revocations *revocations)
{
    while (revocations->first_known != NULL &&
           revocations_now_ms(revocations) - revocations->first_known->known_ms >= RC_REVOCATIONS_FRESH_MS) {
        struct rc_revocation *entry = revocations->first_known;
        struct rc_revocation **at = bucket_of(revocations, entry->hash);
        while (*at != entry) {
            at = &(*at)->bucket_next;
        }
        *at = entry->bucket_next;
        revocations->first_known = entry->next;
        revocations->count--;
        free(entry);
    }
}

/* --- who waits ------------------------------------------------------------------------------------------------------ */

static struct rc_revocation_waiter **token_waits_bucket(const struct rc_revocations *revocations, uint64_t token)
{
    return &revocations->waits[rc_hash(&token, sizeof(token)) & (RC_REVOCATIONS_BUCKETS - 1)];
}

static bool token_waiter_add(struct rc_revocations *revocations, struct rc_revocation *entry,
                             const struct rc_identity_asker *asker)
{
    struct rc_revocation_waiter *waiter = revocations->waiting < RC_REVOCATIONS_MAX ? malloc(sizeof(*waiter)) : NULL;
    if (waiter == NULL) {
        return false;
    }
    struct rc_revocation_waiter **bucket = token_waits_bucket(revocations, asker->token);
    *waiter = (struct rc_revocation_waiter){.asker = *asker, .of = entry, .next = entry->first, .bucket_next = *bucket};
    entry->first = waiter;
    *bucket = waiter;
    revocations->waiting++;
    return true;
}

void rc_revocations_forget(struct rc_revocations *revocations, uint64_t token)
{
    if (revocations->waiting == 0) {
        return;
    }
    struct rc_revocation_waiter **at = token_waits_bucket(revocations, token);
    while (*at != NULL && (*at)->asker.token != token) {
        at = &(*at)->bucket_next;
    }
    struct rc_revocation_waiter *waiter = *at;
    if (waiter == NULL) {
        return;
    }
    *at = waiter->bucket_next;
    struct rc_revocation_waiter **of = &waiter->of->first;
    while (*of != waiter) {
        of = &(*of)->next;
    }
    *of = waiter->next;
    revocations->waiting--;
    free(waiter);
}

static bool tables_allocate(struct rc_revocations *revocations)
{
    if (revocations->buckets == NULL) {
        revocations->buckets = calloc(RC_REVOCATIONS_BUCKETS, sizeof(struct rc_revocation *));
    }
    if (revocations->waits == NULL) {
        revocations->waits = calloc(RC_REVOCATIONS_BUCKETS, sizeof(struct rc_revocation_waiter *));
    }
    return revocations->buckets != NULL && revocations->waits != NULL;
}

static enum rc_revocation_state entry_state(const struct rc_revocation *entry, uint64_t issued_s)
{
    return !entry->answered                                            ? RC_REVOCATION_UNKNOWN
           : is_revoked(entry->token_mark, entry->user_mark, issued_s) ? RC_REVOCATION_REVOKED
                                                                       : RC_REVOCATION_VALID;
}

enum rc_revocation_state rc_revocations_find(struct rc_revocations *revocations, const struct rc_revocable *token,
                                             const struct rc_identity_asker *asker)
{
    RC_ASSERT(token->user.count > 0 && token->user.count <= UINT8_MAX && token->id.count <= RC_TOKEN_ID_MAX &&
              asker->token != 0);
    const uint64_t hash = token_hash(token);
    enum rc_revocation_state state = RC_REVOCATION_UNKNOWN;
    if (tables_allocate(revocations)) {
        entries_sweep(revocations);
        struct rc_revocation *entry = entry_find(revocations, hash, token);
        entry = entry != NULL ? entry : entry_make(revocations, hash, token);
        state = entry == NULL                                 ? RC_REVOCATION_UNKNOWN
                : entry->stage == KNOWN                       ? entry_state(entry, token->issued_s)
                : token_waiter_add(revocations, entry, asker) ? RC_REVOCATION_WAITS
                                                              : RC_REVOCATION_UNKNOWN;
    }
    rc_metric_add(revocations->metrics, RC_METRIC_REVOCATIONS_UNKNOWN, state == RC_REVOCATION_UNKNOWN ? 1 : 0);
    return state;
}

/* --- questions ------------------------------------------------------------------------------------------------------ */

static void marks_batch_end(struct rc_revocation_batch *batch)
{
    *(batch->previous == NULL ? &batch->owner->batches : &batch->previous->next) = batch->next;
    if (batch->next != NULL) {
        batch->next->previous = batch->previous;
    }
    free(batch);
}

static void marks_answered(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_revocation_batch *batch = ask->context;
    struct rc_revocations *revocations = batch->owner;
    uint64_t marks[RC_QUERY_KEYS_MAX];
    const bool good =
        type == RC_DOWN_QUERY && view->head.code == 0 && view->head.data_bytes == batch->keys * sizeof(marks[0]);
    if (good) {
        memcpy(marks, view->data, view->head.data_bytes);
    }
    for (uint32_t i = 0, key = 0; i < batch->count; i++) {
        const struct item *item = &batch->items[i];
        const uint64_t token_mark = good && item->has_id ? marks[key++] : RC_QUERY_MARK_NONE;
        const uint64_t user_mark = good ? marks[key++] : RC_QUERY_MARK_NONE;
        if (item->entry != NULL) {
            item->entry->token_mark = token_mark;
            item->entry->user_mark = user_mark;
            entry_known(revocations, item->entry, good);
        } else if (revocations->used && is_revoked(token_mark, user_mark, item->issued_s)) {
            revocations->ops.revoked(revocations->ops.context, item->client, item->name);
        }
    }
    marks_batch_end(batch);
}

static void marks_unanswered(const struct rc_ask *ask, enum rc_ask_end why)
{
    struct rc_revocation_batch *batch = ask->context;
    struct rc_revocations *revocations = batch->owner;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct rc_revocation *entry = batch->items[i].entry;
        if (entry == NULL) {
            continue; /* clients are looked at again in any case */
        }
        if (why == RC_ASK_REPLACED && entry->tries < TRIES_MAX) {
            entry->stage = NEW;
            list_add(&revocations->first_new, &revocations->last_new, entry);
        } else {
            entry_known(revocations, entry, false);
        }
    }
    marks_batch_end(batch);
}

static const struct rc_asker marks_asker = {.kind = RC_ASK_IDENTITY,
                                            .in_ms = ANSWER_MS,
                                            .once = true,
                                            .of_relay = true,
                                            .answered = marks_answered,
                                            .unanswered = marks_unanswered};

/* A question that is put together: its keys stand behind the head. */
struct question {
    struct rc_revocation_batch *batch;
    uint32_t used;
    uint8_t data[sizeof(struct rc_query_head) + BATCH_BYTES];
};

static bool question_begin(struct question *question, struct rc_revocations *revocations)
{
    const struct rc_query_head head = {.kind = RC_QUERY_MARKS};
    question->batch = malloc(sizeof(*question->batch));
    if (question->batch == NULL) {
        return false;
    }
    question->batch->owner = revocations;
    question->batch->count = 0;
    question->batch->keys = 0;
    question->used = 0;
    memcpy(question->data, &head, sizeof(head));
    return true;
}

static uint32_t question_key(struct question *question, uint32_t used, bool of_user, struct rc_span name)
{
    uint8_t key[RC_QUERY_KEY_MAX];
    const uint32_t bytes = rc_revocation_key(question->batch->owner->prefix, of_user, name, key, (uint32_t)sizeof(key));
    RC_ASSERT(bytes > 0); /* a prefix has 64 bytes at most, a name 255 */
    return rc_query_key_put(question->data + sizeof(struct rc_query_head), used, BATCH_BYTES, rc_span_of(key, bytes));
}

/* False: it is full. */
static bool question_add(struct question *question, const struct rc_revocable *token, const struct item *item)
{
    struct rc_revocation_batch *batch = question->batch;
    uint32_t used = question->used;
    if (batch->count == TOKENS_MAX ||
        (token->id.count > 0 && (used = question_key(question, used, false, token->id)) == 0) ||
        (used = question_key(question, used, true, token->user)) == 0) {
        return false;
    }
    question->used = used;
    batch->items[batch->count] = *item;
    batch->items[batch->count++].has_id = token->id.count > 0;
    batch->keys += token->id.count > 0 ? 2 : 1;
    return true;
}

/* False: there is no way to ask now; the batch is gone. */
static bool question_send(struct question *question)
{
    struct rc_revocation_batch *batch = question->batch;
    struct rc_revocations *revocations = batch->owner;
    uint64_t token;
    if (rc_asks_begin(revocations->asks, &marks_asker, batch, NULL, rc_span_of(NULL, 0), &token) < 0) {
        free(batch);
        return false;
    }
    struct rc_envelope_view view = {.head = {.origin = {.random = token, .worker = (uint16_t)revocations->worker},
                                             .time_ns = *revocations->now_ns,
                                             .token = token,
                                             .data_bytes = (uint32_t)sizeof(struct rc_query_head) + question->used},
                                    .data = question->data};
    if (rc_uplink_write(revocations->uplink, RC_UP_QUERY, &view) < 0) {
        rc_asks_end(revocations->asks, token);
        free(batch);
        return false;
    }
    rc_metric_add(revocations->metrics, RC_METRIC_REVOCATIONS_CHECKED, batch->count);
    batch->previous = NULL;
    batch->next = revocations->batches;
    if (batch->next != NULL) {
        batch->next->previous = batch;
    }
    revocations->batches = batch;
    return true;
}

/* Asks about those that came. What cannot be asked about is not known. */
static void new_ask(struct rc_revocations *revocations)
{
    struct question question;
    while (revocations->first_new != NULL) {
        struct rc_revocation *first = revocations->first_new;
        const bool begun = question_begin(&question, revocations);
        struct rc_revocation *entry = first;
        while (begun && entry != NULL) {
            const struct rc_revocable token = {.id = rc_span_of(entry->text, entry->id_bytes),
                                               .user = rc_span_of(entry->text + entry->id_bytes, entry->user_bytes)};
            if (!question_add(&question, &token, &(struct item){.entry = entry})) {
                break;
            }
            entry->stage = ASKED;
            entry->tries++;
            entry = entry->next;
        }
        const bool sent = begun && question_send(&question);
        revocations->first_new = begun ? entry : first->next;
        for (struct rc_revocation *one = first, *next; !sent && one != revocations->first_new; one = next) {
            next = one->next;
            entry_known(revocations, one, false);
        }
    }
}

/* Asks about the clients behind the cursor, as many as a question holds. False: there is no way to ask now. */
static bool clients_ask(struct rc_revocations *revocations, uint32_t clients, uint32_t *left)
{
    struct question question;
    const uint32_t from = revocations->cursor;
    if (!question_begin(&question, revocations)) {
        return false;
    }
    for (; *left > 0; (*left)--) {
        struct rc_revocable token;
        const uint32_t index = revocations->cursor % clients + 1;
        const uint64_t name = revocations->ops.client(revocations->ops.context, index, &token);
        const struct item item = {.name = name, .issued_s = token.issued_s, .client = index};
        if (name != 0 && !question_add(&question, &token, &item)) {
            break;
        }
        revocations->cursor = index; /* % clients: the next one */
    }
    if (question.batch->count == 0) {
        free(question.batch);
        return true;
    }
    if (!question_send(&question)) {
        revocations->cursor = from;
        return false;
    }
    return true;
}

static void clients_check(struct rc_revocations *revocations)
{
    if (!revocations->used || revocations_now_ms(revocations) < revocations->tick_ms) {
        return;
    }
    revocations->tick_ms = revocations_now_ms(revocations) + TICK_MS;
    const uint32_t clients = revocations->ops.clients(revocations->ops.context);
    uint32_t left = (clients + TICKS - 1) / TICKS;
    for (uint32_t i = 0; i < BATCHES_MAX && left > 0; i++) {
        if (!clients_ask(revocations, clients, &left)) {
            rc_log_limited(RC_LOG_WARN, 10, "revocations_not_checked",
                           "effect=\"revoked tokens are seen later\" reason=\"the relay cannot be asked\"");
            return;
        }
    }
}

void rc_revocations_work(struct rc_revocations *revocations)
{
    if (revocations->count > 0) {
        new_ask(revocations);
        entries_sweep(revocations);
    }
    clients_check(revocations);
}

uint32_t rc_revocations_sleep_ms(const struct rc_revocations *revocations, uint32_t most_ms)
{
    const uint64_t now = revocations_now_ms(revocations);
    if (revocations->first_new != NULL) {
        return 0;
    }
    if (!revocations->used || revocations->tick_ms >= now + most_ms) {
        return most_ms;
    }
    return revocations->tick_ms > now ? (uint32_t)(revocations->tick_ms - now) : 0;
}

void rc_revocations_close(struct rc_revocations *revocations)
{
    while (revocations->batches != NULL) {
        struct rc_revocation_batch *batch = revocations->batches;
        revocations->batches = batch->next;
        free(batch);
    }
    for (uint32_t i = 0; i < RC_REVOCATIONS_BUCKETS; i++) {
        while (revocations->waits != NULL && revocations->waits[i] != NULL) {
            struct rc_revocation_waiter *waiter = revocations->waits[i];
            revocations->waits[i] = waiter->bucket_next;
            free(waiter);
        }
        while (revocations->buckets != NULL && revocations->buckets[i] != NULL) {
            struct rc_revocation *entry = revocations->buckets[i];
            revocations->buckets[i] = entry->bucket_next;
            free(entry);
        }
    }
    free(revocations->buckets);
    free(revocations->waits);
    *revocations = (struct rc_revocations){0};
}
