/* Connections of an address, and of its network. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/gate/address_limit.h"

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
