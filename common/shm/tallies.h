/*
 * tallies: how many of something there are at this moment on a host, by key and worker: the connections of a user.
 *
 *   key ──▶ set (a lock of its own) ──▶ entries {key, worker, count}; a key has one for each worker that has some
 *
 * Each worker counts its own alone, so that those of one that died go with it: its successor takes them out (rc_tallies_clear). In the
 * segment of common/shm/windows.h, with its locks and the same words for what cannot be known: -EAGAIN, nothing was counted and the
 * caller lets it pass. Any process and thread may call.
 */
#ifndef RC_COMMON_SHM_TALLIES_H
#define RC_COMMON_SHM_TALLIES_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/shm/sid_places.h"
#include "common/shm/windows.h"

#define RC_TALLY_SETS 4096u
#define RC_TALLY_WAYS 256u

struct rc_tally {
    uint64_t key; /* 0 = free */
    uint32_t worker;
    uint32_t count; /* never 0 in one that is not free */
};
_Static_assert(sizeof(struct rc_tally) == 16, "tally layout");

/* W: whoever has the lock of the set. Pages are touched with use only. */
struct rc_tallies {
    struct rc_window_lock locks[RC_TALLY_SETS];
    uint32_t used[RC_TALLY_SETS]; /* entries up to here were ever used */
    struct rc_tally sets[RC_TALLY_SETS][RC_TALLY_WAYS];
};
_Static_assert(sizeof(struct rc_tallies) == 4096 * (64 + 4 + 256 * 16),
               "tallies layout: raise RC_LIMITS_ABI when a member moves");

/* What workers share: about limits, and of sessions that were moved. */
struct rc_limits_segment {
    struct rc_windows windows; /* its ready word is the segment's: stored last */
    struct rc_tallies tallies;
    struct rc_sid_places sid_places;
};

/* In memory of zeros, the windows last. Negative errno with `err`: the C library has no such locks. */
int rc_limits_segment_open(struct rc_limits_segment *segment, struct rc_err *err);

/* One more of `key` (a hash; never 0) on this worker. -EDQUOT: there are `max` already, on all workers together; 0: no bound. */
int rc_tallies_add(struct rc_tallies *tallies, uint64_t key, uint32_t worker, uint32_t max);
/* One that was added is gone. */
void rc_tallies_remove(struct rc_tallies *tallies, uint64_t key, uint32_t worker);
/* A worker has none of anything: it has just been started. */
void rc_tallies_clear(struct rc_tallies *tallies, uint32_t worker);

#endif
