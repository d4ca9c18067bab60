/*
 * shared_refill: a copy of a shared history that lost its older messages, for want of memory, or never had them, gets them again from the stream.
 *
 *   who comes back and lacks them ─▶ waits ─▶ XREVRANGE in pieces, before the copy's oldest message ─▶ all there is, or no room ─▶ is answered
 *
 * One question at a time for a channel, however many wait; they are answered after redis.history_wait at the latest, with what is there then. An answer that does
 * not come because Redis goes is asked for again when it is back. A piece for which there is no room is halved, and what is next to the copy stays. Bounded:
 * RC_SHARED_REFILLS_MAX pieces on their way; what is read so in RC_SHARED_REFILL_SPAN_MS is a quarter of the memory for histories, so that channels
 * for which it is too small do not take it from each other all the time; and a channel for which it was in vain is not looked for again at once.
 *
 * Beside the state of the channel, which goes on meanwhile: what comes is behind the copy's newest message, and this before its oldest one. The stream is
 * believed only where it is in the copy's epoch and has the same newest message; else it is for shared_fetch to find out what has happened. How the line
 * of those channels begins and ends is in shared_deliver.h (rc_shared_refill_begin): shared_fetch, which this calls, has to do with it, too.
 */
#ifndef RC_RELAY_CLUSTER_SHARED_REFILL_H
#define RC_RELAY_CLUSTER_SHARED_REFILL_H

#include "relay/cluster/shared_state.h"

/* Is there something to wait for? Then the channel, whose waiter is to be in its `fillers`. */
struct rc_shared_channel *rc_shared_refill_of(struct rc_shared *shared, uint64_t hash, struct rc_span name);
/* Who has waited too long is answered; and the line goes on. Once a tick. */
void rc_shared_refill_tick(struct rc_shared *shared, uint64_t now_ms);

#endif
