/* Clients that are with another worker than their ids name. */
#include <criterion/criterion.h>

#include "relay/route/guests.h"

static struct rc_guests guests;

static void open_guests(void)
{
    cr_assert_eq(rc_guests_open(&guests), 0);
}

static void close_guests(void)
{
    rc_guests_close(&guests);
}

TestSuite(guests, .init = open_guests, .fini = close_guests);

static struct rc_client_ref client_of(uint64_t random, uint16_t worker)
{
    return (struct rc_client_ref){.random = random, .slot = 7, .worker = worker};
}

Test(guests, who_was_never_moved_is_where_its_id_says)
{
    const struct rc_client_ref one = client_of(1, 3);
    cr_assert_eq(rc_guests_place(&guests, &one), 3);
    rc_guests_remove(&guests, &one, 3);
    cr_assert_eq(rc_guests_place(&guests, &one), 3);
}

Test(guests, from_worker_to_worker_and_home_again)
{
    const struct rc_client_ref one = client_of(1, 3);
    cr_assert_eq(rc_guests_put(&guests, &one, 5), 0);
    cr_assert_eq(rc_guests_place(&guests, &one), 5);
    cr_assert_eq(rc_guests_put(&guests, &one, 4), 0);
    cr_assert_eq(rc_guests_place(&guests, &one), 4);
    cr_assert_eq(guests.map.count, 1);
    rc_guests_remove(&guests, &one, 5); /* it says so too late: it has gone on */
    cr_assert_eq(rc_guests_place(&guests, &one), 4);
    cr_assert_eq(rc_guests_put(&guests, &one, 3), 0);
    cr_assert_eq(rc_guests_place(&guests, &one), 3);
    cr_assert_eq(guests.map.count, 0, "at home it is no guest");
}

Test(guests, of_a_worker_that_is_gone_none_is_left_and_places_are_used_again)
{
    for (uint32_t round = 0; round < 3; round++) {
        for (uint64_t i = 1; i <= 1000; i++) {
            const struct rc_client_ref one = client_of(i, 0);
            cr_assert_eq(rc_guests_put(&guests, &one, 1 + (uint32_t)(i % 3)), 0);
        }
        rc_guests_forget(&guests, 2);
        for (uint64_t i = 1; i <= 1000; i++) {
            const struct rc_client_ref one = client_of(i, 0);
            const uint32_t worker = 1 + (uint32_t)(i % 3);
            cr_assert_eq(rc_guests_place(&guests, &one), worker == 2 ? 0 : worker);
            rc_guests_remove(&guests, &one, worker);
        }
        cr_assert_eq(guests.map.count, 0);
        cr_assert_eq(guests.used, 1000);
    }
}
