/* Looking for a backend that failed: when, with what, and what counts as an answer. */
#include "worker/backend/look.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/metrics/backend_health.h"
#include "tests/support/backend_rig.h"
#include "worker/backend/breaker.h"

TestSuite(look, .init = begin, .fini = finish);

#define NO "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"

static uint64_t failed_ms(void)
{
    return rc_backend_health_failed_ms(rig.control->own, 0);
}

/* A call that the backend answers with a 500. */
static void fail_one(uint64_t token)
{
    cr_assert_eq(call(RC_BACKEND_EVENT, token), 0);
    answer(run_until_asked(&server, 0), NO);
    run_until_told((uint32_t)token + 1);
    cr_assert_neq(failed_ms(), 0);
}

/* It is looked for at that time, the backend answers so, and that is heard. */
static void look_at(uint64_t at_ms, const char *text, bool answers)
{
    const uint64_t before_ms = failed_ms();
    const uint64_t end = rc_clock_ms() + PATIENCE_MS;
    rc_backends_look(backends, at_ms);
    struct peer *peer = run_until_asked(&server, 0);
    cr_expect_not_null(strstr(peer->text, "\r\nringcast-call: health\r\n"), "%s", peer->text);
    cr_expect_not_null(strstr(peer->text, "\r\n\r\n{\"call\":\"health\",\"id\":\""), "%s", peer->text);
    cr_expect_eq(rc_backends_look_in_ms(backends, at_ms + 60000, 77), 77, "it is asked just now");
    cr_expect(!rc_backends_hinder(backends), "a successor need not know");
    while (answers ? failed_ms() != 0 : failed_ms() == before_ms) {
        if (peer->bytes > 0) {
            answer(peer, text);
        }
        cr_assert_lt(rc_clock_ms(), end, "%s", text);
        pass();
    }
}

Test(look, who_failed_is_asked_until_it_answers)
{
    backends_begin();
    cr_expect_eq(rc_backends_look_in_ms(backends, rc_clock_ms() + 60000, 77), 77, "nobody has asked it yet");
    fail_one(0);
    uint64_t at_ms = failed_ms();
    cr_expect_eq(rc_backends_look_in_ms(backends, at_ms, 60000), RC_BACKEND_LOOK_MS);
    rc_backends_look(backends, at_ms + RC_BACKEND_LOOK_MS - 1);
    cr_expect(!rc_backends_busy(backends));
    at_ms += RC_BACKEND_LOOK_MS;
    look_at(at_ms, NO, false);
    cr_expect_eq(rc_backends_look_in_ms(backends, at_ms, 60000), RC_BACKEND_LOOK_MS);
    at_ms += RC_BACKEND_LOOK_MS;
    look_at(at_ms, "HTTP/1.1 404 What\r\nContent-Length: 0\r\n\r\n", true);
    cr_expect_eq(rc_backends_look_in_ms(backends, at_ms + 60000, 77), 77, "it answers");
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
    rc_backends_look(backends, at_ms);
    cr_expect(!rc_backends_busy(backends), "the breaker's second is not over, whatever this test says");
    cr_expect_eq(rc_backends_look_in_ms(backends, at_ms, 60000), RC_BACKEND_LOOK_MS);
    while (rc_clock_ms() <= failed_ms() + RC_BREAKER_PROBE_MS) {
        pass();
    }
    look_at(at_ms + RC_BACKEND_LOOK_MS, OK(2, "{}"), true);
    cr_assert_eq(call(RC_BACKEND_EVENT, 1), 0);
}
