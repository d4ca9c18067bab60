/*
 * relay_change: puts a relay of this build in the place of the one that runs, a step of an upgrade (acceptor/upgrade/upgrade.h).
 *
 *   STANDBY: a second relay is started; it connects to Redis, and waits ─▶ PARKING: order PARK, the old one routes no more ─▶ ADOPTING: order
 *   ADOPT, the new one hears what the old one heard, and that one ends ─▶ STARTING: the new one is the relay, and becomes READY
 *
 * Until the old one has ended everything can be undone: the new one is killed, and with the order RUN the old one goes on.
 * Functions over struct rc_supervisor, called from its loop alone.
 */
#ifndef RC_ACCEPTOR_UPGRADE_RELAY_CHANGE_H
#define RC_ACCEPTOR_UPGRADE_RELAY_CHANGE_H

#include <stdbool.h>

#include "acceptor/watch/supervisor.h"

enum rc_relay_change { RC_RELAY_CHANGE_RUNS, RC_RELAY_CHANGE_DONE, RC_RELAY_CHANGE_FAILED };

/* Begins; FAILED with a reason in `err`, then nothing has happened. */
enum rc_relay_change rc_relay_change_begin(struct rc_supervisor *supervisor, struct rc_err *err);
/* Goes on. FAILED, with a reason: the old one goes on. */
enum rc_relay_change rc_relay_change_progress(struct rc_supervisor *supervisor, struct rc_err *err);
/* The relay was reaped. True: another one has its place already, and nobody has to start one. */
bool rc_relay_change_ended(struct rc_supervisor *supervisor, struct rc_child *child, int status);
/* The broker ends: a relay that stands by is killed. */
void rc_relay_change_close(struct rc_supervisor *supervisor);

#endif
