/*
 * remote_missed: who is told that messages of other instances were missed, and what is looked at in their place: a part of remote, which alone uses it.
 */
#ifndef RC_RELAY_REMOTE_MISSED_H
#define RC_RELAY_REMOTE_MISSED_H

#include "relay/remote.h"

/* Messages of the channel were missed; empty: of every channel, and direct ones. */
void rc_remote_missed(struct rc_remote *remote, struct rc_span name, enum rc_missed how);

#endif
