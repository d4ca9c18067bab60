/*
 * run: one measured run, from forking the client processes to the merged figures.
 *
 * Called by main and the comparisons, in the coordinating process; one run at a time. Fails when the target cannot be
 * used or processes cannot be made; what goes wrong during the run is in the result.
 */
#ifndef RC_BENCH_RUN_H
#define RC_BENCH_RUN_H

#include "bench/options.h"
#include "bench/result.h"

/* Runs `options` once. 0 or a negative errno with `err`. */
int rc_bench_run(const struct rc_bench_options *options, struct rc_bench_result *result, struct rc_err *err);

#endif
