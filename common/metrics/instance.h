/*
 * instance: what /metrics tells of an instance beside the counters of its processes (metrics.def): which build it is, subscriptions by
 * namespace, closes by code, processes as the kernel sees them, memory, limits, session backends.
 *
 * Any process may call; it reads a few files of /proc for each process. Nothing fails: what cannot be read is 0.
 */
#ifndef RC_COMMON_METRICS_INSTANCE_H
#define RC_COMMON_METRICS_INSTANCE_H

#include "common/metrics/exposition.h"
#include "common/shm/control.h"

/* The instance's processes in one order: acceptor, relay, workers. */
static inline uint32_t rc_instance_process_count(const struct rc_control *control)
{
    return control->worker_count + 2;
}
/* What the acceptor says of a process, and what it is called. */
const struct rc_life *rc_instance_life(const struct rc_control *control, uint32_t index);
const char *rc_instance_process_name(uint32_t index);
/* 0: it does not run. */
uint32_t rc_instance_pid(const struct rc_control *control, uint32_t index);

/* Subscriptions of all workers to channels of the namespace at this index of config.namespaces. */
uint64_t rc_instance_subscriptions(const struct rc_control *control, uint32_t namespace);

void rc_instance_metrics_render(struct rc_exposition *to, const struct rc_control *control,
                                const struct rc_config *config);

#endif
