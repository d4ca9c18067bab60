/*
 * What a record costs in the relay: N workers that are only rings, 1,000 channels, no sockets.
 *
 *   inside    router and ports in this process, one thread: the cost of routing alone
 *   process   the real ringcast-relay with all that is between two CPUs; the driver plays all workers in one thread
 *
 * Every record is checked: sequences rise, each worker gets exactly what it wants. Environment: STRESS_SECONDS (at most 3 a
 * measurement are used), RINGCAST_BIN_DIR, RELAY_WORKERS (4), RELAY_PAYLOAD (128), RELAY_TAKERS (1, then 4), RELAY_PROCESS=0 to
 * leave the process out, RELAY_HISTORY (0: messages kept of each channel) and RELAY_HISTORY_ELSEWHERE=1: of other channels only.
 * Exit 1 when something is lost or out of order; the figures are printed, not judged.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/shm/doorbell.h"
#include "tests/support/relay_host.h"

#define CHANNELS 1000u
#define RING_BYTES (4u * 1024 * 1024)
#define BATCH 256u

static struct relay_host host;
static uint8_t payload[65536];

struct rate {
    uint32_t workers;
    uint32_t payload_bytes;
    uint32_t takers;   /* workers that want each channel */
    uint64_t sent;     /* up records */
    uint64_t expected; /* down records that must come */
    uint64_t received;
    char names[CHANNELS][16];
};

static struct rate rate;

static long number_from(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? atol(text) : otherwise;
}

/* CPU nanoseconds of a process so far, by its own accounting. */
static uint64_t cpu_ns(pid_t pid)
{
    char path[64];
    unsigned long long ns = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%llu", &ns) != 1) {
            ns = 0;
        }
        (void)fclose(file);
    }
    return ns;
}

static bool send_one(uint32_t worker)
{
    const uint32_t channel = (uint32_t)(rate.sent * 7919u % CHANNELS);
    struct rc_envelope_view view = {
        .head = {.time_ns = rate.sent,
                 .data_bytes = rate.payload_bytes,
                 .channel_bytes = (uint8_t)strlen(rate.names[channel]),
                 .origin = {.random = 1, .worker = (uint16_t)worker}},
        .channel = rate.names[channel],
        .data = payload,
    };
    if (!relay_host_up(&host, worker, RC_UP_PUBLISH, &view)) {
        return false;
    }
    rate.sent++;
    rate.expected += rate.takers;
    return true;
}

static void receive_all(void)
{
    for (uint32_t w = 0; w < rate.workers; w++) {
        uint32_t type;
        struct rc_envelope_view view;
        while (relay_host_down(&host, w, &type, &view)) {
            if (type != RC_DOWN_MESSAGE) {
                continue;
            }
            if (view.head.sequence <= host.workers[w].last_sequence || view.head.data_bytes != rate.payload_bytes) {
                (void)fprintf(stderr, "worker %u: sequence %" PRIu64 " after %" PRIu64 "\n", w, view.head.sequence,
                              host.workers[w].last_sequence);
                exit(1);
            }
            host.workers[w].last_sequence = view.head.sequence;
            rate.received++;
        }
        relay_host_done(&host, w);
    }
}

static void set_up(uint32_t takers)
{
    rate.workers = (uint32_t)number_from("RELAY_WORKERS", 4);
    rate.payload_bytes = (uint32_t)number_from("RELAY_PAYLOAD", 128);
    RC_ASSERT(rate.workers > 0 && rate.workers <= RC_WORKERS_MAX && rate.payload_bytes <= sizeof(payload));
    rate.takers = takers < rate.workers ? takers : rate.workers;
    rate.sent = 0;
    rate.expected = 0;
    rate.received = 0;
    relay_host_open(&host, rate.workers, RING_BYTES, RING_BYTES);
    for (uint32_t w = 0; w < rate.workers; w++) {
        relay_host_start_worker(&host, w);
    }
    struct rc_config *config = &host.configs->copies[0];
    struct rc_config_namespace *keeps = &config->namespaces[0];
    if (number_from("RELAY_HISTORY_ELSEWHERE", 0) != 0) {
        keeps = &config->namespaces[config->namespace_count++];
        *keeps = config->namespaces[0];
        keeps->name_bytes = (uint8_t)snprintf(keeps->name, sizeof(keeps->name), "log");
    }
    keeps->history = (uint32_t)number_from("RELAY_HISTORY", 0);
    for (uint32_t c = 0; c < CHANNELS; c++) {
        (void)snprintf(rate.names[c], sizeof(rate.names[c]), "prices:%u", c);
        for (uint32_t t = 0; t < rate.takers; t++) {
            RC_ASSERT(relay_host_interest(&host, (c + t) % rate.workers, true, rate.names[c]));
        }
    }
}

static void report(const char *how, uint64_t relay_ns, uint64_t wall_ns)
{
    RC_ASSERT(relay_host_metric(&host, RC_METRIC_DOWN_DROPPED) == 0);
    if (rate.received != rate.expected) {
        (void)fprintf(stderr, "%s: %" PRIu64 " records received, %" PRIu64 " expected\n", how, rate.received,
                      rate.expected);
        exit(1);
    }
    (void)printf("%-8s workers=%u takers=%u payload=%u records=%" PRIu64 " rate=%.2fM/s relay_ns_per_record=%" PRIu64
                 " relay_ns_per_down_record=%" PRIu64 " wakes=%" PRIu64 " overflowed=%" PRIu64 "\n",
                 how, rate.workers, rate.takers, rate.payload_bytes, rate.sent,
                 (double)rate.sent * 1e3 / (double)wall_ns, relay_ns / rate.sent, relay_ns / rate.expected,
                 relay_host_metric(&host, RC_METRIC_WAKES_SENT), relay_host_metric(&host, RC_METRIC_OVERFLOWED));
}

static void run_inside(uint32_t takers, uint64_t duration_ns)
{
    uint64_t relay_ns = 0;
    set_up(takers);
    relay_host_start_relay(&host);
    relay_host_run(&host);
    receive_all();
    const uint64_t start = rc_clock_ns();
    while (rc_clock_ns() - start < duration_ns) {
        for (uint32_t w = 0; w < rate.workers; w++) {
            for (uint32_t i = 0; i < BATCH && send_one(w); i++) {}
        }
        do { /* more than once only where large records fill the rings */
            const uint64_t before = rc_clock_ns();
            relay_host_run(&host);
            relay_ns += rc_clock_ns() - before;
            receive_all();
        } while (rate.received < rate.expected && rc_clock_ns() - start < 2 * duration_ns);
    }
    report("inside", relay_ns, rc_clock_ns() - start);
    relay_host_close(&host);
}

static void run_process(uint32_t takers, uint64_t duration_ns)
{
    set_up(takers);
    relay_host_spawn_relay(&host);
    const uint64_t deadline = rc_clock_ns() + 10000000000u;
    while (relay_host_metric(&host, RC_METRIC_INTERESTS) < (uint64_t)CHANNELS * rate.takers &&
           rc_clock_ns() < deadline) {
        receive_all();
        (void)usleep(1000);
    }
    receive_all();
    const uint64_t cpu_before = cpu_ns(host.relay_pid);
    const uint64_t start = rc_clock_ns();
    while (rc_clock_ns() - start < duration_ns || rate.received < rate.expected) {
        const bool sending = rc_clock_ns() - start < duration_ns;
        /* A bounded number on the way: this measures routing, not overflow. */
        for (uint32_t w = 0; sending && w < rate.workers; w++) {
            for (uint32_t i = 0; i < BATCH && rate.expected - rate.received < 16384; i++) {
                if (!send_one(w)) {
                    break;
                }
            }
            relay_host_ring(&host);
        }
        receive_all();
        if (rc_clock_ns() - start > duration_ns + 10000000000u) {
            break;
        }
    }
    report("process", cpu_ns(host.relay_pid) - cpu_before, rc_clock_ns() - start);
    relay_host_close(&host);
}

int main(void)
{
    const long seconds = number_from("STRESS_SECONDS", 2);
    const uint64_t duration_ns = (uint64_t)(seconds < 3 ? seconds : 3) * 1000000000u;
    const uint32_t only = (uint32_t)number_from("RELAY_TAKERS", 0);
    for (uint32_t takers = only > 0 ? only : 1; takers <= (only > 0 ? only : 4); takers += 3) {
        run_inside(takers, duration_ns);
        if (number_from("RELAY_PROCESS", 1) != 0) {
            run_process(takers, duration_ns);
        }
    }
    return 0;
}
