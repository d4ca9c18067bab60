/* rule_guard: see rule_guard.h. */
#include "worker/engine/rule_guard.h"

#include <stddef.h>
#include <string.h>

#include "common/config/event_rules.h"
#include "worker/engine/rule_eval.h"
#include "worker/engine/rule_identify.h"
#include "worker/engine/rule_rate.h"
#include "worker/gate/rule_policy.h"

static enum rc_rule_guarded guard_refuse(struct rc_rule_run *run, enum rc_event_guard guard, int code, const char *why)
{
    run->guard = guard;
    rc_rule_state_fail(run, code, why);
    return RC_RULE_REFUSED;
}

/* Its rate, by the row's name: an event's own, where the row is for many, would be a way round it. */
static struct rc_limit_question guard_question(const struct rc_rule_run *run)
{
    const struct rc_config *config = run->clients->config;
    const struct rc_event_guards *guards = &run->row->guards;
    const bool group = guards->rate.group != 0;
    return (struct rc_limit_question){
        .kind = group ? RC_LIMIT_GROUP : RC_LIMIT_EVENT,
        .nsp = group ? rc_span_of(NULL, 0) : rc_span_text(run->row->nsp.text),
        .name = group ? rc_event_text(config, guards->rate.group_name.at, guards->rate.group_name.bytes)
                      : rc_span_text(run->row->on.text),
        .user = rc_client_user(run->clients, run->client),
        .client = rc_client_ref(run->clients, run->client),
        .limit = {.count = guards->rate.count, .window_ms = (uint32_t)guards->rate.window_ms},
    };
}

static bool guard_is_rated(const struct rc_rule_run *run)
{
    return run->row->guards.rate.count > 0 && run->client != 0 && run->clients->limits != NULL;
}

static enum rc_rule_guarded guard_rate(struct rc_rule_run *run)
{
    uint32_t retry_ms;
    if (!guard_is_rated(run)) {
        return RC_RULE_PASSES;
    }
    const struct rc_limit_question question = guard_question(run);
    switch (rc_limits_ask(run->clients->limits, &question, &retry_ms)) {
    case RC_LIMIT_ALLOWED:
        return RC_RULE_PASSES;
    case RC_LIMIT_WAITS:
        rc_rule_state_client(run)->flags |= RC_CLIENT_WAITS_ANSWER;
        return RC_RULE_WAITS;
    case RC_LIMIT_EXCEEDED:
        break;
    }
    const struct rc_span text = rc_limit_text(run->rate_text, "events of this kind", retry_ms);
    run->rate_text[text.count] = '\0';
    return guard_refuse(run, RC_GUARD_RATE, RC_CODE_LIMITED, run->rate_text);
}

static enum rc_rule_guarded guard_who(struct rc_rule_run *run)
{
    const int code = rc_rule_who(&run->values, &run->row->guards);
    return code == 0 ? RC_RULE_PASSES : guard_refuse(run, RC_GUARD_WHO, code, run->values.err.text);
}

/* What an event says must be what its row's schema asks for. */
static enum rc_rule_guarded guard_schema(struct rc_rule_run *run)
{
    enum rc_json_schema_result result;
    const int code = rc_rule_schema(&run->values, run->row, &result);
    if (code == 0) {
        return RC_RULE_PASSES;
    }
    rc_metric_add(run->clients->metrics,
                  result == RC_JSON_SCHEMA_LIMIT ? RC_METRIC_EVENTS_UNCHECKED : RC_METRIC_EVENTS_INVALID, 1);
    return guard_refuse(run, RC_GUARD_SCHEMA, code, run->values.err.text);
}

static enum rc_rule_guarded guard_inside(struct rc_rule_run *run)
{
    struct rc_hub *hub = run->clients->hub;
    struct rc_rule_target room;
    const int code = rc_rule_room(&run->values, &run->row->guards.inside, room.name, &room.bytes);
    if (code != 0) {
        return guard_refuse(run, RC_GUARDS, code, run->values.err.text);
    }
    room.channel_bytes =
        rc_channel_of_room(room.channel, sizeof(room.channel), run->nsp, rc_span_of(room.name, room.bytes));
    const struct rc_span name = rc_rule_target_channel(&room);
    const uint32_t channel =
        name.count == 0 ? 0 : rc_hub_find(hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    if (channel != 0 && rc_hub_subscription(hub, run->client, channel) != 0) {
        return RC_RULE_PASSES;
    }
    if (channel != 0 && !run->ends && rc_rule_state_client(run)->pending_count > 0) { /* it may be about to be in it */
        rc_rule_state_client(run)->flags |= RC_CLIENT_WAITS_SUBSCRIBE;
        return RC_RULE_WAITS;
    }
    return guard_refuse(run, RC_GUARD_INSIDE, rc_rule_outside(&run->values), run->values.err.text);
}

enum rc_rule_guarded rc_rule_guards(struct rc_rule_run *run)
{
    static const struct {
        size_t given; /* in struct rc_config_event: a uint32_t that is 0 where the row has no such guard */
        enum rc_rule_guarded (*judge)(struct rc_rule_run *run);
    } guards[] = {{offsetof(struct rc_config_event, guards.rate.count), guard_rate},
                  {offsetof(struct rc_config_event, guards.who), guard_who},
                  {offsetof(struct rc_config_event, schema_at), guard_schema},
                  {offsetof(struct rc_config_event, guards.inside_count), guard_inside},
                  {offsetof(struct rc_config_event, operation_count), rc_rule_rates},
                  {offsetof(struct rc_config_event, identify_at), rc_rule_identify}};
    _Static_assert(RC_EVENT_WHO_ANYONE == 0 && sizeof(enum rc_event_who) == sizeof(uint32_t), "a guard that is none");
    run->guard = RC_GUARDS;
#pragma GCC unroll 8 /* every event comes here: the table is known when it is compiled */
    for (size_t i = 0; i < RC_ARRAY_COUNT(guards); i++) {
        uint32_t given;
        memcpy(&given, (const char *)run->row + guards[i].given, sizeof(given));
        const enum rc_rule_guarded result = given == 0 ? RC_RULE_PASSES : guards[i].judge(run);
        if (result == RC_RULE_PASSES) {
            continue;
        }
        if (result == RC_RULE_WAITS && i > 0 && guard_is_rated(run)) {
            const struct rc_limit_question question = guard_question(run);
            rc_limits_unused(run->clients->limits, &question); /* it is asked again with the rest */
        }
        if (result == RC_RULE_WAITS && guards[i].judge == rc_rule_identify) {
            rc_rule_rates_unused(run); /* likewise */
        }
        return result;
    }
    return RC_RULE_PASSES;
}
