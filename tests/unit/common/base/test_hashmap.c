/*
 * hashmap: against a plain table, under growth, removal, floods of equal hashes, and at its bounds.
 *
 * Long loops count what is wrong and assert once: Criterion reports every single assertion to its parent process.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/hashmap.h"

/* The caller's table: keys[index]; the key looked for stands in `wanted`. */
struct table {
    const uint64_t *keys;
    uint64_t wanted;
};

static bool table_equal(const void *context, uint32_t index)
{
    const struct table *table = context;
    return table->keys[index] == table->wanted;
}

static uint64_t hash_of(uint64_t key)
{
    key = (key ^ key >> 31) * UINT64_C(0x7fb5d329728ea185);
    return key ^ key >> 27;
}

static uint32_t find(const struct rc_hashmap *map, const uint64_t *keys, uint64_t key, uint64_t hash)
{
    const struct table table = {.keys = keys, .wanted = key};
    return rc_hashmap_find(map, hash, table_equal, &table);
}

Test(hashmap, empty_map_finds_nothing)
{
    struct rc_hashmap map;
    const uint64_t keys[1] = {0};
    uint32_t cursor = 0;
    cr_assert_eq(rc_hashmap_init(&map, 0, 100), 0);
    cr_assert_eq(find(&map, keys, 0, 0), RC_HASHMAP_NONE);
    cr_assert_not(rc_hashmap_remove(&map, 0, 0));
    cr_assert_eq(rc_hashmap_each(&map, &cursor), RC_HASHMAP_NONE);
    rc_hashmap_free(&map);
}

Test(hashmap, bad_bounds_are_refused)
{
    struct rc_hashmap map;
    cr_assert_eq(rc_hashmap_init(&map, 0, 0), -EINVAL);
    cr_assert_eq(rc_hashmap_init(&map, 11, 10), -EINVAL);
    cr_assert_eq(rc_hashmap_init(&map, 0, RC_HASHMAP_COUNT_MAX + 1), -EINVAL);
    cr_assert_eq(rc_hashmap_init(&map, 0, RC_HASHMAP_COUNT_MAX), 0);
    rc_hashmap_free(&map);
}

Test(hashmap, bound_is_kept_and_the_map_stays_whole)
{
    struct rc_hashmap map;
    uint64_t keys[20];
    cr_assert_eq(rc_hashmap_init(&map, 0, 10), 0);
    for (uint32_t i = 0; i < 20; i++) {
        keys[i] = i;
        cr_assert_eq(rc_hashmap_insert(&map, hash_of(i), i), i < 10 ? 0 : -ENOSPC);
    }
    cr_assert_eq(map.count, 10);
    cr_assert_eq(rc_hashmap_reserve(&map, 11), -ENOSPC);
    for (uint32_t i = 0; i < 20; i++) {
        cr_assert_eq(find(&map, keys, i, hash_of(i)), i < 10 ? i : RC_HASHMAP_NONE);
    }
    cr_assert(rc_hashmap_remove(&map, hash_of(3), 3));
    cr_assert_eq(rc_hashmap_insert(&map, hash_of(15), 15), 0);
    cr_assert_eq(find(&map, keys, 15, hash_of(15)), 15);
    rc_hashmap_free(&map);
}

Test(hashmap, million_entries_come_and_go)
{
    enum { COUNT = 1000000 };
    struct rc_hashmap map;
    uint64_t *keys = malloc(COUNT * sizeof(*keys));
    uint32_t wrong = 0;
    cr_assert_eq(rc_hashmap_init(&map, 0, 2 * COUNT), 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        keys[i] = i;
        wrong += rc_hashmap_insert(&map, hash_of(i), i) != 0;
    }
    cr_assert_eq(wrong, 0);
    cr_assert_eq(map.count, COUNT);
    cr_assert_leq(((uint64_t)map.mask + 1) * sizeof(*map.slots), 16u << 20, "16 MiB for a million");
    cr_assert_lt(rc_hashmap_probe_max(&map), 64);
    for (uint32_t i = 0; i < COUNT; i += 3) {
        wrong += find(&map, keys, i, hash_of(i)) != i;
    }
    for (uint32_t i = 0; i < COUNT; i += 2) {
        wrong += !rc_hashmap_remove(&map, hash_of(i), i);
    }
    cr_assert_eq(map.count, COUNT / 2);
    for (uint32_t i = 0; i < COUNT; i++) {
        wrong += find(&map, keys, i, hash_of(i)) != (i % 2 == 0 ? RC_HASHMAP_NONE : i);
    }
    cr_assert_eq(wrong, 0);
    rc_hashmap_free(&map);
    free(keys);
}

Test(hashmap, random_operations_agree_with_a_table)
{
    enum { KEYS = 3000, STEPS = 200000 };
    struct rc_hashmap map;
    static uint64_t keys[KEYS];
    static bool present[KEYS];
    uint32_t count = 0;
    uint32_t random = 99;
    uint32_t wrong = 0;
    cr_assert_eq(rc_hashmap_init(&map, 0, KEYS), 0);
    for (uint32_t i = 0; i < KEYS; i++) {
        keys[i] = i;
    }
    for (uint32_t step = 0; step < STEPS; step++) {
        random = random * 1664525u + 1013904223u;
        const uint32_t i = (random >> 8) % KEYS;
        const uint64_t hash = hash_of(i) & (i % 5 == 0 ? 3 : UINT64_MAX); /* a fifth collides heavily */
        wrong += find(&map, keys, i, hash) != (present[i] ? i : RC_HASHMAP_NONE);
        if (present[i]) {
            wrong += !rc_hashmap_remove(&map, hash, i);
            count--;
        } else {
            wrong += rc_hashmap_remove(&map, hash, i);
            wrong += rc_hashmap_insert(&map, hash, i) != 0;
            count++;
        }
        present[i] = !present[i];
        wrong += map.count != count;
    }
    cr_assert_eq(wrong, 0);
    rc_hashmap_free(&map);
}

Test(hashmap, equal_hashes_are_told_apart_by_the_key)
{
    enum { COUNT = 500 };
    struct rc_hashmap map;
    uint64_t keys[COUNT];
    cr_assert_eq(rc_hashmap_init(&map, COUNT, COUNT), 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        keys[i] = 1000 + i;
        cr_assert_eq(rc_hashmap_insert(&map, 42, i), 0);
    }
    cr_assert_eq(rc_hashmap_probe_max(&map), COUNT - 1);
    for (uint32_t i = 0; i < COUNT; i++) {
        cr_assert_eq(find(&map, keys, 1000 + i, 42), i);
    }
    cr_assert_eq(find(&map, keys, 1, 42), RC_HASHMAP_NONE);
    for (uint32_t i = 0; i < COUNT; i += 2) {
        cr_assert(rc_hashmap_remove(&map, 42, i));
        cr_assert_not(rc_hashmap_remove(&map, 42, i));
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        cr_assert_eq(find(&map, keys, 1000 + i, 42), i % 2 == 0 ? RC_HASHMAP_NONE : i);
    }
    rc_hashmap_free(&map);
}

Test(hashmap, churn_leaves_no_tombstones)
{
    enum { LIVE = 1000 };
    struct rc_hashmap map;
    cr_assert_eq(rc_hashmap_init(&map, LIVE, LIVE + 1), 0);
    const uint32_t slots = map.mask + 1;
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < 300 * LIVE; i++) {
        wrong += rc_hashmap_insert(&map, hash_of(i), i) != 0;
        wrong += i >= LIVE && !rc_hashmap_remove(&map, hash_of(i - LIVE), i - LIVE);
    }
    cr_assert_eq(wrong, 0);
    cr_assert_eq(map.mask + 1, slots, "no growth");
    cr_assert_lt(rc_hashmap_probe_max(&map), 48);
    rc_hashmap_free(&map);
}

Test(hashmap, names_picked_to_collide_elsewhere_are_spread_by_the_seed)
{
    /* Hashes that agree in their low 32 bits, then in their high ones: what a client could search for offline. */
    struct rc_hashmap map;
    for (int shift = 0; shift <= 32; shift += 32) {
        uint32_t wrong = 0;
        cr_assert_eq(rc_hashmap_init(&map, 20000, 20000), 0);
        for (uint64_t i = 0; i < 20000; i++) {
            wrong += rc_hashmap_insert(&map, i << shift, (uint32_t)i) != 0;
        }
        cr_assert_eq(wrong, 0);
        cr_assert_lt(rc_hashmap_probe_max(&map), 64);
        rc_hashmap_free(&map);
    }
}

Test(hashmap, each_visits_every_entry_once)
{
    enum { COUNT = 5000 };
    struct rc_hashmap map;
    static uint8_t seen[COUNT];
    cr_assert_eq(rc_hashmap_init(&map, 0, COUNT), 0);
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        wrong += rc_hashmap_insert(&map, hash_of(i), i) != 0;
    }
    uint32_t cursor = 0;
    uint32_t index;
    while ((index = rc_hashmap_each(&map, &cursor)) != RC_HASHMAP_NONE) {
        wrong += index >= COUNT || seen[index]++ != 0;
    }
    cr_assert_eq(wrong, 0);
    cr_assert_null(memchr(seen, 0, COUNT));
    cr_assert_eq(rc_hashmap_each(&map, &cursor), RC_HASHMAP_NONE, "the end stays the end");
    rc_hashmap_clear(&map);
    cursor = 0;
    cr_assert_eq(rc_hashmap_each(&map, &cursor), RC_HASHMAP_NONE);
    cr_assert_eq(map.count, 0);
    rc_hashmap_free(&map);
}

Test(hashmap, reserved_room_needs_no_growth)
{
    struct rc_hashmap map;
    cr_assert_eq(rc_hashmap_init(&map, 0, 100000), 0);
    cr_assert_eq(rc_hashmap_reserve(&map, 50000), 0);
    const struct rc_hashmap_slot *slots = map.slots;
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < 50000; i++) {
        wrong += rc_hashmap_insert(&map, hash_of(i), i) != 0;
    }
    cr_assert_eq(wrong, 0);
    cr_assert_eq(map.slots, slots);
    rc_hashmap_free(&map);
}

#if !defined(__SANITIZE_ADDRESS__)
Test(hashmap, growth_without_memory_leaves_the_map_as_it_was)
{
    /* In a process of its own with an address-space limit; sanitizers need too much of it themselves. */
    const pid_t pid = fork();
    if (pid == 0) {
        struct rc_hashmap map;
        const struct rlimit limit = {.rlim_cur = UINT64_C(1) << 30, .rlim_max = UINT64_C(1) << 30};
        if (rc_hashmap_init(&map, 100, RC_HASHMAP_COUNT_MAX) != 0 || rc_hashmap_insert(&map, 1, 7) != 0) {
            _exit(1);
        }
        setrlimit(RLIMIT_AS, &limit);
        const uint64_t keys[8] = {0, 0, 0, 0, 0, 0, 0, 1};
        if (rc_hashmap_reserve(&map, RC_HASHMAP_COUNT_MAX) != -ENOMEM || find(&map, keys, 1, 1) != 7) {
            _exit(2);
        }
        _exit(0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    cr_assert_eq(status, 0);
}
#endif
