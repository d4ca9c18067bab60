/*
 * workers: how many workers there are, changed while the broker runs: nobody is disconnected by it.
 *
 * Functions over struct rc_supervisor, called from its loop alone. Places (server.max_workers) are made at the start; which are in use stands in
 * the core segment (common/shm/worker_use.h), which outlives this program (`ringcast upgrade`).
 *
 *   UNUSED ─more─▶ USED: listeners, a process ─fewer, highest number first─▶ LEAVING: no newcomers; the worker moves its connections (worker/move)
 *      ▲                     ▲────────────────────more again────────────────────┘ │
 *      ├──────────────── its process has ended: listeners closed ◀────────────────┤
 *      └──────────────────────────────────── likewise ◀─ SENDING_AWAY ◀─ --drain ─┘ who cannot be moved is told to come again: no way back
 *
 * Who asks is answered when all workers in use run and none is leaving, or told after a while what is still to be done, which goes on.
 */
#ifndef RC_ACCEPTOR_WATCH_WORKERS_H
#define RC_ACCEPTOR_WATCH_WORKERS_H

#include <stdbool.h>
#include <stdint.h>

#include "acceptor/watch/supervisor.h"

/* The console's `handle` wants to see the workers (`text` is empty), or as many as `text` says, maybe with " drain" behind it. */
void rc_workers_ask(struct rc_supervisor *supervisor, uint32_t handle, const char *text);
/* Answers who waits, when it is so far. */
void rc_workers_progress(struct rc_supervisor *supervisor);
/* When that must run again; UINT64_MAX = only after an event. */
uint64_t rc_workers_due_ms(const struct rc_supervisor *supervisor);
/* Is some worker on its way in or out? */
bool rc_workers_changing(const struct rc_supervisor *supervisor);

/* A worker's process was reaped, and is buried or an orphan. True: there is to be none in its place any more. */
bool rc_workers_ended(struct rc_supervisor *supervisor, struct rc_child *child, int status);
/* The first process in a place could not be started: the place is given up. */
void rc_workers_not_added(struct rc_supervisor *supervisor, struct rc_child *child, const char *why);

#endif
