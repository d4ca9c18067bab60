/*
 * state: a client that goes to another worker, as bytes: what its struct rc_client, its user and its socket say, and the names of its channels.
 *
 * The bytes of an RC_HANDOVER_CLIENT message (common/shm/handover.h), which brings the connection. A client goes when nothing of it is unsent and
 * nothing half received, so that neither is in here. What is read is another process's: it is checked.
 */
#ifndef RC_WORKER_MOVE_STATE_H
#define RC_WORKER_MOVE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/shm/handover.h"
#include "worker/client/client.h"

/* Of its channels so many at most may be read in a history, in which it goes on where it goes. */
#define RC_MOVE_REPLAYS_MAX 64u
#define RC_MOVE_STATE_BYTES_MIN 128u /* of one whose parts are all empty, at most */

struct rc_move_state {
    uint64_t token; /* of the barrier at which it goes */
    struct rc_client_coming client;
    struct rc_client_user_state user;
    struct rc_span own; /* what its protocol keeps of it beside that: worker/engine/moving.h, worker/pusher/moving.c */
    struct rc_span tls; /* its connection's, as rc_io_tls_goes has it; empty: there is none */
    struct rc_span history; /* what its compression refers back to */
    struct rc_span names;   /* a byte for the length before each; the channels it hears */
    struct rc_span
        replays; /* struct rc_replay of those that it reads in a history, in the order of names: `subscription` is the name's number, from 0 */
    uint32_t config_generation;
    uint8_t inflate_bits;
    bool takeover;  /* RC_SOCKET_TAKEOVER */
    bool everybody; /* it hears "*" */
};

/* Into `out`, which has RC_HANDOVER_BYTES_MAX bytes; how many, 0: it is too much. */
uint32_t rc_move_state_write(uint8_t *out, const struct rc_move_state *state);
/* Views into `bytes`. -EBADMSG. */
int rc_move_state_read(struct rc_move_state *state, const uint8_t *bytes, uint32_t count);

/* The next of names, from *rest on; false: there is no more. */
bool rc_move_name_next(struct rc_span *rest, struct rc_span *name);
/* Of replays, from *rest on, that of the name with this number; false: there is none. */
bool rc_move_replay_next(struct rc_span *rest, uint32_t number, struct rc_replay *replay);

#endif
