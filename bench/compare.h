/*
 * compare: what is measured side by side: the server, its floor, other servers; in turn, as often as asked for.
 *
 * A comparison runs its sides one after the other and starts over, so that a slow minute of the machine meets all of
 * them, and takes medians. Called by main. Fails when a side cannot be measured at all.
 */
#ifndef RC_BENCH_COMPARE_H
#define RC_BENCH_COMPARE_H

#include "bench/run.h"

#define RC_BENCH_RESULTS_MAX 512u

struct rc_bench_compare {
    const struct rc_bench_options *options;
    struct rc_bench_result *results; /* owned: medians, in the order of the output */
    uint32_t result_count;
    bool clean; /* nothing went wrong in any run */
};

/* Measures everything the options ask for and prints its tables. 0 or a negative errno with `err`. */
int rc_bench_compare_run(struct rc_bench_compare *compare, const struct rc_bench_options *options, struct rc_err *err);
void rc_bench_compare_free(struct rc_bench_compare *compare);

#endif
