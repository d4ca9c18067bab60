/*
 * share: how long work that may wait may go on in one pass of a loop: a sixteenth of the time since the pass before, and a step at the least.
 *
 * Steps alone, one in each pass, make such work slowest where passes are longest: 50 of them are nothing in an idle loop, and seconds in one
 * that is overloaded or whose process hardly gets a CPU. A share of the time costs the others the same everywhere.
 *
 * One instance, its owner's; pure but for it: time is said by the caller (CLOCK_MONOTONIC); nothing fails.
 */
#ifndef RC_COMMON_BASE_SHARE_H
#define RC_COMMON_BASE_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#define RC_SHARE_PART 16u
#define RC_SHARE_MAX_NS UINT64_C(50000000) /* also behind the longest pause */

struct rc_share {
    uint64_t began_ns; /* of the pass before; 0 = it had nothing to do */
    uint64_t until_ns;
};

static inline void rc_share_begin(struct rc_share *share, uint64_t now_ns)
{
    const uint64_t part_ns = share->began_ns == 0 ? 0 : (now_ns - share->began_ns) / RC_SHARE_PART;
    share->until_ns = now_ns + (part_ns < RC_SHARE_MAX_NS ? part_ns : RC_SHARE_MAX_NS);
    share->began_ns = now_ns;
}

/* Is there time for another step? */
static inline bool rc_share_left(const struct rc_share *share, uint64_t now_ns)
{
    return now_ns < share->until_ns;
}

/* There is nothing more to do: what comes next begins with a step. */
static inline void rc_share_end(struct rc_share *share)
{
    share->began_ns = 0;
}

#endif
