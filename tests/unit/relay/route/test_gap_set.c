/* Which channels of a worker lost messages: each is told once for its losses, in order; too many become all. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "common/records/envelope.h"
#include "relay/route/gap_set.h"

static struct rc_gap_set set;

static void add(const char *name)
{
    const uint32_t bytes = (uint32_t)strlen(name);
    rc_gap_set_add(&set, bytes == 0 ? 0 : rc_channel_hash(name, bytes), name, bytes);
}

static bool covers(const char *name)
{
    const uint32_t bytes = (uint32_t)strlen(name);
    return rc_gap_set_covers(&set, bytes == 0 ? 0 : rc_channel_hash(name, bytes), name, bytes);
}

static void expect_next(const char *name)
{
    const char *next;
    uint32_t bytes;
    cr_assert(rc_gap_set_next(&set, &next, &bytes));
    cr_assert(bytes == strlen(name) && memcmp(next, name, bytes) == 0, "%.*s instead of %s", (int)bytes, next, name);
    rc_gap_set_pop(&set);
}

static void fill(uint32_t count)
{
    char name[16];
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(name, sizeof(name), "c%u", i);
        add(name);
    }
}

Test(gap_set, tells_each_channel_once_in_the_order_of_the_first_loss)
{
    cr_assert(rc_gap_set_empty(&set) && !covers("a"));
    add("b");
    add("a");
    add("b");
    add(""); /* direct messages */
    cr_assert(covers("a") && covers("b") && covers("") && !covers("c"));
    expect_next("b");
    cr_assert(!covers("b") && covers("a"));
    expect_next("a");
    expect_next("");
    cr_assert(rc_gap_set_empty(&set));
    const char *next;
    uint32_t bytes;
    cr_assert_not(rc_gap_set_next(&set, &next, &bytes));
}

/* What is lost after the notice needs another one, behind those that wait. */
Test(gap_set, a_channel_that_was_told_may_lose_again)
{
    add("a");
    add("b");
    expect_next("a");
    add("a");
    cr_assert(covers("a"));
    add("a");
    expect_next("b");
    expect_next("a");
    cr_assert(rc_gap_set_empty(&set));
}

Test(gap_set, too_many_channels_are_all)
{
    fill(RC_GAP_SET_MAX);
    cr_assert_not(set.all);
    cr_assert(covers("c0") && covers("c255") && !covers("c256"));
    add("c3");
    cr_assert_not(set.all, "that one was there");
    add("one more");
    cr_assert(set.all);
    cr_assert(covers("anything") && covers("c0") && covers(""));
    add("further");
    expect_next("");
    cr_assert(rc_gap_set_empty(&set) && !covers("c0"));
    add("a");
    cr_assert(covers("a") && !covers("b"));
}

/* Places in the list are taken again only when it is empty: losses that never end become all, and then are over. */
Test(gap_set, told_ones_count_until_the_set_is_empty)
{
    fill(RC_GAP_SET_MAX);
    expect_next("c0");
    add("c0");
    cr_assert(set.all);
    expect_next("");
    cr_assert(rc_gap_set_empty(&set));
    fill(RC_GAP_SET_MAX);
    for (uint32_t i = 0; i < RC_GAP_SET_MAX; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "c%u", i);
        expect_next(name);
    }
    cr_assert(rc_gap_set_empty(&set));
    fill(RC_GAP_SET_MAX);
    cr_assert_not(set.all);
}

/* Channels whose buckets are the same stand behind each other; the same hash is not the same name. */
Test(gap_set, colliding_channels_are_told_apart)
{
    rc_gap_set_add(&set, 7, "a", 1);
    rc_gap_set_add(&set, 7, "b", 1);
    rc_gap_set_add(&set, 7 + RC_GAP_SET_BUCKETS, "c", 1);
    cr_assert(rc_gap_set_covers(&set, 7, "b", 1) && rc_gap_set_covers(&set, 7 + RC_GAP_SET_BUCKETS, "c", 1));
    cr_assert_not(rc_gap_set_covers(&set, 7, "c", 1));
    rc_gap_set_add(&set, RC_GAP_SET_BUCKETS - 1, "d", 1);
    rc_gap_set_add(&set, RC_GAP_SET_BUCKETS - 1, "e", 1); /* round the end */
    expect_next("a");
    cr_assert(!rc_gap_set_covers(&set, 7, "a", 1) && rc_gap_set_covers(&set, 7, "b", 1));
    expect_next("b");
    expect_next("c");
    expect_next("d");
    cr_assert(rc_gap_set_covers(&set, RC_GAP_SET_BUCKETS - 1, "e", 1));
    expect_next("e");
}

Test(gap_set, the_longest_name_and_a_predecessor_that_dropped)
{
    char name[RC_CHANNEL_NAME_MAX + 1];
    memset(name, 'n', RC_CHANNEL_NAME_MAX);
    name[RC_CHANNEL_NAME_MAX] = '\0';
    add(name);
    expect_next(name);
    add("a");
    rc_gap_set_add_all(&set);
    cr_assert(covers("b"));
    expect_next("");
    cr_assert(rc_gap_set_empty(&set));
}
