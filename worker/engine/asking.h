/*
 * asking: emits of a backend that clients are to answer: `ack` and `timeout` of an emit in a reply or in POST /api/do.
 *
 *   rc_asking_emit ─▶ RC_CALL_SOCKETS_EMIT (acks.h) ─▶ sockets of this host ─▶ answered, or not in time ─▶ rc_asked_told
 *                     ─▶ the call `ack` of the backend, by the worker that has the socket; its reply's operations are for that socket
 *
 * Which backend, and the token that is its own name for the answer, travel with the emit (struct rc_emit.asker), so that nobody has
 * to remember it: they lie in the truth of the workers that wait. Owned as all of worker/engine, one thread.
 */
#ifndef RC_WORKER_ENGINE_ASKING_H
#define RC_WORKER_ENGINE_ASKING_H

#include "worker/engine/session.h"

/* An emit. Spans are borrowed. */
struct rc_asking {
    uint32_t client; /* of whom it is; 0: of nobody */
    bool to_client;  /* to it alone, here and now */
    bool others;     /* not to it */
    bool is_volatile;
    uint32_t timeout_ms; /* 0: socketio.ack_timeout, which is the most */
    struct rc_span nsp;
    struct rc_span names; /* whom it is for, as the exclude text of select.h */
    struct rc_span event;
    struct rc_span args; /* as rc_args has them */
    struct rc_span token;
    struct rc_span backend; /* its name */
};

/* False: there is no room in the up ring now. Without memory it is not sent, and counted. */
bool rc_asking_emit(struct rc_engines *engines, const struct rc_asking *asking);

/* What an emit's asker says, as views of it; false: it is not one that rc_asking_emit made. */
bool rc_asking_read(struct rc_span asker, struct rc_span *nsp, struct rc_span *backend, struct rc_span *token);

#endif
