/* hashmap: see hashmap.h. Robin Hood hashing after Celis, "Robin Hood Hashing" (1986), with backward-shift deletion. */
#include "common/base/hashmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/check.h"
#include "common/base/clock.h"

#define SLOTS_MIN 16u
#define SLOTS_MAX (UINT32_C(1) << 31)

/* Entries that `slots` take before the map grows: 7/8. */
static uint32_t load_max(uint32_t slots)
{
    return slots - slots / 8;
}

/* The smallest power of two of slots for `count` entries. */
static uint32_t slots_for(uint32_t count)
{
    uint32_t slots = SLOTS_MIN;
    while (load_max(slots) < count && slots < SLOTS_MAX) {
        slots *= 2;
    }
    return slots;
}

/* Mixes the seed in before the multiplication, so that equal low bits of two hashes say nothing about the tags. */
static uint32_t tag_of(const struct rc_hashmap *map, uint64_t hash)
{
    const uint64_t mixed = (hash ^ map->seed) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)((mixed ^ mixed >> 29) * UINT64_C(0xbf58476d1ce4e5b9) >> 32);
}

static uint32_t slot_distance(const struct rc_hashmap *map, uint32_t at, uint32_t tag)
{
    return (at - tag) & map->mask;
}

static uint64_t seed_draw(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed)) {
        seed = rc_clock_ns() * UINT64_C(0x9e3779b97f4a7c15); /* before the pool is ready: better than a constant */
    }
    return seed;
}

int rc_hashmap_init(struct rc_hashmap *map, uint32_t expected, uint32_t count_max)
{
    if (count_max == 0 || count_max > RC_HASHMAP_COUNT_MAX || expected > count_max) {
        return -EINVAL;
    }
    const uint32_t slots = slots_for(expected);
    *map = (struct rc_hashmap){.seed = seed_draw(), .mask = slots - 1, .count_max = count_max};
    map->slots = calloc(slots, sizeof(*map->slots));
    return map->slots != NULL ? 0 : -ENOMEM;
}

void rc_hashmap_free(struct rc_hashmap *map)
{
    free(map->slots);
    *map = (struct rc_hashmap){0};
}

uint32_t rc_hashmap_find(const struct rc_hashmap *map, uint64_t hash, rc_hashmap_equal *equal, const void *context)
{
    const uint32_t tag = tag_of(map, hash);
    uint32_t at = tag & map->mask;
    for (uint32_t way = 0;; way++, at = (at + 1) & map->mask) {
        const struct rc_hashmap_slot slot = map->slots[at];
        /* An entry nearer to its home than we are to ours would have made way for ours. */
        if (slot.index_plus == 0 || slot_distance(map, at, slot.tag) < way) {
            return RC_HASHMAP_NONE;
        }
        if (slot.tag == tag && equal(context, slot.index_plus - 1)) {
            return slot.index_plus - 1;
        }
    }
}

/* Puts an entry where Robin Hood order wants it; there is a free slot. */
static void hashmap_place(struct rc_hashmap *map, struct rc_hashmap_slot entry)
{
    uint32_t at = entry.tag & map->mask;
    uint32_t way = 0;
    while (map->slots[at].index_plus != 0) {
        const uint32_t there = slot_distance(map, at, map->slots[at].tag);
        if (there < way) {
            const struct rc_hashmap_slot richer = map->slots[at];
            map->slots[at] = entry;
            entry = richer;
            way = there;
        }
        at = (at + 1) & map->mask;
        way++;
    }
    map->slots[at] = entry;
}

static int hashmap_resize(struct rc_hashmap *map, uint32_t slots)
{
    struct rc_hashmap_slot *old = map->slots;
    const uint32_t old_slots = map->mask + 1;
    struct rc_hashmap_slot *fresh = calloc(slots, sizeof(*fresh));
    if (fresh == NULL) {
        return -ENOMEM;
    }
    map->slots = fresh;
    map->mask = slots - 1;
    for (uint32_t i = 0; i < old_slots; i++) {
        if (old[i].index_plus != 0) {
            hashmap_place(map, old[i]);
        }
    }
    free(old);
    return 0;
}

int rc_hashmap_reserve(struct rc_hashmap *map, uint32_t count)
{
    if (count > map->count_max) {
        return -ENOSPC;
    }
    const uint32_t slots = slots_for(count);
    return slots > map->mask + 1 ? hashmap_resize(map, slots) : 0;
}

int rc_hashmap_insert(struct rc_hashmap *map, uint64_t hash, uint32_t index)
{
    RC_ASSERT(index < RC_HASHMAP_NONE);
    const int rc = rc_hashmap_reserve(map, map->count + 1);
    if (rc != 0) {
        return rc;
    }
    hashmap_place(map, (struct rc_hashmap_slot){.tag = tag_of(map, hash), .index_plus = index + 1});
    map->count++;
    return 0;
}

bool rc_hashmap_remove(struct rc_hashmap *map, uint64_t hash, uint32_t index)
{
    const uint32_t tag = tag_of(map, hash);
    uint32_t at = tag & map->mask;
    for (uint32_t way = 0;; way++, at = (at + 1) & map->mask) {
        const struct rc_hashmap_slot slot = map->slots[at];
        if (slot.index_plus == 0 || slot_distance(map, at, slot.tag) < way) {
            return false;
        }
        if (slot.tag == tag && slot.index_plus == index + 1) {
            break;
        }
    }
    /* Everything behind that is away from home moves one slot nearer: as if the entry had never been. */
    for (;;) {
        const uint32_t next = (at + 1) & map->mask;
        if (map->slots[next].index_plus == 0 || slot_distance(map, next, map->slots[next].tag) == 0) {
            break;
        }
        map->slots[at] = map->slots[next];
        at = next;
    }
    map->slots[at] = (struct rc_hashmap_slot){0};
    map->count--;
    return true;
}

uint32_t rc_hashmap_each(const struct rc_hashmap *map, uint32_t *cursor)
{
    while (*cursor <= map->mask) {
        const struct rc_hashmap_slot slot = map->slots[(*cursor)++];
        if (slot.index_plus != 0) {
            return slot.index_plus - 1;
        }
    }
    return RC_HASHMAP_NONE;
}

void rc_hashmap_clear(struct rc_hashmap *map)
{
    memset(map->slots, 0, ((size_t)map->mask + 1) * sizeof(*map->slots));
    map->count = 0;
}

uint32_t rc_hashmap_probe_max(const struct rc_hashmap *map)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i <= map->mask; i++) {
        if (map->slots[i].index_plus != 0 && slot_distance(map, i, map->slots[i].tag) > longest) {
            longest = slot_distance(map, i, map->slots[i].tag);
        }
    }
    return longest;
}
