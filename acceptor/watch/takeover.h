/*
 * takeover: makes a worker stand still (worker/park.c) and go on.
 *
 * Functions over struct rc_supervisor, called from its loop alone. One worker at a time; who asks meanwhile is refused.
 *
 *   asked ─▶ PARKING: order PARK ─▶ it is PARKED ─▶ GOING_ON: order RUN ─▶ it is READY again: told
 *                │ late, or it died                    │ late, or it died
 *                ▼                                     ▼
 *            order RUN: told why                   told why
 */
#ifndef RC_ACCEPTOR_WATCH_TAKEOVER_H
#define RC_ACCEPTOR_WATCH_TAKEOVER_H

#include <stdint.h>

#include "acceptor/watch/supervisor.h"

/* The console's `handle` wants worker `text` (a number) to stand still and go on: it is answered when that has happened, or not. */
void rc_takeover_ask(struct rc_supervisor *supervisor, uint32_t handle, const char *text);

/* Notices what the worker has done. */
void rc_takeover_progress(struct rc_supervisor *supervisor);
/* When rc_takeover_progress must run again; UINT64_MAX = only after an event. */
uint64_t rc_takeover_due_ms(const struct rc_supervisor *supervisor);

#endif
