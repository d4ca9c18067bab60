/*
 * gap_set: which channels of one worker lost messages and still have to be told so.
 *
 * Owned by a port, private to the relay. Bounded: when more channels are affected than fit, the set becomes "all channels".
 * A channel leaves the set when its gap record is written; until then later messages of it are withheld, so that the gap comes
 * first. The empty name stands for direct messages; its gap record has no channel, which means "all" to the worker.
 * Nothing allocates and nothing can fail.
 */
#ifndef RC_RELAY_ROUTE_GAP_SET_H
#define RC_RELAY_ROUTE_GAP_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/config.h"

#define RC_GAP_SET_MAX 256u
#define RC_GAP_SET_BUCKETS (RC_GAP_SET_MAX * 2)

struct rc_gap {
    uint64_t hash; /* rc_channel_hash */
    uint32_t name_bytes;
    char name[RC_CHANNEL_NAME_MAX];
};

/* All zero is the empty set. */
struct rc_gap_set {
    bool all;       /* too many channels: every channel is affected */
    uint32_t count; /* gaps noted since the set was last empty */
    uint32_t told;  /* the first `told` of them have their record */
    uint16_t
        buckets[RC_GAP_SET_BUCKETS]; /* open addressing by hash: index of the newest gap of a channel + 1, 0 = free */
    struct rc_gap gaps[RC_GAP_SET_MAX];
};

void rc_gap_set_clear(struct rc_gap_set *set);

static inline bool rc_gap_set_empty(const struct rc_gap_set *set)
{
    return !set->all && set->told == set->count;
}

/* Notes that a message of this channel was dropped. */
void rc_gap_set_add(struct rc_gap_set *set, uint64_t hash, const char *name, uint32_t name_bytes);

/* Every channel is affected (a predecessor dropped and nobody knows what). */
void rc_gap_set_add_all(struct rc_gap_set *set);

/* True while a gap of this channel is noted and not told. */
bool rc_gap_set_covers(const struct rc_gap_set *set, uint64_t hash, const char *name, uint32_t name_bytes);

/* The next gap to tell; *name_bytes = 0 means all channels. False when the set is empty. */
bool rc_gap_set_next(const struct rc_gap_set *set, const char **name, uint32_t *name_bytes);

/* The gap that rc_gap_set_next returned is told. */
void rc_gap_set_pop(struct rc_gap_set *set);

#endif
