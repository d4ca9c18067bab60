/* Subscriptions that are there for good: what is asked at home, and when all of them are confirmed. */
#include "relay/redis/pubsub_fixed.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/base/clock.h"
#include "relay/redis/conn_queue.h"
#include "tests/support/pubsub_rig.h"

static struct rc_redis_subscription name;
static struct rc_redis_subscription pattern;

static void open_pubsub(void)
{
    open_conn();
    pubsub = (struct rc_redis_pubsub){.wire = &wire, .prefix = "p*:", .prefix_bytes = 3, .home = RC_REDIS_NODE_NONE};
    name = (struct rc_redis_subscription){.name = "a"};
    pattern = (struct rc_redis_subscription){.name = "b*", .pattern = true};
}

static void close_pubsub(void)
{
    redisFree(conn.redis);
}

TestSuite(pubsub_fixed, .init = open_pubsub, .fini = close_pubsub);

/* What would be sent, and is not again. */
static void sends(const char *expected)
{
    cr_assert_str_eq(conn.redis->obuf, expected);
    sdsclear(conn.redis->obuf);
}

static void at_home(void)
{
    pubsub.home = 2;
    pubsub.nodes[2].conn = &conn;
}

#define NAME "*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\np*:a\r\n"
#define PATTERN "*2\r\n$10\r\nPSUBSCRIBE\r\n$6\r\np\\*:b*\r\n"

Test(pubsub_fixed, they_are_asked_for_at_home_and_nowhere_else)
{
    rc_redis_fixed_add(&pubsub, &name);
    sends("");
    pubsub.home = 2; /* not connected */
    rc_redis_fixed_ask_all(&pubsub, true);
    sends("");
    at_home();
    rc_redis_fixed_add(&pubsub, &pattern);
    sends(PATTERN);
    rc_redis_fixed_ask_all(&pubsub, true);
    sends(NAME PATTERN);
    rc_redis_fixed_ask_all(&pubsub, false);
    sends("*2\r\n$11\r\nUNSUBSCRIBE\r\n$4\r\np*:a\r\n*2\r\n$12\r\nPUNSUBSCRIBE\r\n$6\r\np\\*:b*\r\n");
}

Test(pubsub_fixed, a_name_is_no_pattern)
{
    rc_redis_fixed_add(&pubsub, &name);
    rc_redis_fixed_add(&pubsub, &pattern);
    cr_assert_eq(rc_redis_fixed_find(&pubsub, false, RC_SPAN("p*:a")), &name);
    cr_assert_eq(rc_redis_fixed_find(&pubsub, true, RC_SPAN("p\\*:b*")), &pattern);
    cr_assert_null(rc_redis_fixed_find(&pubsub, true, RC_SPAN("p*:a")));
    cr_assert_null(rc_redis_fixed_find(&pubsub, false, RC_SPAN("a")));
}

Test(pubsub_fixed, what_is_confirmed_is_counted_and_forgotten)
{
    cr_assert(rc_redis_fixed_all(&pubsub), "there is none");
    at_home();
    rc_redis_fixed_add(&pubsub, &name);
    rc_redis_fixed_add(&pubsub, &pattern);
    sends(NAME PATTERN);
    cr_assert(!rc_redis_fixed_all(&pubsub));
    name.confirmed = true;
    cr_assert_eq(rc_redis_fixed_confirmed(&pubsub), 1);
    rc_redis_fixed_ask_missing(&pubsub);
    sends(PATTERN);
    pattern.confirmed = true;
    cr_assert(rc_redis_fixed_all(&pubsub));
    rc_redis_fixed_forget(&pubsub);
    cr_assert(pubsub.missed_all);
    cr_assert_eq(rc_redis_fixed_confirmed(&pubsub), 0);
    pubsub.missed_all = false;
    rc_redis_fixed_forget(&pubsub);
    cr_assert(!pubsub.missed_all, "what was not confirmed was not missed");
}

/* A mark is heard at each node; home that moves takes nothing of it away. */
Test(pubsub_fixed, what_is_everywhere_is_asked_for_at_each_node)
{
    struct rc_redis_subscription mark = {.name = "m", .everywhere = true};
    at_home();
    pubsub.nodes[0].conn = &conn;
    pubsub.node_end = 3;
    rc_redis_fixed_add(&pubsub, &mark);
    sends("*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\np*:m\r\n*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\np*:m\r\n");
    rc_redis_fixed_add(&pubsub, &name);
    sends(NAME);
    rc_redis_fixed_ask_everywhere(&pubsub, 1); /* not connected */
    sends("");
    rc_redis_fixed_ask_everywhere(&pubsub, 0);
    sends("*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\np*:m\r\n");
    rc_redis_fixed_ask_all(&pubsub, false);
    sends("*2\r\n$11\r\nUNSUBSCRIBE\r\n$4\r\np*:a\r\n");
}

/* Neither a confirmation nor a refusal comes of it. */
Test(pubsub_fixed, what_could_not_be_asked_is_asked_later)
{
    at_home();
    conn.redis->obuf = sdsgrowzero(conn.redis->obuf, RC_REDIS_UNSENT_MAX + 4096);
    rc_redis_fixed_add(&pubsub, &name);
    sdsclear(conn.redis->obuf);
    rc_timers_run(&timers, rc_clock_ms() + RC_REDIS_REFUSED_MS + 1);
    sends(NAME);
    cr_assert(!pubsub.again.set, "now it is");
}

/* Answers come in order, but which one an error is of it does not say. */
Test(pubsub_fixed, an_error_that_was_taken_for_a_marks_own_is_known_by_its_confirmation)
{
    struct rc_redis_subscription mark = {.name = "m", .everywhere = true};
    at_home();
    pubsub.nodes[0].conn = &conn;
    pubsub.node_end = 3;
    rc_redis_fixed_add(&pubsub, &mark);
    cr_assert(!rc_redis_fixed_refused_at(&pubsub, 2), "home has its own");
    cr_assert(rc_redis_fixed_refused_at(&pubsub, 0));
    cr_assert(!rc_redis_fixed_confirm(&pubsub, &mark, 0));
    cr_assert(!mark.confirmed);
    cr_assert(rc_redis_fixed_confirm(&pubsub, &mark, 2));
    cr_assert(mark.confirmed);
    rc_timer_cancel(&timers, &pubsub.again);
}

Test(pubsub_fixed, a_mark_that_was_asked_for_at_home_is_answered_where_home_was)
{
    struct rc_redis_subscription mark = {.name = "m", .everywhere = true};
    at_home();
    rc_redis_fixed_add(&pubsub, &mark);
    rc_redis_fixed_ask_all(&pubsub, false);
    pubsub.home = RC_REDIS_NODE_NONE;
    cr_assert(rc_redis_fixed_confirm(&pubsub, &mark, 2));
    cr_assert(!mark.confirmed);
}
