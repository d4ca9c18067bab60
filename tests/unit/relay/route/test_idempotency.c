/* Keys of API callers: remembered, forgotten after their time, bounded. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "relay/route/idempotency.h"

static struct rc_idempotency *table;

/* The keys {1, …}, from one on, that are in the set of another: the next one each time. */
static uint64_t rival(const uint64_t key[2], uint64_t after)
{
    uint64_t other[2] = {1, after + 1};
    while (rc_idempotency_set(other) != rc_idempotency_set(key)) {
        other[1]++;
    }
    return other[1];
}

static void open_table(void)
{
    table = calloc(1, sizeof(*table));
    cr_assert(table != NULL);
}

static void close_table(void)
{
    free(table);
}

TestSuite(relay_idempotency, .init = open_table, .fini = close_table);

Test(relay_idempotency, a_key_is_known_until_its_time_is_over)
{
    const uint64_t key[2] = {7, 9};
    const uint64_t other[2] = {7, 10};
    cr_assert_eq(rc_idempotency_find(table, key, 1000), 0);
    cr_assert(!rc_idempotency_put(table, key, 42, 1000));
    cr_assert_eq(rc_idempotency_find(table, key, 1000), 42);
    cr_assert_eq(rc_idempotency_find(table, other, 1000), 0);
    cr_assert_eq(rc_idempotency_find(table, key, 1000 + RC_IDEMPOTENCY_MS - 1), 42);
    cr_assert_eq(rc_idempotency_find(table, key, 1000 + RC_IDEMPOTENCY_MS), 0);
}

Test(relay_idempotency, a_key_put_again_takes_no_second_place)
{
    const uint64_t key[2] = {7, 9};
    for (uint64_t i = 1; i <= 100; i++) {
        cr_assert(!rc_idempotency_put(table, key, i, i));
        cr_assert_eq(rc_idempotency_find(table, key, i), i);
    }
    uint64_t second = 0;
    for (uint64_t i = 1; i < RC_IDEMPOTENCY_WAYS; i++) {
        const uint64_t other[2] = {1, second = rival(key, second)};
        cr_assert(!rc_idempotency_put(table, other, i, 200), "way %llu", (unsigned long long)i);
    }
    cr_assert_eq(rc_idempotency_find(table, key, 200), 100);
}

Test(relay_idempotency, the_oldest_of_a_full_set_goes_and_is_counted_if_it_counted_still)
{
    const uint64_t one_more[2] = {0, 2};
    const uint64_t later[2] = {1, rival(one_more, 0)};
    uint64_t second[RC_IDEMPOTENCY_WAYS];
    for (uint64_t i = 0; i < RC_IDEMPOTENCY_WAYS; i++) {
        second[i] = rival(one_more, i == 0 ? later[1] : second[i - 1]);
        const uint64_t key[2] = {1, second[i]};
        cr_assert(!rc_idempotency_put(table, key, i + 1, 1000 - i));
    }
    cr_assert(rc_idempotency_put(table, one_more, 99, 1000));
    for (uint64_t i = 0; i < RC_IDEMPOTENCY_WAYS; i++) {
        const uint64_t key[2] = {1, second[i]};
        cr_assert_eq(rc_idempotency_find(table, key, 1000), i == RC_IDEMPOTENCY_WAYS - 1 ? 0 : i + 1);
    }
    cr_assert(!rc_idempotency_put(table, later, 100, 1000 + RC_IDEMPOTENCY_MS), "what is over makes room silently");
    cr_assert_eq(rc_idempotency_find(table, later, 1000 + RC_IDEMPOTENCY_MS), 100);
}

Test(relay_idempotency, an_entry_that_was_never_completed_is_none)
{
    const uint64_t key[2] = {5, 6};
    (void)rc_idempotency_put(table, key, 8, 1000);
    atomic_store(&table->entries[rc_idempotency_set(key)][0].time_ms, 0); /* the writer died in between */
    cr_assert_eq(rc_idempotency_find(table, key, 1000), 0);
    cr_assert(!rc_idempotency_put(table, key, 9, 1000));
    cr_assert_eq(rc_idempotency_find(table, key, 1000), 9);
}

/* Keys whose first halves are alike modulo the number of sets: with that as the set, eight of them push anybody's key out. */
Test(relay_idempotency, keys_that_somebody_chose_do_not_meet_in_one_set)
{
    uint32_t evicted = 0;
    for (uint64_t i = 0; i < 64; i++) {
        const uint64_t key[2] = {i * RC_IDEMPOTENCY_SETS, 1};
        evicted += rc_idempotency_put(table, key, i + 1, 1000);
    }
    cr_assert_eq(evicted, 0);
}
