/*
 * receiving: input of a client as it came, while its messages are handled, so that a successor of a worker that is killed meanwhile knows which
 * of them were carried out: those before `offset`; and that which ends at `next`, if its record is in the up ring, which is the last thing that
 * an operation does that may be repeated (rc_receiving_operation). Where nothing is said of the socket, it is not known.
 *
 * Of input that is not more than a receive buffer, of a client with nothing undecoded. Written by the carrier and worker/client.
 *
 * Or it is a request of HTTP, whole, that is being carried out: what came with it, or (count 0) what is parked begins with it. A successor begins it
 * anew, with what was done of it (rc_input.request_done); RC_RECEIVING_ANSWERED: its answer is written, and nothing is left to do but to pass over
 * it. What is done as a whole is a unit, whose answers are taken back unless it is done; what goes up as well is a step of it.
 */
#ifndef RC_WORKER_STORE_RECEIVING_H
#define RC_WORKER_STORE_RECEIVING_H

#include <string.h>

#include "worker/store/truth.h"

/* It is not known from here on what was carried out. */
static inline void rc_receiving_end(struct rc_truth *truth)
{
    RC_STORE_ORDER();
    truth->layout->receiving.socket = 0;
    RC_STORE_ORDER();
}

static inline void rc_receiving_begin(struct rc_truth *truth, uint32_t socket, const uint8_t *bytes, uint32_t count)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    if (receiving->socket != 0 || count > sizeof(receiving->bytes) || truth->sockets[socket].input != 0) {
        rc_receiving_end(truth); /* in the middle of another one's: neither is known */
        return;
    }
    if (count > 0) { /* what was read on from a head alone is nothing yet */
        memcpy(receiving->bytes, bytes, count);
    }
    receiving->count = count;
    receiving->offset = receiving->next = 0;
    receiving->request = 0;
    RC_STORE_ORDER();
    receiving->socket = socket + 1;
    RC_STORE_ORDER();
}

/* The message that ends behind so many of the bytes is handled now; what it is answered is of one unit. */
static inline void rc_receiving_message(struct rc_truth *truth, uint32_t next, uint64_t up_position)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    truth->layout->hub.unit++;
    receiving->up_position = up_position;
    RC_STORE_ORDER();
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

/* An operation of the message: can it be carried out once more, should its record not be in the up ring? */
static inline void rc_receiving_operation(struct rc_truth *truth, bool repeatable)
{
    if (!repeatable && truth->layout->receiving.socket != 0) {
        rc_receiving_end(truth);
    }
}

/* --- requests -------------------------------------------------------------------------------------------------------- */

#define RC_RECEIVING_ANSWERED UINT64_MAX

static inline bool rc_receiving_is_request(const struct rc_truth *truth)
{
    return truth->layout->receiving.socket != 0 && truth->layout->receiving.request != 0;
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
    receiving->offset = receiving->next = 0;
    receiving->done = done;
    receiving->from = ~done; /* no unit */
    receiving->step = 0;
    receiving->request = 1;
    RC_STORE_ORDER();
    receiving->socket = socket + 1;
    RC_STORE_ORDER();
}

/* A unit begins: a packet, or the answer. */
static inline void rc_receiving_unit(struct rc_truth *truth)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    if (rc_receiving_is_request(truth)) {
        receiving->step = 0;
        truth->layout->hub.unit++;
        RC_STORE_ORDER();
        receiving->from = receiving->done;
        RC_STORE_ORDER();
    }
}

/* A step of it begins, behind which so much is done: what it does is a record in the up ring, or an answer. */
static inline void rc_receiving_step(struct rc_truth *truth, uint64_t done, uint64_t up_position)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    if (rc_receiving_is_request(truth)) {
        if (receiving->from != receiving->done) {
            rc_receiving_unit(truth);
        }
        receiving->up_position = up_position;
        RC_STORE_ORDER();
        receiving->step = done;
        RC_STORE_ORDER();
    }
}

/* All of that is done, and what was answered stays. */
static inline void rc_receiving_done(struct rc_truth *truth, uint64_t done)
{
    if (rc_receiving_is_request(truth)) {
        RC_STORE_ORDER();
        truth->layout->receiving.done = done;
        RC_STORE_ORDER();
    }
}

/* Nobody is worked for any more: what was to be known of a request stands in the input. */
static inline void rc_receiving_over(struct rc_truth *truth)
{
    if (truth->layout->receiving.socket != 0) {
        rc_receiving_end(truth);
    }
}

/* Are the answers of the newest unit to be taken back, of a killed worker? */
static inline bool rc_receiving_takes_back(const struct rc_truth *truth)
{
    const struct rc_truth_receiving *receiving = &truth->layout->receiving;
    return rc_receiving_is_request(truth) ? receiving->from == receiving->done
                                          : receiving->socket != 0 && receiving->offset < receiving->next;
}

#endif
