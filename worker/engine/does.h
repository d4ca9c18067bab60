/*
 * does: what a backend wants done (worker/backend/reply.h), carried out for a socket of a Socket.IO namespace, or for a client of another
 * protocol, whose rooms are those of "/": by the same operations as the rows of [[event]].
 *
 * Nothing is asked whether it is allowed: the backend is who decides. Owned as all of worker/engine, one thread.
 */
#ifndef RC_WORKER_ENGINE_DOES_H
#define RC_WORKER_ENGINE_DOES_H

#include "worker/backend/reply.h"
#include "worker/engine/session.h"

/* For whom. It may end by what is done: its random number says that. */
struct rc_does {
    struct rc_engines *engines;
    uint32_t client;
    uint64_t random;
    struct rc_span nsp;
    struct rc_span backend; /* its name: who hears what emits are answered */
    bool *failed;           /* set when something could not be done, in place of telling the client; NULL: it is told */
    struct rc_span id;      /* of the acknowledgement that is asked for; empty: none, or it was given */
};

/* Does the operations from `*step` on. False: the next has to wait until the relay knows of a join before it, or for room in the up
 * ring: call again, with the same, after a while. */
bool rc_does(const struct rc_does *does, const struct rc_reply *reply, uint32_t *step);

/* A retain, or an emit with `to`, of nobody (does->client is 0): its rooms from the `*rooms`th on. False: there is no room in the up ring. */
bool rc_does_post(const struct rc_does *does, const struct rc_reply_operation *wanted, uint32_t *rooms);

/* The sender is told why nothing was done: in place of the acknowledgement, or as an event. */
void rc_does_error(const struct rc_does *does, uint32_t code, struct rc_span message);

#endif
