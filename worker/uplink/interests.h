/*
 * interests: tells the relay which channels this worker wants messages of.
 *
 * Owned by main(), one thread. Where it is in all of that is truth (struct rc_truth_interests). A change is a mark on the channel (a list of dirty ones), written when there is room in the up ring; a
 * new relay is told everything (RC_UP_SNAPSHOT_BEGIN … END). It knows channels by their names and flags alone; what follows from the
 * relay's word is told upwards.
 *
 * An interest that was told is not forgotten before the relay has acknowledged it: what the relay lost of its answers is asked for
 * again after RC_INTERESTS_ASK_AGAIN_MS.
 *
 *   told ──▶ asked ──a period later──▶ asked_before ──another one, and the relay has read it──▶ told again, with the same token
 *               └──────── acknowledged, or not wanted any more ───────┴──▶ (in neither)
 *
 * A relay that has no room for an interest says so. Who asked is told; those who are subscribed already (it is a new relay) get a gap
 * notice, another one for each period that the channel is refused in, and a last one when it is registered again.
 */
#ifndef RC_WORKER_UPLINK_INTERESTS_H
#define RC_WORKER_UPLINK_INTERESTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/shm/control.h"
#include "worker/store/truth.h"
#include "worker/uplink/uplink.h"

#define RC_INTERESTS_ASK_AGAIN_MS 2000u  /* much longer than Redis may take to confirm a channel */
#define RC_INTERESTS_ASK_AGAIN_MAX 4096u /* channels in one period */

struct rc_interests_handlers {
    void *context; /* borrowed */
    /* The relay was told of the channel's last change: it may go if nobody uses it. */
    void (*told)(void *context, uint32_t channel);
    /* Messages of the channel did not come here: its subscribers are to be told. */
    void (*missed)(void *context, uint32_t channel);
    /* A new relay is told everything: also which clients of others are here. 0; -EAGAIN: there is no room, and it goes on there the next time. NULL:
     * nobody moves. */
    int (*guests)(void *context);
};

struct rc_interests {
    const struct rc_control *control; /* borrowed */
    struct rc_truth *truth;           /* borrowed */
    struct rc_truth_interests *kept;  /* borrowed: in the truth */
    struct rc_uplink *uplink;         /* borrowed */
    struct rc_metrics *metrics;       /* borrowed */
    const uint64_t *now_ns;           /* borrowed: CLOCK_MONOTONIC of this pass of the loop */
    struct rc_interests_handlers handlers;
    bool blocked; /* changes wait for room in the up ring; the relay will wake us */
};

void rc_interests_open(struct rc_interests *interest, const struct rc_control *control, struct rc_truth *truth,
                       struct rc_uplink *uplink, struct rc_metrics *metrics, const uint64_t *now_ns,
                       const struct rc_interests_handlers *handlers);

/* Hub handler: queues the channel's interest to be told. */
void rc_interests_changed(struct rc_interests *interest, uint32_t channel);
/* The relay answered a registration of the channel: `code` 0, or why not. False: it is an earlier one, which says nothing, since the
 * interest was withdrawn in between. */
bool rc_interests_acknowledged(struct rc_interests *interest, uint32_t channel, uint64_t token, uint32_t code);
/* Tells interests again that the relay should have acknowledged long ago. Every pass of the loop. */
void rc_interests_ask_again(struct rc_interests *interest);
/* Tells snapshot and changes as far as there is room; before rc_uplink_flush. */
void rc_interests_flush(struct rc_interests *interest);
/* Anything to tell that can be. */
bool rc_interests_due(const struct rc_interests *interest);

#endif
