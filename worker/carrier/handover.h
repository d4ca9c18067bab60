/*
 * handover: a connection whose next request is another worker's: it goes there with the bytes of that request.
 *
 *   HTTP ─▶ LEAVING: its answers leave ─▶ nothing in flight (io) ─▶ one message to the other worker ─▶ gone from here
 *              │                                                            │ full: again, ten times
 *              │ it cannot move: a pipe's far end goes in its place         ▼
 *              └────────────▶ PIPED (pipe.h)                            503, LINGER
 *
 * A request of a session that is just being moved (worker/move) waits as LEAVING, too (RC_LEAVING_WAITS), and is looked at again when that is over; so
 * does, for two seconds at most, one for a worker that has died: its successor has the session.
 *
 * Owned by the worker's main(), one thread. Who decides is who reads the request and knows whose it is (carriers); what is behind it on
 * the connection is the other worker's, which may send it back. The message: common/shm/handover.h.
 */
#ifndef RC_WORKER_CARRIER_HANDOVER_H
#define RC_WORKER_CARRIER_HANDOVER_H

#include "worker/carrier/pipe.h"

struct rc_links;

struct rc_handovers {
    struct rc_clients *clients; /* borrowed */
    struct rc_links *links;     /* borrowed: whom applications dial (dialled.h) */
    const int *outbox_fds;      /* borrowed: into each worker's inbox */
    struct rc_pipes pipes;
    bool waiting; /* there may be requests that wait (rc_handover_wait); those of a former process, to begin with */
    struct rc_route asked[RC_WORKERS_MAX]; /* debug.handover: a resource for each worker */
    char asked_paths[RC_WORKERS_MAX][12];
    char asked_below[RC_CONFIG_TEXT_MAX + 2];
};

/* Wires itself to `clients`, which are open, and their routes. */
void rc_handovers_open(struct rc_handovers *handovers, struct rc_clients *clients, const int *outbox_fds);

/* A request that is for another worker, before anything of it was answered or its body read: its connection goes there, once what was
 * answered before has left. 0: the exchange is gone; else it is to be answered: -EINVAL no such worker, or this one; -ESRCH it does not
 * run now; -ESHUTDOWN this one sends its clients away. What fails later is answered 503 here. */
int rc_handover_begin(struct rc_exchange *exchange, uint32_t worker);

/* The same of one whose session is being moved: until rc_handovers_go_on. The exchange is gone. */
void rc_handover_wait(struct rc_handovers *handovers, struct rc_exchange *exchange);
/* Nothing is being moved just now: what has waited for that begins again. */
void rc_handovers_go_on(struct rc_handovers *handovers);
/* Of one whose worker does not run now (-ESRCH): in a moment. False: the request was tried often enough, and is to be answered. */
bool rc_handover_later(struct rc_exchange *exchange);
/* The request that a LEAVING socket began with once more. */
void rc_handover_again(struct rc_clients *clients, uint32_t socket);

/* Handlers of io (context = struct rc_handovers). */
void rc_handover_given(void *context, uint32_t socket, int fd);
void rc_handover_placed(void *context, const struct rc_io_place *place, uint32_t socket);
void rc_handover_taken(void *context, const struct rc_io_place *place, uint32_t socket);

#endif
