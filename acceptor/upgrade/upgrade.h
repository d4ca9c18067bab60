/*
 * upgrade: the whole broker goes over to the programs of another folder, and nobody is disconnected (`ringcast upgrade`).
 *
 *   CHECKING: the new program, as a child, says whether it can go on from here (check.h); nothing has changed
 *      │ refused: told, and that is all
 *   SETTLING: a reload ends, children become ready
 *      │ exec: the new program goes on in this process (resume.h); it goes back where it cannot
 *   RELAY_…: a new relay takes the place of the old one (relay_change.h)
 *      │
 *   WORKERS: one after the other is handed over (acceptor/watch/takeover.h)
 *      │ one that cannot be goes on as it is, and the upgrade ends there; it can be repeated
 *   told
 *
 * Functions over struct rc_supervisor, called from its loop alone.
 */
#ifndef RC_ACCEPTOR_UPGRADE_UPGRADE_H
#define RC_ACCEPTOR_UPGRADE_UPGRADE_H

#include <stdbool.h>
#include <stdint.h>

#include "acceptor/watch/supervisor.h"

/* The console's `handle` wants the programs of a folder: it is answered when they run, or not. */
void rc_upgrade_ask(struct rc_supervisor *supervisor, uint32_t handle, const char *folder);

/* This process is the new program now. `refused` (NULL = none): it is the old one again, for that reason. */
void rc_upgrade_go_on(struct rc_supervisor *supervisor, const char *refused);

void rc_upgrade_progress(struct rc_supervisor *supervisor);
/* When rc_upgrade_progress must run again; UINT64_MAX = only after an event. */
uint64_t rc_upgrade_due_ms(const struct rc_supervisor *supervisor);
/* Is one under way? */
bool rc_upgrade_runs(const struct rc_supervisor *supervisor);
/* The broker ends. */
void rc_upgrade_close(struct rc_supervisor *supervisor);

#endif
