/* Stages out of several processes' reports: in the order of time, each once, bounded whatever another process has written. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "common/shm/trace_reader.h"
#include "common/shm/tracer.h"

static struct rc_report *reports[3]; /* two workers and the relay */
static struct rc_trace_source source;
static struct rc_trace_place place;
static char *text;
static size_t text_bytes;

static void open_all(void)
{
    source = (struct rc_trace_source){.instance_id = "i", .boot_nonce = 1, .wall_ahead_ms = 1000000, .worker_count = 2};
    for (size_t i = 0; i < 3; i++) {
        reports[i] = calloc(1, sizeof(*reports[i]));
        cr_assert(reports[i] != NULL);
        source.reports[i] = reports[i];
    }
    place = (struct rc_trace_place){.lost = 0};
}

static void close_all(void)
{
    for (size_t i = 0; i < 3; i++) {
        free(reports[i]);
    }
    free(text);
    text = NULL;
}

TestSuite(trace_reader, .init = open_all, .fini = close_all);

static void tell(size_t process, uint32_t serial, uint64_t time_ns, enum rc_trace_stage stage, const char *why)
{
    struct rc_tracer tracer = {.ring = &reports[process]->traced, .wanted = {.serial = serial}};
    const struct rc_traced traced = {.time_ns = time_ns, .stage = stage, .sequence = 7};
    rc_tracer_tell(&tracer, &traced, RC_SPAN("room:\"1\""), RC_SPAN("said"), why);
}

static int read_all(uint32_t most)
{
    free(text);
    text = NULL;
    FILE *out = open_memstream(&text, &text_bytes);
    cr_assert(out != NULL);
    const int count = rc_trace_stages(&place, &source, 5, most, "\n", out);
    cr_assert_eq(fclose(out), 0);
    return count;
}

Test(trace_reader, stages_of_all_processes_are_in_the_order_of_time_and_each_once)
{
    tell(0, 5, 3000000, RC_TRACE_SENT, "");
    tell(1, 5, 1000000, RC_TRACE_RECEIVED, "publish");
    tell(1, 4, 1500000, RC_TRACE_RECEIVED, "of another trace");
    tell(2, 5, 2000000, RC_TRACE_SEQUENCED, "");
    cr_assert_eq(read_all(10), 3);
    const char *first = strstr(text, "\"stage\":\"received\"");
    const char *second = strstr(text, "\"stage\":\"sequenced\"");
    const char *third = strstr(text, "\"stage\":\"sent\"");
    cr_assert(first != NULL && first < second && second < third, "%s", text);
    cr_assert(strstr(text, "\"process\":\"worker/1\"") != NULL && strstr(text, "\"process\":\"relay\"") != NULL);
    cr_assert(strstr(text, "\"channel\":\"room:\\\"1\\\"\"") != NULL && strstr(text, "\"why\":\"publish\"") != NULL);
    cr_assert(strstr(text, "another trace") == NULL);
    cr_assert_eq(read_all(10), 0);
    cr_assert_eq(place.lost, 0);
}

Test(trace_reader, no_more_than_asked_for_and_the_rest_the_next_time)
{
    for (uint64_t i = 0; i < 5; i++) {
        tell(0, 5, 100 + i, RC_TRACE_UP, "");
    }
    cr_assert_eq(read_all(3), 3);
    cr_assert_eq(read_all(3), 2);
    cr_assert_eq(read_all(3), 0);
}

Test(trace_reader, who_tells_most_keeps_nobody_else_from_being_read)
{
    for (uint64_t i = 0; i < 8; i++) {
        tell(0, 5, 1000000 * (2 * i + 2), RC_TRACE_UP, "loud");
    }
    for (uint64_t i = 0; i < 3; i++) {
        tell(1, 5, 1000000 * (2 * i + 1), RC_TRACE_DOWN, "quiet");
    }
    cr_assert_eq(read_all(4), 4, "the earliest, of both");
    const char *first = strstr(text, "\"quiet\"");
    cr_assert(first != NULL && strstr(first + 1, "\"quiet\"") != NULL, "%s", text);
    cr_assert_eq(read_all(4), 4);
    cr_assert(strstr(text, "\"quiet\"") != NULL, "%s", text);
    cr_assert_eq(read_all(20), 3);
    cr_assert(strstr(text, "\"quiet\"") == NULL, "%s", text);
    cr_assert_eq(place.lost, 0);
}

Test(trace_reader, what_was_overwritten_is_counted_but_not_what_was_there_before_it_began)
{
    for (uint64_t i = 0; i < RC_FLIGHT_TRACED + 10u; i++) {
        tell(0, 5, 100 + i, RC_TRACE_UP, "");
    }
    cr_assert_eq(read_all(RC_FLIGHT_TRACED + 10u), (int)RC_FLIGHT_TRACED);
    cr_assert_eq(place.lost, 0, "from the oldest on");
    for (uint64_t i = 0; i < RC_FLIGHT_TRACED + 3u; i++) {
        tell(0, 5, 100 + i, RC_TRACE_UP, "");
    }
    cr_assert_eq(read_all(RC_FLIGHT_TRACED + 10u), (int)RC_FLIGHT_TRACED);
    cr_assert_eq(place.lost, 3);
    rc_trace_place_begin(&place, &source);
    cr_assert_eq(read_all(10), 0);
}

Test(trace_reader, what_another_process_wrote_is_bytes_and_no_bounds)
{
    struct rc_traced wild;
    memset(&wild, 0xff, sizeof(wild));
    wild.serial = 5;
    rc_flight_put(&reports[0]->traced.head, reports[0]->traced.entries, RC_FLIGHT_TRACED, &wild, sizeof(wild));
    wild.stage = RC_TRACE_SENT; /* lengths and text are nonsense still */
    rc_flight_put(&reports[0]->traced.head, reports[0]->traced.entries, RC_FLIGHT_TRACED, &wild, sizeof(wild));
    atomic_store(&reports[1]->traced.head.written, UINT64_MAX - 3);
    cr_assert_eq(read_all(10), 1);
    cr_assert(strstr(text, "\"why\":\"\"") != NULL, "%s", text);
}

Test(trace_reader, a_wild_head_holds_nobody_up_and_what_is_told_after_it_is_read, .timeout = 10)
{
    const uint64_t wild[] = {UINT64_MAX, UINT64_MAX - 1, RC_FLIGHT_NUMBER_MAX};
    for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
        atomic_store(&reports[0]->traced.head.written, wild[i]);
        rc_trace_place_begin(&place, &source);
        cr_assert_eq(read_all(10), 0);
        cr_assert_eq(read_all(10), 0);
        atomic_store(&reports[0]->traced.head.written, 0);
        tell(0, 5, 100, RC_TRACE_UP, "");
        cr_assert_eq(read_all(10), 1, "after %llx", (unsigned long long)wild[i]);
    }
}

/* How many a worker has, as it says when a trace begins: each, and that these are all. */
static void tell_state(size_t worker, uint32_t serial, uint32_t clients)
{
    struct rc_tracer tracer = {.ring = &reports[worker]->traced, .wanted = {.serial = serial}};
    for (uint32_t i = 0; i <= clients; i++) {
        const struct rc_traced traced = {.stage = RC_TRACE_STATE, .client = {.random = clients - i, .slot = 1}};
        rc_tracer_tell(&tracer, &traced, (struct rc_span){0}, (struct rc_span){0}, "");
    }
}

Test(trace_reader, nobody_is_there_when_every_worker_has_said_so)
{
    tell_state(0, 5, 0);
    tell_state(1, 4, 0); /* of the trace before */
    tell(2, 5, 100, RC_TRACE_STATE, "the relay looks");
    (void)read_all(100);
    cr_assert_not(rc_trace_nobody(&place, &source), "one has not looked yet");
    tell_state(1, 5, 0);
    (void)read_all(100);
    cr_assert(rc_trace_nobody(&place, &source));
    tell_state(1, 5, 2);
    (void)read_all(100);
    cr_assert_not(rc_trace_nobody(&place, &source));
    rc_trace_place_begin(&place, &source);
    cr_assert_not(rc_trace_nobody(&place, &source), "of the next one nothing is known");
}
