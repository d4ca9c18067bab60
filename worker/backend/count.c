/* count: see count.h. */
#include "worker/backend/count.h"

#include <stdbool.h>
#include <string.h>

#include "common/metrics/backend_calls.h"

_Static_assert(RC_BACKEND_KINDS == RC_BACKEND_CALL_KINDS, "as many counters as calls");

void rc_backend_count_call(struct rc_backend_counters *counters, enum rc_backend_call_kind kind, int reason,
                           uint64_t microseconds)
{
    if ((uint32_t)kind >= RC_BACKEND_KINDS) {
        return;
    }
    struct rc_backend_call_counters *of = &counters->calls[kind];
    uint32_t bucket = 0;
    while (bucket < RC_BACKEND_BUCKETS - 1 && microseconds > rc_backend_bounds_ms[bucket] * UINT64_C(1000)) {
        bucket++;
    }
    rc_backend_count_add(&of->calls, 1);
    rc_backend_count_add(&of->microseconds, microseconds);
    rc_backend_count_add(&of->buckets[bucket], 1);
    if (reason >= 0) {
        rc_backend_count_add(&of->failures[reason], 1);
    }
}

#define COUNTER_WORDS (sizeof(struct rc_backend_counters) / sizeof(uint64_t))

void rc_backend_count_reorder(struct rc_backend_counters *counters, const struct rc_config_text *before,
                              uint32_t before_count, const struct rc_config_text *after, uint32_t after_count)
{
    uint64_t kept[RC_CONFIG_BACKENDS_MAX][COUNTER_WORDS];
    memset(kept, 0, sizeof(kept));
    for (uint32_t i = 0; i < after_count; i++) {
        for (uint32_t j = 0; j < before_count; j++) {
            const _Atomic uint64_t *words = (const _Atomic uint64_t *)&counters[j];
            const bool same = strcmp(after[i].text, before[j].text) == 0;
            for (size_t word = 0; same && word < COUNTER_WORDS; word++) {
                kept[i][word] = atomic_load_explicit(&words[word], memory_order_relaxed);
            }
        }
    }
    for (uint32_t i = 0; i < RC_CONFIG_BACKENDS_MAX; i++) {
        _Atomic uint64_t *words = (_Atomic uint64_t *)&counters[i];
        for (size_t word = 0; word < COUNTER_WORDS; word++) {
            atomic_store_explicit(&words[word], kept[i][word], memory_order_relaxed);
        }
    }
}
