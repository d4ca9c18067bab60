/* Frames of calls, and what replies to connect and to questions say. */
#include "worker/backend/call.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "worker/backend/pool.h"
#include "worker/http/parse.h"

static struct rc_reply operations;

static struct rc_backend_answer answer_of(uint16_t status, const char *body)
{
    return (struct rc_backend_answer){
        .outcome = RC_BACKEND_ANSWERED, .status = status, .body = rc_span_text(body), .why = ""};
}

static struct rc_backend_connect_reply connect_reply(uint16_t status, const char *body)
{
    static struct rc_backend_connect_reply reply;
    const struct rc_backend_answer answer = answer_of(status, body);
    rc_backend_connect_reply_read(&reply, &operations, &answer);
    return reply;
}

Test(backend_call, a_frame_has_who_it_is_of_and_its_own_members)
{
    struct rc_control control = {.instance_id = "web1"};
    struct rc_backends backends = {.control = &control, .worker = 3, .run = 0xabc};
    struct rc_backend_frame frame;
    const struct rc_backend_caller caller = {
        .nsp = RC_SPAN("/"), .sid = RC_SPAN("s\"1"), .user = RC_SPAN("{\"id\":\"42\"}")};
    const struct rc_span bytes[] = {RC_SPAN("\x01"), RC_SPAN("ab"), RC_SPAN("abc"), {0}};
    rc_backend_frame_begin(&frame, &backends, RC_BACKEND_EVENT, &caller);
    rc_backend_frame_text(&frame, "event", RC_SPAN("say\n"));
    rc_backend_frame_json(&frame, "args", RC_SPAN("[1, 2]"));
    rc_backend_frame_json(&frame, "nothing", (struct rc_span){0});
    rc_backend_frame_base64(&frame, "attachments", bytes, 4);
    rc_backend_frame_base64(&frame, "none", bytes, 0);
    rc_backend_frame_bool(&frame, "ack", true);
    static const char expected[] =
        "{\"call\":\"event\",\"id\":\"web1~3-abc-1\",\"instance\":\"web1\",\"nsp\":\"/\",\"sid\":\"s\\\"1\","
        "\"user\":{\"id\":\"42\"},\"client\":{},\"event\":\"say\\n\",\"args\":[1, 2],\"nothing\":null,"
        "\"attachments\":[\"AQ==\",\"YWI=\",\"YWJj\",\"\"],\"ack\":true";
    cr_expect(rc_span_equal(rc_span_of(frame.bytes, frame.count), rc_span_text(expected)), "%.*s", (int)frame.count,
              (const char *)frame.bytes);
    rc_backend_frame_drop(&frame);
}

Test(backend_call, keys_depend_on_every_part_and_its_place)
{
    uint8_t keys[3][RC_BACKEND_KEY_BYTES];
    const struct rc_span parts[][2] = {{RC_SPAN("ab"), RC_SPAN("c")}, {RC_SPAN("a"), RC_SPAN("bc")}};
    rc_backend_key(keys[0], parts[0], 2);
    rc_backend_key(keys[1], parts[1], 2);
    rc_backend_key(keys[2], parts[0], 2);
    cr_expect_neq(memcmp(keys[0], keys[1], sizeof(keys[0])), 0);
    cr_expect_eq(memcmp(keys[0], keys[2], sizeof(keys[0])), 0);
}

Test(backend_call, only_listed_headers_are_forwarded)
{
    static const char head[] =
        "GET / HTTP/1.1\r\nHost: x\r\nCOOKIE: a=b\r\nX-Other: 1\r\nCookie: c=d\r\nOrigin: o\r\n\r\n";
    struct rc_config_backend backend = {.forward_count = 2};
    const struct rc_http_limits limits = {0};
    struct rc_http_request request;
    size_t scanned = 0;
    const char *why = "";
    char out[256];
    strcpy(backend.forward[0].text, "cookie");
    strcpy(backend.forward[1].text, "origin");
    cr_assert_gt(rc_http_request_parse((const uint8_t *)head, strlen(head), &scanned, &limits, &request, &why), 0, "%s",
                 why);
    const size_t bytes = rc_backend_forward(&backend, &request, out, sizeof(out));
    cr_expect(rc_span_equal(rc_span_of(out, bytes), RC_SPAN("cookie: a=b\r\ncookie: c=d\r\norigin: o\r\n")));
    cr_expect_eq(rc_backend_forward(&backend, &request, out, 30), 26); /* what does not fit is left out whole */
}

Test(backend_call, connect_is_accepted_with_what_the_reply_says)
{
    uint8_t scratch[RC_CHANNEL_NAME_MAX];
    struct rc_backend_connect_reply reply = connect_reply(
        200, "{\"user\":{\"id\":\"4\\u0032\",\"name\":\"Ada\"},\"client\":{\"a\":1},\"expire_at\":1800000000,\"ttl\":5,"
             "\"join\":[\"r\"],\"emit\":[{\"event\":\"hello\"}]}");
    cr_expect_eq(reply.verdict, RC_BACKEND_ACCEPTED);
    cr_expect(rc_span_equal(rc_reply_text(&reply.user_id, scratch, 255), RC_SPAN("42")));
    cr_expect(rc_span_equal(reply.client, RC_SPAN("{\"a\":1}")));
    cr_expect_eq(reply.expire_at_s, 1800000000);
    cr_expect_eq(operations.count, 2);
    cr_expect_eq(operations.operations[0].type, RC_REPLY_JOIN);
    reply = connect_reply(204, "");
    cr_expect_eq(reply.verdict, RC_BACKEND_ACCEPTED);
    cr_expect_eq(reply.user.count, 0);
    reply = connect_reply(200, "{}");
    cr_expect_eq(reply.verdict, RC_BACKEND_ACCEPTED);
    cr_expect_eq(operations.count, 0);
}

Test(backend_call, connect_is_denied_by_the_reply_or_by_its_status)
{
    struct rc_backend_connect_reply reply =
        connect_reply(200, "{\"deny\":{\"message\":\"not you\",\"data\":{\"retry\":false}},\"join\":[\"r\"]}");
    cr_expect_eq(reply.verdict, RC_BACKEND_DENIED);
    cr_expect(rc_span_equal(reply.message, RC_SPAN("not you")));
    cr_expect(rc_span_equal(reply.data, RC_SPAN("{\"retry\":false}")));
    cr_expect_eq(operations.count, 0);
    reply = connect_reply(401, "{\"message\":\"log in\"}");
    cr_expect_eq(reply.verdict, RC_BACKEND_DENIED);
    cr_expect(rc_span_equal(reply.message, RC_SPAN("log in")));
    reply = connect_reply(403, "<html>");
    cr_expect_eq(reply.verdict, RC_BACKEND_DENIED);
    cr_expect_eq(reply.message.count, 0);
}

Test(backend_call, connect_has_no_answer_that_counts)
{
    static const char *const wrong[] = {"x",
                                        "[]",
                                        "{\"user\":42}",
                                        "{\"user\":{}}",
                                        "{\"user\":{\"id\":7}}",
                                        "{\"user\":{\"id\":\"\"}}",
                                        "{\"user\":{\"id\":\"a\\u0000\"}}",
                                        "{\"client\":[]}",
                                        "{\"expire_at\":\"soon\"}",
                                        "{\"deny\":5}",
                                        "{\"join\":5}"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const struct rc_backend_connect_reply reply = connect_reply(200, wrong[i]);
        cr_expect_eq(reply.verdict, RC_BACKEND_NO_ANSWER, "%s", wrong[i]);
        cr_expect(reply.refused && strlen(reply.why) > 5, "%s", wrong[i]);
        cr_expect_eq(operations.count, 0);
    }
    cr_expect_eq(connect_reply(500, "{}").verdict, RC_BACKEND_NO_ANSWER);
    cr_expect_eq(connect_reply(302, "{}").verdict, RC_BACKEND_NO_ANSWER);
    cr_expect_not(connect_reply(500, "{}").refused);
}

Test(backend_call, questions_are_allowed_denied_or_not_answered)
{
    static const struct {
        uint16_t status;
        const char *body;
        enum rc_backend_verdict verdict;
    } cases[] = {{200, "{\"allow\":true}", RC_BACKEND_ACCEPTED},
                 {200, "", RC_BACKEND_ACCEPTED},
                 {204, "", RC_BACKEND_ACCEPTED},
                 {200, "{\"allow\":false}", RC_BACKEND_DENIED},
                 {403, "", RC_BACKEND_DENIED},
                 {404, "x", RC_BACKEND_DENIED},
                 {500, "", RC_BACKEND_NO_ANSWER},
                 {200, "{\"allow\":1}", RC_BACKEND_NO_ANSWER},
                 {200, "x", RC_BACKEND_NO_ANSWER}};
    struct rc_backend_allow_reply reply;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct rc_backend_answer answer = answer_of(cases[i].status, cases[i].body);
        rc_backend_allow_reply_read(&reply, NULL, &answer);
        cr_expect_eq(reply.verdict, cases[i].verdict, "%u %s", cases[i].status, cases[i].body);
    }
    const struct rc_backend_answer late = {.outcome = RC_BACKEND_LATE, .why = "late"};
    rc_backend_allow_reply_read(&reply, NULL, &late);
    cr_expect_eq(reply.verdict, RC_BACKEND_NO_ANSWER);
    const struct rc_backend_answer full = answer_of(200, "{\"data\":{\"x\":1},\"set\":{}}");
    rc_backend_allow_reply_read(&reply, &operations, &full);
    cr_expect(rc_span_equal(reply.data, RC_SPAN("{\"x\":1}")));
    cr_expect_eq(operations.count, 1);
}

Test(backend_call, refresh_says_until_when_or_that_it_is_over)
{
    static const struct {
        uint16_t status;
        const char *body;
        enum rc_backend_verdict verdict;
        bool expired;
        bool refused;
    } cases[] = {{200, "{\"expire_at\":7}", RC_BACKEND_ACCEPTED, false, false},
                 {200, "{\"expire_at\":0}", RC_BACKEND_ACCEPTED, false, false},
                 {200, "{\"expire_at\":7,\"user\":{\"id\":\"42\"}}", RC_BACKEND_ACCEPTED, false, false},
                 {200, "{\"expired\":true}", RC_BACKEND_ACCEPTED, true, false},
                 {200, "{\"deny\":true}", RC_BACKEND_DENIED, false, false},
                 {401, "", RC_BACKEND_DENIED, false, false},
                 {200, "{\"expired\":false}", RC_BACKEND_NO_ANSWER, false, true},
                 {200, "{\"expired\":1}", RC_BACKEND_NO_ANSWER, false, true},
                 {200, "{\"expire_at\":\"soon\"}", RC_BACKEND_NO_ANSWER, false, true},
                 {200, "{\"expire_at\":18446744073709551615}", RC_BACKEND_NO_ANSWER, false, true},
                 {200, "{}", RC_BACKEND_NO_ANSWER, false, true},
                 {200, "", RC_BACKEND_NO_ANSWER, false, true},
                 {204, "", RC_BACKEND_NO_ANSWER, false, true},
                 {500, "", RC_BACKEND_NO_ANSWER, false, false}};
    struct rc_backend_connect_reply reply;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct rc_backend_answer answer = answer_of(cases[i].status, cases[i].body);
        rc_backend_refresh_reply_read(&reply, &answer);
        cr_expect_eq(reply.verdict, cases[i].verdict, "%u %s", cases[i].status, cases[i].body);
        cr_expect_eq(reply.expired, cases[i].expired, "%u %s", cases[i].status, cases[i].body);
        cr_expect_eq(reply.refused, cases[i].refused, "%u %s", cases[i].status, cases[i].body);
    }
}
