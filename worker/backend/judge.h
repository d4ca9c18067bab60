/*
 * judge: what a call that has ended says of its backend: its counters, its breaker, the log, and /health/database. Private to worker/backend, but for
 * what backend.h has of it (rc_backend_answered, rc_backend_reply_refused).
 *
 * Owned by struct rc_backends' owner; one thread. Nothing fails.
 */
#ifndef RC_WORKER_BACKEND_JUDGE_H
#define RC_WORKER_BACKEND_JUDGE_H

#include "worker/backend/backend.h"
#include "worker/backend/pool.h"

/* This worker's; NULL: it is not configured any more. */
struct rc_backend_counters *rc_backend_counters_of(const struct rc_backends *backends,
                                                   const struct rc_backend *backend);
/* Once for each call that was begun, when it has ended. */
void rc_backend_judge(struct rc_backends *backends, const struct rc_calling *call);

#endif
