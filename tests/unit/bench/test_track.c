/* Sequence tracking of the load generator: lost, late and repeated are told apart. */
#include "bench/track.h"

#include <criterion/criterion.h>

static enum rc_bench_track_result take(struct rc_bench_track *track, uint32_t sequence, uint32_t skipped_wanted)
{
    uint32_t skipped;
    const enum rc_bench_track_result result = rc_bench_track_take(track, sequence, &skipped);
    cr_assert_eq(skipped, skipped_wanted, "skipped %u at %u", skipped, sequence);
    return result;
}

Test(bench_track, in_order)
{
    struct rc_bench_track track;
    rc_bench_track_start(&track, 0);
    for (uint32_t i = 0; i < 200; i++) {
        cr_assert_eq(take(&track, i, 0), RC_BENCH_TRACK_NEXT);
    }
    cr_assert_eq(track.expected, 200);
}

Test(bench_track, repeated)
{
    struct rc_bench_track track;
    rc_bench_track_start(&track, 0);
    cr_assert_eq(take(&track, 0, 0), RC_BENCH_TRACK_NEXT);
    cr_assert_eq(take(&track, 0, 0), RC_BENCH_TRACK_DUPLICATED);
    cr_assert_eq(take(&track, 1, 0), RC_BENCH_TRACK_NEXT);
    cr_assert_eq(take(&track, 0, 0), RC_BENCH_TRACK_DUPLICATED);
}

Test(bench_track, missing_then_late_then_repeated)
{
    struct rc_bench_track track;
    rc_bench_track_start(&track, 0);
    cr_assert_eq(take(&track, 0, 0), RC_BENCH_TRACK_NEXT);
    cr_assert_eq(take(&track, 4, 3), RC_BENCH_TRACK_GAP);
    cr_assert_eq(take(&track, 2, 0), RC_BENCH_TRACK_LATE);
    cr_assert_eq(take(&track, 2, 0), RC_BENCH_TRACK_DUPLICATED);
    cr_assert_eq(take(&track, 1, 0), RC_BENCH_TRACK_LATE);
    cr_assert_eq(take(&track, 3, 0), RC_BENCH_TRACK_LATE);
    cr_assert_eq(take(&track, 5, 0), RC_BENCH_TRACK_NEXT);
}

Test(bench_track, gaps_of_every_size_around_the_window)
{
    for (uint32_t gap = 1; gap < 200; gap++) {
        struct rc_bench_track track;
        rc_bench_track_start(&track, 10);
        cr_assert_eq(take(&track, 10 + gap, gap), RC_BENCH_TRACK_GAP);
        /* 64 numbers back are remembered, the newest included. */
        const uint32_t oldest = gap >= 63 ? 10 + gap - 63 : 10;
        cr_assert_eq(take(&track, oldest, 0), RC_BENCH_TRACK_LATE, "gap %u", gap);
        if (gap > 63) {
            cr_assert_eq(take(&track, oldest - 1, 0), RC_BENCH_TRACK_DUPLICATED, "gap %u", gap);
        }
        cr_assert_eq(take(&track, 10 + gap, 0), RC_BENCH_TRACK_DUPLICATED, "gap %u", gap);
    }
}

Test(bench_track, joined_while_running_starts_at_what_comes_first)
{
    struct rc_bench_track track;
    rc_bench_track_join(&track, 100);
    cr_assert_eq(take(&track, 97, 0), RC_BENCH_TRACK_NEXT);
    cr_assert_eq(take(&track, 98, 0), RC_BENCH_TRACK_NEXT);
    cr_assert_eq(take(&track, 96, 0), RC_BENCH_TRACK_DUPLICATED);
}

Test(bench_track, joined_while_running_misses_nothing_from_the_bound_on)
{
    struct rc_bench_track track;
    rc_bench_track_join(&track, 100);
    cr_assert_eq(take(&track, 102, 2), RC_BENCH_TRACK_GAP);
    cr_assert_eq(take(&track, 100, 0), RC_BENCH_TRACK_LATE);
    rc_bench_track_join(&track, 100);
    cr_assert_eq(take(&track, 100, 0), RC_BENCH_TRACK_NEXT);
    cr_assert_eq(take(&track, 99, 0), RC_BENCH_TRACK_DUPLICATED);
}
