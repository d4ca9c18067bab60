/* What Socket.IO servers answer: both families' forms, and what is none of them. */
#include "relay/bridge/adapter_response.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/text/msgpack_json.h"

static struct rc_adapter_response response;
static uint8_t buffer[65536];

static int take(struct rc_span message)
{
    const size_t room = rc_adapter_response_room(message.count);
    cr_assert_leq(room, sizeof(buffer));
    return rc_adapter_response_read(&response, message, buffer, room);
}

/* The same as msgpack, with one attachment. */
static int take_packed(const char *json)
{
    static uint8_t packed[4096];
    const struct rc_span bytes = RC_SPAN("\x01\xff");
    struct rc_msgpack_writer writer = rc_msgpack_writer_of(packed, sizeof(packed));
    cr_assert_eq(rc_json_to_msgpack(&writer, rc_span_text(json), &bytes, 1), 0);
    return take(rc_msgpack_written(&writer));
}

static bool is(struct rc_span span, const char *text)
{
    return rc_span_equal(span, rc_span_text(text));
}

/* Ids of its sockets, and how it ended. */
static const char *ids(void)
{
    static char text[256];
    struct rc_json_cursor cursor;
    struct rc_span id;
    size_t used = 0;
    int got = rc_json_array_begin(&cursor, response.sockets, 0);
    while (got >= 0 && (got = rc_adapter_response_socket(&cursor, &id)) == 1) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%.*s ", (int)id.count, (const char *)id.bytes);
    }
    (void)snprintf(text + used, sizeof(text) - used, "%d", got);
    return text;
}

Test(adapter_response, classic)
{
    cr_assert_eq(take(RC_SPAN("{\"requestId\":\"r\",\"sockets\":[\"a\",\"b\\u00e9\"]}")), 0);
    cr_assert(response.type == RC_ADAPTER_RESPONSE_SOCKETS && is(response.id, "r"));
    cr_assert_str_eq(ids(), "\"a\" \"b\\u00e9\" 0");
    cr_assert_eq(take(RC_SPAN("{\"type\":8,\"requestId\":\"r\",\"clientCount\":3}")), 0);
    cr_assert(response.type == RC_ADAPTER_RESPONSE_COUNT && response.count == 3);
    cr_assert_eq(take_packed("{\"type\":9,\"requestId\":\"r\",\"packet\":[1,{\"_placeholder\":true,\"num\":0}]}"), 0);
    cr_assert(response.type == RC_ADAPTER_RESPONSE_ANSWER && response.attachment_count == 1);
    cr_assert(is(response.packet, "[1,{\"_placeholder\":true,\"num\":0}]"));
    cr_assert_eq(take_packed("{\"type\":9,\"requestId\":\"r\"}"), 0);
    cr_assert(response.type == RC_ADAPTER_RESPONSE_ANSWER && response.packet.count == 0, "without an argument");
}

Test(adapter_response, cluster)
{
    cr_assert_eq(take(RC_SPAN("{\"uid\":\"u\",\"nsp\":\"/\",\"type\":8,\"data\":{\"requestId\":\"r\",\"sockets\":"
                              "[{\"rooms\":[],\"id\":\"a\"},{\"id\":\"b\"}]}}")),
                 0);
    cr_assert(response.type == RC_ADAPTER_RESPONSE_SOCKETS && is(response.id, "r"));
    cr_assert_str_eq(ids(), "\"a\" \"b\" 0");
    cr_assert_eq(
        take_packed("{\"uid\":\"u\",\"nsp\":\"/\",\"type\":11,\"data\":{\"requestId\":\"r\",\"clientCount\":0}}"), 0);
    cr_assert(response.type == RC_ADAPTER_RESPONSE_COUNT && response.count == 0);
    cr_assert_eq(take(RC_SPAN("{\"type\":12,\"data\":{\"requestId\":\"r\",\"packet\":{\"x\":1}}}")), 0);
    cr_assert(response.type == RC_ADAPTER_RESPONSE_ANSWER && is(response.packet, "{\"x\":1}"));
    cr_assert_eq(take(RC_SPAN("{\"type\":9,\"data\":{\"requestId\":\"r\",\"packet\":[\"event\"]}}")), 0);
    cr_assert_eq(response.type, RC_ADAPTER_RESPONSE_NONE, "an event of a server is no answer there");
}

Test(adapter_response, nonsense)
{
    static const char *const wrong[] = {
        "", "{", "{}x", "[]", "{\"type\":\"9\"}", "\xc1", "\x91\x01", "{\"a\":\"\xff\"}"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_expect_lt(take(rc_span_text(wrong[i])), 0, "%zu", i);
    }
    cr_assert_eq(take(RC_SPAN("{\"requestId\":7,\"sockets\":{},\"clientCount\":-1}")), 0);
    cr_assert(response.type == RC_ADAPTER_RESPONSE_NONE && response.id.count == 0);
    cr_assert_eq(take(RC_SPAN("{\"requestId\":\"\\u0072\",\"sockets\":[\"a\",3]}")), 0);
    cr_assert(response.id.count == 0, "ours has no escapes");
    cr_assert_str_eq(ids(), "\"a\" -22");
    cr_assert_eq(take(RC_SPAN("{\"requestId\":\"r\",\"sockets\":[{\"name\":\"a\"}]}")), 0);
    cr_assert_str_eq(ids(), "-22", "a socket without an id");
}
