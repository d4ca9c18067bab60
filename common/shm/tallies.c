/* tallies: see tallies.h. */
#include "common/shm/tallies.h"

#include <errno.h>

#include "common/base/check.h"

int rc_limits_segment_open(struct rc_limits_segment *segment, struct rc_err *err)
{
    int rc = rc_window_locks_open(segment->tallies.locks, RC_TALLY_SETS, err);
    rc = rc < 0 ? rc : rc_window_locks_open(segment->sid_places.locks, RC_SID_PLACE_SETS, err);
    return rc < 0 ? rc : rc_windows_open(&segment->windows, err);
}

/* What another process has written is no bound. */
static uint32_t set_used(const struct rc_tallies *tallies, uint32_t set)
{
    return tallies->used[set] < RC_TALLY_WAYS ? tallies->used[set] : RC_TALLY_WAYS;
}

int rc_tallies_add(struct rc_tallies *tallies, uint64_t key, uint32_t worker, uint32_t max)
{
    RC_ASSERT(key != 0);
    const uint32_t set = (uint32_t)(key % RC_TALLY_SETS);
    struct rc_tally *own = NULL;
    struct rc_tally *free_one = NULL;
    uint64_t sum = 0;
    int rc = -EAGAIN;
    if (!rc_window_lock(&tallies->locks[set])) {
        return rc;
    }
    const uint32_t used = set_used(tallies, set);
    for (uint32_t i = 0; i < used; i++) {
        struct rc_tally *one = &tallies->sets[set][i];
        if (one->key == key) {
            sum += one->count;
            own = one->worker == worker ? one : own;
        } else if (one->key == 0 && free_one == NULL) {
            free_one = one;
        }
    }
    if (max > 0 && sum >= max) {
        rc = -EDQUOT;
    } else if (own != NULL) {
        own->count++;
        rc = 0;
    } else if (free_one != NULL || used < RC_TALLY_WAYS) {
        if (free_one == NULL) {
            free_one = &tallies->sets[set][used];
            tallies->used[set] = used + 1;
        }
        *free_one = (struct rc_tally){.key = key, .worker = worker, .count = 1};
        rc = 0;
    }
    rc_window_unlock(&tallies->locks[set]);
    return rc;
}

void rc_tallies_remove(struct rc_tallies *tallies, uint64_t key, uint32_t worker)
{
    const uint32_t set = (uint32_t)(key % RC_TALLY_SETS);
    if (!rc_window_lock(&tallies->locks[set])) {
        return; /* one too many until its worker starts anew */
    }
    const uint32_t used = set_used(tallies, set);
    for (uint32_t i = 0; i < used; i++) {
        struct rc_tally *one = &tallies->sets[set][i];
        if (one->key == key && one->worker == worker) {
            if (--one->count == 0) {
                one->key = 0;
            }
            break;
        }
    }
    rc_window_unlock(&tallies->locks[set]);
}

void rc_tallies_clear(struct rc_tallies *tallies, uint32_t worker)
{
    for (uint32_t set = 0; set < RC_TALLY_SETS; set++) {
        /* Only what is its own matters here: its predecessor wrote that, and is gone. */
        if (tallies->used[set] == 0 || !rc_window_lock(&tallies->locks[set])) {
            continue;
        }
        const uint32_t used = set_used(tallies, set);
        for (uint32_t i = 0; i < used; i++) {
            struct rc_tally *one = &tallies->sets[set][i];
            if (one->key != 0 && one->worker == worker) {
                *one = (struct rc_tally){0};
            }
        }
        rc_window_unlock(&tallies->locks[set]);
    }
}
