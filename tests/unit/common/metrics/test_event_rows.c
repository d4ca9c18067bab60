/* Counters of rows of [[event]] as /metrics shows them, and what a reload makes of them. */
#include "common/metrics/event_rows.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rc_config config;
static struct rc_row_counters one[RC_CONFIG_EVENTS_MAX];
static struct rc_row_counters other[RC_CONFIG_EVENTS_MAX];
static char *text;

static void row_add(const char *nsp, const char *on)
{
    struct rc_config_event *row = &config.events[config.event_count++];
    memset(row, 0, sizeof(*row));
    (void)snprintf(row->nsp.text, sizeof(row->nsp.text), "%s", nsp);
    (void)snprintf(row->on.text, sizeof(row->on.text), "%s", on);
}

static void rows_open(void)
{
    memset(one, 0, sizeof(one));
    memset(other, 0, sizeof(other));
    config.event_count = 0;
    row_add("/", "say \"it\"");
    row_add("/admin", "say");
    row_add("/admin", "say");
    rc_event_rows_adopt(one, &config);
    rc_event_rows_adopt(other, &config);
}

static void rows_close(void)
{
    free(text);
    text = NULL;
}

TestSuite(event_rows, .init = rows_open, .fini = rows_close);

static void expect(const char *lines)
{
    static const char head[] =
        "# HELP ringcast_event_rows_total Events that a row of [[event]] is for: what became of them, or which "
        "guard refused them\n# TYPE ringcast_event_rows_total counter\n";
    const struct rc_row_counters *const both[] = {one, other};
    struct rc_exposition to = {0};
    rc_event_rows_render(&to, &config, both, 2);
    free(text);
    text = calloc(1, to.bytes + 1);
    to = (struct rc_exposition){.out = text, .capacity = to.bytes};
    rc_event_rows_render(&to, &config, both, 2);
    cr_assert_eq(strncmp(text, head, sizeof(head) - 1), 0, "%s", text);
    cr_assert_str_eq(text + sizeof(head) - 1, lines);
}

Test(event_rows, each_row_and_result_is_a_sum_over_workers)
{
    expect("");
    rc_event_row_count(&one[0], -1);
    rc_event_row_count(&other[0], -1);
    rc_event_row_count(&other[0], RC_GUARD_RATE);
    rc_event_row_count(&one[2], RC_GUARD_WHO);
    rc_event_row_count(&one[2], RC_GUARD_SCHEMA);
    rc_event_row_count(&one[2], RC_GUARD_INSIDE);
    rc_event_row_count(&one[2], RC_GUARD_IDENTIFY);
    rc_event_row_count(&one[2], RC_GUARDS);
    expect("ringcast_event_rows_total{row=\"1\",nsp=\"/\",on=\"say \\\"it\\\"\",result=\"done\"} 2\n"
           "ringcast_event_rows_total{row=\"1\",nsp=\"/\",on=\"say \\\"it\\\"\",result=\"rate\"} 1\n"
           "ringcast_event_rows_total{row=\"3\",nsp=\"/admin\",on=\"say\",result=\"who\"} 1\n"
           "ringcast_event_rows_total{row=\"3\",nsp=\"/admin\",on=\"say\",result=\"schema\"} 1\n"
           "ringcast_event_rows_total{row=\"3\",nsp=\"/admin\",on=\"say\",result=\"inside\"} 1\n"
           "ringcast_event_rows_total{row=\"3\",nsp=\"/admin\",on=\"say\",result=\"identify\"} 1\n"
           "ringcast_event_rows_total{row=\"3\",nsp=\"/admin\",on=\"say\",result=\"refused\"} 1\n");
}

/* One that another worker has not heard of yet is not mixed up with what was there. */
Test(event_rows, a_reload_keeps_numbers_with_their_rows)
{
    rc_event_row_count(&one[0], -1);
    rc_event_row_count(&one[2], -1);
    rc_event_row_count(&other[1], -1);
    config.event_count = 0;
    row_add("/", "new");
    row_add("/admin", "say");
    row_add("/admin", "say");
    rc_event_rows_adopt(one, &config);
    expect("ringcast_event_rows_total{row=\"2\",nsp=\"/admin\",on=\"say\",result=\"done\"} 1\n"
           "ringcast_event_rows_total{row=\"3\",nsp=\"/admin\",on=\"say\",result=\"done\"} 1\n");
    rc_event_row_count(&one[0], -1);
    config.event_count = 1;
    rc_event_rows_adopt(one, &config);
    rc_event_rows_adopt(other, &config);
    expect("ringcast_event_rows_total{row=\"1\",nsp=\"/\",on=\"new\",result=\"done\"} 1\n");
    config.event_count = 0;
    const struct rc_row_counters *const both[] = {one, other};
    struct rc_exposition to = {0};
    rc_event_rows_render(&to, &config, both, 2);
    cr_expect_eq(to.bytes, 0);
}
