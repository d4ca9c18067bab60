/* What `ringcast check --explain-event` says of an event, for people and as JSON. */
#include "acceptor/console/explain.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdlib.h>
#include <string.h>

#include "acceptor/config/toml.h"
#include "common/config/config.h"
#include "common/text/json_scan.h"
#include "worker/gate/rule_values.h"

static struct rc_config config;
static struct rc_explain asked;
static char *said;

static const char rows[] =
    "[socketio]\n"
    "unknown_event = \"error\"\n"
    "[[namespace]]\n"
    "name = \"talk\"\n"
    "subscribe = \"user\"\n"
    "publish = \"member\"\n"
    "presence_who = \"none\"\n"
    "[[event]]\n" /* line 8 */
    "on = \"subscribe:watchlist\"\n"
    "rate = \"100/1m\"\n"
    "rate_bytes = \"1MiB/1m\"\n"
    "rate_group = \"subscribe\"\n"
    "who = { tier = [\"premium\", \"enterprise\"] }\n"
    "schema = \"symbol\"\n"
    "join = [\"watchlist:{args.0.symbol}\"]\n"
    "emit = [{ event = \"subscribed\", args = [{ ok = true, symbol = \"{args.0.symbol}\" }] }]\n"
    "refuse = { code = \"SUBSCRIPTION_ERROR\", who = \"Premium required\" }\n"
    "[[event]]\n" /* line 18 */
    "on = \"say\"\n"
    "match = { \"args.0\" = 1 }\n"
    "ack = [\"one\"]\n"
    "[[event]]\n" /* line 22 */
    "on = \"say\"\n"
    "inside = \"lobby\"\n"
    "set = { last = \"{args.0}\" }\n"
    "leave = [\"old:{client.room}\"]\n"
    "ack = [\"{client.last}\"]\n"
    "emit = [{ to = [\"lobby\", \"hall\"], others = true, volatile = true, when = \"company:lobby\", except = \"mute\" }, { to = \"*\" }]\n"
    "close = \"enough\"\n"
    "[[event]]\n" /* line 30 */
    "on = \"talk\"\n"
    "join = [\"{args.0}\"]\n"
    "emit = [{ to = \"{args.0}\", args = [\"{args.1}\"] }]\n"
    "[[event]]\n" /* line 34 */
    "on = \"look\"\n"
    "ack = [\"{count:{args.0}}\"]\n"
    "[[event]]\n" /* line 37 */
    "on = \"disconnect\"\n"
    "each = \"doc-{id}\"\n"
    "emit = [{ to = \"{room}\", event = \"left\", args = [\"{room.id}\", \"{user.id}\"] }]\n"
    "[[event]]\n" /* line 41 */
    "on = \"disconnect\"\n"
    "who = \"user\"\n"
    "emit = [{ to = \"*\", event = \"gone\", args = [] }]\n"
    "[[event]]\n" /* line 45 */
    "on = \"tick\"\n"
    "from = \"server\"\n"
    "emit = [{ to = \"{args.0}\" }]\n"
    "[[event]]\n" /* line 49 */
    "on = \"quit\"\n"
    "leave = [\"{args.0}\"]\n"
    "emit = [{ to = \"{args.0}\" }]\n"
    "[schemas]\n"
    "symbol = '{\"type\":\"object\",\"required\":[\"symbol\"]}'\n";

static void open_all(void)
{
    struct rc_config_errors errors = {0};
    struct rc_err err;
    rc_config_defaults(&config);
    cr_assert_eq(rc_config_load_text(&config, rows, sizeof(rows) - 1, "x.toml", &errors), 0, "%s",
                 errors.lines[0].text);
    cr_assert_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
    asked = (struct rc_explain){.event = "subscribe:watchlist"};
}

static void close_all(void)
{
    free(said);
    said = NULL;
}

TestSuite(explain, .init = open_all, .fini = close_all);

static enum rc_explained explain(void)
{
    size_t bytes;
    free(said);
    FILE *out = open_memstream(&said, &bytes);
    const enum rc_explained explained = rc_explain_run(&asked, "x.toml", &config, out);
    (void)fclose(out);
    struct rc_json_value value;
    if (asked.json && explained != RC_EXPLAINED_WRONG) {
        cr_assert_eq(rc_json_scan(rc_span_of(said, bytes - 1), RC_JSON_CHECK_UTF8, &value, NULL), 0, "%s", said);
    }
    return explained;
}

static void expect(enum rc_explained wanted, const char *text)
{
    const enum rc_explained explained = explain();
    cr_expect_eq(explained, wanted, "%s", said);
    cr_expect_str_eq(said, text);
}

#define TAKES "x.toml:8: [[event]] on = \"subscribe:watchlist\": takes it\n"

Test(explain, a_row_that_is_carried_out)
{
    asked.as = "user:42 {\"tier\":\"premium\"}";
    asked.args = "[{\"symbol\":\"AAPL\"}]";
    expect(RC_EXPLAINED_DONE, "\"subscribe:watchlist\" in \"/\", said by {\"id\":\"42\",\"tier\":\"premium\"}\n" TAKES
                              "  rate      100/1m, 1MiB/1m of the group subscribe: counted when it is said\n"
                              "  who       { tier = [\"premium\", \"enterprise\"] }: holds\n"
                              "  schema    symbol: holds\n"
                              "  join      watchlist:AAPL\n"
                              "  emit      \"subscribed\" [{\"ok\":true,\"symbol\":\"AAPL\"}] to who said it\n"
                              "done\n");
    asked.json = true;
    expect(
        RC_EXPLAINED_DONE,
        "{\"event\":\"subscribe:watchlist\",\"nsp\":\"/\",\"user\":{\"id\":\"42\",\"tier\":\"premium\"},\"rows\":["
        "{\"file\":\"x.toml\",\"line\":8,\"on\":\"subscribe:watchlist\",\"result\":\"takes it\",\"guards\":["
        "{\"guard\":\"rate\",\"is\":\"100/1m, 1MiB/1m of the group subscribe\",\"result\":\"counted when it is said\"},"
        "{\"guard\":\"who\",\"is\":\"{ tier = [\\\"premium\\\", \\\"enterprise\\\"] }\",\"result\":\"holds\"},"
        "{\"guard\":\"schema\",\"is\":\"symbol\",\"result\":\"holds\"}],\"does\":["
        "{\"join\":\"watchlist:AAPL\"},"
        "{\"emit\":\"subscribed\",\"args\":[{\"ok\":true,\"symbol\":\"AAPL\"}],\"to\":\"{sid}\",\"others\":false,\"volatile\":false}"
        "]}],\"outcome\":\"done\"}\n");
}

Test(explain, a_guard_that_refuses)
{
    asked.as = "user:42 {\"tier\":\"free\"}";
    expect(
        RC_EXPLAINED_REFUSED,
        "\"subscribe:watchlist\" in \"/\", said by {\"id\":\"42\",\"tier\":\"free\"}\n" TAKES
        "  rate      100/1m, 1MiB/1m of the group subscribe: counted when it is said\n"
        "  who       { tier = [\"premium\", \"enterprise\"] }: refused\n"
        "  schema    symbol: not looked at\n"
        "  told      event \"error\" [{\"code\":\"SUBSCRIPTION_ERROR\",\"message\":\"Premium required\"}], or the acknowledgement "
        "[{\"error\":{\"code\":\"SUBSCRIPTION_ERROR\",\"message\":\"Premium required\"}}]\n"
        "refused: you may not do this\n");
    asked.as = "user:42 {\"tier\":\"premium\"}";
    asked.args = "[{}]";
    asked.json = true;
    cr_expect_eq(explain(), RC_EXPLAINED_REFUSED);
    cr_expect_not_null(strstr(said, "\"guard\":\"schema\",\"is\":\"symbol\",\"result\":\"refused\""), "%s", said);
    cr_expect_not_null(
        strstr(said, "\"told\":{\"event\":\"error\",\"args\":[{\"code\":\"SUBSCRIPTION_ERROR\",\"message\":\"args.0"),
        "%s", said);
    cr_expect_not_null(strstr(said, "\"outcome\":\"refused\""), "%s", said);
    cr_expect_null(strstr(said, "\"join\""), "nothing of it is done: %s", said);
}

Test(explain, rows_before_it_and_everything_that_a_row_can_do)
{
    asked = (struct rc_explain){.event = "say", .args = "[{\"b\":1.50}]", .rooms = {"lobby"}, .room_count = 1};
    asked.documents[RC_EVENT_SOURCE_CLIENT - RC_EVENT_SOURCE_AUTH] = "{\"room\":\"r1\"}";
    expect(
        RC_EXPLAINED_DONE,
        "\"say\" in \"/\", said by somebody anonymous\n"
        "x.toml:18: [[event]] on = \"say\": passed over, as `match` does not hold\n"
        "x.toml:22: [[event]] on = \"say\": takes it\n"
        "  inside    \"lobby\": holds\n"
        "  leave     old:r1\n"
        "  set       {\"last\":{\"b\":1.50}}\n"
        "  ack       [{\"b\":1.50}]\n"
        "  emit      \"say\" [{\"b\":1.50}] to \"lobby\", \"hall\", but not to who said it, volatile, except who is in \"mute\", when company:lobby\n"
        "  emit      \"say\" [{\"b\":1.50}] to everybody\n"
        "  close     enough\n"
        "done\n");
    asked.json = true;
    cr_expect_eq(explain(), RC_EXPLAINED_DONE);
    cr_expect_not_null(
        strstr(
            said,
            "\"to\":[\"lobby\",\"hall\"],\"except\":[\"mute\"],\"others\":true,\"volatile\":true,\"when\":\"company:lobby\"}"),
        "%s", said);
    asked.room_count = 0;
    cr_expect_eq(explain(), RC_EXPLAINED_REFUSED, "it is not in the room");
    asked.room_count = 1;
    asked.documents[RC_EVENT_SOURCE_CLIENT - RC_EVENT_SOURCE_AUTH] = NULL;
    cr_expect_eq(explain(), RC_EXPLAINED_REFUSED);
    cr_expect_not_null(strstr(said, "client.room is missing"), "%s", said);
    asked.args = "[1.0]";
    cr_expect_eq(explain(), RC_EXPLAINED_DONE);
    cr_expect_not_null(strstr(said, "{\"ack\":[\"one\"]}"), "%s", said);
}

Test(explain, rooms_that_the_client_names)
{
    asked = (struct rc_explain){.event = "talk", .args = "[\"talk:1\",\"hi\"]", .as = "user:7"};
    cr_expect_eq(explain(), RC_EXPLAINED_DONE, "%s", said);
    asked.as = "anonymous";
    cr_expect_eq(explain(), RC_EXPLAINED_REFUSED);
    cr_expect_not_null(strstr(said, "\"code\":401,\"message\":\"you may not use this room\""), "%s", said);
    asked.as = "user:7";
    asked.args = "[\"watchlist:AAPL\",\"hi\"]";
    cr_expect_eq(explain(), RC_EXPLAINED_REFUSED, "no way round the row: %s", said);
    asked.args = "[\"user:8\",\"hi\"]";
    cr_expect_eq(explain(), RC_EXPLAINED_REFUSED);
    asked = (struct rc_explain){.event = "look", .args = "[\"talk:1\"]"};
    cr_expect_eq(explain(), RC_EXPLAINED_REFUSED);
    cr_expect_not_null(strstr(said, "you may not see who is in this room"), "%s", said);
    asked.args = "[\"open\"]";
    cr_expect_eq(explain(), RC_EXPLAINED_DONE);
    cr_expect_not_null(strstr(said, "ack       [0]"), "%s", said);
}

Test(explain, the_end_of_a_client_room_by_room)
{
    asked = (struct rc_explain){.event = "disconnect", .rooms = {"doc-1", "other", "doc-2"}, .room_count = 3};
    expect(RC_EXPLAINED_DONE, "\"disconnect\" in \"/\", said by somebody anonymous\n"
                              "x.toml:37: [[event]] on = \"disconnect\", for the room \"doc-1\": takes it\n"
                              "  emit      \"left\" [\"1\",null] to \"doc-1\"\n"
                              "x.toml:37: [[event]] on = \"disconnect\", for the room \"doc-2\": takes it\n"
                              "  emit      \"left\" [\"2\",null] to \"doc-2\"\n"
                              "x.toml:41: [[event]] on = \"disconnect\": takes it\n"
                              "  who       \"user\": refused\n"
                              "done\n");
}

Test(explain, what_no_row_takes)
{
    asked.event = "nonsense";
    expect(RC_EXPLAINED_REFUSED, "\"nonsense\" in \"/\", said by somebody anonymous\n"
                                 "refused: no row takes it: the client is told 404 (socketio.unknown_event)\n");
    asked.event = "say";
    asked.nsp = "/admin";
    cr_expect_eq(explain(), RC_EXPLAINED_REFUSED);
    cr_expect_not_null(strstr(said, "Invalid namespace"));
    asked = (struct rc_explain){.event = "tick"};
    cr_expect_eq(explain(), RC_EXPLAINED_REFUSED, "it is a server's: %s", said);
    asked.server = true;
    asked.args = "[\"watchlist:AAPL\"]";
    cr_expect_eq(explain(), RC_EXPLAINED_DONE, "servers may: %s", said);
}

Test(explain, where_no_socketio_is_served_nobody_can_say_it)
{
    config.socketio.path.text[0] = '\0';
    asked = (struct rc_explain){.event = "talk", .args = "[\"talk:1\"]", .as = "user:7"};
    cr_expect_eq(explain(), RC_EXPLAINED_REFUSED);
    cr_expect_not_null(strstr(said, "[[event]] on = \"talk\": takes it\n"), "%s", said);
    cr_expect_not_null(strstr(said, "\nrefused: nobody can say it: the file has neither [socketio] nor"), "%s", said);
    asked = (struct rc_explain){.event = "nonsense", .json = true};
    cr_expect_eq(explain(), RC_EXPLAINED_REFUSED);
    cr_expect_not_null(strstr(said, "\"why\":\"nobody can say it"), "%s", said);
}

Test(explain, what_makes_no_sense, .init = open_all)
{
    const struct rc_explain wrong[] = {
        {.event = ""},
        {.event = "say", .as = "alice"},
        {.event = "say", .as = "user:"},
        {.event = "say", .as = "user:1 {tier}"},
        {.event = "say", .as = "user:1", .server = true},
        {.event = "say", .args = "{}"},
        {.event = "say", .args = "[1"},
        {.event = "say", .documents = {"[]"}},
    };
    cr_redirect_stderr();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        asked = wrong[i];
        cr_expect_eq(explain(), RC_EXPLAINED_WRONG, "%zu", i);
        cr_expect_str_eq(said, "");
    }
}

Test(explain, a_room_that_was_left_is_left_however_often_it_was_given)
{
    for (uint32_t times = 0; times <= 3; times++) {
        asked = (struct rc_explain){.event = "quit", .args = "[\"talk:1\"]", .as = "user:7", .room_count = times};
        for (uint32_t i = 0; i < times; i++) {
            asked.rooms[i] = "talk:1";
        }
        cr_expect_eq(explain(), RC_EXPLAINED_REFUSED, "%u times: %s", times, said);
    }
}

/* Rows of "connect" are looked at one by one: what one joins takes no room from the next. */
Test(explain, many_rows_that_join)
{
    struct rc_config_errors errors = {0};
    struct rc_err err;
    char text[8192] = "[socketio]\n[[namespace]]\nname = \"talk\"\nsubscribe = \"anyone\"\npublish = \"member\"\n";
    for (int row = 0; row < 20; row++) {
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
                       "[[event]]\non = \"connect\"\njoin = [\"a\", \"b\", \"c\", \"d\"]\n");
    }
    (void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
                   "[[event]]\non = \"connect\"\njoin = [\"{auth.room}\"]\n"
                   "emit = [{ to = \"{auth.room}\", event = \"came\", args = [] }]\n");
    rc_config_defaults(&config);
    cr_assert_eq(rc_config_load_text(&config, text, strlen(text), "x.toml", &errors), 0, "%s", errors.lines[0].text);
    cr_assert_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
    asked = (struct rc_explain){.event = "connect", .as = "user:7"};
    asked.documents[rc_rule_document(RC_EVENT_SOURCE_AUTH)] = "{\"room\":\"talk:1\"}";
    cr_assert_eq(explain(), RC_EXPLAINED_DONE);
    cr_assert(strstr(said, "emit      \"came\"") != NULL, "%s", said);
}
