/*
 * track: did every number of a stream come exactly once and in order?
 *
 * One small state per subscriber and stream, owned by the client process. It remembers the next expected number and, as
 * bits, which of the 64 before it came, so that a late message is told from a repeated one. Pure; nothing fails.
 */
#ifndef RC_BENCH_TRACK_H
#define RC_BENCH_TRACK_H

#include <stdint.h>

struct rc_bench_track {
    uint32_t expected;  /* next number in order */
    uint32_t seen_low;  /* bit i: number expected - 1 - i has come */
    uint32_t seen_high; /* the same for 32 to 63 (two words: 12 bytes, no padding) */
};

enum rc_bench_track_result {
    RC_BENCH_TRACK_NEXT,       /* the expected number */
    RC_BENCH_TRACK_GAP,        /* later than expected: `*skipped` numbers are missing before it */
    RC_BENCH_TRACK_LATE,       /* one of the missing came after all: reordered */
    RC_BENCH_TRACK_DUPLICATED, /* came before */
};

/* Starts a stream at `first`: earlier numbers count as seen. */
static inline void rc_bench_track_start(struct rc_bench_track *track, uint32_t first)
{
    *track = (struct rc_bench_track){.expected = first, .seen_low = UINT32_MAX, .seen_high = UINT32_MAX};
}

/* Starts a stream while it is running, after the subscription was confirmed: from `bound` on every number is due, and
 * the first that comes may be an earlier one. */
static inline void rc_bench_track_join(struct rc_bench_track *track, uint32_t bound)
{
    *track = (struct rc_bench_track){.expected = bound};
}

/* A missing number that is more than 64 behind counts as duplicated: it cannot be told any more. */
static inline enum rc_bench_track_result rc_bench_track_take(struct rc_bench_track *track, uint32_t sequence,
                                                             uint32_t *skipped)
{
    uint64_t seen = (uint64_t)track->seen_high << 32 | track->seen_low;
    enum rc_bench_track_result result;
    *skipped = 0;
    if (seen == 0 && sequence < track->expected) {
        rc_bench_track_start(track, sequence + 1); /* the first after rc_bench_track_join */
        return RC_BENCH_TRACK_NEXT;
    }
    if (seen == 0) {
        seen = UINT64_MAX; /* nothing before the bound is missing */
    }
    if (sequence >= track->expected) {
        const uint32_t ahead = sequence - track->expected;
        seen = ahead >= 63 ? 1 : seen << (ahead + 1) | 1;
        track->expected = sequence + 1;
        *skipped = ahead;
        result = ahead == 0 ? RC_BENCH_TRACK_NEXT : RC_BENCH_TRACK_GAP;
    } else {
        const uint32_t behind = track->expected - 1 - sequence;
        if (behind >= 64 || (seen >> behind & 1) != 0) {
            return RC_BENCH_TRACK_DUPLICATED;
        }
        seen |= UINT64_C(1) << behind;
        result = RC_BENCH_TRACK_LATE;
    }
    track->seen_low = (uint32_t)seen;
    track->seen_high = (uint32_t)(seen >> 32);
    return result;
}

#endif
