/*
 * floor: bare server loops, to be measured with the same client: what the kernel charges for the same work.
 *
 * A floor server is a forked process, pinned to its CPU, that does the least a WebSocket server could: it answers every
 * upgrade with the constant answer to our own key, unmasks, and echoes or sends on. It checks, limits and logs nothing,
 * and only this program's client can talk to it. Fan-out sends one frame (or `coalesce` frames in one piece) per
 * subscriber and message: on io_uring in batches of 256 on direct descriptors, or with write() under epoll.
 */
#ifndef RC_BENCH_FLOOR_H
#define RC_BENCH_FLOOR_H

#include "bench/options.h"

#include "common/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct rc_bench_floor {
    pid_t pid;
    char url[64];
    char label[64];
};

/* True when there is a floor for a scenario. */
bool rc_bench_floor_has(const char *scenario);

/* Forks the floor server of options->scenario. 0 or a negative errno with `err`. */
int rc_bench_floor_start(struct rc_bench_floor *floor, const struct rc_bench_options *options, struct rc_err *err);
void rc_bench_floor_stop(struct rc_bench_floor *floor);

/* `options` changed so that rc_bench_run measures the floor; borrows from `floor`. */
struct rc_bench_options rc_bench_floor_options(const struct rc_bench_floor *floor,
                                               const struct rc_bench_options *options);

#endif
