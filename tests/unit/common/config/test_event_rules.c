/* Compiled [[event]] tables: which row is for an event. */
#include "common/config/event_rules.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/config/config.h"

static struct rc_config config;

static void clean(void)
{
    rc_config_defaults(&config);
}

TestSuite(event_rules, .init = clean);

static void add(enum rc_event_from from, const char *nsp, const char *on)
{
    struct rc_config_event *const row = &config.events[config.event_count++];
    row->from = from;
    (void)snprintf(row->on.text, sizeof(row->on.text), "%s", on);
    (void)snprintf(row->nsp.text, sizeof(row->nsp.text), "%s", nsp);
    rc_event_index_last(&config);
}

static int find(enum rc_event_from from, const char *nsp, const char *event)
{
    const struct rc_config_event *const row = rc_event_first(&config, from, rc_span_text(nsp), rc_span_text(event));
    return row == NULL ? -1 : (int)(row - config.events);
}

Test(event_rules, sender_namespace_and_name_all_count)
{
    cr_expect_eq(find(RC_EVENT_FROM_CLIENT, "/", "a"), -1);
    add(RC_EVENT_FROM_CLIENT, "/", "a");
    add(RC_EVENT_FROM_CLIENT, "/admin", "a");
    add(RC_EVENT_FROM_SERVER, "/", "a");
    add(RC_EVENT_FROM_CLIENT, "/", "b");
    cr_expect_eq(find(RC_EVENT_FROM_CLIENT, "/", "a"), 0);
    cr_expect_eq(find(RC_EVENT_FROM_CLIENT, "/admin", "a"), 1);
    cr_expect_eq(find(RC_EVENT_FROM_SERVER, "/", "a"), 2);
    cr_expect_eq(find(RC_EVENT_FROM_CLIENT, "/", "b"), 3);
    cr_expect_eq(find(RC_EVENT_FROM_CLIENT, "/admin", "b"), -1);
    cr_expect_eq(find(RC_EVENT_FROM_SERVER, "/admin", "a"), -1);
    cr_expect_eq(find(RC_EVENT_FROM_CLIENT, "/", ""), -1);
    cr_expect_eq(find(RC_EVENT_FROM_CLIENT, "/", "aa"), -1);
}

Test(event_rules, a_full_table_finds_each_row_and_ends_for_others)
{
    char name[16];
    for (int i = 0; i < RC_CONFIG_EVENTS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "e%d", i);
        add(RC_EVENT_FROM_CLIENT, "/", name);
    }
    for (int i = 0; i < RC_CONFIG_EVENTS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "e%d", i);
        cr_expect_eq(find(RC_EVENT_FROM_CLIENT, "/", name), i);
        (void)snprintf(name, sizeof(name), "x%d", i);
        cr_expect_eq(find(RC_EVENT_FROM_CLIENT, "/", name), -1);
    }
}

Test(event_rules, rows_of_a_life_cycle_follow_in_the_files_order)
{
    add(RC_EVENT_FROM_CLIENT, "/", "connect");
    add(RC_EVENT_FROM_CLIENT, "/", "x");
    add(RC_EVENT_FROM_CLIENT, "/", "connect");
    add(RC_EVENT_FROM_CLIENT, "/a", "connect");
    add(RC_EVENT_FROM_CLIENT, "/", "connect");
    const struct rc_config_event *row = rc_event_first(&config, RC_EVENT_FROM_CLIENT, RC_SPAN("/"), RC_SPAN("connect"));
    cr_expect_eq(row, &config.events[0]);
    row = rc_event_next(&config, row, RC_SPAN("/"), RC_SPAN("connect"));
    cr_expect_eq(row, &config.events[2]);
    row = rc_event_next(&config, row, RC_SPAN("/"), RC_SPAN("connect"));
    cr_expect_eq(row, &config.events[4]);
    cr_expect_null(rc_event_next(&config, row, RC_SPAN("/"), RC_SPAN("connect")));
    cr_expect(rc_event_life_cycle(row));
    cr_expect_not(rc_event_life_cycle(&config.events[1]));
    add(RC_EVENT_FROM_SERVER, "/", "connect");
    cr_expect_not(rc_event_life_cycle(&config.events[5]));
}

/* The first in the file's order wins, whether it is a name or a pattern; with `match` there may be several. */
Test(event_rules, names_and_patterns_are_tried_in_the_files_order)
{
    add(RC_EVENT_FROM_CLIENT, "/", "a:*");
    add(RC_EVENT_FROM_CLIENT, "/", "a:b");
    add(RC_EVENT_FROM_CLIENT, "/", "c");
    add(RC_EVENT_FROM_CLIENT, "/x*", "c");
    add(RC_EVENT_FROM_CLIENT, "/", "c");
    add(RC_EVENT_FROM_CLIENT, "/*", "*");
    cr_expect_eq(find(RC_EVENT_FROM_CLIENT, "/", "a:"), 0);
    cr_expect_eq(find(RC_EVENT_FROM_CLIENT, "/", "a"), 5);
    cr_expect_eq(find(RC_EVENT_FROM_CLIENT, "/", "c"), 2);
    cr_expect_eq(find(RC_EVENT_FROM_CLIENT, "/xyz", "c"), 3);
    cr_expect_eq(find(RC_EVENT_FROM_CLIENT, "/y", "c"), 5);
    cr_expect_eq(find(RC_EVENT_FROM_SERVER, "/", "c"), -1);
    cr_expect_eq(find(RC_EVENT_FROM_CLIENT, "/", "connect"), -1, "a pattern is not for the life cycle");
    const struct rc_span nsp = RC_SPAN("/");
    const struct rc_config_event *row = &config.events[0];
    row = rc_event_next(&config, row, nsp, RC_SPAN("a:b"));
    cr_expect_eq(row, &config.events[1]);
    row = rc_event_next(&config, row, nsp, RC_SPAN("a:b"));
    cr_expect_eq(row, &config.events[5]);
    cr_expect_null(rc_event_next(&config, row, nsp, RC_SPAN("a:b")));
    row = rc_event_next(&config, &config.events[2], nsp, RC_SPAN("c"));
    cr_expect_eq(row, &config.events[4]);
    cr_expect_eq(rc_event_next(&config, row, nsp, RC_SPAN("c")), &config.events[5]);
}

Test(event_rules, differences_anywhere_are_seen)
{
    static struct rc_config other;
    add(RC_EVENT_FROM_CLIENT, "/", "a");
    memcpy(&other, &config, sizeof(other));
    cr_expect(rc_event_rules_equal(&config, &other));
    other.event_rules.rows_bytes = 4;
    cr_expect_not(rc_event_rules_equal(&config, &other));
    config.event_rules.rows_bytes = 4;
    cr_expect(rc_event_rules_equal(&config, &other));
    other.event_rules.arena[3] = 1;
    cr_expect_not(rc_event_rules_equal(&config, &other));
    other.event_rules.arena[3] = 0;
    other.events[0].from = RC_EVENT_FROM_SERVER;
    cr_expect_not(rc_event_rules_equal(&config, &other));
}
