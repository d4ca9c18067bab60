/*
 * gaps: tells the other instances of messages that were given up here before Redis had them, and this host's clients of theirs.
 *
 * Owned by remote, one thread, the link's. Nothing fails: what cannot be announced now is announced later (link.h).
 */
#ifndef RC_RELAY_BRIDGE_GAPS_H
#define RC_RELAY_BRIDGE_GAPS_H

#include "relay/bridge/bridge.h"
#include "relay/bridge/seen.h"

struct rc_gaps {
    const struct rc_bridge *bridge; /* borrowed */
    uint64_t serial;                /* of the last announcement */
    struct rc_seen seen;            /* announcements of others */
    struct rc_redis_subscription subscription;
};

/* Subscribes for the life of the link. */
void rc_gaps_open(struct rc_gaps *gaps, const struct rc_bridge *bridge);
/* After the link was closed. */
void rc_gaps_close(struct rc_gaps *gaps);

#endif
