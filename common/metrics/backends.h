/*
 * backends: what became of the calls of each [[backend]], for /metrics: families whose labels are backend and call, which the table of
 * metrics.def cannot have.
 *
 * Any process may call; nothing fails.
 */
#ifndef RC_COMMON_METRICS_BACKENDS_H
#define RC_COMMON_METRICS_BACKENDS_H

#include <stddef.h>

#include "common/shm/layout.h"

/* Upper bounds of the first RC_BACKEND_BUCKETS - 1 buckets, milliseconds. */
extern const uint32_t rc_backend_bounds_ms[RC_BACKEND_BUCKETS - 1];

/* Prometheus text of all backends of `config`, the sum of `count` processes' counters; nothing without backends. Writes at most
 * `capacity` bytes, without a NUL, and returns the bytes needed: larger than capacity means it was cut. */
size_t rc_backend_metrics_render(const struct rc_config *config, const struct rc_backend_counters *const *counters,
                                 size_t count, const char *instance, char *out, size_t capacity);

#endif
