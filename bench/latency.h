/*
 * latency: a log-linear histogram of nanoseconds, fine enough to compare medians.
 *
 * Plain memory without pointers: each client process writes its own in the memory it shares with the coordinator, which
 * merges them when the processes have stopped. common/base/histogram.h is the same idea at 12.5 %; ratios between two servers
 * need better, so here each power of two has 64 buckets (1.6 %). Values up to 2^40 ns (18 minutes); longer ones count as that.
 */
#ifndef RC_BENCH_LATENCY_H
#define RC_BENCH_LATENCY_H

#include <stdint.h>

#define RC_BENCH_LATENCY_SPLIT_BITS 6u
#define RC_BENCH_LATENCY_BUCKETS ((40u - RC_BENCH_LATENCY_SPLIT_BITS + 1) << RC_BENCH_LATENCY_SPLIT_BITS)

struct rc_bench_latency {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
    uint64_t min_ns; /* meaningless while count is 0 */
    uint64_t buckets[RC_BENCH_LATENCY_BUCKETS];
};

static inline uint32_t rc_bench_latency_bucket(uint64_t ns)
{
    if (ns < (1u << RC_BENCH_LATENCY_SPLIT_BITS)) {
        return (uint32_t)ns;
    }
    const uint32_t shift = 63u - (uint32_t)__builtin_clzll(ns) - RC_BENCH_LATENCY_SPLIT_BITS;
    const uint64_t bucket = ((uint64_t)shift << RC_BENCH_LATENCY_SPLIT_BITS) + (ns >> shift);
    return bucket < RC_BENCH_LATENCY_BUCKETS ? (uint32_t)bucket : RC_BENCH_LATENCY_BUCKETS - 1;
}

static inline void rc_bench_latency_add(struct rc_bench_latency *latency, uint64_t ns)
{
    latency->buckets[rc_bench_latency_bucket(ns)]++;
    if (latency->count == 0 || ns < latency->min_ns) {
        latency->min_ns = ns;
    }
    if (ns > latency->max_ns) {
        latency->max_ns = ns;
    }
    latency->count++;
    latency->sum_ns += ns;
}

void rc_bench_latency_merge(struct rc_bench_latency *into, const struct rc_bench_latency *from);

/* What came to `all` since it was `before`, in place of that; its least and greatest are those of `all`. */
void rc_bench_latency_since(struct rc_bench_latency *before, const struct rc_bench_latency *all);

/* The value below which `quantile` (0..1) of the observations lie: the upper edge of its bucket, at most the maximum;
 * 0 when empty. */
uint64_t rc_bench_latency_quantile(const struct rc_bench_latency *latency, double quantile);

/* 0 when empty. */
double rc_bench_latency_mean(const struct rc_bench_latency *latency);

#endif
