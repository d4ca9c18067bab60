/* ringcast-bench: parses the command line (or a file of them), measures what it asks for, writes the figures. */
#include "bench/compare.h"
#include "bench/options.h"
#include "bench/plot.h"
#include "bench/report.h"
#include "bench/scenario_file.h"

#include <stdio.h>
#include <string.h>

enum exit_code {
    EXIT_CLEAN,
    EXIT_FAULTS,   /* measured, but something went wrong that must not */
    EXIT_UNUSABLE, /* the command line or the server */
};

static enum exit_code measure(const struct rc_bench_options *options)
{
    struct rc_bench_compare compare = {0};
    struct rc_err err = {0};
    int failed = rc_bench_compare_run(&compare, options, &err);
    if (failed == 0 && options->json != NULL) {
        failed = rc_bench_report_json(options, compare.results, compare.result_count, &err);
    }
    if (failed == 0 && options->plot != NULL) {
        failed = rc_bench_plot_results(options, compare.results, compare.result_count, &err);
    }
    rc_bench_compare_free(&compare);
    if (failed != 0) {
        fprintf(stderr, "ringcast-bench: %s\n", err.text);
        return EXIT_UNUSABLE;
    }
    return compare.clean ? EXIT_CLEAN : EXIT_FAULTS;
}

static enum exit_code one(int argc, char **argv)
{
    struct rc_bench_options options;
    struct rc_err err = {0};
    const int parsed = rc_bench_options_parse(&options, argc, argv, &err);
    if (parsed > 0) {
        return EXIT_CLEAN;
    }
    if (parsed < 0) {
        fprintf(stderr, "ringcast-bench: %s\n", err.text);
        return EXIT_UNUSABLE;
    }
    return measure(&options);
}

/* All command lines are checked before the first is measured. */
static enum exit_code from_file(const char *path, int argc, char **argv)
{
    struct rc_bench_file file;
    struct rc_err err = {0};
    int failed = rc_bench_file_read(&file, path, &err);
    for (int i = 0; i < argc && failed == 0; i++) {
        failed = rc_bench_file_add(&file, argv[i], &err);
    }
    for (uint32_t i = 0; failed == 0 && i < file.run_count; i++) {
        struct rc_bench_options options;
        failed = rc_bench_options_parse(&options, (int)file.runs[i].count, file.runs[i].arguments, &err);
    }
    if (failed != 0) {
        fprintf(stderr, "ringcast-bench: %s\n", err.text);
        rc_bench_file_free(&file);
        return EXIT_UNUSABLE;
    }
    enum exit_code worst = EXIT_CLEAN;
    for (uint32_t i = 0; i < file.run_count; i++) {
        const enum exit_code code = one((int)file.runs[i].count, file.runs[i].arguments);
        worst = code > worst ? code : worst;
    }
    rc_bench_file_free(&file);
    return worst;
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "file") == 0) {
        return (int)from_file(argv[2], argc - 3, argv + 3);
    }
    return (int)one(argc, argv);
}
