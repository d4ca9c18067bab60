/* instance: see instance.h. */
#include "common/metrics/instance.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/procfs.h"
#include "common/metrics/backend_calls.h"
#include "common/metrics/backend_health.h"
#include "common/metrics/event_rows.h"
#include "common/metrics/exposition.h"
#include "common/metrics/link_rows.h"
#include "common/shm/worker_use.h"
#include "version.h"

#define LABEL_MAX (2 * RC_CHANNEL_NAME_MAX + 1)

const struct rc_life *rc_instance_life(const struct rc_control *control, uint32_t index)
{
    return index == 0   ? &control->core->acceptor
           : index == 1 ? &control->core->relay
                        : &control->core->workers[index - 2];
}

const char *rc_instance_process_name(uint32_t index)
{
    return index == 0 ? "acceptor" : index == 1 ? "relay" : "worker";
}

uint32_t rc_instance_pid(const struct rc_control *control, uint32_t index)
{
    return atomic_load_explicit(&rc_instance_life(control, index)->pid, memory_order_relaxed);
}

uint64_t rc_instance_subscriptions(const struct rc_control *control, uint32_t namespace)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < control->worker_count; i++) {
        sum += rc_bank_subscriptions(rc_banks_current(&control->workers[i]->banks), namespace);
    }
    return sum;
}

/* --- processes --- */

static double cpu_seconds(const struct rc_control *control, uint32_t index)
{
    return (double)rc_procfs_cpu_ms(rc_instance_pid(control, index)) / 1000.0;
}

static double resident_bytes(const struct rc_control *control, uint32_t index)
{
    return (double)rc_procfs_sizes(rc_instance_pid(control, index)).resident_bytes;
}

static double virtual_bytes(const struct rc_control *control, uint32_t index)
{
    return (double)rc_procfs_sizes(rc_instance_pid(control, index)).virtual_bytes;
}

static double start_seconds(const struct rc_control *control, uint32_t index)
{
    return (double)rc_procfs_start_ms(rc_instance_pid(control, index)) / 1000.0;
}

static double max_fds(const struct rc_control *control, uint32_t index)
{
    return (double)rc_procfs_max_fds(rc_instance_pid(control, index));
}

static double process_starts(const struct rc_control *control, uint32_t index)
{
    return atomic_load_explicit(&rc_instance_life(control, index)->generation, memory_order_relaxed);
}

static const struct process_family {
    const char *name;
    const char *help;
    const char *type;
    double (*value)(const struct rc_control *control, uint32_t index);
} process_families[] = {
    /* Those names are the ones of Prometheus' own client libraries, which tell of one process. */
    {"process_cpu_seconds_total", "User and system time since the process started", "counter", cpu_seconds},
    {"process_resident_memory_bytes", "Resident memory, shared memory that it touched included", "gauge",
     resident_bytes},
    {"process_virtual_memory_bytes", "Address space", "gauge", virtual_bytes},
    {"process_start_time_seconds", "When the process was started, in seconds since 1970", "gauge", start_seconds},
    {"process_max_fds", "How many descriptors it may have (RLIMIT_NOFILE), and as many more in its ring", "gauge",
     max_fds},
    {"ringcast_process_starts_total", "Times the process was started", "counter", process_starts},
};

static void processes_render(struct rc_exposition *to, const struct rc_control *control)
{
    for (size_t n = 0; n < RC_ARRAY_COUNT(process_families); n++) {
        const struct process_family *family = &process_families[n];
        rc_exposition_family(to, family->name, family->help, family->type);
        for (uint32_t i = 0; i < rc_instance_process_count(control); i++) {
            if (i >= 2 && !rc_worker_was_used(control->core, i - 2)) {
                continue;
            }
            if (i < 2) {
                rc_exposition_series(to, family->name, "process=\"%s\"", rc_instance_process_name(i));
            } else {
                rc_exposition_series(to, family->name, "process=\"%s\",worker=\"%u\"", rc_instance_process_name(i),
                                     i - 2);
            }
            rc_exposition_put(to, "%.15g\n", family->value(control, i));
        }
    }
}

/* --- one number each --- */

static void number_put(struct rc_exposition *to, const char *name, const char *help, const char *type, uint64_t value)
{
    rc_exposition_family(to, name, help, type);
    rc_exposition_series(to, name, "%s", "");
    rc_exposition_put(to, "%" PRIu64 "\n", value);
}

/* What is configured, beside what is used. 0 = no limit of its own. */
static const struct {
    const char *name;
    const char *help;
    size_t offset;
    size_t bytes;
} limits[] = {
#define LIMIT_ROW(of, name_text, help_text)                                                 \
    {                                                                                       \
        .name = (name_text), .help = (help_text), .offset = offsetof(struct rc_config, of), \
        .bytes = sizeof(((struct rc_config *)NULL)->of),                                    \
    }
    LIMIT_ROW(limits.max_channels_per_worker, "ringcast_worker_channels_max",
              "limits.max_channels_per_worker: channels with subscribers on a worker"),
    LIMIT_ROW(limits.worker_log_bytes, "ringcast_worker_log_bytes_max",
              "limits.worker_log: what logs, bodies and held messages of a worker may take"),
    LIMIT_ROW(limits.channel_log_bytes, "ringcast_channel_log_bytes_max", "limits.channel_log: of a channel's log"),
    LIMIT_ROW(limits.history_memory_bytes, "ringcast_history_bytes_max",
              "limits.history_memory: of all histories and retained values"),
    LIMIT_ROW(limits.max_message_size_bytes, "ringcast_message_bytes_max", "limits.max_message_size"),
    LIMIT_ROW(overload.max_handshakes, "ringcast_handshakes_max",
              "overload.max_handshakes: connections of a worker without a request"),
};

static uint64_t limit_of(const struct rc_config *config, size_t i)
{
    const char *at = (const char *)config + limits[i].offset;
    return limits[i].bytes == sizeof(uint64_t) ? *(const uint64_t *)at : *(const uint32_t *)at;
}

static void limits_render(struct rc_exposition *to, const struct rc_control *control, const struct rc_config *config)
{
    number_put(
        to, "ringcast_connections_max",
        "server.max_connections, or what the descriptors of the workers in use allow where that is less or it is 0",
        "gauge", rc_workers_connections_max(control->core, control->worker_count, config->server.max_connections));
    for (size_t i = 0; i < RC_ARRAY_COUNT(limits); i++) {
        number_put(to, limits[i].name, limits[i].help, "gauge", limit_of(config, i));
    }
}

static void build_render(struct rc_exposition *to, const struct rc_control *control)
{
    char id[LABEL_MAX];
    rc_exposition_family(to, "ringcast_build_info", "1: which program it is", "gauge");
    rc_exposition_series(to, "ringcast_build_info", "version=\"%s\",compiler=\"%s\"", RC_VERSION, __VERSION__);
    rc_exposition_put(to, "1\n");
    rc_exposition_family(to, "ringcast_instance_info", "1: what it is called (server.instance_id)", "gauge");
    rc_exposition_series(to, "ringcast_instance_info", "id=\"%s\"",
                         rc_exposition_label(id, sizeof(id), control->instance_id));
    rc_exposition_put(to, "1\n");
}

/* --- by what they are --- */

static void namespaces_render(struct rc_exposition *to, const struct rc_control *control,
                              const struct rc_config *config)
{
    char label[LABEL_MAX];
    rc_exposition_family(to, "ringcast_namespace_subscriptions",
                         "Subscriptions of local connections, by the channel's namespace", "gauge");
    for (uint32_t i = 0; i < config->namespace_count; i++) {
        rc_exposition_series(to, "ringcast_namespace_subscriptions", "namespace=\"%s\"",
                             rc_exposition_label(label, sizeof(label), config->namespaces[i].name));
        rc_exposition_put(to, "%" PRId64 "\n", (int64_t)rc_instance_subscriptions(control, i));
    }
}

/* The names of requirements.md are sums: here is what each worker has. */
static void connections_render(struct rc_exposition *to, const struct rc_control *control)
{
    rc_exposition_family(to, "ringcast_connections", "Open WebSocket connections; ws_connections_total is their sum",
                         "gauge");
    for (uint32_t i = 0; i < control->worker_count; i++) {
        if (rc_worker_was_used(control->core, i)) {
            rc_exposition_series(to, "ringcast_connections", "worker=\"%u\"", i);
            rc_exposition_put(to, "%" PRId64 "\n",
                              (int64_t)rc_report_value(control->workers[i], RC_METRIC_CONNECTIONS));
        }
    }
}

static const uint32_t close_codes[RC_METRIC_CLOSES] = {
#define RC_CLOSE(name, code, reason, reconnect) [RC_METRIC_CLOSE_##name] = (code),
#include "common/records/codes.def"
};

static void closes_render(struct rc_exposition *to, const struct rc_control *control)
{
    rc_exposition_family(to, "ringcast_closes_sent_total",
                         "Clients that were sent a close frame, by its code (docs/protocol.md); \"other\": of the API",
                         "counter");
    for (uint32_t code = 0; code < RC_METRIC_CLOSES; code++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < control->worker_count; i++) {
            sum += rc_bank_closes(rc_banks_current(&control->workers[i]->banks), (enum rc_metric_close)code);
        }
        if (code < RC_METRIC_CLOSE_OTHER) {
            rc_exposition_series(to, "ringcast_closes_sent_total", "code=\"%u\"", close_codes[code]);
        } else {
            rc_exposition_series(to, "ringcast_closes_sent_total", "code=\"other\"");
        }
        rc_exposition_put(to, "%" PRIu64 "\n", sum);
    }
}

static void backends_render(struct rc_exposition *to, const struct rc_control *control)
{
    struct rc_backend_summary summaries[RC_BACKENDS_MAX];
    char label[2 * RC_BACKEND_NAME_MAX];
    uint32_t count = 0;
    uint64_t failing = 0;
    uint64_t failures = 0;
    for (uint32_t i = 0; i < RC_BACKENDS_MAX; i++) {
        if (rc_backend_health_get(control, i, &summaries[count])) {
            failing += summaries[count].failing;
            failures += summaries[count].failures;
            count++;
        }
    }
    number_put(to, "ringcast_session_backends", "Configured backends: [[backend]] tables, and the sessions in Redis",
               "gauge", count);
    number_put(to, "ringcast_session_backends_failing", "Of them those whose last call failed", "gauge", failing);
    number_put(to, "ringcast_session_backend_failures_total", "Calls to backends that were not answered as they should",
               "counter", failures);
    if (count > 0) {
        rc_exposition_family(to, "ringcast_session_backend_up",
                             "1 while the last call to the backend was answered, or none was made", "gauge");
    }
    for (uint32_t i = 0; i < count; i++) {
        rc_exposition_series(to, "ringcast_session_backend_up", "backend=\"%s\"",
                             rc_exposition_label(label, sizeof(label), summaries[i].name));
        rc_exposition_put(to, "%d\n", !summaries[i].failing);
    }
}

void rc_instance_metrics_render(struct rc_exposition *to, const struct rc_control *control,
                                const struct rc_config *config)
{
    const struct rc_procfs_room room = rc_procfs_room("");
    build_render(to, control);
    namespaces_render(to, control, config);
    connections_render(to, control);
    closes_render(to, control);
    processes_render(to, control);
    number_put(to, "ringcast_uptime_seconds", "Time since the broker was started", "gauge",
               (rc_clock_ms() - control->boot_ms) / 1000);
    number_put(to, "ringcast_memory_limit_bytes",
               "What all processes together may have: of the tightest control group around them, or of the host",
               "gauge", room.limit_bytes);
    number_put(to, "ringcast_memory_used_bytes",
               "How much of ringcast_memory_limit_bytes is in use and could not be had by dropping caches", "gauge",
               room.used_bytes);
    limits_render(to, control, config);
    backends_render(to, control);
    const struct rc_backend_counters *calls[RC_WORKERS_MAX];
    for (uint32_t i = 0; i < control->worker_count; i++) {
        calls[i] = control->workers[i]->backends;
    }
    rc_backend_calls_render(to, config, calls, control->worker_count);
    const struct rc_report *workers[RC_WORKERS_MAX];
    for (uint32_t i = 0; i < control->worker_count; i++) {
        workers[i] = control->workers[i];
    }
    rc_link_rows_render(to, config, workers, control->worker_count);
    const struct rc_row_counters *rows[RC_WORKERS_MAX];
    for (uint32_t i = 0; i < control->worker_count; i++) {
        rows[i] = control->workers[i]->rows;
    }
    rc_event_rows_render(to, config, rows, control->worker_count);
}
