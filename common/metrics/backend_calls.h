/*
 * backend_calls: what became of the calls of each [[backend]], for /metrics: families whose labels are backend and call, which the table of
 * metrics.def cannot have.
 *
 * Any process may call; nothing fails.
 */
#ifndef RC_COMMON_METRICS_BACKEND_CALLS_H
#define RC_COMMON_METRICS_BACKEND_CALLS_H

#include <stddef.h>

#include "common/metrics/exposition.h"
#include "common/shm/layout.h"

/* Upper bounds of the first RC_BACKEND_BUCKETS - 1 buckets, milliseconds. */
extern const uint32_t rc_backend_bounds_ms[RC_BACKEND_BUCKETS - 1];

/* All backends of `config`, the sum of `count` processes' counters; nothing without backends. */
void rc_backend_calls_render(struct rc_exposition *to, const struct rc_config *config,
                             const struct rc_backend_counters *const *counters, size_t count);

#endif
