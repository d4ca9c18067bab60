/*
 * scenario_file: several runs from one TOML file.
 *
 * The file uses the part of TOML that is needed: comments, `key = value` with strings, numbers, booleans and arrays of
 * these on one line, and `[[run]]` tables. A key is an option's name without dashes; what stands before the first [[run]]
 * holds for all. `scenario` names what is measured, `floor = true` adds the floor beside it.
 *
 *     url = "ws://127.0.0.1:8080"
 *     duration = "3s"
 *     [[run]]
 *     scenario = "fanout"
 *     floor = true
 *     connections = 10_000
 *
 * Each run becomes an argument vector for rc_bench_options_parse, so that there is one set of names, bounds and errors.
 */
#ifndef RC_BENCH_SCENARIO_FILE_H
#define RC_BENCH_SCENARIO_FILE_H

#include "common/base/err.h"

#include <stdint.h>

#define RC_BENCH_FILE_RUNS_MAX 64u
#define RC_BENCH_FILE_ARGUMENTS_MAX 128u

struct rc_bench_file_run {
    char *arguments[RC_BENCH_FILE_ARGUMENTS_MAX]; /* owned */
    uint32_t count;
};

struct rc_bench_file {
    struct rc_bench_file_run *runs; /* owned */
    uint32_t run_count;
};

/* Reads `text` (named `name` in errors). 0; or -EINVAL with "name:line: what is wrong" in `err`. */
int rc_bench_file_parse(struct rc_bench_file *file, const char *name, const char *text, struct rc_err *err);

/* Reads a file. 0, -EINVAL as above, or another negative errno with `err`. */
int rc_bench_file_read(struct rc_bench_file *file, const char *path, struct rc_err *err);

/* Adds an argument to every run: they go over what the file says. */
int rc_bench_file_add(struct rc_bench_file *file, const char *argument, struct rc_err *err);

void rc_bench_file_free(struct rc_bench_file *file);

#endif
