/* instance: see instance.h. */
#include "common/metrics/instance.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/procfs.h"
#include "common/metrics/backend_calls.h"
#include "common/metrics/backend_health.h"
#include "common/metrics/exposition.h"

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
        sum += atomic_load_explicit(&control->workers[i]->metrics.subscriptions[namespace], memory_order_relaxed);
    }
    return sum;
}

/* The labels of a process. */
static void process_labels(struct rc_exposition *to, const struct rc_control *control, const char *name, uint32_t index)
{
    rc_exposition_put(to, "%s{instance=\"%s\",process=\"%s\"", name, control->instance_id,
                      rc_instance_process_name(index));
    if (index >= 2) {
        rc_exposition_put(to, ",worker=\"%u\"", index - 2);
    }
    rc_exposition_put(to, "} ");
}

static void processes_render(struct rc_exposition *to, const struct rc_control *control)
{
    const uint32_t count = rc_instance_process_count(control);
    rc_exposition_family(to, "ringcast_process_cpu_seconds_total", "User and system time since the process started",
                         "counter");
    for (uint32_t i = 0; i < count; i++) {
        process_labels(to, control, "ringcast_process_cpu_seconds_total", i);
        rc_exposition_put(to, "%.3f\n", (double)rc_procfs_cpu_ms(rc_instance_pid(control, i)) / 1000.0);
    }
    rc_exposition_family(to, "ringcast_process_resident_memory_bytes",
                         "Resident memory, shared memory that it touched included", "gauge");
    for (uint32_t i = 0; i < count; i++) {
        process_labels(to, control, "ringcast_process_resident_memory_bytes", i);
        rc_exposition_put(to, "%" PRIu64 "\n", rc_procfs_sizes(rc_instance_pid(control, i)).resident_bytes);
    }
    rc_exposition_family(to, "ringcast_process_starts_total", "Times the process was started", "counter");
    for (uint32_t i = 0; i < count; i++) {
        process_labels(to, control, "ringcast_process_starts_total", i);
        rc_exposition_put(to, "%u\n",
                          atomic_load_explicit(&rc_instance_life(control, i)->generation, memory_order_relaxed));
    }
}

static void number_put(struct rc_exposition *to, const struct rc_control *control, const char *name, const char *help,
                       uint64_t value)
{
    rc_exposition_family(to, name, help, "gauge");
    rc_exposition_put(to, "%s{instance=\"%s\"} %" PRIu64 "\n", name, control->instance_id, value);
}

static void namespaces_render(struct rc_exposition *to, const struct rc_control *control,
                              const struct rc_config *config)
{
    char label[LABEL_MAX];
    rc_exposition_family(to, "ringcast_namespace_subscriptions",
                         "Subscriptions of local connections, by the channel's namespace", "gauge");
    for (uint32_t i = 0; i < config->namespace_count; i++) {
        rc_exposition_put(to, "ringcast_namespace_subscriptions{instance=\"%s\",namespace=\"%s\"} %" PRId64 "\n",
                          control->instance_id, rc_exposition_label(label, sizeof(label), config->namespaces[i].name),
                          (int64_t)rc_instance_subscriptions(control, i));
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
    number_put(to, control, "ringcast_session_backends",
               "Configured backends: [[backend]] tables, and the sessions in Redis", count);
    number_put(to, control, "ringcast_session_backends_failing", "Of them those whose last call failed", failing);
    rc_exposition_family(to, "ringcast_session_backend_failures_total",
                         "Calls to backends that were not answered as they should", "counter");
    rc_exposition_put(to, "ringcast_session_backend_failures_total{instance=\"%s\"} %" PRIu64 "\n",
                      control->instance_id, failures);
    if (count > 0) {
        rc_exposition_family(to, "ringcast_session_backend_up",
                             "1 while the last call to the backend was answered, or none was made", "gauge");
    }
    for (uint32_t i = 0; i < count; i++) {
        rc_exposition_put(to, "ringcast_session_backend_up{instance=\"%s\",backend=\"%s\"} %d\n", control->instance_id,
                          rc_exposition_label(label, sizeof(label), summaries[i].name), !summaries[i].failing);
    }
}

size_t rc_instance_metrics_render(const struct rc_control *control, const struct rc_config *config, char *out,
                                  size_t capacity)
{
    struct rc_exposition to = {.out = out, .capacity = capacity};
    const struct rc_procfs_room room = rc_procfs_room("");
    namespaces_render(&to, control, config);
    processes_render(&to, control);
    number_put(&to, control, "ringcast_uptime_seconds", "Time since the broker was started",
               (rc_clock_ms() - control->boot_ms) / 1000);
    number_put(&to, control, "ringcast_memory_limit_bytes",
               "What all processes together may have: of the tightest control group around them, or of the host",
               room.limit_bytes);
    number_put(&to, control, "ringcast_memory_used_bytes",
               "How much of ringcast_memory_limit_bytes is in use and could not be had by dropping caches",
               room.used_bytes);
    backends_render(&to, control);
    const struct rc_backend_counters *calls[RC_WORKERS_MAX];
    for (uint32_t i = 0; i < control->worker_count; i++) {
        calls[i] = control->workers[i]->backends;
    }
    rc_backend_calls_render(&to, config, calls, control->worker_count, control->instance_id);
    return to.bytes;
}
