/*
 * fanout: who gets a record, and writing it to the ports.
 *
 *   router (sequence, intent) ── message ──▶ fanout ── interest, live, unknown ──▶ port, port, …   then, once a batch: bells
 *
 * A sequenced message is one record for each worker: on the publisher's own worker message and answer are one record. A worker whose
 * interest is unknown gets everything.
 *
 * Owned by the router, which says who lives and who is unknown; one thread. Nothing blocks; what a port does not take is the port's
 * to note or counted here.
 */
#ifndef RC_RELAY_ROUTE_FANOUT_H
#define RC_RELAY_ROUTE_FANOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/metrics/metrics.h"
#include "common/records/envelope.h"
#include "common/shm/tracer.h"
#include "relay/recovery/recovery.h"
#include "relay/route/guests.h"
#include "relay/route/interest.h"
#include "relay/route/port.h"

/* Codes of the native protocol (docs/protocol.md), as answers to workers have them. */
#define RC_ROUTE_NOT_FOUND 404
#define RC_ROUTE_TOO_LARGE 413
#define RC_ROUTE_NOT_ENABLED 501
#define RC_ROUTE_UNAVAILABLE 503

/* What a worker may set in a record; the rest is the relay's to say. */
#define RC_FANOUT_FLAGS                                                                                           \
    (RC_ENVELOPE_NO_ECHO | RC_ENVELOPE_BINARY | RC_ENVELOPE_ARGS | RC_ENVELOPE_BROADCAST | RC_ENVELOPE_VOLATILE | \
     RC_ENVELOPE_TRACED)
_Static_assert((RC_FANOUT_FLAGS & (RC_ENVELOPE_STRAY | RC_ENVELOPE_PRESENCE)) == 0,
               "a bit with two names stays with the types of records that have it");

struct rc_fanout {
    struct rc_relay_port *ports; /* borrowed: opened */
    uint32_t port_count;
    struct rc_metrics *metrics;   /* borrowed: the relay's */
    struct rc_recovery *recovery; /* borrowed; NULL = no socket is elsewhere than its id says */
    struct rc_interest interest;  /* who wants which channel */
    struct rc_guests guests;      /* whom another worker has than its id says */
    struct rc_worker_set live;    /* workers that can be written to */
    struct rc_worker_set unknown; /* workers whose interest is unknown: they get everything */
    bool tracing;                 /* what is routed may be traced (common/shm/tracer.h) */
    struct rc_tracer tracer;
    struct rc_worker_set touched; /* workers to be rung after the batch */
};

/* A message on its way down. */
struct rc_fanout_message {
    enum rc_record_type type;          /* RC_DOWN_MESSAGE, RC_DOWN_DIRECT or RC_DOWN_SELECT */
    const struct rc_envelope_view *up; /* as it came */
    struct rc_envelope_view copy;      /* as other workers than the publisher's get it */
    struct rc_relay_port *asker;       /* who wants an answer; NULL = nobody, or it has it by now */
};

/* 0 or -ENOMEM. */
int rc_fanout_open(struct rc_fanout *fanout, struct rc_relay_port *ports, uint32_t port_count,
                   struct rc_metrics *metrics, uint64_t interest_count_max);
void rc_fanout_close(struct rc_fanout *fanout);

/* What goes to workers: the publisher's parts, the relay's header. `flags` are those of `up` that it keeps. Here, not in fanout.c: a call
 * for each record, and what it would store twice, cost 5 % of routing one. */
static inline void rc_fanout_prepare(struct rc_fanout_message *message, enum rc_record_type type,
                                     const struct rc_envelope_view *up, uint64_t sequence, uint32_t flags,
                                     struct rc_relay_port *asker)
{
    message->type = type;
    message->up = up;
    message->copy = *up;
    message->asker = asker;
    struct rc_envelope *head = &message->copy.head;
    head->sequence = sequence;
    head->epoch = 0;
    head->position = 0;
    head->token = 0;
    if (type == RC_DOWN_MESSAGE) {
        head->target = (struct rc_client_ref){0}; /* workers tell the answers of publish and direct apart by it */
    }
    head->flags = (uint16_t)(up->head.flags & flags);
    head->code = 0;
    head->request_id_bytes = 0;
}

/* Something else is to be traced, or nothing any more: every pass. */
void rc_fanout_trace(struct rc_fanout *fanout);
/* To every worker that wants the channel. False when none does. */
bool rc_fanout_to_all(struct rc_fanout *fanout, struct rc_fanout_message *message);
/* RC_DOWN_SELECT: to every worker that wants one of its rooms. False when none does. */
bool rc_fanout_to_rooms(struct rc_fanout *fanout, struct rc_fanout_message *message);
/* To one worker; to the asker's with the answer in the same record. */
void rc_fanout_to_one(struct rc_fanout *fanout, struct rc_relay_port *port, struct rc_fanout_message *message);
/* Besides: to all workers of which is not known yet which clients moved there. Who does not have its target drops it. */
void rc_fanout_to_unknown(struct rc_fanout *fanout, struct rc_fanout_message *message);
/* The answer alone. The sequence makes it the one record of this message for this worker, so that a repeated one is dropped. */
void rc_fanout_answer(struct rc_fanout *fanout, struct rc_relay_port *port, const struct rc_fanout_message *message,
                      uint16_t code);

/* One record as it is, and the worker is rung after the batch. As rc_port_send. */
int rc_fanout_send(struct rc_fanout *fanout, struct rc_relay_port *port, enum rc_record_type type,
                   const struct rc_envelope_view *view);

/* Messages of a channel were missed: everybody who is in it is told; of "*" and without a name: everybody. */
void rc_fanout_gap(struct rc_fanout *fanout, const char *name, uint32_t name_bytes, struct rc_gap_behind behind);

/* Rings the workers that were written to since the last time. */
void rc_fanout_ring(struct rc_fanout *fanout);

/* Who has the client that asked by now: where its answer goes. `port`: who wrote the record. */
struct rc_relay_port *rc_fanout_answered(struct rc_fanout *fanout, struct rc_relay_port *port,
                                         const struct rc_client_ref *origin);
/* The worker of a direct message's client; NULL when the client is not on this host or died with its worker. */
struct rc_relay_port *rc_fanout_target(struct rc_fanout *fanout, const struct rc_client_ref *target);
/* Who is to be told how it went: the worker itself, or NULL when it did not ask or is another one by now. */
static inline struct rc_relay_port *rc_fanout_asker(const struct rc_fanout *fanout, struct rc_relay_port *port,
                                                    const struct rc_port_record *record)
{
    const bool wants = record->current && (record->view.head.flags & RC_ENVELOPE_WANT_ANSWER) != 0;
    return wants && rc_worker_set_has(&fanout->live, port->index) ? port : NULL;
}
/* The workers that have somebody in the channel, or may have. */
struct rc_worker_set rc_fanout_interested(const struct rc_fanout *fanout, uint64_t hash, struct rc_span channel);
/* Does some worker want the channel? */
bool rc_fanout_wanted(const struct rc_fanout *fanout, struct rc_span channel);

#endif
