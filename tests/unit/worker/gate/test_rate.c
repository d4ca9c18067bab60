/* Rates: a burst, then so much a second, exactly. */
#include <criterion/criterion.h>

#include "common/base/check.h"
#include "worker/gate/rate.h"

Test(gate_rate, a_burst_passes_and_then_the_rate)
{
    const struct rc_rate_limits limits = {.count_per_s = 10, .count_burst = 5};
    struct rc_rate rate = {0};
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(rc_rate_take(&rate, &limits, 1000, 1, 0), 0u);
    }
    cr_assert_eq(rc_rate_take(&rate, &limits, 1000, 1, 0), 100u);
    cr_assert_eq(rc_rate_wait_ms(&rate, &limits, 1050), 50u);
    cr_assert_eq(rc_rate_wait_ms(&rate, &limits, 1100), 0u);
    cr_assert_eq(rc_rate_take(&rate, &limits, 1100, 1, 0), 100u);
}

Test(gate_rate, over_time_exactly_the_rate_passes)
{
    const struct rc_rate_limits limits = {.count_per_s = 7, .count_burst = 3, .bytes_per_s = 1001, .bytes_burst = 10};
    struct rc_rate messages = {0}, bytes = {0};
    const struct rc_rate_limits only_bytes = {.bytes_per_s = 1001, .bytes_burst = 10};
    uint32_t passed = 0;
    uint64_t passed_bytes = 0;
    for (uint32_t now_ms = 0; now_ms < 1000000; now_ms++) {
        if (rc_rate_wait_ms(&messages, &limits, now_ms) == 0) {
            rc_rate_take(&messages, &limits, now_ms, 1, 0);
            passed++;
        }
        if (rc_rate_wait_ms(&bytes, &only_bytes, now_ms) == 0) {
            rc_rate_take(&bytes, &only_bytes, now_ms, 1, 3);
            passed_bytes += 3;
        }
    }
    cr_assert(passed >= 7000 && passed <= 7000 + 4, "%u", passed);
    cr_assert(passed_bytes >= 1001000 && passed_bytes <= 1001000 + 14, "%lu", (unsigned long)passed_bytes);
}

Test(gate_rate, one_large_message_is_made_up_for)
{
    const struct rc_rate_limits limits = {.bytes_per_s = 1000, .bytes_burst = 5000};
    struct rc_rate rate = {0};
    cr_assert_eq(rc_rate_take(&rate, &limits, 0, 1, 8000), 3000u);
    cr_assert_eq(rc_rate_wait_ms(&rate, &limits, 3000), 0u);
    /* Never for more than a minute, whatever came. */
    cr_assert_eq(rc_rate_take(&rate, &limits, 3000, 1, UINT64_MAX), 60000u);
    cr_assert_eq(rc_rate_take(&rate, &limits, 3000, UINT32_MAX, UINT64_MAX), 60000u);
    cr_assert_eq(rc_rate_wait_ms(&rate, &limits, 63000), 0u);
}

Test(gate_rate, no_limit_limits_nothing_and_the_largest_ones_do_not_overflow)
{
    struct rc_rate rate = {0};
    const struct rc_rate_limits none = {0};
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(rc_rate_take(&rate, &none, 5, UINT32_MAX, UINT64_MAX), 0u);
    }
    const struct rc_rate_limits most = {RC_RATE_COUNT_MAX, RC_RATE_COUNT_MAX, RC_RATE_BYTES_MAX, RC_RATE_BYTES_MAX};
    const uint32_t wait_ms = rc_rate_take(&rate, &most, 6, UINT32_MAX, UINT64_MAX);
    cr_assert(wait_ms > 0 && wait_ms <= 60000, "%u", wait_ms);
    cr_assert_eq(rc_rate_wait_ms(&rate, &most, 6 + wait_ms), 0u);
    cr_assert_eq(rc_rate_wait_ms(&rate, &most, 5), 0u); /* the clock's 32 bits went round */
}

Test(gate_rate, admitting_takes_only_what_fits)
{
    const struct rc_rate_limits limits = {.count_per_s = 100, .count_burst = 20}, none = {0};
    struct rc_rate rate = {0};
    int admitted = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        admitted += rc_rate_admit(&rate, &limits, UINT32_MAX);
    }
    cr_assert_eq(admitted, 20);
    for (uint32_t now_ms = 0; now_ms < 10000; now_ms++) {
        admitted += rc_rate_admit(&rate, &limits, now_ms);
    }
    cr_assert(admitted >= 1019 && admitted <= 1021, "%d", admitted);
    cr_assert(rc_rate_admit(&rate, &none, 0));
}
