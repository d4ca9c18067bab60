/* Clients that poll: one request waits at a time, what they say goes by POST, and the last answer before the upgrade ends it. */
#include "bench/polling.h"

#include "bench/conn.h"
#include "bench/receive.h"
#include "bench/scenario.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET "GET /socket.io/?EIO=4&transport=polling"
#define POST "POST /socket.io/?EIO=4&transport=polling"
#define OPENER 1u /* of subscriber 0, the only one */

static char got_payload[256];

static void note_payload(struct rc_bench_client *client, uint32_t slot, struct rc_span payload, uint64_t now_ns)
{
    (void)client;
    (void)now_ns;
    cr_assert_eq(slot, 0);
    snprintf(got_payload + strlen(got_payload), sizeof(got_payload) - strlen(got_payload), "%.*s|", (int)payload.count,
             (const char *)payload.bytes);
}

static const struct rc_bench_scenario scenario = {.name = "test", .role = RC_BENCH_SUBSCRIBER, .payload = note_payload};
static const struct rc_bench_options options = {.payload_bytes = 32, .prefix = "c", .subscriptions = 1};
static struct rc_bench_plan plan = {.options = &options, .channels = 1, .processes = 1, .subscribers = 1};
static struct rc_bench_shared shared;
static struct rc_bench_tally tally;
static struct rc_bench_conn conns[2];
static uint8_t arena[8192];
static struct rc_bench_client client;
static int peers[2];

static void start(const char *protocol)
{
    plan.protocol = rc_bench_protocol_find(protocol);
    plan.scenario = &scenario;
    snprintf(plan.subscribe_at.host, sizeof(plan.subscribe_at.host), "host:1");
    client = (struct rc_bench_client){
        .plan = &plan,
        .protocol = plan.protocol,
        .scenario = &scenario,
        .shared = &shared,
        .tally = &tally,
        .conns = conns,
        .slots = 1,
        .descriptors = 2,
        .subscribers = 1,
        .opening = 1,
        .arena = arena,
        .arena_bytes = sizeof(arena),
    };
    memset(conns, 0, sizeof(conns));
    got_payload[0] = '\0';
    conns[0].state = conns[1].state = RC_BENCH_CONN_CONNECTING;
    conns[0].role = RC_BENCH_SUBSCRIBER;
    conns[1].role = RC_BENCH_OPENER;
    int fds[2];
    for (int i = 0; i < 2; i++) {
        int pair[2];
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        fds[i] = pair[0];
        peers[i] = pair[1];
    }
    cr_assert_eq(io_uring_queue_init(16, &client.ring, 0), 0);
    cr_assert_eq(io_uring_register_files(&client.ring, fds, 2), 0);
    close(fds[0]);
    close(fds[1]);
    cr_assert_eq(rc_bench_polling_start(&client), 0);
    cr_assert_not_null(client.polling);
}

static void stop(void)
{
    rc_bench_polling_stop(&client);
    rc_bench_receive_forget(&client, 0);
    rc_bench_receive_forget(&client, 1);
    free(client.carries);
    io_uring_queue_exit(&client.ring);
    close(peers[0]);
    close(peers[1]);
}

/* What the client has sent since the last time; it begins and ends so. */
static void check_sent(uint32_t slot, const char *begin, const char *end)
{
    char text[4096];
    rc_bench_conn_submit(&client);
    const ssize_t count = recv(peers[slot], text, sizeof(text) - 1, MSG_DONTWAIT);
    const size_t bytes = count > 0 ? (size_t)count : 0;
    text[bytes] = '\0';
    cr_assert_eq(strncmp(text, begin, strlen(begin)), 0, "not %s: %s", begin, text);
    cr_assert(bytes >= strlen(end) && strcmp(text + bytes - strlen(end), end) == 0, "not %s: %s", end, text);
}

static void check_nothing_sent(uint32_t slot)
{
    char byte;
    rc_bench_conn_submit(&client);
    cr_assert_eq(recv(peers[slot], &byte, 1, MSG_DONTWAIT | MSG_PEEK), -1);
}

static void answer(uint32_t slot, const char *body)
{
    char text[1024];
    const int bytes =
        snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    rc_bench_receive(&client, slot, (uint8_t *)text, (uint32_t)bytes, 1);
}

static void join_by_polling(void)
{
    rc_bench_conn_begin(&client, 0);
    check_sent(0, GET " HTTP/1.1\r\n", "\r\n\r\n");
    answer(0, "0{\"sid\":\"s1\",\"upgrades\":[]}");
    check_sent(0, POST "&sid=s1 HTTP/1.1\r\nHost: host:1\r\n", "\r\n\r\n40");
    answer(0, "ok");
    check_sent(0, GET "&sid=s1 HTTP/1.1\r\n", "\r\n\r\n");
    answer(0, "40{\"sid\":\"x\"}");
    check_sent(0, POST "&sid=s1", "\r\n\r\n420[\"subscribe\",\"c0\"]");
    answer(0, "ok");
    check_sent(0, GET "&sid=s1", "\r\n\r\n");
    cr_assert_eq(conns[0].state, RC_BENCH_CONN_JOINING);
    answer(0, "430[\"ok\"]");
    cr_assert_eq(conns[0].state, RC_BENCH_CONN_READY);
    cr_assert_eq(client.opening, 0);
    check_sent(0, GET "&sid=s1", "\r\n\r\n");
}

Test(bench_polling, joins_and_polls_on)
{
    start("socketio-polling");
    join_by_polling();
    answer(0, "42[\"message\",\"one\"]\x1e"
              "42[\"message\",\"two\"]");
    cr_assert_str_eq(got_payload, "one|two|");
    check_sent(0, GET "&sid=s1", "\r\n\r\n");
    answer(0, "6");
    check_sent(0, GET "&sid=s1", "\r\n\r\n");
    /* A ping beside a message: one pong, by POST. What comes in the answer to a POST is no payload. */
    answer(0, "2\x1e"
              "42[\"message\",\"three\"]");
    check_sent(0, POST "&sid=s1", "Content-Length: 1\r\n\r\n3");
    check_nothing_sent(0);
    cr_assert_eq(tally.pings, 1);
    answer(0, "ok");
    check_sent(0, GET "&sid=s1", "\r\n\r\n");
    cr_assert_str_eq(got_payload, "one|two|three|");
    stop();
}

Test(bench_polling, a_cut_answer_is_followed_by_nothing)
{
    start("socketio-polling");
    join_by_polling();
    char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n42[\"message\",\"cut\"]";
    const uint32_t whole = sizeof(text) - 1;
    for (uint32_t i = 0; i < whole; i++) {
        cr_assert_str_eq(got_payload, "");
        check_nothing_sent(0);
        rc_bench_receive(&client, 0, (uint8_t *)text + i, 1, 1);
    }
    cr_assert_str_eq(got_payload, "cut|");
    check_sent(0, GET "&sid=s1", "\r\n\r\n");
    stop();
}

Test(bench_polling, a_refusal_fails_the_connection)
{
    static const char *const bad[] = {
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", /* to a POST */
    };
    for (size_t i = 0; i < 2; i++) {
        start("socketio-polling");
        tally = (struct rc_bench_tally){0};
        rc_bench_conn_begin(&client, 0);
        answer(0, "0{\"sid\":\"s1\"}");
        char text[128];
        const int bytes = snprintf(text, sizeof(text), "%s", bad[i]);
        rc_bench_receive(&client, 0, (uint8_t *)text, (uint32_t)bytes, 1);
        cr_assert_eq(conns[0].state, RC_BENCH_CONN_CLOSING);
        cr_assert_eq(tally.failed, 1);
        cr_assert_eq(tally.refused, 1);
        cr_assert_eq(client.opening, 0);
        stop();
    }
}

/* The subscriber's WebSocket has been probed while its opener's GET waits: it goes on when that has been answered, not before. */
Test(bench_polling, upgrades_when_the_last_poll_has_been_answered)
{
    start("socketio-upgrade");
    rc_bench_conn_begin(&client, OPENER);
    check_sent(OPENER, GET " HTTP/1.1\r\n", "\r\n\r\n");
    answer(OPENER, "0{\"sid\":\"s2\",\"upgrades\":[\"websocket\"]}");
    check_sent(OPENER, POST "&sid=s2", "\r\n\r\n40");
    answer(OPENER, "ok");
    check_sent(OPENER, GET "&sid=s2", "\r\n\r\n");
    cr_assert_str_eq(rc_bench_polling_sid(&client, 0), "s2");

    /* What dialling would lead to, on a socket that is there already. */
    conns[OPENER].state = RC_BENCH_CONN_READY;
    conns[OPENER].step = 2;
    rc_bench_conn_begin(&client, 0);
    check_sent(0, "GET /socket.io/?EIO=4&transport=websocket&sid=s2 HTTP/1.1\r\n", "\r\n\r\n");
    conns[0].state = RC_BENCH_CONN_JOINING;
    rc_bench_receive_join(&client, 0);
    check_sent(0, "\x81\x86", "2probe");
    uint8_t pong[] = {0x81, 6, '3', 'p', 'r', 'o', 'b', 'e'};
    rc_bench_receive(&client, 0, pong, sizeof(pong), 1);
    check_nothing_sent(0);
    /* A ping that is answered first, and then the end. */
    answer(OPENER, "2");
    check_sent(OPENER, POST "&sid=s2", "\r\n\r\n3");
    check_nothing_sent(0);
    answer(OPENER, "ok");
    cr_assert_eq(conns[OPENER].state, RC_BENCH_CONN_CLOSING);
    check_sent(0, "\x81\x81", "420[\"subscribe\",\"c0\"]");
    cr_assert_eq(conns[0].state, RC_BENCH_CONN_JOINING);
    cr_assert_eq(client.opening, 1, "it still counts");
    stop();
}

/* An opener that fails takes its subscriber with it, once. */
Test(bench_polling, an_opener_that_fails_is_its_subscribers_failure)
{
    start("socketio-upgrade");
    tally = (struct rc_bench_tally){0};
    rc_bench_conn_begin(&client, OPENER);
    char text[] = "HTTP/1.1 503 Service Unavailable\r\n\r\n";
    rc_bench_receive(&client, OPENER, (uint8_t *)text, sizeof(text) - 1, 1);
    cr_assert_eq(tally.failed, 1);
    cr_assert_eq(client.opening, 0);
    cr_assert_eq(conns[0].state, RC_BENCH_CONN_CLOSING);
    cr_assert_eq(conns[OPENER].state, RC_BENCH_CONN_CLOSING);
    stop();
}
