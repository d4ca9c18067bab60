/* What Socket.IO servers ask one another, read: as the real ones write it, old forms, what is refused. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "relay/bridge/adapter_request.h"

static int read_text(struct rc_adapter_request *request, const char *text)
{
    return rc_adapter_request_read(request, rc_span_text(text));
}

static void expect_span(struct rc_span span, const char *text)
{
    cr_assert(rc_span_equal(span, rc_span_text(text)), "%.*s is not %s", (int)span.count, span.bytes, text);
}

Test(adapter_request, requests_as_servers_write_them)
{
    struct rc_adapter_request request;
    cr_assert_eq(read_text(&request, "{\"uid\":\"abc123\",\"requestId\":\"r1\",\"type\":5,"
                                     "\"opts\":{\"rooms\":[\"a\"],\"except\":[\"b\"],\"flags\":{}}}"),
                 0);
    cr_assert_eq(request.type, RC_ADAPTER_FETCH);
    expect_span(request.uid, "abc123");
    expect_span(request.id, "\"r1\"");
    expect_span(request.rooms, "[\"a\"]");
    expect_span(request.except, "[\"b\"]");
    cr_assert_eq(read_text(&request, "{\"uid\":\"u\",\"requestId\":\"r\",\"type\":1}"), 0);
    cr_assert_eq(request.type, RC_ADAPTER_ALL_ROOMS);
    cr_assert_eq(read_text(&request, "{\"uid\":\"u\",\"requestId\":\"r\",\"type\":0,\"rooms\":[\"a\"]}"), 0);
    expect_span(request.rooms, "[\"a\"]");
    cr_assert_eq(read_text(&request, "{\"uid\":\"u\",\"type\":2,\"opts\":{\"rooms\":[\"a\"]},\"rooms\":[\"x\",\"y\"]}"),
                 0);
    expect_span(request.rooms, "[\"a\"]");
    expect_span(request.targets, "[\"x\",\"y\"]");
    cr_assert_eq(request.id.count, 0);
    cr_assert_eq(read_text(&request, "{\"type\":4,\"opts\":{\"rooms\":[],\"except\":[]},\"close\":true}"), 0);
    cr_assert(request.close && request.uid.count == 0);
    cr_assert_eq(read_text(&request, "{\"type\":4,\"opts\":{\"rooms\":null}}"), 0, "a Set of null is an empty one");
    cr_assert_eq(request.rooms.count, 0);
    cr_assert_eq(read_text(&request, "{\"requestId\":\"r\",\"type\":0}"), 0);
}

Test(adapter_request, old_forms_name_one_socket)
{
    struct rc_adapter_request request;
    cr_assert_eq(read_text(&request, "{\"requestId\":\"r\",\"type\":3,\"sid\":\"s\",\"room\":\"x\"}"), 0);
    expect_span(request.sid, "\"s\"");
    expect_span(request.room, "\"x\"");
}

Test(adapter_request, what_is_none_is_refused)
{
    static const char *const wrong[] = {
        "", "{", "{}", "[]", "{\"type\":5}", "{\"type\":\"5\",\"requestId\":\"r\"}", "{\"type\":9,\"requestId\":\"r\"}",
        "{\"type\":7,\"requestId\":\"r\"}", "{\"type\":2,\"rooms\":\"x\"}",
        /* Who is meant is not said, or not as a list: nobody is, and not everybody. */
        "{\"type\":4}", "{\"type\":4,\"close\":true}", "{\"type\":4,\"opts\":null}", "{\"type\":4,\"opts\":[\"a\"]}",
        "{\"type\":4,\"sid\":7}", "{\"type\":4,\"opts\":{\"rooms\":\"a\"}}",
        "{\"type\":4,\"opts\":{\"rooms\":[],\"except\":{}}}", "{\"type\":2,\"rooms\":[\"x\"]}",
        "{\"type\":3,\"rooms\":[\"x\"],\"room\":\"y\"}", "{\"type\":2,\"opts\":{\"rooms\":7},\"rooms\":[\"x\"]}",
        "{\"type\":5,\"requestId\":\"r\"}", "{\"type\":5,\"requestId\":\"r\",\"opts\":{\"rooms\":true}}",
        "{\"type\":0,\"requestId\":\"r\",\"rooms\":\"a\"}", "{\"type\":1,\"requestId\":7}", "{\"type\":6,\"data\":{}}",
        "{\"type\":1,\"requestId\":\"\xff\"}",
        "{\"type\":1,\"requestId\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"}"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct rc_adapter_request request;
        cr_assert_lt(read_text(&request, wrong[i]), 0, "%s", wrong[i]);
    }
}

static void expect_server_event(const char *text, const char *name, const char *args)
{
    struct rc_adapter_request request;
    uint8_t out[RC_EVENT_NAME_MAX];
    struct rc_span event;
    struct rc_span arguments;
    cr_assert_eq(read_text(&request, text), 0);
    uint8_t *place = malloc(request.data.count);
    cr_assert_eq(rc_adapter_event_split(request.data, out, &event, place, &arguments), 0, "%s", text);
    expect_span(event, name);
    expect_span(arguments, args);
    free(place);
}

Test(adapter_request, events_of_servers_are_taken_apart)
{
    expect_server_event("{\"type\":6,\"data\":[\"e\"]}", "e", "[]");
    expect_server_event("{\"type\":6,\"data\":[ \"e,\" ]}", "e,", "[]");
    expect_server_event("{\"type\":6,\"data\":[7,8]}", "7", "[8]");
    expect_server_event("{\"type\":6,\"data\":[\"\\u00e9\" , 1, [2] ]}", "é", "[ 1, [2] ]");
    struct rc_adapter_request request;
    uint8_t out[RC_EVENT_NAME_MAX];
    uint8_t place[64];
    struct rc_span event;
    cr_assert_eq(read_text(&request, "{\"type\":6,\"data\":[null]}"), 0);
    cr_assert_eq(rc_adapter_event_split(request.data, out, &event, place, &event), -EINVAL);
    cr_assert_eq(read_text(&request, "{\"type\":6,\"data\":[]}"), 0);
    cr_assert_eq(rc_adapter_event_split(request.data, out, &event, place, &event), -EINVAL);
}

/* As notepack writes it. */
#define ACKED                                                                                                          \
    "\x85\xa3\x75\x69\x64\xa1\x75\xa9\x72\x65\x71\x75\x65\x73\x74\x49\x64\xa2\x72\x31\xa4\x74\x79\x70\x65\x07\xa6\x70" \
    "\x61\x63\x6b\x65\x74\x83\xa4\x74\x79\x70\x65\x02\xa4\x64\x61\x74\x61\x92\xa1\x65\x01\xa3\x6e\x73\x70\xa1\x2f\xa4" \
    "\x6f\x70\x74\x73\x83\xa5\x72\x6f\x6f\x6d\x73\x91\xa1\x61\xa6\x65\x78\x63\x65\x70\x74\x90\xa5\x66\x6c\x61\x67\x73" \
    "\x81\xa7\x74\x69\x6d\x65\x6f\x75\x74\x05"

Test(adapter_request, broadcasts_that_are_answered_are_msgpack)
{
    const struct rc_span message = RC_SPAN(ACKED);
    struct rc_adapter_request request;
    cr_assert_eq(rc_adapter_request_read(&request, message), 0);
    cr_assert_eq(request.type, RC_ADAPTER_BROADCAST);
    expect_span(request.id, "\"r1\"");
    expect_span(request.uid, "u");
    expect_span(request.broadcast.nsp, "/");
    cr_assert_eq(request.broadcast.rooms.count, 1);
    for (size_t cut = 0; cut < message.count; cut++) {
        uint8_t *part = malloc(cut > 0 ? cut : 1);
        memcpy(part, message.bytes, cut);
        cr_assert_lt(rc_adapter_request_read(&request, rc_span_of(part, cut)), 0, "%zu", cut);
        free(part);
    }
}
