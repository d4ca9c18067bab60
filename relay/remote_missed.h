/*
 * remote_missed: who is told that messages of other instances were missed, and what is looked at in their place: a part of remote, which alone uses it.
 */
#ifndef RC_RELAY_REMOTE_MISSED_H
#define RC_RELAY_REMOTE_MISSED_H

#include "common/base/span.h"
#include "relay/bridge/bridge.h"
#include "relay/cluster/presence_events.h"
#include "relay/cluster/retained.h"
#include "relay/cluster/shared.h"
#include "relay/route/router.h"

/* Who has to do with what was missed. */
struct rc_remote_missed {
    struct rc_router *router;                   /* borrowed */
    struct rc_shared *shared;                   /* borrowed */
    struct rc_cluster_retained *retained;       /* borrowed */
    struct rc_presence_events *presence_events; /* borrowed */
};

/* Messages of the channel were missed; empty: of every channel, and direct ones. */
void rc_remote_missed(const struct rc_remote_missed *remote, struct rc_span name, enum rc_missed how);

#endif
