/*
 * result: the figures of one run, and what is made of several.
 *
 * Plain memory, written by run.c, read by reports and charts. Pure functions.
 */
#ifndef RC_BENCH_RESULT_H
#define RC_BENCH_RESULT_H

#include "bench/latency.h"
#include "bench/options.h"
#include "bench/plan.h"

#include <stdbool.h>
#include <stdint.h>

#define RC_BENCH_MOMENTS_MAX 400u

/* Totals at one moment of the measured time. */
struct rc_bench_moment {
    double at_s;
    uint64_t published;
    uint64_t deliveries;
    uint64_t missing; /* gaps seen so far, excused ones included */
    uint64_t open;
    /* Of the deliveries since the moment before; 0: there were none. */
    uint64_t p50_ns;
    uint64_t p99_ns;
};

struct rc_bench_result {
    char label[64];
    char scenario[32];
    char error[RC_BENCH_ERROR_MAX]; /* the first thing that went wrong; empty */
    double sweep_value;             /* of the swept option, in a sweep */
    bool broken_off;                /* the run did not get through */
    uint32_t processes;

    double connect_s;     /* until all were ready */
    double measured_at_s; /* when the measured time began, in seconds since 1970; 0: it did not */
    double seconds;       /* measured */
    double warmup_s;
    double drain_s;
    /* Within the measured time. */
    uint64_t published;
    uint64_t deliveries; /* for connect: connections */
    uint64_t receives;
    uint64_t bytes;
    uint64_t inflated; /* messages that came compressed */
    uint64_t deltas;   /* messages that came as deltas */
    uint64_t joined;   /* connections that were made meanwhile */
    uint64_t segments;
    uint64_t sends;       /* of the server: segments with data, the client's own taken off; 0: not known */
    double server_cpu_ns; /* of the server's processes; 0 without --server-pid */
    double part_cpu_ns;   /* of them, those of --part-pid */
    double ksoftirqd_ns;  /* of the CPUs that these may run on; negative: not shown here */
    double client_cpu_ns;
    /* Over the whole run. */
    uint64_t total_published;
    uint64_t total_deliveries;
    uint64_t unsent; /* open loop: due, but the server did not read */
    uint64_t opened;
    uint64_t failed;
    uint64_t closed;
    uint64_t lost;
    uint64_t duplicated;
    uint64_t late;
    uint64_t corrupted;
    uint64_t gaps;
    uint64_t refused;
    uint64_t excused;
    uint64_t stalls;
    uint64_t pings;
    uint64_t returned;
    uint64_t slow;
    uint64_t caught_up;
    double blocked_s;
    double storm_s;
    uint32_t server_processes;
    /* Memory, before the connections and when all were ready. */
    uint64_t connections;     /* that were ready then */
    int64_t server_rss_bytes; /* growth */
    int64_t server_pss_bytes;
    int64_t slab_bytes;
    int64_t page_table_bytes;
    uint64_t server_rss_now_bytes; /* largest seen */
    int64_t client_pss_bytes;      /* growth of the client processes */
    bool surged;
    double recovery_s; /* after a surge, until nothing was behind; negative: never */
    struct rc_bench_moment moments[RC_BENCH_MOMENTS_MAX];
    uint32_t moment_count;
    struct rc_bench_latency latency;
    struct rc_bench_latency before; /* recover: of those before it */
    struct rc_bench_latency handshake;
};

/* True when nothing went wrong that the options do not forgive. */
bool rc_bench_result_clean(const struct rc_bench_options *options, const struct rc_bench_result *result);

/* Picks medians over `count` runs of the same options: figures from the run with the median cost (server CPU per
 * delivery, else rate), counts of what went wrong added up. */
void rc_bench_result_median(const struct rc_bench_result *results, uint32_t count, struct rc_bench_result *median);

/* Server CPU per delivery (connect: per connection), ksoftirqd of its CPUs included, ns; 0 when unknown. */
double rc_bench_result_cost_ns(const struct rc_bench_result *result);

/* Deliveries for each of the server's sends; 0 when unknown. */
double rc_bench_result_deliveries_per_send(const struct rc_bench_result *result);

/* The server's part of the data segments of both ends: `sent_here` are the client's own, 0 where they are in another namespace. */
uint64_t rc_bench_result_sends(uint64_t data_segments, uint64_t sent_here);

#endif
