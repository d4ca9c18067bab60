/* api_stats: figures of the whole instance, out of shared memory and /proc; nobody is asked. See api.h. */
#include "worker/api/api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/procfs.h"
#include "common/config/print.h"
#include "common/metrics/instance.h"
#include "version.h"

static uint64_t stats_total(const struct rc_control *control, enum rc_metric_id id)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < control->worker_count; i++) {
        sum += rc_report_value(control->workers[i], id);
    }
    return sum;
}

/* --- the last seconds, as the acceptor counts them (acceptor/watch/recent.h) --- */

static double stats_recent(const struct rc_control *control, enum rc_metric_id id)
{
    return (double)rc_report_value(control->acceptor, id);
}

static void put_latency(struct rc_text *text, const struct rc_control *control)
{
    rc_text_put(text, "{\"p50\":%.3f,\"p95\":%.3f,\"p99\":%.3f}", stats_recent(control, RC_METRIC_RECENT_P50) / 1000.0,
                stats_recent(control, RC_METRIC_RECENT_P95) / 1000.0,
                stats_recent(control, RC_METRIC_RECENT_P99) / 1000.0);
}

static double stats_throughput(const struct rc_control *control) /* messages a second */
{
    return stats_recent(control, RC_METRIC_RECENT_MESSAGES) / 10.0;
}

static double cpu_percent(const struct rc_control *control)
{
    return stats_recent(control, RC_METRIC_RECENT_CPU) / 100.0; /* milliseconds in ten seconds */
}

/* --- the counters of both documents --- */

enum counter_source { WORKERS = 1, RELAY = 2 };

/* What the counters are called, with what stands before them, in the order of both documents. NULL: not in that one. */
static const struct {
    enum counter_source source; /* or-ed: whose counters are added */
    enum rc_metric_id id;
    const char *in_stats;
    const char *in_metrics;
} counters[] = {
    {WORKERS, RC_METRIC_CONNECTIONS, ",\"connections\":{\"total\":", "\"totalConnections\":"},
    {WORKERS, RC_METRIC_USERS, ",\"users\":", ",\"userConnections\":"},
    {RELAY, RC_METRIC_INTEREST_USERS, "},\"users\":", ",\"uniqueUsers\":"},
    {WORKERS, RC_METRIC_SUBSCRIPTIONS, ",\"subscriptions\":", ",\"totalSubscriptions\":"},
    {RELAY, RC_METRIC_INTEREST_CHANNELS, ",\"channels\":", ",\"channels\":"},
    {WORKERS, RC_METRIC_FRAMES_IN, ",\"messages\":{\"received\":", ",\"events\":{\"received\":"},
    {WORKERS, RC_METRIC_PUBLISHES, ",\"published\":", NULL},
    {WORKERS, RC_METRIC_BROADCASTS, ",\"broadcast\":", NULL},
    {WORKERS, RC_METRIC_DIRECTS, ",\"direct\":", NULL},
    {WORKERS, RC_METRIC_API_MESSAGES, ",\"api\":", NULL},
    {WORKERS, RC_METRIC_DELIVERIES, ",\"delivered\":", ",\"emitted\":"},
    {WORKERS | RELAY, RC_METRIC_FAILED_DELIVERIES, ",\"failed\":", NULL},
    {WORKERS, RC_METRIC_BYTES_IN, "},\"bytes\":{\"received\":", NULL},
    {WORKERS, RC_METRIC_BYTES_OUT, ",\"sent\":", NULL},
};

static void put_counters(struct rc_text *text, const struct rc_control *control, bool stats)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(counters); i++) {
        const char *name = stats ? counters[i].in_stats : counters[i].in_metrics;
        uint64_t value = 0;
        if (name == NULL) {
            continue;
        }
        if (counters[i].source & WORKERS) {
            value += stats_total(control, counters[i].id);
        }
        if (counters[i].source & RELAY) {
            value += rc_report_value(&control->relay->report, counters[i].id);
        }
        rc_text_put(text, "%s%llu", name, (unsigned long long)value);
    }
}

static uint64_t uptime_s(const struct rc_control *control)
{
    return (rc_clock_ms() - control->boot_ms) / 1000;
}

/* --- /api/stats --- */

static void put_process(struct rc_text *text, const struct rc_control *control, uint32_t index)
{
    const uint32_t pid = rc_instance_pid(control, index);
    rc_text_put(text, "%s{\"process\":\"%s\"", index == 0 ? "" : ",", rc_instance_process_name(index));
    if (index >= 2) {
        const struct rc_report *report = control->workers[index - 2];
        rc_text_put(text, ",\"worker\":%u,\"connections\":%llu,\"subscriptions\":%llu,\"channels\":%llu", index - 2,
                    (unsigned long long)rc_report_value(report, RC_METRIC_CONNECTIONS),
                    (unsigned long long)rc_report_value(report, RC_METRIC_SUBSCRIPTIONS),
                    (unsigned long long)rc_report_value(report, RC_METRIC_CHANNELS));
    }
    rc_text_put(text, ",\"pid\":%u,\"starts\":%u,\"memory_bytes\":%llu,\"cpu_seconds\":%.2f}", pid,
                atomic_load_explicit(&rc_instance_life(control, index)->generation, memory_order_relaxed),
                (unsigned long long)rc_procfs_sizes(pid).resident_bytes, (double)rc_procfs_cpu_ms(pid) / 1000.0);
}

int rc_api_stats(struct rc_api_call *call, struct rc_api_fault *fault)
{
    const struct rc_control *control = call->api->clients->control;
    struct rc_text text = {0};
    (void)fault;
    rc_text_put(&text, "{\"instance\":");
    rc_text_put_json(&text, rc_span_text(control->instance_id));
    rc_text_put(&text, ",\"uptime_s\":%llu,\"timestamp\":%llu", (unsigned long long)uptime_s(control),
                (unsigned long long)rc_clock_wall_ms());
    put_counters(&text, control, true);
    rc_text_put(&text, "},\"latency_ms\":");
    put_latency(&text, control);
    rc_text_put(&text, ",\"throughput\":%.1f,\"errors_per_minute\":%.0f,\"cpu_percent\":%.1f,\"processes\":[",
                stats_throughput(control), stats_recent(control, RC_METRIC_RECENT_ERRORS), cpu_percent(control));
    for (uint32_t i = 0; i < rc_instance_process_count(control); i++) {
        put_process(&text, control, i);
    }
    rc_text_put(&text, "]}\n");
    rc_api_finish(call, &text);
    return 0;
}

/* --- /api/config --- */

/* As a file has it, with secrets masked (rc_config_key_print). */
static int put_config(struct rc_text *text, const struct rc_config *config)
{
    char *toml = NULL;
    size_t bytes = 0;
    FILE *const out = open_memstream(&toml, &bytes);
    if (out == NULL) {
        return -ENOMEM;
    }
    rc_config_print_toml(out, config);
    const bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(toml);
        return -ENOMEM;
    }
    rc_text_put_json(text, rc_span_of(toml, bytes));
    free(toml);
    return 0;
}

int rc_api_config(struct rc_api_call *call, struct rc_api_fault *fault)
{
    const struct rc_control *control = call->api->clients->control;
    struct rc_text text = {0};
    rc_text_put(&text, "{\"instance\":");
    rc_text_put_json(&text, rc_span_text(control->instance_id));
    rc_text_put(&text, ",\"version\":\"" RC_VERSION "\",\"toml\":");
    if (put_config(&text, call->api->clients->config) < 0) {
        rc_text_free(&text);
        return rc_api_fault(fault, 503, "no memory for the answer");
    }
    rc_text_put(&text, "}\n");
    rc_api_finish(call, &text);
    return 0;
}

/* --- /metrics as JSON --- */

/* By kind: the namespaces of the configuration. */
static void put_subscriptions(struct rc_text *text, const struct rc_control *control, const struct rc_config *config)
{
    rc_text_put(text, ",\"subscriptions\":{");
    for (uint32_t i = 0; i < config->namespace_count; i++) {
        rc_text_put(text, i == 0 ? "" : ",");
        rc_text_put_json(text, rc_span_text(config->namespaces[i].name));
        rc_text_put(text, ":%llu", (unsigned long long)rc_instance_subscriptions(control, i));
    }
    rc_text_put(text, "}");
}

static void put_megabytes(struct rc_text *text, const char *name, uint64_t bytes)
{
    rc_text_put(text, "\"%s\":\"%.1f MB\"", name, (double)bytes / 1048576.0);
}

static void put_memory(struct rc_text *text, const struct rc_control *control)
{
    struct rc_procfs_sizes sum = {0};
    for (uint32_t i = 0; i < rc_instance_process_count(control); i++) {
        const struct rc_procfs_sizes one = rc_procfs_sizes(rc_instance_pid(control, i));
        sum.resident_bytes += one.resident_bytes;
        sum.anonymous_bytes += one.anonymous_bytes;
        sum.data_bytes += one.data_bytes;
    }
    put_megabytes(text, "heapUsed", sum.anonymous_bytes);
    rc_text_put(text, ",");
    put_megabytes(text, "heapTotal", sum.data_bytes);
    rc_text_put(text, ",");
    put_megabytes(text, "rss", sum.resident_bytes);
}

int rc_api_metrics_json(struct rc_api *api, struct rc_text *text)
{
    const struct rc_control *control = api->clients->control;
    rc_text_put(text, "{\"websocket\":{");
    put_counters(text, control, false);
    rc_text_put(text, "}");
    put_subscriptions(text, control, api->clients->config);
    rc_text_put(text, "},\"performance\":{\"latency\":");
    put_latency(text, control);
    rc_text_put(text, ",\"throughput\":%.1f,\"errorRate\":%.0f},\"resources\":{\"memory\":{", stats_throughput(control),
                stats_recent(control, RC_METRIC_RECENT_ERRORS));
    put_memory(text, control);
    rc_text_put(text, "},\"cpu\":%.1f,\"uptime\":%llu}}\n", cpu_percent(control),
                (unsigned long long)uptime_s(control));
    return text->failed ? -1 : 0;
}
