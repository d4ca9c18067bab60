/* metrics: see metrics.h. The exposition format is Prometheus' text format 0.0.4. */
#include "common/metrics/metrics.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/check.h"
#include "common/metrics/exposition.h"

#define BOUNDS_MAX 19 /* `le` bounds of a histogram, +Inf not counted */
#define INSTANCE_TEXT_MAX 512

enum value_kind { KIND_COUNTER, KIND_GAUGE };

static const struct {
    const char *name;
    const char *help;
    enum value_kind kind;
} values[RC_METRIC_COUNT] = {
#define RC_COUNTER(id, name_text, help_text) \
    [RC_METRIC_##id] = {.name = (name_text), .help = (help_text), .kind = KIND_COUNTER},
#define RC_GAUGE(id, name_text, help_text) \
    [RC_METRIC_##id] = {.name = (name_text), .help = (help_text), .kind = KIND_GAUGE},
#define RC_HISTOGRAM(id, name_text, scale_units, help_text)
#include "common/metrics/metrics.def"
#undef RC_COUNTER
#undef RC_GAUGE
#undef RC_HISTOGRAM
};

static const struct {
    const char *name;
    const char *help;
    uint64_t scale; /* observed units in one exposed unit */
} histograms[RC_HISTOGRAM_COUNT] = {
#define RC_COUNTER(id, name_text, help_text)
#define RC_GAUGE(id, name_text, help_text)
#define RC_HISTOGRAM(id, name_text, scale_units, help_text) \
    [RC_HISTOGRAM_##id] = {.name = (name_text), .help = (help_text), .scale = (scale_units)},
#include "common/metrics/metrics.def"
#undef RC_COUNTER
#undef RC_GAUGE
#undef RC_HISTOGRAM
};

/* Families that workers never write: a line of zeros for each worker would say nothing. */
static const char *const not_of_workers[] = {"ringcast_relay_", "ringcast_redis_",   "ringcast_worker_",
                                             "ringcast_stuck_", "ringcast_reloads_", "ringcast_recent_"};

static bool worker_writes(const char *name)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(not_of_workers); i++) {
        if (strncmp(name, not_of_workers[i], strlen(not_of_workers[i])) == 0) {
            return false;
        }
    }
    return true;
}

/* A gauge may be off by what a crash lost; as a signed number that is -1 and not 18446744073709551615. */
static void value_put(struct rc_exposition *w, enum value_kind kind, uint64_t value)
{
    if (kind == KIND_GAUGE) {
        rc_exposition_put(w, "%" PRId64 "\n", (int64_t)value);
    } else {
        rc_exposition_put(w, "%" PRIu64 "\n", value);
    }
}

static void family_put(struct rc_exposition *w, const char *prefix, const char *name, const char *help,
                       const char *suffix, const char *type)
{
    rc_exposition_put(w, "# HELP %s%s %s%s\n# TYPE %s%s %s\n", prefix, name, help, suffix, prefix, name, type);
}

static void value_render(struct rc_exposition *w, enum rc_metric_id id, const struct rc_metrics_source *sources,
                         size_t count, const char *instance, bool per_worker)
{
    const char *name = values[id].name;
    const char *type = values[id].kind == KIND_GAUGE ? "gauge" : "counter";
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += rc_metric_get(sources[i].metrics, id);
    }
    family_put(w, "", name, values[id].help, "", type);
    rc_exposition_put(w, "%s{instance=\"%s\"} ", name, instance);
    value_put(w, values[id].kind, sum);

    if (!per_worker || !worker_writes(name)) {
        return;
    }
    /* A family of its own, so that sum() over the plain one counts nothing twice; counters keep their _total at the
     * end. */
    static const char own[] = "ringcast_";
    const char *rest = strncmp(name, own, sizeof(own) - 1) == 0 ? name + sizeof(own) - 1 : name;
    family_put(w, "ringcast_worker_", rest, values[id].help, " (each worker)", type);
    for (size_t i = 0; i < count; i++) {
        if (sources[i].worker >= 0) {
            rc_exposition_put(w, "ringcast_worker_%s{instance=\"%s\",worker=\"%d\"} ", rest, instance,
                              sources[i].worker);
            value_put(w, values[id].kind, rc_metric_get(sources[i].metrics, id));
        }
    }
}

/*
 * The `le` bounds in observed units. Counts (scale 1): powers of two, 1 to 32768. Times: 1-2-5 steps over six
 * decades, 1 us to 1 s where nanoseconds are observed, 10 us to 10 s where microseconds are.
 */
static uint32_t bounds_of(uint64_t scale, uint64_t bounds[BOUNDS_MAX])
{
    if (scale == 1) {
        for (uint32_t i = 0; i < 16; i++) {
            bounds[i] = UINT64_C(1) << i;
        }
        return 16;
    }
    uint64_t decade = scale / 1000000 > 10 ? scale / 1000000 : 10;
    for (uint32_t i = 0; i < BOUNDS_MAX; i++) {
        bounds[i] = decade * (i % 3 == 0 ? 1 : i % 3 == 1 ? 2 : 5);
        decade *= i % 3 == 2 ? 10 : 1;
    }
    return BOUNDS_MAX;
}

static void histogram_render(struct rc_exposition *w, enum rc_histogram_id id, const struct rc_metrics_source *sources,
                             size_t count, const char *instance)
{
    const char *name = histograms[id].name;
    const double scale = (double)histograms[id].scale;
    struct rc_histogram all = {0};
    for (size_t i = 0; i < count; i++) {
        rc_histogram_merge(&all, &sources[i].metrics->histograms[id]);
    }
    uint64_t bounds[BOUNDS_MAX];
    const uint32_t bound_count = bounds_of(histograms[id].scale, bounds);
    family_put(w, "", name, histograms[id].help, "", "histogram");
    for (uint32_t i = 0; i < bound_count; i++) {
        rc_exposition_put(w, "%s_bucket{instance=\"%s\",le=\"%.9g\"} %" PRIu64 "\n", name, instance,
                          (double)bounds[i] / scale, rc_histogram_count_to(&all, bounds[i]));
    }
    /* Everything is counted from the buckets: `count` may be an observation ahead of them, and +Inf must not be below
     * `le`. */
    const uint64_t total = rc_histogram_count_to(&all, UINT64_MAX);
    rc_exposition_put(w, "%s_bucket{instance=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", name, instance, total);
    rc_exposition_put(w, "%s_sum{instance=\"%s\"} %.9g\n", name, instance,
                      (double)atomic_load_explicit(&all.sum, memory_order_relaxed) / scale);
    rc_exposition_put(w, "%s_count{instance=\"%s\"} %" PRIu64 "\n", name, instance, total);
}

size_t rc_metrics_render(const struct rc_metrics_source *sources, size_t count, const char *instance, char *out,
                         size_t capacity)
{
    struct rc_exposition w = {.out = out, .capacity = capacity};
    char label[INSTANCE_TEXT_MAX];
    (void)rc_exposition_label(label, sizeof(label), instance);

    size_t workers = 0;
    for (size_t i = 0; i < count; i++) {
        workers += sources[i].worker >= 0;
    }
    for (size_t id = 0; id < RC_METRIC_COUNT; id++) {
        value_render(&w, (enum rc_metric_id)id, sources, count, label, workers > 1);
    }
    for (size_t id = 0; id < RC_HISTOGRAM_COUNT; id++) {
        histogram_render(&w, (enum rc_histogram_id)id, sources, count, label);
    }
    return w.bytes;
}
