/* Messages of python-socketio: byte for byte what its RedisManager of 5.16 (and, where it differs, of 5.14) publishes, and what is none. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "relay/bridge/python_wire.h"

#define HOST "\"host_id\": \"0123456789abcdef0123456789abcdef\"}"
#define EMIT(data, binary)                                                             \
    "{\"method\": \"emit\", \"event\": \"e\", \"data\": " data ", \"binary\": " binary \
    ", \"namespace\": \"/\", \"room\": null, "                                         \
    "\"skip_sid\": null, \"callback\": null, " HOST

static struct rc_python_message message;

static int read_message(const char *text)
{
    return rc_python_read(&message, rc_span_text(text));
}

static const char *shown(struct rc_span text)
{
    static char out[4][256];
    static uint32_t turn;
    char *to = out[turn++ % 4];
    (void)snprintf(to, sizeof(out[0]), "%.*s", (int)text.count, (const char *)text.bytes);
    return to;
}

/* "JSON text|size of attachment …" */
static const char *arguments(const char *text, size_t data_bytes_max)
{
    static uint8_t buffer[4096];
    static char out[512];
    struct rc_span data;
    struct rc_args_view args;
    cr_assert_eq(read_message(text), 0, "%s", text);
    cr_assert_leq(rc_python_args_room(strlen(text), data_bytes_max), sizeof(buffer));
    const int rc = rc_python_args(&message, buffer, data_bytes_max, &data);
    if (rc < 0) {
        return rc == -EMSGSIZE ? "too large" : rc == -EINVAL ? "refused" : "error";
    }
    cr_assert_eq(rc_args_read(data, &args), 0);
    size_t used = (size_t)snprintf(out, sizeof(out), "%s", shown(args.json));
    for (uint32_t i = 0; i < args.attachment_count; i++) {
        used += (size_t)snprintf(out + used, sizeof(out) - used, "|%s", shown(rc_args_attachment(&args, i)));
    }
    return out;
}

Test(python_wire, an_emit)
{
    cr_assert_eq(read_message(EMIT("[{\"a\": \"\\u00e9\"}]", "false")), 0);
    cr_assert_eq(message.method, RC_PYTHON_EMIT);
    cr_assert_str_eq(shown(message.event), "e");
    cr_assert_str_eq(shown(message.nsp), "/");
    cr_assert_not(message.binary);
    cr_assert_eq(message.room.type, RC_JSON_NULL);
    cr_assert_eq(message.skip_sid.type, RC_JSON_NULL);
}

Test(python_wire, operations_on_sockets)
{
    cr_assert_eq(read_message("{\"method\": \"disconnect\", \"sid\": \"s1\", \"namespace\": \"/admin\", " HOST), 0);
    cr_assert_eq(message.method, RC_PYTHON_DISCONNECT);
    cr_assert_str_eq(shown(message.sid), "s1");
    cr_assert_str_eq(shown(message.nsp), "/admin");
    cr_assert_eq(
        read_message("{\"method\": \"enter_room\", \"sid\": \"s1\", \"room\": \"red\", \"namespace\": \"/\", " HOST),
        0);
    cr_assert_eq(message.method, RC_PYTHON_ENTER_ROOM);
    cr_assert_eq(
        read_message("{\"method\": \"leave_room\", \"sid\": \"s1\", \"room\": \"red\", \"namespace\": \"/\", " HOST),
        0);
    cr_assert_eq(message.method, RC_PYTHON_LEAVE_ROOM);
    cr_assert_eq(read_message("{\"method\": \"close_room\", \"room\": \"red\", \"namespace\": \"/admin\", " HOST), 0);
    cr_assert_eq(message.method, RC_PYTHON_CLOSE_ROOM);
    cr_assert_str_eq(shown(message.room.raw), "\"red\"");
    /* One with another id than ours: not for us, but not wrong. */
    cr_assert_eq(read_message("{\"method\":\"disconnect\",\"sid\":\"a sid of more than twenty characters\"}"), 0);
    cr_assert_eq(message.sid.count, 0);
}

Test(python_wire, what_is_for_others_or_of_later_versions_is_passed_over)
{
    cr_assert_eq(read_message("{\"method\": \"callback\", \"sid\": \"s1\", \"namespace\": 5, \"id\": 1, \"args\": []}"),
                 0);
    cr_assert_eq(message.method, RC_PYTHON_OTHER);
    cr_assert_eq(read_message("{\"method\":\"emit\",\"event\":\"e\",\"data\":1,\"later\":{\"room\":[]}}"), 0);
    cr_assert_str_eq(shown(message.nsp), "/");
    cr_assert_eq(read_message("{\"method\":\"emit\",\"event\":\"e\",\"data\":1,\"namespace\":\"\"}"), 0);
    cr_assert_str_eq(shown(message.nsp), "/");
    cr_assert_eq(read_message("{\"event\":\"first\",\"method\":\"emit\",\"data\":1,\"event\":\"last\"}"), 0);
    cr_assert_str_eq(shown(message.event), "last");
}

Test(python_wire, what_is_no_message)
{
    cr_assert_eq(read_message(""), -EBADMSG);
    cr_assert_eq(read_message("[]"), -EBADMSG);
    cr_assert_eq(read_message("{}"), -EINVAL);
    cr_assert_eq(read_message("{\"method\":1}"), -EINVAL);
    cr_assert_eq(read_message("{\"method\":\"emit\",\"event\":\"e\",\"data\":NaN}"), -EBADMSG);
    cr_assert_eq(read_message("{\"method\":\"emit\",\"event\":\"e\"}"), -EINVAL);
    cr_assert_eq(read_message("{\"method\":\"emit\",\"data\":1}"), -EINVAL);
    cr_assert_eq(read_message("{\"method\":\"emit\",\"event\":7,\"data\":1}"), -EINVAL);
    cr_assert_eq(read_message("{\"method\":\"emit\",\"event\":\"connect\",\"data\":1}"), -EINVAL);
    cr_assert_eq(read_message("{\"method\":\"emit\",\"event\":\"e\",\"data\":1,\"namespace\":\"admin\"}"), -EINVAL);
    cr_assert_eq(read_message("{\"method\":\"emit\",\"event\":\"e\",\"data\":1,\"namespace\":[]}"), -EINVAL);
    cr_assert_eq(read_message("{\"method\":\"emit\",\"event\":\"\xff\",\"data\":1}"), -EILSEQ);
    cr_assert_eq(read_message("{\"method\":\"disconnect\"}"), -EINVAL);
    cr_assert_eq(read_message("{\"method\":\"enter_room\",\"sid\":\"s\"}"), -EINVAL);
    cr_assert_eq(read_message("{\"method\":\"close_room\"}"), -EINVAL);
}

/* Names with commas between them, "*" for everybody. */
static const char *names_of(const char *room)
{
    static char out[256];
    static uint8_t scratch[RC_CHANNEL_NAME_MAX];
    struct rc_json_value value;
    struct rc_span name;
    int got;
    out[0] = '\0';
    cr_assert_eq(rc_json_scan(rc_span_text(room), 0, &value, NULL), 0);
    struct rc_python_names names = rc_python_names_of(&value);
    while ((got = rc_python_name_next(&names, scratch, &name)) != 0) {
        (void)strcat(strcat(out, got == -ENOENT ? "*" : shown(name)), ",");
    }
    return out;
}

Test(python_wire, names_of_rooms)
{
    cr_assert_str_eq(names_of("\"red\""), "red,");
    cr_assert_str_eq(names_of("\"r\\u00e9d\""), "r\xc3\xa9"
                                                "d,");
    cr_assert_str_eq(names_of("[\"red\",7,\"blue\"]"), "red,7,blue,");
    cr_assert_str_eq(names_of("null"), "*,");
    cr_assert_str_eq(names_of("[\"red\",null]"), "red,*,");
    cr_assert_str_eq(names_of("[]"), "");
    /* Nobody can be in these. */
    cr_assert_str_eq(names_of("[\"\",\"a\\nb\",\"\\ud800\",true,{},[\"red\"]]"), ",,,,,,");
}

Test(python_wire, arguments_of_a_list)
{
    cr_assert_str_eq(arguments(EMIT("[{\"a\": \"\\u00e9\"}]", "false"), 1000), "[{\"a\": \"\\u00e9\"}]");
    cr_assert_str_eq(arguments(EMIT("[1, [2], null]", "false"), 1000), "[1, [2], null]");
    cr_assert_str_eq(arguments(EMIT("[[1, 2]]", "false"), 1000), "[[1, 2]]");
    cr_assert_str_eq(arguments(EMIT("[]", "false"), 1000), "[]");
    cr_assert_str_eq(arguments(EMIT("[null]", "false"), 1000), "[]"); /* emit("e") */
    cr_assert_str_eq(arguments(EMIT("[null, null]", "false"), 1000), "[null, null]");
}

Test(python_wire, arguments_as_5_14_had_them)
{
    cr_assert_str_eq(arguments(EMIT("{\"a\": 1}", "false"), 1000), "[{\"a\": 1}]");
    cr_assert_str_eq(arguments(EMIT("\"text\"", "false"), 1000), "[\"text\"]");
    cr_assert_str_eq(arguments(EMIT("null", "false"), 1000), "[]");
    cr_assert_str_eq(arguments(EMIT("[{\"_placeholder\": true, \"num\": 0}, \"YWJj\"]", "true"), 1000),
                     "[{\"_placeholder\": true, \"num\": 0}]|abc");
}

Test(python_wire, binary_arguments)
{
    cr_assert_str_eq(
        arguments(EMIT("[[{\"_placeholder\": true, \"num\": 0}, {\"d\": [{\"_placeholder\": true, \"num\": 1}]}], "
                       "\"YWJj\", \"\"]",
                       "true"),
                  1000),
        "[{\"_placeholder\": true, \"num\": 0}, {\"d\": [{\"_placeholder\": true, \"num\": 1}]}]|abc|");
    /* Escapes, which json.dumps does not write here, but may. */
    cr_assert_str_eq(arguments(EMIT("[[{\"_placeholder\": true, \"num\": 0}], \"YW\\u004aj\"]", "true"), 1000),
                     "[{\"_placeholder\": true, \"num\": 0}]|abc");
    /* Without binary a placeholder is an object like any other. */
    cr_assert_str_eq(arguments(EMIT("[{\"_placeholder\": true, \"num\": 9}]", "false"), 1000),
                     "[{\"_placeholder\": true, \"num\": 9}]");
}

Test(python_wire, binary_that_is_none)
{
    cr_assert_str_eq(arguments(EMIT("{}", "true"), 1000), "refused");
    cr_assert_str_eq(arguments(EMIT("[]", "true"), 1000), "refused");
    cr_assert_str_eq(arguments(EMIT("[[], 5]", "true"), 1000), "refused");
    cr_assert_str_eq(arguments(EMIT("[[], \"Y\"]", "true"), 1000), "refused");
    cr_assert_str_eq(arguments(EMIT("[[{\"_placeholder\": true, \"num\": 1}], \"YWJj\"]", "true"), 1000), "refused");
    cr_assert_str_eq(arguments(EMIT("[[{\"_placeholder\": true, \"num\": 0}]]", "true"), 1000), "refused");
}

Test(python_wire, what_is_too_large)
{
    cr_assert_str_eq(arguments(EMIT("[\"123456\"]", "false"), 10), "[\"123456\"]");
    cr_assert_str_eq(arguments(EMIT("[\"1234567\"]", "false"), 10), "too large");
    cr_assert_str_eq(arguments(EMIT("\"123456\"", "false"), 10), "[\"123456\"]");
    cr_assert_str_eq(arguments(EMIT("\"1234567\"", "false"), 10), "too large");
    cr_assert_str_eq(arguments(EMIT("[[1], \"YWJjZGVmZw==\"]", "true"), 10), "[1]|abcdefg");
    cr_assert_str_eq(arguments(EMIT("[[1], \"YWJjZGVmZ2g=\"]", "true"), 10), "too large");
}
