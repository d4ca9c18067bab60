/*
 * receiving: input of a client as it came, while its messages are handled, so that a successor of a worker that is killed meanwhile knows which
 * of them were carried out: those before `offset`; and that which ends at `next`, if its record is in the up ring, which is the last thing that
 * an operation does that may be repeated (rc_receiving_operation). Where nothing is said of the socket, it is not known.
 *
 * Of input that is not more than a receive buffer, of a client with nothing undecoded. Written by the carrier and worker/client.
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

#endif
