/*
 * trace_reader: the stages that workers and relay have told of a trace (common/records/traced.h), in the order of time, as JSON.
 *
 * For `ringcast trace` in the acceptor and GET /api/trace in a worker: each has a place of its own in the rings of the processes, which keep
 * what they have whether it was read or not. What is read is other processes' memory: lengths are bounded, texts cut to whole characters.
 */
#ifndef RC_COMMON_SHM_TRACE_READER_H
#define RC_COMMON_SHM_TRACE_READER_H

#include <stdbool.h>
#include <stdio.h>

#include "common/shm/layout.h"

/* Whose stages, and what they are shown with. All is borrowed. */
struct rc_trace_source {
    const char *instance_id;
    uint32_t boot_nonce;
    uint64_t
        wall_ahead_ms; /* of CLOCK_REALTIME before CLOCK_MONOTONIC, as it is now: it may have been set since the start */
    uint32_t worker_count;
    const struct rc_report *reports[RC_WORKERS_MAX + 1]; /* of each worker, and behind the last that of the relay */
};

/* How far somebody has read. */
struct rc_trace_place {
    uint64_t lost;                     /* stages that were overwritten before they were read */
    uint64_t next[RC_WORKERS_MAX + 1]; /* number of the record to read next; 0 = the oldest that is there */
    bool said[RC_WORKERS_MAX];         /* that worker has said how many it has of whom the trace is about */
    uint32_t found;                    /* how many were told of */
};

/* Behind all that is there now. */
void rc_trace_place_begin(struct rc_trace_place *place, const struct rc_trace_source *source);

/* Stages of the trace `serial` from the place on, the `most` earliest at the most, whoever told them, as JSON objects with `between` in between;
 * how many, or -ENOMEM. */
int rc_trace_stages(struct rc_trace_place *place, const struct rc_trace_source *source, uint32_t serial, uint32_t most,
                    const char *between, FILE *out);

/* Has every worker said that it has nobody of those whom the trace is about? Of a trace that is about somebody (RC_TRACE_BY_WHO). */
bool rc_trace_nobody(const struct rc_trace_place *place, const struct rc_trace_source *source);

#endif
