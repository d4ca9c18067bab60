/*
 * leaving: a relay that makes way for another one while that stands by (relay/standby.h), in an upgrade.
 *
 *   RUNS ─order PARK─▶ ENDING: nothing is taken from workers any more; what Redis is asked for is answered
 *    ▲                    ▼ or after two seconds
 *    │                 PARKED: what it hears from others is written down for the next one; what comes from them still goes to the workers
 *    └─── order RUN ──────┤
 *                         └─order ADOPT─▶ it ends: at once, or, with Redis, when the other one hears what it hears
 *
 * Owned by main; one thread. What lies in the rings, and whatever is half done there, is the successor's, as after a crash.
 */
#ifndef RC_RELAY_LEAVING_H
#define RC_RELAY_LEAVING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/shm/layout.h"
#include "relay/loop.h"

enum rc_leaving_phase { RC_LEAVING_RUNS, RC_LEAVING_ENDING, RC_LEAVING_PARKED };

struct rc_leaving_ops {
    /* Is nothing under way that only this process knows of? */
    bool (*quiet)(void *context);
    /* It stands still: the other one is to know what this one hears. */
    void (*pass)(void *context);
    /* Does the other one hear what this one hears, or never will? */
    bool (*passed)(void *context);
    /* It goes on. */
    void (*stay)(void *context);
    void *context; /* borrowed */
};

struct rc_leaving {
    const struct rc_life *life; /* borrowed: this relay's, in the core segment */
    struct rc_relay_loop *loop; /* borrowed: says the state */
    int acceptor_bell_fd;       /* borrowed */
    struct rc_leaving_ops ops;
    enum rc_leaving_phase phase;
    uint64_t since_ms;
    struct rc_timer timer; /* while it waits for something it is looked at often */
};

void rc_leaving_open(struct rc_leaving *leaving, const struct rc_life *life, struct rc_relay_loop *loop,
                     int acceptor_bell_fd, const struct rc_leaving_ops *ops);
/* Once a turn. True: the loop is to end. `draining`: the broker ends, and orders mean nothing. */
bool rc_leaving_turn(struct rc_leaving *leaving, bool draining);
/* Nothing is taken from workers. */
static inline bool rc_leaving_still(const struct rc_leaving *leaving)
{
    return leaving->phase != RC_LEAVING_RUNS;
}

#endif
