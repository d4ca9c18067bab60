/*
 * count: what becomes of calls, for /metrics (common/metrics/backends.h). Written by this worker only, relaxed: each number stands alone.
 */
#ifndef RC_WORKER_BACKEND_COUNT_H
#define RC_WORKER_BACKEND_COUNT_H

#include "common/config/backend.h"
#include "common/shm/layout.h"

static inline void rc_backend_count_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void rc_backend_count_set(_Atomic uint64_t *gauge, uint64_t n)
{
    atomic_store_explicit(gauge, n, memory_order_relaxed);
}

/* A call that took so long has ended, maybe of a failure (enum rc_backend_reason, -1: of none). */
void rc_backend_count_call(struct rc_backend_counters *counters, enum rc_backend_call_kind kind, int reason,
                           uint64_t microseconds);

/* The counters of `before` (names, in order) are put in the order of `after`: a reload has moved the tables. New ones begin at 0. */
void rc_backend_count_reorder(struct rc_backend_counters *counters, const struct rc_config_text *before,
                              uint32_t before_count, const struct rc_config_text *after, uint32_t after_count);

#endif
