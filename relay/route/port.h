/*
 * port: the relay's end of one worker's rings.
 *
 *   worker ── up ──▶ rc_port_next … rc_port_release          (router)
 *   worker ◀─ down ── rc_port_send                           (router)
 *              ▲
 *              └ overflow ◀── what did not fit ── rc_port_send;  rc_port_pump moves it down when there is room
 *
 * Generations. The acceptor bumps the generation of a worker's life after its death; pair = generation & 1. rc_port_follow adopts the
 * new one: down and overflow switch at once (the old clients are gone), up first drains the other pair to its committed tail.
 * A pair may hold leftovers of the worker two generations ago; nothing is ever re-initialised, so up records of another
 * generation are marked (`current` false) and down records carry the generation they were written for.
 *
 * Whether a record is taken is one function's to say (admit), by its size and by what it is:
 *
 *   message, direct    while there is room; what finds none is dropped, its channel is noted, and a gap record is written before
 *                      any later message of it
 *   answer             to a record of the worker itself: always. The router takes nothing from the up ring of a worker whose
 *                      overflow is more than half full (rc_port_stalled), so that they fit in the other half
 *   everything else    while the overflow is not more than half full: that half is for the answers
 *
 * What was not taken is not forgotten: gaps are noted, acknowledgements of interest wait in a queue of their own (they come when Redis
 * likes, and are told once), and both go when there is room. Of all others the sender is told; whoever waits for one (a call, a
 * query) has a deadline.
 *
 * What is larger than half of the down ring can never get there, wherever that stands. It must not get into the overflow either,
 * where everything behind it would wait for ever: it is refused like what finds no room, and its sender told that it is too large.
 *
 * Owned by the router's caller (main), used by the relay's one thread. Everything in the segment is the worker's too: it is
 * validated, never trusted.
 */
#ifndef RC_RELAY_ROUTE_PORT_H
#define RC_RELAY_ROUTE_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/envelope.h"
#include "common/base/err.h"
#include "common/metrics/metrics.h"
#include "common/shm/ring.h"
#include "common/shm/control.h"
#include "common/shm/layout.h"
#include "relay/route/acknowledgements.h"
#include "relay/route/gap_set.h"

struct rc_relay_port_setup {
    const struct rc_life *life;            /* borrowed: the worker's; by its generation and whether it runs */
    const struct rc_doorbell_shared *bell; /* borrowed: the worker's */
    struct rc_verdict *verdict;            /* borrowed: what the acceptor is told of the worker */
    _Atomic uint32_t *gap_pending;         /* borrowed: what a successor is told of it */
    struct rc_metrics *metrics;            /* borrowed: the relay's */
    uint32_t index;                        /* of the worker */
    int bell_fd;                           /* borrowed: the worker's eventfd */
};

struct rc_relay_port {
    struct rc_relay_port_setup setup;
    uint32_t index;            /* of the worker */
    struct rc_port_view view;  /* of the segment, with sizes as validated at open */
    uint64_t rung;             /* the worker's sleep that was rung last (doorbell.h) */
    uint64_t record_bytes_max; /* of a record that fits down wherever that stands */

    uint32_t generation;         /* the worker's that down and overflow belong to */
    uint32_t up_pair;            /* the pair that `up` reads: the other one until it is drained */
    bool up_lost;                /* true exactly when the up ring is corrupt: abandoned until the generation changes */
    bool down_lost;              /* the same for down or overflow */
    bool live;                   /* true exactly when the worker runs and can be written to */
    bool ring_due;               /* true exactly when records were written since the worker's bell was last rung */
    struct rc_ring up;           /* consumer */
    struct rc_ring down;         /* producer */
    struct rc_ring overflow_in;  /* producer */
    struct rc_ring overflow_out; /* consumer of the same ring */
    struct rc_acknowledgements acknowledgements; /* that wait for room */
    struct rc_gap_set gaps;
    uint64_t sent;    /* greatest sequence of what was written for this generation, by a predecessor too; 0 = nothing */
    bool gaps_unkept; /* some of them are of what is in no history: it never came to this host, or is not kept */
};

/* A validated up record; the views live until rc_port_release. */
struct rc_port_record {
    uint32_t type; /* enum rc_record_type, one of RC_UP_* */
    bool current;  /* written by the worker's living generation: only then it has interest and gets answers */
    struct rc_envelope_view view;
};

/* Attaches a zeroed port to a mapped port segment of `bytes` bytes. -EBADMSG with `err` when it is not one. */
int rc_port_open(struct rc_relay_port *port, struct rc_port *shared, uint64_t bytes,
                 const struct rc_relay_port_setup *setup, struct rc_err *err);
void rc_port_close(struct rc_relay_port *port);

/* Looks at the worker's life; every loop. True when a new generation was adopted: its interest is empty. */
bool rc_port_follow(struct rc_relay_port *port);

/* The next up record: 1, or 0 when there is none. Invalid records are counted and skipped; a corrupt ring is abandoned. */
int rc_port_next(struct rc_relay_port *port, struct rc_port_record *record);
/* Gives the record back to the worker: from now on a successor does not see it. */
void rc_port_release(struct rc_relay_port *port);
/* Where the unreleased record stands, as a successor finds it in the shared head. */
uint64_t rc_port_position(const struct rc_relay_port *port);
/* For a successor: reads `pair` next if its oldest unreleased record is at `position`. False when it is released already. */
bool rc_port_rewind(struct rc_relay_port *port, uint32_t pair, uint64_t position);
/* After rc_port_rewind: back to the normal order of pairs. */
void rc_port_resume(struct rc_relay_port *port);

/* Writes a down record with view->head.generation set to the worker's: 0. Otherwise it was not written: -ENOTCONN, the worker does not
 * run; -EAGAIN, there is no room for it now; -EMSGSIZE, there can never be. RC_DOWN_MESSAGE and RC_DOWN_DIRECT are noted and counted
 * then; what becomes of others is the caller's to say. RC_DOWN_INTEREST is 0 also when it will be written as soon as there is room, and
 * -ENOBUFS or -ENOMEM when too many wait. */
int rc_port_send(struct rc_relay_port *port, enum rc_record_type type, const struct rc_envelope_view *view);

/* Up to where messages of a channel's history are missing, as far as that is known: who was told so is not told again by the next message's offset. */
struct rc_gap_behind {
    uint64_t epoch; /* 0 = it is not */
    uint64_t offset;
};

/* Tells the worker, behind what it was sent before, that messages of a channel (no name: of any) were lost. Now, or, when there is no
 * room, as soon as there is. */
void rc_port_gap(struct rc_relay_port *port, uint64_t hash, const char *name, uint32_t name_bytes,
                 struct rc_gap_behind behind);

/* Moves overflow down as far as there is room, tells gaps and what else waited. True when it stopped at its bound and can go on at once. */
bool rc_port_pump(struct rc_relay_port *port);

/* True while the worker's own records have to wait because its overflow is more than half full. */
static inline bool rc_port_stalled(const struct rc_relay_port *port)
{
    return port->live && port->overflow_in.position - port->overflow_out.position > port->view.overflow_bytes / 2;
}

/* Bytes in overflow. */
static inline uint64_t rc_port_overflow_used(const struct rc_relay_port *port)
{
    return port->overflow_in.position - port->overflow_out.position;
}

/* After a batch: wakes the worker if something was written for it or its up ring has the room that it waits for. */
void rc_port_ring(struct rc_relay_port *port);

/* After the relay announced its sleep: true when there is something to do after all. */
bool rc_port_pending(struct rc_relay_port *port);

/* True when nothing more can come out of the up rings: empty, or lost. */
bool rc_port_drained(struct rc_relay_port *port);

#endif
