/*
 * look: asks a backend that failed whether it answers again, when nobody else asks it.
 *
 * What is known of a backend is what its last call found. While nobody comes, that would stand for ever: /health/database says 503, so a load
 * balancer sends nobody, so nobody is asked about. So each worker whose last call failed makes one of its own, after RC_BACKEND_LOOK_MS and
 * as often as that, within the breaker: {"call":"health",...}, signed as all are. Any answer below 500 is one.
 *
 * Owned by struct rc_backends' owner; one thread. What fails is tried again.
 */
#ifndef RC_WORKER_BACKEND_LOOK_H
#define RC_WORKER_BACKEND_LOOK_H

#include <stdint.h>

#include "worker/backend/backend.h"

#define RC_BACKEND_LOOK_MS 5000u

/* Makes the calls that are due: every pass of the loop, unless the worker is about to be taken over. */
void rc_backends_look(struct rc_backends *backends, uint64_t now_ms);
/* How long the loop may sleep until then, at most `most_ms`. */
uint32_t rc_backends_look_in_ms(const struct rc_backends *backends, uint64_t now_ms, uint32_t most_ms);

#endif
