/* ringcast-bench: parses the command line, measures what it asks for, writes the figures. */
#include "bench/arguments.h"
#include "bench/compare.h"
#include "bench/plot.h"
#include "bench/report.h"

#include <stdio.h>

enum exit_code {
    EXIT_CLEAN,
    EXIT_FAULTS,   /* measured, but something went wrong that must not */
    EXIT_UNUSABLE, /* the command line or the server */
};

static enum exit_code measure_all(const struct rc_bench_options *options)
{
    struct rc_bench_compare compare = {0};
    struct rc_err err = {0};
    int rc = rc_bench_compare_run(&compare, options, &err);
    if (rc == 0 && options->json != NULL) {
        rc = rc_bench_report_json(options, compare.results, compare.result_count, &err);
    }
    if (rc == 0 && options->plot != NULL) {
        rc = rc_bench_plot_results(options, compare.results, compare.result_count, &err);
    }
    rc_bench_compare_free(&compare);
    if (rc != 0) {
        fprintf(stderr, "ringcast-bench: %s\n", err.text);
        return EXIT_UNUSABLE;
    }
    return compare.clean ? EXIT_CLEAN : EXIT_FAULTS;
}

int main(int argc, char **argv)
{
    struct rc_bench_options options;
    struct rc_err err = {0};
    const int parsed = rc_bench_arguments_parse(&options, argc, argv, &err);
    if (parsed > 0) {
        return EXIT_CLEAN;
    }
    if (parsed < 0) {
        fprintf(stderr, "ringcast-bench: %s\n", err.text);
        return EXIT_UNUSABLE;
    }
    return (int)measure_all(&options);
}
