/*
 * interest: which workers want which channel.
 *
 * channel name -> set of workers, one bit each, so that registering twice is the same as once. Owned by the router, used by the
 * relay's one thread; private memory, an index that workers' snapshots rebuild after a restart. Bounded in pairs of channel and
 * worker. An entry is one cache line (longer names live outside it); entries of channels that nobody wants are reused.
 * Only adding allocates; it fails cleanly with -ENOSPC (bound) or -ENOMEM. Measured: 0.7 us to add; a million channels make the
 * map grow in steps of up to 54 ms, and forgetting a worker that wanted 250,000 of them takes 51 ms.
 */
#ifndef RC_RELAY_ROUTE_INTEREST_H
#define RC_RELAY_ROUTE_INTEREST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/config.h"
#include "common/base/hashmap.h"
#include "common/base/span.h"

struct rc_worker_set {
    uint64_t bits[RC_WORKERS_MAX / 64];
};
_Static_assert(RC_WORKERS_MAX == 128, "a worker set is two words");

static inline bool rc_worker_set_has(const struct rc_worker_set *set, uint32_t worker)
{
    return (set->bits[worker / 64] >> (worker % 64) & 1) != 0;
}

static inline void rc_worker_set_put(struct rc_worker_set *set, uint32_t worker, bool value)
{
    const uint64_t bit = UINT64_C(1) << (worker % 64);
    set->bits[worker / 64] = value ? set->bits[worker / 64] | bit : set->bits[worker / 64] & ~bit;
}

static inline bool rc_worker_set_empty(const struct rc_worker_set *set)
{
    return (set->bits[0] | set->bits[1]) == 0;
}

struct rc_interest_entry;

struct rc_interest {
    struct rc_hashmap map;             /* owner: channel hash -> index into the chunks */
    struct rc_interest_entry **chunks; /* owner */
    uint32_t chunk_count;
    uint32_t chunk_max;  /* slots of `chunks` */
    uint32_t free_index; /* first entry of the free list, UINT32_MAX = none */
    uint64_t pair_count; /* bits set in all entries */
    uint64_t pair_count_max;
    uint32_t worker_pairs[RC_WORKERS_MAX]; /* bits set of each worker */
};

/* 0 or -ENOMEM. */
int rc_interest_open(struct rc_interest *table, uint64_t pair_count_max);
void rc_interest_close(struct rc_interest *table);

enum rc_interest_change {
    RC_INTEREST_SAME,    /* it was so before */
    RC_INTEREST_CHANGED, /* this worker's bit changed, other workers want the channel too */
    RC_INTEREST_EDGE,    /* added: first worker of the channel; removed: the last one is gone */
};

/* `hash` is rc_channel_hash of the name (1..255 bytes) throughout. enum rc_interest_change, -ENOSPC or -ENOMEM. */
int rc_interest_add(struct rc_interest *table, uint64_t hash, const char *name, uint32_t name_bytes, uint32_t worker);
enum rc_interest_change rc_interest_remove(struct rc_interest *table, uint64_t hash, const char *name,
                                           uint32_t name_bytes, uint32_t worker);

/* Who wants the channel; the empty set when nobody does. */
struct rc_worker_set rc_interest_find(const struct rc_interest *table, uint64_t hash, const char *name,
                                      uint32_t name_bytes);

/* Every channel that anybody wants, in no order; `one` must not change the table. */
void rc_interest_walk(const struct rc_interest *table, void (*one)(void *context, struct rc_span name), void *context);

/* Called for each channel whose last worker was forgotten; must not change the table. */
typedef void rc_interest_emptied(void *context, uint64_t hash, const char *name, uint32_t name_bytes);

/* Removes the worker from every channel. `emptied` may be NULL. */
void rc_interest_forget(struct rc_interest *table, uint32_t worker, rc_interest_emptied *emptied, void *context);

#endif
