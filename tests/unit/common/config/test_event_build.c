/*
 * [[event]] tables, compiled: what becomes of each way to write a value. They are read by the reader of the file, as rows of any other
 * make do not exist; its errors, with their places, are in acceptor/config/test_toml.c.
 */
#include "common/config/event_build.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acceptor/config/toml.h"
#include "common/config/config.h"
#include "common/config/event_rules.h"

static struct rc_config config;
static struct rc_config_errors errors;

static int load(const char *rows)
{
    rc_config_defaults(&config);
    errors.count = 0;
    return rc_config_load_text(&config, rows, strlen(rows), "x", &errors);
}

/* Pieces as <source index path>, literals as they are; "!" before what is text, "*" before a splice, "~" for a comma. */
static void template_show(FILE *out, const struct rc_event_template *template)
{
    static const char *const sources[] = {
        [RC_EVENT_SOURCE_ARGUMENT] = "arg",  [RC_EVENT_SOURCE_REST] = "rest",
        [RC_EVENT_SOURCE_AUTH] = "auth",     [RC_EVENT_SOURCE_USER] = "user",
        [RC_EVENT_SOURCE_CLIENT] = "client", [RC_EVENT_SOURCE_QUERY] = "query",
        [RC_EVENT_SOURCE_HEADER] = "header", [RC_EVENT_SOURCE_COOKIE] = "cookie",
        [RC_EVENT_SOURCE_CLAIMS] = "claims", [RC_EVENT_SOURCE_SESSION] = "session",
        [RC_EVENT_SOURCE_SID] = "sid",       [RC_EVENT_SOURCE_NSP] = "nsp",
        [RC_EVENT_SOURCE_EVENT] = "event",   [RC_EVENT_SOURCE_ADDRESS] = "address",
    };
    const struct rc_event_piece *const pieces = rc_event_pieces(&config, template);
    for (uint32_t i = 0; i < template->piece_count; i++) {
        const struct rc_span text = rc_event_text(&config, pieces[i].at, pieces[i].bytes);
        if (pieces[i].type == RC_EVENT_PIECE_LITERAL || pieces[i].type == RC_EVENT_PIECE_COMMA) {
            (void)fprintf(out, "%s%.*s", pieces[i].type == RC_EVENT_PIECE_COMMA ? "~" : "", (int)text.count,
                          (const char *)text.bytes);
            continue;
        }
        (void)fprintf(out, "%s<%s",
                      pieces[i].type == RC_EVENT_PIECE_TEXT     ? "!"
                      : pieces[i].type == RC_EVENT_PIECE_SPLICE ? "*"
                                                                : "",
                      sources[pieces[i].source]);
        if (pieces[i].source <= RC_EVENT_SOURCE_REST) {
            (void)fprintf(out, " %u", pieces[i].index);
        }
        (void)fprintf(out, "%s%.*s>", text.count > 0 ? " " : "", (int)text.count, (const char *)text.bytes);
    }
}

static void operation_show(FILE *out, const struct rc_event_operation *operation)
{
    static const char *const types[] = {"leave", "join", "ack", "emit"};
    const struct rc_event_template *const rooms = rc_event_rooms(&config, operation);
    (void)fputs(types[operation->type], out);
    (void)fputs((operation->flags & RC_EVENT_TO_SENDER) != 0 ? " sender" : "", out);
    (void)fputs((operation->flags & RC_EVENT_TO_EVERYBODY) != 0 ? " everybody" : "", out);
    (void)fputs((operation->flags & RC_EVENT_OTHERS) != 0 ? " others" : "", out);
    (void)fputs((operation->flags & RC_EVENT_VOLATILE) != 0 ? " volatile" : "", out);
    for (uint32_t i = 0; i < operation->room_count; i++) {
        (void)fputs((rooms[i].flags & RC_EVENT_CLIENT_CHOOSES) != 0 ? " ?" : " ", out);
        template_show(out, &rooms[i]);
    }
    if (operation->type == RC_RULE_EMIT) {
        (void)fputs(" \"", out);
        template_show(out, &operation->event);
        (void)fputc('"', out);
    }
    if (operation->type >= RC_RULE_ACK) {
        (void)fputc(' ', out);
        template_show(out, &operation->args);
    }
}

/* The operations of the first row, separated by "; ". */
static char *shown(const char *keys)
{
    char text[2048];
    (void)snprintf(text, sizeof(text), "[[event]]\non = \"x\"\n%s\n", keys);
    cr_assert_eq(load(text), 0, "%s: %s", keys, errors.lines[0].text);
    char *result = NULL;
    size_t bytes = 0;
    FILE *const out = open_memstream(&result, &bytes);
    cr_assert_not_null(out);
    const struct rc_event_operation *const operations = rc_event_operations(&config, &config.events[0]);
    for (uint32_t i = 0; i < config.events[0].operation_count; i++) {
        (void)fputs(i > 0 ? "; " : "", out);
        operation_show(out, &operations[i]);
    }
    cr_assert_eq(fclose(out), 0);
    return result;
}

static void expect(const char *keys, const char *operations)
{
    char *const found = shown(keys);
    cr_expect_str_eq(found, operations, "%s\nexpected %s\nfound    %s", keys, operations, found);
    free(found);
}

Test(event_build, operations_are_in_the_order_in_which_they_are_done)
{
    expect("emit = [{ to = \"*\" }, { }]\nack = []\njoin = [\"a\", \"b\"]\nleave = [\"c\"]\n",
           "leave c; join a b; ack []; emit everybody \"!<event>\" <rest 0>; emit sender \"!<event>\" <rest 0>");
    cr_expect_eq(config.events[0].leave_count, 1u);
    cr_expect_eq(config.events[0].join_count, 2u);
    cr_expect_eq(config.events[0].ack_count, 1u);
    cr_expect_eq(config.events[0].emit_count, 2u);
    expect("", "");
    expect("join = []\nleave = []\nemit = []\n", "");
}

Test(event_build, rooms_are_texts)
{
    expect("join = [\"a{{b\", \"room:{args.0}\", \"{args.12.a.b}:x\", \"{sid}\", \"x{auth.user.id}y{nsp}\"]",
           "join a{b room:!<arg 0> ?!<arg 12 a.b>:x !<sid> ?x!<auth user.id>y!<nsp>");
    expect("[[event.emit]]\nto = \"ü {event}\"\nothers = true\n", "emit others ü !<event> \"!<event>\" <rest 0>");
    expect("emit = [{ volatile = true }, { to = \"*\", volatile = true }]\n",
           "emit sender volatile \"!<event>\" <rest 0>; emit everybody volatile \"!<event>\" <rest 0>");
    expect("[[event.emit]]\nto = [\"a\", \"{sid}\"]\n", "emit a !<sid> \"!<event>\" <rest 0>");
    expect("[[event.emit]]\nto = [\"{sid}\"]\nevent = \"e\"\n", "emit sender \"e\" <rest 0>");
    expect("[[event.emit]]\nto = [\"*\"]\nevent = \"re:{event}\"\n", "emit everybody \"re:!<event>\" <rest 0>");
}

/* Whoever chooses what stands before the first colon chooses the policy. */
Test(event_build, rooms_tell_who_chooses_their_channel_namespace)
{
    expect("join = [\"a:{args.0}\", \"a{args.0}:\", \"{sid}:{args.0}\", \"{args.0}\", \"#a\", \"{event}\"]",
           "join a:!<arg 0> ?a!<arg 0>: !<sid>:!<arg 0> ?!<arg 0> #a !<event>");
}

Test(event_build, messages_are_json)
{
    expect("ack = [\"\", \"a\\\"\\\\\\n\\u007f{{\", 1, -5, 1.5, 1.0, 1e300, true, false, [], {}, [[1]]]",
           "ack [\"\",\"a\\\"\\\\\\u000a\\u007f{\",1,-5,1.5,1.0,1e+300,true,false,[],{},[[1]]]");
    expect("ack = [{ z = 1, a = { \"x y\" = \"{args.0}\" }, \"\\\"\" = [\"{sid}\"] }]",
           "ack [{\"z\":1,\"a\":{\"x y\":<arg 0>},\"\\\"\":[<sid>]}]");
}

Test(event_build, one_placeholder_alone_is_the_value_and_mixed_ones_are_text)
{
    expect(
        "ack = [\"{args.0}\", \" {args.0}\", \"{args.0}{args.1.x}\", \"{{args.0}\", { a = \"{args}\", b = \"{args.2..}\", c = \"{auth}\" }]",
        "ack [<arg 0>,\" !<arg 0>\",\"!<arg 0>!<arg 1 x>\",\"{args.0}\",{\"a\":<rest 0>,\"b\":<rest 2>,\"c\":<auth>}]");
}

Test(event_build, lists_are_spliced_with_the_commas_that_they_need)
{
    expect("ack = [\"{args}\"]", "ack [*<rest 0>]");
    expect("ack = [\"{args.1..}\", 1, \"{args.0}\"]", "ack [*<rest 1>~1~<arg 0>]");
    expect("ack = [1, \"{args}\", { a = [\"{args.3..}\", 2], b = 3 }]",
           "ack [1*<rest 0>~{\"a\":[*<rest 3>~2],\"b\":3}]");
}

Test(event_build, servers_have_rules_of_their_own)
{
    expect("from = \"server\"\nack = [\"{args.0}\"]\n[[event.emit]]\nto = \"*\"\n",
           "ack [<arg 0>]; emit everybody \"!<event>\" <rest 0>");
}

Test(event_build, a_row_has_sixteen_operations)
{
    expect(
        "join = [\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\"]\nleave = [\"9\",\"a\",\"b\",\"c\",\"d\",\"e\"]\nack = []\nemit = [{}]\n",
        "leave 9 a b c d e; join 1 2 3 4 5 6 7 8; ack []; emit sender \"!<event>\" <rest 0>");
    cr_expect_eq(
        load(
            "[[event]]\non = \"x\"\njoin = [\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\"]\nleave = [\"9\",\"a\",\"b\",\"c\",\"d\",\"e\"]\n"
            "ack = []\nemit = [{}, {}]\n"),
        -EINVAL);
    cr_expect_not_null(strstr(errors.lines[0].text, "more than 16 operations"), "%s", errors.lines[0].text);
}

/* Templates of 4 KiB until the arena is full: told, and nothing behind it is written. */
Test(event_build, all_rows_together_are_bounded)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *const out = open_memstream(&text, &bytes);
    cr_assert_not_null(out);
    for (int i = 0; i < 200; i++) {
        (void)fprintf(out, "[[event]]\non = \"e%d\"\nack = [\"%04090d\"]\n", i, i);
    }
    cr_assert_eq(fclose(out), 0);
    cr_expect_eq(load(text), -EINVAL);
    cr_expect_not_null(strstr(errors.lines[0].text, "too large together"), "%s", errors.lines[0].text);
    cr_expect_leq(config.event_rules.arena_bytes, (uint32_t)RC_EVENT_ARENA_BYTES);
    free(text);
}
