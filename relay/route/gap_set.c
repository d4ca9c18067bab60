/* gap_set: a small open-addressed set over a list in order of loss. */
#include "relay/route/gap_set.h"

#include <string.h>

#include "common/base/check.h"

void rc_gap_set_clear(struct rc_gap_set *set)
{
    set->all = false;
    set->count = 0;
    set->told = 0;
    memset(set->buckets, 0, sizeof(set->buckets));
}

/* The bucket that holds this channel or is free for it. The table is twice the list, so there is always a free one. */
static uint32_t find_bucket(const struct rc_gap_set *set, uint64_t hash, const char *name, uint32_t name_bytes)
{
    uint32_t bucket = (uint32_t)hash % RC_GAP_SET_BUCKETS;
    while (set->buckets[bucket] != 0) {
        const struct rc_gap *gap = &set->gaps[set->buckets[bucket] - 1];
        if (gap->hash == hash && gap->name_bytes == name_bytes && memcmp(gap->name, name, name_bytes) == 0) {
            break;
        }
        bucket = (bucket + 1) % RC_GAP_SET_BUCKETS;
    }
    return bucket;
}

void rc_gap_set_add(struct rc_gap_set *set, uint64_t hash, const char *name, uint32_t name_bytes)
{
    RC_ASSERT(name_bytes <= RC_CHANNEL_NAME_MAX);
    if (set->all) {
        return;
    }
    const uint32_t bucket = find_bucket(set, hash, name, name_bytes);
    if (set->buckets[bucket] > set->told) {
        return; /* noted already and not told yet */
    }
    if (set->count == RC_GAP_SET_MAX) {
        rc_gap_set_add_all(set);
        return;
    }
    struct rc_gap *gap = &set->gaps[set->count++];
    gap->hash = hash;
    gap->name_bytes = name_bytes;
    memcpy(gap->name, name, name_bytes);
    set->buckets[bucket] = (uint16_t)set->count;
}

void rc_gap_set_add_all(struct rc_gap_set *set)
{
    rc_gap_set_clear(set);
    set->all = true;
}

bool rc_gap_set_covers(const struct rc_gap_set *set, uint64_t hash, const char *name, uint32_t name_bytes)
{
    if (rc_gap_set_empty(set)) {
        return false;
    }
    return set->all || set->buckets[find_bucket(set, hash, name, name_bytes)] > set->told;
}

bool rc_gap_set_next(const struct rc_gap_set *set, const char **name, uint32_t *name_bytes)
{
    if (rc_gap_set_empty(set)) {
        return false;
    }
    *name = set->all ? "" : set->gaps[set->told].name;
    *name_bytes = set->all ? 0 : set->gaps[set->told].name_bytes;
    return true;
}

void rc_gap_set_pop(struct rc_gap_set *set)
{
    RC_ASSERT(!rc_gap_set_empty(set));
    if (!set->all) {
        set->told++;
    }
    if (set->all || set->told == set->count) {
        rc_gap_set_clear(set);
    }
}
