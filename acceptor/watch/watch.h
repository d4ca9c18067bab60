/*
 * watch: what the supervisor does about its children: noticing that one is ready, dead or stuck, and starting it again.
 *
 * Functions over struct rc_supervisor, called from its loop alone.
 */
#ifndef RC_ACCEPTOR_WATCH_WATCH_H
#define RC_ACCEPTOR_WATCH_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "acceptor/watch/supervisor.h"

/* How long a child may take from its start to READY. */
#define RC_WATCH_START_MS 15000u

/* Starts a child and watches its pidfd under `number` (rc_broker_child). A failure is handled like a crash, but
 * while STARTING, when it ends the broker; clients that were to be adopted stay for some seconds of such tries. */
void rc_watch_start(struct rc_supervisor *supervisor, uint32_t number);

/* A pidfd became readable: collects the exit status and decides what follows. */
void rc_watch_reap(struct rc_supervisor *supervisor, uint32_t number);

/* Notices children that became READY, starts those whose restart is due, gives up on starts that take too long. */
void rc_watch_progress(struct rc_supervisor *supervisor);

/* Once a second: heartbeats and steering loads, and whether a child that cannot be watched has ended. `late` when the tick itself
 * comes late (this process, or the machine, was stopped): then nobody's heartbeat means anything. */
void rc_watch_tick(struct rc_supervisor *supervisor, bool late);

/* Sends SIGKILL to a child that runs, once. */
void rc_watch_kill(struct rc_supervisor *supervisor, struct rc_child *child, const char *reason);

/* When rc_watch_progress must run again; UINT64_MAX = only after an event. */
uint64_t rc_watch_due_ms(const struct rc_supervisor *supervisor);

#endif
