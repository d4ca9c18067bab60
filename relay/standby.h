/*
 * standby: a relay that is to take the place of one that runs (relay/leaving.h), in an upgrade. It writes nothing that is shared but its own
 * word, `successor_state`, until the acceptor has raised the generation.
 *
 *   STARTING ─▶ STANDBY ─generation raised: the other one touches nothing any more─▶ it opens everything, as after a crash
 *
 * Owned by main; one thread.
 */
#ifndef RC_RELAY_STANDBY_H
#define RC_RELAY_STANDBY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/shm/control.h"
#include "relay/loop.h"

struct rc_standby {
    const struct rc_control *control; /* borrowed */
    struct rc_relay_loop *loop;       /* borrowed */
    int acceptor_bell_fd;             /* borrowed */
    struct rc_process nobody;         /* what the loop says of a process that is not the relay yet */
    uint32_t generation;              /* of the other one */
    bool said;
    bool ended; /* it is not wanted */
};

/* Opens the loop for it. */
int rc_standby_open(struct rc_standby *standby, const struct rc_control *control, struct rc_relay_loop *loop,
                    int acceptor_bell_fd, struct rc_err *err);
/* Whoever it belonged to is gone. */
void rc_standby_end(struct rc_standby *standby);
/* 1: this is the relay now; 0: it is not wanted; negative errno with `err`: the loop failed. */
int rc_standby_run(struct rc_standby *standby, struct rc_err *err);

#endif
