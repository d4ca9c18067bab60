/*
 * judge: what a call that has ended says of its backend: its counters, its breaker, the log, and /health/database. Private to worker/backend.
 *
 * Owned by struct rc_backends' owner; one thread. Nothing fails.
 */
#ifndef RC_WORKER_BACKEND_JUDGE_H
#define RC_WORKER_BACKEND_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/backend/pool.h"

#define RC_JUDGE_WRONG_MS 30000u

/* This worker's; NULL: it is not configured any more. */
struct rc_backend_counters *rc_judge_counters(const struct rc_backends *backends, const struct rc_backend *backend);
/* It has answered a call of any worker wrongly, and none well since, less than RC_JUDGE_WRONG_MS ago: that it fails over a look (look.h) says
 * nothing of it, then. */
bool rc_judge_wrong(const struct rc_backends *backends, const struct rc_backend *backend, uint64_t now_ms);
/* Does such a status answer such a call? Of a look that depends: it is as of a backend of which nothing is known. */
bool rc_judge_answers(enum rc_backend_call_kind kind, uint32_t status);
/* Once for each call that was begun, when it has ended. */
void rc_judge_ended(struct rc_backends *backends, const struct rc_calling *call);
/* What it answered well was no reply to what it was asked. */
void rc_judge_reply_refused(struct rc_backends *backends, struct rc_backend *backend, enum rc_backend_call_kind kind);

#endif
