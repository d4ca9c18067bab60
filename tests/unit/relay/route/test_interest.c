/* The interest table: sets of workers per channel, edges, bounds, reuse. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/envelope.h"
#include "relay/route/interest.h"
#include "tests/support/colliding.h"

static int add(struct rc_interest *table, const char *name, uint32_t worker)
{
    return rc_interest_add(table, rc_channel_hash(name, strlen(name)), name, (uint32_t)strlen(name), worker);
}

static enum rc_interest_change drop(struct rc_interest *table, const char *name, uint32_t worker)
{
    return rc_interest_remove(table, rc_channel_hash(name, strlen(name)), name, (uint32_t)strlen(name), worker);
}

static struct rc_worker_set find(const struct rc_interest *table, const char *name)
{
    return rc_interest_find(table, rc_channel_hash(name, strlen(name)), name, (uint32_t)strlen(name));
}

Test(relay_interest, adding_and_removing_twice_is_as_once)
{
    struct rc_interest table;
    cr_assert_eq(rc_interest_open(&table, 100), 0);
    cr_assert_eq(add(&table, "a", 3), RC_INTEREST_EDGE);
    cr_assert_eq(add(&table, "a", 3), RC_INTEREST_SAME);
    cr_assert_eq(add(&table, "a", 127), RC_INTEREST_CHANGED);
    cr_assert_eq(table.pair_count, 2);
    const struct rc_worker_set set = find(&table, "a");
    cr_assert(rc_worker_set_has(&set, 3) && rc_worker_set_has(&set, 127) && !rc_worker_set_has(&set, 4));
    cr_assert_eq(drop(&table, "a", 5), RC_INTEREST_SAME);
    cr_assert_eq(drop(&table, "a", 3), RC_INTEREST_CHANGED);
    cr_assert_eq(drop(&table, "a", 3), RC_INTEREST_SAME);
    cr_assert_eq(drop(&table, "a", 127), RC_INTEREST_EDGE);
    cr_assert_eq(drop(&table, "a", 127), RC_INTEREST_SAME);
    cr_assert_eq(table.pair_count, 0);
    cr_assert_eq(table.map.count, 0);
    rc_interest_close(&table);
}

Test(relay_interest, names_that_differ_only_in_length_or_case_are_different)
{
    struct rc_interest table;
    char longest[256];
    memset(longest, 'x', 255);
    longest[255] = '\0';
    cr_assert_eq(rc_interest_open(&table, 100), 0);
    cr_assert_eq(add(&table, "room", 0), RC_INTEREST_EDGE);
    cr_assert_eq(add(&table, "rooms", 0), RC_INTEREST_EDGE);
    cr_assert_eq(add(&table, "Room", 0), RC_INTEREST_EDGE);
    cr_assert_eq(add(&table, longest, 0), RC_INTEREST_EDGE);
    longest[254] = 'y';
    cr_assert_eq(add(&table, longest, 1), RC_INTEREST_EDGE);
    for (uint32_t bytes = 31; bytes <= 34; bytes++) { /* around where names move out of the entry */
        cr_assert_eq(rc_interest_add(&table, rc_channel_hash(longest, bytes), longest, bytes, 2), RC_INTEREST_EDGE);
    }
    for (uint32_t bytes = 31; bytes <= 34; bytes++) {
        const struct rc_worker_set set = rc_interest_find(&table, rc_channel_hash(longest, bytes), longest, bytes);
        cr_assert(rc_worker_set_has(&set, 2) && !rc_worker_set_has(&set, 0));
    }
    rc_interest_close(&table);
}

Test(relay_interest, same_hash_of_two_names_keeps_them_apart)
{
    struct rc_interest table;
    cr_assert_eq(rc_interest_open(&table, 100), 0);
    cr_assert_eq(rc_interest_add(&table, 42, "one", 3, 1), RC_INTEREST_EDGE);
    cr_assert_eq(rc_interest_add(&table, 42, "two", 3, 2), RC_INTEREST_EDGE);
    const struct rc_worker_set one = rc_interest_find(&table, 42, "one", 3);
    cr_assert(rc_worker_set_has(&one, 1) && !rc_worker_set_has(&one, 2));
    cr_assert_eq(rc_interest_remove(&table, 42, "one", 3, 1), RC_INTEREST_EDGE);
    const struct rc_worker_set two = rc_interest_find(&table, 42, "two", 3);
    cr_assert(rc_worker_set_has(&two, 2));
    rc_interest_close(&table);
}

Test(relay_interest, bound_counts_pairs)
{
    struct rc_interest table;
    cr_assert_eq(rc_interest_open(&table, 3), 0);
    cr_assert_eq(add(&table, "a", 0), RC_INTEREST_EDGE);
    cr_assert_eq(add(&table, "a", 1), RC_INTEREST_CHANGED);
    cr_assert_eq(add(&table, "b", 0), RC_INTEREST_EDGE);
    cr_assert_eq(add(&table, "b", 1), -ENOSPC);
    cr_assert_eq(add(&table, "c", 1), -ENOSPC);
    cr_assert_eq(add(&table, "a", 1), RC_INTEREST_SAME, "what is there stays there");
    cr_assert_eq(drop(&table, "b", 0), RC_INTEREST_EDGE);
    cr_assert_eq(add(&table, "c", 1), RC_INTEREST_EDGE);
    rc_interest_close(&table);
}

struct emptied {
    uint32_t count;
    char last[256];
};

static void note_emptied(void *context, uint64_t hash, const char *name, uint32_t name_bytes)
{
    struct emptied *emptied = context;
    cr_assert_eq(hash, rc_channel_hash(name, name_bytes));
    emptied->count++;
    memcpy(emptied->last, name, name_bytes);
    emptied->last[name_bytes] = '\0';
}

Test(relay_interest, forgetting_a_worker_leaves_the_others)
{
    struct rc_interest table;
    struct emptied emptied = {0};
    char name[64];
    cr_assert_eq(rc_interest_open(&table, 100000), 0);
    for (int i = 0; i < 10000; i++) {
        (void)snprintf(name, sizeof(name), "channel:%d%s", i,
                       i % 2 == 0 ? "" : ":with a name that does not fit in line");
        cr_assert_eq(add(&table, name, 5), RC_INTEREST_EDGE);
        if (i % 10 != 0) {
            cr_assert_eq(add(&table, name, 64), RC_INTEREST_CHANGED);
        }
    }
    rc_interest_forget(&table, 5, note_emptied, &emptied);
    cr_assert_eq(emptied.count, 1000);
    cr_assert_eq(table.pair_count, 9000);
    cr_assert_eq(table.map.count, 9000);
    cr_assert_eq(table.worker_pairs[5], 0);
    const struct rc_worker_set gone = find(&table, "channel:10");
    const struct rc_worker_set there = find(&table, "channel:12");
    cr_assert(rc_worker_set_empty(&gone));
    cr_assert(!rc_worker_set_has(&there, 5) && rc_worker_set_has(&there, 64));
    rc_interest_forget(&table, 64, NULL, NULL);
    cr_assert_eq(table.map.count, 0);
    rc_interest_close(&table);
}

Test(relay_interest, entries_are_reused)
{
    struct rc_interest table;
    char name[64];
    cr_assert_eq(rc_interest_open(&table, 1000), 0);
    for (int i = 0; i < 100000; i++) {
        (void)snprintf(name, sizeof(name), "short lived channel with a long name %d", i);
        cr_assert_eq(add(&table, name, 1), RC_INTEREST_EDGE);
        cr_assert_eq(drop(&table, name, 1), RC_INTEREST_EDGE);
    }
    cr_assert_eq(table.chunk_count, 1);
    cr_assert_eq(table.map.count, 0);
    rc_interest_close(&table);
}

/* Random changes against a plain array. */
Test(relay_interest, agrees_with_a_plain_table)
{
    enum { NAMES = 500, WORKERS = 128 };
    static bool plain[NAMES][WORKERS];
    struct rc_interest table;
    char name[64];
    unsigned seed = 12345;
    uint64_t pairs = 0;
    cr_assert_eq(rc_interest_open(&table, 1000000), 0);
    for (int step = 0; step < 200000; step++) {
        const uint32_t i = (uint32_t)rand_r(&seed) % NAMES;
        const uint32_t worker = (uint32_t)rand_r(&seed) % WORKERS;
        (void)snprintf(name, sizeof(name), i % 3 == 0 ? "%u" : "namespace:somewhat:longer:%u:name", i);
        if (rand_r(&seed) % 5000 == 0) {
            for (uint32_t j = 0; j < NAMES; j++) {
                pairs -= plain[j][worker];
                plain[j][worker] = false;
            }
            rc_interest_forget(&table, worker, NULL, NULL);
        } else if (rand_r(&seed) % 2 == 0) {
            cr_assert_eq(add(&table, name, worker) != RC_INTEREST_SAME, !plain[i][worker]);
            pairs += !plain[i][worker];
            plain[i][worker] = true;
        } else {
            cr_assert_eq(drop(&table, name, worker) != RC_INTEREST_SAME, plain[i][worker]);
            pairs -= plain[i][worker];
            plain[i][worker] = false;
        }
        const struct rc_worker_set set = find(&table, name);
        for (uint32_t w = 0; w < WORKERS; w++) {
            cr_assert_eq(rc_worker_set_has(&set, w), plain[i][w]);
        }
        cr_assert_eq(table.pair_count, pairs);
    }
    rc_interest_close(&table);
}

/* 20,000 names that a client made to have one hash, were it not for the secret: the way to each stays short. */
Test(relay_interest, names_made_to_collide_do_not)
{
    enum { NAMES = 20000 };
    struct rc_interest table;
    char name[COLLIDING_BYTES];
    cr_assert_eq(rc_interest_open(&table, NAMES), 0);
    for (uint32_t i = 0; i < NAMES; i++) {
        colliding_name(name, i);
        const uint64_t hash = rc_channel_hash(name, sizeof(name));
        cr_assert_eq(rc_interest_add(&table, hash, name, sizeof(name), 0), RC_INTEREST_EDGE);
        if ((i & (i - 1)) == 0) { /* before it takes its time */
            cr_assert_lt(rc_hashmap_probe_max(&table.map), 64, "after %u names", i);
        }
    }
    cr_assert_lt(rc_hashmap_probe_max(&table.map), 64);
    rc_interest_close(&table);
}
