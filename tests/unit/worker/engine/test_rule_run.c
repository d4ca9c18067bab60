/* One [[event]] row carried out: what it sets and closes, and in which order. */
#include "worker/engine/rule_run.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/support/rule_rig.h"

static struct rule_rig r;

static void open_all(void)
{
    rule_rig_open(&r);
}

static void close_all(void)
{
    rule_rig_close(&r);
}

TestSuite(rule_run, .init = open_all, .fini = close_all, .timeout = 20);

#define TELLS "emit = [{to = \"*\"}]\n"

Test(rule_run, the_first_row_that_matches_takes_the_event)
{
    rule_rig_begin(&r,
                   "[[event]]\non = \"say\"\nmatch = { \"args.0.kind\" = \"a\" }\nack = [1]\n"
                   "[[event]]\non = \"s*\"\nmatch = { \"args.0.kind\" = [\"a\", \"b\"] }\nack = [2]\n"
                   "[[event]]\non = \"say\"\nack = [3]\n"
                   "[[event]]\non = \"*\"\nack = [\"{event}\"]\n",
                   true);
    rule_rig_says(&r, "421[\"say\",{\"kind\":\"a\"}]");
    rule_rig_expect(&r, "431[1]");
    rule_rig_says(&r, "421[\"say\",{\"kind\":\"b\"}]");
    rule_rig_expect(&r, "431[2]");
    rule_rig_says(&r, "421[\"sing\",{\"kind\":\"a\"}]");
    rule_rig_expect(&r, "431[2]");
    rule_rig_says(&r, "421[\"say\"]");
    rule_rig_expect(&r, "431[3]");
    rule_rig_says(&r, "421[\"else\"]");
    rule_rig_expect(&r, "431[\"else\"]");
}

Test(rule_run, what_is_set_is_there_from_then_on)
{
    rule_rig_begin(
        &r,
        "[[event]]\non = \"name\"\nset = { name = \"{args.0}\", was = \"{client.name}\" }\nack = [\"{client.name}\", \"{client.was}\"]\n"
        "[[event]]\non = \"say\"\nack = [\"{client.name}: {args.0}\"]\n",
        true);
    rule_rig_says(&r, "421[\"say\",\"x\"]");
    rule_rig_expect(&r, "431[{\"error\":{\"code\":400,\"message\":\"client.name is missing\"}}]");
    rule_rig_says(&r, "421[\"name\",\"J\\u00f6\"]");
    rule_rig_expect(&r, "431[\"J\\u00f6\",null]");
    rule_rig_says(&r, "421[\"say\",\"x\"]");
    rule_rig_expect(&r, "431[\"J\\u00f6: x\"]");
    rule_rig_says(&r, "421[\"name\",[1]]");
    rule_rig_expect(&r, "431[[1],\"J\\u00f6\"]");
}

Test(rule_run, what_cannot_be_kept_does_nothing_at_all)
{
    static char packet[1200];
    rule_rig_begin(&r,
                   "[[event]]\non = \"name\"\nset = { name = \"{args.0}\" }\njoin = [\"r\"]\n" TELLS
                   "[[event]]\non = \"get\"\nack = [\"{client.name}\"]\n",
                   true);
    memcpy(packet, "42[\"name\",\"", 11);
    memset(packet + 11, 'x', 1100);
    memcpy(packet + 1111, "\"]", 3);
    rule_rig_says(&r, packet);
    rule_rig_expect(&r, "42[\"error\",{\"code\":413,\"message\":\"more than is kept of a connection\"}]");
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "");
    rule_rig_says(&r, "421[\"get\"]");
    rule_rig_expect(&r, "431[null]");
}

/* Leave sees what was set before, join what is set now: moving from room to room. */
Test(rule_run, leave_comes_before_set_and_join_behind_it)
{
    rule_rig_begin(
        &r,
        "[[event]]\non = \"move\"\nleave = [\"r:{client.room}\"]\nset = { room = \"{args.0}\" }\njoin = [\"r:{client.room}\"]\n"
        "ack = [\"{client.room}\"]\n"
        "[[event]]\non = \"start\"\nset = { room = \"none\" }\n",
        true);
    rule_rig_says(&r, "42[\"start\"]");
    for (int i = 0; i < 2; i++) {
        const char *const packet = i == 0 ? "421[\"move\",\"a\"]" : "421[\"move\",\"b\"]";
        rule_rig_posts(&r, packet);
        engine_rig_settle(&r.engine);
        cr_assert_eq(rule_rig_answer(&r), 200);
        rule_rig_expect(&r, i == 0 ? "431[\"a\"]" : "431[\"b\"]");
    }
    struct rc_hub *hub = &r.engine.c.rig.hub;
    const uint32_t channel = rc_hub_find(hub, rc_channel_hash("r:b", 3), RC_SPAN("r:b"));
    cr_assert_neq(channel, 0);
    cr_assert_neq(rc_hub_subscription(hub, r.engine.session, channel), 0);
    cr_assert_eq(rc_hub_find(hub, rc_channel_hash("r:a", 3), RC_SPAN("r:a")), 0);
}

Test(rule_run, a_row_may_close_the_connection_once_all_else_is_done)
{
    rule_rig_begin(&r, "[[event]]\non = \"bye\"\nack = [\"{args.0}\"]\nclose = \"enough\"\n", true);
    rule_rig_posts(&r, "421[\"bye\",1]");
    (void)rule_rig_answer(&r);
    engine_rig_request(&r.engine, r.get, r.engine.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r.engine, r.get), 200);
    cr_assert_str_eq(r.get->text, "431[1]\x1e"
                                  "41");
    engine_rig_request(&r.engine, r.get, r.engine.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r.engine, r.get), 200);
    cr_assert_str_eq(r.get->text, "1");
}

/* What monitoring calls emitted: an event to who sent one is a message as any other; an acknowledgement is an answer. */
Test(rule_run, events_to_who_sent_one_are_deliveries)
{
    rule_rig_begin(
        &r, "[[event]]\non = \"a\"\nemit = [{}, { event = \"b\", args = [] }]\n[[event]]\non = \"ack\"\nack = [1]\n",
        true);
    const struct rc_metrics *metrics = r.engine.c.rig.metrics;
    const uint64_t before = rc_metric_get(metrics, RC_METRIC_DELIVERIES);
    rule_rig_says(&r, "42[\"a\",1]");
    cr_assert_eq(rc_metric_get(metrics, RC_METRIC_DELIVERIES) - before, 2);
    rule_rig_says(&r, "421[\"ack\"]");
    cr_assert_eq(rc_metric_get(metrics, RC_METRIC_DELIVERIES) - before, 2);
}
