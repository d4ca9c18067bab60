/* limits: see limits.h. */
#include "worker/limits/limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/records/limit.h"
#include "worker/store/receiving.h"

#define PROBES 8u
#define KEPT_MS 60000u /* an answer that nobody came back for: its client has ended */

/*
 * FREE ──asked──▶ ASKED ──answer──▶ ALLOWED, EXCEEDED ──told──▶ FREE
 *                   └──none, or too late──▶ UNKNOWN ──told──▶ FREE
 * FREE ──allowed, and not done yet──▶ UNUSED ──told──▶ FREE
 */
enum wait_state { FREE, ASKED, ALLOWED, EXCEEDED, UNKNOWN, UNUSED };

struct rc_limit_wait {
    uint64_t random; /* of the client */
    uint64_t key;
    uint64_t token;
    uint64_t ended_ms; /* when it left ASKED */
    uint32_t state;    /* enum wait_state */
    uint32_t retry_ms;
};

static uint64_t now_ms(const struct rc_limits *limits)
{
    return *limits->now_ns / 1000000u;
}

/* --- what is counted ------------------------------------------------------------------------------------------------- */

/* The name of what is counted, the same on all instances: what is limited, how, and whose. Lengths keep parts apart that clients choose. */
struct name {
    char *text; /* RC_LIMIT_NAME_MAX bytes */
    size_t bytes;
};

static void name_put(struct name *name, struct rc_span part)
{
    RC_ASSERT(part.count < RC_LIMIT_NAME_MAX - name->bytes);
    if (part.count > 0) {
        memcpy(name->text + name->bytes, part.bytes, part.count);
        name->bytes += part.count;
    }
}

static struct rc_span name_of(const struct rc_limit_question *question, char out[RC_LIMIT_NAME_MAX])
{
    static const char *const kinds[RC_LIMIT_KINDS] = {[RC_LIMIT_EVENTS] = "events",
                                                      [RC_LIMIT_EVENT] = "event",
                                                      [RC_LIMIT_EVENT_BYTES] = "event-bytes",
                                                      [RC_LIMIT_GROUP] = "group",
                                                      [RC_LIMIT_GROUP_BYTES] = "group-bytes",
                                                      [RC_LIMIT_PUBLISH] = "publish",
                                                      [RC_LIMIT_PUBLISH_BYTES] = "publish-bytes",
                                                      [RC_LIMIT_SUBSCRIBE] = "subscribe",
                                                      [RC_LIMIT_UNSUBSCRIBE] = "unsubscribe"};
    const int head = snprintf(out, RC_LIMIT_NAME_MAX, "%s:%u/%u:%zu,%zu:", kinds[question->kind], question->limit.count,
                              question->limit.window_ms, question->nsp.count, question->name.count);
    RC_ASSERT(head > 0 && (size_t)head < RC_LIMIT_NAME_MAX);
    struct name name = {.text = out, .bytes = (size_t)head};
    name_put(&name, question->nsp);
    name_put(&name, RC_SPAN(":"));
    name_put(&name, question->name);
    if (question->user.count > 0) {
        name_put(&name, RC_SPAN(":user:"));
        name_put(&name, question->user);
    } else {
        char own[17];
        (void)snprintf(own, sizeof(own), "%016llx", (unsigned long long)question->client.random);
        name_put(&name, RC_SPAN(":connection:"));
        name_put(&name, rc_span_text(own));
    }
    return rc_span_of(out, name.bytes);
}

/* --- who waits ------------------------------------------------------------------------------------------------------- */

static bool wait_is_over(const struct rc_limits *limits, const struct rc_limit_wait *wait)
{
    return wait->state == FREE || (wait->state != ASKED && now_ms(limits) - wait->ended_ms > KEPT_MS);
}

static struct rc_limit_wait *wait_at(const struct rc_limits *limits, uint64_t random, uint32_t probe)
{
    return &limits->waiting[(random + probe) % RC_LIMITS_WAITING];
}

static struct rc_limit_wait *wait_find(const struct rc_limits *limits, uint64_t random, uint64_t key)
{
    for (uint32_t i = 0; limits->waiting != NULL && i < PROBES; i++) {
        struct rc_limit_wait *wait = wait_at(limits, random, i);
        if (!wait_is_over(limits, wait) && wait->random == random && wait->key == key) {
            return wait;
        }
    }
    return NULL;
}

static struct rc_limit_wait *wait_place(struct rc_limits *limits, uint64_t random)
{
    if (limits->waiting == NULL) {
        limits->waiting = calloc(RC_LIMITS_WAITING, sizeof(*limits->waiting));
    }
    for (uint32_t i = 0; limits->waiting != NULL && i < PROBES; i++) {
        struct rc_limit_wait *wait = wait_at(limits, random, i);
        if (wait_is_over(limits, wait)) {
            return wait;
        }
    }
    return NULL;
}

static void wait_end(const struct rc_ask *ask, enum wait_state state, uint32_t retry_ms)
{
    struct rc_limits *limits = ask->context;
    for (uint32_t i = 0; i < PROBES; i++) {
        struct rc_limit_wait *wait = wait_at(limits, ask->client.random, i);
        if (wait->state == ASKED && wait->token == ask->token) {
            wait->state = state;
            wait->retry_ms = retry_ms;
            wait->ended_ms = now_ms(limits);
            limits->ready(limits->context, &ask->client);
            return;
        }
    }
}

/* --- the relay ------------------------------------------------------------------------------------------------------- */

static void limit_answered(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_limit_result result;
    if (type != RC_DOWN_LIMIT || !rc_limit_result_read(view, &result)) {
        wait_end(ask, UNKNOWN, 0);
    } else {
        wait_end(ask, result.allowed ? ALLOWED : EXCEEDED, result.retry_ms);
    }
}

static void limit_unanswered(const struct rc_ask *ask, enum rc_ask_end why)
{
    (void)why; /* late, or the relay is another one */
    wait_end(ask, UNKNOWN, 0);
}

static const struct rc_asker limit_asker = {.kind = RC_ASK_LIMIT,
                                            .in_ms = RC_LIMIT_WAIT_MS,
                                            .once = true,
                                            .of_relay = true,
                                            .answered = limit_answered,
                                            .unanswered = limit_unanswered};

/* False: it cannot be asked. */
static bool limits_ask_relay(struct rc_limits *limits, const struct rc_limit_question *question, struct rc_span name,
                             uint64_t key)
{
    const struct rc_limit_head head = {
        .count = question->limit.count, .window_ms = question->limit.window_ms, .cost = question->cost};
    uint8_t data[sizeof(head) + RC_LIMIT_NAME_MAX];
    struct rc_limit_wait *wait = wait_place(limits, question->client.random);
    uint64_t token;
    if (wait == NULL ||
        rc_asks_begin(limits->asks, &limit_asker, limits, &question->client, (struct rc_span){0}, &token) < 0) {
        return false;
    }
    memcpy(data, &head, sizeof(head));
    memcpy(data + sizeof(head), name.bytes, name.count);
    struct rc_envelope_view view = {.head = {.time_ns = *limits->now_ns,
                                             .origin = question->client,
                                             .token = token,
                                             .data_bytes = (uint32_t)(sizeof(head) + name.count)},
                                    .data = data};
    rc_receiving_no_step(limits->uplink->truth); /* its record is none of the operation's, which waits */
    if (rc_uplink_write(limits->uplink, RC_UP_LIMIT, &view) < 0) {
        rc_asks_end(limits->asks, token);
        return false;
    }
    *wait = (struct rc_limit_wait){.random = question->client.random, .key = key, .token = token, .state = ASKED};
    return true;
}

/* --- the answer ------------------------------------------------------------------------------------------------------ */

static enum rc_limit_answer limits_exceeded(struct rc_limits *limits)
{
    rc_metric_add(limits->metrics, RC_METRIC_RATE_EXCEEDED, 1);
    return RC_LIMIT_EXCEEDED;
}

/* The host's own word. */
static enum rc_limit_answer limits_take(struct rc_limits *limits, const struct rc_limit_question *question,
                                        uint64_t key, uint32_t *retry_ms)
{
    switch (
        rc_windows_take(&limits->shared->windows, key, &question->limit, question->cost, now_ms(limits), retry_ms)) {
    case RC_WINDOW_TAKEN:
        break;
    case RC_WINDOW_FULL:
        return limits_exceeded(limits);
    case RC_WINDOW_UNKNOWN:
        rc_metric_add(limits->metrics, RC_METRIC_RATE_UNCOUNTED, 1);
        rc_log_limited(RC_LOG_WARN, 1, "rate_uncounted", "reason=\"too many users within their windows at once\"");
        break;
    }
    return RC_LIMIT_ALLOWED;
}

/* All instances were to decide, and cannot. */
static enum rc_limit_answer limits_fail_open(struct rc_limits *limits, const struct rc_limit_question *question,
                                             uint64_t key, uint32_t *retry_ms)
{
    rc_metric_add(limits->metrics, RC_METRIC_RATE_FAIL_OPEN, 1);
    return limits_take(limits, question, key, retry_ms);
}

/* The question was asked before. */
static enum rc_limit_answer limits_end(struct rc_limits *limits, const struct rc_limit_question *question,
                                       struct rc_limit_wait *wait, uint32_t *retry_ms)
{
    const struct rc_limit_wait was = *wait;
    uint32_t ignored;
    if (was.state == ASKED) {
        return RC_LIMIT_WAITS;
    }
    *wait = (struct rc_limit_wait){.state = FREE};
    if (was.state == UNUSED) {
        return RC_LIMIT_ALLOWED;
    }
    if (was.state == UNKNOWN) {
        return limits_fail_open(limits, question, was.key, retry_ms);
    }
    if (was.state == EXCEEDED) {
        *retry_ms = was.retry_ms;
        return limits_exceeded(limits);
    }
    /* The host keeps what passed here, for when Redis is away. */
    (void)rc_windows_take(&limits->shared->windows, was.key, &question->limit, question->cost, now_ms(limits),
                          &ignored);
    return RC_LIMIT_ALLOWED;
}

enum rc_limit_answer rc_limits_ask(struct rc_limits *limits, const struct rc_limit_question *question,
                                   uint32_t *retry_ms)
{
    char text[RC_LIMIT_NAME_MAX];
    *retry_ms = 0;
    if (question->limit.count == 0) {
        return RC_LIMIT_ALLOWED;
    }
    if (question->cost > question->limit.count) {
        *retry_ms = RC_LIMIT_NEVER_MS;
        return limits_exceeded(limits);
    }
    const struct rc_span name = name_of(question, text);
    const uint64_t key = rc_hash(name.bytes, name.count);
    struct rc_limit_wait *wait = wait_find(limits, question->client.random, key);
    if (wait != NULL) {
        return limits_end(limits, question, wait, retry_ms);
    }
    if (!limits->across || question->user.count == 0) { /* a connection is of one host */
        return limits_take(limits, question, key, retry_ms);
    }
    if (rc_windows_look(&limits->shared->windows, key, &question->limit, question->cost, now_ms(limits), retry_ms) ==
        RC_WINDOW_FULL) {
        return limits_exceeded(limits); /* whatever the others have used */
    }
    const uint32_t redis = atomic_load_explicit(&limits->control->relay->redis_health.state, memory_order_relaxed);
    if (redis == RC_REDIS_CONNECTED && limits_ask_relay(limits, question, name, key)) {
        rc_metric_add(limits->metrics, RC_METRIC_RATE_ASKED, 1);
        return RC_LIMIT_WAITS;
    }
    return limits_fail_open(limits, question, key, retry_ms);
}

void rc_limits_unused(struct rc_limits *limits, const struct rc_limit_question *question)
{
    char text[RC_LIMIT_NAME_MAX];
    struct rc_limit_wait *wait = question->limit.count == 0 ? NULL : wait_place(limits, question->client.random);
    if (wait != NULL) { /* else it is counted twice */
        const struct rc_span name = name_of(question, text);
        *wait = (struct rc_limit_wait){.random = question->client.random,
                                       .key = rc_hash(name.bytes, name.count),
                                       .ended_ms = now_ms(limits),
                                       .state = UNUSED};
    }
}

struct rc_span rc_limit_text(char out[RC_LIMIT_TEXT_MAX], const char *what, uint32_t retry_ms)
{
    const bool soon = retry_ms < 1000;
    const int bytes = retry_ms == RC_LIMIT_NEVER_MS
                          ? snprintf(out, RC_LIMIT_TEXT_MAX, "too many %s: never so many at once", what)
                          : snprintf(out, RC_LIMIT_TEXT_MAX, "too many %s: try again in %u %s", what,
                                     soon ? retry_ms : retry_ms / 1000 + (retry_ms % 1000 != 0), soon ? "ms" : "s");
    RC_ASSERT(bytes > 0 && bytes < (int)RC_LIMIT_TEXT_MAX);
    return rc_span_of(out, (size_t)bytes);
}

/* --- connections ----------------------------------------------------------------------------------------------------- */

bool rc_limits_user_add(struct rc_limits *limits, struct rc_span user, uint32_t max, bool *counted)
{
    const int rc = rc_tallies_add(&limits->shared->tallies, rc_hash(user.bytes, user.count), limits->worker, max);
    if (rc == -EAGAIN) {
        rc_metric_add(limits->metrics, RC_METRIC_RATE_UNCOUNTED, 1);
    }
    *counted = rc == 0;
    return rc != -EDQUOT;
}

void rc_limits_user_remove(struct rc_limits *limits, struct rc_span user)
{
    rc_tallies_remove(&limits->shared->tallies, rc_hash(user.bytes, user.count), limits->worker);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

void rc_limits_open(struct rc_limits *limits, const struct rc_control *control, struct rc_asks *asks,
                    struct rc_uplink *uplink, struct rc_metrics *metrics, const uint64_t *now_ns, uint32_t worker,
                    bool across, bool adopted, void (*ready)(void *context, const struct rc_client_ref *client),
                    void *context)
{
    *limits = (struct rc_limits){.control = control,
                                 .shared = control->limits,
                                 .worker = worker,
                                 .asks = asks,
                                 .uplink = uplink,
                                 .metrics = metrics,
                                 .now_ns = now_ns,
                                 .across = across,
                                 .ready = ready,
                                 .context = context};
    if (!adopted) {
        rc_tallies_clear(&control->limits->tallies, worker); /* a predecessor's, whose clients are gone */
    }
}

void rc_limits_close(struct rc_limits *limits)
{
    free(limits->waiting);
    limits->waiting = NULL;
}
