/* Templates of [[event]] rows, filled in: every rule of values. Rows come from text, as operators write them. */
#include "worker/gate/rule_values.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acceptor/config/toml.h"
#include "common/base/check.h"
#include "common/config/config.h"
#include "worker/proto/operation.h"

static struct rc_config config;
static struct rc_config_errors errors;
static struct rc_rule_values values;
static struct rc_rule_args args;
static uint8_t out[8192];
static const char *auth;
static uint32_t attachments;

static void clean(void)
{
    auth = "{\"id\":7,\"user\":{\"name\":\"J\\u00f6\",\"tags\":[\"a\",\"b\"]}}";
    attachments = 0;
}

TestSuite(rule_values, .init = clean);

/* The first operation of a row with these keys. */
static const struct rc_event_operation *compiled(const char *keys)
{
    char text[4096];
    (void)snprintf(text, sizeof(text), "[[event]]\non = \"say\"\n%s\n", keys);
    rc_config_defaults(&config);
    errors.count = 0;
    cr_assert_eq(rc_config_load_text(&config, text, strlen(text), "x", &errors), 0, "%s: %s", keys,
                 errors.lines[0].text);
    return rc_event_operations(&config, &config.events[0]);
}

static void begin(const char *arguments)
{
    const struct rc_rule_input input = {.args = rc_span_text(arguments),
                                        .attachment_count = attachments,
                                        .documents = {rc_span_text(auth)},
                                        .sid = RC_SPAN("sid-of-twenty-chars."),
                                        .nsp = RC_SPAN("/admin"),
                                        .event = RC_SPAN("say \"it\"")};
    rc_rule_values_begin(&values, &config, &input);
}

static int room_of(const char *template, const char *arguments, char found[RC_CHANNEL_NAME_MAX + 1])
{
    char keys[1024];
    (void)snprintf(keys, sizeof(keys), "join = [%s]", template);
    const struct rc_event_operation *const operation = compiled(keys);
    begin(arguments);
    size_t bytes = 0;
    const int rc = rc_rule_room(&values, rc_event_rooms(&config, operation), found, &bytes);
    found[rc == 0 ? bytes : 0] = '\0';
    return rc;
}

static void expect_room(const char *template, const char *arguments, const char *name)
{
    char found[RC_CHANNEL_NAME_MAX + 1];
    cr_expect_eq(room_of(template, arguments, found), 0, "%s %s: %s", template, arguments, values.err.text);
    cr_expect_str_eq(found, name, "%s %s: %s", template, arguments, found);
}

static void expect_no_room(const char *template, const char *arguments, int code, const char *why)
{
    char found[RC_CHANNEL_NAME_MAX + 1];
    cr_expect_eq(room_of(template, arguments, found), code, "%s %s: %s", template, arguments, found);
    cr_expect_str_eq(values.err.text, why, "%s %s: %s", template, arguments, values.err.text);
}

static int fill(const char *template, const char *arguments, size_t room)
{
    char keys[2048];
    (void)snprintf(keys, sizeof(keys), "ack = %s", template);
    const struct rc_event_operation *const operation = compiled(keys);
    begin(arguments);
    return rc_rule_args(&values, &operation->args, out, room, &args);
}

static void expect(const char *template, const char *arguments, const char *json)
{
    cr_expect_eq(fill(template, arguments, sizeof(out)), 0, "%s %s: %s", template, arguments, values.err.text);
    cr_expect(rc_span_equal(args.json, rc_span_text(json)), "%s of %s\nexpected %s\nfound    %.*s", template, arguments,
              json, (int)args.json.count, (const char *)args.json.bytes);
}

static void expect_refused(const char *template, const char *arguments, const char *why)
{
    cr_expect_eq(fill(template, arguments, sizeof(out)), RC_CODE_BAD_REQUEST, "%s %s", template, arguments);
    cr_expect_str_eq(values.err.text, why, "%s %s: %s", template, arguments, values.err.text);
}

/* `order`: the input's attachments as they are used, separated by blanks. */
static void expect_binary(const char *template, const char *arguments, uint32_t count, const char *json,
                          const char *order)
{
    attachments = count;
    expect(template, arguments, json);
    char found[1024] = "";
    for (uint32_t i = 0; i < args.attachment_count; i++) {
        (void)snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%u", i > 0 ? " " : "",
                       args.attachments[i]);
    }
    cr_expect_str_eq(found, order, "%s of %s: %s", template, arguments, found);
}

/* --- rooms ------------------------------------------------------------------------------------------------------- */

Test(rule_values, rooms_are_texts_numbers_and_booleans)
{
    expect_room("\"lobby\"", "[]", "lobby");
    expect_room("\"{args.0}\"", "[\"a\"]", "a");
    expect_room("\"r:{args.0}\"", "[\"\\u00e4\\/\\ud83d\\ude00\\\"\"]", "r:ä/😀\"");
    expect_room("\"{args.0}\"", "[42]", "42");
    expect_room("\"{args.0}\"", "[-1.50e3]", "-1.50e3");
    expect_room("\"{args.0}-{args.1}\"", "[true,false]", "true-false");
    expect_room("\"{sid}|{nsp}|{event}\"", "[]", "sid-of-twenty-chars.|/admin|say \"it\"");
    expect_room("\"{auth.user.name}:{auth.id}\"", "[]", "Jö:7");
}

Test(rule_values, missing_or_wrong_values_name_no_room)
{
    expect_no_room("\"{args.0}\"", "[]", RC_CODE_BAD_REQUEST, "args.0 is missing");
    expect_no_room("\"{args.0}\"", "", RC_CODE_BAD_REQUEST, "args.0 is missing");
    expect_no_room("\"a{args.17}\"", "[1]", RC_CODE_BAD_REQUEST, "args.17 is missing");
    expect_no_room("\"a{args.0.x}\"", "[{\"y\":1}]", RC_CODE_BAD_REQUEST, "args.0.x is missing");
    expect_no_room("\"a{args.0.x.y}\"", "[{\"x\":\"y\"}]", RC_CODE_BAD_REQUEST, "args.0.x.y is missing");
    expect_no_room("\"a{auth.x}\"", "[]", RC_CODE_BAD_REQUEST, "auth.x is missing");
    expect_no_room("\"a{args.0}\"", "[null]", RC_CODE_BAD_REQUEST, "args.0 is no text");
    expect_no_room("\"a{args.0}\"", "[{}]", RC_CODE_BAD_REQUEST, "args.0 is no text");
    expect_no_room("\"a{args.0}\"", "[[\"b\"]]", RC_CODE_BAD_REQUEST, "args.0 is no text");
    expect_no_room("\"a{args.0}\"", "[\"\\ud800\"]", RC_CODE_BAD_REQUEST, "args.0 is no text");
    expect_no_room("\"a{args.0}\"", "[1", RC_CODE_BAD_REQUEST, "the arguments are no JSON array");
    auth = "";
    expect_no_room("\"a{auth.id}\"", "[]", RC_CODE_BAD_REQUEST, "auth.id is missing");
}

Test(rule_values, names_of_rooms_are_bounded)
{
    char argument[512];
    char name[512];
    memset(name, 'x', sizeof(name));
    (void)snprintf(argument, sizeof(argument), "[\"%.253s\"]", name);
    (void)memcpy(name, "r:", 2);
    name[255] = '\0';
    expect_room("\"r:{args.0}\"", argument, name);
    expect_no_room("\"rr:{args.0}\"", argument, RC_CODE_BAD_REQUEST, "a name of more than 255 bytes");
    memset(argument, '1', 300);
    argument[0] = '[';
    argument[300] = ']';
    argument[301] = '\0';
    expect_no_room("\"{args.0}\"", argument, RC_CODE_BAD_REQUEST, "a name of more than 255 bytes");
    argument[1] = argument[299] = '"';
    expect_no_room("\"{args.0}\"", argument, RC_CODE_BAD_REQUEST, "args.0 is too long");
    static const char bad[] = "a room's name has 1 to 255 bytes and no control characters";
    expect_no_room("\"{args.0}\"", "[\"\"]", RC_CODE_BAD_REQUEST, bad);
    expect_no_room("\"a{args.0}\"", "[\"\\u0000\"]", RC_CODE_BAD_REQUEST, bad);
    expect_no_room("\"a{args.0}\"", "[\"\\u007f\"]", RC_CODE_BAD_REQUEST, bad);
}

/* What no client may name, whatever the row says. */
Test(rule_values, clients_name_nobody_elses_rooms)
{
    expect_no_room("\"{args.0}\"", "[\"*\"]", RC_CODE_FORBIDDEN, "no room of this namespace");
    expect_no_room("\"{args.0}\"", "[\"/admin#x\"]", RC_CODE_FORBIDDEN, "no room of this namespace");
    expect_no_room("\"/{args.0}\"", "[\"a#b\"]", RC_CODE_FORBIDDEN, "no room of this namespace");
    expect_no_room("\"{args.0}\"", "[\"user:7\"]", RC_CODE_FORBIDDEN, "a user's own room");
    expect_no_room("\"us{args.0}\"", "[\"er:7\"]", RC_CODE_FORBIDDEN, "a user's own room");
    expect_room("\"user:{args.0}\"", "[7]", "user:7"); /* the author named it */
    expect_room("\"{args.0}\"", "[\"#x\"]", "#x");
    expect_room("\"{args.0}\"", "[\"/x\"]", "/x");
}

Test(rule_values, paths_lead_through_objects_and_lists)
{
    expect_room("\"{args.0.1.b}\"", "[[0,{\"a\":1,\"b\":\"x\"}]]", "x");
    expect_room("\"{auth.user.tags.1}\"", "[]", "b");
    expect_room("\"{args.0.a}\"", "[{\"a\":\"1\",\"a\":\"2\"}]", "2"); /* as in JavaScript */
    expect_room("\"{args.0.a}\"", "[{\"\\u0061\":\"x\"}]", "x");
    expect_room("\"{args.0.1}\"", "[{\"1\":\"x\"}]", "x");
    expect_no_room("\"{args.0.01}\"", "[[1,2]]", RC_CODE_BAD_REQUEST, "args.0.01 is missing");
    expect_no_room("\"{args.0.-1}\"", "[[1,2]]", RC_CODE_BAD_REQUEST, "args.0.-1 is missing");
    expect_no_room("\"{args.0.length}\"", "[[1,2]]", RC_CODE_BAD_REQUEST, "args.0.length is missing");
    expect_no_room("\"{args.0.99999999999999999999999}\"", "[[1,2]]", RC_CODE_BAD_REQUEST,
                   "args.0.99999999999999999999999 is missing");
}

/* --- events ------------------------------------------------------------------------------------------------------ */

static int event_of(const char *template, const char *arguments, struct rc_span *event)
{
    static char scratch[RC_EVENT_NAME_MAX];
    char keys[512];
    (void)snprintf(keys, sizeof(keys), "emit = [{ %s%s }]", template[0] != '\0' ? "event = " : "", template);
    const struct rc_event_operation *const operation = compiled(keys);
    begin(arguments);
    return rc_rule_event(&values, &operation->event, scratch, event);
}

Test(rule_values, events_have_names)
{
    struct rc_span event;
    cr_expect_eq(event_of("", "[]", &event), 0);
    cr_expect(rc_span_equal(event, RC_SPAN("say \"it\"")));
    cr_expect_eq(event_of("\"re:{event}\"", "[]", &event), 0);
    cr_expect(rc_span_equal(event, RC_SPAN("re:say \"it\"")));
    cr_expect_eq(event_of("\"{args.0}\"", "[\"a\\u0001\"]", &event), 0);
    cr_expect(rc_span_equal(event, RC_SPAN("a\x01")), "a name of any text");
    cr_expect_eq(event_of("\"{args.0}\"", "[\"disconnect\"]", &event), RC_CODE_BAD_REQUEST);
    cr_expect_eq(event_of("\"dis{args.0}\"", "[\"connect\"]", &event), RC_CODE_BAD_REQUEST);
    cr_expect_eq(event_of("\"{args.0}\"", "[\"\"]", &event), RC_CODE_BAD_REQUEST);
    cr_expect_eq(event_of("\"{args.0}\"", "[]", &event), RC_CODE_BAD_REQUEST);
}

/* --- messages ---------------------------------------------------------------------------------------------------- */

Test(rule_values, a_value_goes_through_as_it_was_written)
{
    static const char odd[] = "[ 1.00e+00 , \"\\u00e4\\/\" ,{ \"b\" : [ ] , \"a\":9007199254740993 }, null ]";
    expect("[\"{args.0}\"]", odd, "[1.00e+00]");
    expect("[\"{args.1}\", { x = \"{args.2}\" }]", odd,
           "[\"\\u00e4\\/\",{\"x\":{ \"b\" : [ ] , \"a\":9007199254740993 }}]");
    expect("[\"{args.2.a}\", \"{args.3}\"]", odd, "[9007199254740993,null]");
    expect(
        "[\"{auth.user}\", \"{auth}\"]", odd,
        "[{\"name\":\"J\\u00f6\",\"tags\":[\"a\",\"b\"]},{\"id\":7,\"user\":{\"name\":\"J\\u00f6\",\"tags\":[\"a\",\"b\"]}}]");
    expect("[\"{sid}\", \"{nsp}\", \"{event}\"]", odd, "[\"sid-of-twenty-chars.\",\"/admin\",\"say \\\"it\\\"\"]");
}

Test(rule_values, what_is_missing_is_null_in_a_message)
{
    expect("[\"{args.0}\", \"{args.20}\", \"{args.0.x}\", { a = \"{auth.nothing}\" }]", "[]",
           "[null,null,null,{\"a\":null}]");
    auth = "";
    expect("[\"{auth}\", \"{args}\", { a = \"{args}\" }]", "", "[null,{\"a\":[]}]");
}

Test(rule_values, values_within_a_text_are_texts)
{
    expect("[\"<{args.0}|{args.1}|{args.2}>\"]", "[\"a\\\"\\u0041\",-0.0,true]", "[\"<a\\\"\\u0041|-0.0|true>\"]");
    expect("[\"{{{sid} {event}}\"]", "[]", "[\"{sid-of-twenty-chars. say \\\"it\\\"}\"]");
    expect_refused("[\"x{args.0}\"]", "[null]", "args.0 is no text");
    expect_refused("[\"x{args.0}\"]", "[[1]]", "args.0 is no text");
    expect_refused("[\"x{args.0.a}\"]", "[{}]", "args.0.a is missing");
    expect_refused("[{ a = [\"x{args.1}\"] }]", "[{}]", "args.1 is missing");
}

Test(rule_values, constants_are_as_they_are)
{
    expect("[]", "[1]", "[]");
    expect("[{ ok = true, n = 1.5, s = \"\\\"\", l = [[], {}] }]", "",
           "[{\"ok\":true,\"n\":1.5,\"s\":\"\\\"\",\"l\":[[],{}]}]");
}

Test(rule_values, lists_are_spliced)
{
    expect("[\"{args.1..}\"]", "[1, 2 ,3]", "[2 ,3]");
    expect("[\"{args.1..}\"]", "[1]", "[]");
    expect("[\"{args.1..}\", \"x\"]", "[1]", "[\"x\"]");
    expect("[\"{args.1..}\", \"x\"]", "[1,2]", "[2,\"x\"]");
    expect("[0, \"{args}\", \"{args.5..}\", \"{args}\", 9]", "[1,2]", "[0,1,2,1,2,9]");
    expect("[\"{args}\", \"{args}\"]", "[]", "[]");
    expect("[[\"{args}\"], { a = [\"{args.1..}\", 3], b = \"{args.1..}\" }]", "[1,2]",
           "[[1,2],{\"a\":[2,3],\"b\":[2]}]");
    expect("[\"{args}\", 1]", "[\"[\"]", "[\"[\",1]");
    expect("[\"{args.17..}\", \"{args.16}\", \"{args.15..}\"]", "[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18]",
           "[17,18,16,15,16,17,18]");
}

/* A pure relay costs nothing: not even a look at the arguments. */
Test(rule_values, all_arguments_are_the_inputs_own)
{
    static const char text[] = "[ 1 ,{\"_placeholder\":true,\"num\":1} ]";
    attachments = 2;
    cr_expect_eq(fill("[\"{args}\"]", text, sizeof(out)), 0);
    cr_expect_eq((const char *)args.json.bytes, text);
    cr_expect_eq(args.json.count, strlen(text));
    cr_expect_eq(args.attachment_count, 2u);
    cr_expect_eq(args.attachments[1], 1);
    cr_expect_null(values.index);
    const struct rc_event_operation *const operation = compiled("emit = [{}]");
    begin(text);
    cr_expect_eq(rc_rule_args(&values, &operation->args, out, sizeof(out), &args), 0);
    cr_expect_eq((const char *)args.json.bytes, text);
    attachments = 0;
    expect("[\"{args}\"]", "", "[]");
}

Test(rule_values, results_are_bounded_to_the_byte)
{
    static const char *const templates[] = {"[\"{args.0}\", 1]",           "[\"x{args.0}\"]",      "[\"{args}\"]",
                                            "[\"{args.0..}\", \"{sid}\"]", "[{ a = \"{args}\" }]", "[\"{args.7}\"]"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(templates); i++) {
        cr_assert_eq(fill(templates[i], "[\"abc\"]", sizeof(out)), 0);
        const size_t bytes = args.json.count;
        cr_expect_eq(fill(templates[i], "[\"abc\"]", bytes), 0, "%s", templates[i]);
        for (size_t room = 0; room < bytes; room++) {
            cr_expect_eq(fill(templates[i], "[\"abc\"]", room), RC_CODE_TOO_LARGE, "%s in %zu", templates[i], room);
        }
    }
}

/* --- attachments ------------------------------------------------------------------------------------------------- */

#define P(n) "{\"_placeholder\":true,\"num\":" #n "}"

Test(rule_values, attachments_are_numbered_in_the_order_of_their_use)
{
    expect_binary("[\"{args.1}\"]", "[" P(0) "," P(1) "]", 2, "[" P(0) "]", "1");
    expect_binary("[\"{args.1}\", \"{args.0}\"]", "[" P(0) "," P(1) "]", 2, "[" P(0) "," P(1) "]", "1 0");
    expect_binary("[\"{args.0}\", \"{args.0}\"]", "[" P(3) "]", 4, "[" P(0) "," P(0) "]", "3");
    expect_binary("[\"{args.1..}\"]", "[" P(0) ",{\"a\":[" P(2) ",[" P(1) "]]}]", 3, "[{\"a\":[" P(0) ",[" P(1) "]]}]",
                  "2 1");
    expect_binary("[{ x = \"{args}\" }]", "[" P(1) "]", 2, "[{\"x\":[" P(0) "]}]", "1");
    expect_binary("[\"{sid}\"]", "[" P(0) "]", 1, "[\"sid-of-twenty-chars.\"]", "");
}

/* As socket.io-parser takes them. */
Test(rule_values, placeholders_are_found_however_they_are_written)
{
    expect_binary("[\"{args.1}\"]", "[0,{ \"num\" : 1 , \"x\":[1,{\"num\":7}], \"_placeholder\" : true }]", 2,
                  "[{ \"num\" : 0 , \"x\":[1,{\"num\":7}], \"_placeholder\" : true }]", "1");
    expect_binary("[\"{args.1}\"]", "[0,{\"\\u005fplaceholder\":true,\"n\\u0075m\":1}]", 2,
                  "[{\"\\u005fplaceholder\":true,\"n\\u0075m\":0}]", "1");
    expect_binary("[\"{args.1}\"]", "[0,{\"num\":0,\"num\":1,\"_placeholder\":false,\"_placeholder\":true}]", 2,
                  "[{\"num\":0,\"num\":0,\"_placeholder\":false,\"_placeholder\":true}]", "1");
    /* what only looks like one */
    expect_binary(
        "[\"{args.0}\"]",
        "[[{\"_placeholder\":false,\"num\":1},{\"_placeholder\":true,\"_placeholder\":[],\"num\":1},{\"_placeholder\":\"true\",\"num\":1},"
        "\"{\\\"_placeholder\\\":true,\\\"num\\\":1}\",[\"_placeholder\",true,\"num\",1]]]",
        2,
        "[[{\"_placeholder\":false,\"num\":1},{\"_placeholder\":true,\"_placeholder\":[],\"num\":1},{\"_placeholder\":\"true\",\"num\":1},"
        "\"{\\\"_placeholder\\\":true,\\\"num\\\":1}\",[\"_placeholder\",true,\"num\",1]]]",
        "");
}

Test(rule_values, numbers_may_grow)
{
    char input[2048] = "[[";
    char output[2048] = "[[";
    for (int i = 11; i >= 0; i--) {
        (void)snprintf(input + strlen(input), sizeof(input) - strlen(input), "{\"num\":%d,\"_placeholder\":true}%s", i,
                       i > 0 ? "," : "");
        (void)snprintf(output + strlen(output), sizeof(output) - strlen(output), "{\"num\":%d,\"_placeholder\":true}%s",
                       11 - i, i > 0 ? "," : "");
    }
    strcat(input, "],0]");
    strcat(output, "],0]");
    expect_binary("[\"{args.0}\", \"{args.1}\"]", input, 12, output, "11 10 9 8 7 6 5 4 3 2 1 0");
    const size_t bytes = strlen(output);
    cr_expect_eq(fill("[\"{args.0}\", \"{args.1}\"]", input, bytes), 0);
    for (size_t room = bytes - 8; room < bytes; room++) {
        cr_expect_eq(fill("[\"{args.0}\", \"{args.1}\"]", input, room), RC_CODE_TOO_LARGE, "%zu", room);
    }
}

Test(rule_values, placeholders_of_nothing_are_refused)
{
    static const char none[] = "a placeholder of no attachment";
    attachments = 1;
    expect_refused("[\"{args.0}\"]", "[" P(1) "]", none);
    expect_refused("[\"{args.0}\"]", "[" P(-1) "]", none);
    expect_refused("[\"{args.0}\"]", "[" P(0.5) "]", none);
    expect_refused("[\"{args.0}\"]", "[" P("0") "]", none);
    expect_refused("[\"{args.0}\"]", "[{\"_placeholder\":true}]", none);
    auth = "{\"a\":" P(0) "}";
    expect_refused("[\"{args.0}\", \"{auth.a}\"]", "[" P(0) "]", none);
    attachments = 0;
    expect("[\"{args.0}\", 1]", "[" P(9) "]", "[" P(9) ",1]"); /* without attachments it is an object like any other */
}
