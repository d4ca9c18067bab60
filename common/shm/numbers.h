/*
 * numbers: the numbers by which builds are compared (common/shm/layout.h), with their names: what a program says when it is asked
 * `--numbers`, a line each, "core 1".
 *
 * A worker has more of them, of what is its alone (worker/main.c). Constant; any process may read.
 */
#ifndef RC_COMMON_SHM_NUMBERS_H
#define RC_COMMON_SHM_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct rc_number {
    const char *name;
    uint32_t value;
};

/* Those that all programs of a build have. */
extern const struct rc_number rc_numbers[];
extern const size_t rc_numbers_count;

/* Writes those of all programs, then `more`. */
void rc_numbers_write(FILE *out, const struct rc_number *more, size_t more_count);

/* Is a program asked for them, and for nothing else? */
bool rc_numbers_wanted(int argc, char **argv);

/* The number of that name in what rc_numbers_write wrote. False: there is none, or it is no number. */
bool rc_numbers_find(const char *text, const char *name, uint32_t *value);

#endif
