/* What a client may do by a row, by who it is and what it names, and how a refusal is told. */
#include "worker/gate/rule_policy.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "acceptor/config/toml.h"
#include "common/config/config.h"
#include "worker/gate/rule_values.h"
#include "worker/proto/operation.h"

static struct rc_config config;
static struct rc_config_errors errors;
static struct rc_rule_values values;

/* A whole configuration, resolved; its first row is looked at. */
static const struct rc_config_event *begin(const char *text, const char *arguments, const char *user)
{
    struct rc_err err;
    rc_config_defaults(&config);
    errors.count = 0;
    cr_assert_eq(rc_config_load_text(&config, text, strlen(text), "x", &errors), 0, "%s", errors.lines[0].text);
    cr_assert_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
    struct rc_rule_input input = {.args = rc_span_text(arguments), .nsp = RC_SPAN("/"), .event = RC_SPAN("say")};
    input.documents[rc_rule_document(RC_EVENT_SOURCE_USER)] = rc_span_text(user);
    rc_rule_values_begin(&values, &config, &input);
    return &config.events[0];
}

static int who(const char *wanted, const char *user)
{
    char text[512];
    (void)snprintf(text, sizeof(text), "[[event]]\non = \"say\"\nwho = %s\n", wanted);
    return rc_rule_who(&values, &begin(text, "[]", user)->guards);
}

Test(rule_policy, who_is_about_users_and_their_attributes)
{
    cr_expect_eq(who("\"anyone\"", NULL), 0);
    cr_expect_eq(who("\"user\"", "{\"id\":\"1\"}"), 0);
    cr_expect_eq(who("\"user\"", NULL), RC_CODE_UNAUTHORIZED);
    cr_expect_str_eq(values.err.text, "only users may do this, and you are anonymous");
    cr_expect_eq(who("{ tier = [\"gold\", \"team\"] }", "{\"id\":\"1\",\"tier\":\"team\"}"), 0);
    cr_expect_eq(who("{ tier = [\"gold\", \"team\"] }", "{\"id\":\"1\",\"tier\":\"free\"}"), RC_CODE_FORBIDDEN);
    cr_expect_eq(who("{ tier = \"gold\", admin = true }", "{\"id\":\"1\",\"tier\":\"gold\"}"), RC_CODE_FORBIDDEN);
    cr_expect_eq(who("{ admin = true }", NULL), RC_CODE_UNAUTHORIZED);
}

Test(rule_policy, a_schema_is_about_the_arguments)
{
    enum rc_json_schema_result result;
    const char *text = "[schemas]\nnumber = '{\"type\":\"number\"}'\n[[event]]\non = \"say\"\nschema = \"number\"\n";
    cr_expect_eq(rc_rule_schema(&values, begin(text, "[1]", NULL), &result), 0);
    cr_expect_eq(rc_rule_schema(&values, begin(text, "[\"1\"]", NULL), &result), RC_CODE_BAD_REQUEST);
    cr_expect_eq(result, RC_JSON_SCHEMA_INVALID);
    cr_expect_str_eq(values.err.text, "args.0: must be number");
    cr_expect_eq(rc_rule_schema(&values, begin("[[event]]\non = \"say\"\n", "[\"1\"]", NULL), &result), 0, "none");
}

static int permits(const char *policy, const char *room, const char *user, enum rc_event_operation_type type,
                   bool member)
{
    char text[1024];
    (void)snprintf(text, sizeof(text), "[[namespace]]\nname = \"room\"\n%s\n", policy);
    (void)begin(text, "[]", NULL);
    const struct rc_rule_room_asked asked = {
        .room = rc_span_text(room), .channel = rc_span_text(room), .user = rc_span_text(user), .member = member};
    return rc_rule_permits(&values, &asked, type);
}

Test(rule_policy, a_room_that_the_client_names_is_its_namespace_s)
{
    cr_expect_eq(permits("subscribe = \"anyone\"", "room:1", NULL, RC_RULE_JOIN, false), 0);
    cr_expect_eq(permits("subscribe = \"user\"", "room:1", NULL, RC_RULE_JOIN, false), 401);
    cr_expect_eq(permits("subscribe = \"user\"", "room:1", "7", RC_RULE_JOIN, false), 0);
    cr_expect_eq(permits("subscribe = \"owner\"", "room:7", "7", RC_RULE_JOIN, false), 0);
    cr_expect_eq(permits("subscribe = \"owner\"", "room:8", "7", RC_RULE_JOIN, false), RC_CODE_FORBIDDEN);
    cr_expect_eq(permits("subscribe = \"rules\"", "room:1", "7", RC_RULE_JOIN, true), RC_CODE_FORBIDDEN);
    cr_expect_str_eq(values.err.text, "you may not use this room");
    cr_expect_eq(permits("subscribe = \"none\"", "room:1", "7", RC_RULE_LEAVE, true), 0, "who is in it may leave");
    cr_expect_eq(permits("publish = \"member\"", "room:1", NULL, RC_RULE_EMIT, false), RC_CODE_FORBIDDEN);
    cr_expect_eq(permits("publish = \"member\"", "room:1", NULL, RC_RULE_EMIT, true), 0);
    cr_expect(rc_rule_asks_member(&config, RC_SPAN("room:1"), RC_RULE_EMIT));
}

/* It is asked about what native clients want there: a row that does not ask it leads round it. */
Test(rule_policy, where_a_backend_decides_no_room_is_the_clients_to_name)
{
#define DECIDES(calls)                                                                                                          \
    "subscribe = \"anyone\"\npublish = \"anyone\"\n[[backend]]\nname = \"app\"\nurl = [\"http://127.0.0.1/\"]\ncalls = [" calls \
    "]"
    cr_expect_eq(permits(DECIDES("\"subscribe\""), "room:1", "7", RC_RULE_JOIN, true), RC_CODE_FORBIDDEN);
    cr_expect_str_eq(values.err.text, "a backend decides who may, and this row does not ask it");
    cr_expect_eq(permits(DECIDES("\"subscribe\""), "room:1", "7", RC_RULE_LEAVE, true), 0);
    cr_expect_eq(permits(DECIDES("\"subscribe\""), "room:1", "7", RC_RULE_EMIT, false), 0);
    struct rc_rule_room_asked asked = {.room = RC_SPAN("room:1")};
    cr_expect_eq(rc_rule_sees_who(&config, asked.room, RC_QUESTION_RETAINED), RC_WHO_MEMBER);
    cr_expect_eq(rc_rule_sees(&values, &asked, RC_QUESTION_RETAINED), RC_CODE_FORBIDDEN);
    cr_expect_eq(rc_rule_sees(&values, &asked, RC_QUESTION_COUNT), RC_CODE_FORBIDDEN);
    asked.member = true;
    cr_expect_eq(rc_rule_sees(&values, &asked, RC_QUESTION_RETAINED), 0);
    for (const enum rc_event_operation_type *said =
             (enum rc_event_operation_type[]){RC_RULE_EMIT, RC_RULE_RETAIN, RC_RULE_LEAVE};
         *said != RC_RULE_LEAVE; said++) {
        cr_expect_eq(permits(DECIDES("\"publish\""), "room:1", "7", *said, true), RC_CODE_FORBIDDEN);
    }
    cr_expect_eq(permits(DECIDES("\"publish\""), "room:1", "7", RC_RULE_JOIN, false), 0);
    cr_expect_eq(permits(DECIDES("\"connect\", \"disconnect\""), "room:1", "7", RC_RULE_JOIN, false), 0);
}

static int permits_socket(const char *direct, enum rc_event_operation_type type)
{
    char text[128];
    (void)snprintf(text, sizeof(text), "[permissions]\ndirect = \"%s\"\n", direct);
    (void)begin(text, "[]", NULL);
    const struct rc_rule_room_asked asked = {
        .room = RC_SPAN("abcdefghijklmnopqrst"), .channel = RC_SPAN("abcdefghijklmnopqrst"), .socket = true};
    return rc_rule_permits(&values, &asked, type);
}

Test(rule_policy, a_socket_s_own_room_is_for_direct_messages)
{
    cr_expect_eq(permits_socket("anyone", RC_RULE_EMIT), 0);
    cr_expect_eq(permits_socket("anyone", RC_RULE_RETAIN), RC_CODE_FORBIDDEN);
    cr_expect_eq(permits_socket("anyone", RC_RULE_JOIN), RC_CODE_FORBIDDEN);
    cr_expect_str_eq(values.err.text, "a socket's own room");
    cr_expect_eq(permits_socket("none", RC_RULE_EMIT), RC_CODE_FORBIDDEN);
    cr_expect_str_eq(values.err.text, "you may not send direct messages");
}

Test(rule_policy, who_is_in_a_room_is_seen_as_its_namespace_says)
{
    struct rc_rule_room_asked asked = {.room = RC_SPAN("room:1")};
    (void)begin("[[namespace]]\nname = \"room\"\npresence_who = \"member\"\n", "[]", NULL);
    cr_expect_eq(rc_rule_sees_who(&config, asked.room, RC_QUESTION_MEMBERS), RC_WHO_MEMBER);
    cr_expect_eq(rc_rule_sees(&values, &asked, RC_QUESTION_MEMBERS), RC_CODE_FORBIDDEN);
    cr_expect_str_eq(values.err.text, "you may not see who is in this room");
    asked.member = true;
    cr_expect_eq(rc_rule_sees(&values, &asked, RC_QUESTION_MEMBERS), 0);
    asked.member = false; /* its value who may subscribe */
    cr_expect_eq(rc_rule_sees(&values, &asked, RC_QUESTION_RETAINED), 0);
    asked.socket = true;
    cr_expect_eq(rc_rule_sees(&values, &asked, RC_QUESTION_RETAINED), RC_CODE_FORBIDDEN);
    cr_expect_str_eq(values.err.text, "a socket's own room");
}

Test(rule_policy, rooms_have_channels_and_connections_a_bounded_memory)
{
    char channel[RC_CHANNEL_NAME_MAX];
    uint8_t set[RC_RULE_SET_MAX];
    struct rc_span found;
    size_t bytes;
    char room[RC_CHANNEL_NAME_MAX];
    memset(room, 'x', sizeof(room));
    (void)begin("", "[]", NULL);
    values.input.nsp = RC_SPAN("/admin");
    cr_expect_eq(rc_rule_room_channel(&values, RC_SPAN("r"), channel, &found), 0);
    cr_expect(rc_span_equal(found, RC_SPAN("/admin#r")));
    cr_expect_eq(rc_rule_room_channel(&values, rc_span_of(room, sizeof(room)), channel, &found), RC_CODE_BAD_REQUEST);
    values.input.documents[rc_rule_document(RC_EVENT_SOURCE_CLIENT)] = RC_SPAN("{\"a\":1}");
    cr_expect_eq(rc_rule_set(&values, RC_SPAN("{\"b\":2}"), set, &bytes), 0);
    cr_expect(rc_span_equal(rc_span_of(set, bytes), RC_SPAN("{\"a\":1,\"b\":2}")));
    char large[RC_RULE_SET_MAX + 16];
    (void)snprintf(large, sizeof(large), "{\"b\":\"%1020d\"}", 1);
    cr_expect_eq(rc_rule_set(&values, rc_span_text(large), set, &bytes), RC_CODE_TOO_LARGE);
    cr_expect_str_eq(values.err.text, "more than is kept of a connection");
    cr_expect_eq(rc_rule_outside(&values), RC_CODE_FORBIDDEN);
}

Test(rule_policy, a_refusal_is_told_as_the_row_says)
{
    char error[RC_RULE_ERROR_MAX];
    uint8_t name[RC_EVENT_NAME_MAX];
    const struct rc_event_guards *guards =
        &begin("[[event]]\non = \"say\"\nwho = \"user\"\ninside = \"x\"\n"
               "refuse = { code = \"NO\", who = \"\\\"Premium\\\" only\", event = \"o\\\"h\" }\n",
               "[]", NULL)
             ->guards;
    cr_expect(rc_span_equal(rc_rule_error(&config, guards, RC_GUARD_WHO, 401, "why", error),
                            RC_SPAN("{\"code\":\"NO\",\"message\":\"\\\"Premium\\\" only\"}")));
    cr_expect(rc_span_equal(rc_rule_error(&config, guards, RC_GUARD_INSIDE, 403, "no \"x\"", error),
                            RC_SPAN("{\"code\":\"NO\",\"message\":\"no \\\"x\\\"\"}")));
    cr_expect(rc_span_equal(rc_rule_error(&config, NULL, RC_GUARDS, 404, "none", error),
                            RC_SPAN("{\"code\":404,\"message\":\"none\"}")));
    cr_expect(rc_span_equal(rc_rule_error_event(&config, guards, name), RC_SPAN("o\"h")));
    cr_expect(rc_span_equal(rc_rule_error_event(&config, NULL, name), RC_SPAN("error")));
}
