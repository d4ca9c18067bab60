/* [[event]] rows carried out: what they wait for, what a reload changes in between, what they know of the client. */
#include <criterion/criterion.h>

#include <string.h>

#include "common/base/check.h"
#include "common/records/args.h"
#include "tests/support/engine_rig.h"
#include "worker/engine/rules.h"

static struct engine_rig r;
static struct engine_rig_wire *get;
static struct engine_rig_wire *post;

static void open_all(void)
{
    engine_rig_open(&r);
}

static void close_all(void)
{
    engine_rig_close(&r);
}

TestSuite(rules, .init = open_all, .fini = close_all, .timeout = 20);

static void begin(const char *rows)
{
    engine_rig_rows(&r, rows);
    engine_rig_begin(&r, true);
    get = engine_rig_wire(&r);
    post = engine_rig_wire(&r);
}

static void expect(struct engine_rig_wire *wire, int status, const char *body)
{
    cr_assert_eq(engine_rig_answer(&r, wire), status);
    cr_assert_str_eq(wire->text, body);
}

/* Arguments of the next record that went up with a message; NULL: none has. */
static const char *went_up(void)
{
    static char text[512];
    uint32_t type;
    struct rc_envelope_view view;
    while (client_rig_up(&r.c, &type, &view)) {
        struct rc_args_view args;
        if (type == RC_UP_PUBLISH && rc_args_read(rc_span_of(view.data, view.head.data_bytes), &args) == 0) {
            memcpy(text, args.json.bytes, args.json.count);
            text[args.json.count] = '\0';
            return text;
        }
    }
    return NULL;
}

#define JOINS "[[event]]\non = \"join\"\njoin = [\"{args.0}\"]\nemit = [{to = \"{args.0}\"}]\nack = [\"in\"]\n"

Test(rules, what_follows_a_join_waits_until_the_relay_knows)
{
    begin(JOINS);
    engine_rig_request(&r, post, r.sid, "421[\"join\",\"a\"]");
    cr_assert_eq(engine_rig_answer(&r, post), 0);
    cr_assert_null(went_up());
    engine_rig_settle(&r);
    expect(post, 200, "ok");
    cr_assert_str_eq(went_up(), "[\"a\"]");
    cr_assert_null(went_up(), "once");
    engine_rig_request(&r, get, r.sid, NULL);
    expect(get, 200, "431[\"in\"]");
}

Test(rules, the_client_ends_while_its_row_waits)
{
    begin(JOINS);
    engine_rig_request(&r, post, r.sid, "421[\"join\",\"a\"]");
    rc_client_end(&r.c.clients, r.session);
    cr_assert_eq(engine_rig_answer(&r, post), 400);
    engine_rig_settle(&r);
    cr_assert_null(went_up());
}

/* The steps that were done are those of a row that is not there any more. */
Test(rules, a_reload_in_between_ends_the_row_and_tells_so)
{
    begin(JOINS);
    engine_rig_request(&r, post, r.sid, "421[\"join\",\"a\"]");
    cr_assert_eq(engine_rig_answer(&r, post), 0);
    engine_rig_rows(
        &r, "[[event]]\non = \"join\"\nemit = [{to = \"*\", args = [\"other\"]}, {to = \"b\"}, {to = \"c\"}]\n");
    engine_rig_settle(&r);
    expect(post, 200, "ok");
    cr_assert_null(went_up());
    engine_rig_request(&r, get, r.sid, NULL);
    expect(get, 200, "431[{\"error\":{\"code\":503,\"message\":\"the server was reconfigured while this waited\"}}]");
}

Test(rules, a_reload_that_changes_no_row_changes_nothing)
{
    begin(JOINS);
    engine_rig_request(&r, post, r.sid, "421[\"join\",\"a\"]");
    cr_assert_eq(engine_rig_answer(&r, post), 0);
    engine_rig_rows(&r, JOINS);
    engine_rig_settle(&r);
    expect(post, 200, "ok");
    cr_assert_str_eq(went_up(), "[\"a\"]");
}

static void connect_with(const char *packet)
{
    engine_rig_begin(&r, false);
    get = engine_rig_wire(&r);
    post = engine_rig_wire(&r);
    engine_rig_request(&r, post, r.sid, packet);
    engine_rig_settle(&r);
    expect(post, 200, "ok");
}

Test(rules, what_a_client_said_when_it_connected_is_kept_where_a_row_asks_for_it)
{
    engine_rig_rows(
        &r,
        "[[event]]\non = \"who\"\nemit = [{to = \"*\", args = [\"{auth.name}\"]}]\n"
        "[[event]]\non = \"disconnect\"\nemit = [{event = \"gone\", to = \"*\", args = [\"{auth.name}\", \"{args.0}\"]}]\n");
    connect_with("40{\"name\":\"J\",\"x\":[1]}");
    cr_assert_neq(rc_engine_of(&r.engines, r.session)->auth, 0);
    engine_rig_request(&r, post, r.sid, "42[\"who\"]");
    expect(post, 200, "ok");
    cr_assert_str_eq(went_up(), "[\"J\"]");
    engine_rig_request(&r, post, r.sid, "41");
    expect(post, 200, "ok");
    cr_assert_str_eq(went_up(), "[\"J\",\"client namespace disconnect\"]");
    cr_assert_eq(rc_engine_of(&r.engines, r.session)->auth, 0, "it is kept for nobody");
}

Test(rules, nothing_is_kept_where_only_connect_asks_for_it)
{
    engine_rig_rows(
        &r, "[[event]]\non = \"connect\"\nemit = [{event = \"hello\", to = \"*\", args = [\"{auth.name}\"]}]\n");
    cr_assert(!rc_rules_use_auth(r.c.rig.config));
    connect_with("40{\"name\":\"J\"}");
    cr_assert_str_eq(went_up(), "[\"J\"]");
    cr_assert_eq(rc_engine_of(&r.engines, r.session)->auth, 0);
    cr_assert_eq(r.c.rig.hub.input_bytes, 0);
}

#define GONE "[[event]]\non = \"disconnect\"\nemit = [{event = \"gone\", to = \"*\"}]\n"

Test(rules, disconnect_rows_are_told_why)
{
    begin(GONE);
    engine_rig_request(&r, post, r.sid, "1");
    expect(post, 200, "ok");
    cr_assert_str_eq(went_up(), "[\"transport close\"]");
    engine_rig_begin(&r, true);
    engine_rig_request(&r, post, r.sid, "x");
    cr_assert_eq(engine_rig_answer(&r, post), 400);
    cr_assert_str_eq(went_up(), "[\"parse error\"]");
    engine_rig_begin(&r, true);
    engine_rig_request(&r, post, r.sid, "42{}");
    cr_assert_eq(engine_rig_answer(&r, post), 400);
    cr_assert_str_eq(went_up(), "[\"forced close\"]", "a packet of Engine.IO, but none of Socket.IO");
    engine_rig_begin(&r, true);
    engine_rig_wait(&r, r.c.rig.config->socketio.ping_interval_ms);
    engine_rig_wait(&r, r.c.rig.config->socketio.ping_timeout_ms);
    cr_assert_str_eq(went_up(), "[\"ping timeout\"]");
    engine_rig_begin(&r, true);
    const struct rc_operation away = {.type = RC_OPERATION_DISCONNECT, .close_code = 1000, .reason = RC_SPAN("")};
    (void)rc_client_carry_out(&r.c.clients, r.session, RC_AUTHOR_BACKEND, &away);
    engine_rig_wait(&r, 1000);
    cr_assert_str_eq(went_up(), "[\"server namespace disconnect\"]");
}

/* An acknowledgement that finds no memory ends the client in the middle of its row. */
Test(rules, a_row_ends_with_its_client)
{
    begin("[[event]]\non = \"say\"\nack = [\"{args}\"]\nemit = [{to = \"*\"}]\n");
    const uint64_t budget = r.c.rig.config->limits.worker_log_bytes;
    r.c.rig.config->limits.worker_log_bytes = r.c.clients.exchanges.bytes + 1024;
    r.c.rig.hub.output_bytes += 4096;
    engine_rig_request(&r, post, r.sid, "421[\"say\",1]");
    r.c.rig.hub.output_bytes -= 4096;
    r.c.rig.config->limits.worker_log_bytes = budget;
    cr_assert(!engine_rig_lives(&r, r.session));
    cr_assert_null(went_up(), "it was carried out for nobody");
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
    rc_rules_server_event(&r.engines, RC_SPAN("/"), rc_span_text(event), rc_span_text(args), ack ? &answer : NULL);
}

#define FROM_SERVER                                                       \
    "[[event]]\non = \"tell\"\nfrom = \"server\"\nack = [\"{args.1}\"]\n" \
    "emit = [{to = \"{args.0}\", args = [\"{args.1}\"]}, {to = \"*\"}]\n"

Test(rules, a_servers_event_is_carried_out_for_no_client)
{
    begin(FROM_SERVER);
    server_says("tell", "[\"a\",{\"x\":1}]", true);
    cr_assert_str_eq(answered, "[{\"x\":1}]");
    cr_assert_str_eq(went_up(), "[{\"x\":1}]");
    cr_assert_str_eq(went_up(), "[\"a\",{\"x\":1}]");
    cr_assert_null(went_up());
    server_says("tell", "[\"a\",2]", false);
    cr_assert_str_eq(answered, "", "nobody asked");
    cr_assert_str_eq(went_up(), "[2]");
    cr_assert_str_eq(went_up(), "[\"a\",2]");
}

Test(rules, a_servers_event_that_cannot_be_worked_out_does_nothing)
{
    begin(FROM_SERVER);
    server_says("tell", "[[],1]", true);
    server_says("tell", "", true);
    server_says("tell", "{", true);
    cr_assert_str_eq(answered, "");
    server_says("join", "[\"a\"]", true); /* no row */
    cr_assert_str_eq(answered, "");
    cr_assert_null(went_up());
}
