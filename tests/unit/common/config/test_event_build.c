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
        [RC_EVENT_SOURCE_ARGUMENT] = "arg",   [RC_EVENT_SOURCE_REST] = "rest",
        [RC_EVENT_SOURCE_AUTH] = "auth",      [RC_EVENT_SOURCE_USER] = "user",
        [RC_EVENT_SOURCE_CLIENT] = "client",  [RC_EVENT_SOURCE_QUERY] = "query",
        [RC_EVENT_SOURCE_HEADER] = "header",  [RC_EVENT_SOURCE_COOKIE] = "cookie",
        [RC_EVENT_SOURCE_CLAIMS] = "claims",  [RC_EVENT_SOURCE_SESSION] = "session",
        [RC_EVENT_SOURCE_SID] = "sid",        [RC_EVENT_SOURCE_NSP] = "nsp",
        [RC_EVENT_SOURCE_EVENT] = "event",    [RC_EVENT_SOURCE_ADDRESS] = "address",
        [RC_EVENT_SOURCE_ERROR] = "error",    [RC_EVENT_SOURCE_INSTANCE] = "instance",
        [RC_EVENT_SOURCE_NOW] = "now",        [RC_EVENT_SOURCE_UUID] = "uuid",
        [RC_EVENT_SOURCE_NOW_MS] = "now_ms",  [RC_EVENT_SOURCE_ROOM] = "room",
        [RC_EVENT_SOURCE_ROOM_PART] = "part", [RC_EVENT_SOURCE_ANSWER] = "answer",
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
    static const char *const types[] = {"leave", "set", "join", "retain", "ack", "emit", "close"};
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
    if (operation->type >= RC_RULE_EMIT) {
        (void)fputs(" \"", out);
        template_show(out, &operation->event);
        (void)fputc('"', out);
    }
    if (operation->type == RC_RULE_SET || operation->type == RC_RULE_ACK || operation->type == RC_RULE_EMIT) {
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

/* The rooms of the emits and joins of the last row, those that the client chooses marked. */
static void expect_rooms(const char *row, const char *wanted)
{
    char text[1024];
    char found[512] = "";
    (void)snprintf(text, sizeof(text), "[socketio]\nnamespaces = [\"/\", \"/x-*\", \"/x:y-*\"]\n[[event]]\n%s\n", row);
    cr_assert_eq(load(text), 0, "%s: %s", row, errors.lines[0].text);
    const struct rc_event_operation *const operations = rc_event_operations(&config, &config.events[0]);
    for (uint32_t i = 0; i < config.events[0].operation_count; i++) {
        const struct rc_event_template *const rooms = rc_event_rooms(&config, &operations[i]);
        for (uint32_t j = 0; j < operations[i].room_count; j++) {
            const struct rc_span source = rc_event_text(&config, rooms[j].source, rooms[j].source_bytes);
            (void)snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%.*s ",
                           (rooms[j].flags & RC_EVENT_CLIENT_CHOOSES) != 0 ? "?" : "", (int)source.count,
                           (const char *)source.bytes);
        }
    }
    cr_expect_str_eq(found, wanted, "%s\nexpected %s\nfound    %s", row, wanted, found);
}

/* What the client says of it may come by the event's name, the namespace's, or a room that it was let into. */
Test(event_build, names_with_an_open_end_are_the_clients_word)
{
    expect_rooms("on = \"e\"\njoin = [\"{event}\"]", "\"{event}\" ");
    expect_rooms("on = \"*\"\njoin = [\"{event}\", \"a:{event}\"]", "?\"{event}\" \"a:{event}\" ");
    expect_rooms("on = \"a*\"\njoin = [\"{event}\"]\nemit = [{ to = \"x{event}\" }]", "?\"{event}\" ?\"x{event}\" ");
    expect_rooms("on = \"a:*\"\njoin = [\"{event}\", \"{event}{args.0}\"]", "\"{event}\" \"{event}{args.0}\" ");
    expect_rooms("on = \"e\"\nnsp = \"/x-*\"\njoin = [\"{nsp}\", \"a:{nsp}\"]", "?\"{nsp}\" \"a:{nsp}\" ");
    expect_rooms("on = \"e\"\nnsp = \"/x:y-*\"\njoin = [\"{nsp}\"]", "\"{nsp}\" ");
    expect_rooms(
        "on = \"disconnect\"\neach = \"{any}\"\nemit = [{ to = [\"{room}\", \"{room.any}\", \"{room}x\", \"a:{room}\"], event = \"e\" }]",
        "\"{room}\" ?\"{room.any}\" ?\"{room}x\" \"a:{room}\" ");
    expect_rooms(
        "on = \"disconnect\"\neach = \"doc:{id}\"\nemit = [{ to = [\"{room}\", \"{room.id}\", \"{room}x\", \"log:{room.id}\"], event = \"e\" }]",
        "\"{room}\" ?\"{room.id}\" \"{room}x\" \"log:{room.id}\" ");
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

Test(event_build, attributes_are_set_before_rooms_are_joined_and_the_end_comes_last)
{
    expect(
        "close = true\nemit = [{}]\njoin = [\"a\"]\nset = { n = \"{args.0}\", \"x y\" = [1, \"{now}\"] }\nleave = [\"b\"]\n",
        "leave b; set {\"n\":<arg 0>,\"x y\":[1,<now>]}; join a; emit sender \"!<event>\" <rest 0>; close \"\"");
    cr_expect_eq(config.events[0].set_count, 2u);
    cr_expect_eq(config.events[0].close_count, 1u);
    cr_expect(rc_event_uses(&config.events[0], RC_EVENT_SOURCE_NOW));
    cr_expect_not(rc_event_uses(&config.events[0], RC_EVENT_SOURCE_UUID));
    expect("close = \"b{{ye\"\nset = {}\n", "close \"b{ye\"");
    expect("close = false\n", "");
}

static const char *question_shown(uint32_t index)
{
    static char text[256];
    const struct rc_event_question *const question = &rc_event_questions(&config, &config.events[0])[index];
    char *room = NULL;
    size_t bytes = 0;
    FILE *const out = open_memstream(&room, &bytes);
    cr_assert_not_null(out);
    template_show(out, &question->room);
    cr_assert_eq(fclose(out), 0);
    (void)snprintf(text, sizeof(text), "%u%s%s %s", question->kind, question->everybody ? "*" : "",
                   question->room.flags & RC_EVENT_CLIENT_CHOOSES ? "?" : "", room);
    free(room);
    return text;
}

/* A question that stands twice is asked once. */
Test(event_build, rooms_are_asked_about_in_arguments)
{
    expect("ack = [\"{count:a}\", \"{members:b:{args.0}}\", \"{count:a} of {count:{args.0}}\", \"{users:*}\"]\n"
           "emit = [{ when = \"alone:a\", args = [\"{count:a}\"] }]\n",
           "ack [<answer>,<answer>,\"!<answer> of !<answer>\",<answer>]; emit sender \"!<event>\" [<answer>]");
    cr_assert_eq(config.events[0].question_count, 5u);
    cr_expect_str_eq(question_shown(0), "0 a");
    cr_expect_str_eq(question_shown(1), "1 b:!<arg 0>");
    cr_expect_str_eq(question_shown(2), "0? !<arg 0>");
    cr_expect_str_eq(question_shown(3), "2* ");
    cr_expect_str_eq(question_shown(4), "3 a");
    const struct rc_event_operation *const operations = rc_event_operations(&config, &config.events[0]);
    cr_expect_eq(operations[1].when, RC_EVENT_WHEN_ALONE);
    cr_expect_eq(operations[1].when_question, 4u);
}

Test(event_build, each_goes_through_rooms)
{
    struct rc_span part;
    cr_assert_eq(
        load("[[event]]\non = \"disconnect\"\neach = \"doc-{id}:x\"\nemit = [{ to = \"{room}\", event = \"e\", "
             "args = [\"{room.id}\", \"{count:{room}}\"] }]\n"
             "[[event]]\non = \"disconnect\"\neach = \"#chat\"\n[[event]]\non = \"disconnect\"\neach = \"{any}\"\n"),
        0, "%s", errors.lines[0].text);
    cr_expect(rc_event_each_fits(&config, &config.events[0], RC_SPAN("doc-1:x"), &part));
    cr_expect(rc_span_equal(part, RC_SPAN("1")));
    cr_expect_not(rc_event_each_fits(&config, &config.events[0], RC_SPAN("doc-:x"), &part));
    cr_expect_not(rc_event_each_fits(&config, &config.events[0], RC_SPAN("doc-1:y"), &part));
    cr_expect_not(rc_event_each_fits(&config, &config.events[0], RC_SPAN("dog-1:x"), &part));
    cr_expect(rc_event_each_fits(&config, &config.events[1], RC_SPAN("#chat"), &part));
    cr_expect_eq(part.count, 0u);
    cr_expect_not(rc_event_each_fits(&config, &config.events[1], RC_SPAN("#chats"), &part));
    cr_expect(rc_event_each_fits(&config, &config.events[2], RC_SPAN("x"), &part));
    cr_expect(rc_span_equal(part, RC_SPAN("x")));
}

Test(event_build, guards_are_kept_with_what_they_compare)
{
    expect("match = { \"args.0.a\" = [\"x\", 1], \"user.b\" = true }\nwho = { tier = \"p\" }\nrate = \"100/1m\"\n"
           "inside = \"r:{args.0}\"\nrefuse = { code = \"NO\", who = \"W\", ack = [false, \"{error.message}\"] }\n",
           "");
    const struct rc_event_guards *const guards = &config.events[0].guards;
    const struct rc_event_condition *const match = rc_event_conditions(&config, guards->match);
    cr_assert_eq(guards->match_count, 2u);
    cr_expect_eq(match[0].value.source, RC_EVENT_SOURCE_ARGUMENT);
    cr_expect_eq(match[1].value.source, RC_EVENT_SOURCE_USER);
    const struct rc_event_piece *const wanted = rc_event_pieces(&config, &match[0].wanted);
    cr_expect(rc_span_equal(rc_event_text(&config, wanted->at, wanted->bytes), RC_SPAN("[\"x\",1]")));
    cr_expect_eq(guards->who, RC_EVENT_WHO_ATTRIBUTES);
    cr_expect_eq(guards->attribute_count, 1u);
    cr_expect_eq(guards->rate.count, 100u);
    cr_expect_eq(guards->rate.window_ms, 60000u);
    cr_expect_eq(guards->rate_group, 0u);
    cr_expect_eq(guards->rated, 1u);
    cr_expect_eq(guards->inside_count, 1u);
    cr_expect(rc_span_equal(rc_event_text(&config, guards->code.at, guards->code.bytes), RC_SPAN("\"NO\"")));
    cr_expect_eq(guards->texts[RC_GUARD_RATE].bytes, 0u);
    cr_expect_gt(guards->ack.piece_count, 0);
    expect("rate_bytes = \"2KB/1s\"\n", "");
    cr_expect_eq(config.events[0].guards.rate_bytes.count, 2000u);
    cr_expect_eq(config.events[0].guards.rate_bytes.window_ms, 1000u);
    cr_expect_eq(config.events[0].guards.rated, 1u);
    cr_expect_neq(load("[[event]]\non = \"a\"\nrate_bytes = \"1GiB/1s\"\n"), 0);
    cr_expect_str_eq(
        errors.lines[0].text,
        "x:3:14: [[event]] rate_bytes: expected a size and the time in which there may be so many bytes, as "
        "\"1MiB/1m\": 1B to 512MiB in 1s to 24h");
    cr_expect_neq(load("[[event]]\non = \"a\"\nrate_bytes = \"1KiB/1m\"\nrate_group = \"g\"\n[[event]]\non = \"b\"\n"
                       "rate_bytes = \"2KiB/1m\"\nrate_group = \"g\"\n"),
                  0, "a group has one rate");
    cr_expect_eq(
        load("[[event]]\non = \"a\"\nrate = \"1/1s\"\nrate_group = \"g\"\n[[event]]\non = \"b\"\nrate = \"2/1s\"\n"
             "rate_group = \"h\"\n[[event]]\non = \"c\"\nrate = \"1/1s\"\nrate_group = \"g\"\n"),
        0);
    cr_expect_eq(config.events[0].guards.rate_group, 1u);
    cr_expect_eq(config.events[1].guards.rate_group, 2u);
    cr_expect_eq(config.events[2].guards.rate_group, 1u);
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
