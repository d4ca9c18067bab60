/* When a backend is not asked any more, and when it is again. */
#include "worker/backend/breaker.h"

#include <criterion/criterion.h>

static struct rc_breaker breaker;

static void fresh(void)
{
    rc_breaker_open(&breaker, 5, 10000);
}

TestSuite(breaker, .init = fresh);

static bool allows(uint64_t now_ms)
{
    bool probe;
    return rc_breaker_allows(&breaker, now_ms, &probe);
}

Test(breaker, opens_after_failures_in_a_row)
{
    for (int i = 0; i < 4; i++) {
        cr_expect_not(rc_breaker_note(&breaker, 1000, true, false));
    }
    cr_expect_not(rc_breaker_note(&breaker, 1000, false, false)); /* begins anew */
    for (int i = 0; i < 4; i++) {
        cr_expect_not(rc_breaker_note(&breaker, 1000, true, false));
    }
    cr_expect(allows(1000));
    cr_expect(rc_breaker_note(&breaker, 1000, true, false));
    cr_expect_not(allows(1000));
    cr_expect_not(allows(1999));
}

Test(breaker, opens_when_half_of_many_fail)
{
    for (int i = 0; i < 19; i++) {
        cr_expect_not(rc_breaker_note(&breaker, 1000, i % 2 == 0, false), "%d", i);
    }
    cr_expect(rc_breaker_note(&breaker, 1000, true, false));
}

Test(breaker, failures_of_another_window_do_not_count)
{
    for (int i = 0; i < 10; i++) {
        (void)rc_breaker_note(&breaker, 1000, i % 2 == 0, false);
    }
    for (int i = 0; i < 18; i++) {
        cr_expect_not(rc_breaker_note(&breaker, 11000, i % 2 == 0, false), "%d", i);
    }
}

Test(breaker, one_call_a_second_decides)
{
    bool probe;
    for (int i = 0; i < 5; i++) {
        (void)rc_breaker_note(&breaker, 1000, true, false);
    }
    cr_expect(rc_breaker_allows(&breaker, 2000, &probe));
    cr_expect(probe);
    cr_expect_not(allows(2001));                                /* the others wait for it */
    cr_expect_not(rc_breaker_note(&breaker, 2100, true, true)); /* it is open still */
    cr_expect_not(allows(3000));
    cr_expect(rc_breaker_allows(&breaker, 3100, &probe));
    cr_expect(rc_breaker_note(&breaker, 3200, false, true));
    cr_expect(allows(3200));
    cr_expect_eq(breaker.state, RC_BREAKER_CLOSED);
    for (int i = 0; i < 4; i++) {
        cr_expect_not(rc_breaker_note(&breaker, 3300, true, false)); /* counts from the start */
    }
}

Test(breaker, calls_that_were_asked_before_do_not_put_the_probe_off)
{
    for (int i = 0; i < 5; i++) {
        (void)rc_breaker_note(&breaker, 1000, true, false);
    }
    cr_expect_not(rc_breaker_note(&breaker, 1900, true, false));
    cr_expect(allows(2000));
}

Test(breaker, a_probe_that_never_ends_is_followed_by_another)
{
    for (int i = 0; i < 5; i++) {
        (void)rc_breaker_note(&breaker, 1000, true, false);
    }
    cr_expect(allows(2000));
    cr_expect(allows(3000));
}

Test(breaker, without_a_bound_it_stays_closed)
{
    rc_breaker_open(&breaker, 0, 0);
    for (int i = 0; i < 1000; i++) {
        cr_expect_not(rc_breaker_note(&breaker, 1000, true, false));
    }
    cr_expect(allows(1000));
}
