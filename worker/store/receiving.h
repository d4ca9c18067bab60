/*
 * receiving: what of a client is being carried out, as it came, so that a successor of a worker that is killed meanwhile goes on with it. Where
 * nothing is said of a socket, it is not known what was done for it. It is
 *
 *   FRAMES    input of a WebSocket, no more than a receive buffer, of a client with nothing undecoded: messages before `offset` are over, and that
 *             which ends at `next` is carried out. The successor parks it from `offset` on.
 *   MESSAGE   a whole one that had to wait, and stands in the socket's input (rc_input.waiting_opcode) until it is over
 *   REQUEST   one of HTTP, whole: what came with it, or (count 0) what is parked begins with it. The successor begins it anew.
 *             RC_RECEIVING_ANSWERED: its answer is written, and nothing is left to do but to pass over it.
 *
 * Each is begun again from `done`, as who carries it out counts that: what it does is done in steps, and those are not done again. A step that is one
 * record in the up ring was done if that is there (rc_receiving_step). One that is not (rc_receiving_repeats) is done again, and has to come to
 * the same: it finds what the former try has made. What cannot be done so is said to be unknown (rc_receiving_operation).
 * What is answered is of units, and is taken back unless its unit was done: a message, or what of it is behind its last step.
 *
 * Written by the carrier, worker/client and worker/engine.
 */
#ifndef RC_WORKER_STORE_RECEIVING_H
#define RC_WORKER_STORE_RECEIVING_H

#include <string.h>

#include "worker/store/taking.h"
#include "worker/store/truth.h"

/* It is not known from here on what was carried out. */
static inline void rc_receiving_end(struct rc_truth *truth)
{
    truth->layout->taking.socket = 0;
    RC_STORE_ORDER();
    truth->layout->receiving.socket = 0;
    RC_STORE_ORDER();
}

static inline bool rc_receiving_is_known(const struct rc_truth *truth, uint32_t socket)
{
    return truth->layout->receiving.socket == socket + 1;
}

/* Is something of it carried out just now? */
static inline bool rc_receiving_runs(const struct rc_truth *truth)
{
    const struct rc_truth_receiving *receiving = &truth->layout->receiving;
    return receiving->socket != 0 && (receiving->kind != RC_RECEIVING_FRAMES || receiving->offset < receiving->next);
}

/* Nothing of it is begun, but what a former process has done of the first. */
static inline void rc_receiving_set(struct rc_truth *truth, uint32_t socket, enum rc_receiving_kind kind, uint64_t done)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    receiving->offset = receiving->next = receiving->done_at = 0;
    receiving->done = done;
    receiving->from = ~done; /* no unit */
    receiving->step = receiving->again = 0;
    receiving->hook = 0;
    receiving->kind = kind;
    receiving->serial++;
    RC_STORE_ORDER();
    receiving->socket = socket + 1;
    rc_taking_over(truth);
}

/* Of whom the worker works for, which is named: nothing is half done, or something may be from here on. */
static inline void rc_receiving_rests(struct rc_truth *truth, bool rests)
{
    RC_STORE_ORDER();
    truth->layout->working_rests = rests;
    RC_STORE_ORDER();
}

/* Is there anything that could not be parked again as it came? */
static inline bool rc_receiving_undecoded(const struct rc_truth *truth, uint32_t socket)
{
    const uint32_t index = truth->sockets[socket].input;
    const struct rc_input *input = index == 0 ? NULL : rc_truth_input(truth, index);
    return input != NULL && (input->waiting_opcode != 0 || !rc_ws_receiver_idle(&input->receiver));
}

/* Input of a WebSocket, of the first message of which so much was done. What is parked is begun before it is taken out. */
static inline void rc_receiving_begin(struct rc_truth *truth, uint32_t socket, const uint8_t *bytes, uint32_t count,
                                      uint32_t done)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    if (rc_receiving_is_known(truth, socket) && receiving->kind == RC_RECEIVING_FRAMES && !rc_receiving_runs(truth)) {
        if (receiving->next == 0 && receiving->count == count) {
            return; /* it was parked */
        }
        rc_receiving_end(truth); /* what came before is over */
    }
    if (receiving->socket != 0 || count > sizeof(receiving->bytes) || rc_receiving_undecoded(truth, socket)) {
        rc_receiving_end(truth); /* in the middle of another one's: neither is known */
        return;
    }
    if (count > 0) { /* what was read on from a head alone is nothing yet */
        memcpy(receiving->bytes, bytes, count);
    }
    receiving->count = count;
    rc_receiving_set(truth, socket, RC_RECEIVING_FRAMES, done);
}

/* Of input that was begun as `serial`, a message is over that was not known: what comes from `offset` on is, where `bytes` still has it. */
static inline void rc_receiving_known_again(struct rc_truth *truth, uint32_t socket, uint32_t serial, uint32_t offset)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    if (receiving->socket != 0 || receiving->serial != serial || rc_receiving_undecoded(truth, socket)) {
        return;
    }
    receiving->offset = receiving->next = receiving->done_at = offset;
    receiving->done = 0;
    receiving->from = ~UINT64_C(0); /* no unit */
    receiving->step = receiving->again = 0;
    receiving->hook = 0;
    RC_STORE_ORDER();
    receiving->socket = socket + 1;
    RC_STORE_ORDER();
}

/* --- units and steps ------------------------------------------------------------------------------------------------- */

/* A unit begins: a message or packet, what of it follows a step, or the answer. */
static inline void rc_receiving_unit(struct rc_truth *truth)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    if (receiving->socket != 0) {
        receiving->step = receiving->again = 0;
        receiving->hook = 0;
        truth->layout->hub.unit++;
        RC_STORE_ORDER();
        receiving->from = receiving->done;
        RC_STORE_ORDER();
    }
}

/* What goes up now is none of the step's: it has not begun. */
static inline void rc_receiving_no_step(struct rc_truth *truth)
{
    truth->layout->receiving.step = 0;
    RC_STORE_ORDER();
}

/* A step of it begins, which may be done again, and behind which so much is done; 0: what follows is no step. */
static inline void rc_receiving_repeats(struct rc_truth *truth, uint64_t done)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    if (receiving->socket == 0) {
        return;
    }
    if (receiving->from != receiving->done) {
        rc_receiving_unit(truth);
    }
    receiving->step = receiving->again = 0;
    receiving->set = receiving->pending = 0;
    RC_STORE_ORDER();
    receiving->again = done;
    RC_STORE_ORDER();
}

/* It is done from here on: attributes of a client that are set, whole in a heap block of their own, which a successor puts in their place... */
static inline void rc_receiving_sets(struct rc_truth *truth, uint32_t client, uint32_t set, uint16_t bytes)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    if (receiving->socket != 0 && receiving->again != 0) {
        receiving->set_bytes = bytes;
        receiving->set_client = client;
        RC_STORE_ORDER();
        receiving->set = set;
        RC_STORE_ORDER();
    }
}

/* ...or it is when this is linked: a request that waits for the relay. */
static inline void rc_receiving_waits(struct rc_truth *truth, uint32_t pending)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    if (receiving->socket != 0 && receiving->again != 0) {
        receiving->pending = pending;
        RC_STORE_ORDER();
    }
}

/* A step begins that is a record in the up ring, or an answer. */
static inline void rc_receiving_step(struct rc_truth *truth, uint64_t done, uint64_t up_position)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    if (receiving->socket != 0) {
        rc_receiving_repeats(truth, 0);
        receiving->up_position = up_position;
        RC_STORE_ORDER();
        receiving->step = done;
        RC_STORE_ORDER();
    }
}

/* All of that is done, and what was answered stays. */
static inline void rc_receiving_done(struct rc_truth *truth, uint64_t done)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    if (receiving->socket != 0) {
        RC_STORE_ORDER();
        receiving->done = done;
        RC_STORE_ORDER();
    }
}

/* The step that has begun asks a backend. Until it is over nothing has left: a successor of a killed worker begins it again, without this. */
static inline void rc_receiving_asks(struct rc_truth *truth, uint32_t hook)
{
    if (truth->layout->receiving.socket != 0) {
        truth->layout->receiving.hook = hook;
        RC_STORE_ORDER();
    }
}

/* What is done now: can it be carried out once more, should it be neither in the up ring nor said to be done? */
static inline void rc_receiving_operation(struct rc_truth *truth, bool repeatable)
{
    if (!repeatable && truth->layout->receiving.socket != 0) {
        rc_receiving_end(truth);
    }
}

/* --- messages -------------------------------------------------------------------------------------------------------- */

/* The message that waited in the socket's input is carried out. */
static inline void rc_receiving_waited(struct rc_truth *truth, uint32_t socket)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    if (receiving->socket != 0) {
        rc_receiving_end(truth);
        return;
    }
    receiving->count = 0;
    rc_receiving_set(truth, socket, RC_RECEIVING_MESSAGE,
                     rc_truth_input(truth, truth->sockets[socket].input)->waiting_done);
    rc_receiving_unit(truth);
}

/* The message that ends behind so many of the bytes is carried out now. */
static inline void rc_receiving_message(struct rc_truth *truth, uint32_t next)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    if (receiving->done_at != receiving->offset) { /* nothing of it is done */
        receiving->step = receiving->again = 0;
        receiving->done = 0;
        RC_STORE_ORDER();
        receiving->done_at = receiving->offset;
        RC_STORE_ORDER();
    }
    rc_receiving_unit(truth);
    receiving->next = next;
    RC_STORE_ORDER();
}

static inline void rc_receiving_handled(struct rc_truth *truth)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    RC_STORE_ORDER();
    receiving->offset = receiving->next;
    RC_STORE_ORDER();
}

/* --- requests -------------------------------------------------------------------------------------------------------- */

#define RC_RECEIVING_ANSWERED UINT64_MAX

static inline bool rc_receiving_is_request(const struct rc_truth *truth)
{
    return truth->layout->receiving.socket != 0 && truth->layout->receiving.kind == RC_RECEIVING_REQUEST;
}

/* The socket's request is carried out from here on; so much of it was before. `count` 0: it is what its parked input begins with. */
static inline void rc_receiving_request(struct rc_truth *truth, uint32_t socket, const uint8_t *bytes, uint32_t count,
                                        uint64_t done)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    if (receiving->socket != 0 || count > sizeof(receiving->bytes) ||
        (count == 0) != (truth->sockets[socket].input != 0)) {
        rc_receiving_end(truth);
        return;
    }
    if (count > 0) {
        memcpy(receiving->bytes, bytes, count);
    }
    receiving->count = count;
    rc_receiving_set(truth, socket, RC_RECEIVING_REQUEST, done);
}

/* Nobody is worked for any more: what was to be known stands in the input. */
static inline void rc_receiving_over(struct rc_truth *truth)
{
    if (truth->layout->receiving.socket != 0) {
        rc_receiving_end(truth);
    }
}

/* Are the answers of the newest unit to be taken back, of a killed worker? */
static inline bool rc_receiving_takes_back(const struct rc_truth *truth)
{
    return rc_receiving_runs(truth) && truth->layout->receiving.from == truth->layout->receiving.done;
}

#endif
