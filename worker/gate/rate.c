/* rate: see rate.h. */
#include "worker/gate/rate.h"

#include "common/base/check.h"

#define DEBT_S 60u /* the longest time to make up for */

static uint64_t rate_lowered(uint64_t level, uint64_t per_s, uint32_t elapsed_ms)
{
    if (elapsed_ms != 0 && per_s > UINT64_MAX / elapsed_ms) {
        return 0;
    }
    const uint64_t by = per_s * elapsed_ms; /* thousandths: r a second are r/1000 a millisecond */
    return level > by ? level - by : 0;
}

/* Lowers both levels to what they are now. */
static void rate_settle(struct rc_rate *rate, const struct rc_rate_limits *limits, uint32_t now_ms)
{
    const uint32_t elapsed_ms = now_ms - rate->at_ms;
    rate->count_level = (uint32_t)rate_lowered(rate->count_level, limits->count_per_s, elapsed_ms);
    rate->bytes_level = rate_lowered(rate->bytes_level, limits->bytes_per_s, elapsed_ms);
    rate->at_ms = now_ms;
}

static uint64_t rate_raised(uint64_t level, uint64_t by, uint64_t per_s, uint64_t burst, uint64_t level_max)
{
    uint64_t most = (burst + per_s * DEBT_S) * 1000;
    if (most > level_max) {
        most = level_max;
    }
    const uint64_t room = most > level ? most - level : 0;
    return by > room / 1000 ? level + room : level + by * 1000;
}

/* Milliseconds until the level is down at the burst. */
static uint32_t wait_ms(uint64_t level, uint64_t per_s, uint64_t burst)
{
    if (per_s == 0 || level <= burst * 1000) {
        return 0;
    }
    return (uint32_t)((level - burst * 1000 + per_s - 1) / per_s);
}

static uint32_t longest_wait_ms(const struct rc_rate *rate, const struct rc_rate_limits *limits)
{
    const uint32_t count_ms = wait_ms(rate->count_level, limits->count_per_s, limits->count_burst);
    const uint32_t bytes_ms = wait_ms(rate->bytes_level, limits->bytes_per_s, limits->bytes_burst);
    return count_ms > bytes_ms ? count_ms : bytes_ms;
}

static void check_limits(const struct rc_rate_limits *limits)
{
    RC_ASSERT_HOT(limits->count_per_s <= RC_RATE_COUNT_MAX && limits->count_burst <= RC_RATE_COUNT_MAX);
    RC_ASSERT_HOT(limits->bytes_per_s <= RC_RATE_BYTES_MAX && limits->bytes_burst <= RC_RATE_BYTES_MAX);
    (void)limits;
}

uint32_t rc_rate_take(struct rc_rate *rate, const struct rc_rate_limits *limits, uint32_t now_ms, uint32_t count,
                      uint64_t bytes)
{
    check_limits(limits);
    rate_settle(rate, limits, now_ms);
    if (limits->count_per_s != 0) {
        rate->count_level =
            (uint32_t)rate_raised(rate->count_level, count, limits->count_per_s, limits->count_burst, UINT32_MAX);
    }
    if (limits->bytes_per_s != 0) {
        rate->bytes_level = rate_raised(rate->bytes_level, bytes, limits->bytes_per_s, limits->bytes_burst, UINT64_MAX);
    }
    return longest_wait_ms(rate, limits);
}

uint32_t rc_rate_wait_ms(struct rc_rate *rate, const struct rc_rate_limits *limits, uint32_t now_ms)
{
    check_limits(limits);
    rate_settle(rate, limits, now_ms);
    return longest_wait_ms(rate, limits);
}

bool rc_rate_admit(struct rc_rate *rate, const struct rc_rate_limits *limits, uint32_t now_ms)
{
    check_limits(limits);
    if (limits->count_per_s == 0) {
        return true;
    }
    rate_settle(rate, limits, now_ms);
    if ((uint64_t)rate->count_level + 1000 > (uint64_t)limits->count_burst * 1000) {
        return false;
    }
    rate->count_level += 1000;
    return true;
}
