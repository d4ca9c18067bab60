/*
 * taking: what a receive has brought, from the moment on in which its completion leaves the queue until something is made of it: a successor of a worker
 * that is killed in between parks it, as if the completion still stood in the queue. What was written meanwhile is put back by what is noted here: that
 * it is parked, too, that a request of it has begun, and that it has come.
 *
 *   rc_taking_begin ─▶ rc_taking_over: its packets are known from here on (receiving.h), or something is done for it of which nothing is known
 *
 * Begun by worker/io; ended by whoever makes something of the bytes.
 */
#ifndef RC_WORKER_STORE_TAKING_H
#define RC_WORKER_STORE_TAKING_H

#include "worker/store/truth.h"

static inline void rc_taking_over(struct rc_truth *truth)
{
    RC_STORE_ORDER();
    truth->layout->taking.socket = 0;
    RC_STORE_ORDER();
}

/* Before it is said that the completion is being handled. */
static inline void rc_taking_begin(struct rc_truth *truth, uint32_t index)
{
    struct rc_truth_taking *taking = &truth->layout->taking;
    const struct rc_socket *socket = &truth->sockets[index];
    taking->received_bytes = socket->received_bytes;
    taking->exchange = socket->exchange;
    taking->input = socket->input;
    if (socket->input != 0) {
        const struct rc_input *input = rc_truth_input(truth, socket->input);
        taking->parked_bytes = input->parked_bytes;
        taking->request_bytes = input->request_bytes;
        taking->request_done = input->request_done;
        taking->request = input->request;
    }
    RC_STORE_ORDER();
    taking->socket = index + 1;
    RC_STORE_ORDER();
}

/* Of a killed worker, which was handling what that socket had sent: is it as if it had not? Then it is so from here on. Done again, it comes to the
 * same. */
static inline bool rc_taking_undo(struct rc_truth *truth, uint32_t index)
{
    const struct rc_truth_taking *taking = &truth->layout->taking;
    struct rc_socket *socket = &truth->sockets[index];
    if (taking->socket != index + 1 ||
        (taking->input != 0 && (socket->input != taking->input ||
                                rc_truth_input(truth, socket->input)->parked_bytes < taking->parked_bytes))) {
        return false;
    }
    socket->received_bytes = taking->received_bytes;
    if (socket->state == RC_SOCKET_HTTP) {
        socket->exchange = taking->exchange;
    }
    if (taking->input == 0) {
        socket->input = 0; /* what nobody names is free */
        return true;
    }
    struct rc_input *input = rc_truth_input(truth, socket->input);
    input->request = RC_REQUEST_ONCE;
    RC_STORE_ORDER();
    input->parked_bytes = taking->parked_bytes;
    input->request_bytes = taking->request_bytes;
    input->request_done = taking->request_done;
    RC_STORE_ORDER();
    input->request = taking->request;
    return true;
}

#endif
