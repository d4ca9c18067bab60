/* recent: see recent.h. */
#include "acceptor/watch/recent.h"

#include <string.h>

#include "common/base/check.h"

struct rc_recent_sample *rc_recent_next(struct rc_recent *recent, uint64_t now_ms)
{
    struct rc_recent_sample *sample = &recent->samples[recent->count++ % RC_RECENT_SAMPLES];
    memset(sample, 0, sizeof(*sample));
    sample->time_ms = now_ms;
    return sample;
}

void rc_recent_add(struct rc_recent_sample *sample, const struct rc_bank *bank)
{
    sample->messages += rc_bank_value(bank, RC_METRIC_FRAMES_IN) + rc_bank_value(bank, RC_METRIC_DELIVERIES);
    sample->errors += rc_bank_value(bank, RC_METRIC_REQUEST_ERRORS) + rc_bank_value(bank, RC_METRIC_PROTOCOL_ERRORS) +
                      rc_bank_value(bank, RC_METRIC_HTTP_ERRORS);
    rc_bank_merge(&sample->latency, bank, RC_HISTOGRAM_PUBLISH_TO_SEND);
}

static const struct rc_recent_sample *recent_newest(const struct rc_recent *recent)
{
    return &recent->samples[(recent->count - 1) % RC_RECENT_SAMPLES];
}

/* The newest sample that is at least so old, or the oldest that is kept. Samples come a little later than once a second, and much later
 * on a starved machine. */
static const struct rc_recent_sample *recent_before(const struct rc_recent *recent, uint64_t age_ms)
{
    const uint64_t now_ms = recent_newest(recent)->time_ms;
    const uint32_t kept = recent->count < RC_RECENT_SAMPLES ? recent->count : RC_RECENT_SAMPLES;
    uint32_t back = 1;
    while (back < kept && now_ms - recent->samples[(recent->count - back) % RC_RECENT_SAMPLES].time_ms < age_ms) {
        back++;
    }
    return &recent->samples[(recent->count - back) % RC_RECENT_SAMPLES];
}

/* A sum over processes falls when one is started again and its counter begins anew: nothing goes below 0. */
static uint64_t sum_grown(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

/* The part of a growth that falls to RC_RECENT_RATE_MS; less than that since the start is all there is. */
static uint64_t to_rate(uint64_t growth, uint64_t over_ms)
{
    return over_ms > RC_RECENT_RATE_MS ? growth * RC_RECENT_RATE_MS / over_ms : growth;
}

static void tell_latency(const struct rc_recent_sample *now, const struct rc_recent_sample *before,
                         struct rc_metrics *own)
{
    static const struct {
        enum rc_metric_id id;
        double quantile;
    } wanted[] = {{RC_METRIC_RECENT_P50, 0.5}, {RC_METRIC_RECENT_P95, 0.95}, {RC_METRIC_RECENT_P99, 0.99}};
    struct rc_histogram recent = {.max = now->latency.max};
    for (uint32_t i = 0; i < RC_HISTOGRAM_BUCKETS; i++) {
        const uint64_t count = sum_grown(now->latency.buckets[i], before->latency.buckets[i]);
        recent.buckets[i] = count;
        recent.count += count;
    }
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(wanted); i++) {
        rc_metric_set(own, wanted[i].id, (rc_histogram_quantile(&recent, wanted[i].quantile) + 500) / 1000);
    }
}

void rc_recent_tell(const struct rc_recent *recent, struct rc_metrics *own)
{
    RC_ASSERT(recent->count > 0);
    const struct rc_recent_sample *now = recent_newest(recent);
    const struct rc_recent_sample *before = recent_before(recent, RC_RECENT_RATE_MS);
    const uint64_t over_ms = now->time_ms - before->time_ms;
    rc_metric_set(own, RC_METRIC_RECENT_MESSAGES, to_rate(sum_grown(now->messages, before->messages), over_ms));
    rc_metric_set(own, RC_METRIC_RECENT_CPU, to_rate(sum_grown(now->cpu_ms, before->cpu_ms), over_ms));
    before = recent_before(recent, RC_RECENT_LONG_MS);
    rc_metric_set(own, RC_METRIC_RECENT_ERRORS, sum_grown(now->errors, before->errors));
    tell_latency(now, before, own);
}
