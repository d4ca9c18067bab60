/*
 * histogram: log-linear counts of durations and sizes, plain memory without pointers so that it can live in shared
 * memory.
 *
 * One writer (the owning process), any number of readers that accept a slightly torn picture. Values up to 2^40; each
 * power of two is split into 8 linear buckets, so a quantile is exact to 12.5 %.
 */
#ifndef RC_COMMON_BASE_HISTOGRAM_H
#define RC_COMMON_BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define RC_HISTOGRAM_SPLIT_BITS 3
#define RC_HISTOGRAM_BUCKETS (((40 - RC_HISTOGRAM_SPLIT_BITS) + 1) << RC_HISTOGRAM_SPLIT_BITS)

struct rc_histogram {
    _Atomic uint64_t count;
    _Atomic uint64_t sum;
    _Atomic uint64_t max;
    _Atomic uint64_t buckets[RC_HISTOGRAM_BUCKETS];
};

/* The bucket of a value; values above the range go to the last one. */
static inline uint32_t rc_histogram_bucket(uint64_t value)
{
    if (value < (1u << RC_HISTOGRAM_SPLIT_BITS)) {
        return (uint32_t)value;
    }
    const uint32_t top = 63u - (uint32_t)__builtin_clzll(value);
    const uint32_t shift = top - RC_HISTOGRAM_SPLIT_BITS;
    const uint32_t bucket =
        ((shift + 1) << RC_HISTOGRAM_SPLIT_BITS) + ((uint32_t)(value >> shift) & ((1u << RC_HISTOGRAM_SPLIT_BITS) - 1));
    return bucket < RC_HISTOGRAM_BUCKETS ? bucket : RC_HISTOGRAM_BUCKETS - 1;
}

/* Adds `n` observations of one value. Single writer: plain load + store is enough, relaxed because each counter
 * stands alone. */
static inline void rc_histogram_add(struct rc_histogram *h, uint64_t value, uint64_t n)
{
    _Atomic uint64_t *bucket = &h->buckets[rc_histogram_bucket(value)];
    atomic_store_explicit(bucket, atomic_load_explicit(bucket, memory_order_relaxed) + n, memory_order_relaxed);
    atomic_store_explicit(&h->count, atomic_load_explicit(&h->count, memory_order_relaxed) + n, memory_order_relaxed);
    atomic_store_explicit(&h->sum, atomic_load_explicit(&h->sum, memory_order_relaxed) + value * n,
                          memory_order_relaxed);
    if (value > atomic_load_explicit(&h->max, memory_order_relaxed)) {
        atomic_store_explicit(&h->max, value, memory_order_relaxed);
    }
}

/* The exclusive upper edge of a bucket; UINT64_MAX for the last one, which takes all that is too large. */
uint64_t rc_histogram_upper(uint32_t bucket);

/* The value at or below which `quantile` (0..1) of the observations lie (largest of its bucket, at most max); 0 if
 * empty. */
uint64_t rc_histogram_quantile(const struct rc_histogram *h, double quantile);

/* Observations at or below `value`, to bucket precision (for Prometheus' cumulative `le` buckets). */
uint64_t rc_histogram_count_to(const struct rc_histogram *h, uint64_t value);

/* Adds all of `from` to `into`. */
void rc_histogram_merge(struct rc_histogram *into, const struct rc_histogram *from);

#endif
