/* histogram: bucket edges, quantiles against sorted values, merging. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/base/histogram.h"

Test(histogram, buckets_join_without_gap_or_overlap)
{
    cr_assert_eq(rc_histogram_bucket(0), 0);
    for (uint32_t bucket = 0; bucket + 1 < RC_HISTOGRAM_BUCKETS; bucket++) {
        const uint64_t upper = rc_histogram_upper(bucket);
        cr_assert_eq(rc_histogram_bucket(upper - 1), bucket, "bucket %u", bucket);
        cr_assert_eq(rc_histogram_bucket(upper), bucket + 1, "bucket %u", bucket);
    }
    cr_assert_eq(rc_histogram_upper(RC_HISTOGRAM_BUCKETS - 2), UINT64_C(15) << 36);
}

Test(histogram, buckets_are_exact_to_one_eighth)
{
    for (uint32_t bucket = 8; bucket + 2 < RC_HISTOGRAM_BUCKETS; bucket++) {
        const uint64_t lower = rc_histogram_upper(bucket - 1);
        cr_assert_leq((rc_histogram_upper(bucket) - lower) * 8, lower);
    }
}

Test(histogram, values_beyond_the_range_go_to_the_last_bucket)
{
    struct rc_histogram h = {0};
    const uint64_t values[] = {UINT64_C(1) << 40, UINT64_C(1) << 41, UINT64_MAX};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(rc_histogram_bucket(values[i]), RC_HISTOGRAM_BUCKETS - 1);
        rc_histogram_add(&h, values[i], 1);
    }
    cr_assert_eq(rc_histogram_upper(RC_HISTOGRAM_BUCKETS - 1), UINT64_MAX);
    cr_assert_eq(rc_histogram_quantile(&h, 1.0), UINT64_MAX - 1);
    cr_assert_eq(rc_histogram_count_to(&h, UINT64_MAX), 3);
}

Test(histogram, empty_histogram_has_quantile_zero)
{
    const struct rc_histogram h = {0};
    cr_assert_eq(rc_histogram_quantile(&h, 0.5), 0);
    cr_assert_eq(rc_histogram_count_to(&h, UINT64_MAX), 0);
}

Test(histogram, small_values_are_exact)
{
    struct rc_histogram h = {0};
    rc_histogram_add(&h, 3, 99);
    rc_histogram_add(&h, 100, 1);
    cr_assert_eq(rc_histogram_quantile(&h, 0.0), 3);
    cr_assert_eq(rc_histogram_quantile(&h, 0.5), 3);
    cr_assert_eq(rc_histogram_quantile(&h, 0.99), 3);
    cr_assert_eq(rc_histogram_quantile(&h, 0.999), 100, "no more than the largest seen");
    cr_assert_eq(rc_histogram_quantile(&h, 7.0), 100);
    cr_assert_eq(rc_histogram_quantile(&h, -1.0), 3);
    cr_assert_eq(atomic_load(&h.count), 100);
    cr_assert_eq(atomic_load(&h.sum), 3 * 99 + 100);
}

static int compare(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a;
    const uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

Test(histogram, quantiles_are_within_one_eighth_of_the_true_ones)
{
    enum { COUNT = 20000 };
    static uint64_t values[COUNT];
    struct rc_histogram h = {0};
    uint64_t random = 1;
    for (int i = 0; i < COUNT; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        values[i] = random >> (24 + (random >> 3 & 31));
        rc_histogram_add(&h, values[i], 1);
    }
    qsort(values, COUNT, sizeof(values[0]), compare);
    const double quantiles[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0};
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        const uint64_t exact = values[(size_t)(quantiles[i] * (double)COUNT + 0.5) - 1];
        const uint64_t seen = rc_histogram_quantile(&h, quantiles[i]);
        cr_assert_geq(seen, exact, "q %f", quantiles[i]);
        cr_assert_leq(seen, exact + exact / 8, "q %f", quantiles[i]);
    }
}

Test(histogram, count_to_is_cumulative_and_complete)
{
    struct rc_histogram h = {0};
    for (uint64_t value = 0; value < 1000; value++) {
        rc_histogram_add(&h, value, 2);
    }
    cr_assert_eq(rc_histogram_count_to(&h, 0), 2);
    cr_assert_eq(rc_histogram_count_to(&h, 7), 16);
    cr_assert_eq(rc_histogram_count_to(&h, 15), 32);
    cr_assert_eq(rc_histogram_count_to(&h, 1023), 2000);
    uint64_t before = 0;
    for (uint64_t value = 0; value < 2000; value++) {
        const uint64_t now = rc_histogram_count_to(&h, value);
        cr_assert_geq(now, before);
        before = now;
    }
}

Test(histogram, merge_adds_everything)
{
    struct rc_histogram a = {0};
    struct rc_histogram b = {0};
    rc_histogram_add(&a, 5, 3);
    rc_histogram_add(&b, 5, 1);
    rc_histogram_add(&b, 70000, 2);
    rc_histogram_merge(&a, &b);
    cr_assert_eq(atomic_load(&a.count), 6);
    cr_assert_eq(atomic_load(&a.sum), 5 * 4 + 140000);
    cr_assert_eq(atomic_load(&a.max), 70000);
    cr_assert_eq(rc_histogram_count_to(&a, 5), 4);
    rc_histogram_merge(&a, &(struct rc_histogram){0});
    cr_assert_eq(atomic_load(&a.count), 6);
}
