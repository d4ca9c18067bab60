/*
 * takeover: hands workers over to successors, one after the other: their clients stay.
 *
 * Functions over struct rc_supervisor, called from its loop alone. Who asks while a hand-over runs is refused.
 *
 *   STANDBY: a successor is started, and waits ─▶ PARKING: order PARK ─▶ PARKED ─▶ ADOPTING: order ADOPT ─▶ it has taken over ─▶
 *   LEAVING: the predecessor is killed and reaped ─▶ the next worker, or told
 *
 * What fails before the successor has taken over (it dies, is late, the worker cannot stand still): the successor is killed and reaped, then
 * order RUN, and the worker goes on with all its clients. The first failure ends the hand-over.
 */
#ifndef RC_ACCEPTOR_WATCH_TAKEOVER_H
#define RC_ACCEPTOR_WATCH_TAKEOVER_H

#include <stdint.h>

#include "acceptor/watch/supervisor.h"

/* The console's `handle` wants `text` ("all", or a worker's number) handed over: it is answered when that has happened, or not. */
void rc_takeover_ask(struct rc_supervisor *supervisor, uint32_t handle, const char *text);
/* A worker is to stand still, and to go on at once. */
void rc_takeover_ask_park(struct rc_supervisor *supervisor, uint32_t handle, const char *text);

/* Notices what worker and successor have done. */
void rc_takeover_progress(struct rc_supervisor *supervisor);
/* A child was reaped. Before its generation is raised, which says that its process has written its last: a successor of it is killed and
 * waited for. */
void rc_takeover_child_ended(struct rc_supervisor *supervisor, struct rc_child *child);
/* When rc_takeover_progress must run again; UINT64_MAX = only after an event. */
uint64_t rc_takeover_due_ms(const struct rc_supervisor *supervisor);
/* The broker ends: a successor that has not taken over is killed. */
void rc_takeover_close(struct rc_supervisor *supervisor);

#endif
