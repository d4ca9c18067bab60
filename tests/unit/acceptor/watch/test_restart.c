/* acceptor/restart: when a crashed child is started again, and when it is given up. */
#include <criterion/criterion.h>

#include "acceptor/watch/restart.h"

Test(restart, first_crash_restarts_at_once)
{
    struct rc_restart restart = {0};
    uint64_t delay_ms = 99;
    cr_assert(rc_restart_after_crash(&restart, 1000, 5000, &delay_ms));
    cr_assert_eq(delay_ms, 0);
}

Test(restart, delays_double_from_100_ms_to_5_s)
{
    const uint64_t expected[] = {0, 100, 200, 400, 800, 1600, 3200, 5000, 5000};
    struct rc_restart restart = {0};
    uint64_t now_ms = 1000;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        uint64_t delay_ms;
        cr_assert(rc_restart_after_crash(&restart, now_ms, now_ms + 1, &delay_ms));
        cr_assert_eq(delay_ms, expected[i]);
        now_ms += 1 + delay_ms;
    }
}

Test(restart, tenth_crash_within_a_minute_gives_up)
{
    struct rc_restart restart = {0};
    uint64_t delay_ms;
    for (uint64_t i = 0; i < RC_RESTART_CRASHES_MAX - 1; i++) {
        cr_assert(rc_restart_after_crash(&restart, 0, i * 6000, &delay_ms));
    }
    cr_assert_not(rc_restart_after_crash(&restart, 0, RC_RESTART_WINDOW_MS, &delay_ms));
}

Test(restart, ten_crashes_over_more_than_a_minute_go_on)
{
    struct rc_restart restart = {0};
    uint64_t delay_ms;
    for (uint64_t i = 0; i < 100; i++) {
        const uint64_t now_ms = 1 + i * 6700; /* nine intervals are 60.3 s */
        cr_assert(rc_restart_after_crash(&restart, now_ms, now_ms, &delay_ms), "crash %lu", (unsigned long)i);
        cr_assert_leq(delay_ms, RC_RESTART_DELAY_MAX_MS);
    }
}

Test(restart, a_quiet_minute_forgives)
{
    struct rc_restart restart = {0};
    uint64_t delay_ms;
    for (uint64_t i = 0; i < 5; i++) {
        cr_assert(rc_restart_after_crash(&restart, i, i, &delay_ms));
    }
    cr_assert_eq(delay_ms, 800);
    cr_assert(rc_restart_after_crash(&restart, 1000, 1000 + RC_RESTART_WINDOW_MS, &delay_ms));
    cr_assert_eq(delay_ms, 0);
}

Test(restart, long_streak_keeps_the_longest_delay)
{
    struct rc_restart restart = {.streak = UINT32_MAX / 2};
    uint64_t delay_ms;
    cr_assert(rc_restart_after_crash(&restart, 5, 6, &delay_ms));
    cr_assert_eq(delay_ms, RC_RESTART_DELAY_MAX_MS);
}

Test(restart, kills_from_outside_are_never_given_up)
{
    struct rc_restart restart = {0};
    uint64_t now_ms = 1000;
    cr_assert_eq(rc_restart_after_kill(&restart, now_ms), 0);
    for (unsigned i = 0; i < 100; i++) {
        now_ms += 300;
        cr_assert_eq(rc_restart_after_kill(&restart, now_ms), RC_RESTART_DELAY_FIRST_MS);
    }
    cr_assert_eq(rc_restart_after_kill(&restart, now_ms + 1000), 0);
}

Test(restart, kills_from_outside_do_not_count_as_crashes)
{
    struct rc_restart restart = {0};
    uint64_t delay_ms;
    for (unsigned i = 0; i < 50; i++) {
        rc_restart_after_kill(&restart, 1000 + i);
    }
    cr_assert(rc_restart_after_crash(&restart, 2000, 2001, &delay_ms));
    cr_assert_eq(delay_ms, 0);
}
