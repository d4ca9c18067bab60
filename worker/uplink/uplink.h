/*
 * uplink: a worker's two rings to the relay.
 *
 * Owned by main(). Upwards: publishes and directs (written when there is room, else their publishers are not read), and the
 * worker's interest in channels (a dirty mark per channel, written when there is room). Downwards: sequenced messages for the
 * hub, answers, acknowledgements, gaps. A record is released when the turn that sends it is over.
 *
 * An interest that was told is not forgotten before the relay has acknowledged it: what the relay lost of its answers is asked for
 * again after RC_UPLINK_ASK_AGAIN_MS.
 *
 *   told ──▶ asked ──a period later──▶ asked_before ──another one, and the relay has read it──▶ told again, with the same token
 *               └──────── acknowledged, or not wanted any more ───────┴──▶ (in neither)
 *
 * A relay that has no room for an interest says so. Who asked is told; those who are subscribed already (it is a new relay) get a gap
 * notice, another one for each period that the channel is refused in, and a last one when it is registered again.
 */
#ifndef RC_WORKER_UPLINK_UPLINK_H
#define RC_WORKER_UPLINK_UPLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/envelope.h"
#include "common/shm/ring.h"
#include "common/shm/control.h"
#include "worker/hub/hub.h"
#include "worker/uplink/ask.h"
#include "worker/uplink/waiters.h"

#define RC_UPLINK_BATCH_MAX 512u      /* records drained before the turn sends them */
#define RC_UPLINK_ASK_AGAIN_MS 2000u  /* much longer than Redis may take to confirm a channel */
#define RC_UPLINK_ASK_AGAIN_MAX 4096u /* channels in one period */
#define RC_UPLINK_UNSENT_MAX 65536u   /* private bytes of a client beyond which it gets no lists */

/* Calls of the HTTP API and their answers (common/records/call.h): RC_DOWN_CALL, RC_DOWN_REPLY, RC_DOWN_QUERY, RC_DOWN_DIRECT that is to be answered,
 * and everything with RC_ENVELOPE_ANSWER whose tag is a call's. The view lives during the call only. */
typedef void rc_uplink_call(void *context, enum rc_record_type type, const struct rc_envelope_view *view);

struct rc_uplink {
    rc_uplink_call *call;             /* set by the owner before the first drain */
    void *call_context;               /* borrowed */
    const struct rc_control *control; /* borrowed */
    struct rc_port_view port;
    struct rc_hub *hub;         /* borrowed */
    struct rc_truth *truth;     /* borrowed */
    struct rc_metrics *metrics; /* borrowed */
    struct rc_ring up;
    struct rc_ring down;
    int relay_bell_fd;
    uint64_t relay_rung; /* the relay's sleep that this worker rang last (doorbell.h) */
    int worker_index;
    uint32_t generation;       /* of this worker's start */
    uint32_t relay_generation; /* to which the last snapshot was begun */
    uint32_t snapshot_next;    /* channel at which the running snapshot goes on; 0 = none is running */
    uint32_t dirty;            /* first channel of the interest list; 0 = none */
    uint32_t asked;            /* first channel that was told in this period and not acknowledged; 0 = none */
    uint32_t asked_before;     /* the same, of periods before */
    uint64_t asked_position;   /* of the up ring, behind what asked_before was told */
    uint64_t ask_again_ms;     /* when the period ends */
    uint64_t token;            /* of the last registration */
    bool written;              /* something was committed since the relay's bell was rung */
    bool blocked;              /* interests wait for room in the up ring; the relay will wake us */
    bool corrupt;              /* the down ring cannot be read any more */
    struct rc_questions questions;
    struct rc_waiters waiters; /* connections that are not read until there is room */
    bool serving;              /* the first of them has its turn */
    uint32_t refused_bytes;    /* of the last record that found no room */
    uint32_t first_bytes;      /* that the first waiter needs room for; 0 = it has not tried yet */
};

/* -EBADMSG when a ring's positions are impossible: the rings of the next generation are others. */
int rc_uplink_open(struct rc_uplink *uplink, const struct rc_control *control, const struct rc_port_view *port,
                   struct rc_hub *hub, struct rc_truth *truth, struct rc_metrics *metrics, int worker_index,
                   int relay_bell_fd, struct rc_err *err);
void rc_uplink_close(struct rc_uplink *uplink);

/* Writes one record. -EAGAIN: there is no room, and the relay was asked to wake us when half of the ring is free. -EMSGSIZE: it
 * can never fit. */
int rc_uplink_write(struct rc_uplink *uplink, enum rc_record_type type, struct rc_envelope_view *view);

/* Bytes of the largest record that can be written now; 0 = none. */
uint64_t rc_uplink_room_bytes(const struct rc_uplink *uplink);

/* Hub handler: queues the channel's interest to be told. */
void rc_uplink_interest_changed(struct rc_uplink *uplink, uint32_t channel);

/* Tells interests and snapshot as far as there is room, and rings the relay if anything was written. */
void rc_uplink_flush(struct rc_uplink *uplink);

/* Tells interests again that the relay should have acknowledged long ago. Every loop. */
void rc_uplink_ask_again(struct rc_uplink *uplink);

/* Handles what came down, at most RC_UPLINK_BATCH_MAX records; true when it stopped for another reason than an empty ring. */
bool rc_uplink_drain(struct rc_uplink *uplink);
/* The turn is over: gives back the records that were drained before it, up to `position` (what uplink->down.position was). */
void rc_uplink_release(struct rc_uplink *uplink, uint64_t position);

/* Connections that wait for room may try again: half of the up ring is free, or what the first of them needs. Otherwise the relay was
 * asked to wake us. */
bool rc_uplink_room(struct rc_uplink *uplink);
/* What a client sends has to wait: others were here before, and it is not its turn. */
static inline bool rc_uplink_queued(const struct rc_uplink *uplink)
{
    return RC_UNLIKELY(uplink->waiters.count > 0) && !uplink->serving;
}
/* The first of those who wait, who does no longer; RC_WAITERS_NOBODY: nobody waits, or there is no room. Between this and
 * rc_uplink_served it may write. */
uint32_t rc_uplink_serve(struct rc_uplink *uplink);
/* A connection ends, and does not wait any more. */
void rc_uplink_leave(struct rc_uplink *uplink, uint32_t socket);
/* It has had its turn, which began at `position` (what uplink->up.position was). False: there was not room enough for it, and so for nobody
 * else. */
bool rc_uplink_served(struct rc_uplink *uplink, uint32_t socket, uint64_t position);

/* Anything for this worker to do: records, a new relay, or room that connections wait for. */
bool rc_uplink_due(struct rc_uplink *uplink);

#endif
