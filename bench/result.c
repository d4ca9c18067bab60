/* result: see result.h. */
#include "bench/result.h"

#include <string.h>

double rc_bench_result_cost_ns(const struct rc_bench_result *result)
{
    if (result->deliveries == 0 || result->server_cpu_ns <= 0) {
        return 0;
    }
    const double softirq_ns = result->ksoftirqd_ns > 0 ? result->ksoftirqd_ns : 0;
    return (result->server_cpu_ns + softirq_ns) / (double)result->deliveries;
}

double rc_bench_result_deliveries_per_send(const struct rc_bench_result *result)
{
    return result->sends == 0 ? 0 : (double)result->deliveries / (double)result->sends;
}

uint64_t rc_bench_result_sends(uint64_t data_segments, uint64_t sent_here)
{
    return data_segments > sent_here ? data_segments - sent_here : 0;
}

bool rc_bench_result_clean(const struct rc_bench_options *options, const struct rc_bench_result *result)
{
    if (result->broken_off || result->duplicated > 0 || result->late > 0 || result->corrupted > 0 ||
        result->refused > 0) {
        return false;
    }
    return options->allow_loss || (result->lost == 0 && result->failed == 0 && result->stalls == 0 &&
                                   result->gaps == 0 && result->closed == 0);
}

/* What runs are ordered by: cost where it is known, else time per delivery. */
static double order_of(const struct rc_bench_result *result)
{
    const double cost = rc_bench_result_cost_ns(result);
    return cost > 0 ? cost : result->deliveries > 0 ? result->seconds / (double)result->deliveries : result->connect_s;
}

void rc_bench_result_median(const struct rc_bench_result *results, uint32_t count, struct rc_bench_result *median)
{
    uint32_t chosen = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t below = 0;
        for (uint32_t j = 0; j < count; j++) {
            const double other = order_of(&results[j]), own = order_of(&results[i]);
            below += other < own || (j < i && other <= own);
        }
        if (below == (count - 1) / 2) {
            chosen = i;
        }
    }
    *median = results[chosen];
    for (uint32_t i = 0; i < count; i++) {
        if (i == chosen) {
            continue;
        }
        median->failed += results[i].failed;
        median->closed += results[i].closed;
        median->lost += results[i].lost;
        median->duplicated += results[i].duplicated;
        median->late += results[i].late;
        median->corrupted += results[i].corrupted;
        median->refused += results[i].refused;
        median->gaps += results[i].gaps;
        median->stalls += results[i].stalls;
        median->broken_off = median->broken_off || results[i].broken_off;
        if (median->error[0] == '\0') {
            memcpy(median->error, results[i].error, sizeof(median->error));
        }
    }
}
