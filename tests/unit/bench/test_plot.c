/* Charts of the load generator. */
#include "bench/plot.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *text_of(FILE *out, char **text)
{
    fclose(out);
    return *text;
}

static unsigned count_of(const char *text, const char *part)
{
    unsigned count = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        count++;
    }
    return count;
}

Test(bench_plot, names_are_escaped_and_odd_points_left_out)
{
    static struct rc_bench_plot plot = {
        .title = "a <b> & c", .x_name = "x", .y_name = "y", .y_scale = RC_BENCH_PLOT_LOG, .series_count = 2};
    const double ys[] = {1, 0, NAN, INFINITY, -5, 1000};
    snprintf(plot.series[0].name, sizeof(plot.series[0].name), "one");
    snprintf(plot.series[1].name, sizeof(plot.series[1].name), "empty");
    for (uint32_t i = 0; i < 6; i++) {
        plot.series[0].x[i] = i;
        plot.series[0].y[i] = ys[i];
    }
    plot.series[0].count = 6;
    char *text = NULL;
    size_t bytes = 0;
    FILE *const out = open_memstream(&text, &bytes);
    rc_bench_plot_write(out, &plot);
    text_of(out, &text);
    cr_assert_not_null(strstr(text, "a &lt;b&gt; &amp; c"));
    cr_assert_null(strstr(text, "nan"));
    cr_assert_null(strstr(text, "inf"));
    const char *const points = strstr(text, "points=\"");
    cr_assert_not_null(points);
    const char *const end = strchr(points + 8, '"');
    unsigned commas = 0;
    for (const char *at = points; at < end; at++) {
        commas += *at == ',';
    }
    cr_assert_eq(commas, 2, "%u points", commas);
    cr_assert_eq(count_of(text, "<text"), count_of(text, "</text>"));
    cr_assert_not_null(strstr(text, "</svg>"));
    free(text);
}

Test(bench_plot, nothing_to_draw_is_still_a_chart)
{
    static struct rc_bench_plot plot = {.title = "", .x_name = "", .y_name = "", .x_scale = RC_BENCH_PLOT_PERCENTILE};
    char *text = NULL;
    size_t bytes = 0;
    FILE *const out = open_memstream(&text, &bytes);
    rc_bench_plot_write(out, &plot);
    text_of(out, &text);
    cr_assert_null(strstr(text, "nan"));
    free(text);
}
