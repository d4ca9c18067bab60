/* rule_rate: see rule_rate.h. */
#include "worker/engine/rule_rate.h"

#include <stddef.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/event_rules.h"
#include "worker/limits/limits.h"

#define RATES_MAX 16u /* of a row: it has RC_EVENT_OPERATIONS_MAX operations, and their namespaces repeat */

struct rates {
    uint32_t count;
    struct rc_limit_question questions[RATES_MAX];
    const char *whats[RATES_MAX]; /* static */
};

/* --- asking ---------------------------------------------------------------------------------------------------------- */

/* A server's events are nobody's. */
static bool rates_count(const struct rc_rule_run *run)
{
    return run->client != 0 && run->clients->limits != NULL;
}

/* What the event says: its arguments, and what is binary of them. */
static uint32_t rates_bytes(const struct rc_rule_run *run)
{
    return rc_limit_cost(run->args.count == 0 ? 0 : run->its.json.count + run->its.attachments.count);
}

static void rates_put(struct rates *rates, const struct rc_limit_question *question, const char *what)
{
    for (uint32_t i = 0; i < rates->count; i++) {
        if (rates->questions[i].kind == question->kind && rates->questions[i].name.bytes == question->name.bytes) {
            return;
        }
    }
    if (rates->count < RATES_MAX) {
        rates->whats[rates->count] = what;
        rates->questions[rates->count++] = *question;
    }
}

static void rates_unused(struct rc_rule_run *run, const struct rates *rates, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        rc_limits_unused(run->clients->limits, &rates->questions[i]);
    }
}

static enum rc_rule_guarded rates_ask(struct rc_rule_run *run, const struct rates *rates)
{
    uint32_t retry_ms;
    for (uint32_t i = 0; i < rates->count; i++) {
        switch (rc_limits_ask(run->clients->limits, &rates->questions[i], &retry_ms)) {
        case RC_LIMIT_ALLOWED:
            continue;
        case RC_LIMIT_WAITS:
            rates_unused(run, rates, i);
            rc_rule_state_client(run)->flags |= RC_CLIENT_WAITS_ANSWER;
            return RC_RULE_WAITS;
        case RC_LIMIT_EXCEEDED:
            break;
        }
        const struct rc_span text = rc_limit_text(run->rate_text, rates->whats[i], retry_ms);
        run->rate_text[text.count] = '\0';
        run->guard = RC_GUARD_RATE;
        rc_rule_state_fail(run, RC_CODE_LIMITED, run->rate_text);
        return RC_RULE_REFUSED;
    }
    return RC_RULE_PASSES;
}

/* --- the row's own --------------------------------------------------------------------------------------------------- */

/* By the row's name: an event's own, where the row is for many, would be a way round it. */
static void rate_put(const struct rc_rule_run *run, const struct rc_event_rate *rate, enum rc_limit_kind kind,
                     const char *what, struct rates *rates)
{
    const struct rc_config *config = run->clients->config;
    const struct rc_event_guards *guards = &run->row->guards;
    const bool group = guards->rate_group != 0;
    const struct rc_limit_question question = {
        .kind = kind,
        .nsp = group ? rc_span_of(NULL, 0) : rc_span_text(run->row->nsp.text),
        .name = group ? rc_event_text(config, guards->rate_group_name.at, guards->rate_group_name.bytes)
                      : rc_span_text(run->row->on.text),
        .user = rc_client_user(run->clients, run->client),
        .client = rc_client_ref(run->clients, run->client),
        .limit = {.count = rate->count, .window_ms = rate->window_ms},
        .cost = rate == &guards->rate ? 1 : rates_bytes(run)};
    if (rate->count > 0) {
        rates_put(rates, &question, what);
    }
}

static void rate_collect(const struct rc_rule_run *run, struct rates *rates)
{
    const struct rc_event_guards *guards = &run->row->guards;
    const bool group = guards->rate_group != 0;
    rates->count = 0;
    if (rates_count(run)) {
        rate_put(run, &guards->rate, group ? RC_LIMIT_GROUP : RC_LIMIT_EVENT, "events of this kind", rates);
        rate_put(run, &guards->rate_bytes, group ? RC_LIMIT_GROUP_BYTES : RC_LIMIT_EVENT_BYTES,
                 "bytes of events of this kind", rates);
    }
}

enum rc_rule_guarded rc_rule_rate(struct rc_rule_run *run)
{
    struct rates rates;
    rate_collect(run, &rates);
    return rates_ask(run, &rates);
}

void rc_rule_rate_unused(struct rc_rule_run *run)
{
    struct rates rates;
    rate_collect(run, &rates);
    rates_unused(run, &rates, rates.count);
}

/* --- of rooms -------------------------------------------------------------------------------------------------------- */

/* What each kind of operation counts as, in the namespace of its room. */
static const struct room_rate {
    enum rc_event_operation_type type;
    enum rc_limit_kind kind;
    size_t rate; /* in struct rc_config_namespace */
    const char *what;
    bool of_bytes;
} room_rates[] = {
    {RC_RULE_JOIN, RC_LIMIT_SUBSCRIBE, offsetof(struct rc_config_namespace, subscribe_rate), "subscribe requests",
     false},
    {RC_RULE_LEAVE, RC_LIMIT_UNSUBSCRIBE, offsetof(struct rc_config_namespace, unsubscribe_rate),
     "unsubscribe requests", false},
    {RC_RULE_EMIT, RC_LIMIT_PUBLISH, offsetof(struct rc_config_namespace, publish_rate), "messages", false},
    {RC_RULE_EMIT, RC_LIMIT_PUBLISH_BYTES, offsetof(struct rc_config_namespace, publish_rate_bytes),
     "bytes of messages", true},
    {RC_RULE_RETAIN, RC_LIMIT_PUBLISH, offsetof(struct rc_config_namespace, publish_rate), "messages", false},
    {RC_RULE_RETAIN, RC_LIMIT_PUBLISH_BYTES, offsetof(struct rc_config_namespace, publish_rate_bytes),
     "bytes of messages", true},
};

/* A room that the client names. One whose name cannot be worked out is refused when it is used. */
static void rates_room(struct rc_rule_run *run, uint32_t type, const struct rc_event_template *template,
                       struct rates *rates)
{
    char name[RC_CHANNEL_NAME_MAX];
    size_t bytes;
    if (rc_rule_room(&run->values, template, name, &bytes) != 0 ||
        rc_client_room_is_socket(run->clients, rc_span_of(name, bytes))) {
        return;
    }
    const struct rc_config_namespace *namespace = rc_config_namespace_of(run->clients->config, name, bytes);
    for (size_t i = 0; i < RC_ARRAY_COUNT(room_rates); i++) {
        struct rc_config_rate rate;
        memcpy(&rate, (const uint8_t *)namespace + room_rates[i].rate, sizeof(rate));
        if (room_rates[i].type != type || rate.count == 0) {
            continue;
        }
        const struct rc_limit_question question = {.kind = room_rates[i].kind,
                                                   .name = rc_span_of(namespace->name, namespace->name_bytes),
                                                   .user = rc_client_user(run->clients, run->client),
                                                   .client = rc_client_ref(run->clients, run->client),
                                                   .limit = {.count = rate.count, .window_ms = rate.window_ms},
                                                   .cost = room_rates[i].of_bytes ? rates_bytes(run) : 1};
        rates_put(rates, &question, room_rates[i].what);
    }
}

static void rates_collect(struct rc_rule_run *run, struct rates *rates)
{
    const struct rc_config *config = run->clients->config;
    const struct rc_event_operation *operations = rc_event_operations(config, run->row);
    rates->count = 0;
    for (uint32_t i = 0; rates_count(run) && i < run->row->operation_count; i++) {
        const struct rc_event_template *rooms = rc_event_rooms(config, &operations[i]);
        for (uint32_t room = 0; room < operations[i].room_count; room++) {
            if ((rooms[room].flags & RC_EVENT_CLIENT_CHOOSES) != 0) {
                rates_room(run, operations[i].type, &rooms[room], rates);
            }
        }
    }
}

enum rc_rule_guarded rc_rule_rates(struct rc_rule_run *run)
{
    struct rates rates;
    rates_collect(run, &rates);
    return rates_ask(run, &rates);
}

void rc_rule_rates_unused(struct rc_rule_run *run)
{
    struct rates rates;
    rates_collect(run, &rates);
    rates_unused(run, &rates, rates.count);
}
