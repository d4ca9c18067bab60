/* [[event]] rows carried out: what they wait for, what a reload changes in between, what they know of the client. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/support/rule_rig.h"
#include "worker/engine/post.h"
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

TestSuite(rules, .init = open_all, .fini = close_all, .timeout = 20);

#define JOINS "[[event]]\non = \"join\"\njoin = [\"{args.0}\"]\nemit = [{to = \"{args.0}\"}]\nack = [\"in\"]\n"

Test(rules, what_follows_a_join_waits_until_the_relay_knows)
{
    rule_rig_begin(&r, JOINS, true);
    rule_rig_posts(&r, "421[\"join\",\"a\"]");
    cr_assert_eq(rule_rig_answer(&r), 0);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "");
    rule_rig_counted(&r, 0, 0, 0); /* its end is not known */
    engine_rig_settle(&r.engine);
    cr_assert_eq(rule_rig_answer(&r), 200);
    rule_rig_counted(&r, 0, 1, 0);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[\"a\"]");
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "", "once");
    rule_rig_expect(&r, "431[\"in\"]");
}

Test(rules, the_client_ends_while_its_row_waits)
{
    rule_rig_begin(&r, JOINS, true);
    rule_rig_posts(&r, "421[\"join\",\"a\"]");
    rc_client_end(&r.engine.c.clients, r.engine.session);
    cr_assert_eq(rule_rig_answer(&r), 400);
    engine_rig_settle(&r.engine);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "");
    rule_rig_counted(&r, 0, 0, 0);
}

/* The steps that were done are those of a row that is not there any more. */
Test(rules, a_reload_in_between_ends_the_row_and_tells_so)
{
    rule_rig_begin(&r, JOINS, true);
    rule_rig_posts(&r, "421[\"join\",\"a\"]");
    cr_assert_eq(rule_rig_answer(&r), 0);
    engine_rig_rows(
        &r.engine, "[[event]]\non = \"join\"\nemit = [{to = \"*\", args = [\"other\"]}, {to = \"b\"}, {to = \"c\"}]\n");
    engine_rig_settle(&r.engine);
    cr_assert_eq(rule_rig_answer(&r), 200);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "");
    rule_rig_expect(&r,
                    "431[{\"error\":{\"code\":503,\"message\":\"the server was reconfigured while this waited\"}}]");
    rule_rig_counted(&r, 0, 0, 0); /* of the row that is there now */
}

Test(rules, a_reload_that_changes_no_row_changes_nothing)
{
    rule_rig_begin(&r, JOINS, true);
    rule_rig_posts(&r, "421[\"join\",\"a\"]");
    cr_assert_eq(rule_rig_answer(&r), 0);
    engine_rig_rows(&r.engine, JOINS);
    engine_rig_settle(&r.engine);
    cr_assert_eq(rule_rig_answer(&r), 200);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[\"a\"]");
}

static void connect_with(const char *packet)
{
    engine_rig_begin(&r.engine, false);
    r.get = engine_rig_wire(&r.engine);
    r.post = engine_rig_wire(&r.engine);
    rule_rig_posts(&r, packet);
    engine_rig_settle(&r.engine);
    cr_assert_eq(rule_rig_answer(&r), 200);
}

Test(rules, what_a_client_said_when_it_connected_is_kept_where_a_row_asks_for_it)
{
    engine_rig_rows(
        &r.engine,
        "[[event]]\non = \"who\"\nemit = [{to = \"*\", args = [\"{auth.name}\"]}]\n"
        "[[event]]\non = \"disconnect\"\nemit = [{event = \"gone\", to = \"*\", args = [\"{auth.name}\", \"{args.0}\"]}]\n");
    connect_with("40{\"name\":\"J\",\"x\":[1]}");
    cr_assert_neq(rc_engine_of(&r.engine.engines, r.engine.session)->auth, 0);
    rule_rig_posts(&r, "42[\"who\"]");
    cr_assert_eq(rule_rig_answer(&r), 200);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[\"J\"]");
    rule_rig_posts(&r, "41");
    cr_assert_eq(rule_rig_answer(&r), 200);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[\"J\",\"client namespace disconnect\"]");
    cr_assert_eq(rc_engine_of(&r.engine.engines, r.engine.session)->auth, 0, "it is kept for nobody");
}

Test(rules, nothing_is_kept_where_only_connect_asks_for_it)
{
    engine_rig_rows(
        &r.engine, "[[event]]\non = \"connect\"\nemit = [{event = \"hello\", to = \"*\", args = [\"{auth.name}\"]}]\n");
    cr_assert(!rc_rules_use_auth(r.engine.c.rig.config));
    connect_with("40{\"name\":\"J\"}");
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[\"J\"]");
    cr_assert_eq(rc_engine_of(&r.engine.engines, r.engine.session)->auth, 0);
    cr_assert_eq(r.engine.c.rig.hub.input_bytes, 0);
}

#define GONE "[[event]]\non = \"disconnect\"\nemit = [{event = \"gone\", to = \"*\"}]\n"

Test(rules, disconnect_rows_are_told_why)
{
    rule_rig_begin(&r, GONE, true);
    rule_rig_posts(&r, "1");
    cr_assert_eq(rule_rig_answer(&r), 200);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[\"transport close\"]");
    engine_rig_begin(&r.engine, true);
    rule_rig_posts(&r, "x");
    cr_assert_eq(rule_rig_answer(&r), 400);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[\"parse error\"]");
    engine_rig_begin(&r.engine, true);
    rule_rig_posts(&r, "42{}");
    cr_assert_eq(rule_rig_answer(&r), 400);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[\"forced close\"]", "a packet of Engine.IO, but none of Socket.IO");
    engine_rig_begin(&r.engine, true);
    engine_rig_wait(&r.engine, r.engine.c.rig.config->socketio.ping_interval_ms);
    engine_rig_wait(&r.engine, r.engine.c.rig.config->socketio.ping_timeout_ms);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[\"ping timeout\"]");
    engine_rig_begin(&r.engine, true);
    const struct rc_operation away = {.type = RC_OPERATION_DISCONNECT, .close_code = 1000, .reason = RC_SPAN("")};
    (void)rc_client_carry_out(&r.engine.c.clients, r.engine.session, RC_AUTHOR_BACKEND, &away);
    engine_rig_wait(&r.engine, 1000);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[\"server namespace disconnect\"]");
}

/* An acknowledgement that finds no memory ends the client in the middle of its row. */
Test(rules, a_row_ends_with_its_client)
{
    rule_rig_begin(&r, "[[event]]\non = \"say\"\nack = [\"{args}\"]\nemit = [{to = \"*\"}]\n", true);
    const uint64_t budget = r.engine.c.rig.config->limits.worker_log_bytes;
    r.engine.c.rig.config->limits.worker_log_bytes = r.engine.c.clients.exchanges.bytes + 1024;
    r.engine.c.rig.hub.output_bytes += 4096;
    rule_rig_posts(&r, "421[\"say\",1]");
    r.engine.c.rig.hub.output_bytes -= 4096;
    r.engine.c.rig.config->limits.worker_log_bytes = budget;
    cr_assert(!engine_rig_lives(&r.engine, r.engine.session));
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "", "it was carried out for nobody");
    rule_rig_counted(&r, 0, 0, 1);
}

/* The client's end is what it wants. */
Test(rules, a_row_that_closes_was_done)
{
    rule_rig_begin(&r, "[[event]]\non = \"bye\"\nemit = [{to = \"*\"}]\nclose = true\n", true);
    rule_rig_posts(&r, "42[\"bye\"]");
    engine_rig_wait(&r.engine, 1000);
    cr_assert(!engine_rig_lives(&r.engine, r.engine.session));
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[]");
    rule_rig_counted(&r, 0, 1, 0);
}

/* What fits no ring is found when it is sent, behind all guards. */
Test(rules, an_event_that_is_refused_behind_its_guards_was_not_done)
{
    static char packet[CLIENT_RIG_RING_BYTES + 64];
    rule_rig_begin(&r, "[[event]]\non = \"say\"\nemit = [{to = \"*\"}]\n", true);
    (void)snprintf(packet, sizeof(packet), "42[\"say\",\"%0*u\"]", (int)CLIENT_RIG_RING_BYTES, 0u);
    rule_rig_posts(&r, packet);
    cr_assert_eq(rule_rig_answer(&r), 200);
    rule_rig_counted(&r, 0, 0, 1);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "");
}

static char answered[256];

static void answer_take(void *context, struct rc_span values)
{
    (void)context;
    cr_assert_lt(values.count, sizeof(answered));
    memcpy(answered, values.bytes, values.count);
    answered[values.count] = '\0';
}

static void server_says(const char *event, const char *args, bool ack)
{
    const struct rc_rules_answer answer = {.put = answer_take};
    answered[0] = '\0';
    rc_rules_server_event(&r.engine.engines, RC_SPAN("/"), rc_span_text(event), rc_span_text(args),
                          ack ? &answer : NULL);
}

#define FROM_SERVER                                                       \
    "[[event]]\non = \"tell\"\nfrom = \"server\"\nack = [\"{args.1}\"]\n" \
    "emit = [{to = \"{args.0}\", args = [\"{args.1}\"]}, {to = \"*\"}]\n"

Test(rules, a_servers_event_is_carried_out_for_no_client)
{
    rule_rig_begin(&r, FROM_SERVER, true);
    server_says("tell", "[\"a\",{\"x\":1}]", true);
    cr_assert_str_eq(answered, "[{\"x\":1}]");
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[{\"x\":1}]");
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[\"a\",{\"x\":1}]");
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "");
    server_says("tell", "[\"a\",2]", false);
    cr_assert_str_eq(answered, "", "nobody asked");
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[2]");
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[\"a\",2]");
}

Test(rules, a_servers_event_that_cannot_be_worked_out_does_nothing)
{
    rule_rig_begin(&r, FROM_SERVER, true);
    server_says("tell", "[[],1]", true);
    server_says("tell", "", true);
    server_says("tell", "{", true);
    cr_assert_str_eq(answered, "");
    server_says("join", "[\"a\"]", true); /* no row */
    cr_assert_str_eq(answered, "");
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "");
}

static uint64_t failed_deliveries(void)
{
    return rc_metric_get(r.engine.c.rig.metrics, RC_METRIC_FAILED_DELIVERIES);
}

Test(rules, a_servers_event_that_finds_no_room_is_counted_once)
{
    rule_rig_begin(&r, FROM_SERVER, true);
    (void)client_rig_fill(&r.engine.c, 1);
    server_says("tell", "[\"a\",1]", true);
    rule_rig_counted(&r, 0, 0, 1);
    cr_assert_eq(failed_deliveries(), 1);
}

/* What waits for room is not lost yet. */
Test(rules, what_is_tried_again_has_not_failed)
{
    rule_rig_begin(&r, FROM_SERVER, true);
    (void)client_rig_fill(&r.engine.c, 1);
    struct rc_operation operation;
    rc_operation_reset(&operation);
    operation.type = RC_OPERATION_PUBLISH;
    operation.channel = RC_SPAN("a");
    operation.data = RC_SPAN("1");
    cr_assert_eq(rc_engine_post(&r.engine.engines, RC_SPAN("/"), &operation), RC_CARRIED_LATER);
    cr_assert_eq(failed_deliveries(), 0);
}
