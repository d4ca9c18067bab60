/* What is traced, from the acceptor's filter to a stage in a process's report. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "common/shm/tracer.h"

static struct rc_core *core;
static struct rc_report *report;
static struct rc_tracer tracer;

static void open_all(void)
{
    core = calloc(1, sizeof(*core));
    report = calloc(1, sizeof(*report));
    cr_assert(core != NULL && report != NULL);
    rc_tracer_open(&tracer, core, report);
}

static void close_all(void)
{
    free(core);
    free(report);
}

TestSuite(tracer, .init = open_all, .fini = close_all);

static void want(uint32_t by, const char *channel, const char *event)
{
    struct rc_trace_wanted wanted = {
        .by = by, .serial = 7, .channel_bytes = (uint16_t)strlen(channel), .event_bytes = (uint16_t)strlen(event)};
    memcpy(wanted.channel, channel, strlen(channel));
    memcpy(wanted.event, event, strlen(event));
    rc_trace_filter_write(&core->trace, &wanted);
}

Test(tracer, nothing_changes_until_something_is_wanted)
{
    const struct rc_tracer closed = {0};
    cr_assert_not(rc_tracer_changed(&closed));
    cr_assert_not(rc_tracer_changed(&tracer));
    want(RC_TRACE_BY_CHANNEL, "a", "");
    cr_assert(rc_tracer_changed(&tracer));
    cr_assert(rc_tracer_adopt(&tracer));
    cr_assert_not(rc_tracer_changed(&tracer));
    cr_assert_eq(tracer.wanted.by, (uint32_t)RC_TRACE_BY_CHANNEL);
    want(0, "", "");
    cr_assert(rc_tracer_changed(&tracer) && rc_tracer_adopt(&tracer));
    cr_assert_eq(tracer.wanted.by, 0);
}

Test(tracer, a_filter_that_is_being_written_or_damaged_is_not_believed)
{
    want(RC_TRACE_BY_CHANNEL, "a", "");
    atomic_fetch_add(&core->trace.revision, 1);
    cr_assert_not(rc_tracer_adopt(&tracer));
    struct rc_trace_wanted wanted = {.by = RC_TRACE_BY_CHANNEL, .channel_bytes = 257};
    atomic_fetch_add(&core->trace.revision, 1);
    rc_trace_filter_write(&core->trace, &wanted);
    cr_assert(rc_tracer_adopt(&tracer));
    cr_assert_eq(tracer.wanted.by, 0);
}

Test(tracer, both_channel_and_event_have_to_fit)
{
    want(RC_TRACE_BY_CHANNEL | RC_TRACE_BY_EVENT, "room", "said");
    cr_assert(rc_tracer_adopt(&tracer));
    cr_assert(rc_tracer_fits(&tracer, RC_SPAN("room"), RC_SPAN("said")));
    cr_assert_not(rc_tracer_fits(&tracer, RC_SPAN("room"), RC_SPAN("sai")));
    cr_assert_not(rc_tracer_fits(&tracer, RC_SPAN("rooms"), RC_SPAN("said")));
    want(RC_TRACE_BY_USER, "", "");
    cr_assert(rc_tracer_adopt(&tracer));
    cr_assert(rc_tracer_fits(&tracer, RC_SPAN("any"), RC_SPAN("")));
}

Test(tracer, a_stage_has_its_texts_cut_and_why_first)
{
    char channel[255];
    uint8_t record[RC_FLIGHT_BYTES];
    struct rc_traced traced;
    memset(channel, 'c', sizeof(channel));
    want(RC_TRACE_BY_EVENT, "", "e");
    cr_assert(rc_tracer_adopt(&tracer));
    rc_tracer_tell(&tracer, &(struct rc_traced){.stage = RC_TRACE_SKIPPED, .code = 403},
                   rc_span_of(channel, sizeof(channel)), RC_SPAN("e"), "because");
    cr_assert_eq(rc_flight_last(&report->traced.head), 1);
    cr_assert(rc_flight_get(report->traced.entries, RC_FLIGHT_TRACED, 1, record));
    memcpy(&traced, record, sizeof(traced));
    cr_assert(traced.serial == 7 && traced.code == 403 && traced.time_ns != 0);
    cr_assert(traced.why_bytes == 7 && memcmp(traced.text, "because", 7) == 0);
    cr_assert_eq(traced.channel_bytes, sizeof(traced.text) - 7);
    cr_assert_eq(traced.event_bytes, 0);
}
