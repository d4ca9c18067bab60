/*
 * judge: what a call that has ended says of its backend: its counters, its breaker, the log, and /health/database. Private to worker/backend, but for
 * what backend.h has of it (rc_backend_answered, rc_backend_reply_refused).
 *
 * Owned by struct rc_backends' owner; one thread. Nothing fails.
 */
#ifndef RC_WORKER_BACKEND_JUDGE_H
#define RC_WORKER_BACKEND_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/backend/backend.h"
#include "worker/backend/pool.h"

#define RC_BACKEND_WRONG_MS 30000u

/* This worker's; NULL: it is not configured any more. */
struct rc_backend_counters *rc_backend_counters_of(const struct rc_backends *backends,
                                                   const struct rc_backend *backend);
/* It has answered a call of any worker wrongly, and none well since, less than RC_BACKEND_WRONG_MS ago: that it fails over a look (look.h) says
 * nothing of it, then. */
bool rc_backend_wrong(const struct rc_backends *backends, const struct rc_backend *backend, uint64_t now_ms);
/* Once for each call that was begun, when it has ended. */
void rc_backend_judge(struct rc_backends *backends, const struct rc_calling *call);

#endif
