/*
 * hashmap: from a 64-bit hash to a 32-bit index into a table of the caller's.
 *
 * The map holds no keys: the caller compares the one that an index stands for. Open addressing with Robin Hood order
 * and backward shift: probes stay short at 7/8 full, and removing leaves no tombstone. 8 bytes a slot, 16 MiB for a
 * million entries. One owner, one thread, private memory: it is an index that is rebuilt, never a truth. Growing
 * fails cleanly: -ENOMEM, or -ENOSPC at the bound given at the start; the map is unchanged then.
 *
 * Where an entry lands depends on a random number drawn at init, so that a client who picks names cannot line them
 * up.
 */
#ifndef RC_COMMON_BASE_HASHMAP_H
#define RC_COMMON_BASE_HASHMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RC_HASHMAP_NONE UINT32_MAX
#define RC_HASHMAP_COUNT_MAX (UINT32_C(7) << 28) /* 7/8 of 2^31 slots */

struct rc_hashmap_slot {
    uint32_t tag;        /* mixed hash: low bits are the home slot, all of them are compared */
    uint32_t index_plus; /* index + 1, 0 = empty */
};

struct rc_hashmap {
    struct rc_hashmap_slot *slots; /* owner */
    uint64_t seed;
    uint32_t mask; /* slots - 1 */
    uint32_t count;
    uint32_t count_max; /* the caller's bound */
};

/* Whether the entry `index` of the caller's table has the key that is looked for. Must not change the map. */
typedef bool rc_hashmap_equal(const void *context, uint32_t index);

/* An empty map with room for `expected` entries, never more than `count_max` (<= RC_HASHMAP_COUNT_MAX). 0, -EINVAL,
 * -ENOMEM. */
int rc_hashmap_init(struct rc_hashmap *map, uint32_t expected, uint32_t count_max);
void rc_hashmap_free(struct rc_hashmap *map);

/* The index stored under `hash` for which `equal(context, index)` holds, or RC_HASHMAP_NONE. */
uint32_t rc_hashmap_find(const struct rc_hashmap *map, uint64_t hash, rc_hashmap_equal *equal, const void *context);

/* Adds `index` (< RC_HASHMAP_NONE) under `hash`; the caller has made sure that the key is not there. 0, -ENOSPC,
 * -ENOMEM. */
int rc_hashmap_insert(struct rc_hashmap *map, uint64_t hash, uint32_t index);

/* Removes the entry `index` that was inserted under `hash`. False when there is none. */
bool rc_hashmap_remove(struct rc_hashmap *map, uint64_t hash, uint32_t index);

/* Makes room for `count` entries at once, so that inserts up to it never grow. 0, -ENOSPC, -ENOMEM. */
int rc_hashmap_reserve(struct rc_hashmap *map, uint32_t count);

/* Walks all entries in no order: start with *cursor = 0; RC_HASHMAP_NONE at the end. Not across inserts or removes. */
uint32_t rc_hashmap_each(const struct rc_hashmap *map, uint32_t *cursor);

/* Forgets all entries, keeps the memory. */
void rc_hashmap_clear(struct rc_hashmap *map);

/* The longest way from home of any entry: for tests and for finding floods of colliding names. Walks the whole map. */
uint32_t rc_hashmap_probe_max(const struct rc_hashmap *map);

#endif
