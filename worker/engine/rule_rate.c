/* rule_rate: see rule_rate.h. */
#include "worker/engine/rule_rate.h"

#include "common/config/event_rules.h"
#include "worker/limits/limits.h"

#define RATES_MAX 16u /* of a row: it has RC_EVENT_OPERATIONS_MAX operations, and their namespaces repeat */

struct rates {
    uint32_t count;
    struct rc_limit_question questions[RATES_MAX];
    const char *whats[RATES_MAX]; /* static */
};

static const struct rc_config_rate *rate_of(const struct rc_config_namespace *namespace, uint32_t type,
                                            enum rc_limit_kind *kind, const char **what)
{
    switch (type) {
    case RC_RULE_JOIN:
        *kind = RC_LIMIT_SUBSCRIBE;
        *what = "subscribe requests";
        return &namespace->subscribe_rate;
    case RC_RULE_LEAVE:
        *kind = RC_LIMIT_UNSUBSCRIBE;
        *what = "unsubscribe requests";
        return &namespace->unsubscribe_rate;
    case RC_RULE_EMIT:
    case RC_RULE_RETAIN:
        *kind = RC_LIMIT_PUBLISH;
        *what = "messages";
        return &namespace->publish_rate;
    default:
        return NULL;
    }
}

/* A room that the client names. One whose name cannot be worked out is refused when it is used. */
static void rates_room(struct rc_rule_run *run, uint32_t type, const struct rc_event_template *template,
                       struct rates *rates)
{
    char name[RC_CHANNEL_NAME_MAX];
    size_t bytes;
    struct rc_limit_question question = {.user = rc_client_user(run->clients, run->client),
                                         .client = rc_client_ref(run->clients, run->client)};
    const char *what;
    if (rates->count == RATES_MAX || rc_rule_room(&run->values, template, name, &bytes) != 0 ||
        rc_client_room_is_socket(run->clients, rc_span_of(name, bytes))) {
        return;
    }
    const struct rc_config_namespace *namespace = rc_config_namespace_of(run->clients->config, name, bytes);
    const struct rc_config_rate *rate = rate_of(namespace, type, &question.kind, &what);
    if (rate == NULL || rate->count == 0) {
        return;
    }
    question.name = rc_span_of(namespace->name, namespace->name_bytes);
    question.limit = (struct rc_window_limit){.count = rate->count, .window_ms = (uint32_t)rate->window_ms};
    for (uint32_t i = 0; i < rates->count; i++) {
        if (rates->questions[i].kind == question.kind && rates->questions[i].name.bytes == question.name.bytes) {
            return;
        }
    }
    rates->whats[rates->count] = what;
    rates->questions[rates->count++] = question;
}

static void rates_collect(struct rc_rule_run *run, struct rates *rates)
{
    const struct rc_config *config = run->clients->config;
    const struct rc_event_operation *operations = rc_event_operations(config, run->row);
    rates->count = 0;
    if (run->client == 0 || run->clients->limits == NULL) {
        return;
    }
    for (uint32_t i = 0; i < run->row->operation_count; i++) {
        const struct rc_event_template *rooms = rc_event_rooms(config, &operations[i]);
        for (uint32_t room = 0; room < operations[i].room_count; room++) {
            if ((rooms[room].flags & RC_EVENT_CLIENT_CHOOSES) != 0) {
                rates_room(run, operations[i].type, &rooms[room], rates);
            }
        }
    }
}

static void rates_unused(struct rc_rule_run *run, const struct rates *rates, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        rc_limits_unused(run->clients->limits, &rates->questions[i]);
    }
}

enum rc_rule_guarded rc_rule_rates(struct rc_rule_run *run)
{
    struct rates rates;
    uint32_t retry_ms;
    rates_collect(run, &rates);
    for (uint32_t i = 0; i < rates.count; i++) {
        switch (rc_limits_ask(run->clients->limits, &rates.questions[i], &retry_ms)) {
        case RC_LIMIT_ALLOWED:
            continue;
        case RC_LIMIT_WAITS:
            rates_unused(run, &rates, i);
            rc_rule_state_client(run)->flags |= RC_CLIENT_WAITS_ANSWER;
            return RC_RULE_WAITS;
        case RC_LIMIT_EXCEEDED:
            break;
        }
        const struct rc_span text = rc_limit_text(run->rate_text, rates.whats[i], retry_ms);
        run->rate_text[text.count] = '\0';
        run->guard = RC_GUARD_RATE;
        rc_rule_state_fail(run, RC_CODE_LIMITED, run->rate_text);
        return RC_RULE_REFUSED;
    }
    return RC_RULE_PASSES;
}

void rc_rule_rates_unused(struct rc_rule_run *run)
{
    struct rates rates;
    rates_collect(run, &rates);
    rates_unused(run, &rates, rates.count);
}
