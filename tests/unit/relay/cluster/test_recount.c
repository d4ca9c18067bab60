/* What was told of how many are in a channel is looked at a moment later, and told again if it is not so. */
#include "tests/support/fake_redis.h"

#include "common/base/check.h"
#include "relay/cluster/recount.h"

static struct rc_recounts recounts;
static char found[256];
static bool taken = true; /* somebody takes what is told */

static bool on_found(void *context, struct rc_span channel, uint32_t clients)
{
    cr_assert_eq(context, &recounts);
    (void)snprintf(found + strlen(found), sizeof(found) - strlen(found), "%.*s=%u ", (int)channel.count,
                   (const char *)channel.bytes, clients);
    return taken;
}

static void open_all(void)
{
    static int link;
    const struct rc_recounts_ops ops = {.found = on_found, .context = &recounts};
    fake.up = true;
    found[0] = '\0';
    rc_recounts_open(&recounts, (struct rc_redis_link *)&link, &fake.timers, &ops);
}

static void close_all(void)
{
    rc_recounts_close(&recounts);
}

TestSuite(recount, .init = open_all, .fini = close_all);

#define LATER (RC_RECOUNT_MS + 10u)

/* Redis is asked, and answers with that; NULL: nobody is there. */
static void asked(const char *channel, const char *text)
{
    char expected[128];
    redisReply reply = {.type = text == NULL ? REDIS_REPLY_NIL : REDIS_REPLY_STRING,
                        .str = (char *)(uintptr_t)text,
                        .len = text == NULL ? 0 : strlen(text)};
    (void)snprintf(expected, sizeof(expected), "HGET ws:presence:members:%s ", channel);
    fake_answer(expected, &reply);
}

/* Instance a told 1, and b, whose count came second, told 2 first: all believe a. */
Test(recount, an_older_number_that_came_last_is_put_right)
{
    rc_recounts_told(&recounts, RC_SPAN("news"), 1);
    fake_pass(RC_RECOUNT_MS - 100);
    cr_assert_eq(fake.count, 0, "b's own word may be under way still");
    fake_pass(LATER);
    asked("news", "a:1,b:1");
    cr_assert_str_eq(found, "", "it may be moving");
    fake_pass(2 * LATER);
    asked("news", "a:1,b:1");
    cr_assert_str_eq(found, "news=2 ");
    fake_pass(3 * LATER);
    asked("news", "a:1,b:1\n{\"name\":\"x:9,y:9\"}");
    cr_assert_str_eq(found, "news=2 ", "that was told");
    fake_pass(10 * LATER);
    cr_assert_eq(fake.count, 0);
    cr_assert_eq(recounts.count, 0, "nothing is kept of a channel where all stands still");
}

/* A hundred looks at a channel where others come and go: they tell it. When it stands still one number is told. */
Test(recount, where_nothing_stands_still_nothing_is_told)
{
    rc_recounts_told(&recounts, RC_SPAN("news"), 1);
    for (uint32_t i = 0; i < 100; i++) {
        char text[24];
        (void)snprintf(text, sizeof(text), "a:1,b:%u", i + 1);
        fake_pass((i + 1) * LATER);
        asked("news", text);
    }
    cr_assert_str_eq(found, "");
    fake_pass(101 * LATER);
    asked("news", "a:1,b:100");
    cr_assert_str_eq(found, "news=101 ");
}

Test(recount, a_look_of_before_the_last_word_is_not_one_of_the_two)
{
    rc_recounts_told(&recounts, RC_SPAN("news"), 1);
    fake_pass(LATER);
    asked("news", "a:1,b:1");
    rc_recounts_told(&recounts, RC_SPAN("news"), 3);
    fake_pass(2 * LATER);
    asked("news", "a:1,b:1");
    cr_assert_str_eq(found, "");
    fake_pass(3 * LATER);
    asked("news", "a:1,b:1");
    cr_assert_str_eq(found, "news=2 ");
}

Test(recount, what_is_so_is_told_once)
{
    rc_recounts_told(&recounts, RC_SPAN("news"), 3);
    rc_recounts_told(&recounts, RC_SPAN("sport"), 0);
    fake_pass(LATER);
    asked("news", "a:1,other:2");
    asked("sport", NULL);
    cr_assert_str_eq(found, "");
    cr_assert_eq(recounts.count, 0);
}

Test(recount, an_answer_of_before_the_last_word_does_not_count)
{
    rc_recounts_told(&recounts, RC_SPAN("news"), 1);
    fake_pass(LATER);
    rc_recounts_told(&recounts, RC_SPAN("news"), 2);
    asked("news", "a:1");
    cr_assert_str_eq(found, "");
    fake_pass(2 * LATER);
    asked("news", "a:2");
    cr_assert_str_eq(found, "");
    cr_assert_eq(recounts.count, 0);
}

Test(recount, while_much_is_told_nothing_is_asked)
{
    for (uint32_t i = 0; i < 10; i++) {
        rc_recounts_told(&recounts, RC_SPAN("news"), i);
        rc_recounts_told(&recounts, RC_SPAN("sport"), i);
    }
    cr_assert_eq(recounts.count, 2);
    fake_pass(LATER);
    cr_assert_eq(fake.count, 2);
    asked("news", "a:9");
    asked("sport", "a:8");
    fake_pass(2 * LATER);
    cr_assert_eq(fake.count, 1);
    asked("sport", "a:8");
    cr_assert_str_eq(found, "sport=8 ");
}

Test(recount, while_redis_is_away_it_waits)
{
    rc_recounts_told(&recounts, RC_SPAN("news"), 1);
    fake.full = true;
    fake_pass(LATER);
    cr_assert_eq(fake.count, 0);
    fake.full = false;
    fake_pass(2 * LATER);
    fake_answer("HGET ws:presence:members:news ", NULL); /* it went away with the question */
    fake_pass(3 * LATER);
    asked("news", "b:4");
    fake_pass(4 * LATER);
    asked("news", "b:4");
    cr_assert_str_eq(found, "news=4 ");
}

Test(recount, an_error_that_passes_says_nothing)
{
    static const char *const passes[] = {"LOADING Redis is loading", "CLUSTERDOWN The cluster is down", "BUSY a script",
                                         "TRYAGAIN keys are moving"};
    rc_recounts_told(&recounts, RC_SPAN("news"), 1);
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(passes); i++) {
        fake_pass(LATER);
        fake_error("HGET ws:presence:members:news ", passes[i]);
        cr_assert_eq(recounts.count, 1, "%s", passes[i]);
    }
    for (uint32_t i = 0; i < 2; i++) {
        fake_pass(LATER);
        asked("news", "a:1,b:1");
    }
    cr_assert_str_eq(found, "news=2 ");
    fake_pass(LATER);
    fake_error("HGET ws:presence:members:news ", "WRONGTYPE it is somebody else's");
    cr_assert_eq(recounts.count, 0);
}

Test(recount, what_nobody_took_is_told_again)
{
    rc_recounts_told(&recounts, RC_SPAN("news"), RC_RECOUNT_UNTOLD);
    taken = false;
    fake_pass(LATER);
    asked("news", "a:1");
    fake_pass(LATER);
    asked("news", "a:1");
    cr_assert_str_eq(found, "news=1 news=1 ", "each look, while nobody takes it");
    taken = true;
    fake_pass(LATER);
    asked("news", "a:1");
    fake_pass(LATER);
    asked("news", "a:1");
    cr_assert_str_eq(found, "news=1 news=1 news=1 ");
    cr_assert_eq(recounts.count, 0);
}

Test(recount, what_makes_no_sense_is_left_alone)
{
    static const char *const values[] = {"a:1x", "a:99999999999", "a:4294967295,b:4294967295"};
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(values); i++) {
        rc_recounts_told(&recounts, RC_SPAN("news"), 1);
        fake_pass((i + 1) * LATER);
        asked("news", values[i]);
        cr_assert_eq(recounts.count, 0, "%s", values[i]);
    }
    cr_assert_str_eq(found, "");
}

Test(recount, without_redis_nothing_is_kept)
{
    rc_recounts_close(&recounts);
    rc_recounts_open(&recounts, NULL, &fake.timers, &recounts.ops);
    rc_recounts_told(&recounts, RC_SPAN("news"), 1);
    cr_assert_eq(recounts.count, 0);
}
