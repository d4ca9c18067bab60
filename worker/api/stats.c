/* api_stats: figures of the whole instance, out of shared memory and /proc; nobody is asked. See api.h. */
#include "worker/api/api.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"

#define SAMPLE_MS_MIN 1000u

/* One process as /proc shows it; zeros when it is gone. */
struct process_figures {
    uint64_t cpu_ticks; /* user and system */
    uint64_t rss_kb;
    uint64_t anonymous_kb; /* of rss: private memory, and what it touched of shared segments */
    uint64_t data_kb;      /* address space for data */
};

static size_t read_proc(uint32_t pid, const char *file, char *out, size_t capacity)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%u/%s", pid, file);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    const ssize_t bytes = read(fd, out, capacity - 1);
    (void)close(fd);
    out[bytes > 0 ? bytes : 0] = 0;
    return bytes > 0 ? (size_t)bytes : 0;
}

static uint64_t status_kb(const char *status, const char *name)
{
    const char *at = strstr(status, name);
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10);
}

static uint64_t cpu_ticks(uint32_t pid)
{
    char text[1024];
    unsigned long user = 0;
    unsigned long system = 0;
    if (pid == 0 || read_proc(pid, "stat", text, sizeof(text)) == 0) {
        return 0;
    }
    /* The name in parentheses may hold anything: the fields begin behind the last one (proc(5)). */
    const char *at = strrchr(text, ')');
    if (at == NULL || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) {
        return 0;
    }
    return (uint64_t)user + system;
}

static struct process_figures figures_of(uint32_t pid)
{
    struct process_figures figures = {.cpu_ticks = cpu_ticks(pid)};
    char text[4096];
    if (pid != 0 && read_proc(pid, "status", text, sizeof(text)) > 0) {
        figures.rss_kb = status_kb(text, "VmRSS:");
        figures.anonymous_kb = status_kb(text, "RssAnon:") + status_kb(text, "RssShmem:");
        figures.data_kb = status_kb(text, "VmData:");
    }
    return figures;
}

/* --- the instance's processes, in one order --- */

static uint32_t process_count(const struct rc_control *control)
{
    return control->worker_count + 2;
}

static const struct rc_life *life_at(const struct rc_control *control, uint32_t index)
{
    return index == 0   ? &control->core->acceptor
           : index == 1 ? &control->core->relay
                        : &control->core->workers[index - 2];
}

static uint32_t pid_of(const struct rc_life *life)
{
    return atomic_load_explicit(&life->pid, memory_order_relaxed);
}

static uint64_t stats_total(const struct rc_control *control, enum rc_metric_id id)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < control->worker_count; i++) {
        sum += rc_metric_get(&control->workers[i]->metrics, id);
    }
    return sum;
}

/* --- rates --- */

void rc_api_take_sample(struct rc_api *api, struct rc_api_sample *sample)
{
    const struct rc_control *control = api->clients->control;
    *sample = (struct rc_api_sample){
        .time_ms = rc_clock_ms(),
        .events = stats_total(control, RC_METRIC_FRAMES_IN) + stats_total(control, RC_METRIC_DELIVERIES),
        .errors = stats_total(control, RC_METRIC_REQUEST_ERRORS) + stats_total(control, RC_METRIC_PROTOCOL_ERRORS) +
                  stats_total(control, RC_METRIC_HTTP_ERRORS),
    };
    for (uint32_t i = 0; i < process_count(control); i++) {
        sample->cpu_ticks += cpu_ticks(pid_of(life_at(control, i)));
    }
}

/* Since the last question a second or more ago. */
static void refresh_rates(struct rc_api *api)
{
    if (rc_clock_ms() - api->sample.time_ms < SAMPLE_MS_MIN) {
        return;
    }
    struct rc_api_sample now;
    rc_api_take_sample(api, &now);
    const struct rc_api_sample *before = &api->sample;
    const double seconds = (double)(now.time_ms - before->time_ms) / 1000.0;
    /* A process that was started again begins with 0 ticks: nothing goes below 0. */
    const uint64_t ticks = now.cpu_ticks > before->cpu_ticks ? now.cpu_ticks - before->cpu_ticks : 0;
    api->event_rate = (double)(now.events - before->events) / seconds;
    api->error_rate = (double)(now.errors - before->errors) / seconds * 60.0;
    api->cpu_share = (double)ticks / (double)sysconf(_SC_CLK_TCK) / seconds * 100.0;
    api->sample = now;
}

static void put_latency(struct rc_text *text, const struct rc_control *control)
{
    static const struct {
        const char *name;
        double quantile;
    } wanted[] = {{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}};
    struct rc_histogram all = {0};
    for (uint32_t i = 0; i < control->worker_count; i++) {
        rc_histogram_merge(&all, &control->workers[i]->metrics.histograms[RC_HISTOGRAM_PUBLISH_TO_SEND]);
    }
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(wanted); i++) {
        rc_text_put(text, "%s\"%s\":%.3f", i == 0 ? "{" : ",", wanted[i].name,
                    (double)rc_histogram_quantile(&all, wanted[i].quantile) / 1e6);
    }
    rc_text_put(text, "}");
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
    {WORKERS, RC_METRIC_SUBSCRIPTIONS, ",\"subscriptions\":", ",\"subscriptions\":{\"total\":"},
    {RELAY, RC_METRIC_INTEREST_CHANNELS, ",\"channels\":", ",\"channels\":"},
    {WORKERS, RC_METRIC_FRAMES_IN, ",\"messages\":{\"received\":", "},\"events\":{\"received\":"},
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
            value += rc_metric_get(&control->relay->report.metrics, counters[i].id);
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
    const struct rc_life *life = life_at(control, index);
    const uint32_t pid = pid_of(life);
    const struct process_figures figures = figures_of(pid);
    rc_text_put(text, "%s{\"process\":\"%s\"", index == 0 ? "" : ",",
                index == 0   ? "acceptor"
                : index == 1 ? "relay"
                             : "worker");
    if (index >= 2) {
        const struct rc_metrics *metrics = &control->workers[index - 2]->metrics;
        rc_text_put(text, ",\"worker\":%u,\"connections\":%llu,\"subscriptions\":%llu,\"channels\":%llu", index - 2,
                    (unsigned long long)rc_metric_get(metrics, RC_METRIC_CONNECTIONS),
                    (unsigned long long)rc_metric_get(metrics, RC_METRIC_SUBSCRIPTIONS),
                    (unsigned long long)rc_metric_get(metrics, RC_METRIC_CHANNELS));
    }
    rc_text_put(text, ",\"pid\":%u,\"starts\":%u,\"memory_bytes\":%llu,\"cpu_seconds\":%.2f}", pid,
                atomic_load_explicit(&life->generation, memory_order_relaxed),
                (unsigned long long)figures.rss_kb * 1024, (double)figures.cpu_ticks / (double)sysconf(_SC_CLK_TCK));
}

int rc_api_stats(struct rc_api_call *call, struct rc_api_fault *fault)
{
    struct rc_api *api = call->api;
    const struct rc_control *control = api->clients->control;
    struct rc_text text = {0};
    (void)fault;
    refresh_rates(api);
    rc_text_put(&text, "{\"instance\":");
    rc_text_put_json(&text, rc_span_text(control->instance_id));
    rc_text_put(&text, ",\"uptime_s\":%llu,\"timestamp\":%llu", (unsigned long long)uptime_s(control),
                (unsigned long long)rc_clock_wall_ms());
    put_counters(&text, control, true);
    rc_text_put(&text, "},\"latency_ms\":");
    put_latency(&text, control);
    rc_text_put(&text, ",\"throughput\":%.1f,\"errors_per_minute\":%.1f,\"cpu_percent\":%.1f,\"processes\":[",
                api->event_rate, api->error_rate, api->cpu_share);
    for (uint32_t i = 0; i < process_count(control); i++) {
        put_process(&text, control, i);
    }
    rc_text_put(&text, "]}\n");
    rc_api_finish(call, &text);
    return 0;
}

/* --- /metrics as JSON --- */

bool rc_api_wants_json(const struct rc_http_request *request)
{
    const struct rc_http_view *accept = rc_http_header(request, "Accept");
    struct rc_http_view element;
    if (accept == NULL) {
        return false;
    }
    struct rc_http_view rest = *accept;
    while (rc_http_list_next(&rest, &element)) {
        const char *end = memchr(element.text, ';', element.bytes);
        element.bytes = end == NULL ? element.bytes : (size_t)(end - element.text);
        element = rc_http_view_trimmed(element);
        if (rc_http_view_equals_nocase(element, "application/json")) {
            return true;
        }
        if (rc_http_view_equals_nocase(element, "text/plain") ||
            rc_http_view_equals_nocase(element, "application/openmetrics-text")) {
            return false;
        }
    }
    return false;
}

static void put_megabytes(struct rc_text *text, const char *name, uint64_t kb)
{
    rc_text_put(text, "\"%s\":\"%.1f MB\"", name, (double)kb / 1024.0);
}

int rc_api_metrics_json(struct rc_api *api, struct rc_text *text)
{
    const struct rc_control *control = api->clients->control;
    struct process_figures sum = {0};
    refresh_rates(api);
    for (uint32_t i = 0; i < process_count(control); i++) {
        const struct process_figures one = figures_of(pid_of(life_at(control, i)));
        sum.rss_kb += one.rss_kb;
        sum.anonymous_kb += one.anonymous_kb;
        sum.data_kb += one.data_kb;
    }
    rc_text_put(text, "{\"websocket\":{");
    put_counters(text, control, false);
    rc_text_put(text, "}},\"performance\":{\"latency\":");
    put_latency(text, control);
    rc_text_put(text, ",\"throughput\":%.1f,\"errorRate\":%.1f},\"resources\":{\"memory\":{", api->event_rate,
                api->error_rate);
    put_megabytes(text, "heapUsed", sum.anonymous_kb);
    rc_text_put(text, ",");
    put_megabytes(text, "heapTotal", sum.data_kb);
    rc_text_put(text, ",");
    put_megabytes(text, "rss", sum.rss_kb);
    rc_text_put(text, "},\"cpu\":%.1f,\"uptime\":%llu}}\n", api->cpu_share, (unsigned long long)uptime_s(control));
    return text->failed ? -1 : 0;
}
