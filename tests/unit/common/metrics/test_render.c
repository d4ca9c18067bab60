/* common/metrics/render: the exposition as Prometheus reads it. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build_id.h"
#include "common/metrics/exposition.h"
#include "common/metrics/render.h"

/* Acceptor, relay and two workers, as /metrics has them. */
static struct rc_bank banks[4];
static const struct rc_metrics_source sources[4] = {
    {&banks[0], RC_METRICS_ACCEPTOR}, {&banks[1], RC_METRICS_RELAY}, {&banks[2], 0}, {&banks[3], 1}};

static void open_banks(void)
{
    for (uint32_t i = 0; i < 4; i++) {
        atomic_store(&banks[i].build, RC_BUILD_ID);
    }
}

TestSuite(render, .init = open_banks);

static char *render_as(size_t count, const char *instance, bool labelled)
{
    struct rc_exposition to = {.instance = instance, .labelled = labelled};
    rc_metrics_render(&to, sources, count);
    const size_t bytes = to.bytes;
    to.out = malloc(bytes + 1);
    to.capacity = bytes;
    to.bytes = 0;
    rc_metrics_render(&to, sources, count);
    cr_assert_eq(to.bytes, bytes);
    to.out[bytes] = '\0';
    return to.out;
}

static char *render(size_t count, const char *instance)
{
    return render_as(count, instance, false);
}

/* Whether `line` is there, from the start of a line to its end. */
static bool has_line(const char *text, const char *line)
{
    const size_t bytes = strlen(line);
    for (const char *at = text; (at = strstr(at, line)) != NULL; at += bytes) {
        if ((at == text || at[-1] == '\n') && at[bytes] == '\n') {
            return true;
        }
    }
    return false;
}

#define expect_line(text, line) cr_expect(has_line(text, line), "missing: %s", line)

Test(render, names_of_the_requirements_are_kept)
{
    rc_metric_set(&banks[2].metrics, RC_METRIC_CONNECTIONS, 3);
    rc_metric_set(&banks[3].metrics, RC_METRIC_CONNECTIONS, 4);
    rc_metric_add(&banks[2].metrics, RC_METRIC_BROADCASTS, 5);
    rc_metric_add(&banks[1].metrics, RC_METRIC_CROSS_INSTANCE, 6);
    rc_metric_observe(&banks[1].metrics, RC_HISTOGRAM_REDIS_LATENCY, 1500); /* 1.5 ms in microseconds */
    char *text = render(4, "node-1");
    expect_line(text, "# TYPE ws_connections_total gauge");
    expect_line(text, "ws_connections_total{instance=\"node-1\"} 7");
    expect_line(text, "# TYPE ws_messages_broadcast_total counter");
    expect_line(text, "ws_messages_broadcast_total{instance=\"node-1\"} 5");
    expect_line(text, "# TYPE ws_cross_instance_messages_total counter");
    expect_line(text, "ws_cross_instance_messages_total{instance=\"node-1\"} 6");
    expect_line(text, "# TYPE ws_redis_latency_ms histogram");
    expect_line(text, "ws_redis_latency_ms_bucket{instance=\"node-1\",le=\"1\"} 0");
    expect_line(text, "ws_redis_latency_ms_bucket{instance=\"node-1\",le=\"2\"} 1");
    expect_line(text, "ws_redis_latency_ms_bucket{instance=\"node-1\",le=\"+Inf\"} 1");
    expect_line(text, "ws_redis_latency_ms_sum{instance=\"node-1\"} 1.5");
    expect_line(text, "ws_redis_latency_ms_count{instance=\"node-1\"} 1");
    free(text);
}

Test(render, who_counts_is_a_label)
{
    rc_metric_add(&banks[2].metrics, RC_METRIC_SENDS, 10);
    rc_metric_add(&banks[3].metrics, RC_METRIC_SENDS, 20);
    rc_metric_add(&banks[1].metrics, RC_METRIC_SEQUENCED, 100);
    rc_metric_add(&banks[0].metrics, RC_METRIC_RELOADS, 2);
    rc_metric_add(&banks[1].metrics, RC_METRIC_LOG_DROPPED, 7);
    char *text = render(4, "n");
    expect_line(text, "# TYPE ringcast_sends_total counter");
    expect_line(text, "ringcast_sends_total{worker=\"0\"} 10");
    expect_line(text, "ringcast_sends_total{worker=\"1\"} 20");
    cr_expect_not(has_line(text, "ringcast_sends_total 30"), "a sum over the family counts nothing twice");
    expect_line(text, "ringcast_relay_sequenced_total 100");
    expect_line(text, "ringcast_reloads_total{result=\"applied\"} 2");
    expect_line(text, "ringcast_log_dropped_total{process=\"worker\",worker=\"1\"} 0");
    expect_line(text, "ringcast_log_dropped_total{process=\"relay\"} 7");
    expect_line(text, "ringcast_log_dropped_total{process=\"acceptor\"} 0");
    cr_expect_null(strstr(text, "ringcast_worker_sends"));
    cr_expect_null(strstr(text, "ringcast_relay_sequenced_total{worker="), "what workers never count");
    free(text);
    text = render(3, "n"); /* one worker */
    expect_line(text, "ringcast_sends_total{worker=\"0\"} 10");
    free(text);
}

Test(render, rows_of_a_family_have_one_head)
{
    rc_metric_add(&banks[2].metrics, RC_METRIC_REFUSED_FULL, 3);
    rc_metric_add(&banks[3].metrics, RC_METRIC_REFUSED_USER, 4);
    char *text = render(4, "n");
    const char *head = strstr(text, "# TYPE ringcast_connections_refused_total counter\n");
    cr_assert_not_null(head);
    cr_expect_null(strstr(head + 1, "# TYPE ringcast_connections_refused_total"));
    expect_line(text, "# HELP ringcast_connections_refused_total Connections and clients refused, by the reason");
    expect_line(text, "ringcast_connections_refused_total{reason=\"full\",worker=\"0\"} 3");
    expect_line(text, "ringcast_connections_refused_total{reason=\"user\",worker=\"1\"} 4");
    free(text);
}

Test(render, gauges_of_other_units_are_told_in_seconds)
{
    rc_metric_set(&banks[0].metrics, RC_METRIC_RECENT_P95, 1500);
    rc_metric_set(&banks[0].metrics, RC_METRIC_RECENT_CPU, 250);
    char *text = render(4, "n");
    expect_line(text, "ringcast_recent_latency_p95_seconds 0.0015");
    expect_line(text, "ringcast_recent_cpu_seconds 0.25");
    free(text);
}

Test(render, the_instance_is_a_label_when_it_is_wanted)
{
    char *text = render_as(4, "web1", true);
    expect_line(text, "ringcast_sends_total{instance=\"web1\",worker=\"0\"} 0");
    expect_line(text, "ringcast_relay_sequenced_total{instance=\"web1\"} 0");
    expect_line(text, "ringcast_turn_seconds_count{instance=\"web1\"} 0");
    free(text);
    text = render(4, "web1");
    expect_line(text, "ringcast_turn_seconds_count 0");
    expect_line(text, "ws_connections_total{instance=\"web1\"} 0");
    cr_expect_null(strstr(text, "\nringcast_turn_seconds_count{instance"));
    free(text);
}

Test(render, closes_are_counted_by_code)
{
    rc_metric_closed(&banks[2].metrics, 4000);
    rc_metric_closed(&banks[2].metrics, 4000);
    rc_metric_closed(&banks[2].metrics, 3999);
    cr_expect_eq(banks[2].metrics.closes[RC_METRIC_CLOSE_SLOW_CONSUMER], 2u);
    cr_expect_eq(banks[2].metrics.closes[RC_METRIC_CLOSE_OTHER], 1u);
}

Test(render, gauge_below_zero_is_a_negative_number)
{
    rc_metric_sub(&banks[2].metrics, RC_METRIC_SUBSCRIPTIONS, 1);
    char *text = render(4, "n");
    expect_line(text, "ringcast_subscriptions{worker=\"0\"} -1");
    free(text);
}

Test(render, label_values_are_escaped)
{
    char *text = render(1, "a\"b\\c\nd");
    expect_line(text, "ws_connections_total{instance=\"a\\\"b\\\\c\\nd\"} 0");
    free(text);
    char instance[2000];
    memset(instance, '"', sizeof(instance) - 1);
    instance[sizeof(instance) - 1] = '\0';
    text = render(4, instance); /* bounded, whatever comes */
    cr_expect_null(strstr(text, "\"\"\""));
    free(text);
}

Test(render, every_line_is_well_formed_and_no_family_comes_twice)
{
    char *text = render(4, "n");
    char *families[1024];
    size_t count = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "# TYPE ", 7) == 0) {
            char *end = strchr(line + 7, ' ');
            *end = '\0';
            for (size_t i = 0; i < count; i++) {
                cr_expect_str_neq(families[i], line + 7);
            }
            families[count++] = line + 7;
        } else if (line[0] != '#') {
            cr_expect_geq(count, 1);
            cr_expect_eq(strncmp(line, families[count - 1], strlen(families[count - 1])), 0, "%s", line);
            char *value = strrchr(line, ' ');
            char *end;
            strtod(value + 1, &end);
            cr_expect_eq(*end, '\0', "%s", line);
        }
    }
    cr_expect_gt(count, RC_METRIC_COUNT / 2);
    free(text);
}

Test(render, histogram_bounds_rise_and_counts_with_them)
{
    static const char *const names[] = {"ws_redis_latency_ms", "ringcast_publish_to_send_seconds",
                                        "ringcast_turn_seconds", "ringcast_frames_per_send"};
    for (uint64_t value = 1; value < UINT64_C(20000000000); value = value * 3 / 2 + 1) {
        for (int id = 0; id < RC_HISTOGRAM_COUNT; id++) {
            rc_metric_observe(&banks[id % 4].metrics, (enum rc_histogram_id)id, value);
        }
    }
    char *text = render(4, "n");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char prefix[128];
        snprintf(prefix, sizeof(prefix), "\n%s_bucket{%sle=\"", names[i], i == 0 ? "instance=\"n\"," : "");
        double bound = -1;
        uint64_t counted = 0;
        int lines = 0;
        for (char *at = text; (at = strstr(at, prefix)) != NULL; lines++) {
            char *end;
            at += strlen(prefix);
            const double le = strtod(at, &end);
            const uint64_t n = strtoull(end + 3, NULL, 10);
            cr_expect_gt(le, bound);
            cr_expect_geq(n, counted);
            bound = le;
            counted = n;
        }
        cr_expect(lines >= 16 && lines <= 20, "%s has %d bounds", names[i], lines);
        snprintf(prefix, sizeof(prefix), "%s_count%s %" PRIu64, names[i], i == 0 ? "{instance=\"n\"}" : "", counted);
        expect_line(text, prefix);
    }
    expect_line(text, "# TYPE ringcast_turn_seconds histogram");
    cr_expect_not_null(strstr(text, "ringcast_turn_seconds_bucket{le=\"1e-06\"} "));
    cr_expect_not_null(strstr(text, "ringcast_turn_seconds_bucket{le=\"0.0005\"} "));
    cr_expect_not_null(strstr(text, "ringcast_turn_seconds_bucket{le=\"1\"} "));
    cr_expect_not_null(strstr(text, "ringcast_frames_per_send_bucket{le=\"16\"} "));
    free(text);
}

static size_t render_to(char *out, size_t capacity)
{
    struct rc_exposition to = {.out = out, .capacity = capacity, .instance = "n"};
    rc_metrics_render(&to, sources, 4);
    return to.bytes;
}

Test(render, output_is_cut_at_every_capacity_and_the_need_is_told)
{
    const size_t bytes = render_to(NULL, 0);
    char *whole = malloc(bytes);
    cr_assert_eq(render_to(whole, bytes), bytes);
    cr_assert_eq(whole[bytes - 1], '\n', "no NUL takes the place of the last byte");
    for (size_t capacity = 0; capacity <= bytes; capacity += capacity < 300 || capacity + 300 > bytes ? 1 : 997) {
        char *part = malloc(capacity + 1);
        part[capacity] = '!';
        cr_assert_eq(render_to(part, capacity), bytes);
        cr_assert_eq(memcmp(part, whole, capacity), 0);
        cr_assert_eq(part[capacity], '!');
        free(part);
    }
    free(whole);
}
