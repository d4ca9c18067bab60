/* What goes through a channel, as a sum that fades. */
#include <criterion/criterion.h>

#include <math.h>

#include "worker/hub/heat.h"

static void near(double value, double wanted, double part)
{
    cr_assert(fabs(value - wanted) <= wanted * part, "%f is not near %f", value, wanted);
}

Test(heat, a_steady_stream_has_its_rate_after_some_time)
{
    struct rc_heat heat = {.at_ds = 1000};
    for (uint32_t ds = 1000; ds < 2000; ds++) {
        for (int i = 0; i < 5; i++) {
            rc_heat_add(&heat, ds, 200);
        }
    }
    near(rc_heat_rate(heat.messages), 50.0, 0.02);
    near(rc_heat_rate(heat.bytes), 10000.0, 0.02);
}

Test(heat, fades_to_a_third_in_ten_seconds_however_often_it_is_looked_at)
{
    struct rc_heat once = {.at_ds = 7};
    struct rc_heat often = {.at_ds = 7};
    for (int i = 0; i < 1000; i++) {
        rc_heat_add(&once, 7, 1);
        rc_heat_add(&often, 7, 1);
    }
    for (uint32_t ds = 8; ds <= 107; ds++) {
        rc_heat_fade(&often, ds);
    }
    rc_heat_fade(&once, 107);
    near(often.messages, 367.9, 0.001);
    near(once.messages, 367.9, 0.03);
}

Test(heat, is_nothing_after_a_long_time_and_when_the_clock_wraps)
{
    struct rc_heat heat = {.at_ds = UINT32_MAX - 5};
    rc_heat_add(&heat, UINT32_MAX - 5, 100);
    rc_heat_fade(&heat, 4); /* a second later */
    near(heat.messages, 0.905, 0.01);
    rc_heat_fade(&heat, 100000);
    cr_assert_eq(heat.messages, 0.0F);
    cr_assert_eq(rc_heat_rate(heat.bytes), 0.0);
}
