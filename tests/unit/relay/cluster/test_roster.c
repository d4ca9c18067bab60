/* Who is in the channels of this host: counts, users, and what is left after workers tell again or die. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "relay/cluster/roster.h"

static struct rc_metrics metrics;
static struct rc_roster roster;
static char told[512];

static void changed(void *context, const struct rc_roster_change *change)
{
    const struct rc_span channel = change->channel;
    const struct rc_span user = change->user;
    const uint32_t clients = change->clients;
    (void)context;
    const size_t at = strlen(told);
    (void)snprintf(told + at, sizeof(told) - at, "%.*s/%.*s=%u ", (int)channel.count, channel.bytes, (int)user.count,
                   user.count > 0 ? (const char *)user.bytes : "", clients);
}

static void open_roster(void)
{
    cr_assert_eq(rc_roster_open(&roster, &metrics), 0);
    roster.ops = (struct rc_roster_ops){.changed = changed};
    told[0] = '\0';
}

static void close_roster(void)
{
    rc_roster_close(&roster);
}

TestSuite(roster, .init = open_roster, .fini = close_roster);

static struct rc_client_ref client(uint16_t worker, uint32_t slot)
{
    return (struct rc_client_ref){.random = 1000 + slot, .slot = slot, .worker = worker};
}

static void add(const char *channel, uint16_t worker, uint32_t slot, const char *user)
{
    const struct rc_client_ref ref = client(worker, slot);
    rc_roster_add(&roster, rc_span_text(channel), &ref, rc_span_text(user));
}

static void leave(const char *channel, uint16_t worker, uint32_t slot)
{
    const struct rc_client_ref ref = client(worker, slot);
    rc_roster_remove(&roster, rc_span_text(channel), &ref);
}

static void expect_told(const char *text)
{
    cr_assert_str_eq(told, text);
    told[0] = '\0';
}

/* "clients/users user=clients ..." of a channel. */
static const char *list(const char *channel)
{
    static char text[256];
    struct rc_roster_counts counts;
    struct rc_span user;
    uint32_t clients;
    uint32_t cursor = UINT32_MAX;
    const bool found = rc_roster_find(&roster, rc_span_text(channel), &counts);
    int at = snprintf(text, sizeof(text), "%u/%u", counts.clients, counts.users);
    cr_assert_eq(found, counts.clients > 0);
    while (rc_roster_next(&roster, &counts, &cursor, &user, &clients)) {
        at += snprintf(text + at, sizeof(text) - (size_t)at, " %.*s=%u", (int)user.count,
                       user.count > 0 ? (const char *)user.bytes : "", clients);
    }
    return text;
}

static uint64_t gauge(void)
{
    return rc_metric_get(&metrics, RC_METRIC_PRESENCE_MEMBERS);
}

Test(roster, counts_clients_and_users_of_a_channel)
{
    cr_assert_str_eq(list("a"), "0/0");
    add("a", 0, 1, "u1");
    add("a", 1, 1, "u1");
    add("a", 0, 2, "");
    add("b", 0, 1, "u1");
    cr_assert_str_eq(list("a"), "3/1 =1 u1=2");
    cr_assert_str_eq(list("b"), "1/1 u1=1");
    expect_told("a/u1=1 a/u1=2 a/=1 b/u1=1 ");
    cr_assert_eq(gauge(), 4);
    leave("a", 0, 1);
    leave("a", 0, 2);
    cr_assert_str_eq(list("a"), "1/1 u1=1");
    leave("a", 1, 1);
    cr_assert_str_eq(list("a"), "0/0");
    expect_told("a/u1=1 a/=0 a/u1=0 ");
    cr_assert_eq(gauge(), 1);
}

Test(roster, telling_again_or_leaving_twice_changes_nothing)
{
    add("a", 0, 1, "u1");
    add("a", 0, 1, "u1");
    expect_told("a/u1=1 ");
    leave("a", 0, 2);
    leave("nobody", 0, 1);
    leave("a", 0, 1);
    leave("a", 0, 1);
    expect_told("a/u1=0 ");
    cr_assert_eq(gauge(), 0);
}

Test(roster, a_worker_that_tells_again_keeps_only_that)
{
    add("a", 0, 1, "u1");
    add("a", 0, 2, "u2");
    add("a", 1, 1, "u3");
    rc_roster_worker_begin(&roster, 0);
    add("a", 0, 2, "u2");
    add("a", 0, 3, "u4");
    told[0] = '\0';
    rc_roster_worker_end(&roster, 0);
    expect_told("a/u1=0 ");
    cr_assert_str_eq(list("a"), "3/3 u4=1 u3=1 u2=1");
    rc_roster_worker_end(&roster, 0); /* nobody is stale */
    cr_assert_str_eq(list("a"), "3/3 u4=1 u3=1 u2=1");
}

Test(roster, a_worker_dies_with_its_clients)
{
    for (uint32_t i = 0; i < 1000; i++) {
        char channel[16];
        (void)snprintf(channel, sizeof(channel), "c%u", i % 10);
        roster.ops.changed = NULL;
        add(channel, (uint16_t)(i % 2), i, i % 3 == 0 ? "u" : "");
    }
    cr_assert_eq(gauge(), 1000);
    rc_roster_worker_gone(&roster, 1);
    cr_assert_eq(gauge(), 500);
    cr_assert_str_eq(list("c1"), "0/0", "all of its clients were on worker 1");
    rc_roster_worker_gone(&roster, 0);
    cr_assert_eq(gauge(), 0);
    /* Places are used again. */
    const uint32_t used = roster.members.used;
    for (uint32_t i = 0; i < 1000; i++) {
        add("again", 0, i, "u");
    }
    cr_assert_eq(roster.members.used, used);
    cr_assert_str_eq(list("again"), "1000/1 u=1000");
}

Test(roster, knows_which_workers_have_told_everything)
{
    cr_assert_not(rc_roster_told(&roster, 1));
    rc_roster_worker_begin(&roster, 1);
    cr_assert_not(rc_roster_told(&roster, 1));
    rc_roster_worker_end(&roster, 1);
    cr_assert(rc_roster_told(&roster, 1));
    cr_assert_not(rc_roster_told(&roster, 0));
    cr_assert_not(rc_roster_told(&roster, RC_WORKERS_MAX));
}
