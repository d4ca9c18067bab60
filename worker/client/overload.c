/* overload: see overload.h. */
#include "worker/client/overload.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/procfs.h"

#define OVERLOAD_READ_NS UINT64_C(1000000000)   /* memory, while nothing is wrong */
#define OVERLOAD_SERVED_NS UINT64_C(1000000000) /* since the last delivery: others are served */
#define OVERLOAD_SAMPLE_NS (UINT64_C(1000000) * RC_PRESSURE_SAMPLE_MS)

void rc_overload_open(struct rc_overload *overload, struct rc_io *io, struct rc_clients *clients,
                      struct rc_metrics *metrics, const struct rc_config *config)
{
    *overload = (struct rc_overload){.io = io,
                                     .clients = clients,
                                     .metrics = metrics,
                                     .available_bytes = UINT64_MAX,
                                     .delivered = rc_metric_get(metrics, RC_METRIC_DELIVERIES),
                                     .page_bytes = (uint64_t)sysconf(_SC_PAGESIZE),
                                     .statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC),
                                     .meminfo_fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC)};
    rc_overload_reconfigure(overload, config);
    rc_io_set_busy(io, false); /* the steering entry is a predecessor's */
}

void rc_overload_close(struct rc_overload *overload)
{
    if (overload->statm_fd >= 0) {
        (void)close(overload->statm_fd);
    }
    if (overload->meminfo_fd >= 0) {
        (void)close(overload->meminfo_fd);
    }
}

void rc_overload_reconfigure(struct rc_overload *overload, const struct rc_config *config)
{
    const struct rc_config_overload *its = &config->overload;
    overload->limits = (struct rc_pressure_limits){.turn_ms = (uint32_t)its->max_turn_ms,
                                                   .memory_bytes = its->max_memory_bytes,
                                                   .available_bytes = its->min_available_bytes};
    overload->read_ns = 0;
}

static bool overload_read(int fd, char *text, size_t capacity)
{
    const ssize_t got = fd < 0 ? -1 : pread(fd, text, capacity - 1, 0);
    text[got < 0 ? 0 : got] = '\0';
    return got > 0;
}

/* Each file is made by the kernel when it is read: a few microseconds, and tens for meminfo. */
static void overload_read_memory(struct rc_overload *overload)
{
    char text[4096];
    overload->memory_bytes = 0;
    overload->available_bytes = UINT64_MAX;
    if (overload->limits.memory_bytes > 0 && overload_read(overload->statm_fd, text, sizeof(text))) {
        const char *resident = strchr(text, ' '); /* the second number, in pages */
        overload->memory_bytes =
            resident == NULL ? 0 : (uint64_t)strtoull(resident + 1, NULL, 10) * overload->page_bytes;
    }
    if (overload->limits.available_bytes > 0 && overload_read(overload->meminfo_fd, text, sizeof(text))) {
        overload->available_bytes = rc_procfs_memory(text, "MemAvailable");
    }
}

static const char *overload_why(uint8_t causes, char *text, size_t capacity)
{
    (void)snprintf(text, capacity, "%s%s%s", (causes & RC_PRESSURE_TURN) ? " long turns" : "",
                   (causes & RC_PRESSURE_QUEUE) ? " full accept queue" : "",
                   (causes & RC_PRESSURE_MEMORY) ? " memory" : "");
    return text[0] == ' ' ? text + 1 : text;
}

static void overload_changed(struct rc_overload *overload, const struct rc_pressure_sample *sample)
{
    static const char *const names[] = {"none", "paused", "shedding"};
    const struct rc_pressure *pressure = &overload->pressure;
    char why[64];
    rc_metric_set(overload->metrics, RC_METRIC_OVERLOAD, pressure->level);
    if (pressure->level == RC_PRESSURE_PAUSED) {
        rc_metric_add(overload->metrics, RC_METRIC_ACCEPT_PAUSES, 1);
    }
    rc_io_pause_accept(overload->io, pressure->level == RC_PRESSURE_PAUSED);
    rc_io_set_busy(overload->io, pressure->level != RC_PRESSURE_NONE);
    rc_log_limited(pressure->level == RC_PRESSURE_SHEDDING ? RC_LOG_WARN : RC_LOG_INFO, 1, "overload",
                   "level=%s because=\"%s\" turn_ms=%u queued=%u backlog=%u memory=%llu", names[pressure->level],
                   overload_why(pressure->why, why, sizeof(why)), sample->turn_ms, sample->queued, sample->backlog,
                   (unsigned long long)sample->memory_bytes);
}

/* Who is there already has a claim to the CPU: newcomers come a few at a time while messages go out. */
static void overload_pace(struct rc_overload *overload, uint64_t now_ns)
{
    const uint64_t delivered = rc_metric_get(overload->metrics, RC_METRIC_DELIVERIES);
    if (delivered != overload->delivered) {
        overload->delivered = delivered;
        overload->served_ns = now_ns;
    }
    /* Under pressure they are not accepted at all, or refused: the sooner, the better. */
    rc_io_pace_accepts(overload->io, overload->pressure.level == RC_PRESSURE_NONE && overload->served_ns != 0 &&
                                         now_ns - overload->served_ns < OVERLOAD_SERVED_NS);
}

void rc_overload_pass_ends(struct rc_overload *overload)
{
    const uint64_t now_ns = rc_clock_ns();
    const uint64_t pass_ns = now_ns - overload->pass_ns;
    rc_metric_observe(overload->metrics, RC_HISTOGRAM_PASS, pass_ns);
    if (pass_ns > overload->longest_ns) {
        overload->longest_ns = pass_ns;
    }
    if (now_ns - overload->sampled_ns < OVERLOAD_SAMPLE_NS) {
        return;
    }
    if (overload->pressure.level != RC_PRESSURE_NONE || now_ns - overload->read_ns >= OVERLOAD_READ_NS) {
        overload->read_ns = now_ns;
        overload_read_memory(overload);
    }
    struct rc_pressure_sample sample = {.now_ms = (uint32_t)(now_ns / 1000000u),
                                        .turn_ms = (uint32_t)(overload->longest_ns / 1000000u),
                                        .memory_bytes = overload->memory_bytes,
                                        .available_bytes = overload->available_bytes};
    rc_io_accept_queue(overload->io, &sample.queued, &sample.backlog);
    overload->sampled_ns = now_ns;
    overload->longest_ns = 0;
    if (rc_pressure_update(&overload->pressure, &overload->limits, &sample)) {
        overload_changed(overload, &sample);
    }
    overload_pace(overload, now_ns);
    overload->clients->overload = overload->pressure;
}
