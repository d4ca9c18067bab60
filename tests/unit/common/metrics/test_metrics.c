/* metrics: the exposition as Prometheus reads it. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/metrics/metrics.h"

/* Acceptor, relay and two workers, as /metrics has them. */
static struct rc_metrics blocks[4];
static const struct rc_metrics_source sources[4] = {
    {&blocks[0], -2}, {&blocks[1], -1}, {&blocks[2], 0}, {&blocks[3], 1}};

static char *render(size_t count, const char *instance)
{
    const size_t bytes = rc_metrics_render(sources, count, instance, NULL, 0);
    char *text = malloc(bytes + 1);
    cr_assert_eq(rc_metrics_render(sources, count, instance, text, bytes), bytes);
    text[bytes] = '\0';
    return text;
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

Test(metrics, names_of_the_requirements_are_kept)
{
    rc_metric_set(&blocks[2], RC_METRIC_CONNECTIONS, 3);
    rc_metric_set(&blocks[3], RC_METRIC_CONNECTIONS, 4);
    rc_metric_add(&blocks[2], RC_METRIC_BROADCASTS, 5);
    rc_metric_add(&blocks[1], RC_METRIC_CROSS_INSTANCE, 6);
    rc_metric_observe(&blocks[1], RC_HISTOGRAM_REDIS_LATENCY, 1500); /* 1.5 ms in microseconds */
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

Test(metrics, workers_have_a_family_of_their_own)
{
    rc_metric_add(&blocks[2], RC_METRIC_SENDS, 10);
    rc_metric_add(&blocks[3], RC_METRIC_SENDS, 20);
    rc_metric_add(&blocks[1], RC_METRIC_SENDS, 100);
    char *text = render(4, "n");
    expect_line(text, "ringcast_sends_total{instance=\"n\"} 130");
    expect_line(text, "# TYPE ringcast_worker_sends_total counter");
    expect_line(text, "ringcast_worker_sends_total{instance=\"n\",worker=\"0\"} 10");
    expect_line(text, "ringcast_worker_sends_total{instance=\"n\",worker=\"1\"} 20");
    expect_line(text, "ringcast_worker_ws_connections_total{instance=\"n\",worker=\"0\"} 0");
    cr_expect_null(strstr(text, "ringcast_worker_relay_"), "what workers never write has no such family");
    cr_expect_null(strstr(text, "ringcast_worker_reloads"));
    free(text);
    text = render(3, "n"); /* one worker */
    cr_expect_null(strstr(text, "worker=\""));
    free(text);
}

Test(metrics, gauge_below_zero_is_a_negative_number)
{
    rc_metric_sub(&blocks[2], RC_METRIC_SUBSCRIPTIONS, 1);
    char *text = render(4, "n");
    expect_line(text, "ringcast_subscriptions{instance=\"n\"} -1");
    expect_line(text, "ringcast_worker_subscriptions{instance=\"n\",worker=\"0\"} -1");
    rc_metric_add(&blocks[3], RC_METRIC_SUBSCRIPTIONS, 3);
    free(text);
    text = render(4, "n");
    expect_line(text, "ringcast_subscriptions{instance=\"n\"} 2");
    free(text);
}

Test(metrics, label_values_are_escaped)
{
    char *text = render(1, "a\"b\\c\nd");
    expect_line(text, "ringcast_sockets{instance=\"a\\\"b\\\\c\\nd\"} 0");
    free(text);
    char instance[2000];
    memset(instance, '"', sizeof(instance) - 1);
    instance[sizeof(instance) - 1] = '\0';
    text = render(4, instance); /* bounded, whatever comes */
    cr_expect_null(strstr(text, "\"\"\""));
    free(text);
}

Test(metrics, every_line_is_well_formed_and_no_family_comes_twice)
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
    cr_expect_gt(count, RC_METRIC_COUNT);
    free(text);
}

Test(metrics, histogram_bounds_rise_and_counts_with_them)
{
    static const char *const names[] = {"ws_redis_latency_ms", "ringcast_publish_to_send_seconds",
                                        "ringcast_turn_seconds", "ringcast_frames_per_send"};
    for (uint64_t value = 1; value < UINT64_C(20000000000); value = value * 3 / 2 + 1) {
        for (int id = 0; id < RC_HISTOGRAM_COUNT; id++) {
            rc_metric_observe(&blocks[id % 4], (enum rc_histogram_id)id, value);
        }
    }
    char *text = render(4, "n");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char prefix[128];
        snprintf(prefix, sizeof(prefix), "\n%s_bucket{instance=\"n\",le=\"", names[i]);
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
        snprintf(prefix, sizeof(prefix), "%s_count{instance=\"n\"} %" PRIu64, names[i], counted);
        expect_line(text, prefix);
    }
    expect_line(text, "# TYPE ringcast_turn_seconds histogram");
    cr_expect_not_null(strstr(text, "ringcast_turn_seconds_bucket{instance=\"n\",le=\"1e-06\"} "));
    cr_expect_not_null(strstr(text, "ringcast_turn_seconds_bucket{instance=\"n\",le=\"0.0005\"} "));
    cr_expect_not_null(strstr(text, "ringcast_turn_seconds_bucket{instance=\"n\",le=\"1\"} "));
    cr_expect_not_null(strstr(text, "ringcast_frames_per_send_bucket{instance=\"n\",le=\"16\"} "));
    free(text);
}

Test(metrics, output_is_cut_at_every_capacity_and_the_need_is_told)
{
    const size_t bytes = rc_metrics_render(sources, 4, "n", NULL, 0);
    char *whole = malloc(bytes);
    cr_assert_eq(rc_metrics_render(sources, 4, "n", whole, bytes), bytes);
    cr_assert_eq(whole[bytes - 1], '\n', "no NUL takes the place of the last byte");
    for (size_t capacity = 0; capacity <= bytes; capacity += capacity < 300 || capacity + 300 > bytes ? 1 : 997) {
        char *part = malloc(capacity + 1);
        part[capacity] = '!';
        cr_assert_eq(rc_metrics_render(sources, 4, "n", part, capacity), bytes);
        cr_assert_eq(memcmp(part, whole, capacity), 0);
        cr_assert_eq(part[capacity], '!');
        free(part);
    }
    free(whole);
}
