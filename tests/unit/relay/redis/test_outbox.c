/* What waits for Redis: order, bounds in bytes and age, what is not in flight is dropped first. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "relay/redis/outbox.h"

static struct rc_metrics metrics;
static struct rc_redis_wire wire;
static struct rc_redis_conn conn;
static struct rc_redis_outbox outbox;
static char lost[64]; /* what was named */

static void named(void *context, struct rc_span channel, bool placed)
{
    (void)context;
    (void)placed;
    (void)strncat(lost, (const char *)channel.bytes, channel.count);
}

static const struct rc_redis_outbox_ops ops = {.lost = named};

static void open_outbox(void)
{
    const redisOptions options = {.type = REDIS_CONN_USERFD, .options = REDIS_OPT_NONBLOCK, .endpoint = {.fd = -1}};
    rc_log_set_level(RC_LOG_ERROR);
    lost[0] = '\0';
    wire.metrics = &metrics;
    conn = (struct rc_redis_conn){.wire = &wire, .fd = -1, .handle = -1, .state = RC_REDIS_CONN_READY};
    conn.redis = redisConnectWithOptions(&options);
    rc_redis_outbox_init(&outbox, 10 * (sizeof(struct rc_redis_entry) + 1), 1000, &metrics, &ops);
}

static void close_outbox(void)
{
    rc_redis_outbox_free(&outbox);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_OUTBOX_MESSAGES), 0);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_OUTBOX_BYTES), 0);
    redisFree(conn.redis);
    free(conn.waiting);
}

TestSuite(relay_redis_outbox, .init = open_outbox, .fini = close_outbox);

static bool put(char c, uint64_t now_ms)
{
    struct rc_redis_entry *entry = rc_redis_entry_new(1, 0, now_ms);
    entry->command[0] = c;
    entry->name_bytes = 1;
    entry->told = c >= 'a'; /* of capital ones nobody is told */
    return rc_redis_outbox_put(&outbox, entry);
}

/* A message of a channel, whose name is one letter as well. */
static void put_of(char channel, char c)
{
    struct rc_redis_entry *entry = rc_redis_entry_new(2, 0, 0);
    entry->command[0] = c;
    entry->command[1] = channel;
    entry->name_at = entry->name_bytes = 1;
    entry->told = true;
    cr_assert(rc_redis_outbox_put(&outbox, entry));
}

static void announce(char c)
{
    struct rc_redis_entry *entry = rc_redis_entry_new(1, 0, 0);
    entry->command[0] = c;
    rc_redis_outbox_announce(&outbox, entry);
}

static const char *all(void)
{
    static char text[256];
    size_t used = 0;
    for (const struct rc_redis_entry *entry = outbox.head; entry != NULL; entry = entry->next) {
        if (entry == outbox.unsent) {
            text[used++] = '|';
        }
        text[used++] = entry->command[0];
    }
    text[used] = '\0';
    return text;
}

static uint64_t dropped(void)
{
    return rc_metric_get(&metrics, RC_METRIC_REDIS_OUTBOX_DROPPED);
}

/* The oldest unanswered gets its reply. */
static void answer(int type, const char *text)
{
    char copy[64];
    (void)strcpy(copy, text);
    const redisReply reply = {.type = type, .str = copy, .len = strlen(text)};
    const struct rc_redis_waiting one = conn.waiting[conn.waiting_first];
    conn.waiting_first = (conn.waiting_first + 1) & (conn.waiting_max - 1);
    conn.waiting_count--;
    one.replied(one.context, &reply);
}

/* Pumps when the pause after a "not now" is over; the entries' time does not go on meanwhile. */
static void after_hold(void)
{
    outbox.hold_until_ms = 0;
    rc_redis_outbox_pump(&outbox, &conn, 1);
}

Test(relay_redis_outbox, full_drops_the_oldest)
{
    for (char c = 'a'; c <= 'l'; c++) {
        cr_assert(put(c, 0));
    }
    cr_assert_str_eq(all(), "|cdefghijkl");
    cr_assert_eq(dropped(), 2);
}

/* No room can be made for it: what waits must not go for nothing. */
Test(relay_redis_outbox, what_is_larger_than_all_of_it_drops_nothing_else)
{
    for (char c = 'a'; c <= 'c'; c++) {
        cr_assert(put(c, 0));
    }
    struct rc_redis_entry *entry = rc_redis_entry_new(outbox.bytes_max, 0, 0);
    entry->command[0] = 'X';
    entry->told = true;
    entry->name_bytes = 1;
    cr_assert_not(rc_redis_outbox_put(&outbox, entry));
    cr_assert_str_eq(all(), "|abc");
    cr_assert_str_eq(lost, "X");
    cr_assert_eq(dropped(), 1);
}

Test(relay_redis_outbox, what_is_in_flight_is_not_dropped)
{
    for (char c = 'a'; c <= 'j'; c++) {
        cr_assert(put(c, 0));
    }
    rc_redis_outbox_pump(&outbox, &conn, 1);
    cr_assert_str_eq(all(), "abcdefghij");
    cr_assert_not(put('k', 1), "all of it is in flight");
    cr_assert_eq(dropped(), 1);
    answer(REDIS_REPLY_INTEGER, "");
    cr_assert(put('l', 1));
    cr_assert(put('m', 1));
    cr_assert_str_eq(all(), "bcdefghij|m", "the oldest that is not in flight gave way");
    answer(REDIS_REPLY_ERROR, "NOPERM no");
    cr_assert_str_eq(all(), "cdefghij|m", "an error that stays is an answer too");
}

Test(relay_redis_outbox, too_old_is_dropped)
{
    put('a', 0);
    put('b', 500);
    put('c', 2000);
    rc_redis_outbox_expire(&outbox, 1000);
    cr_assert_str_eq(all(), "|abc");
    rc_redis_outbox_expire(&outbox, 1501);
    cr_assert_str_eq(all(), "|c");
    cr_assert_eq(dropped(), 2);
}

Test(relay_redis_outbox, a_loss_makes_all_unsent_again_in_order)
{
    put('a', 0);
    put('b', 0);
    rc_redis_outbox_pump(&outbox, &conn, 1);
    put('c', 0);
    cr_assert_str_eq(all(), "ab|c");
    rc_redis_outbox_rewind(&outbox);
    cr_assert_str_eq(all(), "|abc");
    cr_assert_eq(outbox.in_flight, 0);
    rc_redis_outbox_pump(&outbox, &conn, 1);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_RESENT), 2);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_PUBLISHED), 3);
}

Test(relay_redis_outbox, not_now_waits_until_all_are_answered)
{
    put('a', 0);
    put('b', 0);
    put('c', 0);
    rc_redis_outbox_pump(&outbox, &conn, 1);
    put('d', 0);
    answer(REDIS_REPLY_ERROR, "LOADING Redis is loading");
    answer(REDIS_REPLY_ERROR, "LOADING Redis is loading");
    rc_redis_outbox_pump(&outbox, &conn, UINT64_MAX);
    cr_assert_str_eq(all(), "c|d", "nothing overtakes");
    answer(REDIS_REPLY_INTEGER, "");
    cr_assert_str_eq(all(), "|abd");
    rc_redis_outbox_pump(&outbox, &conn, 1);
    cr_assert_str_eq(all(), "|abd", "not at once");
    after_hold();
    cr_assert_str_eq(all(), "abd", "c was taken, so will these be");
    for (int i = 0; i < 3; i++) {
        answer(REDIS_REPLY_ERROR, "BUSY again");
    }
    cr_assert_str_eq(all(), "|abd");
    after_hold();
    cr_assert_str_eq(all(), "a|bd", "one alone, until Redis takes it");
    after_hold();
    cr_assert_str_eq(all(), "a|bd");
    answer(REDIS_REPLY_ERROR, "BUSY again");
    cr_assert_str_eq(all(), "|abd");
    after_hold();
    answer(REDIS_REPLY_INTEGER, "");
    after_hold();
    cr_assert_str_eq(all(), "bd");
    cr_assert_eq(dropped(), 0);
}

Test(relay_redis_outbox, what_a_later_one_of_its_channel_overtook_is_given_up)
{
    put_of('x', '1');
    put_of('y', '2');
    put_of('x', '3');
    put_of('z', '4');
    put_of('x', '5');
    put_of('y', '6');
    rc_redis_outbox_pump(&outbox, &conn, 1);
    for (int i = 0; i < 4; i++) {
        answer(REDIS_REPLY_ERROR, "BUSY Redis is busy running a script.");
    }
    cr_assert_str_eq(lost, "");
    answer(REDIS_REPLY_INTEGER, "");
    cr_assert_str_eq(lost, "xx", "5 was taken: 1 and 3 would come late");
    cr_assert_eq(dropped(), 2);
    put_of('x', '7');
    rc_redis_outbox_pump(&outbox, &conn, UINT64_MAX);
    cr_assert_str_eq(all(), "6|7", "nothing more until all is answered");
    answer(REDIS_REPLY_ERROR, "BUSY Redis is busy running a script.");
    cr_assert_str_eq(all(), "|2467", "the others in order");
    cr_assert_str_eq(lost, "xx");
}

Test(relay_redis_outbox, what_a_lost_connection_may_have_taken_overtakes_too)
{
    put_of('x', '1');
    put_of('y', '2');
    put_of('x', '3');
    rc_redis_outbox_pump(&outbox, &conn, 1);
    put_of('y', '4');
    answer(REDIS_REPLY_ERROR, "BUSY");
    answer(REDIS_REPLY_ERROR, "BUSY");
    rc_redis_outbox_rewind(&outbox);
    cr_assert_str_eq(all(), "|234", "nobody knows about 3, and 4 was not sent");
    cr_assert_str_eq(lost, "x");
    rc_redis_outbox_pump(&outbox, &conn, 1);
    cr_assert_str_eq(all(), "234");
}

Test(relay_redis_outbox, a_refusal_for_good_overtakes_nothing)
{
    put_of('x', '1');
    put_of('x', '2');
    rc_redis_outbox_pump(&outbox, &conn, 1);
    answer(REDIS_REPLY_ERROR, "BUSY");
    answer(REDIS_REPLY_ERROR, "ERR what");
    cr_assert_str_eq(all(), "|1");
    cr_assert_str_eq(lost, "x", "2");
}

Test(relay_redis_outbox, as_many_refusals_as_can_be_in_flight)
{
    outbox.bytes_max = UINT64_MAX;
    for (uint32_t i = 0; i < RC_REDIS_IN_FLIGHT_MAX; i++) {
        struct rc_redis_entry *entry = rc_redis_entry_new(2, 0, 0);
        const uint16_t name = (uint16_t)(i / 2); /* two of each channel */
        memcpy(entry->command, &name, 2);
        entry->name_bytes = 2;
        cr_assert(rc_redis_outbox_put(&outbox, entry));
    }
    rc_redis_outbox_pump(&outbox, &conn, 1);
    cr_assert_null(outbox.unsent);
    for (uint32_t i = 0; i < RC_REDIS_IN_FLIGHT_MAX; i++) {
        const bool taken = i % 4 == 1; /* the second one of every other channel */
        answer(taken ? REDIS_REPLY_INTEGER : REDIS_REPLY_ERROR, taken ? "" : "BUSY");
    }
    cr_assert_eq(dropped(), RC_REDIS_IN_FLIGHT_MAX / 4);
    cr_assert_eq(outbox.count, RC_REDIS_IN_FLIGHT_MAX / 2);
    uint32_t left = 0;
    uint16_t before = 0;
    for (const struct rc_redis_entry *entry = outbox.head; entry != NULL; entry = entry->next, left++) {
        uint16_t name;
        memcpy(&name, entry->command, 2);
        cr_assert(name % 2 == 1 && name >= before);
        before = name;
    }
    cr_assert_eq(left, outbox.count);
}

Test(relay_redis_outbox, taking_out_keeps_the_list_whole)
{
    put('a', 0);
    put('b', 0);
    rc_redis_outbox_pump(&outbox, &conn, 1);
    put('c', 0);
    put('d', 0);
    free(rc_redis_outbox_take(&outbox));
    cr_assert_str_eq(all(), "ab|d");
    free(rc_redis_outbox_take(&outbox));
    cr_assert_null(rc_redis_outbox_take(&outbox));
    put('e', 0);
    cr_assert_str_eq(all(), "ab|e");
}

Test(relay_redis_outbox, a_message_for_one_that_reaches_nobody_is_a_failed_delivery)
{
    put('a', 0);
    put('b', 0);
    outbox.head->to_one = true;
    rc_redis_outbox_pump(&outbox, &conn, 1);
    answer(REDIS_REPLY_INTEGER, "");
    answer(REDIS_REPLY_INTEGER, "");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_FAILED_DELIVERIES), 1);
}

static struct rc_redis_entry *entry_of(char c)
{
    struct rc_redis_entry *entry = rc_redis_entry_new(1, 0, 0);
    entry->command[0] = c;
    entry->order = (uint64_t)c;
    return entry;
}

Test(relay_redis_outbox, what_comes_from_another_outbox_finds_its_place)
{
    struct rc_redis_entry *hint = NULL;
    cr_assert(rc_redis_outbox_put(&outbox, entry_of('b')));
    rc_redis_outbox_pump(&outbox, &conn, 1);
    cr_assert(rc_redis_outbox_put(&outbox, entry_of('e')));
    cr_assert(rc_redis_outbox_put(&outbox, entry_of('g')));
    for (const char *c = "acfhi"; *c != '\0'; c++) {
        cr_assert(rc_redis_outbox_insert(&outbox, entry_of(*c), &hint));
    }
    cr_assert_str_eq(all(), "b|acefghi", "what is in flight is gone by");
    cr_assert(put('z', 0), "the tail is where it should be");
    cr_assert_str_eq(all(), "b|acefghiz");
    hint = NULL;
    cr_assert(rc_redis_outbox_insert(&outbox, entry_of('d'), &hint));
    hint = NULL;
    cr_assert_not(rc_redis_outbox_insert(&outbox, entry_of('d'), &hint), "full");
    cr_assert_eq(dropped(), 1);
}

Test(relay_redis_outbox, what_is_given_up_is_named_once)
{
    put('a', 0);
    put('B', 0);
    rc_redis_outbox_expire(&outbox, 1001);
    cr_assert_str_eq(lost, "a", "by age");
    for (char c = 'c'; c <= 'n'; c++) {
        put(c, 2000);
    }
    cr_assert_str_eq(lost, "acd", "by bytes");
    rc_redis_outbox_pump(&outbox, &conn, 2001);
    cr_assert_not(put('o', 2001));
    cr_assert_str_eq(lost, "acdo", "and itself, when nothing can give way");
    answer(REDIS_REPLY_ERROR, "NOPERM this user has no permissions to access the channel");
    cr_assert_str_eq(lost, "acdoe", "Redis will never take it");
    answer(REDIS_REPLY_INTEGER, "");
    cr_assert_str_eq(lost, "acdoe");
    cr_assert_eq(dropped(), 6);
}

Test(relay_redis_outbox, announcements_go_first_and_are_never_dropped)
{
    announce('1');
    cr_assert_str_eq(all(), "|1");
    for (char c = 'a'; c <= 'c'; c++) {
        put(c, 0);
    }
    rc_redis_outbox_pump(&outbox, &conn, 1);
    cr_assert_str_eq(all(), "1|abc", "nothing before Redis has it");
    answer(REDIS_REPLY_ERROR, "BUSY");
    cr_assert_str_eq(all(), "|1abc");
    after_hold();
    cr_assert_str_eq(all(), "1|abc");
    answer(REDIS_REPLY_INTEGER, "");
    announce('1');
    cr_assert_str_eq(all(), "|1abc");
    after_hold();
    answer(REDIS_REPLY_INTEGER, "");
    cr_assert_eq(outbox.announcements, 0);
    after_hold();
    put('d', 1);
    put('e', 1);
    announce('2');
    cr_assert_str_eq(all(), "abc|2de");
    for (char c = 'f'; c <= 'k'; c++) {
        put(c, 1);
    }
    cr_assert_str_eq(all(), "abc|2fghijk");
    cr_assert_str_eq(lost, "de");
    rc_redis_outbox_rewind(&outbox);
    cr_assert_str_eq(all(), "|abc2fghijk");
    put('l', 1500);
    put('m', 1500);
    rc_redis_outbox_expire(&outbox, 2000);
    cr_assert_str_eq(all(), "|2lm");
    cr_assert_eq(outbox.announcements, 1);
    rc_redis_outbox_pump(&outbox, &conn, 2000);
    answer(REDIS_REPLY_INTEGER, "");
    rc_redis_outbox_pump(&outbox, &conn, 2000);
    answer(REDIS_REPLY_INTEGER, "");
    answer(REDIS_REPLY_INTEGER, "");
    cr_assert_eq(outbox.announcements, 0);
    put('n', 2000);
    announce('3');
    cr_assert_str_eq(all(), "|3n");
    struct rc_redis_entry *taken = rc_redis_outbox_take(&outbox);
    cr_assert_eq(taken->command[0], 'n');
    free(taken);
    cr_assert_null(rc_redis_outbox_take(&outbox));
    cr_assert_str_eq(all(), "|3");
    put('o', 2000);
    cr_assert_str_eq(all(), "|3o");
}

Test(relay_redis_outbox, there_is_room_as_long_as_nothing_has_to_go)
{
    struct rc_redis_entry *one = rc_redis_entry_new(1, 0, 0);
    struct rc_redis_entry *large = rc_redis_entry_new(10000, 0, 0);
    cr_expect(!rc_redis_outbox_has_room(&outbox, large) && rc_redis_outbox_never(&outbox, large->bytes));
    cr_expect(!rc_redis_outbox_never(&outbox, one->bytes));
    for (unsigned i = 0; i < 10; i++) {
        cr_expect(rc_redis_outbox_has_room(&outbox, one), "%u", i);
        cr_expect(put('A', 0));
    }
    cr_expect(!rc_redis_outbox_has_room(&outbox, one));
    cr_expect(!rc_redis_outbox_has_room(&outbox, large));
    free(one);
    free(large);
}
