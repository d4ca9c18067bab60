/*
 * Rates, and connections per address.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/gate/address_limit.h"
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

static struct rc_address address(const char *text)
{
    struct rc_address parsed;
    cr_assert(rc_address_parse(&parsed, text, strlen(text)));
    return parsed;
}

Test(gate_address_limit, addresses_and_networks_have_their_bounds)
{
    struct rc_address_limit limit;
    cr_assert_eq(rc_address_limit_open(&limit, &(struct rc_address_limits){.per_address = 2, .per_network = 3}, 100),
                 0);
    const struct rc_address a = address("192.0.2.1"), b = address("192.0.2.255"), c = address("192.0.3.1"),
                            d = address("2001:db8:0:1::1"), e = address("2001:db8:0:1:ffff::1"),
                            f = address("2001:db8:0:2::1");
    cr_assert_eq(rc_address_limit_add(&limit, &a), RC_ADDRESS_COUNTED);
    cr_assert_eq(rc_address_limit_add(&limit, &a), RC_ADDRESS_COUNTED);
    cr_assert_eq(rc_address_limit_add(&limit, &a), RC_ADDRESS_REFUSED_ADDRESS);
    cr_assert_eq(rc_address_limit_add(&limit, &b), RC_ADDRESS_COUNTED);
    cr_assert_eq(rc_address_limit_add(&limit, &b), RC_ADDRESS_REFUSED_NETWORK);
    cr_assert_eq(rc_address_limit_add(&limit, &c), RC_ADDRESS_COUNTED);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(rc_address_limit_add(&limit, &d), RC_ADDRESS_COUNTED);
    }
    cr_assert_eq(rc_address_limit_add(&limit, &e), RC_ADDRESS_COUNTED);
    cr_assert_eq(rc_address_limit_add(&limit, &e), RC_ADDRESS_REFUSED_NETWORK);
    cr_assert_eq(rc_address_limit_add(&limit, &f), RC_ADDRESS_COUNTED);
    cr_assert_eq(rc_address_limit_of_address(&limit, &a), 2u);
    cr_assert_eq(rc_address_limit_of_network(&limit, &a), 3u);
    cr_assert_eq(rc_address_limit_of_network(&limit, &e), 3u);
    rc_address_limit_remove(&limit, &a);
    cr_assert_eq(rc_address_limit_add(&limit, &b), RC_ADDRESS_COUNTED);
    rc_address_limit_close(&limit);
}

Test(gate_address_limit, off_costs_nothing_and_can_be_turned_on_and_off)
{
    struct rc_address_limit limit;
    const struct rc_address a = address("192.0.2.1");
    const struct rc_address_limits off = {0}, on = {.per_address = 1};
    cr_assert_eq(rc_address_limit_open(&limit, &off, 1000000), 0);
    cr_assert_eq(rc_address_limit_add(&limit, &a), RC_ADDRESS_ADMITTED);
    cr_assert_null(limit.entries);
    rc_address_limit_reconfigure(&limit, &on);
    cr_assert_eq(rc_address_limit_count(&limit, &a), 0, "one that is there already");
    cr_assert_eq(rc_address_limit_add(&limit, &a), RC_ADDRESS_REFUSED_ADDRESS);
    cr_assert_eq(rc_address_limit_count(&limit, &a), 0, "and another: it is beyond the limit, and stays");
    cr_assert_eq(rc_address_limit_of_address(&limit, &a), 2u);
    cr_assert_eq(rc_address_limit_of_network(&limit, &a), 2u);
    rc_address_limit_remove(&limit, &a);
    rc_address_limit_reconfigure(&limit, &off);
    cr_assert_eq(rc_address_limit_add(&limit, &a), RC_ADDRESS_ADMITTED);
    rc_address_limit_remove(&limit, &a);
    cr_assert_eq(rc_address_limit_of_address(&limit, &a), 0u);
    rc_address_limit_close(&limit);
}

Test(gate_address_limit, the_table_is_bounded_and_memory_is_used_again)
{
    struct rc_address_limit limit;
    struct rc_address a = address("10.0.0.1");
    cr_assert_eq(rc_address_limit_open(&limit, &(struct rc_address_limits){.per_network = 1000}, 50), 0);
    for (int round = 0; round < 20; round++) {
        int counted = 0;
        for (uint8_t i = 0; i < 200; i++) {
            a.bytes[13] = i; /* each in a network of its own: two entries */
            counted += rc_address_limit_add(&limit, &a) == RC_ADDRESS_COUNTED;
        }
        cr_assert_eq(counted, 50);
        for (uint8_t i = 0; i < 50; i++) {
            a.bytes[13] = i;
            rc_address_limit_remove(&limit, &a);
        }
        cr_assert_eq(limit.map.count, 0u);
        cr_assert_leq(limit.entries_capacity, 100u);
    }
    rc_address_limit_close(&limit);
    cr_assert_eq(rc_address_limit_open(&limit, &(struct rc_address_limits){0}, 0), -EINVAL);
}

Test(gate_address_limit, random_comings_and_goings_agree_with_counting)
{
    enum { ADDRESSES = 64 };
    struct rc_address_limit limit;
    struct rc_address addresses[ADDRESSES];
    uint32_t counts[ADDRESSES] = {0};
    for (int i = 0; i < ADDRESSES; i++) {
        char text[64];
        snprintf(text, sizeof(text), i % 2 ? "10.0.%d.%d" : "2001:db8:0:%d::%d", i / 8, i);
        addresses[i] = address(text);
    }
    srand(1);
    cr_assert_eq(
        rc_address_limit_open(&limit, &(struct rc_address_limits){.per_address = 20, .per_network = 60}, 10000), 0);
    for (int step = 0; step < 100000; step++) {
        const int at = rand() % ADDRESSES;
        if (rand() % 5 < 2 && counts[at] > 0) {
            rc_address_limit_remove(&limit, &addresses[at]);
            counts[at]--;
            continue;
        }
        uint32_t network = 0;
        for (int i = 0; i < ADDRESSES; i++) {
            network += i / 8 == at / 8 && i % 2 == at % 2 ? counts[i] : 0;
        }
        const enum rc_address_verdict expected = counts[at] >= 20 ? RC_ADDRESS_REFUSED_ADDRESS
                                                 : network >= 60  ? RC_ADDRESS_REFUSED_NETWORK
                                                                  : RC_ADDRESS_COUNTED;
        cr_assert_eq(rc_address_limit_of_network(&limit, &addresses[at]), network);
        cr_assert_eq(rc_address_limit_add(&limit, &addresses[at]), expected);
        counts[at] += expected == RC_ADDRESS_COUNTED;
    }
    rc_address_limit_close(&limit);
}
