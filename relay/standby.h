/*
 * standby: a relay that is to take the place of one that runs (relay/leaving.h), in an upgrade. It writes nothing that is shared but its own
 * word, `successor_state`, until the acceptor has raised the generation: then the other one has ended.
 *
 *   STARTING ─prepared─▶ STANDBY ─order ADOPT─▶ ADOPTING: it hears what the other one hears ─▶ READY: that one may end
 *                                                          ─generation raised─▶ it opens everything, as after a crash
 *
 * Owned by main; one thread.
 */
#ifndef RC_RELAY_STANDBY_H
#define RC_RELAY_STANDBY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/shm/control.h"
#include "relay/loop.h"

struct rc_standby_ops {
    /* Is everything ready that takes long, or hopeless? */
    bool (*prepared)(void *context);
    /* The other one stands still: begins to hear what it hears. */
    void (*begin)(void *context);
    /* Once a turn from then on: does it hear that, or never will? */
    bool (*heard)(void *context);
    /* Once a turn. */
    void (*turn)(void *context);
    void *context; /* borrowed */
};

struct rc_standby {
    const struct rc_control *control; /* borrowed */
    struct rc_relay_loop *loop;       /* borrowed */
    int acceptor_bell_fd;             /* borrowed */
    struct rc_standby_ops ops;
    struct rc_process nobody; /* what the loop says of a process that is not the relay yet */
    uint32_t generation;      /* of the other one */
    enum rc_process_state state;
    uint64_t since_ms;
    bool ended; /* it is not wanted */
    struct rc_timer timer;
};

/* Opens the loop for it. */
int rc_standby_open(struct rc_standby *standby, const struct rc_control *control, struct rc_relay_loop *loop,
                    int acceptor_bell_fd, const struct rc_standby_ops *ops, struct rc_err *err);
/* Whoever it belonged to is gone. */
void rc_standby_end(struct rc_standby *standby);
/* 1: this is the relay now; 0: it is not wanted; negative errno with `err`: the loop failed. */
int rc_standby_run(struct rc_standby *standby, struct rc_err *err);

#endif
