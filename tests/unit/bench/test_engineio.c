/* Engine.IO's polling transport as the load generator reads and writes it. */
#include "bench/engineio.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int answer_of(const char *text, struct rc_bench_poll_answer *answer)
{
    return rc_bench_engineio_answer((const uint8_t *)text, strlen(text), answer);
}

Test(bench_engineio, requests)
{
    char out[512];
    const char *const path = "/socket.io/?EIO=4&transport=polling";
    size_t bytes = rc_bench_engineio_request(out, sizeof(out), "host:1", path, "", RC_SPAN(""));
    out[bytes] = '\0';
    cr_assert_str_eq(out, "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: host:1\r\nAccept: */*\r\n\r\n");
    bytes = rc_bench_engineio_request(out, sizeof(out), "host:1", path, "abc", RC_SPAN("40"));
    out[bytes] = '\0';
    cr_assert_str_eq(out, "POST /socket.io/?EIO=4&transport=polling&sid=abc HTTP/1.1\r\nHost: host:1\r\nAccept: */*\r\n"
                          "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: 2\r\n\r\n40");
    for (size_t room = 0; room < bytes; room++) {
        cr_assert_eq(rc_bench_engineio_request(out, room, "host:1", path, "abc", RC_SPAN("40")), 0, "room %zu", room);
    }
}

Test(bench_engineio, answers_cut_anywhere_are_not_whole)
{
    const char *const text =
        "HTTP/1.1 200 OK\r\nX-Length: 3\r\ncontent-LENGTH:   5\r\nA: Content-Length: 9\r\n\r\nhelloHTTP/1.1 2";
    const size_t whole = (size_t)(strstr(text, "hello") - text) + 5;
    struct rc_bench_poll_answer answer;
    for (size_t count = 1; count < whole; count++) {
        /* A copy of its own length, so that a read behind it is seen. */
        uint8_t copy[256];
        memcpy(copy + sizeof(copy) - count, text, count);
        cr_assert_eq(rc_bench_engineio_answer(copy + sizeof(copy) - count, count, &answer), 0, "%zu bytes", count);
    }
    cr_assert_eq(answer_of(text, &answer), (int)whole);
    cr_assert_eq(answer.status, 200);
    cr_assert(rc_span_equal(answer.body, RC_SPAN("hello")));
    cr_assert_eq(answer_of("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &answer), 38);
    cr_assert_eq(answer.body.count, 0);
}

Test(bench_engineio, what_is_no_answer)
{
    struct rc_bench_poll_answer answer;
    static const char *const bad[] = {
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "42[\"message\"]",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(answer_of(bad[i], &answer), -EPROTO, "%s", bad[i]);
    }
    /* Told as soon as the status is there. */
    cr_assert_eq(answer_of("HTTP/1.1 400", &answer), -EPROTO);
    cr_assert_eq(answer.status, 400);
    static char endless[RC_BENCH_POLL_ANSWER_MAX + 32];
    memset(endless, 'a', sizeof(endless) - 1);
    memcpy(endless, "HTTP/1.1 200 OK\r\n", 17);
    cr_assert_eq(answer_of(endless, &answer), -EPROTO);
}

Test(bench_engineio, packets_of_a_payload)
{
    struct rc_span payload = RC_SPAN("2\x1e"
                                     "42[\"a\"]\x1e\x1e"
                                     "6"),
                   packet;
    static const char *const packets[] = {"2", "42[\"a\"]", "", "6"};
    for (size_t i = 0; i < 4; i++) {
        cr_assert(rc_bench_engineio_packet(&payload, &packet));
        cr_assert(rc_span_equal(packet, rc_span_text(packets[i])), "packet %zu", i);
    }
    cr_assert(!rc_bench_engineio_packet(&payload, &packet));

    uint8_t out[8];
    size_t count = 0;
    cr_assert(rc_bench_engineio_append(out, &count, sizeof(out), RC_SPAN("40")));
    cr_assert(rc_bench_engineio_append(out, &count, sizeof(out), RC_SPAN("3")));
    cr_assert(rc_bench_engineio_append(out, &count, sizeof(out), RC_SPAN("abc")));
    cr_assert(!rc_bench_engineio_append(out, &count, sizeof(out), RC_SPAN("")));
    cr_assert(rc_span_equal(rc_span_of(out, count), RC_SPAN("40\x1e"
                                                            "3\x1e"
                                                            "abc")));
}

Test(bench_engineio, session_ids)
{
    char sid[RC_BENCH_SID_MAX], text[256], longest[RC_BENCH_SID_MAX + 1];
    cr_assert(rc_bench_engineio_sid(RC_SPAN("0{\"sid\":\"aZ0-_.~\",\"upgrades\":[]}"), sid));
    cr_assert_str_eq(sid, "aZ0-_.~");
    cr_assert(!rc_bench_engineio_sid(RC_SPAN("40{\"sid\":\"abc\"}"), sid));
    cr_assert(!rc_bench_engineio_sid(RC_SPAN("0{\"sid\":\"\"}"), sid));
    cr_assert(!rc_bench_engineio_sid(RC_SPAN("0{\"sid\":\"a b\"}"), sid));
    cr_assert(!rc_bench_engineio_sid(RC_SPAN("0{\"sid\":\"a\0b\"}"), sid));
    cr_assert(!rc_bench_engineio_sid(RC_SPAN("0{\"sid\":\"abc"), sid));
    cr_assert(!rc_bench_engineio_sid(RC_SPAN("0{\"upgrades\":[]}"), sid));
    memset(longest, 'x', sizeof(longest));
    snprintf(text, sizeof(text), "0{\"sid\":\"%.*s\"}", RC_BENCH_SID_MAX - 1, longest);
    cr_assert(rc_bench_engineio_sid(rc_span_text(text), sid));
    cr_assert_eq(strlen(sid), RC_BENCH_SID_MAX - 1);
    snprintf(text, sizeof(text), "0{\"sid\":\"%.*s\"}", RC_BENCH_SID_MAX, longest);
    cr_assert(!rc_bench_engineio_sid(rc_span_text(text), sid));
}
