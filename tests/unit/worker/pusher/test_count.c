/* How often a channel is told how many are subscribed: once at first, then once a second, and always the last. */
#include <criterion/criterion.h>

#include "worker/pusher/count.h"

static struct rc_pusher_counts counts;

static void close_all(void)
{
    rc_pusher_counts_close(&counts);
}

TestSuite(pusher_count, .fini = close_all);

/* The next one that is due, as its count; 0: none. */
static uint32_t due(uint64_t now_ms, bool all)
{
    struct rc_span channel;
    uint32_t clients = 0;
    uint32_t at = 0;
    return rc_pusher_counts_next(&counts, now_ms, all, &at, &channel, &clients) ? clients : 0;
}

Test(pusher_count, the_first_at_once_and_the_last_of_a_second_when_it_is_over)
{
    cr_assert(rc_pusher_counts_put(&counts, 7, RC_SPAN("a"), 1, 5000));
    for (uint32_t i = 2; i < 1000; i++) {
        cr_assert_not(rc_pusher_counts_put(&counts, 7, RC_SPAN("a"), i, 5001));
    }
    cr_assert_eq(rc_pusher_counts_sleep_ms(&counts, 5001, 60000), 999);
    cr_assert_eq(due(5999, false), 0);
    cr_assert_eq(due(6000, false), 999);
    cr_assert_eq(due(9000, false), 0, "once");
    cr_assert_eq(rc_pusher_counts_sleep_ms(&counts, 9000, 60000), 60000);
    /* What was told at 6000 counts, too. */
    cr_assert_not(rc_pusher_counts_put(&counts, 7, RC_SPAN("a"), 998, 6500));
    cr_assert_eq(due(6999, false), 0);
    cr_assert_eq(due(7000, false), 998);
    cr_assert(rc_pusher_counts_put(&counts, 7, RC_SPAN("a"), 997, 8000), "after a quiet second at once");
}

Test(pusher_count, the_last_who_goes_is_told_at_once_and_nothing_waits_behind_it)
{
    cr_assert(rc_pusher_counts_put(&counts, 7, RC_SPAN("a"), 2, 5000));
    cr_assert_not(rc_pusher_counts_put(&counts, 7, RC_SPAN("a"), 1, 5001));
    cr_assert(rc_pusher_counts_put(&counts, 7, RC_SPAN("a"), 0, 5002));
    cr_assert_eq(due(9000, true), 0);
}

Test(pusher_count, channels_of_one_slot_do_not_lose_what_waits)
{
    cr_assert(rc_pusher_counts_put(&counts, 7, RC_SPAN("a"), 1, 5000));
    cr_assert_not(rc_pusher_counts_put(&counts, 7, RC_SPAN("a"), 2, 5000));
    cr_assert(rc_pusher_counts_put(&counts, 7 + RC_PUSHER_COUNT_SLOTS, RC_SPAN("b"), 1, 5000));
    cr_assert(rc_pusher_counts_put(&counts, 7 + RC_PUSHER_COUNT_SLOTS, RC_SPAN("b"), 2, 5000));
    cr_assert_eq(due(6000, false), 2);
    cr_assert(rc_pusher_counts_put(&counts, 7 + RC_PUSHER_COUNT_SLOTS, RC_SPAN("b"), 3, 6000));
    cr_assert_not(rc_pusher_counts_put(&counts, 7 + RC_PUSHER_COUNT_SLOTS, RC_SPAN("b"), 4, 6000));
}

Test(pusher_count, all_of_them_leave_before_a_hand_over)
{
    cr_assert(rc_pusher_counts_put(&counts, 1, RC_SPAN("a"), 1, 5000));
    cr_assert(rc_pusher_counts_put(&counts, 2, RC_SPAN("b"), 1, 5000));
    cr_assert_not(rc_pusher_counts_put(&counts, 1, RC_SPAN("a"), 2, 5000));
    cr_assert_not(rc_pusher_counts_put(&counts, 2, RC_SPAN("b"), 3, 5000));
    cr_assert_eq(due(5000, true), 2);
    cr_assert_eq(due(5000, true), 3);
    cr_assert_eq(due(5000, true), 0);
}
