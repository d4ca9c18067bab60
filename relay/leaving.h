/*
 * leaving: a relay that makes way for another one while that stands by (relay/standby.h), in an upgrade.
 *
 *   RUNS ─order PARK─▶ ENDING: nothing is taken from workers any more; what Redis is asked for is answered
 *    ▲                    ▼ or after two seconds
 *    │                 PARKED: what comes from Redis still goes to the workers
 *    └─── order RUN ──────┤
 *                         └─order ADOPT─▶ it ends, or forwards what comes from Redis to the other one (relay/redis/overlap.h), and ends then
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
    /* The other one is there: may this one end? Until then it writes nothing that both have; asked again and again. */
    bool (*passed)(void *context);
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
