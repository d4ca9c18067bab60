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
    } guards[] = {{offsetof(struct rc_config_event, guards.rated), rc_rule_rate},
                  {offsetof(struct rc_config_event, guards.who), guard_who},
                  {offsetof(struct rc_config_event, schema_at), guard_schema},
                  {offsetof(struct rc_config_event, guards.inside_count), guard_inside},
                  {offsetof(struct rc_config_event, chosen_count), rc_rule_rates},
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
        if (result == RC_RULE_WAITS && i > 0 && run->row->guards.rated > 0) {
            rc_rule_rate_unused(run); /* it is asked again with the rest */
        }
        if (result == RC_RULE_WAITS && guards[i].judge == rc_rule_identify) {
            rc_rule_rates_unused(run); /* likewise */
        }
        return result;
    }
    return RC_RULE_PASSES;
}
