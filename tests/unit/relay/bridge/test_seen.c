/* Copies of messages are known by their sequence: window, wrap of the bitmap, many senders. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "relay/bridge/seen.h"

static struct rc_seen seen;

static void close_seen(void)
{
    rc_seen_free(&seen);
}
TestSuite(bridge_seen, .fini = close_seen);

static bool first(const char *id, uint32_t boot, uint64_t sequence)
{
    return rc_seen_first(&seen, rc_span_text(id), boot, sequence);
}

Test(bridge_seen, the_second_copy_is_known)
{
    cr_assert(first("a", 1, 10));
    cr_assert_not(first("a", 1, 10));
    cr_assert(first("a", 1, 12));
    cr_assert(first("a", 1, 11), "out of order is not a copy");
    cr_assert_not(first("a", 1, 11));
    cr_assert(first("a", 2, 10), "another boot counts anew");
    cr_assert(first("b", 1, 10));
    cr_assert(first("a", 1, 0), "no sequence: nothing to know it by");
    cr_assert(first("a", 1, 0));
}

Test(bridge_seen, a_first_message_leaves_room_for_those_before_it)
{
    cr_assert(first("a", 1, 1000));
    cr_assert(first("a", 1, 999));
    cr_assert(first("a", 1, 1));
    cr_assert_not(first("a", 1, 999));
}

Test(bridge_seen, the_window_moves)
{
    for (uint64_t i = 1; i < 3 * RC_SEEN_WINDOW; i += 7) {
        cr_assert(first("a", 1, i));
        cr_assert_not(first("a", 1, i));
        if (i > 7) {
            cr_assert_not(first("a", 1, i - 7));
        }
    }
    cr_assert(first("a", 1, 8), "older than the window counts as new");
    cr_assert(first("a", 1, UINT64_MAX));
    cr_assert_not(first("a", 1, UINT64_MAX));
    cr_assert(first("a", 1, UINT64_MAX - 1));
}

/* It once ran for ever: found by the fuzzer. */
Test(bridge_seen, the_largest_sequence_ends, .timeout = 5)
{
    cr_assert(first("a", 1, UINT64_MAX - 3));
    cr_assert(first("a", 1, UINT64_MAX));
    cr_assert(first("a", 1, UINT64_MAX - 1));
    cr_assert_not(first("a", 1, UINT64_MAX - 3));
    cr_assert_not(first("a", 1, UINT64_MAX));
}

Test(bridge_seen, senders_are_bounded_and_the_oldest_is_forgotten)
{
    char id[32];
    for (int i = 0; i < (int)RC_SEEN_SOURCES_MAX + 10; i++) {
        (void)snprintf(id, sizeof(id), "node-%d", i);
        cr_assert(first(id, 1, 5));
    }
    cr_assert_eq(seen.count, RC_SEEN_SOURCES_MAX);
    cr_assert_not(first("node-200", 1, 5));
    cr_assert(first("node-0", 1, 5), "forgotten");
}
