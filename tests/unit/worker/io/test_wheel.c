/* White-box tests of worker/io/wheel.c against a plain table of deadlines. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "worker/io/wheel.h"

static uint64_t state = 7;

static uint32_t below(uint32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}

Test(wheel, expires_every_timer_in_its_tick_and_in_order)
{
    enum { COUNT = 500 };
    struct rc_wheel wheel;
    uint32_t deadlines[COUNT] = {0}; /* 0 = none */
    uint32_t now = 5;
    uint32_t pending = 0;
    cr_assert_eq(rc_wheel_open(&wheel, COUNT, now), 0);
    for (uint32_t step = 0; step < 40000; step++) {
        const uint32_t index = below(COUNT);
        switch (below(4)) {
        case 0:
            pending -= deadlines[index] != 0;
            rc_wheel_clear(&wheel, index);
            deadlines[index] = 0;
            break;
        case 1:
        case 2: {
            const uint32_t far = below(10) == 0 ? below(5000) : below(100) == 0 ? below(400000) : below(300);
            const uint32_t at = below(20) == 0 ? now - below(5) : now + far;
            pending += deadlines[index] == 0;
            rc_wheel_set(&wheel, index, at);
            deadlines[index] = at > now ? at : now + 1;
            break;
        }
        default: {
            const uint32_t sleep = rc_wheel_sleep(&wheel, 100);
            for (uint32_t i = 0; i < COUNT; i++) {
                cr_assert(deadlines[i] == 0 || deadlines[i] >= now + sleep, "it sleeps past a timer");
            }
            now += below(8) == 0 ? below(3000) : below(20);
            uint32_t last = 0;
            uint32_t expired;
            while ((expired = rc_wheel_expire(&wheel, now)) != RC_WHEEL_NONE) {
                cr_assert(deadlines[expired] != 0 && deadlines[expired] <= now && deadlines[expired] >= last);
                last = deadlines[expired];
                deadlines[expired] = 0;
                pending--;
            }
            for (uint32_t i = 0; i < COUNT; i++) {
                cr_assert(deadlines[i] == 0 || deadlines[i] > now, "timer %u is late", i);
            }
        }
        }
        cr_assert_eq(wheel.pending, pending);
    }
    rc_wheel_close(&wheel);
}

/* A handler may set the timer that has just expired, and others. */
Test(wheel, timers_set_while_expiring)
{
    struct rc_wheel wheel;
    cr_assert_eq(rc_wheel_open(&wheel, 4, 1), 0);
    rc_wheel_set(&wheel, 0, 10);
    rc_wheel_set(&wheel, 1, 10);
    cr_assert_neq(rc_wheel_expire(&wheel, 50), RC_WHEEL_NONE);
    rc_wheel_set(&wheel, 2, 60);
    rc_wheel_set(&wheel, 3, 20);
    rc_wheel_set(&wheel, 1, 60);
    rc_wheel_set(&wheel, 0, 60);
    cr_assert_eq(rc_wheel_expire(&wheel, 50), 3);
    cr_assert_eq(rc_wheel_expire(&wheel, 50), RC_WHEEL_NONE);
    cr_assert_eq(rc_wheel_expire(&wheel, 59), RC_WHEEL_NONE);
    for (int i = 0; i < 3; i++) {
        cr_assert_neq(rc_wheel_expire(&wheel, 60), RC_WHEEL_NONE);
    }
    cr_assert_eq(rc_wheel_expire(&wheel, 60), RC_WHEEL_NONE);
    cr_assert_eq(wheel.pending, 0);
    cr_assert_eq(rc_wheel_expire(&wheel, UINT32_MAX / 2), RC_WHEEL_NONE, "an empty wheel does not turn tick by tick");
    rc_wheel_close(&wheel);
}

/* It is not looked at in each turn before: thousands of connections with long intervals would be looked at for each that is due. */
Test(wheel, timer_further_away_than_a_turn_waits_for_its_turn)
{
    enum { AT = 100 + 3 * RC_WHEEL_TURN };
    struct rc_wheel wheel;
    cr_assert_eq(rc_wheel_open(&wheel, 3, 1), 0);
    rc_wheel_set(&wheel, 0, AT);
    rc_wheel_set(&wheel, 2, AT + RC_WHEEL_FAR_TURNS * RC_WHEEL_TURN);
    cr_assert_eq(wheel.buckets[AT % RC_WHEEL_TURN], RC_WHEEL_NONE);
    rc_wheel_set(&wheel, 1, 100);
    cr_assert_eq(rc_wheel_expire(&wheel, 100), 1);
    cr_assert_eq(rc_wheel_expire(&wheel, 3 * RC_WHEEL_TURN - 50), RC_WHEEL_NONE);
    cr_assert_eq(rc_wheel_sleep(&wheel, 100), 50, "a turn begins that has a timer");
    cr_assert_eq(rc_wheel_expire(&wheel, AT - 1), RC_WHEEL_NONE);
    cr_assert_eq(rc_wheel_expire(&wheel, AT), 0);
    cr_assert_eq(rc_wheel_expire(&wheel, AT + RC_WHEEL_FAR_TURNS * RC_WHEEL_TURN - 1), RC_WHEEL_NONE);
    cr_assert_eq(rc_wheel_expire(&wheel, AT + RC_WHEEL_FAR_TURNS * RC_WHEEL_TURN), 2);
    cr_assert_eq(wheel.pending, 0);
    rc_wheel_close(&wheel);
}
