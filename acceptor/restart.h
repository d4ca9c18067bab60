/*
 * restart: when a child that died is started again.
 *
 * The first crash is answered at once, the following ones after 100 ms doubling to 5 s; a child that stayed up for a minute is
 * forgiven. A child that crashes RC_RESTART_CRASHES_MAX times within RC_RESTART_WINDOW_MS is given up. One instance per child,
 * owned by the supervisor; time is passed in; nothing fails.
 */
#ifndef RC_ACCEPTOR_RESTART_H
#define RC_ACCEPTOR_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#define RC_RESTART_DELAY_FIRST_MS 100u
#define RC_RESTART_DELAY_MAX_MS   5000u
#define RC_RESTART_WINDOW_MS      60000u
#define RC_RESTART_CRASHES_MAX    10u

struct rc_restart {
    uint64_t crashes_ms[RC_RESTART_CRASHES_MAX]; /* times of the last crashes, a ring */
    uint32_t crashes;                            /* all crashes so far: the next one goes to crashes % MAX */
    uint32_t streak;                             /* crashes without a quiet minute between them */
};

/* Records a crash at `now_ms` of a child that had started at `started_ms`. True: start it again after *delay_ms (0 = at once).
 * False: it crashed too often, give up. */
bool rc_restart_after_crash(struct rc_restart *restart, uint64_t started_ms, uint64_t now_ms, uint64_t *delay_ms);

#endif
