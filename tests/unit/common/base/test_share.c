/* common/share: work that may wait gets a part of each pass, however long passes are. */
#include <criterion/criterion.h>

#include "common/base/share.h"

#define MS UINT64_C(1000000)

/* Steps of 1 ms that are done by passes of `pass_ms` in a second. */
static unsigned steps_in_a_second(uint64_t pass_ms)
{
    struct rc_share share = {0};
    unsigned steps = 0;
    for (uint64_t now = MS; now <= 1000 * MS; now += pass_ms * MS) {
        uint64_t within = now;
        rc_share_begin(&share, now);
        do {
            steps++;
            within += MS;
        } while (rc_share_left(&share, within));
    }
    return steps;
}

Test(share, work_is_as_fast_where_passes_are_long)
{
    cr_expect_eq(steps_in_a_second(10), 100, "a step in each");
    for (uint64_t pass_ms = 100; pass_ms <= 250; pass_ms += 50) {
        const unsigned steps = steps_in_a_second(pass_ms);
        cr_expect(steps >= 45 && steps <= 80, "%u in passes of %u ms", steps, (unsigned)pass_ms);
    }
}

Test(share, the_first_step_is_one_and_the_longest_pause_is_bounded)
{
    struct rc_share share = {0};
    rc_share_begin(&share, 5000 * MS);
    cr_expect_not(rc_share_left(&share, 5000 * MS), "nothing is known of passes yet");
    rc_share_begin(&share, 3605000 * MS);
    cr_expect(rc_share_left(&share, 3605000 * MS + RC_SHARE_MAX_NS - 1));
    cr_expect_not(rc_share_left(&share, 3605000 * MS + RC_SHARE_MAX_NS));
    rc_share_end(&share);
    rc_share_begin(&share, 3606000 * MS);
    cr_expect_not(rc_share_left(&share, 3606000 * MS), "what comes after a pause begins with a step");
}
