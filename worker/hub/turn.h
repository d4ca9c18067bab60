/*
 * turn: what turn.c (who is served), serve.c (with what) and settle.c (what became of the sends) have in common. Private to the
 * hub.
 */
#ifndef RC_WORKER_HUB_TURN_H
#define RC_WORKER_HUB_TURN_H

#include <stdbool.h>

#include "worker/hub/hub.h"

/* Where a log ends for this turn. */
static inline uint64_t rc_turn_end(const struct rc_hub *hub, const struct rc_channel_log *log)
{
    return log->turn == hub->turn ? log->target : log->served;
}

/* Nothing may be sent: the socket goes, or its stream cannot go on. */
static inline bool rc_turn_mute(const struct rc_slot *slot)
{
    return slot->state == RC_SLOT_FREE || slot->state == RC_SLOT_TERMINATING || slot->state == RC_SLOT_CLOSED ||
           (slot->flags & RC_SLOT_BROKEN) != 0;
}

/* Nothing is sent until it is writable; since when, the write timeout wants to know. */
static inline void rc_turn_block(const struct rc_hub *hub, struct rc_slot *slot)
{
    if (!(slot->flags & RC_SLOT_BLOCKED)) {
        slot->flags |= RC_SLOT_BLOCKED;
        slot->blocked_ds = hub->io->now_ds;
    }
}

/* --- serve.c --- */

enum rc_turn_scope {
    RC_TURN_ALL,      /* everything that there is for the connection: its turn */
    RC_TURN_ALONE,    /* the same, when no log but that of subscription `only` has news in this turn */
    RC_TURN_CRITICAL, /* the log of subscription `only` (0: "*") and nothing else: the rest comes with its turn */
};

void rc_turn_serve(struct rc_hub *hub, uint32_t slot, enum rc_turn_scope scope, uint32_t only);

#endif
