/*
 * cpus: which CPU each child is pinned to, and how many workers `auto` means.
 *
 * With three usable CPUs or more the relay has the last one for itself and workers take the others in turn; with
 * fewer it shares a worker's CPU (a hop then costs about 8 us instead of 45). Pure but for rc_cpus_read. The acceptor
 * alone calls.
 */
#ifndef RC_ACCEPTOR_START_CPUS_H
#define RC_ACCEPTOR_START_CPUS_H

#include <stdint.h>

#include "common/base/err.h"

#define RC_CPUS_MAX 4096
#define RC_CPU_NONE UINT32_MAX
#define RC_CPU_RELAY UINT32_MAX /* instead of a worker's index */

struct rc_cpus {
    uint32_t count;
    uint16_t ids[RC_CPUS_MAX]; /* ascending */
};

/* The CPUs that this process may run on (sched_getaffinity). Negative errno with `err` set. */
int rc_cpus_read(struct rc_cpus *cpus, struct rc_err *err);

/* Workers for server.workers = auto: one per usable CPU below three, else one is left to the relay; at most
 * RC_WORKERS_MAX. */
uint32_t rc_cpus_workers_auto(const struct rc_cpus *cpus);

/* The CPU of worker `index`, or of the relay for RC_CPU_RELAY. */
uint32_t rc_cpus_of(const struct rc_cpus *cpus, uint32_t index);

#endif
