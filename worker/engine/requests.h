/*
 * requests: what Socket.IO servers beside this instance ask of its sockets (common/records/sockets.h), carried out on this worker's.
 *
 * One pass over the worker's clients for each call, in one go. Owned by the worker's main(), one thread. What the up ring has no room
 * for is left out and counted: who asked hears of the others.
 */
#ifndef RC_WORKER_ENGINE_REQUESTS_H
#define RC_WORKER_ENGINE_REQUESTS_H

#include <stdbool.h>

#include "common/records/envelope.h"
#include "worker/engine/session.h"

/* Is this RC_DOWN_CALL one of them? */
bool rc_requests_mine(const struct rc_envelope_view *view);
void rc_requests_serve(struct rc_engines *engines, const struct rc_envelope_view *view);

#endif
