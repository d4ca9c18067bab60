/*
 * bridges: what came over each [[bridge]], for /metrics: a family whose label is the bridge, which the table of
 * metrics.def cannot have.
 *
 * Any process may call; nothing fails.
 */
#ifndef RC_COMMON_METRICS_BRIDGES_H
#define RC_COMMON_METRICS_BRIDGES_H

#include "common/metrics/exposition.h"
#include "common/shm/layout.h"

/* All bridges of `config`; nothing without bridges. */
void rc_bridge_metrics_render(struct rc_exposition *to, const struct rc_config *config,
                              const struct rc_bridge_counters *counters);

#endif
