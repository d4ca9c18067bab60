/*
 * moving: what the truth says of clients that came, come or go from worker to worker. Part of truth.h, and of RC_TRUTH_ABI.
 *
 * Written by worker/move alone.
 */
#ifndef RC_WORKER_STORE_MOVING_H
#define RC_WORKER_STORE_MOVING_H

#include <stdint.h>

#include "common/records/envelope.h"

/* The place that a client's id names, where that is not its place here: truth->homes, by client. */
struct rc_home {
    uint32_t slot;
    uint16_t worker;
    uint16_t pad;
};

enum rc_move_role {
    RC_MOVE_NONE,
    RC_MOVE_GIVES, /* from the RC_UP_BARRIER on until the other worker was told of the end */
    RC_MOVE_TAKES, /* from the RC_DOWN_BARRIER on until that: the down ring stands still */
};

/* Clients that are moving to or from another worker (worker/move): what a successor needs to end it. */
struct rc_truth_move {
    uint64_t token;
    uint32_t role; /* enum rc_move_role */
    uint32_t peer; /* worker */
    uint32_t count;
    uint32_t ended; /* of RC_MOVE_TAKES: the other one has said so */
    struct rc_client_ref
        refs[RC_MOVE_CLIENTS_MAX]; /* of the last barrier, also when it is over: who may be asked for here in vain */
};

#endif
