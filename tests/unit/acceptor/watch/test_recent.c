/* The last seconds out of counters that only grow, under a clock of the test's. */
#include <criterion/criterion.h>
#include <string.h>

#include "acceptor/watch/recent.h"
#include "build_id.h"

static struct rc_recent recent;
static struct rc_bank bank;
static struct rc_metrics own;
static uint64_t cpu_ms;

static void sample(uint64_t now_ms)
{
    struct rc_recent_sample *next = rc_recent_next(&recent, now_ms);
    next->cpu_ms = cpu_ms;
    atomic_store(&bank.build, RC_BUILD_ID);
    rc_recent_add(next, &bank);
    rc_recent_tell(&recent, &own);
}

#define expect(id, value)                                                                       \
    cr_expect_eq(rc_metric_get(&own, RC_METRIC_RECENT_##id), (uint64_t)(value), #id " is %llu", \
                 (unsigned long long)rc_metric_get(&own, RC_METRIC_RECENT_##id))

Test(recent, what_was_before_the_first_sample_is_not_counted)
{
    rc_metric_add(&bank.metrics, RC_METRIC_FRAMES_IN, 1000);
    rc_metric_add(&bank.metrics, RC_METRIC_HTTP_ERRORS, 1000);
    sample(5000);
    expect(MESSAGES, 0);
    expect(ERRORS, 0);
    expect(CPU, 0);
    expect(P99, 0);
    rc_metric_add(&bank.metrics, RC_METRIC_FRAMES_IN, 30);
    rc_metric_add(&bank.metrics, RC_METRIC_DELIVERIES, 70);
    sample(6000);
    expect(MESSAGES, 100);
}

Test(recent, messages_and_cpu_of_ten_seconds_errors_of_a_minute)
{
    for (uint64_t second = 0; second <= 200; second++) {
        rc_metric_add(&bank.metrics, RC_METRIC_FRAMES_IN, 10);
        rc_metric_add(&bank.metrics, RC_METRIC_REQUEST_ERRORS, 1);
        rc_metric_add(&bank.metrics, RC_METRIC_PROTOCOL_ERRORS, 1);
        cpu_ms += 250;
        sample(second * 1000);
    }
    expect(MESSAGES, 100);
    expect(ERRORS, 120);
    expect(CPU, 2500);
    for (uint64_t second = 201; second <= 210; second++) {
        sample(second * 1000);
    }
    expect(MESSAGES, 0);
    expect(ERRORS, 100);
    expect(CPU, 0);
    for (uint64_t second = 211; second <= 260; second++) {
        sample(second * 1000);
    }
    expect(ERRORS, 0);
}

Test(recent, samples_that_come_late_are_reckoned_to_their_time)
{
    sample(0);
    rc_metric_add(&bank.metrics, RC_METRIC_DELIVERIES, 3000);
    sample(30000);
    expect(MESSAGES, 1000);
}

Test(recent, nothing_is_below_0)
{
    cpu_ms = 5000;
    sample(0);
    cpu_ms = 10; /* a process began anew */
    sample(1000);
    expect(CPU, 0);
}

Test(recent, latency_is_that_of_the_last_minute)
{
    sample(0);
    for (int i = 0; i < 100; i++) {
        rc_metric_observe(&bank.metrics, RC_HISTOGRAM_PUBLISH_TO_SEND, 1000000000); /* a second each, long ago */
    }
    sample(1000);
    cr_expect_geq(rc_metric_get(&own, RC_METRIC_RECENT_P50), 900000u);
    for (uint64_t second = 2; second <= 70; second++) {
        rc_metric_observe(&bank.metrics, RC_HISTOGRAM_PUBLISH_TO_SEND, second == 30 ? 50000000 : 100000);
        sample(second * 1000);
    }
    const uint64_t p50 = rc_metric_get(&own, RC_METRIC_RECENT_P50);
    const uint64_t p99 = rc_metric_get(&own, RC_METRIC_RECENT_P99);
    cr_expect(p50 >= 88 && p50 <= 113, "%llu", (unsigned long long)p50);
    cr_expect(p99 >= 43000 && p99 <= 57000, "%llu", (unsigned long long)p99);
    cr_expect_eq(rc_metric_get(&own, RC_METRIC_RECENT_P95), p50);
}
