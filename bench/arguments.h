/*
 * arguments: the command line of ringcast-bench, and what it means (bench/options.h). Every default and every check across
 * options is here.
 */
#ifndef RC_BENCH_ARGUMENTS_H
#define RC_BENCH_ARGUMENTS_H

#include <stdint.h>
#include <stdio.h>

#include "bench/options.h"
#include "common/base/err.h"

/* 0; 1 when help was asked for and printed to stdout; -EINVAL with `err`. */
int rc_bench_arguments_parse(struct rc_bench_options *options, int argc, char **argv, struct rc_err *err);

/* Gives the swept option its `index`-th value. */
void rc_bench_arguments_at(struct rc_bench_options *options, uint32_t index);

void rc_bench_arguments_help(FILE *out);

#endif
