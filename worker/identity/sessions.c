/* sessions: see sessions.h. */
#include "worker/identity/sessions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/records/query.h"
#include "worker/identity/session_id.h"

#define ANSWER_MS 2000u /* later is not at all */
#define TICK_MS 250u    /* a quarter of them is looked at */
#define TICKS (RC_SESSIONS_CHECK_MS / TICK_MS)
#define BATCHES_MAX 64u     /* in a tick */
#define BATCH_BYTES 16384u  /* of keys */
#define FIRST_CAPACITY 64u  /* a power of two, as all */
#define RENEWAL_MS 2500u    /* somebody stays while it is asked whether the session was made longer; beyond ANSWER_MS */
#define PROBE_MS 2000u      /* between looks for a Redis that did not answer, beyond ANSWER_MS or at it */
#define PROBE_IDLE_MS 5000u /* between looks for one that did, when nobody asks it anything */
#define WAIT_BUCKETS 4096u  /* a power of two */
#define SESSIONS_ADOPTED_MAX (1u << 24) /* numbers of a former process are at most so large */

/* NEW ──asked──▶ ASKED ──▶ KNOWN (THERE, MISSING, …) ──too old──▶ asked again, or forgotten */
struct rc_session {
    struct rc_sessions *owner;
    uint64_t hash;
    uint64_t known_ms;   /* CLOCK_MONOTONIC of the answer; 0 = none yet */
    uint64_t wall_ms;    /* CLOCK_REALTIME of the answer */
    uint64_t expires_ms; /* CLOCK_REALTIME; 0 = never */
    uint64_t ask;        /* its token; 0 = nobody is asked */
    uint8_t *value;      /* owned; NULL = not there, or not kept */
    uint32_t value_bytes;
    enum rc_session_state state; /* of the answer */
    uint32_t id;
    uint32_t next;  /* id, in its bucket */
    uint32_t first; /* of those who are connected with it; 0 = nobody */
    uint32_t waits; /* number of the first who waits; 0 = nobody */
    uint16_t key_bytes;
    uint8_t tries; /* of asking, while nobody answers */
    char key[];
};

struct rc_session_waiter {
    struct rc_identity_asker asker;
    uint32_t session; /* id; 0 = free */
    uint32_t next;    /* number, of the same session; of the free ones */
    uint32_t next_by_token;
};

/* A check that is not answered. */
struct rc_session_batch {
    struct rc_sessions *owner;
    struct rc_session_batch *previous;
    struct rc_session_batch *next;
    uint64_t token;
    uint32_t count;
    uint32_t ids[RC_QUERY_KEYS_MAX];
    uint64_t hashes[RC_QUERY_KEYS_MAX]; /* is an id still that session? */
};

static uint64_t now_ms(const struct rc_sessions *sessions)
{
    return *sessions->now_ns / 1000000u;
}

void rc_sessions_open(struct rc_sessions *sessions, struct rc_asks *asks, struct rc_uplink *uplink,
                      struct rc_metrics *metrics, uint32_t worker, const uint64_t *now_ns,
                      const struct rc_sessions_ops *ops)
{
    *sessions = (struct rc_sessions){
        .ops = *ops, .asks = asks, .uplink = uplink, .metrics = metrics, .worker = worker, .now_ns = now_ns};
}

/* --- the table ------------------------------------------------------------------------------------------------------- */

static struct rc_session *session_of(const struct rc_sessions *sessions, uint32_t id)
{
    RC_ASSERT(id > 0 && id <= sessions->capacity && sessions->all[id - 1] != NULL);
    return sessions->all[id - 1];
}

static struct rc_session *session_find(const struct rc_sessions *sessions, uint64_t hash, struct rc_span key)
{
    uint32_t id = sessions->capacity == 0 ? 0 : sessions->buckets[hash & (sessions->capacity - 1)];
    while (id != 0) {
        struct rc_session *session = session_of(sessions, id);
        if (session->hash == hash && rc_span_equal(rc_span_of(session->key, session->key_bytes), key)) {
            return session;
        }
        id = session->next;
    }
    return NULL;
}

static void bucket_add(struct rc_sessions *sessions, struct rc_session *session)
{
    uint32_t *bucket = &sessions->buckets[session->hash & (sessions->capacity - 1)];
    session->next = *bucket;
    *bucket = session->id;
}

static int table_grow(struct rc_sessions *sessions)
{
    const uint32_t capacity = sessions->capacity == 0 ? FIRST_CAPACITY : sessions->capacity * 2;
    struct rc_session **all = realloc(sessions->all, capacity * sizeof(struct rc_session *));
    if (all == NULL) {
        return -ENOMEM;
    }
    sessions->all = all;
    uint32_t *buckets = calloc(capacity, sizeof(*buckets));
    if (buckets == NULL) {
        return -ENOMEM; /* `all` is larger than it has to be */
    }
    memset(all + sessions->capacity, 0, (capacity - sessions->capacity) * sizeof(struct rc_session *));
    free(sessions->buckets);
    sessions->buckets = buckets;
    sessions->free = sessions->capacity;
    sessions->capacity = capacity;
    for (uint32_t i = 0; i < capacity; i++) {
        if (all[i] != NULL) {
            bucket_add(sessions, all[i]);
        }
    }
    return 0;
}

static void value_drop(struct rc_session *session)
{
    session->owner->value_bytes -= session->value_bytes;
    free(session->value);
    session->value = NULL;
    session->value_bytes = 0;
}

/* At a free place of the table. NULL: no memory. */
static struct rc_session *session_make_at(struct rc_sessions *sessions, uint32_t at, uint64_t hash, struct rc_span key)
{
    struct rc_session *session = calloc(1, sizeof(*session) + key.count);
    if (session == NULL) {
        return NULL;
    }
    sessions->all[at] = session;
    sessions->count++;
    session->owner = sessions;
    session->hash = hash;
    session->id = at + 1;
    session->key_bytes = (uint16_t)key.count;
    memcpy(session->key, key.bytes, key.count);
    bucket_add(sessions, session);
    return session;
}

/* NULL: no memory, or too many that nobody is connected with. */
static struct rc_session *session_make(struct rc_sessions *sessions, uint64_t hash, struct rc_span key)
{
    if (sessions->count - sessions->used >= RC_SESSIONS_IDLE_MAX ||
        (sessions->count == sessions->capacity && table_grow(sessions) < 0)) {
        return NULL;
    }
    uint32_t at = sessions->free % sessions->capacity;
    while (sessions->all[at] != NULL) {
        at = (at + 1) % sessions->capacity;
    }
    sessions->free = at + 1;
    return session_make_at(sessions, at, hash, key);
}

int rc_sessions_adopt(struct rc_sessions *sessions, uint32_t id, struct rc_span key, uint64_t expires_ms)
{
    const uint64_t hash = rc_hash(key.bytes, key.count);
    if (id == 0 || id > SESSIONS_ADOPTED_MAX || key.count == 0 || key.count > RC_QUERY_KEY_MAX) {
        return -EBADMSG;
    }
    while (sessions->capacity < id) {
        if (table_grow(sessions) < 0) {
            return -ENOMEM;
        }
    }
    struct rc_session *session = sessions->all[id - 1];
    if (session != NULL) {
        return rc_span_equal(rc_span_of(session->key, session->key_bytes), key) ? 0 : -EBADMSG;
    }
    if (session_find(sessions, hash, key) != NULL) {
        return -EBADMSG;
    }
    session = session_make_at(sessions, id - 1, hash, key);
    if (session == NULL) {
        return -ENOMEM;
    }
    session->expires_ms = expires_ms;
    session->state = RC_SESSION_THERE; /* it was, when it was looked for last; since when is not known */
    return 0;
}

struct rc_span rc_session_key_of(const struct rc_sessions *sessions, uint32_t id)
{
    const struct rc_session *session = session_of(sessions, id);
    return rc_span_of(session->key, session->key_bytes);
}

static void session_free(struct rc_session *session)
{
    struct rc_sessions *sessions = session->owner;
    uint32_t *at = &sessions->buckets[session->hash & (sessions->capacity - 1)];
    while (*at != session->id) {
        at = &session_of(sessions, *at)->next;
    }
    *at = session->next;
    rc_asks_end(sessions->asks, session->ask);
    value_drop(session);
    sessions->all[session->id - 1] = NULL;
    sessions->free = session->id - 1;
    sessions->count--;
    free(session);
}

void rc_sessions_close(struct rc_sessions *sessions)
{
    for (uint32_t i = 0; i < sessions->capacity; i++) {
        if (sessions->all[i] != NULL) {
            free(sessions->all[i]->value);
            free(sessions->all[i]);
        }
    }
    while (sessions->batches != NULL) {
        struct rc_session_batch *batch = sessions->batches;
        sessions->batches = batch->next;
        free(batch);
    }
    free(sessions->all);
    free(sessions->buckets);
    free(sessions->waits);
    free(sessions->waits_by_token);
    *sessions = (struct rc_sessions){0};
}

/* --- who waits ------------------------------------------------------------------------------------------------------- */

static uint32_t *waits_bucket(struct rc_sessions *sessions, uint64_t token)
{
    return &sessions->waits_by_token[rc_hash(&token, sizeof(token)) & (WAIT_BUCKETS - 1)];
}

static struct rc_session_waiter *waiter_of(const struct rc_sessions *sessions, uint32_t number)
{
    return &sessions->waits[number - 1];
}

static int waits_allocate(struct rc_sessions *sessions)
{
    sessions->waits = calloc(RC_SESSIONS_WAITING_MAX, sizeof(*sessions->waits));
    sessions->waits_by_token = calloc(WAIT_BUCKETS, sizeof(*sessions->waits_by_token));
    if (sessions->waits == NULL || sessions->waits_by_token == NULL) {
        free(sessions->waits);
        free(sessions->waits_by_token);
        sessions->waits = NULL;
        sessions->waits_by_token = NULL;
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < RC_SESSIONS_WAITING_MAX; i++) {
        sessions->waits[i].next = i + 1 < RC_SESSIONS_WAITING_MAX ? i + 2 : 0;
    }
    sessions->waits_free = 1;
    return 0;
}

/* -ENOBUFS, -ENOMEM. */
static int waiter_add(struct rc_session *session, const struct rc_identity_asker *asker)
{
    struct rc_sessions *sessions = session->owner;
    if (sessions->waits == NULL && waits_allocate(sessions) < 0) {
        return -ENOMEM;
    }
    const uint32_t number = sessions->waits_free;
    if (number == 0) {
        return -ENOBUFS;
    }
    struct rc_session_waiter *waiter = waiter_of(sessions, number);
    uint32_t *bucket = waits_bucket(sessions, asker->token);
    sessions->waits_free = waiter->next;
    *waiter = (struct rc_session_waiter){
        .asker = *asker, .session = session->id, .next = session->waits, .next_by_token = *bucket};
    session->waits = number;
    *bucket = number;
    sessions->waiting++;
    rc_metric_set(sessions->metrics, RC_METRIC_IDENTITY_WAITING, sessions->waiting);
    return 0;
}

/* Out of the tokens, and free; its session's list is the caller's business. */
static void waiter_free(struct rc_sessions *sessions, uint32_t number)
{
    struct rc_session_waiter *waiter = waiter_of(sessions, number);
    uint32_t *at = waits_bucket(sessions, waiter->asker.token);
    while (*at != number) {
        at = &waiter_of(sessions, *at)->next_by_token;
    }
    *at = waiter->next_by_token;
    *waiter = (struct rc_session_waiter){.next = sessions->waits_free};
    sessions->waits_free = number;
    sessions->waiting--;
    rc_metric_set(sessions->metrics, RC_METRIC_IDENTITY_WAITING, sessions->waiting);
}

void rc_sessions_forget(struct rc_sessions *sessions, uint64_t token)
{
    uint32_t number = sessions->waits == NULL ? 0 : *waits_bucket(sessions, token);
    while (number != 0 && waiter_of(sessions, number)->asker.token != token) {
        number = waiter_of(sessions, number)->next_by_token;
    }
    if (number == 0) {
        return;
    }
    uint32_t *at = &session_of(sessions, waiter_of(sessions, number)->session)->waits;
    while (*at != number) {
        at = &waiter_of(sessions, *at)->next;
    }
    *at = waiter_of(sessions, number)->next;
    waiter_free(sessions, number);
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

/* When it is looked for, if nobody hears of it after that: the workers before this one have their turn first. */
static uint64_t probe_turn_ms(const struct rc_sessions *sessions, uint64_t heard_ms)
{
    return heard_ms + PROBE_IDLE_MS + (uint64_t)sessions->worker * RC_SESSIONS_PROBE_TURN_MS;
}

static void sessions_heard(struct rc_sessions *sessions, bool answered)
{
    sessions->answers = answered;
    sessions->probe_ms = answered ? probe_turn_ms(sessions, now_ms(sessions)) : now_ms(sessions) + PROBE_MS;
    sessions->ops.heard(sessions->ops.context, answered);
}

/* The answer is there. Those who waited are told; nobody of them does anything before the loop goes on. */
static void session_known(struct rc_session *session, enum rc_session_state state)
{
    struct rc_sessions *sessions = session->owner;
    session->state = state;
    session->known_ms = now_ms(sessions);
    session->wall_ms = rc_clock_wall_ms();
    session->ask = 0;
    session->tries = 0;
    sessions_heard(sessions, state != RC_SESSION_UNAVAILABLE);
    while (session->waits != 0) {
        const uint32_t number = session->waits;
        const struct rc_identity_asker asker = waiter_of(sessions, number)->asker;
        session->waits = waiter_of(sessions, number)->next;
        waiter_free(sessions, number);
        sessions->ops.ready(sessions->ops.context, &asker);
    }
    if (state == RC_SESSION_MISSING && session->first != 0) {
        sessions->ops.gone(sessions->ops.context, session->id);
    }
}

static int session_ask(struct rc_session *session);

static void value_take(struct rc_session *session, const struct rc_query_value *value, const uint8_t *text)
{
    struct rc_sessions *sessions = session->owner;
    value_drop(session);
    if (value->bytes > RC_SESSIONS_BYTES_MAX - sessions->value_bytes ||
        (session->value = malloc(value->bytes + 1u)) == NULL) {
        rc_metric_add(sessions->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        session_known(session, RC_SESSION_UNAVAILABLE);
        return;
    }
    memcpy(session->value, text, value->bytes);
    session->value_bytes = value->bytes;
    sessions->value_bytes += value->bytes;
    session->expires_ms = value->lives_ms == UINT64_MAX
                              ? rc_session_says_expires(rc_span_of(session->value, session->value_bytes))
                              : rc_clock_wall_ms() + value->lives_ms;
    session_known(session, session->expires_ms != 0 && session->expires_ms <= rc_clock_wall_ms() ? RC_SESSION_MISSING
                                                                                                 : RC_SESSION_THERE);
}

static void session_answered(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_session *session = ask->context;
    struct rc_query_value value = {.state = RC_QUERY_VALUE_MISSING};
    if (type != RC_DOWN_QUERY || view->head.code != 0 || view->head.data_bytes < sizeof(value)) {
        session_known(session, RC_SESSION_UNAVAILABLE);
        return;
    }
    memcpy(&value, view->data, sizeof(value));
    if (value.bytes != view->head.data_bytes - sizeof(value)) {
        rc_metric_add(session->owner->metrics, RC_METRIC_RING_CORRUPT, 1);
        session_known(session, RC_SESSION_UNAVAILABLE);
    } else if (value.state == RC_QUERY_VALUE_THERE) {
        value_take(session, &value, view->data + sizeof(value));
    } else {
        value_drop(session);
        session_known(session, value.state == RC_QUERY_VALUE_MISSING ? RC_SESSION_MISSING : RC_SESSION_UNREADABLE);
    }
}

/* A relay that is gone answers nothing, and its successor can be asked once. */
static void session_unanswered(const struct rc_ask *ask, enum rc_ask_end why)
{
    struct rc_session *session = ask->context;
    if (why == RC_ASK_REPLACED && session->tries < 2 && session_ask(session) == 0) {
        return;
    }
    session_known(session, RC_SESSION_UNAVAILABLE);
}

static const struct rc_asker value_asker = {.kind = RC_ASK_IDENTITY,
                                            .in_ms = ANSWER_MS,
                                            .once = true,
                                            .of_relay = true,
                                            .answered = session_answered,
                                            .unanswered = session_unanswered};

/* Asks the relay. `data`: the question. Its token, or negative errno. */
static int relay_ask(struct rc_sessions *sessions, const struct rc_asker *asker, void *context, const uint8_t *data,
                     uint32_t bytes, uint64_t *token)
{
    int rc = rc_asks_begin(sessions->asks, asker, context, NULL, rc_span_of(NULL, 0), token);
    if (rc < 0) {
        return rc;
    }
    struct rc_envelope_view view = {.head = {.time_ns = *sessions->now_ns, .token = *token, .data_bytes = bytes},
                                    .data = data};
    view.head.origin = (struct rc_client_ref){.random = *token, .worker = (uint16_t)sessions->worker};
    rc = rc_uplink_write(sessions->uplink, RC_UP_QUERY, &view);
    if (rc < 0) {
        rc_asks_end(sessions->asks, *token);
        *token = 0;
    }
    return rc;
}

static int session_ask(struct rc_session *session)
{
    uint8_t data[sizeof(struct rc_query_head) + RC_QUERY_KEY_MAX];
    const struct rc_query_head head = {.kind = RC_QUERY_VALUE};
    memcpy(data, &head, sizeof(head));
    memcpy(data + sizeof(head), session->key, session->key_bytes);
    const int rc = relay_ask(session->owner, &value_asker, session, data, (uint32_t)sizeof(head) + session->key_bytes,
                             &session->ask);
    if (rc == 0) {
        session->tries++;
        rc_metric_add(session->owner->metrics, RC_METRIC_IDENTITY_ASKED, 1);
    }
    return rc;
}

/* --- finding --------------------------------------------------------------------------------------------------------- */

static bool is_fresh(const struct rc_session *session)
{
    return session->known_ms != 0 && session->ask == 0 &&
           now_ms(session->owner) - session->known_ms < RC_SESSIONS_FRESH_MS &&
           (session->state != RC_SESSION_THERE || session->value != NULL);
}

static enum rc_session_state sessions_look(struct rc_sessions *sessions, struct rc_span key,
                                           const struct rc_identity_asker *asker, struct rc_session **found)
{
    const uint64_t hash = rc_hash(key.bytes, key.count);
    struct rc_session *session = session_find(sessions, hash, key);
    if (session == NULL) {
        session = session_make(sessions, hash, key);
    }
    *found = session;
    if (session == NULL) {
        return RC_SESSION_UNAVAILABLE;
    }
    if (is_fresh(session)) {
        return session->state;
    }
    if (waiter_add(session, asker) < 0) {
        return RC_SESSION_UNAVAILABLE;
    }
    if (session->ask == 0 && session_ask(session) < 0) {
        rc_sessions_forget(sessions, asker->token);
        return RC_SESSION_UNAVAILABLE;
    }
    return RC_SESSION_WAITS;
}

void rc_sessions_find(struct rc_sessions *sessions, struct rc_span key, const struct rc_identity_asker *asker,
                      struct rc_session_view *view)
{
    struct rc_session *session;
    RC_ASSERT(key.count > 0 && key.count <= RC_QUERY_KEY_MAX && asker->token != 0);
    *view = (struct rc_session_view){.state = sessions_look(sessions, key, asker, &session)};
    if (view->state == RC_SESSION_THERE) {
        view->id = session->id;
        view->value = rc_span_of(session->value, session->value_bytes);
        view->expires_ms = session->expires_ms;
    }
}

uint32_t rc_session_first(const struct rc_sessions *sessions, uint32_t id)
{
    return session_of(sessions, id)->first;
}

void rc_session_set_first(struct rc_sessions *sessions, uint32_t id, uint32_t first)
{
    struct rc_session *session = session_of(sessions, id);
    sessions->used = sessions->used + (first != 0 ? 1u : 0u) - (session->first != 0 ? 1u : 0u);
    session->first = first;
}

uint64_t rc_session_renewed_until(struct rc_sessions *sessions, uint32_t id)
{
    struct rc_session *session = session_of(sessions, id);
    const uint64_t wall_ms = rc_clock_wall_ms();
    if (session->expires_ms == 0) {
        return UINT64_MAX;
    }
    if (session->expires_ms > wall_ms) {
        return session->expires_ms; /* it was made longer, and somebody has asked */
    }
    if (session->ask == 0 && session->wall_ms >= session->expires_ms) {
        return 0; /* it was asked after its time, and is no longer than that */
    }
    return session->ask != 0 || session_ask(session) == 0 ? wall_ms + RENEWAL_MS : 0;
}

/* --- what is still there --------------------------------------------------------------------------------------------- */

static void batch_end(struct rc_session_batch *batch)
{
    if (batch->previous == NULL) {
        batch->owner->batches = batch->next;
    } else {
        batch->previous->next = batch->next;
    }
    if (batch->next != NULL) {
        batch->next->previous = batch->previous;
    }
    free(batch);
}

static void batch_answered(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_session_batch *batch = ask->context;
    struct rc_sessions *sessions = batch->owner;
    const bool good = type == RC_DOWN_QUERY && view->head.code == 0 && view->head.data_bytes == batch->count;
    sessions_heard(sessions, good);
    for (uint32_t i = 0; good && i < batch->count; i++) {
        struct rc_session *session = batch->ids[i] <= sessions->capacity ? sessions->all[batch->ids[i] - 1] : NULL;
        if (view->data[i] == 0 && session != NULL && session->hash == batch->hashes[i] && session->ask == 0) {
            value_drop(session);
            session_known(session, RC_SESSION_MISSING);
        }
    }
    batch_end(batch);
}

static void batch_unanswered(const struct rc_ask *ask, enum rc_ask_end why)
{
    struct rc_session_batch *batch = ask->context;
    (void)why; /* they are checked again in any case */
    sessions_heard(batch->owner, false);
    batch_end(batch);
}

static const struct rc_asker batch_asker = {.kind = RC_ASK_IDENTITY,
                                            .in_ms = ANSWER_MS,
                                            .once = true,
                                            .of_relay = true,
                                            .answered = batch_answered,
                                            .unanswered = batch_unanswered};

/* Checks what is in use among the next ones, as many as a question holds; false: there is no way to ask now. */
static bool batch_send(struct rc_sessions *sessions, uint32_t *left)
{
    uint8_t data[sizeof(struct rc_query_head) + BATCH_BYTES];
    const struct rc_query_head head = {.kind = RC_QUERY_KEYS};
    struct rc_session_batch *batch = malloc(sizeof(*batch));
    uint32_t used = 0;
    if (batch == NULL) {
        return false;
    }
    batch->owner = sessions;
    batch->count = 0;
    const uint32_t from = sessions->cursor;
    for (; *left > 0 && batch->count < RC_QUERY_KEYS_MAX; (*left)--) {
        const struct rc_session *session = sessions->all[sessions->cursor % sessions->capacity];
        if (session != NULL && session->first != 0) {
            const uint32_t after =
                rc_query_key_put(data + sizeof(head), used, BATCH_BYTES, rc_span_of(session->key, session->key_bytes));
            if (after == 0) {
                break;
            }
            used = after;
            batch->ids[batch->count] = session->id;
            batch->hashes[batch->count++] = session->hash;
        }
        sessions->cursor = (sessions->cursor + 1) % sessions->capacity;
    }
    if (batch->count == 0) {
        free(batch);
        return true;
    }
    memcpy(data, &head, sizeof(head));
    if (relay_ask(sessions, &batch_asker, batch, data, (uint32_t)sizeof(head) + used, &batch->token) < 0) {
        sessions->cursor = from;
        free(batch);
        return false;
    }
    rc_metric_add(sessions->metrics, RC_METRIC_SESSIONS_CHECKED, batch->count);
    batch->previous = NULL;
    batch->next = sessions->batches;
    if (batch->next != NULL) {
        batch->next->previous = batch;
    }
    sessions->batches = batch;
    return true;
}

static void probe_answered(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view)
{
    sessions_heard(ask->context, type == RC_DOWN_QUERY && view->head.code == 0);
}

static void probe_unanswered(const struct rc_ask *ask, enum rc_ask_end why)
{
    (void)why;
    sessions_heard(ask->context, false);
}

static const struct rc_asker probe_asker = {.kind = RC_ASK_IDENTITY,
                                            .in_ms = ANSWER_MS,
                                            .once = true,
                                            .of_relay = true,
                                            .answered = probe_answered,
                                            .unanswered = probe_unanswered};

void rc_sessions_probe_with(struct rc_sessions *sessions, struct rc_span key)
{
    RC_ASSERT(key.count <= sizeof(sessions->probe));
    if (sessions->probe_bytes == 0) {
        sessions->probe_ms = now_ms(sessions) + PROBE_MS; /* the relay may be connecting still */
    }
    if (key.count > 0) {
        memcpy(sessions->probe, key.bytes, key.count);
    }
    sessions->probe_bytes = (uint32_t)key.count;
}

/* Also of a former process of this worker: what it heard last may be of long ago. */
static void sessions_probe(struct rc_sessions *sessions)
{
    uint8_t data[sizeof(struct rc_query_head) + sizeof(uint16_t) + RC_QUERY_KEY_MAX];
    const struct rc_query_head head = {.kind = RC_QUERY_KEYS};
    uint64_t token;
    if (sessions->probe_bytes == 0 || now_ms(sessions) < sessions->probe_ms) {
        return;
    }
    if (sessions->answers && sessions->ops.heard_ms != NULL) { /* else this worker has to find it out itself */
        sessions->probe_ms = probe_turn_ms(sessions, sessions->ops.heard_ms(sessions->ops.context));
        if (now_ms(sessions) < sessions->probe_ms) {
            return;
        }
    }
    sessions->probe_ms = now_ms(sessions) + PROBE_MS;
    memcpy(data, &head, sizeof(head));
    const uint32_t bytes = rc_query_key_put(data + sizeof(head), 0, sizeof(data) - sizeof(head),
                                            rc_span_of(sessions->probe, sessions->probe_bytes));
    (void)relay_ask(sessions, &probe_asker, sessions, data, (uint32_t)sizeof(head) + bytes,
                    &token); /* else the next time */
}

/* What is old and nobody's goes; values go with their time in any case. */
static void sessions_sweep(struct rc_sessions *sessions, uint32_t left)
{
    const uint64_t now = now_ms(sessions);
    for (; left > 0; left--) {
        sessions->swept = (sessions->swept + 1) % sessions->capacity;
        struct rc_session *session = sessions->all[sessions->swept];
        if (session == NULL || session->ask != 0 || session->waits != 0 ||
            now - session->known_ms < RC_SESSIONS_FRESH_MS) {
            continue;
        }
        if (session->first == 0) {
            session_free(session);
        } else {
            value_drop(session);
        }
    }
}

void rc_sessions_work(struct rc_sessions *sessions)
{
    sessions_probe(sessions);
    if (sessions->count == 0 || now_ms(sessions) < sessions->tick_ms) {
        return;
    }
    sessions->tick_ms = now_ms(sessions) + TICK_MS;
    uint32_t left = (sessions->capacity + TICKS - 1) / TICKS;
    sessions_sweep(sessions, left);
    left = sessions->used == 0 ? 0 : left;
    for (uint32_t i = 0; i < BATCHES_MAX && left > 0; i++) {
        if (!batch_send(sessions, &left)) {
            rc_log_limited(RC_LOG_WARN, 10, "sessions_not_checked",
                           "sessions=%u effect=\"log-outs are seen later\" reason=\"the relay cannot be asked\"",
                           sessions->used);
            return;
        }
    }
}

uint32_t rc_sessions_sleep_ms(const struct rc_sessions *sessions, uint32_t most_ms)
{
    const uint64_t now = now_ms(sessions);
    uint64_t due_ms = sessions->count > 0 ? sessions->tick_ms : UINT64_MAX;
    due_ms = sessions->probe_bytes > 0 && sessions->probe_ms < due_ms ? sessions->probe_ms : due_ms;
    const uint64_t in_ms = due_ms > now ? due_ms - now : 0;
    return in_ms < most_ms ? (uint32_t)in_ms : most_ms;
}
