/* The protocols that the load generator speaks. */
#include "bench/protocol.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static enum rc_bench_verdict judge(const char *protocol, enum rc_bench_role role, uint8_t step, const char *text,
                                   size_t payload_bytes, char *found_text)
{
    struct rc_span found = {0};
    const struct rc_bench_protocol *const p = rc_bench_protocol_find(protocol);
    const enum rc_bench_verdict verdict = p->judge(role, step, rc_span_text(text), payload_bytes, &found);
    snprintf(found_text, 64, "%.*s", (int)found.count, (const char *)found.bytes);
    return verdict;
}

static size_t publish(const char *protocol, bool direct, const char *name, const char *payload, char *out)
{
    const struct rc_bench_protocol *const p = rc_bench_protocol_find(protocol);
    size_t bytes = p->before(out, direct, name, strlen(payload), "host:1");
    cr_assert(bytes <= RC_BENCH_ENVELOPE_BYTES_MAX);
    memcpy(out + bytes, payload, strlen(payload));
    bytes += strlen(payload);
    bytes += p->after(out + bytes);
    out[bytes] = '\0';
    return bytes;
}

Test(bench_protocol, ringcast_joins_and_receives)
{
    char out[RC_BENCH_JOIN_BYTES_MAX], found[64];
    const struct rc_bench_protocol *const p = rc_bench_protocol_find("ringcast");
    const size_t bytes = p->join(out, RC_BENCH_SUBSCRIBER, 0, "bench:7");
    cr_assert(bytes < sizeof(out));
    out[bytes] = '\0';
    cr_assert_str_eq(out, "{\"type\":\"subscribe\",\"channel\":\"bench:7\",\"id\":1}");
    cr_assert_eq(p->join(out, RC_BENCH_PUBLISHER, 0, "bench:7"), 0);

    const char *const welcome = "{\"type\":\"welcome\",\"client\":\"a~b\",\"instance\":\"a\",\"user\":null}";
    cr_assert_eq(judge("ringcast", RC_BENCH_SUBSCRIBER, 0, welcome, 5, found), RC_BENCH_IGNORED);
    cr_assert_eq(judge("ringcast", RC_BENCH_TARGET, 0, welcome, 5, found), RC_BENCH_STEP);
    cr_assert_str_eq(found, "a~b");
    cr_assert_eq(judge("ringcast", RC_BENCH_SUBSCRIBER, 0, "{\"type\":\"subscribed\",\"id\":1}", 5, found),
                 RC_BENCH_STEP);
    cr_assert_eq(judge("ringcast", RC_BENCH_SUBSCRIBER, 0,
                       "{\"type\":\"message\",\"channel\":\"c\",\"data\":\"hello\"}", 5, found),
                 RC_BENCH_PAYLOAD);
    cr_assert_str_eq(found, "hello");
    cr_assert_eq(
        judge("ringcast", RC_BENCH_TARGET, 0, "{\"type\":\"direct\",\"data\":\"hello\",\"from\":\"x\"}", 5, found),
        RC_BENCH_PAYLOAD);
    cr_assert_str_eq(found, "hello");
    cr_assert_eq(judge("ringcast", RC_BENCH_SUBSCRIBER, 0, "{\"type\":\"gap\",\"channel\":\"c\"}", 5, found),
                 RC_BENCH_GAP);
    cr_assert_eq(judge("ringcast", RC_BENCH_SUBSCRIBER, 0, "{\"type\":\"error\",\"code\":403}", 5, found),
                 RC_BENCH_REFUSED);
    cr_assert_eq(
        judge("ringcast", RC_BENCH_SUBSCRIBER, 0, "{\"type\":\"message\",\"channel\":\"c\",\"data\":5}", 5, found),
        RC_BENCH_REFUSED);
    cr_assert_eq(judge("ringcast", RC_BENCH_SUBSCRIBER, 0, "", 5, found), RC_BENCH_IGNORED);
}

Test(bench_protocol, ringcast_publishes)
{
    char out[1024];
    publish("ringcast", false, "bench:0", "hello", out);
    cr_assert_str_eq(out, "{\"type\":\"publish\",\"channel\":\"bench:0\",\"data\":\"hello\"}");
    publish("ringcast", true, "a~b", "hello", out);
    cr_assert_str_eq(out, "{\"type\":\"direct\",\"to\":\"a~b\",\"data\":\"hello\"}");
}

Test(bench_protocol, socketio_joins_in_three_steps)
{
    char out[RC_BENCH_JOIN_BYTES_MAX], found[64];
    const struct rc_bench_protocol *const p = rc_bench_protocol_find("socketio");
    cr_assert_eq(p->join(out, RC_BENCH_SUBSCRIBER, 0, "c"), 0);
    cr_assert_eq(judge("socketio", RC_BENCH_SUBSCRIBER, 0, "0{\"sid\":\"x\"}", 5, found), RC_BENCH_STEP);
    cr_assert_eq(p->join(out, RC_BENCH_SUBSCRIBER, 1, "c"), 2);
    cr_assert_eq(judge("socketio", RC_BENCH_TARGET, 1, "40{\"sid\":\"abc\"}", 5, found), RC_BENCH_STEP);
    cr_assert_str_eq(found, "abc");
    const size_t bytes = p->join(out, RC_BENCH_SUBSCRIBER, 2, "c");
    out[bytes] = '\0';
    cr_assert_str_eq(out, "420[\"subscribe\",\"c\"]");
    cr_assert_eq(judge("socketio", RC_BENCH_SUBSCRIBER, 2, "430[\"ok\"]", 5, found), RC_BENCH_STEP);
    cr_assert_eq(judge("socketio", RC_BENCH_SUBSCRIBER, 2, "42[\"message\",\"hello\"]", 5, found), RC_BENCH_PAYLOAD);
    cr_assert_str_eq(found, "hello");
    cr_assert_eq(judge("socketio", RC_BENCH_SUBSCRIBER, 2, "2", 5, found), RC_BENCH_REPLY);
    cr_assert_str_eq(found, "3");
    cr_assert_eq(judge("socketio", RC_BENCH_SUBSCRIBER, 1, "44{\"message\":\"no\"}", 5, found), RC_BENCH_REFUSED);
}

/* What an opener has done is behind a subscriber that upgrades: it probes, then subscribes; a target says hello. */
Test(bench_protocol, socketio_acknowledges)
{
    char out[1024], found[64];
    cr_assert_eq(judge("socketio-ack", RC_BENCH_SUBSCRIBER, 2, "430[\"ok\"]", 5, found), RC_BENCH_STEP);
    cr_assert_eq(judge("socketio-ack", RC_BENCH_SUBSCRIBER, 2, "431[\"hello\"]", 5, found), RC_BENCH_PAYLOAD);
    cr_assert_str_eq(found, "hello");
    cr_assert_eq(judge("socketio-ack", RC_BENCH_SUBSCRIBER, 2, "431[]", 5, found), RC_BENCH_REFUSED);
    publish("socketio-ack", false, "bench:0", "hello", out);
    cr_assert_str_eq(out, "421[\"echo\",\"hello\"]");
}

Test(bench_protocol, socketio_upgrades)
{
    char out[RC_BENCH_JOIN_BYTES_MAX], found[64];
    const struct rc_bench_protocol *const p = rc_bench_protocol_find("socketio-upgrade");
    cr_assert(p->upgrades);
    cr_assert_eq(p->join(out, RC_BENCH_OPENER, 0, "c"), 0);
    cr_assert_eq(judge(p->name, RC_BENCH_OPENER, 0, "0{\"sid\":\"x\"}", 5, found), RC_BENCH_STEP);
    cr_assert_eq(p->join(out, RC_BENCH_OPENER, 1, "c"), 2);
    cr_assert_eq(judge(p->name, RC_BENCH_OPENER, 1, "40{\"sid\":\"x\"}", 5, found), RC_BENCH_STEP);
    cr_assert_eq(p->join(out, RC_BENCH_SUBSCRIBER, 0, "c"), 6);
    cr_assert_eq(memcmp(out, "2probe", 6), 0);
    cr_assert_eq(judge(p->name, RC_BENCH_SUBSCRIBER, 0, "3probe", 5, found), RC_BENCH_STEP);
    cr_assert_eq(judge(p->name, RC_BENCH_SUBSCRIBER, 1, "3probe", 5, found), RC_BENCH_IGNORED);
    out[p->join(out, RC_BENCH_SUBSCRIBER, 1, "c")] = '\0';
    cr_assert_str_eq(out, "420[\"subscribe\",\"c\"]");
    out[p->join(out, RC_BENCH_TARGET, 1, "c")] = '\0';
    cr_assert_str_eq(out, "420[\"hello\"]");
    cr_assert_eq(judge(p->name, RC_BENCH_TARGET, 1, "430[\"ok\"]", 5, found), RC_BENCH_STEP);
    cr_assert_eq(judge(p->name, RC_BENCH_TARGET, 1, "1", 5, found), RC_BENCH_REFUSED);
    /* Publishers have WebSockets from the start. */
    cr_assert_eq(p->join(out, RC_BENCH_PUBLISHER, 0, "c"), 0);
    cr_assert_eq(p->join(out, RC_BENCH_PUBLISHER, 1, "c"), 2);
}

Test(bench_protocol, socketio_with_native_publishers)
{
    char out[1024], found[64];
    const char *const welcome = "{\"type\":\"welcome\",\"client\":\"a~b\"}";
    cr_assert_eq(judge("socketio-native", RC_BENCH_PUBLISHER, 0, welcome, 5, found), RC_BENCH_STEP);
    cr_assert_eq(judge("socketio-native", RC_BENCH_SUBSCRIBER, 2, "42[\"message\",\"hello\"]", 5, found),
                 RC_BENCH_PAYLOAD);
    cr_assert_str_eq(found, "hello");
    publish("socketio-native", false, "bench:0", "hello", out);
    cr_assert_str_eq(out, "{\"type\":\"publish\",\"channel\":\"bench:0\",\"data\":\"hello\"}");
}

Test(bench_protocol, nchan_publishes_by_post)
{
    char out[1024];
    publish("nchan", false, "bench:3", "hello", out);
    cr_assert_str_eq(out, "POST /pub/bench:3 HTTP/1.1\r\nHost: host:1\r\nContent-Length: 5\r\n\r\nhello");
}

Test(bench_protocol, longest_names_fit)
{
    char name[RC_BENCH_NAME_MAX], out[RC_BENCH_ENVELOPE_BYTES_MAX + 64];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    for (unsigned i = 0; rc_bench_protocol_at(i) != NULL; i++) {
        const struct rc_bench_protocol *const p = rc_bench_protocol_at(i);
        cr_assert(p->before(out, true, name, 1 << 24, "host:12345") <= RC_BENCH_ENVELOPE_BYTES_MAX - 16);
        for (uint8_t step = 0; step < 3; step++) {
            cr_assert(p->join(out, RC_BENCH_SUBSCRIBER, step, name) <= RC_BENCH_JOIN_BYTES_MAX);
        }
        cr_assert_eq(rc_bench_protocol_find(p->name), p);
    }
    cr_assert_null(rc_bench_protocol_find("nothing"));
}
