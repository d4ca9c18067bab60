/* The load generator's histogram: precision, quantiles, merging. */
#include "bench/latency.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct rc_bench_latency one, two, both;

Test(bench_latency, buckets_are_exact_to_1_6_percent_and_never_decrease)
{
    uint32_t before = 0;
    for (uint64_t ns = 1; ns < UINT64_C(1) << 39; ns += 1 + ns / 97) {
        struct rc_bench_latency *const latency = &one;
        *latency = (struct rc_bench_latency){0};
        rc_bench_latency_add(latency, ns);
        latency->max_ns = UINT64_MAX; /* so that the bucket's own edge is seen */
        const uint64_t edge = rc_bench_latency_quantile(latency, 1);
        cr_assert(edge >= ns && (double)(edge - ns) <= (double)ns / 64, "%llu -> %llu", (unsigned long long)ns,
                  (unsigned long long)edge);
        cr_assert(rc_bench_latency_bucket(ns) >= before);
        before = rc_bench_latency_bucket(ns);
    }
}

Test(bench_latency, values_beyond_the_range_count_as_the_longest)
{
    cr_assert_eq(rc_bench_latency_bucket(UINT64_MAX), RC_BENCH_LATENCY_BUCKETS - 1);
    rc_bench_latency_add(&one, UINT64_C(1) << 60);
    cr_assert_eq(one.max_ns, UINT64_C(1) << 60);
    cr_assert(rc_bench_latency_quantile(&one, 0.5) > 0);
}

Test(bench_latency, quantiles_of_a_known_set)
{
    for (uint64_t ns = 1; ns <= 1000; ns++) {
        rc_bench_latency_add(&one, ns * 1000);
    }
    const uint64_t p50 = rc_bench_latency_quantile(&one, 0.5), p99 = rc_bench_latency_quantile(&one, 0.99);
    cr_assert(p50 >= 500000 && p50 < 508000, "%llu", (unsigned long long)p50);
    cr_assert(p99 >= 990000 && p99 <= 1000000, "%llu", (unsigned long long)p99);
    cr_assert_eq(rc_bench_latency_quantile(&one, 1), 1000000);
    cr_assert_float_eq(rc_bench_latency_mean(&one), 500500.0, 0.001);
    cr_assert_eq(one.min_ns, 1000);
}

Test(bench_latency, empty_gives_zero)
{
    cr_assert_eq(rc_bench_latency_quantile(&one, 0.5), 0);
    cr_assert_float_eq(rc_bench_latency_mean(&one), 0.0, 0);
}

Test(bench_latency, merging_equals_counting_together)
{
    srand(7);
    for (unsigned i = 0; i < 10000; i++) {
        const uint64_t ns = (uint64_t)rand() * 100;
        rc_bench_latency_add(i % 3 == 0 ? &one : &two, ns);
        rc_bench_latency_add(&both, ns);
    }
    static struct rc_bench_latency merged, empty;
    rc_bench_latency_merge(&merged, &one);
    rc_bench_latency_merge(&merged, &empty);
    rc_bench_latency_merge(&merged, &two);
    cr_assert_eq(merged.count, both.count);
    cr_assert_eq(merged.sum_ns, both.sum_ns);
    cr_assert_eq(merged.min_ns, both.min_ns);
    cr_assert_eq(merged.max_ns, both.max_ns);
    for (double q = 0; q <= 1; q += 0.01) {
        cr_assert_eq(rc_bench_latency_quantile(&merged, q), rc_bench_latency_quantile(&both, q));
    }
}

Test(bench_latency, what_came_since_is_all_less_what_was_there)
{
    static struct rc_bench_latency before, all;
    for (uint64_t i = 1; i <= 100; i++) {
        rc_bench_latency_add(&before, 1000);
        rc_bench_latency_add(&all, 1000);
    }
    for (uint64_t i = 1; i <= 10; i++) {
        rc_bench_latency_add(&all, i * 1000000);
    }
    rc_bench_latency_since(&before, &all);
    cr_expect_eq(before.count, 10);
    cr_expect_eq(before.sum_ns, 55000000);
    cr_expect_float_eq((double)rc_bench_latency_quantile(&before, 0.5), 5e6, 1e5);
    cr_expect_eq(rc_bench_latency_quantile(&before, 1), 10000000);
    rc_bench_latency_since(&all, &all);
    cr_expect_eq(rc_bench_latency_quantile(&all, 0.99), 0, "nothing came");
}
