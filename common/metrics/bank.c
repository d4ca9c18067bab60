/* bank: see bank.h. */
#include "common/metrics/bank.h"

#include <stdio.h>
#include <string.h>

#include "build_id.h"
#include "common/base/check.h"
#include "common/base/hash.h"

#define NAME_MAX_BYTES 192

/* What a row is called: a metric that changes its kind is another one, and so is a histogram with other buckets. */
static const char *const value_names[RC_METRIC_COUNT] = {
#define RC_COUNTER(id, name, help) [RC_METRIC_##id] = "counter " name,
#define RC_GAUGE(id, name, help) [RC_METRIC_##id] = "gauge " name,
#define RC_HISTOGRAM(id, name, scale, help)
#include "common/metrics/metrics.def"
#undef RC_COUNTER
#undef RC_GAUGE
#undef RC_HISTOGRAM
};

static const struct {
    const char *name;
    uint64_t scale;
} histogram_names[RC_HISTOGRAM_COUNT] = {
#define RC_COUNTER(id, name, help)
#define RC_GAUGE(id, name, help)
#define RC_HISTOGRAM(id, name_text, scale_units, help) [RC_HISTOGRAM_##id] = {(name_text), (scale_units)},
#include "common/metrics/metrics.def"
#undef RC_COUNTER
#undef RC_GAUGE
#undef RC_HISTOGRAM
};

static const uint32_t close_codes[RC_METRIC_CLOSES] = {
#define RC_CLOSE(name, code, reason, reconnect) [RC_METRIC_CLOSE_##name] = (code),
#include "common/records/codes.def"
};

#define ROW_OF_SUBSCRIPTIONS (RC_METRIC_COUNT + RC_HISTOGRAM_COUNT)
#define ROW_OF_CLOSES (ROW_OF_SUBSCRIPTIONS + 1u)
#define ROW_COUNT (ROW_OF_CLOSES + RC_METRIC_CLOSES)
_Static_assert(ROW_COUNT <= RC_BANK_ROWS_MAX, "a row for each");

static uint64_t name_of(uint32_t row)
{
    char text[NAME_MAX_BYTES];
    int bytes;
    if (row < RC_METRIC_COUNT) {
        return rc_hash_public(value_names[row], strlen(value_names[row]));
    }
    if (row < ROW_OF_SUBSCRIPTIONS) {
        const uint32_t id = row - RC_METRIC_COUNT;
        bytes = snprintf(text, sizeof(text), "histogram %s %llu %u", histogram_names[id].name,
                         (unsigned long long)histogram_names[id].scale, (unsigned)RC_HISTOGRAM_BUCKETS);
    } else if (row == ROW_OF_SUBSCRIPTIONS) {
        bytes = snprintf(text, sizeof(text), "subscriptions");
    } else {
        bytes = snprintf(text, sizeof(text), "close %u", close_codes[row - ROW_OF_CLOSES]); /* 0: of other codes */
    }
    RC_ASSERT(bytes > 0 && bytes < (int)sizeof(text));
    return rc_hash_public(text, (size_t)bytes);
}

static struct rc_bank_row row_make(uint32_t row)
{
    size_t offset;
    size_t bytes = sizeof(uint64_t);
    if (row < RC_METRIC_COUNT) {
        offset = offsetof(struct rc_metrics, values) + row * sizeof(uint64_t);
    } else if (row < ROW_OF_SUBSCRIPTIONS) {
        bytes = sizeof(struct rc_histogram);
        offset = offsetof(struct rc_metrics, histograms) + (row - RC_METRIC_COUNT) * bytes;
    } else if (row == ROW_OF_SUBSCRIPTIONS) {
        bytes = sizeof(((struct rc_metrics *)0)->subscriptions);
        offset = offsetof(struct rc_metrics, subscriptions);
    } else {
        offset = offsetof(struct rc_metrics, closes) + (row - ROW_OF_CLOSES) * sizeof(uint64_t);
    }
    return (struct rc_bank_row){.name = name_of(row), .offset = (uint32_t)offset, .bytes = (uint32_t)bytes};
}

bool rc_bank_ours(const struct rc_bank *bank)
{
    /* BK4 pairs with BK3 in rc_banks_open: the table is there. */
    return atomic_load_explicit(&bank->build, memory_order_acquire) == RC_BUILD_ID;
}

static struct rc_bank *bank_own(struct rc_banks *banks)
{
    const uint32_t current = atomic_load_explicit(&banks->current, memory_order_relaxed) & 1u;
    struct rc_bank *bank = &banks->banks[current];
    const bool free = atomic_load_explicit(&bank->build, memory_order_relaxed) == 0;
    return free || rc_bank_ours(bank) ? bank : &banks->banks[current ^ 1u];
}

struct rc_metrics *rc_banks_open(struct rc_banks *banks)
{
    struct rc_bank *bank = bank_own(banks);
    const bool goes_on = bank == rc_banks_current(banks) && rc_bank_ours(bank);
    if (!goes_on) {
        atomic_store_explicit(&bank->build, 0, memory_order_relaxed);
        memset((void *)&bank->metrics, 0, sizeof(bank->metrics));
    }
    for (uint32_t row = 0; row < ROW_COUNT; row++) {
        bank->rows[row] = row_make(row);
    }
    bank->row_count = ROW_COUNT;
    /* BK3 pairs with BK4. */
    atomic_store_explicit(&bank->build, RC_BUILD_ID, memory_order_release);
    return &bank->metrics;
}

/* Words of a row in a bank of another build; *bytes of them. NULL: it does not have it. `hint`: where this build has it, which is not far. */
static const _Atomic uint64_t *foreign_find(const struct rc_bank *bank, uint32_t hint, size_t *bytes)
{
    const uint64_t name = name_of(hint);
    const uint32_t count = bank->row_count < RC_BANK_ROWS_MAX ? bank->row_count : RC_BANK_ROWS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        const struct rc_bank_row row = bank->rows[(hint + i) % count];
        if (row.name == name) {
            const bool inside = row.offset % 8 == 0 && row.offset < RC_BANK_BYTES && row.bytes <= RC_BANK_BYTES &&
                                row.offset + row.bytes <= RC_BANK_BYTES;
            *bytes = row.bytes;
            return inside ? &bank->words[row.offset / 8] : NULL;
        }
    }
    return NULL;
}

void rc_banks_inherit(struct rc_banks *banks)
{
    struct rc_bank *bank = bank_own(banks);
    const struct rc_bank *from = rc_banks_current(banks);
    for (uint32_t row = 0; bank != from && row < ROW_COUNT; row++) {
        size_t bytes = 0;
        const _Atomic uint64_t *words = foreign_find(from, row, &bytes);
        const struct rc_bank_row to = row_make(row);
        for (size_t i = 0; words != NULL && i < bytes / 8 && i < to.bytes / 8u; i++) {
            _Atomic uint64_t *word = &bank->words[to.offset / 8 + i];
            const uint64_t more = atomic_load_explicit(&words[i], memory_order_relaxed);
            atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + more, memory_order_relaxed);
        }
    }
}

void rc_banks_take(struct rc_banks *banks)
{
    const struct rc_bank *bank = bank_own(banks);
    /* BK1 pairs with BK2 in rc_banks_current. */
    atomic_store_explicit(&banks->current, bank == &banks->banks[1] ? 1u : 0u, memory_order_release);
}

struct rc_metrics *rc_banks_own(struct rc_banks *banks)
{
    struct rc_metrics *metrics = rc_banks_open(banks);
    rc_banks_inherit(banks);
    rc_banks_take(banks);
    return metrics;
}

static uint64_t foreign_word(const struct rc_bank *bank, uint32_t row, uint32_t index)
{
    size_t bytes = 0;
    const _Atomic uint64_t *words = foreign_find(bank, row, &bytes);
    return words != NULL && index < bytes / 8 ? atomic_load_explicit(&words[index], memory_order_relaxed) : 0;
}

uint64_t rc_bank_value(const struct rc_bank *bank, enum rc_metric_id id)
{
    return rc_bank_ours(bank) ? rc_metric_get(&bank->metrics, id) : foreign_word(bank, (uint32_t)id, 0);
}

uint64_t rc_bank_subscriptions(const struct rc_bank *bank, uint32_t namespace)
{
    RC_ASSERT(namespace < RC_METRIC_NAMESPACES_MAX);
    return rc_bank_ours(bank) ? atomic_load_explicit(&bank->metrics.subscriptions[namespace], memory_order_relaxed)
                              : foreign_word(bank, ROW_OF_SUBSCRIPTIONS, namespace);
}

uint64_t rc_bank_closes(const struct rc_bank *bank, enum rc_metric_close place)
{
    return rc_bank_ours(bank) ? atomic_load_explicit(&bank->metrics.closes[place], memory_order_relaxed)
                              : foreign_word(bank, ROW_OF_CLOSES + (uint32_t)place, 0);
}

void rc_bank_merge(struct rc_histogram *into, const struct rc_bank *bank, enum rc_histogram_id id)
{
    if (rc_bank_ours(bank)) {
        rc_histogram_merge(into, &bank->metrics.histograms[id]);
        return;
    }
    size_t bytes = 0;
    const _Atomic uint64_t *words = foreign_find(bank, RC_METRIC_COUNT + (uint32_t)id, &bytes);
    if (words != NULL && bytes == sizeof(struct rc_histogram)) {
        rc_histogram_merge(into, (const struct rc_histogram *)(const void *)words);
    }
}
