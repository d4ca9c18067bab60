/* Looking for a backend that failed, or that nobody asks: when, with what, and what counts as an answer. */
#include "worker/backend/look.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/metrics/backend_health.h"
#include "tests/support/backend_rig.h"
#include "worker/backend/breaker.h"
#include "worker/backend/judge.h"
#include "worker/backend/pool.h"

TestSuite(look, .init = begin, .fini = finish);

#define NO "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
#define AWAY "HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n"

static uint64_t failed_ms(void)
{
    return rc_backend_health_failed_ms(rig.control->own, 0);
}

/* When this worker heard of it last. */
static _Atomic uint64_t *answered_ms(void)
{
    return &rig.control->own->backend_health[0].success_ms;
}

/* A call that the backend answers with a 500. */
static void fail_one(uint64_t token)
{
    cr_assert_eq(call(RC_BACKEND_EVENT, token), 0);
    answer(run_until_asked(&server, 0), NO);
    run_until_told((uint32_t)token + 1);
    cr_assert_neq(failed_ms(), 0);
}

/* It is looked for at that time, and asked on that connection. */
static struct peer *look_on(uint64_t at_ms, uint32_t connection)
{
    rc_backends_look(backends, at_ms, true);
    struct peer *peer = run_until_asked(&server, connection);
    cr_expect_not_null(strstr(peer->text, "\r\nringcast-call: health\r\n"), "%s", peer->text);
    cr_expect_not_null(strstr(peer->text, "\r\n\r\n{\"call\":\"health\",\"id\":\""), "%s", peer->text);
    cr_expect_eq(rc_backends_look_in_ms(backends, at_ms + 60000, 77), 77, "it is asked just now");
    cr_expect(!rc_backends_hinder(backends), "a successor need not know");
    return peer;
}

/* It is looked for at that time, the backend answers so, and that is heard. */
static void look_at_on(uint64_t at_ms, uint32_t connection, const char *text, bool answers)
{
    const uint64_t before_ms = failed_ms();
    const uint64_t end = rc_clock_ms() + PATIENCE_MS;
    struct peer *peer = look_on(at_ms, connection);
    while (rc_clock_ms() == before_ms) { /* failures are told apart by their time */
        pass();
    }
    while (answers ? failed_ms() != 0 : failed_ms() == before_ms) {
        if (peer->bytes > 0) {
            answer(peer, text);
        }
        cr_assert_lt(rc_clock_ms(), end, "%s", text);
        pass();
    }
}

static void look_at(uint64_t at_ms, const char *text, bool answers)
{
    look_at_on(at_ms, 0, text, answers);
}

/* It is looked for at that time, the backend fails over that, and nothing is known that was not. */
static void look_in_vain(uint64_t at_ms, uint32_t connection)
{
    const uint64_t before_ms = failed_ms();
    const uint64_t well_ms = *answered_ms();
    const uint64_t others_ms = rc_backend_health_looked_ms(rig.control, 0, 1);
    const uint64_t end = rc_clock_ms() + PATIENCE_MS;
    answer(look_on(at_ms, connection), NO);
    while (rc_backends_busy(backends)) {
        cr_assert_lt(rc_clock_ms(), end);
        pass();
    }
    cr_expect_eq(failed_ms(), before_ms, "it is no failure");
    cr_expect_eq(*answered_ms(), well_ms, "nor is it well");
    cr_expect_eq(rc_backend_health_looked_ms(rig.control, 0, 1), others_ms, "it puts nobody's looks off");
}

Test(look, who_failed_is_asked_until_it_answers)
{
    backends_begin();
    fail_one(0);
    uint64_t at_ms = failed_ms();
    cr_expect_eq(rc_backends_look_in_ms(backends, at_ms, 60000), RC_BACKEND_LOOK_MS);
    rc_backends_look(backends, at_ms + RC_BACKEND_LOOK_MS - 1, true);
    cr_expect(!rc_backends_busy(backends));
    at_ms += RC_BACKEND_LOOK_MS;
    look_at(at_ms, AWAY, false);
    cr_expect_eq(rc_backends_look_in_ms(backends, at_ms, 60000), RC_BACKEND_LOOK_MS);
    at_ms += RC_BACKEND_LOOK_MS;
    look_in_vain(at_ms, 0);
    cr_expect_eq(rc_backends_look_in_ms(backends, at_ms, 60000), RC_BACKEND_LOOK_MS);
    at_ms += RC_BACKEND_LOOK_MS;
    look_at(at_ms, "HTTP/1.1 404 What\r\nContent-Length: 0\r\n\r\n", true);
    cr_expect_gt(rc_backends_look_in_ms(backends, rc_clock_ms(), 60000), RC_BACKEND_LOOK_MS, "it answers");
    cr_expect_eq(told_count, 1, "nobody else is told");
    cr_expect_eq(rig.shared->worker.backends[0].calls[RC_BACKEND_EVENT].calls, 1);
}

Test(look, a_breaker_that_is_open_lets_it_pass_and_closes_by_it)
{
    (void)snprintf(rig.config->backends[0].breaker.text, sizeof(rig.config->backends[0].breaker.text), "1/10s");
    backends_begin();
    fail_one(0);
    cr_assert_eq(call(RC_BACKEND_EVENT, 1), -ECONNREFUSED);
    const uint64_t at_ms = failed_ms() + RC_BACKEND_LOOK_MS;
    rc_backends_look(backends, at_ms, true);
    cr_expect(!rc_backends_busy(backends), "the breaker's second is not over, whatever this test says");
    cr_expect_eq(rc_backends_look_in_ms(backends, at_ms, 60000), RC_BACKEND_LOOK_MS);
    while (rc_clock_ms() <= failed_ms() + RC_BREAKER_PROBE_MS) {
        pass();
    }
    look_at(at_ms + RC_BACKEND_LOOK_MS, OK(2, "{}"), true);
    cr_assert_eq(call(RC_BACKEND_EVENT, 1), 0);
    answer(run_until_asked(&server, 0), OK(2, "{}"));
    run_until_told(2);
}

static uint64_t looked_ms(void)
{
    return backends->current[0]->looked_ms;
}

/* Until this worker has heard something else of it than that it answered at `before_ms`. */
static void run_until_heard(uint64_t before_ms)
{
    const uint64_t end = rc_clock_ms() + PATIENCE_MS;
    while (*answered_ms() == before_ms && failed_ms() == 0) {
        cr_assert_lt(rc_clock_ms(), end);
        pass();
    }
}

Test(look, who_is_asked_by_nobody_is_asked_all_the_same)
{
    backends_begin();
    const uint64_t begun_ms = looked_ms();
    cr_expect_eq(rc_backends_look_in_ms(backends, begun_ms, 60000), RC_BACKEND_IDLE_MS, "nobody has asked it yet");
    rc_backends_look(backends, begun_ms + RC_BACKEND_IDLE_MS - 1, true);
    cr_expect(!rc_backends_busy(backends));
    struct peer *peer = look_on(begun_ms + RC_BACKEND_IDLE_MS, 0);
    answer(peer, OK(2, "{}"));
    run_until_heard(0);
    cr_expect_eq(failed_ms(), 0);
    /* Any other answer puts that off, too. */
    const uint64_t at_ms = looked_ms() + 3000;
    const uint64_t heard_ms = *answered_ms();
    *answered_ms() = at_ms;
    cr_expect_eq(rc_backends_look_in_ms(backends, at_ms, 60000), RC_BACKEND_IDLE_MS);
    *answered_ms() = heard_ms;
    /* It ends: that is found without anybody's call. */
    (void)close(server.fd);
    server.fd = -1;
    (void)close(peer->fd);
    peer->fd = -1;
    rc_backends_look(backends, at_ms + RC_BACKEND_IDLE_MS, true);
    run_until_heard(heard_ms);
    cr_expect_neq(failed_ms(), 0);
    cr_expect_eq(told_count, 0, "nobody else is told");
}

Test(look, one_worker_looks_for_all_and_the_next_one_if_it_does_not)
{
    backends_begin();
    struct rc_backend_health *other_worker = &rig.shared->relay.report.backend_health[0];
    const uint64_t begun_ms = looked_ms();
    const uint32_t in_ms = RC_BACKEND_IDLE_MS + 3 * RC_BACKEND_TURN_MS;
    backends->worker = 3;
    cr_expect_eq(rc_backends_look_in_ms(backends, begun_ms, 60000), in_ms);
    *other_worker = rig.control->own->backend_health[0];
    other_worker->success_ms = begun_ms + 7000;
    cr_expect_eq(rc_backends_look_in_ms(backends, begun_ms + 7000, 60000), in_ms - 7000,
                 "a pass of the loop does not read what the others have heard");
    rc_backends_look(backends, begun_ms + in_ms, true);
    cr_expect(!rc_backends_busy(backends), "but before anything is asked it is read");
    cr_expect_eq(rc_backends_look_in_ms(backends, begun_ms + in_ms, 60000), 7000);
    other_worker->failure_ms = begun_ms + 8000;
    cr_expect_eq(rc_backends_look_in_ms(backends, begun_ms + 7000 + in_ms, 60000), 1000,
                 "who found that out looks again");
    backends->worker = 0;
}

Test(look, a_kept_connection_that_was_closed_just_now_is_no_failure)
{
    backends_begin();
    cr_assert_eq(call(RC_BACKEND_EVENT, 0), 0);
    answer(run_until_asked(&server, 0), OK(2, "{}"));
    run_until_told(1);
    struct peer *peer = look_on(*answered_ms() + RC_BACKEND_IDLE_MS, 0);
    (void)close(peer->fd); /* the call came when the backend had decided to close it */
    peer->fd = -1;
    *answered_ms() = 1;
    answer(run_until_asked(&server, 1), OK(2, "{}"));
    run_until_heard(1);
    cr_expect_eq(failed_ms(), 0);
}

/* It never heard of such a call, and may fail over it: that must not take an instance out whose clients are served well. */
Test(look, who_fails_over_the_call_itself_is_no_worse_for_it)
{
    static const struct {
        const char *text;
        bool fails;
    } answers[] = {{NO, false},
                   {"HTTP/1.1 501 No\r\nContent-Length: 0\r\n\r\n", false},
                   {"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n", true},
                   {"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", true},
                   {"HTTP/1.1 504 No\r\nContent-Length: 0\r\n\r\n", true},
                   {"HTTP/1.1 507 No\r\nContent-Length: 0\r\n\r\n", false}};
    backends_begin();
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(answers); i++) {
        *answered_ms() = 1;
        rig.control->own->backend_health[0].failure_ms = 0;
        answer(look_on(looked_ms() + RC_BACKEND_IDLE_MS, 0), answers[i].text);
        run_until_heard(1);
        cr_expect_eq(failed_ms() != 0, answers[i].fails, "%s", answers[i].text);
    }
}

/* It does not answer what it is asked on that connection. */
static void lose(uint32_t connection)
{
    const uint64_t before_ms = failed_ms();
    const uint64_t end = rc_clock_ms() + PATIENCE_MS;
    struct peer *peer = run_until_asked(&server, connection);
    while (rc_clock_ms() == before_ms) {
        pass();
    }
    (void)close(peer->fd);
    peer->fd = -1;
    while (failed_ms() == before_ms) {
        cr_assert_lt(rc_clock_ms(), end);
        pass();
    }
}

static uint64_t next_look_ms(void)
{
    return (failed_ms() > looked_ms() ? failed_ms() : looked_ms()) + RC_BACKEND_LOOK_MS;
}

/* Whoever heeds /health/database sends nobody while it is away: nothing but these calls can find out that it is back. */
Test(look, who_was_away_is_back_though_it_fails_over_the_call)
{
    backends_begin();
    rc_backends_look(backends, looked_ms() + RC_BACKEND_IDLE_MS, true);
    lose(0);
    look_at_on(next_look_ms(), 1, NO, true);
    /* The same when it was another call that was lost (an event is not asked again, as it would be on the kept connection). */
    cr_assert_eq(call(RC_BACKEND_EVENT, 0), 0);
    lose(1);
    run_until_told(1);
    look_at_on(next_look_ms(), 2, NO, true);
}

Test(look, who_answered_a_call_wrongly_is_not_well_for_failing_again)
{
    backends_begin();
    fail_one(0);
    rc_backends_look(backends, next_look_ms(), true);
    (void)close(run_until_asked(&server, 0)->fd); /* it was kept: it is asked again */
    server.peers[0].fd = -1;
    lose(1);
    look_in_vain(next_look_ms(), 2);
    look_at_on(next_look_ms(), 2, OK(2, "{}"), true);
    cr_assert_eq(call(RC_BACKEND_EVENT, 1), 0);
    answer(run_until_asked(&server, 2), OK(2, "{}"));
    run_until_told(2);
    rc_backend_reply_refused(backends, 0, RC_BACKEND_EVENT, "x", "it is no reply");
    look_in_vain(next_look_ms(), 2);
    look_at_on(next_look_ms(), 2, OK(2, "{}"), true);
}

/* It does not know the call of look.h, and failed over one real one. */
Test(look, who_fails_over_looks_for_ever_does_not_open_its_breaker_by_them)
{
    (void)snprintf(rig.config->backends[0].breaker.text, sizeof(rig.config->backends[0].breaker.text), "2/10s");
    backends_begin();
    fail_one(0);
    for (uint32_t i = 1; i <= 4; i++) {
        look_in_vain(next_look_ms(), 0);
    }
    cr_expect_eq(rig.shared->worker.backends[0].opened, 0);
    cr_assert_eq(call(RC_BACKEND_EVENT, 1), 0);
    answer(run_until_asked(&server, 0), OK(2, "{}"));
    run_until_told(2);
    cr_expect_eq(failed_ms(), 0);
}

/* Nobody need come: whoever heeds /health/database sends nobody. */
Test(look, that_it_answered_wrongly_is_believed_for_a_while)
{
    backends_begin();
    fail_one(0);
    look_in_vain(next_look_ms(), 0);
    rig.control->own->backend_health[0].wrong_s -= RC_JUDGE_WRONG_MS / 1000 + 1;
    look_at(next_look_ms(), NO, true);
}

Test(look, that_it_answered_another_worker_wrongly_is_known)
{
    backends_begin();
    struct rc_backend_health *other_worker = &rig.shared->relay.report.backend_health[0];
    *other_worker = rig.control->own->backend_health[0];
    other_worker->failure_ms = rc_clock_ms();
    other_worker->wrong_s = (uint32_t)(rc_clock_ms() / 1000) + 1;
    look_in_vain(other_worker->failure_ms + RC_BACKEND_IDLE_MS, 0);
    /* It has answered that one since: so it is well, for those, too, whom it answered wrongly before. */
    other_worker->success_ms = rc_clock_ms() + 2000;
    cr_expect_eq(rc_backend_health_wrong_ms(rig.control, 0), 0);
    *answered_ms() = 1;
    answer(look_on(looked_ms() + 2 * RC_BACKEND_IDLE_MS, 0), NO);
    run_until_heard(1);
    cr_expect_eq(failed_ms(), 0);
    other_worker->wrong_s = UINT32_MAX; /* and its memory may be damaged */
    fail_one(0);
    look_at(next_look_ms(), NO, true);
}

/* One that drains, or stands still, or the loop of such a worker would not sleep until it has ended. */
Test(look, who_makes_no_looks_does_not_wake_up_for_them)
{
    backends_begin();
    const uint64_t at_ms = looked_ms() + RC_BACKEND_IDLE_MS;
    rc_backends_look(backends, at_ms, false);
    cr_expect(!rc_backends_busy(backends));
    cr_expect_eq(rc_backends_look_in_ms(backends, at_ms, 60000), 60000);
    rc_backends_look(backends, at_ms - 1, true);
    cr_expect_eq(rc_backends_look_in_ms(backends, at_ms, 60000), 0, "it is not taken over after all");
    fail_one(0);
    rc_backends_look(backends, failed_ms() + RC_BACKEND_LOOK_MS, false);
    cr_expect(!rc_backends_busy(backends));
    cr_expect_eq(rc_backends_look_in_ms(backends, failed_ms() + RC_BACKEND_LOOK_MS, 60000), 60000);
}

/* It takes connections and says nothing: the next worker's turn comes before the first one's call is late. */
Test(look, who_is_being_asked_by_one_worker_is_not_asked_by_the_next)
{
    backends_begin();
    const uint64_t at_ms = looked_ms() + RC_BACKEND_IDLE_MS + RC_BACKEND_TURN_MS;
    struct peer *peer = look_on(at_ms - RC_BACKEND_TURN_MS, 0);
    cr_expect_eq(rc_backend_health_looked_ms(rig.control, 0, 0), 0, "it does not wait for itself");
    const uint64_t asked_ms = rc_backend_health_looked_ms(rig.control, 0, 1);
    cr_expect_eq(asked_ms, (at_ms - RC_BACKEND_TURN_MS) / 1000 * 1000);
    answer(peer, OK(2, "{}"));
    run_until_heard(0);
    /* The same as worker 1 sees it, which has not heard that. */
    *answered_ms() = 0;
    backends->current[0]->looked_ms = 0;
    backends->current[0]->idle_due_ms = 0;
    backends->worker = 1;
    rc_backends_look(backends, at_ms, true);
    cr_expect(!rc_backends_busy(backends));
    const uint64_t due_ms =
        asked_ms + backends->current[0]->config.timeout_ms + RC_BACKEND_IDLE_MS + RC_BACKEND_TURN_MS;
    cr_expect_eq(rc_backends_look_in_ms(backends, at_ms, 60000), due_ms - at_ms);
    answer(look_on(due_ms, 0), OK(2, "{}")); /* the first one has died of it */
    run_until_heard(0);
    backends->worker = 0;
}

/* The same, but its authorities cannot be read. Owned by the caller. */
static struct rc_config *unreadable(void)
{
    struct rc_config *config = malloc(sizeof(*config));
    cr_assert_not_null(config);
    *config = *rig.config;
    (void)snprintf(config->backends[0].urls[0].text, RC_CONFIG_TEXT_MAX, "https://127.0.0.1:%u/", server.port);
    (void)snprintf(config->backends[0].tls_ca.text, RC_CONFIG_TEXT_MAX, "/nonexistent/ca.pem");
    return config;
}

/* It is never asked, which nobody's call could find out. */
Test(look, who_could_not_be_opened_is_not_well_until_it_answers)
{
    struct rc_config *other_config = unreadable();
    backends_begin();
    cr_expect_eq(failed_ms(), 0);
    rc_backends_reconfigure(backends, other_config);
    cr_assert_null(backends->current[0]);
    cr_assert_neq(failed_ms(), 0);
    cr_expect_eq(rc_backends_look_in_ms(backends, failed_ms() + 60000, 77), 77, "it cannot be asked");
    rc_backends_reconfigure(backends, rig.config);
    cr_expect_neq(failed_ms(), 0, "it is not known yet");
    look_at_on(looked_ms() + RC_BACKEND_LOOK_MS, 0, NO, true);
    free(other_config);
}

/* A successor that is refused before it has taken over: its predecessor goes on, with that report. */
Test(look, who_has_not_taken_over_says_nothing_in_the_report)
{
    struct rc_config *config = unreadable();
    struct rc_backend_counters *counters = &rig.shared->worker.backends[0];
    backends_begin();
    counters->connections = 3;
    counters->breaker = 1;
    struct rc_backends *successor =
        rc_backends_open(rig.control, &rig.truth, &rig.io, &rig.hub, config, backends->worker);
    cr_assert_not_null(successor);
    cr_assert_null(successor->current[0]);
    cr_expect_eq(failed_ms(), 0);
    cr_expect_eq(counters->connections, 3);
    cr_expect_eq(counters->breaker, 1);
    rc_backends_work(successor); /* it serves */
    cr_expect_neq(failed_ms(), 0);
    cr_expect_eq(counters->connections, 0);
    cr_expect_eq(counters->breaker, 0);
    rc_backends_close(successor);
    free(config);
}
