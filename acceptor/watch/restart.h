/*
 * restart: when a child that died is started again.
 *
 * The first crash is answered at once, the following ones after 100 ms doubling to 5 s; a child that stayed up for a
 * minute is forgiven. (The successor of a worker whose clients are to stay does not wait: watch.c.) A child that crashes RC_RESTART_CRASHES_MAX times within RC_RESTART_WINDOW_MS is given up. A
 * child that worked and was killed from outside (an operator's kill -9, the kernel short of memory) did not crash: it
 * is started again however often that happens, but not more than about ten times a second. One instance per child,
 * owned by the supervisor; time is passed in; nothing fails.
 */
#ifndef RC_ACCEPTOR_WATCH_RESTART_H
#define RC_ACCEPTOR_WATCH_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#define RC_RESTART_DELAY_FIRST_MS 100u
#define RC_RESTART_DELAY_MAX_MS 5000u
#define RC_RESTART_WINDOW_MS 60000u
#define RC_RESTART_CRASHES_MAX 10u

struct rc_restart {
    uint64_t crashes_ms[RC_RESTART_CRASHES_MAX]; /* times of the last crashes, a ring */
    uint32_t crashes;                            /* all crashes so far: the next one goes to crashes % MAX */
    uint32_t streak;                             /* crashes without a quiet minute between them */
    uint64_t killed_ms;                          /* time of the last kill from outside, 0 = none */
};

/* Records a crash at `now_ms` of a child that had started at `started_ms`. True: start it again after *delay_ms (0
 * = at once). False: it crashed too often, give up. */
bool rc_restart_after_crash(struct rc_restart *restart, uint64_t started_ms, uint64_t now_ms, uint64_t *delay_ms);

/* Records that it could not be started at `now_ms` (descriptors, memory or processes are short), the last time it was tried at `started_ms`. The
 * delay before the next try, as of a crash; it is never given up: a broker that ended could not start anybody either. */
uint64_t rc_restart_after_failure(struct rc_restart *restart, uint64_t started_ms, uint64_t now_ms);

/* Records a kill from outside. The delay before the child is started again: 0 unless the last kill was less than a
 * second ago. */
uint64_t rc_restart_after_kill(struct rc_restart *restart, uint64_t now_ms);

#endif
