/* What replies say, and what refuses all of one. */
#include "worker/backend/reply.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

static struct rc_reply reply;

static int read_text(const char *text)
{
    struct rc_err err = {""};
    const int rc = rc_reply_read(&reply, rc_span_text(text), &err);
    cr_expect(rc == 0 || strlen(err.text) > 5, "%s", text);
    return rc;
}

static void expect_types(const char *text, const char *types)
{
    static const char letters[] = {
        [RC_REPLY_USER] = 'u', [RC_REPLY_SET] = 's',  [RC_REPLY_LEAVE] = 'l', [RC_REPLY_JOIN] = 'j',
        [RC_REPLY_ACK] = 'a',  [RC_REPLY_EMIT] = 'e', [RC_REPLY_ERROR] = 'r', [RC_REPLY_DISCONNECT] = 'd'};
    char got[RC_REPLY_OPERATIONS_MAX + 1] = "";
    cr_expect_eq(read_text(text), 0, "%s", text);
    for (uint32_t i = 0; i < reply.count; i++) {
        got[i] = letters[reply.operations[i].type];
    }
    cr_expect_str_eq(got, types, "%s", text);
}

Test(backend_reply, members_are_done_in_their_order_whatever_that_of_the_text)
{
    expect_types("", "");
    expect_types("{}", "");
    expect_types(
        "{\"disconnect\":true,\"error\":{\"code\":1,\"message\":\"x\"},\"emit\":[{\"event\":\"e\"}],\"ack\":[],"
        "\"join\":[\"a\",\"b\"],\"leave\":[\"c\"],\"set\":{},\"user\":{\"id\":\"1\"}}",
        "usljjaerd");
    expect_types("{\"do\":[{\"join\":[\"a\"]},{\"leave\":[\"a\"],\"emit\":{\"event\":\"x\"}}],\"ack\":[1]}", "ajle");
    expect_types("{\"join\":null,\"emit\":null,\"disconnect\":false,\"never\":{\"heard\":[\"of\"]}}", "");
}

Test(backend_reply, an_emit_has_its_members)
{
    uint8_t scratch[RC_CHANNEL_NAME_MAX];
    struct rc_reply_rooms rooms;
    struct rc_span room;
    cr_assert_eq(
        read_text(
            "{\"emit\":[{\"event\":\"\\u0065v\",\"args\":[1,{\"a\":2}],\"to\":[\"r\",\"\\u00fc\"],\"others\":true,"
            "\"except\":\"x\",\"nsp\":\"/n\",\"volatile\":true}]}"),
        0);
    const struct rc_reply_operation *emit = &reply.operations[0];
    cr_expect(rc_span_equal(rc_reply_text(&emit->name, scratch, 255), RC_SPAN("ev")));
    cr_expect(rc_span_equal(emit->value, RC_SPAN("[1,{\"a\":2}]")));
    cr_expect(emit->others);
    rc_reply_rooms_begin(&rooms, &emit->to);
    cr_assert(rc_reply_rooms_next(&rooms, scratch, &room));
    cr_expect(rc_span_equal(room, RC_SPAN("r")));
    cr_assert(rc_reply_rooms_next(&rooms, scratch, &room));
    cr_expect(rc_span_equal(room, RC_SPAN("ü")));
    cr_expect_not(rc_reply_rooms_next(&rooms, scratch, &room));
    rc_reply_rooms_begin(&rooms, &emit->except);
    cr_assert(rc_reply_rooms_next(&rooms, scratch, &room));
    cr_expect(rc_span_equal(room, RC_SPAN("x")));
    cr_expect_not(rc_reply_rooms_next(&rooms, scratch, &room));
    cr_expect(rc_span_equal(rc_reply_text(&emit->nsp, scratch, 255), RC_SPAN("/n")));
}

Test(backend_reply, attachments_are_decoded)
{
    uint8_t out[64];
    struct rc_span spans[4];
    cr_assert_eq(read_text("{\"ack\":[{\"_placeholder\":true,\"num\":1},{\"num\":0,\"_placeholder\":true}],"
                           "\"attachments\":[\"AAEC\",\"/w==\"]}"),
                 0);
    cr_assert_eq(rc_reply_attachments(reply.operations[0].attachments, out, spans, 4), 2);
    cr_expect(rc_span_equal(spans[0], rc_span_of("\0\1\2", 3)));
    cr_expect(rc_span_equal(spans[1], rc_span_of("\xff", 1)));
}

Test(backend_reply, a_wrong_type_refuses_all_of_it)
{
    static const char *const wrong[] = {
        "[]",
        "1",
        "{",
        "{}x",
        "{\"join\":[\"a\"],\"emit\":[{\"event\":\"\xff\"}]}",
        "{\"user\":\"42\"}",
        "{\"set\":[]}",
        "{\"join\":\"a\"}",
        "{\"join\":[1]}",
        "{\"join\":[\"\"]}",
        "{\"join\":[\"a\\u0007\"]}",
        "{\"leave\":{}}",
        "{\"ack\":{}}",
        "{\"ack\":1}",
        "{\"ack\":[],\"attachments\":[\"AA==\",1]}",
        "{\"ack\":[],\"attachments\":\"AA==\"}",
        "{\"ack\":[],\"attachments\":[\"A A\"]}",
        "{\"ack\":[{\"_placeholder\":true,\"num\":3}],\"attachments\":[\"AA==\"]}",
        "{\"emit\":\"x\"}",
        "{\"emit\":[\"x\"]}",
        "{\"emit\":[{}]}",
        "{\"emit\":[{\"event\":1}]}",
        "{\"emit\":[{\"event\":\"x\",\"args\":{}}]}",
        "{\"emit\":[{\"event\":\"x\",\"to\":1}]}",
        "{\"emit\":[{\"event\":\"x\",\"to\":[\"a\",2]}]}",
        "{\"emit\":[{\"event\":\"x\",\"except\":{}}]}",
        "{\"emit\":[{\"event\":\"x\",\"nsp\":2}]}",
        "{\"emit\":[{\"event\":\"x\",\"others\":\"yes\"}]}",
        "{\"error\":\"no\"}",
        "{\"error\":{\"code\":\"1\",\"message\":\"x\"}}",
        "{\"error\":{\"code\":1}}",
        "{\"error\":{\"message\":\"x\"}}",
        "{\"disconnect\":1}",
        "{\"disconnect\":\"now\"}",
        "{\"do\":{}}",
        "{\"do\":[1]}",
        "{\"do\":[{\"do\":[]}]}",
        "{\"do\":[{\"join\":[\"a\"]},{\"join\":5}]}",
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(wrong); i++) {
        cr_expect_lt(read_text(wrong[i]), 0, "%s", wrong[i]);
        cr_expect_eq(reply.count, 0);
    }
}

Test(backend_reply, more_than_the_bound_is_refused)
{
    for (uint32_t count = RC_REPLY_OPERATIONS_MAX; count <= RC_REPLY_OPERATIONS_MAX + 1; count++) {
        char *text = malloc(32 + (size_t)count * 8);
        int at = sprintf(text, "{\"join\":[");
        for (uint32_t i = 0; i < count; i++) {
            at += sprintf(text + at, "%s\"%u\"", i == 0 ? "" : ",", i);
        }
        (void)sprintf(text + at, "]}");
        cr_expect_eq(read_text(text) == 0, count == RC_REPLY_OPERATIONS_MAX, "%u", count);
        free(text);
    }
}

Test(backend_reply, an_emit_may_want_answers)
{
    uint8_t scratch[RC_REPLY_TOKEN_MAX];
    cr_assert_eq(read_text("{\"emit\":[{\"event\":\"q\",\"ack\":\"t\\u0031\",\"timeout\":1500},{\"event\":\"q\"}]}"),
                 0);
    cr_expect(rc_span_equal(rc_reply_text(&reply.operations[0].ack, scratch, sizeof(scratch)), RC_SPAN("t1")));
    cr_expect_eq(reply.operations[0].timeout_ms, 1500u);
    cr_expect_eq(reply.operations[1].ack.type, RC_JSON_NONE);
    cr_expect_eq(reply.operations[1].timeout_ms, 0u);
    cr_expect_lt(read_text("{\"emit\":[{\"event\":\"q\",\"ack\":true}]}"), 0);
    cr_expect_lt(read_text("{\"emit\":[{\"event\":\"q\",\"ack\":\"\"}]}"), 0);
    cr_expect_lt(read_text("{\"emit\":[{\"event\":\"q\",\"ack\":\"t\",\"timeout\":0}]}"), 0);
    cr_expect_lt(read_text("{\"emit\":[{\"event\":\"q\",\"ack\":\"t\",\"timeout\":\"1s\"}]}"), 0);
}

Test(backend_reply, operations_may_be_aimed)
{
    struct rc_reply_aim aim;
    struct rc_err err;
    cr_assert_eq(
        rc_reply_read_aimed(&reply, &aim,
                            RC_SPAN("{\"client\":[\"a\"],\"user\":42,\"room\":\"r\",\"nsp\":\"/n\",\"backend\":\"app\","
                                    "\"do\":[{\"user\":{\"id\":\"7\"}},{\"join\":[\"x\"]}]}"),
                            &err),
        0);
    cr_expect_eq(aim.client.type, RC_JSON_ARRAY);
    cr_expect_eq(aim.user.type, RC_JSON_NUMBER);
    cr_expect(rc_json_string_is(&aim.room, RC_SPAN("r")) && rc_json_string_is(&aim.nsp, RC_SPAN("/n")) &&
              rc_json_string_is(&aim.backend, RC_SPAN("app")));
    cr_expect_eq(reply.count, 2u);
    cr_expect_eq(reply.operations[0].type, RC_REPLY_USER);
    /* An object is the operation; null is nothing. */
    cr_assert_eq(rc_reply_read_aimed(&reply, &aim, RC_SPAN("{\"user\":{\"id\":\"7\"},\"client\":null}"), &err), 0);
    cr_expect_eq(aim.user.type, RC_JSON_NONE);
    cr_expect_eq(aim.client.type, RC_JSON_NONE);
    cr_expect_eq(reply.count, 1u);
    /* Of a reply they are members that are not known, and a user is an object. */
    cr_assert_eq(read_text("{\"client\":[\"a\"],\"room\":\"r\",\"join\":[\"x\"]}"), 0);
    cr_expect_eq(reply.count, 1u);
    cr_expect_lt(read_text("{\"user\":42}"), 0);
}
