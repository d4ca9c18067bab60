/* To whom it is said that a session changes hosts, and through which servers. */
#include "tests/support/fake_redis.h"

#include "relay/cluster/comeback_say.h"

static struct rc_metrics metrics;
static struct rc_wire wire;
static struct rc_bridge bridge = {.wire = &wire};

static void open_wire(void)
{
    cr_assert_eq(rc_wire_open(&wire, "a", 7, 2000, &metrics), 0);
}

static void close_wire(void)
{
    rc_wire_close(&wire);
}

TestSuite(comeback_say, .init = open_wire, .fini = close_wire);

Test(comeback_say, to_one_or_to_all)
{
    struct rc_comeback_message message = {.kind = RC_COMEBACK_NONE, .token = 5};
    cr_assert(rc_comeback_say(&bridge, RC_SPAN("b"), &message, (struct rc_span){0}));
    cr_assert(rc_comeback_say(&bridge, (struct rc_span){0}, &message, (struct rc_span){0}));
    cr_assert_eq(fake.publish_count, 2);
    cr_assert_eq(strncmp(fake.published[0], "ws:instance:b:session ", 22), 0);
    cr_assert_eq(strncmp(fake.published[1], "ws:instances:session ", 21), 0);
}

Test(comeback_say, through_each_other_server_until_one_is_away)
{
    const struct rc_redis_places places = {.map = 99, .count = 4, .ids = {11, 22, 33, 44}};
    struct rc_comeback_message message = {.kind = RC_COMEBACK_GIVEN, .token = 5};
    cr_assert(rc_comeback_mark_all(&bridge, "b", &message, &places));
    cr_assert(fake.at_count == 3 && fake.at[0] == 22 && fake.at[1] == 33 && fake.at[2] == 44);
    cr_assert_eq(strncmp(fake.published[2], "ws:instance:b:session:mark ", 27), 0);
    cr_assert(message.through.map == 99 && message.through.count == 4 && message.through.place == 11);
    fake.away = 33;
    cr_assert(!rc_comeback_mark_all(&bridge, "b", &message, &places));
    cr_assert_eq(fake.at_count, 4);
}
