/*
 * event_rows: what became of the events of each row of [[event]], for /metrics: a family whose labels are the row and the result, which the table
 * of metrics.def cannot have.
 *
 * A worker counts into its own report; any process may show the sum. Nothing fails.
 */
#ifndef RC_COMMON_METRICS_EVENT_ROWS_H
#define RC_COMMON_METRICS_EVENT_ROWS_H

#include <stddef.h>

#include "common/metrics/exposition.h"
#include "common/shm/layout.h"

/* The rows of `config` are counted from here on, at start and after a reload: those that were there before, by namespace, event and how many of
 * that there are before it, keep their numbers wherever they are now. */
void rc_event_rows_adopt(struct rc_row_counters rows[RC_CONFIG_EVENTS_MAX], const struct rc_config *config);

/* The event was carried out (`guard` negative), or refused by the guard (enum rc_event_guard; RC_GUARDS: by none of them). */
static inline void rc_event_row_count(struct rc_row_counters *row, int guard)
{
    _Atomic uint64_t *outcome = &row->outcomes[guard < 0 ? 0 : 1 + guard];
    atomic_store_explicit(outcome, atomic_load_explicit(outcome, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* The sum of `count` workers' counters; results that never were have no lines. */
void rc_event_rows_render(struct rc_exposition *to, const struct rc_config *config,
                          const struct rc_row_counters *const *rows, size_t count);

#endif
