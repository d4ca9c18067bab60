/*
 * recent: what happened in the last seconds, out of counters that only grow: for /api/stats and /metrics as JSON, which are to be true now
 * whoever asks how often.
 *
 * The acceptor's: it takes a sample a second of all processes' counters and sets gauges of its own report, so that every worker answers
 * the same. Owned by the supervisor. Nothing fails.
 */
#ifndef RC_ACCEPTOR_WATCH_RECENT_H
#define RC_ACCEPTOR_WATCH_RECENT_H

#include <stdint.h>

#include "common/base/histogram.h"
#include "common/metrics/bank.h"

#define RC_RECENT_RATE_MS 10000u /* what messages and CPU time are counted over */
#define RC_RECENT_LONG_MS 60000u /* the same for errors and latency */
#define RC_RECENT_SAMPLES 64u    /* one a second, the long time and a few more */

/* Counters of the whole instance at one time. */
struct rc_recent_sample {
    uint64_t time_ms; /* CLOCK_MONOTONIC */
    uint64_t messages;
    uint64_t errors;
    uint64_t cpu_ms;
    struct rc_histogram latency; /* nanoseconds */
};

struct rc_recent {
    uint32_t count; /* samples taken; the newest RC_RECENT_SAMPLES are kept */
    struct rc_recent_sample samples[RC_RECENT_SAMPLES];
};

/* Where the next sample goes; zeroed but for its time. */
struct rc_recent_sample *rc_recent_next(struct rc_recent *recent, uint64_t now_ms);
/* Adds a process's counters to the sample. */
void rc_recent_add(struct rc_recent_sample *sample, const struct rc_bank *bank);
/* The sample is complete: sets the RC_METRIC_RECENT_ gauges. */
void rc_recent_tell(const struct rc_recent *recent, struct rc_metrics *own);

#endif
