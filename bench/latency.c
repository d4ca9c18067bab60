/* latency: see latency.h. */
#include "bench/latency.h"

/* The largest value of a bucket. */
static uint64_t upper_of(uint32_t bucket)
{
    const uint32_t split = 1u << RC_BENCH_LATENCY_SPLIT_BITS;
    if (bucket < 2 * split) {
        return bucket;
    }
    const uint32_t shift = (bucket >> RC_BENCH_LATENCY_SPLIT_BITS) - 1;
    const uint64_t mantissa = (bucket & (split - 1)) + split;
    return ((mantissa + 1) << shift) - 1;
}

void rc_bench_latency_merge(struct rc_bench_latency *into, const struct rc_bench_latency *from)
{
    if (from->count == 0) {
        return;
    }
    if (into->count == 0 || from->min_ns < into->min_ns) {
        into->min_ns = from->min_ns;
    }
    if (from->max_ns > into->max_ns) {
        into->max_ns = from->max_ns;
    }
    into->count += from->count;
    into->sum_ns += from->sum_ns;
    for (uint32_t i = 0; i < RC_BENCH_LATENCY_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
}

void rc_bench_latency_since(struct rc_bench_latency *before, const struct rc_bench_latency *all)
{
    before->count = all->count - before->count;
    before->sum_ns = all->sum_ns - before->sum_ns;
    before->max_ns = all->max_ns;
    before->min_ns = all->min_ns;
    for (uint32_t i = 0; i < RC_BENCH_LATENCY_BUCKETS; i++) {
        before->buckets[i] = all->buckets[i] - before->buckets[i];
    }
}

uint64_t rc_bench_latency_quantile(const struct rc_bench_latency *latency, double quantile)
{
    if (latency->count == 0) {
        return 0;
    }
    const double exact = quantile * (double)latency->count;
    uint64_t wanted = (uint64_t)exact;
    if ((double)wanted < exact || wanted == 0) {
        wanted++;
    }
    uint64_t seen = 0;
    for (uint32_t i = 0; i < RC_BENCH_LATENCY_BUCKETS; i++) {
        seen += latency->buckets[i];
        if (seen >= wanted) {
            const uint64_t upper = upper_of(i);
            return upper < latency->max_ns ? upper : latency->max_ns;
        }
    }
    return latency->max_ns;
}

double rc_bench_latency_mean(const struct rc_bench_latency *latency)
{
    return latency->count == 0 ? 0.0 : (double)latency->sum_ns / (double)latency->count;
}
