/* How what a row does leaves: for whom, with which flags, and when it does not. */
#include "worker/engine/rule_send.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/support/rule_rig.h"
#include "worker/engine/rules.h"

static struct rule_rig r;

static void open_all(void)
{
    rule_rig_open(&r);
}

static void close_all(void)
{
    rule_rig_close(&r);
}

TestSuite(rule_send, .init = open_all, .fini = close_all, .timeout = 20);

/* `rooms`: as an RC_UP_SELECT has them, where it is for several. */
static void expect_up(const char *args, const char *channel, struct rc_span rooms, bool is_volatile, bool others)
{
    struct rc_envelope_view view;
    cr_assert_str_eq(rule_rig_went_up(&r, &view), args);
    cr_assert(rc_span_equal(rc_span_of(view.channel, view.head.channel_bytes), rc_span_text(channel)), "%.*s",
              view.head.channel_bytes, view.channel);
    cr_assert(rc_span_equal(rc_span_of(view.exclude_text, view.head.exclude_text_bytes), rooms), "%.*s",
              view.head.exclude_text_bytes, view.exclude_text);
    cr_assert_eq((view.head.flags & RC_ENVELOPE_VOLATILE) != 0, is_volatile);
    cr_assert_eq((view.head.flags & RC_ENVELOPE_NO_ECHO) != 0, others);
}

Test(rule_send, a_message_has_what_its_emit_says)
{
    rule_rig_begin(&r,
                   "[[event]]\non = \"a\"\nemit = [{to = \"*\"}, {to = [\"x\", \"y\"], others = true}, "
                   "{to = \"z\", volatile = true}]\n",
                   true);
    rule_rig_says(&r, "42[\"a\",1]");
    expect_up("[1]", "/#", RC_SPAN(""), false, false);
    expect_up("[1]", "/#", RC_SPAN("x\0y\0\0"), false, true);
    expect_up("[1]", "z", RC_SPAN(""), true, false);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "");
}

Test(rule_send, a_socket_of_this_instance_is_sent_to_alone)
{
    char packet[64];
    char sid[RC_SID_BYTES];
    struct rc_envelope_view view;
    rule_rig_begin(&r,
                   "[[event]]\non = \"all\"\nemit = [{to = \"{args.0}\"}]\n"
                   "[[event]]\non = \"others\"\nemit = [{to = \"{args.0}\", others = true}]\n",
                   true);
    r.engine.c.rig.config->permissions.direct = RC_WHO_ANYONE;
    rc_engine_nsp_sid(&r.engine.engines, r.engine.session, RC_SPAN("/"), sid);
    (void)snprintf(packet, sizeof(packet), "42[\"all\",\"%.*s\"]", RC_SID_BYTES, sid);
    rule_rig_says(&r, packet);
    cr_assert_str_neq(rule_rig_went_up(&r, &view), "");
    cr_assert_eq(view.head.target.slot, r.engine.session);
    (void)snprintf(packet, sizeof(packet), "42[\"others\",\"%.*s\"]", RC_SID_BYTES, sid);
    rule_rig_says(&r, packet);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "", "to nobody");
}

Test(rule_send, a_servers_message_that_finds_no_room_is_counted)
{
    struct rc_metrics *metrics = r.engine.c.clients.metrics;
    rule_rig_begin(&r, "[[event]]\non = \"tell\"\nfrom = \"server\"\nemit = [{to = \"*\"}]\n", true);
    rc_rules_server_event(&r.engine.engines, RC_SPAN("/"), RC_SPAN("tell"), RC_SPAN("[1]"), NULL);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[1]");
    const uint64_t failed = rc_metric_get(metrics, RC_METRIC_FAILED_DELIVERIES);
    (void)client_rig_fill(&r.engine.c, 1);
    rc_rules_server_event(&r.engine.engines, RC_SPAN("/"), RC_SPAN("tell"), RC_SPAN("[2]"), NULL);
    cr_assert_eq(rc_metric_get(metrics, RC_METRIC_FAILED_DELIVERIES), failed + 1);
    struct rc_row_counters *row = &r.engine.c.clients.control->own->rows[0];
    cr_assert_eq(atomic_load(&row->outcomes[0]), 1, "the first one");
    cr_assert_eq(atomic_load(&row->outcomes[1 + RC_GUARDS]), 1);
}
