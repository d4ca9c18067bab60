/* histogram: see histogram.h. */
#include "common/base/histogram.h"

/* Every load and store here is relaxed: each counter stands alone, and a reader accepts a picture that is a few adds
 * apart. */
static uint64_t bucket_count(const struct rc_histogram *h, uint32_t bucket)
{
    return atomic_load_explicit(&h->buckets[bucket], memory_order_relaxed);
}

uint64_t rc_histogram_upper(uint32_t bucket)
{
    const uint32_t split = 1u << RC_HISTOGRAM_SPLIT_BITS;
    if (bucket >= RC_HISTOGRAM_BUCKETS - 1) {
        return UINT64_MAX;
    }
    if (bucket < split) {
        return (uint64_t)bucket + 1;
    }
    const uint32_t shift = (bucket >> RC_HISTOGRAM_SPLIT_BITS) - 1;
    return ((uint64_t)split + (bucket & (split - 1)) + 1) << shift;
}

uint64_t rc_histogram_quantile(const struct rc_histogram *h, double quantile)
{
    /* The total is summed, not read from `count`: with a writer at work the two differ, and the walk must find its
     * rank. */
    uint64_t total = 0;
    for (uint32_t i = 0; i < RC_HISTOGRAM_BUCKETS; i++) {
        total += bucket_count(h, i);
    }
    if (total == 0) {
        return 0;
    }
    const double q = quantile < 0 ? 0 : quantile > 1 ? 1 : quantile;
    const double exact = q * (double)total;
    uint64_t rank = exact < 0x1p63 ? (uint64_t)exact : total; /* counts of another process may be anything */
    rank += (double)rank < exact;
    rank = rank == 0 ? 1 : rank > total ? total : rank;

    const uint64_t max = atomic_load_explicit(&h->max, memory_order_relaxed);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < RC_HISTOGRAM_BUCKETS; i++) {
        seen += bucket_count(h, i);
        if (seen >= rank) {
            const uint64_t largest = rc_histogram_upper(i) - 1;
            return largest < max ? largest : max;
        }
    }
    return max;
}

uint64_t rc_histogram_count_to(const struct rc_histogram *h, uint64_t value)
{
    const uint32_t last = rc_histogram_bucket(value);
    uint64_t total = 0;
    for (uint32_t i = 0; i <= last; i++) {
        total += bucket_count(h, i);
    }
    return total;
}

static void raise_by(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

void rc_histogram_merge(struct rc_histogram *into, const struct rc_histogram *from)
{
    for (uint32_t i = 0; i < RC_HISTOGRAM_BUCKETS; i++) {
        raise_by(&into->buckets[i], bucket_count(from, i));
    }
    raise_by(&into->count, atomic_load_explicit(&from->count, memory_order_relaxed));
    raise_by(&into->sum, atomic_load_explicit(&from->sum, memory_order_relaxed));
    const uint64_t max = atomic_load_explicit(&from->max, memory_order_relaxed);
    if (max > atomic_load_explicit(&into->max, memory_order_relaxed)) {
        atomic_store_explicit(&into->max, max, memory_order_relaxed);
    }
}
