/* Retained values: the newest of each key holds, bounds, and what a successor finds. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/support/history_rig.h"

static struct history_rig rig;

static void open_rig(void)
{
    history_rig_open(&rig, 1u << 20);
}

static void close_rig(void)
{
    history_rig_close(&rig);
}

TestSuite(history_values, .init = open_rig, .fini = close_rig);

static void holds(const char *channel, const char *expected)
{
    const char *values = history_rig_values(&rig, channel);
    cr_assert_str_eq(values, expected, "%s instead of %s", values, expected);
}

static enum rc_history_kept keep_as(const char *key, const char *data, uint64_t ms, const char *instance, bool own,
                                    bool grave)
{
    const struct rc_envelope_view view = history_rig_record(&rig, "a", key, data, (uint32_t)strlen(data));
    struct rc_history_stamp stamp = {.ms = ms, .instance = rc_span_text(instance), .own = own};
    return rc_history_keep(&rig.store, &view, &stamp, grave, rig.now_ms);
}

Test(history_values, the_newest_of_each_key_holds)
{
    (void)history_rig_keep(&rig, "a", "", "1", 10);
    (void)history_rig_keep(&rig, "a", "x", "2", 10);
    (void)history_rig_keep(&rig, "b", "x", "other", 10);
    holds("a", "=1 x=2");
    (void)history_rig_keep(&rig, "a", "", "3", 11);
    holds("a", "x=2 =3");
    holds("b", "x=other");
    cr_assert_eq(rig.store.value_count, 3);
}

Test(history_values, of_two_instances_the_later_stamp_and_then_the_greater_name_wins)
{
    cr_assert_eq(keep_as("", "1", 100, "m", false, false), RC_HISTORY_KEPT);
    cr_assert_eq(keep_as("", "2", 99, "z", false, false), RC_HISTORY_OLDER);
    cr_assert_eq(keep_as("", "3", 100, "a", false, false), RC_HISTORY_OLDER);
    holds("a", "=1");
    cr_assert_eq(keep_as("", "4", 100, "n", false, false), RC_HISTORY_KEPT);
    cr_assert_eq(keep_as("", "5", 101, "a", false, false), RC_HISTORY_KEPT);
    holds("a", "=5");
}

Test(history_values, what_is_said_here_is_newer_than_what_is_known_whatever_the_clock_says)
{
    cr_assert_eq(keep_as("", "1", 1000, "m", false, false), RC_HISTORY_KEPT);
    cr_assert_eq(keep_as("", "2", 5, "a", true, false), RC_HISTORY_KEPT);
    holds("a", "=2");
    cr_assert_eq(keep_as("", "3", 1000, "m", false, false), RC_HISTORY_OLDER);
}

Test(history_values, a_copy_of_an_older_one_that_comes_back_changes_nothing)
{
    cr_assert_eq(keep_as("", "1", 1000, "m", true, false), RC_HISTORY_KEPT);
    cr_assert_eq(keep_as("", "2", 1000, "m", true, false), RC_HISTORY_KEPT, "within the same millisecond");
    cr_assert_eq(keep_as("", "1", 1000, "m", false, false), RC_HISTORY_OLDER);
    holds("a", "=2");
    cr_assert_eq(keep_as("", "3", 1001, "m", false, false), RC_HISTORY_KEPT, "of the same time: it is that one");
    holds("a", "=2");
}

Test(history_values, deleting_leaves_nothing_or_a_grave_that_an_older_one_does_not_open)
{
    (void)keep_as("", "1", 10, "m", false, false);
    (void)keep_as("", "", 20, "m", false, false);
    holds("a", "");
    cr_assert_eq(rig.store.value_count, 0);
    cr_assert_eq(rig.store.blocks.used_units, 0);
    (void)keep_as("", "2", 15, "m", false, false);
    holds("a", "=2");
    (void)keep_as("", "", 30, "m", false, true);
    holds("a", "");
    cr_assert_eq(keep_as("", "3", 29, "m", false, true), RC_HISTORY_OLDER);
    holds("a", "");
}

static uint64_t stamp_of(const char *key, uint64_t wall_ms)
{
    const struct rc_envelope_view view = history_rig_record(&rig, "a", key, "x", 1);
    return rc_history_stamp_next(&rig.store, &view, wall_ms);
}

static uint64_t stamp_at(uint64_t wall_ms)
{
    return stamp_of("", wall_ms);
}

Test(history_values, what_is_kept_later_has_a_stamp_of_its_own_whatever_the_clock_says)
{
    cr_assert_eq(stamp_at(1000), 1000);
    cr_assert_eq(stamp_at(1000), 1001, "of two of one millisecond the second is the later");
    cr_assert_eq(keep_as("", "1", 1001, "m", false, false), RC_HISTORY_KEPT);
    cr_assert_eq(keep_as("", "2", stamp_at(5), "m", false, false), RC_HISTORY_KEPT, "the clock was set back");
    holds("a", "=2");
    cr_assert_eq(keep_as("", "3", 9000, "n", false, false), RC_HISTORY_KEPT, "of an instance whose clock is ahead");
    cr_assert_eq(keep_as("", "4", stamp_at(2000), "m", false, false), RC_HISTORY_KEPT);
    holds("a", "=4");
    cr_assert_eq(stamp_at(20000), 20000);
}

/* Several wait for their place in the history at a time: each is later than the one before. */
Test(history_values, a_stamp_of_the_future_raises_those_of_its_key_alone)
{
    (void)keep_as("k", "1", 90000, "n", false, false);
    cr_assert_eq(stamp_of("k", 1000), 90001);
    cr_assert_eq(stamp_of("other", 1000), 1000, "the host's clock");
    cr_assert_eq(stamp_of("k", 2000), 90002);
    (void)keep_as("k", "2", 90002, "m", false, false);
    cr_assert_eq(stamp_of("k", 2000), 90003);
    cr_assert_eq(stamp_of("other", 3000), 3000);
    cr_assert_eq(stamp_of("k", 100000), 100000, "the clock has come there");
    cr_assert_eq(stamp_of("other", 3000), 100000, "it does not go back");
}

/* More than one in each millisecond, all day long: they do not run away from the clock. */
Test(history_values, stamps_of_many_keys_stay_with_the_clock)
{
    uint64_t ahead_ms = 0;
    for (uint64_t ms = 1000; ms < 3000; ms++) {
        for (unsigned i = 0; i < 50; i++) {
            char key[16];
            (void)snprintf(key, sizeof(key), "%u", (unsigned)((ms * 50 + i) % 20000));
            const uint64_t stamp = stamp_of(key, ms);
            cr_assert_geq(stamp, ms);
            ahead_ms = stamp - ms > ahead_ms ? stamp - ms : ahead_ms;
        }
    }
    cr_assert_lt(ahead_ms, 100);
}

/* Whatever other keys are given stamps in between: each of a key is later than the one before. */
Test(history_values, each_stamp_of_a_key_is_later_than_its_last)
{
    static uint64_t last[20000];
    for (uint64_t i = 0; i < 400000; i++) {
        const uint32_t which = (uint32_t)(i * 7919 % 20000 * (i % 3 == 0 ? 1 : 0)); /* one of them a lot more often */
        char key[16];
        (void)snprintf(key, sizeof(key), "%u", which);
        const uint64_t stamp = stamp_of(key, 1000 + i / 40);
        cr_assert_gt(stamp, last[which], "%u", which);
        last[which] = stamp;
    }
}

Test(history_values, a_clock_that_was_years_ahead_for_a_moment_is_forgotten)
{
    cr_assert_eq(stamp_of("k", 90 * UINT64_C(86400000)), 90 * UINT64_C(86400000));
    cr_assert_eq(stamp_of("k", 5000), 5000);
    cr_assert_eq(stamp_of("k", 5000), 5001);
    cr_assert_eq(stamp_of("other", 6000), 6000);
}

/* Other instances refuse more: a script's numbers do not hold it. */
Test(history_values, no_stamp_is_greater_than_what_all_instances_take)
{
    cr_assert_eq(keep_as("k", "1", RC_HISTORY_STAMP_MAX, "a", true, false), RC_HISTORY_KEPT, "this host's own clock");
    cr_assert_eq(stamp_of("k", RC_HISTORY_STAMP_MAX - 1), RC_HISTORY_STAMP_MAX);
    cr_assert_eq(stamp_of("k", RC_HISTORY_STAMP_MAX - 1), RC_HISTORY_STAMP_MAX);
}

/* Else nobody could replace it before that day. */
Test(history_values, a_stamp_more_than_a_day_ahead_is_none)
{
    const uint64_t day_ms = RC_HISTORY_AHEAD_MS;
    const uint64_t now_ms = rc_clock_wall_ms();
    cr_assert_eq(keep_as("k", "1", now_ms + day_ms / 2, "n", false, false), RC_HISTORY_KEPT, "a clock may be wrong");
    cr_assert_eq(keep_as("k", "2", now_ms + 2 * day_ms, "n", false, false), RC_HISTORY_OLDER);
    cr_assert_eq(keep_as("new", "3", RC_HISTORY_STAMP_MAX, "n", false, false), RC_HISTORY_OLDER);
    cr_assert_eq(rc_metric_get(&rig.metrics, RC_METRIC_REDIS_MALFORMED), 2);
    holds("a", "k=1");
    /* What this host kept with a clock that was wrong is older than all else when the clock is right again. */
    cr_assert_eq(keep_as("k", "4", now_ms + 2 * day_ms, "m", true, false), RC_HISTORY_KEPT);
    cr_assert_eq(stamp_of("k", now_ms), now_ms);
    cr_assert_eq(keep_as("k", "5", now_ms, "a", false, false), RC_HISTORY_KEPT);
    holds("a", "k=5");
    cr_assert_eq(keep_as("own", "6", now_ms + 2 * day_ms, "m", true, false), RC_HISTORY_KEPT);
    const struct rc_envelope_view view = history_rig_record(&rig, "a", "own", "7", 1);
    struct rc_history_stamp stamp = {.ms = now_ms, .instance = RC_SPAN("b"), .own = true};
    cr_assert_eq(rc_history_keep(&rig.store, &view, &stamp, false, rig.now_ms), RC_HISTORY_KEPT);
    cr_assert_eq(stamp.ms, now_ms);
    holds("a", "k=5 own=7");
}

Test(history_values, beyond_retained_keys_what_was_changed_longest_ago_goes)
{
    rig.config.namespaces[0].retained_keys = 3;
    (void)history_rig_keep(&rig, "a", "1", "a", 1);
    (void)history_rig_keep(&rig, "a", "2", "b", 2);
    (void)history_rig_keep(&rig, "a", "3", "c", 3);
    (void)history_rig_keep(&rig, "a", "1", "d", 4);
    (void)history_rig_keep(&rig, "a", "4", "e", 5);
    holds("a", "3=c 1=d 4=e");
    cr_assert_eq(rc_metric_get(&rig.metrics, RC_METRIC_RETAINED_EVICTED), 1);
}

Test(history_values, a_channels_values_fit_a_record)
{
    static char data[10001];
    memset(data, 'x', sizeof(data) - 1);
    for (unsigned i = 0; i < 8; i++) {
        char key[8];
        (void)snprintf(key, sizeof(key), "%u", i);
        cr_assert_eq(history_rig_keep(&rig, "a", key, data, i), RC_HISTORY_KEPT);
        cr_assert_leq(rig.store.channels[history_rig_slot(&rig, "a")].value_bytes, 32768);
    }
    cr_assert_eq(rig.store.value_count, 3);
}

Test(history_values, their_share_of_memory_is_all_they_get_and_messages_make_room_for_it)
{
    static char data[4001];
    static uint8_t message[4000];
    memset(data, 'x', sizeof(data) - 1);
    rig.config.namespaces[0].history = 100000;
    for (unsigned i = 0; i < 400; i++) {
        (void)history_rig_append(&rig, "messages", message, sizeof(message));
    }
    unsigned kept = 0;
    char name[16];
    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof(name), "c%u", i);
        kept += history_rig_keep(&rig, name, "", data, i) == RC_HISTORY_KEPT;
    }
    cr_assert_gt(kept, 20);
    cr_assert_leq(rig.store.value_units, rig.view.unit_count / 4);
    cr_assert_eq(rc_metric_get(&rig.metrics, RC_METRIC_RETAINED_REFUSED), 300 - kept);
    /* What cannot be kept must not leave an older one that holds no more. */
    cr_assert_eq(history_rig_keep(&rig, "c0", "", "small", 1000), RC_HISTORY_KEPT);
    static char large[30001];
    memset(large, 'y', sizeof(large) - 1);
    cr_assert_eq(history_rig_keep(&rig, "c0", "", large, 2000), RC_HISTORY_REFUSED);
    holds("c0", "");
}

Test(history_values, a_successor_finds_them)
{
    for (unsigned i = 0; i < 50; i++) {
        char key[8];
        (void)snprintf(key, sizeof(key), "%u", i);
        (void)history_rig_keep(&rig, "a", key, "v", i);
    }
    (void)history_rig_keep(&rig, "a", "7", "newer", 100);
    history_rig_restart(&rig);
    cr_assert_eq(rig.store.value_count, 50);
    cr_assert(strstr(history_rig_values(&rig, "a"), "7=newer") != NULL);
    (void)history_rig_keep(&rig, "a", "7", "newest", 101);
    cr_assert_eq(rig.store.value_count, 50);
    cr_assert(strstr(history_rig_values(&rig, "a"), "7=newest") != NULL);
}
