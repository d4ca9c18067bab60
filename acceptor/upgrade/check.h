/*
 * check: can this program go on from a running one? What `ringcast upgrade-check` says, a line for each part:
 *
 *   part   in place | refused   why
 *
 * Nothing of the broker is changed: segments are mapped and looked at, a ring and a vault are tried as the children's user, the BPF program
 * is loaded and not attached, the programs beside this one are asked for their numbers. Started by the acceptor that is asked for an upgrade
 * (acceptor/upgrade/upgrade.c), with all descriptors of the state.
 */
#ifndef RC_ACCEPTOR_UPGRADE_CHECK_H
#define RC_ACCEPTOR_UPGRADE_CHECK_H

#include <stdbool.h>
#include <stdio.h>

#include "acceptor/start/settings.h"

/* The last line of one that can go on: a program that is something else ends well, too. */
#define RC_UPGRADE_CHECKED "all parts       in place\n"

/* True: it can. `settings` were read from the file, and are overwritten. */
bool rc_upgrade_check(struct rc_settings *settings, int state_fd, FILE *out);

#endif
