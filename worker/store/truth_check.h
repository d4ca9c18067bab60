/*
 * truth_check: is everything in the truth as it has to be? Walks all of it with bounds, and says the first thing that is wrong.
 *
 * For who takes over a segment that another process wrote, for every pass of debug builds, and for tests. Reads only; any process that has it
 * mapped may call, the worker itself only between two passes. What it finds is what allocators and the hub's index are rebuilt from.
 */
#ifndef RC_WORKER_STORE_TRUTH_CHECK_H
#define RC_WORKER_STORE_TRUTH_CHECK_H

#include "worker/store/truth_found.h"

/* 0, and `found` (which the caller closes) is what there is; -EBADMSG, and `err` says what is wrong and where: nothing of it may be followed then.
 * -ENOMEM. */
int rc_truth_check(const struct rc_truth *truth, struct rc_truth_found *found, struct rc_err *err);

/* The same of the worker's own: what it counts as made must be what is there, so that something was neither forgotten nor given back
 * twice. */
int rc_truth_check_own(const struct rc_truth *truth, struct rc_err *err);

/* Pools and heap go on from what was found: everything else is free. Of the truth it writes only the links of free objects: a predecessor that
 * goes on after all (a hand-over that failed) does the same with its own view first. */
void rc_truth_account(struct rc_truth *truth, struct rc_truth_found *found);

/* A debug build's look at the end of a pass: every one while that is cheap, else so seldom that it takes about a fiftieth of the time. What is wrong
 * ends the process, with a line that says what. Other builds do not look: of a million connections it would take the better part of a second. */
struct rc_truth_watch {
    uint64_t next_ns;
};
#ifdef RC_DEBUG
void rc_truth_watch(struct rc_truth_watch *watch, const struct rc_truth *truth);
#else
static inline void rc_truth_watch(struct rc_truth_watch *watch, const struct rc_truth *truth)
{
    (void)watch;
    (void)truth;
}
#endif

#endif
