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

/* `only` is the one subscription that can have news, or 0 when there may be several sources. */
void rc_turn_serve(struct rc_hub *hub, uint32_t slot, uint32_t only);
/* One log of a critical channel to one connection, alone: what else there is for it comes with its turn. `subscription` 0: "*". */
void rc_turn_serve_critical(struct rc_hub *hub, uint32_t slot, uint32_t subscription);

#endif
