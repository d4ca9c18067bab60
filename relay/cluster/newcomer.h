/*
 * newcomer: who is the first and the last of a channel, and of a user in it, in the cluster: one worker of the host where that was found out
 * is told (RC_DOWN_MEMBER, common/records/member.h). Only of channels of the Pusher Channels protocol.
 *
 *   roster ── changed ──▶ (without Redis) ───────────────────────────────────────┐
 *               └────────▶ presence ──▶ Redis ── counted ────────────────────────┤──▶ a worker: the same for a channel while it lives
 *   cleanup of a dead instance ──────────▶ Redis ── cleaned ─────────────────────┤
 *   recount: what was told last, a moment later ─▶ Redis ── found ───────────────┘
 *
 * Owned by main; one thread. While Redis is away nothing is found out; it is when it is back.
 */
#ifndef RC_RELAY_CLUSTER_NEWCOMER_H
#define RC_RELAY_CLUSTER_NEWCOMER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/member.h"
#include "common/shm/control.h"
#include "relay/cluster/recount.h"
#include "relay/cluster/roster.h"
#include "relay/route/router.h"

struct rc_newcomers {
    const struct rc_control *control; /* borrowed */
    struct rc_router *router;         /* borrowed */
    struct rc_roster *roster;         /* borrowed */
    struct rc_recounts recounts;
};

/* `link` is NULL without Redis. */
void rc_newcomers_open(struct rc_newcomers *newcomers, const struct rc_control *control, struct rc_router *router,
                       struct rc_roster *roster, struct rc_redis_link *link, struct rc_timers *timers);
/* When the link is closed. */
void rc_newcomers_close(struct rc_newcomers *newcomers);
/* Without Redis: what the roster says is so. */
void rc_newcomers_changed(struct rc_newcomers *newcomers, const struct rc_roster_change *change);
/* With it: rc_presence_ops.counted. */
void rc_newcomers_counted(struct rc_newcomers *newcomers, struct rc_span channel, struct rc_span user, uint32_t changes,
                          uint32_t clients);
/* Of a dead instance: rc_cleanup_ops.member. */
void rc_newcomers_cleaned(struct rc_newcomers *newcomers, struct rc_span channel, struct rc_span user, uint32_t changes,
                          uint32_t clients);

#endif
