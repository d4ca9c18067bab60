/*
 * uplink: a worker's two rings to the relay. What their records mean, whoever handles them knows.
 *
 * Owned by main(). Upwards: records, written when there is room, else their connections are not read (waiters.h). Downwards: handed on
 * one by one, each sequenced one once, whatever relays do. A record is released when the turn that sends it is over.
 */
#ifndef RC_WORKER_UPLINK_UPLINK_H
#define RC_WORKER_UPLINK_UPLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/envelope.h"
#include "common/shm/ring.h"
#include "common/shm/control.h"
#include "worker/store/truth.h"
#include "worker/uplink/waiters.h"

#define RC_UPLINK_BATCH_MAX 512u /* records drained before the turn sends them */

/* What records are for. A view lives during the call only. */
struct rc_uplink_handlers {
    void *context; /* borrowed */
    /* RC_DOWN_MESSAGE, RC_DOWN_DIRECT, RC_DOWN_GAP. -ENOSPC: a turn has to come first, then the same record again. */
    int (*message)(void *context, const struct rc_envelope_view *view);
    int (*direct)(void *context, const struct rc_envelope_view *view);
    int (*gap)(void *context, const struct rc_envelope_view *view);
    int (*select)(void *context, const struct rc_envelope_view *view); /* RC_DOWN_SELECT, likewise */
    /* RC_DOWN_INTEREST. */
    void (*acknowledged)(void *context, const struct rc_envelope_view *view);
    /* RC_DOWN_BARRIER; may hold the ring. NULL: nobody moves. */
    void (*barrier)(void *context, const struct rc_envelope_view *view);
    /* RC_DOWN_CALL: another worker's API call is to be carried out here. */
    void (*call)(void *context, const struct rc_envelope_view *view);
    /* RC_DOWN_MEMBER. NULL: nobody wants to know. */
    void (*member)(void *context, const struct rc_envelope_view *view);
    /* An RC_DOWN_DIRECT that was an API call's has been handled: the caller wants to know whether its target is here. */
    void (*direct_called)(void *context, const struct rc_envelope_view *view);
    /* RC_DOWN_ANSWER, RC_DOWN_REPLY, RC_DOWN_QUERY, RC_DOWN_LIMIT, and what else has RC_ENVELOPE_ANSWER: for a client, or (RC_ENVELOPE_API) a call. */
    void (*answered)(void *context, enum rc_record_type type, const struct rc_envelope_view *view);
};

struct rc_uplink {
    const struct rc_control *control; /* borrowed */
    struct rc_port_view port;
    struct rc_uplink_handlers handlers;
    struct rc_truth *truth;     /* borrowed */
    struct rc_metrics *metrics; /* borrowed */
    struct rc_ring up;
    struct rc_ring down;
    int relay_bell_fd;
    uint64_t relay_rung;       /* the relay's sleep that this worker rang last (doorbell.h) */
    uint32_t generation;       /* of this worker's start */
    bool written;              /* something was committed since the relay's bell was rung */
    bool corrupt;              /* the down ring cannot be read any more */
    bool held;                 /* nothing is taken from it for now */
    struct rc_waiters waiters; /* connections that are not read until there is room */
    bool serving;              /* the first of them has its turn */
    uint32_t refused_bytes;    /* of the last record that found no room */
    uint32_t first_bytes;      /* that the first waiter needs room for; 0 = it has not tried yet */
};

/* Of a truth that another process has written (truth->adopted) it goes on where that one was: in the down ring, and with who waits for room. -EBADMSG
 * when a ring's positions are impossible: the rings of the next generation are others. */
int rc_uplink_open(struct rc_uplink *uplink, const struct rc_control *control, const struct rc_port_view *port,
                   struct rc_truth *truth, struct rc_metrics *metrics, int worker_index, int relay_bell_fd,
                   const struct rc_uplink_handlers *handlers, struct rc_err *err);
void rc_uplink_close(struct rc_uplink *uplink);

/* Writes one record. -EAGAIN: there is no room, and the relay was asked to wake us when half of the ring is free. -EMSGSIZE: it
 * can never fit. */
int rc_uplink_write(struct rc_uplink *uplink, enum rc_record_type type, struct rc_envelope_view *view);

/* The same for records that do not wait for room, but are not written then. They leave connections that wait what those need: half of the ring, or
 * all of it where the first of them has not found enough. */
int rc_uplink_write_beside(struct rc_uplink *uplink, enum rc_record_type type, struct rc_envelope_view *view);

/* Bytes of the largest record that can be written now; 0 = none. */
uint64_t rc_uplink_room_bytes(const struct rc_uplink *uplink);

/* Rings the relay if anything was written. */
void rc_uplink_flush(struct rc_uplink *uplink);

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

/* Has the relay taken all that was told it, and was all read that it has said since? What it makes of the last words is there then. */
bool rc_uplink_settled(struct rc_uplink *uplink);
/* Anything for this worker to do: records, or room that connections wait for. */
bool rc_uplink_due(struct rc_uplink *uplink);

#endif
