/*
 * bridges: what came over each [[bridge]], for /metrics: a family whose label is the bridge, which the table of
 * metrics.def cannot have.
 *
 * Any process may call; nothing fails.
 */
#ifndef RC_COMMON_METRICS_BRIDGES_H
#define RC_COMMON_METRICS_BRIDGES_H

#include <stddef.h>

#include "common/shm/layout.h"

/* Prometheus text of all bridges of `config`; nothing without bridges. Writes at most `capacity` bytes, without a NUL, and returns
 * the bytes needed: larger than capacity means it was cut. */
size_t rc_bridge_metrics_render(const struct rc_config *config, const struct rc_bridge_counters *counters,
                                const char *instance, char *out, size_t capacity);

#endif
