/* render: see render.h. The exposition format is Prometheus' text format 0.0.4. */
#include "common/metrics/render.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/metrics/exposition.h"

#define BOUNDS_MAX 19      /* `le` bounds of a histogram, +Inf not counted */
#define NAME_MAX_BYTES 160 /* of a name, and of labels without the instance */

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

/* What several rows have in common, where a name has labels of its own. */
static const struct {
    const char *name;
    const char *help;
} families[] = {
#define RC_COUNTER(id, name_text, help_text)
#define RC_GAUGE(id, name_text, help_text)
#define RC_HISTOGRAM(id, name_text, scale_units, help_text)
#define RC_FAMILY(name_text, help_text) {.name = (name_text), .help = (help_text)},
#include "common/metrics/metrics.def"
#undef RC_COUNTER
#undef RC_GAUGE
#undef RC_HISTOGRAM
};

enum writer { WORKERS, RELAY, ACCEPTOR, ALL };

static const struct {
    enum writer writer;
    enum rc_metric_id first;
    enum rc_metric_id last;
} writers[] = {
#define RC_COUNTER(id, name_text, help_text)
#define RC_GAUGE(id, name_text, help_text)
#define RC_HISTOGRAM(id, name_text, scale_units, help_text)
#define RC_WRITTEN_BY(process, first_id, last_id) \
    {.writer = (process), .first = RC_METRIC_##first_id, .last = RC_METRIC_##last_id},
#include "common/metrics/metrics.def"
#undef RC_COUNTER
#undef RC_GAUGE
#undef RC_HISTOGRAM
};

static const struct {
    enum rc_metric_id id;
    double scale;
} scaled[] = {
#define RC_COUNTER(id, name_text, help_text)
#define RC_GAUGE(id, name_text, help_text)
#define RC_HISTOGRAM(id, name_text, scale_units, help_text)
#define RC_SCALED(id_text, scale_units) {.id = RC_METRIC_##id_text, .scale = (scale_units)},
#include "common/metrics/metrics.def"
#undef RC_COUNTER
#undef RC_GAUGE
#undef RC_HISTOGRAM
};

static enum writer writer_of(enum rc_metric_id id)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(writers); i++) {
        if (id >= writers[i].first && id <= writers[i].last) {
            return writers[i].writer;
        }
    }
    return WORKERS;
}

static double scale_of(enum rc_metric_id id)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(scaled); i++) {
        if (scaled[i].id == id) {
            return scaled[i].scale;
        }
    }
    return 1;
}

/* A gauge may be off by what a crash lost; as a signed number that is -1 and not 18446744073709551615. */
static void value_put(struct rc_exposition *to, enum rc_metric_id id, uint64_t value)
{
    const double scale = scale_of(id);
    if (scale > 1) {
        rc_exposition_put(to, "%.9g\n", (double)(int64_t)value / scale);
    } else if (values[id].kind == KIND_GAUGE) {
        rc_exposition_put(to, "%" PRId64 "\n", (int64_t)value);
    } else {
        rc_exposition_put(to, "%" PRIu64 "\n", value);
    }
}

/* A row's name without the labels in it, and those labels without their braces. */
static void name_split(enum rc_metric_id id, char name[NAME_MAX_BYTES], char labels[NAME_MAX_BYTES])
{
    const char *whole = values[id].name;
    const size_t bytes = strcspn(whole, "{");
    const size_t rest = strlen(whole + bytes);
    RC_ASSERT(bytes < NAME_MAX_BYTES && rest < NAME_MAX_BYTES);
    memcpy(name, whole, bytes);
    name[bytes] = '\0';
    labels[0] = '\0';
    if (rest > 2) {
        memcpy(labels, whole + bytes + 1, rest - 2);
        labels[rest - 2] = '\0';
    }
}

/* The two lines before the first of a family's rows, which stand one after the other. */
static void value_family(struct rc_exposition *to, enum rc_metric_id id, const char *name)
{
    const char *help = values[id].help;
    const size_t bytes = strlen(name);
    if (id > 0 && strncmp(values[id - 1].name, name, bytes) == 0 && values[id - 1].name[bytes] == '{') {
        return;
    }
    for (size_t i = 0; i < RC_ARRAY_COUNT(families); i++) {
        if (strcmp(families[i].name, name) == 0) {
            help = families[i].help;
        }
    }
    rc_exposition_family(to, name, help, values[id].kind == KIND_GAUGE ? "gauge" : "counter");
}

static bool source_writes(enum writer writer, int source)
{
    return writer == ALL || (writer == WORKERS && source >= 0) || (writer == RELAY && source == RC_METRICS_RELAY) ||
           (writer == ACCEPTOR && source == RC_METRICS_ACCEPTOR);
}

/* The labels that tell whose a series is, behind those of the row. */
static void source_labels(char out[NAME_MAX_BYTES], const char *labels, enum writer writer, int source)
{
    static const char *const processes[] = {[-RC_METRICS_RELAY] = "relay", [-RC_METRICS_ACCEPTOR] = "acceptor"};
    const char *comma = labels[0] == '\0' ? "" : ",";
    int bytes;
    if (writer == ALL && source < 0) {
        bytes = snprintf(out, NAME_MAX_BYTES, "%s%sprocess=\"%s\"", labels, comma, processes[-source]);
    } else if (writer == ALL) {
        bytes = snprintf(out, NAME_MAX_BYTES, "%s%sprocess=\"worker\",worker=\"%d\"", labels, comma, source);
    } else if (writer == WORKERS) {
        bytes = snprintf(out, NAME_MAX_BYTES, "%s%sworker=\"%d\"", labels, comma, source);
    } else {
        bytes = snprintf(out, NAME_MAX_BYTES, "%s", labels);
    }
    RC_ASSERT(bytes >= 0 && bytes < (int)NAME_MAX_BYTES);
}

static void value_render(struct rc_exposition *to, enum rc_metric_id id, const struct rc_metrics_source *sources,
                         size_t count)
{
    static const char kept[] = "ws_";
    const enum writer writer = writer_of(id);
    char name[NAME_MAX_BYTES];
    char labels[NAME_MAX_BYTES];
    char all[NAME_MAX_BYTES];
    uint64_t sum = 0;
    name_split(id, name, labels);
    value_family(to, id, name);
    for (size_t i = 0; i < count; i++) {
        sum += rc_bank_value(sources[i].bank, id);
    }
    if (strncmp(name, kept, sizeof(kept) - 1) == 0) {
        rc_exposition_series(to, name, "%s", "");
        value_put(to, id, sum);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (source_writes(writer, sources[i].worker)) {
            source_labels(all, labels, writer, sources[i].worker);
            rc_exposition_series(to, name, "%s", all);
            value_put(to, id, rc_bank_value(sources[i].bank, id));
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

static void histogram_render(struct rc_exposition *to, enum rc_histogram_id id, const struct rc_metrics_source *sources,
                             size_t count)
{
    const double scale = (double)histograms[id].scale;
    char name[NAME_MAX_BYTES];
    struct rc_histogram all = {0};
    for (size_t i = 0; i < count; i++) {
        rc_bank_merge(&all, sources[i].bank, id);
    }
    uint64_t bounds[BOUNDS_MAX];
    const uint32_t bound_count = bounds_of(histograms[id].scale, bounds);
    rc_exposition_family(to, histograms[id].name, histograms[id].help, "histogram");
    (void)snprintf(name, sizeof(name), "%s_bucket", histograms[id].name);
    for (uint32_t i = 0; i < bound_count; i++) {
        rc_exposition_series(to, name, "le=\"%.9g\"", (double)bounds[i] / scale);
        rc_exposition_put(to, "%" PRIu64 "\n", rc_histogram_count_to(&all, bounds[i]));
    }
    /* Everything is counted from the buckets: `count` may be an observation ahead of them, and +Inf must not be below
     * `le`. */
    const uint64_t total = rc_histogram_count_to(&all, UINT64_MAX);
    rc_exposition_series(to, name, "le=\"+Inf\"");
    rc_exposition_put(to, "%" PRIu64 "\n", total);
    (void)snprintf(name, sizeof(name), "%s_sum", histograms[id].name);
    rc_exposition_series(to, name, "%s", "");
    rc_exposition_put(to, "%.9g\n", (double)atomic_load_explicit(&all.sum, memory_order_relaxed) / scale);
    (void)snprintf(name, sizeof(name), "%s_count", histograms[id].name);
    rc_exposition_series(to, name, "%s", "");
    rc_exposition_put(to, "%" PRIu64 "\n", total);
}

void rc_metrics_render(struct rc_exposition *to, const struct rc_metrics_source *sources, size_t count)
{
    for (size_t id = 0; id < RC_METRIC_COUNT; id++) {
        value_render(to, (enum rc_metric_id)id, sources, count);
    }
    for (size_t id = 0; id < RC_HISTOGRAM_COUNT; id++) {
        histogram_render(to, (enum rc_histogram_id)id, sources, count);
    }
}
