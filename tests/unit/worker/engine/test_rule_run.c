/* One [[event]] row carried out: what guards it, what it sets and closes, how a refusal is told. */
#include "worker/engine/rule_run.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/support/engine_rig.h"

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

TestSuite(rule_run, .init = open_all, .fini = close_all, .timeout = 20);

static void begin(const char *rows)
{
    engine_rig_rows(&r, rows);
    engine_rig_begin(&r, true);
    get = engine_rig_wire(&r);
    post = engine_rig_wire(&r);
}

static void says(const char *packet)
{
    engine_rig_request(&r, post, r.sid, packet);
    cr_assert_eq(engine_rig_answer(&r, post), 200, "%s", packet);
}

/* What the client is told next. */
static void expect(const char *packets)
{
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    cr_assert_str_eq(get->text, packets);
}

/* Arguments of the next message that went up; "": none has. */
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
    return "";
}

#define TELLS "emit = [{to = \"*\"}]\n"

Test(rule_run, the_first_row_that_matches_takes_the_event)
{
    begin("[[event]]\non = \"say\"\nmatch = { \"args.0.kind\" = \"a\" }\nack = [1]\n"
          "[[event]]\non = \"s*\"\nmatch = { \"args.0.kind\" = [\"a\", \"b\"] }\nack = [2]\n"
          "[[event]]\non = \"say\"\nack = [3]\n"
          "[[event]]\non = \"*\"\nack = [\"{event}\"]\n");
    says("421[\"say\",{\"kind\":\"a\"}]");
    expect("431[1]");
    says("421[\"say\",{\"kind\":\"b\"}]");
    expect("431[2]");
    says("421[\"sing\",{\"kind\":\"a\"}]");
    expect("431[2]");
    says("421[\"say\"]");
    expect("431[3]");
    says("421[\"else\"]");
    expect("431[\"else\"]");
}

Test(rule_run, who_keeps_the_anonymous_out_and_users_without_the_attribute)
{
    begin("[[event]]\non = \"a\"\nwho = \"user\"\n" TELLS "[[event]]\non = \"b\"\nwho = { tier = \"gold\" }\n" TELLS
          "[[event]]\non = \"c\"\nwho = { id = \"42\" }\n" TELLS);
    says("421[\"a\",1]");
    expect("431[{\"error\":{\"code\":401,\"message\":\"only users may do this, and you are anonymous\"}}]");
    says("42[\"b\",1]");
    expect("42[\"error\",{\"code\":401,\"message\":\"only users may do this, and you are anonymous\"}]");
    cr_assert_str_eq(went_up(), "");
    client_rig_user(&r.c, r.session, "42");
    says("42[\"a\",2]");
    cr_assert_str_eq(went_up(), "[2]");
    says("42[\"b\",3]");
    expect("42[\"error\",{\"code\":403,\"message\":\"you may not do this\"}]");
    says("42[\"c\",4]");
    cr_assert_str_eq(went_up(), "[4]");
}

#define ROOM "[[event]]\non = \"join\"\njoin = [\"r:{args.0}\"]\n"

Test(rule_run, inside_asks_for_the_room)
{
    begin(ROOM "[[event]]\non = \"say\"\ninside = \"r:{args.0}\"\n" TELLS);
    says("42[\"say\",\"a\"]");
    expect("42[\"error\",{\"code\":403,\"message\":\"you are not in this room\"}]");
    says("421[\"say\"]");
    expect("431[{\"error\":{\"code\":400,\"message\":\"args.0 is missing\"}}]");
    says("42[\"join\",\"a\"]");
    engine_rig_settle(&r);
    says("42[\"say\",\"a\"]");
    cr_assert_str_eq(went_up(), "[\"a\"]");
    says("42[\"say\",\"b\"]");
    expect("42[\"error\",{\"code\":403,\"message\":\"you are not in this room\"}]");
}

/* Who joins and says at once is in the room as soon as the relay knows. */
Test(rule_run, inside_waits_for_a_join_before_it)
{
    begin(ROOM "[[event]]\non = \"say\"\ninside = \"r:{args.0}\"\n" TELLS);
    says("42[\"join\",\"a\"]");
    engine_rig_request(&r, post, r.sid, "42[\"say\",\"a\"]");
    cr_assert_eq(engine_rig_answer(&r, post), 0, "it waits");
    engine_rig_settle(&r);
    cr_assert_eq(engine_rig_answer(&r, post), 200);
    cr_assert_str_eq(went_up(), "[\"a\"]");
}

Test(rule_run, a_refusal_is_told_as_the_row_says)
{
    begin(
        "[[event]]\non = \"a\"\nwho = \"user\"\ninside = \"x\"\n"
        "refuse = { code = \"NO\", who = \"Premium \\\"only\\\"\", event = \"oh\" }\n"
        "[[event]]\non = \"b\"\nwho = \"user\"\nrefuse = { code = 7, ack = [false, \"{error.code}: {error.message}\", \"{args.0}\"] }\n"
        "[[event]]\non = \"c\"\nwho = \"user\"\nrefuse = { ack = [\"{args.0.x.y} is text\"] }\n");
    says("42[\"a\"]");
    expect("42[\"oh\",{\"code\":\"NO\",\"message\":\"Premium \\\"only\\\"\"}]");
    says("421[\"a\"]");
    expect("431[{\"error\":{\"code\":\"NO\",\"message\":\"Premium \\\"only\\\"\"}}]");
    says("421[\"b\",{\"k\":[]}]");
    expect("431[false,\"7: only users may do this, and you are anonymous\",{\"k\":[]}]");
    says("421[\"c\"]");
    expect("431[{\"error\":{\"code\":401,\"message\":\"only users may do this, and you are anonymous\"}}]");
    client_rig_user(&r.c, r.session, "42");
    says("42[\"a\"]");
    expect("42[\"oh\",{\"code\":\"NO\",\"message\":\"you are not in this room\"}]");
}

Test(rule_run, what_is_set_is_there_from_then_on)
{
    begin(
        "[[event]]\non = \"name\"\nset = { name = \"{args.0}\", was = \"{client.name}\" }\nack = [\"{client.name}\", \"{client.was}\"]\n"
        "[[event]]\non = \"say\"\nack = [\"{client.name}: {args.0}\"]\n");
    says("421[\"say\",\"x\"]");
    expect("431[{\"error\":{\"code\":400,\"message\":\"client.name is missing\"}}]");
    says("421[\"name\",\"J\\u00f6\"]");
    expect("431[\"J\\u00f6\",null]");
    says("421[\"say\",\"x\"]");
    expect("431[\"J\\u00f6: x\"]");
    says("421[\"name\",[1]]");
    expect("431[[1],\"J\\u00f6\"]");
}

Test(rule_run, what_cannot_be_kept_does_nothing_at_all)
{
    static char packet[1200];
    begin("[[event]]\non = \"name\"\nset = { name = \"{args.0}\" }\njoin = [\"r\"]\n" TELLS
          "[[event]]\non = \"get\"\nack = [\"{client.name}\"]\n");
    memcpy(packet, "42[\"name\",\"", 11);
    memset(packet + 11, 'x', 1100);
    memcpy(packet + 1111, "\"]", 3);
    says(packet);
    expect("42[\"error\",{\"code\":413,\"message\":\"more than is kept of a connection\"}]");
    cr_assert_str_eq(went_up(), "");
    says("421[\"get\"]");
    expect("431[null]");
}

/* Leave sees what was set before, join what is set now: moving from room to room. */
Test(rule_run, leave_comes_before_set_and_join_behind_it)
{
    begin(
        "[[event]]\non = \"move\"\nleave = [\"r:{client.room}\"]\nset = { room = \"{args.0}\" }\njoin = [\"r:{client.room}\"]\n"
        "ack = [\"{client.room}\"]\n"
        "[[event]]\non = \"start\"\nset = { room = \"none\" }\n");
    says("42[\"start\"]");
    for (int i = 0; i < 2; i++) {
        const char *const packet = i == 0 ? "421[\"move\",\"a\"]" : "421[\"move\",\"b\"]";
        engine_rig_request(&r, post, r.sid, packet);
        engine_rig_settle(&r);
        cr_assert_eq(engine_rig_answer(&r, post), 200);
        expect(i == 0 ? "431[\"a\"]" : "431[\"b\"]");
    }
    struct rc_hub *hub = &r.c.rig.hub;
    const uint32_t channel = rc_hub_find(hub, rc_channel_hash("r:b", 3), RC_SPAN("r:b"));
    cr_assert_neq(channel, 0);
    cr_assert_neq(rc_hub_subscription(hub, r.session, channel), 0);
    cr_assert_eq(rc_hub_find(hub, rc_channel_hash("r:a", 3), RC_SPAN("r:a")), 0);
}

Test(rule_run, a_row_may_close_the_connection_once_all_else_is_done)
{
    begin("[[event]]\non = \"bye\"\nack = [\"{args.0}\"]\nclose = \"enough\"\n");
    engine_rig_request(&r, post, r.sid, "421[\"bye\",1]");
    (void)engine_rig_answer(&r, post);
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    cr_assert_str_eq(get->text, "431[1]\x1e"
                                "41");
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    cr_assert_str_eq(get->text, "1");
}

/* The rows of a life cycle are passed over when their guards do not hold; the others run. */
Test(rule_run, guards_of_a_life_cycle_pass_over)
{
    engine_rig_rows(&r, "[[event]]\non = \"connect\"\nwho = \"user\"\nemit = [{event = \"user\"}]\n"
                        "[[event]]\non = \"connect\"\nmatch = { \"auth.v\" = 2 }\nemit = [{event = \"second\"}]\n"
                        "[[event]]\non = \"connect\"\nemit = [{event = \"all\"}]\n");
    engine_rig_begin(&r, false);
    get = engine_rig_wire(&r);
    post = engine_rig_wire(&r);
    engine_rig_request(&r, post, r.sid, "40{\"v\":2}");
    engine_rig_settle(&r);
    cr_assert_eq(engine_rig_answer(&r, post), 200);
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    cr_assert_not_null(strstr(get->text, "42[\"second\"]\x1e"
                                         "42[\"all\"]"),
                       "%s", get->text);
    cr_assert_null(strstr(get->text, "user"));
}

/* What monitoring calls emitted: an event to who sent one is a message as any other; an acknowledgement is an answer. */
Test(rule_run, events_to_who_sent_one_are_deliveries)
{
    begin("[[event]]\non = \"a\"\nemit = [{}, { event = \"b\", args = [] }]\n[[event]]\non = \"ack\"\nack = [1]\n");
    const uint64_t before = rc_metric_get(r.c.rig.metrics, RC_METRIC_DELIVERIES);
    says("42[\"a\",1]");
    cr_assert_eq(rc_metric_get(r.c.rig.metrics, RC_METRIC_DELIVERIES) - before, 2);
    says("421[\"ack\"]");
    cr_assert_eq(rc_metric_get(r.c.rig.metrics, RC_METRIC_DELIVERIES) - before, 2);
}
