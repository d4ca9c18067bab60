/*
 * metrics: counters, gauges and histograms in shared memory, declared once in metrics.def.
 *
 * Each process (acceptor, relay, every worker) owns one `struct rc_metrics` in its report and is its only
 * writer; /metrics, `ringcast status` and a post-mortem read them all. Writing is a relaxed load + store: no lock
 * prefix, no sharing.
 */
#ifndef RC_COMMON_METRICS_METRICS_H
#define RC_COMMON_METRICS_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/histogram.h"

enum rc_metric_id {
#define RC_COUNTER(id, name, help) RC_METRIC_##id,
#define RC_GAUGE(id, name, help) RC_METRIC_##id,
#define RC_HISTOGRAM(id, name, scale, help)
#include "common/metrics/metrics.def"
#undef RC_COUNTER
#undef RC_GAUGE
#undef RC_HISTOGRAM
    RC_METRIC_COUNT
};

enum rc_histogram_id {
#define RC_COUNTER(id, name, help)
#define RC_GAUGE(id, name, help)
#define RC_HISTOGRAM(id, name, scale, help) RC_HISTOGRAM_##id,
#include "common/metrics/metrics.def"
#undef RC_COUNTER
#undef RC_GAUGE
#undef RC_HISTOGRAM
    RC_HISTOGRAM_COUNT
};

/* Close codes that clients are sent, each with its place in rc_metrics.closes. */
enum rc_metric_close {
#define RC_CLOSE(name, code, reason, reconnect) RC_METRIC_CLOSE_##name,
#include "common/records/codes.def"
    RC_METRIC_CLOSE_OTHER, /* of the API's callers, and of backends */
    RC_METRIC_CLOSES
};

/* Of the namespaces that a configuration may have; what is counted by namespace stands at its index in config.namespaces. */
#define RC_METRIC_NAMESPACES_MAX 64

struct rc_metrics {
    _Atomic uint64_t values[RC_METRIC_COUNT];
    struct rc_histogram histograms[RC_HISTOGRAM_COUNT];
    _Atomic uint64_t subscriptions[RC_METRIC_NAMESPACES_MAX]; /* RC_METRIC_SUBSCRIPTIONS by namespace; workers */
    _Atomic uint64_t closes[RC_METRIC_CLOSES];                /* close frames by code; workers */
};

static inline void rc_metric_add(struct rc_metrics *metrics, enum rc_metric_id id, uint64_t n)
{
    _Atomic uint64_t *value = &metrics->values[id];
    atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void rc_metric_sub(struct rc_metrics *metrics, enum rc_metric_id id, uint64_t n)
{
    rc_metric_add(metrics, id, (uint64_t)0 - n);
}

static inline void rc_metric_set(struct rc_metrics *metrics, enum rc_metric_id id, uint64_t n)
{
    atomic_store_explicit(&metrics->values[id], n, memory_order_relaxed);
}

/* A subscription more or less in a namespace. */
static inline void rc_metric_subscribed(struct rc_metrics *metrics, uint32_t namespace, int64_t n)
{
    _Atomic uint64_t *value = &metrics->subscriptions[namespace];
    atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + (uint64_t)n, memory_order_relaxed);
}

static inline void rc_metric_set_subscribed(struct rc_metrics *metrics, uint32_t namespace, uint64_t n)
{
    atomic_store_explicit(&metrics->subscriptions[namespace], n, memory_order_relaxed);
}

/* A client is sent a close frame with this code. */
static inline void rc_metric_closed(struct rc_metrics *metrics, uint32_t code)
{
    enum rc_metric_close place = RC_METRIC_CLOSE_OTHER;
    switch (code) {
#define RC_CLOSE(name, code, reason, reconnect) \
    case code:                                  \
        place = RC_METRIC_CLOSE_##name;         \
        break;
#include "common/records/codes.def"
    default:
        break;
    }
    _Atomic uint64_t *value = &metrics->closes[place];
    atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + 1, memory_order_relaxed);
}

static inline uint64_t rc_metric_get(const struct rc_metrics *metrics, enum rc_metric_id id)
{
    return atomic_load_explicit(&metrics->values[id], memory_order_relaxed);
}

static inline void rc_metric_observe(struct rc_metrics *metrics, enum rc_histogram_id id, uint64_t value)
{
    rc_histogram_add(&metrics->histograms[id], value, 1);
}

#endif
