/* What a trace is told of rows: which takes an event and what it does, what was refused and why. */
#include "worker/engine/rule_trace.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/rule_rig.h"

static struct rule_rig r;
static struct rc_report *report;
static uint64_t told; /* records that were looked at */

static void open_all(void)
{
    rule_rig_open(&r);
    report = calloc(1, sizeof(*report));
    cr_assert(report != NULL);
    told = 0;
}

static void close_all(void)
{
    rule_rig_close(&r);
    free(report);
}

TestSuite(rule_trace, .init = open_all, .fini = close_all, .timeout = 20);

static struct rc_hub *hub_of(void)
{
    return r.engine.c.clients.hub;
}

/* Stages that are called so are traced. */
static void trace_event(const char *event)
{
    struct rc_hub *hub = hub_of();
    hub->traces.tracer =
        (struct rc_tracer){.ring = &report->traced,
                           .wanted = {.by = RC_TRACE_BY_EVENT, .serial = 1, .event_bytes = (uint16_t)strlen(event)}};
    memcpy(hub->traces.tracer.wanted.event, event, strlen(event));
    hub->tracing = true;
}

/* The next stage of that kind, `why` as it was told; NULL: none. */
static const char *next(enum rc_trace_stage stage, uint32_t *code)
{
    static char why[RC_TRACED_TEXT_MAX + 1];
    uint8_t record[RC_FLIGHT_BYTES];
    struct rc_traced traced;
    while (told < rc_flight_last(&report->traced.head)) {
        cr_assert(rc_flight_get(report->traced.entries, RC_FLIGHT_TRACED, ++told, record));
        memcpy(&traced, record, sizeof(traced));
        if (traced.stage == stage) {
            memcpy(why, traced.text, traced.why_bytes);
            why[traced.why_bytes] = '\0';
            *code = traced.code;
            return why;
        }
    }
    return NULL;
}

Test(rule_trace, the_row_and_what_it_does)
{
    uint32_t code;
    rule_rig_begin(&r,
                   "[[event]]\non = \"a\"\nleave = [\"x\", \"y\"]\nemit = [{ to = \"x\", event = \"b\" }]\nack = [1]\n"
                   "[[event]]\non = \"b\"\n",
                   true);
    trace_event("a");
    rule_rig_says(&r, "42[\"a\"]");
    cr_assert_str_eq(next(RC_TRACE_RULE, &code), "row 1, on \"a\": leave 2, ack, emit");
    trace_event("b");
    rule_rig_says(&r, "42[\"b\"]");
    cr_assert_str_eq(next(RC_TRACE_RULE, &code), "row 2, on \"b\": nothing");
    trace_event("none");
    rule_rig_says(&r, "42[\"none\"]");
    cr_assert_str_eq(next(RC_TRACE_RULE, &code), "no [[event]] row takes it: socketio.unknown_event = \"ignore\"");
}

Test(rule_trace, what_was_refused_by_which_guard)
{
    uint32_t code;
    rule_rig_begin(&r, "[[event]]\non = \"a\"\nwho = \"user\"\n[[event]]\non = \"b\"\njoin = [\"{args.0}\"]\n", true);
    trace_event("a");
    rule_rig_says(&r, "42[\"a\"]");
    cr_assert_str_eq(next(RC_TRACE_REFUSED, &code), "row 1, who: only users may do this, and you are anonymous");
    cr_assert_eq(code, (uint32_t)RC_CODE_UNAUTHORIZED);
    trace_event("b");
    rule_rig_says(&r, "42[\"b\",{}]");
    const char *why = next(RC_TRACE_REFUSED, &code);
    cr_assert(why != NULL && strncmp(why, "row 2: ", 7) == 0, "%s", why);
}

Test(rule_trace, nothing_is_told_while_nothing_is_traced)
{
    uint32_t code;
    rule_rig_begin(&r, "[[event]]\non = \"a\"\n", true);
    trace_event("a");
    hub_of()->tracing = false;
    rule_rig_says(&r, "42[\"a\"]");
    cr_assert(next(RC_TRACE_RULE, &code) == NULL);
}
