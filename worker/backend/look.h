/*
 * look: asks a backend whether it answers, when nobody else asks it.
 *
 * What is known of a backend is what its last call found. While nobody comes, that would stand for ever: of one that failed, /health/database
 * says 503, so a load balancer sends nobody, so nobody is asked about; of one that has died since, it says 200. So whoever has nothing to ask
 * makes a call of its own, within the breaker: {"call":"health",...}, signed as all are. Any answer below 500 is one, and any but 502, 503 and 504
 * of an application that is not known to fail over other calls (judge.c). Of one that is, such an answer says nothing, for RC_JUDGE_WRONG_MS: it is
 * no failure, either, and neither the breaker nor another worker hears of it.
 *
 *   each worker whose last call failed     RC_BACKEND_LOOK_MS after it, and as often as that
 *   one worker of all                      RC_BACKEND_IDLE_MS after any process of the host has heard of the backend last. That is worker 0; the
 *                                          next ones come RC_BACKEND_TURN_MS later each, if they have not heard of it by then either, nor that
 *                                          another one asks it just now
 *
 * Owned by struct rc_backends' owner; one thread. What fails is tried again.
 */
#ifndef RC_WORKER_BACKEND_LOOK_H
#define RC_WORKER_BACKEND_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/backend/backend.h"

#define RC_BACKEND_LOOK_MS 5000u
#define RC_BACKEND_IDLE_MS 10000u
#define RC_BACKEND_TURN_MS 1000u

/* Makes the calls that are due: every pass of the loop. `may` is false while none are to be made: the worker is about to be taken over, or ends, and
 * would be waited for. */
void rc_backends_look(struct rc_backends *backends, uint64_t now_ms, bool may);
/* How long the loop may sleep until then, at most `most_ms`. Where the last pass was not to make any, there is nothing to wake up for. */
uint32_t rc_backends_look_in_ms(const struct rc_backends *backends, uint64_t now_ms, uint32_t most_ms);

#endif
