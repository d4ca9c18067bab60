/* backend_calls: see backend_calls.h. */
#include "common/metrics/backend_calls.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/check.h"

const uint32_t rc_backend_bounds_ms[RC_BACKEND_BUCKETS - 1] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000};

/* enum rc_backend_call_kind; the names of common/config/backend.c, which this room does not know. */
static const char *const calls[RC_BACKEND_KINDS] = {"connect", "disconnect", "subscribe", "publish",
                                                    "refresh", "event",      "ack",       "webhook"};
static const char *const reasons[RC_BACKEND_REASONS] = {
    [RC_BACKEND_REASON_LATE] = "timeout",   [RC_BACKEND_REASON_UNREACHABLE] = "unreachable",
    [RC_BACKEND_REASON_LOST] = "lost",      [RC_BACKEND_REASON_GARBAGE] = "garbage",
    [RC_BACKEND_REASON_TOO_LARGE] = "size", [RC_BACKEND_REASON_REFUSED] = "refused",
    [RC_BACKEND_REASON_STATUS] = "status",  [RC_BACKEND_REASON_REPLY] = "reply"};

/* Of one backend alone. Their names are words: nothing in them has to be escaped. */
static const struct {
    const char *name;
    const char *type;
    const char *help;
    size_t offset;
} plain[] = {
    {"ringcast_backend_in_flight", "gauge", "Calls that a backend is answering",
     offsetof(struct rc_backend_counters, in_flight)},
    {"ringcast_backend_waiting", "gauge", "Calls that wait for a connection",
     offsetof(struct rc_backend_counters, waiting)},
    {"ringcast_backend_connections", "gauge", "Open connections to a backend",
     offsetof(struct rc_backend_counters, connections)},
    {"ringcast_backend_breaker_open", "gauge", "Workers that do not ask a backend but once a second",
     offsetof(struct rc_backend_counters, breaker)},
    {"ringcast_backend_breaker_opened_total", "counter", "Times that a worker stopped asking a backend",
     offsetof(struct rc_backend_counters, opened)},
    {"ringcast_backend_again_total", "counter", "Calls that were sent a second time: the connection was closed",
     offsetof(struct rc_backend_counters, again)},
    {"ringcast_backend_shared_total", "counter", "Calls that were answered by another one's answer",
     offsetof(struct rc_backend_counters, shared)},
    {"ringcast_backend_dropped_total", "counter", "Disconnects that a backend was not told",
     offsetof(struct rc_backend_counters, dropped)},
};

struct summing {
    struct rc_exposition *to;
    const struct rc_config *config;
    const struct rc_backend_counters *const *counters;
    size_t count;
};

/* The sum over all processes of the number at `offset` of backend `i`'s counters. */
static uint64_t sum_of(const struct summing *w, uint32_t i, size_t offset)
{
    uint64_t sum = 0;
    for (size_t n = 0; n < w->count; n++) {
        const _Atomic uint64_t *value = (const _Atomic uint64_t *)((const char *)&w->counters[n][i] + offset);
        sum += atomic_load_explicit(value, memory_order_relaxed);
    }
    return sum;
}

static void plain_counters_render(const struct summing *w)
{
    for (size_t n = 0; n < RC_ARRAY_COUNT(plain); n++) {
        rc_exposition_family(w->to, plain[n].name, plain[n].help, plain[n].type);
        for (uint32_t i = 0; i < w->config->backend_count; i++) {
            rc_exposition_series(w->to, plain[n].name, "backend=\"%s\"", w->config->backends[i].name.text);
            rc_exposition_put(w->to, "%" PRId64 "\n", (int64_t)sum_of(w, i, plain[n].offset));
        }
    }
}

static size_t call_offset(uint32_t call, size_t offset)
{
    return offsetof(struct rc_backend_counters, calls) + call * sizeof(struct rc_backend_call_counters) + offset;
}

/* Calls that were never made have no lines, so that a page does not grow by what is not used. */
static uint64_t calls_of(const struct summing *w, uint32_t i, uint32_t call)
{
    return sum_of(w, i, call_offset(call, offsetof(struct rc_backend_call_counters, calls)));
}

static void calls_render(const struct summing *w)
{
    static const char name[] = "ringcast_backend_calls_total";
    rc_exposition_family(w->to, name, "Calls of a backend that have ended", "counter");
    for (uint32_t i = 0; i < w->config->backend_count; i++) {
        for (uint32_t call = 0; call < RC_BACKEND_KINDS; call++) {
            const uint64_t made = calls_of(w, i, call);
            if (made > 0) {
                rc_exposition_series(w->to, name, "backend=\"%s\",call=\"%s\"", w->config->backends[i].name.text,
                                     calls[call]);
                rc_exposition_put(w->to, "%" PRIu64 "\n", made);
            }
        }
    }
    static const char failed[] = "ringcast_backend_failures_total";
    rc_exposition_family(w->to, failed, "Calls of a backend that failed", "counter");
    for (uint32_t i = 0; i < w->config->backend_count; i++) {
        for (uint32_t at = 0; at < RC_BACKEND_KINDS * RC_BACKEND_REASONS; at++) {
            const uint32_t call = at / RC_BACKEND_REASONS;
            const uint32_t reason = at % RC_BACKEND_REASONS;
            const size_t offset = offsetof(struct rc_backend_call_counters, failures) + reason * sizeof(uint64_t);
            if (calls_of(w, i, call) > 0) {
                rc_exposition_series(w->to, failed, "backend=\"%s\",call=\"%s\",reason=\"%s\"",
                                     w->config->backends[i].name.text, calls[call], reasons[reason]);
                rc_exposition_put(w->to, "%" PRIu64 "\n", sum_of(w, i, call_offset(call, offset)));
            }
        }
    }
}

static void latency_render(const struct summing *w, uint32_t i, uint32_t call)
{
    static const char labels[] = "backend=\"%s\",call=\"%s\"";
    const char *backend = w->config->backends[i].name.text;
    uint64_t below = 0;
    for (uint32_t bucket = 0; bucket < RC_BACKEND_BUCKETS; bucket++) {
        char bound[24] = "+Inf";
        if (bucket < RC_BACKEND_BUCKETS - 1) {
            (void)snprintf(bound, sizeof(bound), "%g", rc_backend_bounds_ms[bucket] / 1000.0);
        }
        below += sum_of(
            w, i, call_offset(call, offsetof(struct rc_backend_call_counters, buckets) + bucket * sizeof(uint64_t)));
        rc_exposition_series(w->to, "ringcast_backend_seconds_bucket", "backend=\"%s\",call=\"%s\",le=\"%s\"", backend,
                             calls[call], bound);
        rc_exposition_put(w->to, "%" PRIu64 "\n", below);
    }
    const uint64_t us = sum_of(w, i, call_offset(call, offsetof(struct rc_backend_call_counters, microseconds)));
    rc_exposition_series(w->to, "ringcast_backend_seconds_sum", labels, backend, calls[call]);
    rc_exposition_put(w->to, "%.6f\n", (double)us / 1e6);
    rc_exposition_series(w->to, "ringcast_backend_seconds_count", labels, backend, calls[call]);
    rc_exposition_put(w->to, "%" PRIu64 "\n", below);
}

void rc_backend_calls_render(struct rc_exposition *to, const struct rc_config *config,
                             const struct rc_backend_counters *const *counters, size_t count)
{
    const struct summing w = {.to = to, .config = config, .counters = counters, .count = count};
    if (config->backend_count == 0) {
        return;
    }
    plain_counters_render(&w);
    calls_render(&w);
    rc_exposition_family(to, "ringcast_backend_seconds", "How long calls of a backend took", "histogram");
    for (uint32_t at = 0; at < config->backend_count * RC_BACKEND_KINDS; at++) {
        if (calls_of(&w, at / RC_BACKEND_KINDS, at % RC_BACKEND_KINDS) > 0) {
            latency_render(&w, at / RC_BACKEND_KINDS, at % RC_BACKEND_KINDS);
        }
    }
}
