/*
 * bank: the metrics of one process in shared memory, with a table that says by name where each of them lies, so that programs of other
 * builds can read them, and a successor of another build goes on counting where its predecessor stopped.
 *
 *   report ─▶ banks.current ─▶ bank { build, rows: name ▶ offset, bytes; memory: struct rc_metrics of that build }
 *                          └─▶ the other one: of a successor of another build, until it has taken over
 *
 * Who is of the same build reads and writes the memory as it is. Others look a name up, within bounds of their own: what they find is a
 * number to show. A metric that the other build does not have reads 0.
 *
 * One writer: the process. Layout for ever (RC_REPORT_ABI); what lies in `memory` is as `build` has it.
 */
#ifndef RC_COMMON_METRICS_BANK_H
#define RC_COMMON_METRICS_BANK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/metrics/metrics.h"

#define RC_BANK_ROWS_MAX 1024u
#define RC_BANK_BYTES (128u * 1024u)

struct rc_bank_row {
    uint64_t name; /* hash of kind and name, the same in all builds */
    uint32_t offset;
    uint32_t bytes; /* whole words */
};

struct rc_bank {
    _Atomic uint32_t build; /* RC_BUILD_ID of who counts here; 0 = nobody yet. Stored last */
    uint32_t row_count;
    uint8_t pad[56];
    struct rc_bank_row rows[RC_BANK_ROWS_MAX];
    union {
        struct rc_metrics metrics;
        _Atomic uint64_t words[RC_BANK_BYTES / 8];
    };
};
_Static_assert(sizeof(struct rc_bank) == 64 + RC_BANK_ROWS_MAX * 16 + RC_BANK_BYTES, "bank layout: metrics fit it");

struct rc_banks {
    _Atomic uint32_t current;
    uint8_t pad[60];
    struct rc_bank banks[2]; /* pages are touched with use only */
};

/* The one that its process counts in. */
static inline const struct rc_bank *rc_banks_current(const struct rc_banks *banks)
{
    /* BK2 pairs with BK1 in rc_banks_take: what was carried over is there. */
    return &banks->banks[atomic_load_explicit(&banks->current, memory_order_acquire) & 1u];
}

/* Where a process of this build counts: the current bank, when that is of this build, else the other one, made empty. Others see nothing of
 * it. */
struct rc_metrics *rc_banks_open(struct rc_banks *banks);
/* Adds by name, to what rc_banks_open gave, what a predecessor of another build has counted. It must count no more. */
void rc_banks_inherit(struct rc_banks *banks);
/* From here on this process's bank is the current one. */
void rc_banks_take(struct rc_banks *banks);
/* All of that at once: of a process whose predecessor is gone. */
struct rc_metrics *rc_banks_own(struct rc_banks *banks);

/* Is it of this build? */
bool rc_bank_ours(const struct rc_bank *bank);
uint64_t rc_bank_value(const struct rc_bank *bank, enum rc_metric_id id);
uint64_t rc_bank_subscriptions(const struct rc_bank *bank, uint32_t namespace);
uint64_t rc_bank_closes(const struct rc_bank *bank, enum rc_metric_close place);
/* Adds its observations to `into`. */
void rc_bank_merge(struct rc_histogram *into, const struct rc_bank *bank, enum rc_histogram_id id);

#endif
