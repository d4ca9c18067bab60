/* acceptor/cpus: which CPU each child gets. */
#include <criterion/criterion.h>

#include "acceptor/start/cpus.h"
#include "common/config/config.h"

static void cpus_of(struct rc_cpus *cpus, uint32_t count)
{
    cpus->count = count;
    for (uint32_t i = 0; i < count; i++) {
        cpus->ids[i] = (uint16_t)(10 + i);
    }
}

Test(cpus, one_and_two_cpus_are_shared_with_the_relay)
{
    struct rc_cpus cpus;
    cpus_of(&cpus, 1);
    cr_assert_eq(rc_cpus_workers_auto(&cpus), 1);
    cr_assert_eq(rc_cpus_of(&cpus, 0), 10);
    cr_assert_eq(rc_cpus_of(&cpus, RC_CPU_RELAY), 10);
    cpus_of(&cpus, 2);
    cr_assert_eq(rc_cpus_workers_auto(&cpus), 2);
    cr_assert_eq(rc_cpus_of(&cpus, 1), 11);
    cr_assert_eq(rc_cpus_of(&cpus, RC_CPU_RELAY), 11);
}

Test(cpus, from_three_on_the_relay_has_the_last_for_itself)
{
    struct rc_cpus cpus;
    for (uint32_t count = 3; count < 64; count++) {
        cpus_of(&cpus, count);
        cr_assert_eq(rc_cpus_workers_auto(&cpus), count - 1);
        cr_assert_eq(rc_cpus_of(&cpus, RC_CPU_RELAY), 10 + count - 1);
        for (uint32_t worker = 0; worker < 2 * count; worker++) {
            cr_assert_lt(rc_cpus_of(&cpus, worker), 10 + count - 1);
        }
    }
}

Test(cpus, more_workers_than_cpus_take_turns)
{
    struct rc_cpus cpus;
    cpus_of(&cpus, 4);
    const uint32_t expected[] = {10, 11, 12, 10, 11, 12, 10};
    for (uint32_t i = 0; i < 7; i++) {
        cr_assert_eq(rc_cpus_of(&cpus, i), expected[i]);
    }
}

Test(cpus, auto_stays_within_the_process_table)
{
    struct rc_cpus cpus;
    cpus_of(&cpus, 1000);
    cr_assert_eq(rc_cpus_workers_auto(&cpus), RC_WORKERS_MAX);
}

Test(cpus, read_finds_at_least_one)
{
    struct rc_cpus cpus;
    struct rc_err err;
    cr_assert_eq(rc_cpus_read(&cpus, &err), 0);
    cr_assert_geq(cpus.count, 1);
}
