/*
 * plot: line charts as SVG files, without a library.
 *
 * Pure: the caller owns everything. Charts are self-contained, readable without colours (each line is named at its end)
 * and in dark mode (a white sheet is drawn).
 */
#ifndef RC_BENCH_PLOT_H
#define RC_BENCH_PLOT_H

#include "bench/result.h"

#include "common/base/err.h"

#include <stdint.h>
#include <stdio.h>

#define RC_BENCH_PLOT_POINTS_MAX 128
#define RC_BENCH_PLOT_SERIES_MAX 16

struct rc_bench_plot_series {
    char name[64];
    double x[RC_BENCH_PLOT_POINTS_MAX];
    double y[RC_BENCH_PLOT_POINTS_MAX];
    uint32_t count;
};

enum rc_bench_plot_scale {
    RC_BENCH_PLOT_LINEAR,
    RC_BENCH_PLOT_LOG,
    RC_BENCH_PLOT_PERCENTILE, /* x is a quantile 0..1; the distance to 1 is drawn logarithmically */
};

struct rc_bench_plot {
    const char *title;
    const char *x_name;
    const char *y_name;
    enum rc_bench_plot_scale x_scale;
    enum rc_bench_plot_scale y_scale;
    struct rc_bench_plot_series series[RC_BENCH_PLOT_SERIES_MAX];
    uint32_t series_count;
};

/* Points that are not finite, or not above 0 on a logarithmic axis, are left out. */
void rc_bench_plot_write(FILE *out, const struct rc_bench_plot *plot);

/* Writes the charts that `results` give into options->plot, which is made if it is missing: latency.svg always,
 * throughput.svg for a sweep over rates, memory.svg and cost.svg for one over connections. 0 or a negative errno. */
int rc_bench_plot_results(const struct rc_bench_options *options, const struct rc_bench_result *results, uint32_t count,
                          struct rc_err *err);

#endif
