/* plot: see plot.h. */
#include "bench/plot.h"

#include "common/base/check.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WIDTH 860.0
#define HEIGHT 480.0
#define LEFT 90.0
#define RIGHT 190.0
#define TOP 50.0
#define BOTTOM 60.0
#define NINES_MAX 6.0 /* percentiles up to 99.9999 */
#define TICKS_MAX 12u

struct axis {
    enum rc_bench_plot_scale scale;
    double low; /* in drawn units: log10 where the scale is */
    double high;
};

/* The place of a value along a scale, before it is fitted to the sheet. NAN: it has none. */
static double place_of(enum rc_bench_plot_scale scale, double value)
{
    if (!isfinite(value)) {
        return NAN;
    }
    if (scale == RC_BENCH_PLOT_LOG) {
        return value > 0 ? log10(value) : NAN;
    }
    if (scale == RC_BENCH_PLOT_PERCENTILE) {
        const double nines = value >= 1 ? NINES_MAX : -log10(1 - value);
        return nines < NINES_MAX ? nines : NINES_MAX;
    }
    return value;
}

static struct axis axis_fit(const struct rc_bench_plot *plot, bool x)
{
    struct axis axis = {.scale = x ? plot->x_scale : plot->y_scale, .low = INFINITY, .high = -INFINITY};
    for (uint32_t s = 0; s < plot->series_count; s++) {
        const struct rc_bench_plot_series *const series = &plot->series[s];
        for (uint32_t i = 0; i < series->count; i++) {
            const double place = place_of(axis.scale, x ? series->x[i] : series->y[i]);
            if (!isnan(place)) {
                axis.low = fmin(axis.low, place);
                axis.high = fmax(axis.high, place);
            }
        }
    }
    if (!isfinite(axis.low)) {
        axis.low = 0;
        axis.high = 1;
    }
    if (axis.scale == RC_BENCH_PLOT_LOG) {
        axis.low = floor(axis.low);
        axis.high = ceil(axis.high);
    } else {
        axis.low = fmin(axis.low, 0);
    }
    if (axis.high <= axis.low) {
        axis.high = axis.low + 1;
    }
    return axis;
}

static double x_at(const struct axis *axis, double place)
{
    return LEFT + (place - axis->low) / (axis->high - axis->low) * (WIDTH - LEFT - RIGHT);
}

static double y_at(const struct axis *axis, double place)
{
    return HEIGHT - BOTTOM - (place - axis->low) / (axis->high - axis->low) * (HEIGHT - TOP - BOTTOM);
}

static void write_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        default:
            fputc((unsigned char)*text < 0x20 ? ' ' : *text, out);
        }
    }
}

static void write_label(FILE *out, double x, double y, const char *anchor, const char *text)
{
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    write_text(out, text);
    fputs("</text>\n", out);
}

static void short_number(char *out, size_t room, double value)
{
    static const char *const suffixes[] = {"", "k", "M", "G", "T"};
    unsigned suffix = 0;
    while (fabs(value) >= 1000 && suffix + 1 < RC_ARRAY_COUNT(suffixes)) {
        value /= 1000;
        suffix++;
    }
    snprintf(out, room, "%.4g%s", value, suffixes[suffix]);
}

/* A step of 1, 2 or 5 times a power of ten that gives at most TICKS_MAX ticks. */
static double step_of(double range)
{
    const double rough = range / 8;
    const double power = pow(10, floor(log10(rough)));
    const double digit = rough / power;
    return power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
}

static void write_tick(FILE *out, const struct axis *axis, bool x, double place, const char *text)
{
    if (x) {
        const double at = x_at(axis, place);
        fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"grid\"/>\n", at, TOP, at,
                HEIGHT - BOTTOM);
        write_label(out, at, HEIGHT - BOTTOM + 18, "middle", text);
    } else {
        const double at = y_at(axis, place);
        fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"grid\"/>\n", LEFT, at,
                WIDTH - RIGHT, at);
        write_label(out, LEFT - 8, at + 4, "end", text);
    }
}

static void write_axis(FILE *out, const struct axis *axis, bool x)
{
    static const char *const percentiles[] = {"0", "90", "99", "99.9", "99.99", "99.999", "max"};
    char text[32];
    if (axis->scale == RC_BENCH_PLOT_PERCENTILE) {
        for (unsigned i = 0; i <= (unsigned)NINES_MAX && i <= axis->high; i++) {
            write_tick(out, axis, x, i, percentiles[i]);
        }
        return;
    }
    const double step =
        axis->scale == RC_BENCH_PLOT_LOG ? fmax(1, step_of(axis->high - axis->low)) : step_of(axis->high - axis->low);
    for (double place = ceil(axis->low / step) * step; place <= axis->high + step / 1e6; place += step) {
        short_number(text, sizeof(text),
                     axis->scale == RC_BENCH_PLOT_LOG ? pow(10, place)
                     : fabs(place) < step / 1e6       ? 0
                                                      : place);
        write_tick(out, axis, x, place, text);
    }
}

void rc_bench_plot_write(FILE *out, const struct rc_bench_plot *plot)
{
    /* Dark enough on white, told apart by most people who see fewer colours. */
    static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                          "#6a51a3", "#8c6d31", "#000000", "#56b4e9"};
    const struct axis x = axis_fit(plot, true), y = axis_fit(plot, false);
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\">\n"
            "<style>text{font:12px sans-serif;fill:#222}.title{font-size:16px;font-weight:bold}.grid{stroke:#ddd}"
            ".line{fill:none;stroke-width:2}</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    fprintf(out, "<text x=\"%.1f\" y=\"28\" class=\"title\">", LEFT);
    write_text(out, plot->title);
    fputs("</text>\n", out);
    write_axis(out, &x, true);
    write_axis(out, &y, false);
    write_label(out, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 18, "middle", plot->x_name);
    write_label(out, LEFT, TOP - 6, "start", plot->y_name);
    for (uint32_t s = 0; s < plot->series_count; s++) {
        const struct rc_bench_plot_series *const series = &plot->series[s];
        const char *const colour = colours[s % RC_ARRAY_COUNT(colours)];
        double last_x = NAN, last_y = NAN;
        fprintf(out, "<polyline class=\"line\" stroke=\"%s\" points=\"", colour);
        for (uint32_t i = 0; i < series->count; i++) {
            const double x_place = place_of(x.scale, series->x[i]), y_place = place_of(y.scale, series->y[i]);
            if (!isnan(x_place) && !isnan(y_place)) {
                last_x = x_at(&x, x_place);
                last_y = y_at(&y, y_place);
                fprintf(out, "%.1f,%.1f ", last_x, last_y);
            }
        }
        fputs("\"/>\n", out);
        if (!isnan(last_x)) {
            fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", last_x, last_y, colour);
            fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"3\"/>\n",
                    WIDTH - RIGHT + 12, TOP + 16.0 * s, WIDTH - RIGHT + 28, TOP + 16.0 * s, colour);
            write_label(out, WIDTH - RIGHT + 34, TOP + 4 + 16.0 * s, "start", series->name);
        }
    }
    fputs("</svg>\n", out);
}

/* --- charts of results ------------------------------------------------------------------------------------------------ */

static int write_file(const struct rc_bench_options *options, const char *name, const struct rc_bench_plot *plot,
                      struct rc_err *err)
{
    char path[4096];
    const int bytes = snprintf(path, sizeof(path), "%s/%s", options->plot, name);
    if (bytes < 0 || (size_t)bytes >= sizeof(path)) {
        return rc_err_set(err, -ENAMETOOLONG, "the name of folder %.100s... is too long", options->plot);
    }
    FILE *const out = fopen(path, "we");
    if (out == NULL) {
        return rc_err_set(err, -errno, "cannot write %s: %s", path, strerror(errno));
    }
    rc_bench_plot_write(out, plot);
    return fclose(out) == 0 ? 0 : rc_err_set(err, -EIO, "cannot write %s: %s", path, strerror(errno));
}

/* The series of a name, made when it is new; NULL when there are too many. */
static struct rc_bench_plot_series *series_of(struct rc_bench_plot *plot, const char *name)
{
    for (uint32_t i = 0; i < plot->series_count; i++) {
        if (strcmp(plot->series[i].name, name) == 0) {
            return &plot->series[i];
        }
    }
    if (plot->series_count == RC_BENCH_PLOT_SERIES_MAX) {
        return NULL;
    }
    struct rc_bench_plot_series *const series = &plot->series[plot->series_count++];
    snprintf(series->name, sizeof(series->name), "%s", name);
    return series;
}

static void add_point(struct rc_bench_plot *plot, const char *name, double x, double y)
{
    struct rc_bench_plot_series *const series = series_of(plot, name);
    if (series != NULL && series->count < RC_BENCH_PLOT_POINTS_MAX) {
        series->x[series->count] = x;
        series->y[series->count++] = y;
    }
}

static void latency_points(struct rc_bench_plot *plot, const struct rc_bench_options *options,
                           const struct rc_bench_result *result)
{
    const struct rc_bench_latency *const latency = result->latency.count > 0 ? &result->latency : &result->handshake;
    char name[64];
    if (options->sweep_count > 0) {
        snprintf(name, sizeof(name), "%.40s %.9g", result->label, result->sweep_value);
    } else {
        snprintf(name, sizeof(name), "%.60s", result->label);
    }
    if (latency->count == 0) {
        return;
    }
    for (double nines = 0; nines <= NINES_MAX; nines += 0.1) {
        const double quantile = 1 - pow(10, -nines);
        if (pow(10, nines) > (double)latency->count * 10) {
            break; /* beyond what so many observations can say */
        }
        add_point(plot, name, quantile, (double)rc_bench_latency_quantile(latency, quantile) / 1000);
    }
}

static void sweep_points(struct rc_bench_plot *plot, const struct rc_bench_result *results, uint32_t count,
                         double (*y)(const struct rc_bench_result *))
{
    plot->series_count = 0;
    memset(plot->series, 0, sizeof(plot->series));
    for (uint32_t i = 0; i < count; i++) {
        add_point(plot, results[i].label, results[i].sweep_value, y(&results[i]));
    }
}

static bool has_moments(const struct rc_bench_result *results, uint32_t count)
{
    bool any = false;
    for (uint32_t i = 0; i < count; i++) {
        any = any || results[i].moment_count > 2;
    }
    return any;
}

/* Deliveries over time, in as many steps as a line can have. */
static void moment_points(struct rc_bench_plot *plot, const struct rc_bench_result *results, uint32_t count)
{
    plot->series_count = 0;
    memset(plot->series, 0, sizeof(plot->series));
    for (uint32_t i = 0; i < count; i++) {
        const struct rc_bench_result *const result = &results[i];
        const uint32_t step = result->moment_count / RC_BENCH_PLOT_POINTS_MAX + 1;
        for (uint32_t at = step; at < result->moment_count; at += step) {
            const struct rc_bench_moment *const from = &result->moments[at - step], *const to = &result->moments[at];
            const double seconds = to->at_s - from->at_s;
            add_point(plot, result->label, to->at_s,
                      seconds > 0 ? (double)(to->deliveries - from->deliveries) / seconds : NAN);
        }
    }
}

static double throughput_of(const struct rc_bench_result *result)
{
    return result->seconds > 0 ? (double)result->deliveries / result->seconds : NAN;
}

static double memory_of(const struct rc_bench_result *result)
{
    return result->server_processes > 0 ? (double)result->server_pss_bytes : NAN;
}

static double kernel_memory_of(const struct rc_bench_result *result)
{
    return (double)result->slab_bytes;
}

static double cost_of(const struct rc_bench_result *result)
{
    const double cost = rc_bench_result_cost_ns(result);
    return cost > 0 ? cost : NAN;
}

int rc_bench_plot_results(const struct rc_bench_options *options, const struct rc_bench_result *results, uint32_t count,
                          struct rc_err *err)
{
    if (mkdir(options->plot, 0777) != 0 && errno != EEXIST) {
        return rc_err_set(err, -errno, "cannot make folder %s: %s", options->plot, strerror(errno));
    }
    struct rc_bench_plot *const plot = calloc(1, sizeof(*plot));
    RC_ASSERT(plot != NULL);
    *plot = (struct rc_bench_plot){
        .title = options->scenario,
        .x_name = "percentile",
        .y_name = count > 0 && results[0].latency.count > 0 ? "latency, us" : "handshake, us",
        .x_scale = RC_BENCH_PLOT_PERCENTILE,
        .y_scale = RC_BENCH_PLOT_LOG,
    };
    for (uint32_t i = 0; i < count; i++) {
        latency_points(plot, options, &results[i]);
    }
    int rc = write_file(options, "latency.svg", plot, err);
    if (rc == 0 && options->sweep_count == 0 && has_moments(results, count)) {
        plot->x_name = "measured time, s";
        plot->y_name = "delivered a second";
        plot->x_scale = plot->y_scale = RC_BENCH_PLOT_LINEAR;
        moment_points(plot, results, count);
        rc = write_file(options, "timeline.svg", plot, err);
    }
    if (rc == 0 && options->sweep_count > 0) {
        plot->x_name = options->sweep_name;
        plot->x_scale = plot->y_scale = RC_BENCH_PLOT_LINEAR;
        plot->y_name = "delivered a second";
        sweep_points(plot, results, count, throughput_of);
        if (strcmp(options->sweep_name, "rate") == 0) {
            plot->x_name = "offered, messages a second";
        }
        rc = write_file(options, "throughput.svg", plot, err);
        plot->y_name = "server CPU per delivery, ns";
        sweep_points(plot, results, count, cost_of);
        rc = rc == 0 ? write_file(options, "cost.svg", plot, err) : rc;
    }
    if (rc == 0 && options->sweep_count > 0 && strcmp(options->sweep_name, "connections") == 0) {
        plot->y_name = "server memory (PSS), bytes";
        sweep_points(plot, results, count, memory_of);
        rc = write_file(options, "memory.svg", plot, err);
        plot->y_name = "kernel slab, both ends, bytes";
        sweep_points(plot, results, count, kernel_memory_of);
        rc = rc == 0 ? write_file(options, "kernel-memory.svg", plot, err) : rc;
    }
    free(plot);
    return rc;
}
