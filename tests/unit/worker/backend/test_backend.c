/* Calls of a backend: connections, answers, failures, bounds, the breaker, what is shared. */
#include "worker/backend/backend.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "tests/support/backend_rig.h"
#include "worker/backend/backend_io.h"

TestSuite(backend, .init = begin, .fini = finish);

Test(backend, calls_share_a_kept_connection)
{
    backends_begin();
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(call(RC_BACKEND_EVENT, i), 0);
        struct peer *peer = run_until_asked(&server, 0);
        cr_expect_eq(strncmp(peer->text, "POST /ringcast HTTP/1.1\r\n", 25), 0, "%s", peer->text);
        cr_expect_not_null(strstr(peer->text, "\r\ncookie: a=b\r\n"));
        cr_expect_not_null(strstr(peer->text, "\r\n\r\n{\"call\":\"x\"}"));
        answer(peer, OK(2, "{}"));
        run_until_told(i + 1);
        expect_told(i, i, RC_BACKEND_ANSWERED, 200, "{}");
    }
    cr_expect_eq(server.count, 1);
    cr_expect_eq(rig.shared->worker.backends[0].connections, 1);
    cr_expect_eq(rig.shared->worker.backends[0].calls[RC_BACKEND_EVENT].calls, 3);
}

Test(backend, an_answer_may_be_chunked_or_end_with_the_connection)
{
    backends_begin();
    cr_assert_eq(call(RC_BACKEND_EVENT, 1), 0);
    answer(run_until_asked(&server, 0), "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: "
                                        "chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
    run_until_told(1);
    expect_told(0, 1, RC_BACKEND_ANSWERED, 200, "abc");
    cr_assert_eq(call(RC_BACKEND_EVENT, 2), 0);
    struct peer *peer = run_until_asked(&server, 0);
    answer(peer, "HTTP/1.0 403 No\r\n\r\nto the end");
    (void)shutdown(peer->fd, SHUT_WR);
    run_until_told(2);
    expect_told(1, 2, RC_BACKEND_ANSWERED, 403, "to the end");
}

Test(backend, a_redirect_is_an_answer_and_not_followed)
{
    backends_begin();
    cr_assert_eq(call(RC_BACKEND_EVENT, 1), 0);
    answer(run_until_asked(&server, 0),
           "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
    run_until_told(1);
    expect_told(0, 1, RC_BACKEND_ANSWERED, 302, "");
    cr_expect_eq(server.count, 1);
}

Test(backend, what_is_no_answer_is_told_and_counted)
{
    static const struct {
        const char *text;
        enum rc_backend_outcome outcome;
        enum rc_backend_reason reason;
        bool closes;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", RC_BACKEND_LOST, RC_BACKEND_REASON_LOST, true},
        {"", RC_BACKEND_LOST, RC_BACKEND_REASON_LOST, true},
        {"SSH-2.0-x\r\n", RC_BACKEND_GARBAGE, RC_BACKEND_REASON_GARBAGE, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", RC_BACKEND_TOO_LARGE, RC_BACKEND_REASON_TOO_LARGE,
         false},
    };
    rig.config->backends[0].breaker.text[0] = '\0';
    backends_begin();
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        cr_assert_eq(call(RC_BACKEND_EVENT, i), 0);
        struct peer *peer = run_until_asked(&server, i); /* a connection of its own each time */
        answer(peer, cases[i].text);
        if (cases[i].closes) {
            (void)shutdown(peer->fd, SHUT_RDWR);
        }
        run_until_told(i + 1);
        expect_told(i, i, cases[i].outcome, 0, "");
        cr_expect_geq(failures(RC_BACKEND_EVENT, cases[i].reason), 1, "%u", i);
    }
}

Test(backend, a_late_answer_is_not_the_next_calls)
{
    rig.config->backends[0].timeout_ms = 150;
    rig.config->backends[0].connections = 1;
    backends_begin();
    cr_assert_eq(call(RC_BACKEND_EVENT, 1), 0);
    (void)run_until_asked(&server, 0);
    run_until_told(1);
    expect_told(0, 1, RC_BACKEND_LATE, 0, "");
    cr_assert_eq(call(RC_BACKEND_EVENT, 2), 0);
    answer(run_until_asked(&server, 1), OK(1, "2"));
    run_until_told(2);
    expect_told(1, 2, RC_BACKEND_ANSWERED, 200, "2");
}

/* A kept connection that is closed while a call is on its way. */
static void close_under(enum rc_backend_call_kind kind)
{
    cr_assert_eq(call(kind, 1), 0);
    answer(run_until_asked(&server, 0), OK(1, "1"));
    run_until_told(1);
    cr_assert_eq(call(kind, 2), 0);
    struct peer *peer = run_until_asked(&server, 0);
    (void)shutdown(peer->fd, SHUT_RDWR);
}

Test(backend, what_changes_nothing_is_asked_again_when_its_kept_connection_was_closed)
{
    backends_begin();
    close_under(RC_BACKEND_CONNECT);
    answer(run_until_asked(&server, 1), OK(5, "again"));
    run_until_told(2);
    expect_told(1, 2, RC_BACKEND_ANSWERED, 200, "again");
    cr_expect_eq(rig.shared->worker.backends[0].again, 1);
}

Test(backend, an_event_is_never_asked_again)
{
    backends_begin();
    close_under(RC_BACKEND_EVENT);
    run_until_told(2);
    expect_told(1, 2, RC_BACKEND_LOST, 0, "");
    cr_expect_eq(server.count, 1);
}

Test(backend, addresses_take_turns_and_a_dead_one_is_passed_over)
{
    server_open(&other);
    struct rc_config_backend *its = table(rig.config);
    its->url_count = 2;
    (void)snprintf(its->urls[1].text, sizeof(its->urls[1].text), "http://127.0.0.1:%u/other", other.port);
    backends_begin();
    cr_assert_eq(call(RC_BACKEND_EVENT, 1), 0);
    cr_assert_eq(call(RC_BACKEND_EVENT, 2), 0);
    answer(run_until_asked(&server, 0), OK(1, "a"));
    answer(run_until_asked(&other, 0), OK(1, "b"));
    run_until_told(2);
    server_close(&server);
    while (rig.shared->worker.backends[0].connections > 1) {
        pass();
    }
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(call(RC_BACKEND_EVENT, 10 + i), 0);
        answer(run_until_asked(&other, 0), OK(1, "c"));
        run_until_told(3 + i);
        expect_told(2 + i, 10 + i, RC_BACKEND_ANSWERED, 200, "c");
    }
}

Test(backend, without_anybody_there_it_is_unreachable)
{
    server_close(&server);
    backends_begin();
    cr_assert_eq(call(RC_BACKEND_EVENT, 1), 0);
    run_until_told(1);
    expect_told(0, 1, RC_BACKEND_UNREACHABLE, 0, "");
    cr_expect_eq(failures(RC_BACKEND_EVENT, RC_BACKEND_REASON_UNREACHABLE), 1);
}

Test(backend, a_unix_socket_is_an_address)
{
    char path[64];
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)snprintf(path, sizeof(path), "/tmp/ringcast-backend-%d.sock", (int)getpid());
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    server_close(&server);
    server = (struct server){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    cr_assert(bind(server.fd, (struct sockaddr *)&name, sizeof(name)) == 0 && listen(server.fd, 8) == 0);
    (void)snprintf(rig.config->backends[0].urls[0].text, RC_CONFIG_TEXT_MAX, "unix:%s:/r", path);
    backends_begin();
    cr_assert_eq(call(RC_BACKEND_EVENT, 1), 0);
    struct peer *peer = run_until_asked(&server, 0);
    (void)unlink(path);
    cr_expect_eq(strncmp(peer->text, "POST /r HTTP/1.1\r\nhost: localhost\r\n", 35), 0, "%s", peer->text);
    answer(peer, OK(1, "u"));
    run_until_told(1);
    expect_told(0, 1, RC_BACKEND_ANSWERED, 200, "u");
}

Test(backend, calls_beyond_the_bounds_are_refused_at_once)
{
    rig.config->backends[0].connections = 1;
    rig.config->backends[0].max_waiting = 1;
    backends_begin();
    cr_assert_eq(call(RC_BACKEND_EVENT, 1), 0);
    (void)run_until_asked(&server, 0);
    cr_assert_eq(call(RC_BACKEND_EVENT, 2), 0);
    cr_expect_eq(call(RC_BACKEND_EVENT, 3), -EBUSY);
    cr_expect_eq(failures(RC_BACKEND_EVENT, RC_BACKEND_REASON_REFUSED), 1);
    cr_expect_eq(rig.shared->worker.backends[0].waiting, 1);
    cr_expect_eq(rig.shared->worker.backends[0].in_flight, 1);
    answer(&server.peers[0], OK(1, "1"));
    answer(run_until_asked(&server, 0), OK(1, "2"));
    run_until_told(2);
    expect_told(1, 2, RC_BACKEND_ANSWERED, 200, "2");
    cr_expect_eq(server.count, 1);
}

Test(backend, none_waits_where_none_may)
{
    rig.config->backends[0].connections = 1;
    rig.config->backends[0].max_waiting = 0;
    backends_begin();
    cr_assert_eq(call(RC_BACKEND_EVENT, 1), 0);
    (void)run_until_asked(&server, 0);
    cr_expect_eq(call(RC_BACKEND_EVENT, 2), -EBUSY);
    cr_expect_eq(rig.shared->worker.backends[0].waiting, 0);
    answer(&server.peers[0], OK(1, "1"));
    run_until_told(1);
    expect_told(0, 1, RC_BACKEND_ANSWERED, 200, "1");
    cr_assert_eq(call(RC_BACKEND_EVENT, 3), 0);
    answer(run_until_asked(&server, 0), OK(1, "3"));
    run_until_told(2);
    expect_told(1, 3, RC_BACKEND_ANSWERED, 200, "3");
}

Test(backend, the_breaker_opens_and_closes)
{
    (void)snprintf(rig.config->backends[0].breaker.text, RC_CONFIG_TEXT_MAX, "2/10s");
    backends_begin();
    static const uint16_t statuses[] = {500, 404};
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(statuses); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "HTTP/1.1 %u Oh\r\nContent-Length: 0\r\n\r\n", statuses[i]);
        cr_assert_eq(call(RC_BACKEND_EVENT, i), 0);
        answer(run_until_asked(&server, 0), text);
        run_until_told(i + 1);
        expect_told(i, i, RC_BACKEND_ANSWERED, statuses[i], "");
    }
    cr_expect_eq(call(RC_BACKEND_EVENT, 7), -ECONNREFUSED);
    cr_expect_eq(rig.shared->worker.backends[0].breaker, 1);
    cr_expect_eq(rig.shared->worker.backends[0].opened, 1);
    const uint64_t opened = rc_clock_ms();
    while (rc_clock_ms() < opened + 1100) {
        pass();
    }
    cr_assert_eq(call(RC_BACKEND_EVENT, 8), 0);
    cr_expect_eq(call(RC_BACKEND_EVENT, 9), -ECONNREFUSED); /* one at a time */
    answer(run_until_asked(&server, 0), OK(1, "y"));
    run_until_told(3);
    cr_assert_eq(call(RC_BACKEND_EVENT, 10), 0);
    answer(run_until_asked(&server, 0), OK(1, "z"));
    run_until_told(4);
    cr_expect_eq(rig.shared->worker.backends[0].breaker, 0);
}

Test(backend, who_waits_when_the_breaker_opens_is_told)
{
    (void)snprintf(rig.config->backends[0].breaker.text, RC_CONFIG_TEXT_MAX, "1/10s");
    rig.config->backends[0].connections = 1;
    backends_begin();
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(call(RC_BACKEND_EVENT, i), 0);
    }
    answer(run_until_asked(&server, 0), "HTTP/1.1 503 Oh\r\nContent-Length: 0\r\n\r\n");
    run_until_told(3);
    expect_told(0, 0, RC_BACKEND_ANSWERED, 503, "");
    expect_told(1, 1, RC_BACKEND_REFUSED, 0, "");
    expect_told(2, 2, RC_BACKEND_REFUSED, 0, "");
}

Test(backend, calls_with_one_key_are_one_call)
{
    backends_begin();
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(call_with(RC_BACKEND_CONNECT, i, "key"), 0);
    }
    cr_assert_eq(call_with(RC_BACKEND_CONNECT, 9, "another"), 0);
    answer(run_until_asked(&server, 0), OK(9, "{\"ttl\":1}"));
    answer(run_until_asked(&server, 1), OK(2, "{}"));
    run_until_told(6);
    for (uint32_t i = 0; i < 5; i++) {
        expect_told(i, i, RC_BACKEND_ANSWERED, 200, "{\"ttl\":1}");
    }
    cr_assert_eq(call_with(RC_BACKEND_CONNECT, 10, "key"), 0); /* kept for a second */
    run_until_told(7);
    expect_told(6, 10, RC_BACKEND_ANSWERED, 200, "{\"ttl\":1}");
    cr_expect_eq(rig.shared->worker.backends[0].shared, 5);
    cr_assert_eq(call_with(RC_BACKEND_CONNECT, 11, "another"), 0); /* that one was not */
    uint32_t asked = 0;
    while (!request_whole(&server.peers[0]) && !request_whole(&server.peers[1])) {
        pass();
    }
    asked = request_whole(&server.peers[0]) ? 0 : 1;
    answer(&server.peers[asked], OK(2, "{}"));
    run_until_told(8);
    const uint64_t kept = rc_clock_ms();
    while (rc_clock_ms() < kept + 1100) {
        pass();
    }
    cr_assert_eq(call_with(RC_BACKEND_CONNECT, 12, "key"), 0);
    while (!request_whole(&server.peers[0]) && !request_whole(&server.peers[1])) {
        pass();
    }
    answer(&server.peers[request_whole(&server.peers[0]) ? 0 : 1], OK(1, "3"));
    run_until_told(9);
    expect_told(8, 12, RC_BACKEND_ANSWERED, 200, "3");
}

Test(backend, a_failure_is_shared_and_not_kept)
{
    backends_begin();
    cr_assert_eq(call_with(RC_BACKEND_SUBSCRIBE, 1, "key"), 0);
    cr_assert_eq(call_with(RC_BACKEND_SUBSCRIBE, 2, "key"), 0);
    answer(run_until_asked(&server, 0), "HTTP/1.1 500 Oh\r\nContent-Length: 10\r\n\r\n{\"ttl\":10}");
    run_until_told(2);
    cr_assert_eq(call_with(RC_BACKEND_SUBSCRIBE, 3, "key"), 0);
    answer(run_until_asked(&server, 0), OK(2, "{}"));
    run_until_told(3);
    expect_told(2, 3, RC_BACKEND_ANSWERED, 200, "{}");
}

Test(backend, a_reload_lets_calls_in_flight_end)
{
    rig.config->backends[0].connections = 1;
    backends_begin();
    cr_assert_eq(call(RC_BACKEND_EVENT, 1), 0);
    cr_assert_eq(call(RC_BACKEND_EVENT, 2), 0);
    struct peer *peer = run_until_asked(&server, 0);
    server_open(&other);
    struct rc_config *next = malloc(sizeof(*next));
    *next = *rig.config;
    (void)snprintf(next->backends[0].urls[0].text, RC_CONFIG_TEXT_MAX, "http://127.0.0.1:%u/new", other.port);
    rc_backends_reconfigure(backends, next);
    cr_assert_eq(call(RC_BACKEND_EVENT, 3), 0);
    struct peer *new_peer = run_until_asked(&other, 0);
    cr_expect_eq(strncmp(new_peer->text, "POST /new ", 10), 0);
    answer(new_peer, OK(1, "3"));
    answer(peer, OK(1, "1"));
    run_until_told(2);
    answer(run_until_asked(&server, 0), OK(1, "2"));
    run_until_told(3);
    for (uint32_t i = 0; i < 3; i++) {
        cr_expect_eq(told[i].outcome, RC_BACKEND_ANSWERED);
    }
    free(next);
    rc_backends_reconfigure(backends, rig.config);
}

Test(backend, a_connection_that_is_idle_is_closed_before_the_backend_does)
{
    backends_begin();
    /* On a machine that stands still for a moment it is closed later; not each time. */
    uint64_t took_ms = UINT64_MAX;
    for (uint32_t tries = 0; tries < 5 && took_ms >= 2000; tries++) {
        cr_assert_eq(call(RC_BACKEND_EVENT, 1 + tries), 0);
        struct peer *peer = run_until_asked(&server, tries);
        const uint64_t began = rc_clock_ms(); /* before it can be idle */
        answer(peer, "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2\r\nContent-Length: 0\r\n\r\n");
        run_until_told(1 + tries);
        while (server.peers[tries].fd >= 0) {
            cr_assert_lt(rc_clock_ms(), began + PATIENCE_MS);
            pass();
        }
        took_ms = rc_clock_ms() - began;
        cr_expect_geq(took_ms, 800);
    }
    cr_expect_lt(took_ms, 2000);
}

/* What is to be told to somebody who waits is no call of a backend, and still something to wait for. */
Test(backend, an_answer_that_was_kept_is_waited_for_as_well)
{
    backends_begin();
    cr_assert_eq(call_with(RC_BACKEND_CONNECT, 1, "key"), 0);
    answer(run_until_asked(&server, 0), OK(10, "{\"ttl\":60}"));
    run_until_told(1);
    cr_expect_not(rc_backends_busy(backends));
    cr_assert_eq(call_with(RC_BACKEND_CONNECT, 2, "key"), 0);
    cr_expect(rc_backends_busy(backends));
    cr_expect(rc_backends_hinder(backends));
    run_until_told(2);
    cr_expect_not(rc_backends_busy(backends));
    rc_backends_leave(backends);
}

Test(backend, who_leaves_takes_nothing_along)
{
    const struct rc_backend_counters *counters = rig.shared->worker.backends;
    rig.config->backends[0].connections = 1;
    backends_begin();
    for (uint32_t i = 0; i < 2; i++) { /* the second waits */
        struct rc_backend_request request = {
            .kind = RC_BACKEND_EVENT, .body = rc_span_text("{}"), .attempt = 1, .leaves = true};
        rc_backend_next_id(backends, request.id);
        cr_assert_eq(rc_backend_call(backends, 0, &request,
                                     (struct rc_backend_waiter){.context = &rig, .answered = on_answer, .token = i}),
                     0);
    }
    (void)run_until_asked(&server, 0);
    cr_expect_eq(counters->in_flight, 1);
    cr_expect_eq(counters->waiting, 1);
    cr_expect(rc_backends_busy(backends));
    cr_expect_not(rc_backends_hinder(backends));
    rc_backends_leave(backends);
    cr_expect_eq(counters->in_flight, 0);
    cr_expect_eq(counters->waiting, 0);
    const uint64_t end = rc_clock_ms() + PATIENCE_MS;
    while (server.peers[0].fd >= 0) {
        cr_assert_lt(rc_clock_ms(), end);
        pass();
    }
    cr_expect_eq(told_count, 0);
    cr_assert_eq(call(RC_BACKEND_EVENT, 7), 0); /* it goes on after all */
    answer(run_until_asked(&server, 1), OK(1, "7"));
    run_until_told(1);
    expect_told(0, 7, RC_BACKEND_ANSWERED, 200, "7");
    cr_expect_eq(counters->in_flight, 0);
}
