/*
 * report: results as a table for people and as JSON for programs.
 */
#ifndef RC_BENCH_REPORT_H
#define RC_BENCH_REPORT_H

#include "bench/result.h"

#include <stdio.h>

/* One table over all results: the same rows for each, a column for each result. */
void rc_bench_report_table(FILE *out, const struct rc_bench_options *options, const struct rc_bench_result *results,
                           uint32_t count);

/* The ratio lines below it: `server` to `floor` (or any two results of one scenario). */
void rc_bench_report_ratio(FILE *out, const struct rc_bench_result *server, const struct rc_bench_result *floor);

/* All results as one JSON document into options->json; 0 or a negative errno with `err`. */
int rc_bench_report_json(const struct rc_bench_options *options, const struct rc_bench_result *results, uint32_t count,
                         struct rc_err *err);

/* The same onto a stream. */
void rc_bench_report_json_write(FILE *out, const struct rc_bench_options *options,
                                const struct rc_bench_result *results, uint32_t count);

#endif
