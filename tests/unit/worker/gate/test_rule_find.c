/* Values of [[event]] rows, and what they have to be: conditions of `match` and `who`, the clock, ids. */
#include "worker/gate/rule_values.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "acceptor/config/toml.h"
#include "common/config/config.h"
#include "worker/proto/operation.h"

static struct rc_config config;
static struct rc_config_errors errors;
static struct rc_rule_values values;

static void begin(const char *keys, const char *arguments, const char *user)
{
    char text[2048];
    (void)snprintf(text, sizeof(text), "[[event]]\non = \"say\"\n%s\n", keys);
    rc_config_defaults(&config);
    errors.count = 0;
    cr_assert_eq(rc_config_load_text(&config, text, strlen(text), "x", &errors), 0, "%s: %s", keys,
                 errors.lines[0].text);
    struct rc_rule_input input = {.args = rc_span_text(arguments),
                                  .nsp = RC_SPAN("/"),
                                  .event = RC_SPAN("say"),
                                  .instance = RC_SPAN("web1"),
                                  .now_ms = UINT64_C(1764372053007),
                                  .random = {UINT64_C(0x3fffffffffffffff), UINT64_C(0x0123456789abcdef)}};
    input.documents[rc_rule_document(RC_EVENT_SOURCE_USER)] = rc_span_text(user);
    rc_rule_values_begin(&values, &config, &input);
}

static bool holds(const char *wanted, const char *argument)
{
    char keys[512];
    char arguments[512];
    (void)snprintf(keys, sizeof(keys), "match = { \"args.0\" = %s }", wanted);
    (void)snprintf(arguments, sizeof(arguments), "[%s]", argument);
    begin(keys, arguments, "");
    const struct rc_event_guards *const guards = &config.events[0].guards;
    return rc_rule_holds(&values, guards->match, guards->match_count);
}

Test(rule_find, values_are_compared_as_what_they_are)
{
    cr_expect(holds("\"x\"", "\"x\""));
    cr_expect(holds("\"ü/\\\"\"", "\"\\u00fc\\/\\\"\""));
    cr_expect(holds("\"\"", "\"\""));
    cr_expect_not(holds("\"x\"", "\"X\""));
    cr_expect_not(holds("\"x\"", "\"x \""));
    cr_expect_not(holds("\"1\"", "1"), "a text is no number");
    cr_expect_not(holds("1", "\"1\""));
    cr_expect(holds("1", "1.0"));
    cr_expect(holds("1", "10e-1"));
    cr_expect(holds("-0.5", "-5E-1"));
    cr_expect_not(holds("1", "2"));
    cr_expect_not(holds("1", "1e-400"));
    cr_expect(holds("true", "true"));
    cr_expect(holds("false", "false"));
    cr_expect_not(holds("true", "false"));
    cr_expect_not(holds("false", "null"));
    cr_expect_not(holds("\"x\"", "[\"x\"]"));
    cr_expect_not(holds("\"x\"", "{\"x\":1}"));
}

Test(rule_find, of_a_list_one_is_enough)
{
    cr_expect(holds("[\"a\", 2, true]", "\"a\""));
    cr_expect(holds("[\"a\", 2, true]", "2"));
    cr_expect(holds("[\"a\", 2, true]", "true"));
    cr_expect_not(holds("[\"a\", 2, true]", "\"b\""));
    cr_expect_not(holds("[\"a\", 2, true]", "[\"a\",2,true]"));
}

Test(rule_find, what_is_missing_is_never_what_is_wanted)
{
    begin("match = { \"args.0.a.b\" = 1, \"args.1\" = 2 }", "[{\"a\":{\"b\":1}},2]", "");
    const struct rc_event_guards *const guards = &config.events[0].guards;
    cr_expect(rc_rule_holds(&values, guards->match, 2));
    begin("match = { \"args.0.a.b\" = 1, \"args.1\" = 2 }", "[{\"a\":{\"b\":1}}]", "");
    cr_expect_not(rc_rule_holds(&values, guards->match, 2));
    begin("match = { \"args.0.a.b\" = 1, \"args.1\" = 2 }", "[{\"a\":1},2]", "");
    cr_expect_not(rc_rule_holds(&values, guards->match, 2));
    begin("match = { \"args.0.a.b\" = 1, \"args.1\" = 2 }", "not JSON", "");
    cr_expect_not(rc_rule_holds(&values, guards->match, 2));
    cr_expect(rc_rule_holds(&values, 0, 0), "no condition");
}

Test(rule_find, who_asks_for_attributes_of_the_user)
{
    const struct rc_event_guards *const guards = &config.events[0].guards;
    begin("who = { tier = [\"premium\", \"enterprise\"], admin = true }", "[]",
          "{\"id\":\"42\",\"tier\":\"enterprise\",\"admin\":true}");
    cr_expect(rc_rule_holds(&values, guards->attributes, guards->attribute_count));
    begin("who = { tier = [\"premium\", \"enterprise\"], admin = true }", "[]",
          "{\"id\":\"42\",\"tier\":\"enterprise\",\"admin\":\"true\"}");
    cr_expect_not(rc_rule_holds(&values, guards->attributes, guards->attribute_count));
    begin("who = { tier = [\"premium\", \"enterprise\"], admin = true }", "[{\"tier\":\"premium\",\"admin\":true}]",
          "{\"id\":\"42\"}");
    cr_expect_not(rc_rule_holds(&values, guards->attributes, guards->attribute_count));
    begin("who = { id = \"42\" }", "[]", "{\"id\":\"42\"}");
    cr_expect(rc_rule_holds(&values, guards->attributes, guards->attribute_count));
}

Test(rule_find, clock_ids_and_names)
{
    static struct rc_rule_args args;
    uint8_t out[512];
    begin("ack = [\"{now}\", \"{now_ms}\", \"{uuid}\", \"{instance}\", \"at {now_ms}, {uuid}\"]", "[]", "");
    cr_assert_eq(
        rc_rule_args(&values, &rc_event_operations(&config, &config.events[0])[0].args, out, sizeof(out), &args), 0);
    const struct rc_span expected =
        RC_SPAN("[\"2025-11-28T23:20:53.007Z\",1764372053007,\"ffffffff-ffff-4fff-8123-456789abcdef\",\"web1\","
                "\"at 1764372053007, ffffffff-ffff-4fff-8123-456789abcdef\"]");
    cr_expect(rc_span_equal(args.json, expected), "%.*s", (int)args.json.count, (const char *)args.json.bytes);
}
