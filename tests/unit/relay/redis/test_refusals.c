/* Messages that Redis refused while later ones were on their way: those overtaken in their channel are told apart, the rest keeps order. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/redis/outbox.h"
#include "relay/redis/refusals.h"

static struct rc_redis_refusals refusals;

/* Order tells entries apart. */
static struct rc_redis_entry *entry(const char *channel, uint64_t order)
{
    struct rc_redis_entry *one = calloc(1, sizeof(*one) + 64);
    cr_assert(one != NULL);
    one->order = order;
    one->name_at = 3;
    one->name_bytes = (uint16_t)strlen(channel);
    one->announcement = channel[0] == '!';
    memcpy(one->command + 3, channel, strlen(channel));
    return one;
}

static void add(const char *channel, uint64_t order)
{
    cr_assert(rc_redis_refusals_add(&refusals, entry(channel, order)));
}

/* A message of the channel was taken: it has overtaken this one; 0: none. */
static void expect_overtaken(const char *channel, uint64_t order)
{
    struct rc_redis_entry *by = entry(channel, 1000);
    struct rc_redis_entry *overtaken = rc_redis_refusals_overtaken(&refusals, by);
    cr_assert_eq(overtaken == NULL ? 0 : overtaken->order, order, "%s", channel);
    free(overtaken);
    free(by);
}

/* Those that are left, in this order; ends with 0. */
static void expect_left(const uint64_t *orders)
{
    struct rc_redis_entry *last;
    struct rc_redis_entry *first = rc_redis_refusals_take(&refusals, &last);
    struct rc_redis_entry *before = NULL;
    while (first != NULL) {
        struct rc_redis_entry *next = first->next;
        cr_assert_eq(first->order, *orders++);
        before = first;
        if (next == NULL) {
            cr_assert_eq(last, before);
        }
        free(first);
        first = next;
    }
    cr_assert_eq(*orders, 0, "%llu is not there", (unsigned long long)*orders);
    cr_assert(before != NULL || last == NULL);
    cr_assert(refusals.table == NULL && refusals.count == 0 && refusals.left == 0, "no memory without refusals");
}
#define EXPECT_LEFT(...) expect_left((const uint64_t[]){__VA_ARGS__ 0})

Test(refusals, the_picture_of_the_header)
{
    EXPECT_LEFT();
    add("a", 1);
    add("b", 2);
    expect_overtaken("a", 1);
    expect_overtaken("a", 0);
    add("b", 4);
    EXPECT_LEFT(2, 4, );
}

Test(refusals, all_of_a_channel_are_overtaken_oldest_first)
{
    for (uint64_t i = 1; i <= 9; i++) {
        add(i % 3 == 0 ? "c" : "d", i);
    }
    expect_overtaken("c", 3);
    expect_overtaken("c", 6);
    expect_overtaken("c", 9);
    expect_overtaken("c", 0);
    expect_overtaken("e", 0);
    add("c", 10);
    EXPECT_LEFT(1, 2, 4, 5, 7, 8, 10, );
}

Test(refusals, the_last_one_gone_is_none)
{
    add("a", 1);
    expect_overtaken("a", 1);
    cr_assert(refusals.table == NULL && refusals.count == 0);
    expect_overtaken("a", 0);
    add("a", 2);
    EXPECT_LEFT(2, );
}

/* They tell of many channels, and overtake nobody. */
Test(refusals, announcements_have_no_order)
{
    add("!a", 1);
    add("a", 2);
    expect_overtaken("!a", 0);
    add("!a", 3);
    expect_overtaken("a", 2);
    EXPECT_LEFT(1, 3, );
}

/* More channels than buckets: some stand behind others in one. */
Test(refusals, as_many_as_may_be_on_their_way)
{
    static uint64_t left[RC_REDIS_IN_FLIGHT_MAX + 1];
    char name[16];
    uint32_t count = 0;
    for (uint64_t i = 1; i <= RC_REDIS_IN_FLIGHT_MAX; i++) {
        (void)snprintf(name, sizeof(name), "c%llu", (unsigned long long)(i % 3000));
        add(name, i);
    }
    for (uint64_t i = 1; i <= RC_REDIS_IN_FLIGHT_MAX; i++) {
        const bool overtaken = i < 3000 && i % 2 == 0; /* the oldest of its channel */
        if (overtaken) {
            (void)snprintf(name, sizeof(name), "c%llu", (unsigned long long)i);
            expect_overtaken(name, i);
        } else {
            left[count++] = i;
        }
    }
    cr_assert_eq(refusals.left, count);
    expect_left(left);
}
