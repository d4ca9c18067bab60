/*
 * router: gives every message of the host its sequence number and has it written to the workers that want it (fanout).
 *
 * One up record at a time, in this order, so that a successor knows where a dead relay stood:
 *
 *   read (validated by port) → intent {worker, pair, position, sequence} → next_sequence → down records → release
 *
 * A successor that finds the intent's record unreleased routes that record again with the intent's sequence before anything
 * else; workers drop a sequence that is not greater than the last they saw. There is at most one sequenced record per message
 * and worker: on the publisher's own worker message and answer are one record.
 *
 * Calls of the HTTP API are passed on without a sequence (calls.h).
 *
 * Interest is unknown after a restart: until a worker's snapshot (its token is the relay's generation) has passed, it is sent
 * everything. Errors are counted, never fatal; nothing blocks. Owned by main, one thread.
 *
 * Upwards, towards other hosts, the router only knows struct rc_remote_ops; without one this host is all there is.
 */
#ifndef RC_RELAY_ROUTE_ROUTER_H
#define RC_RELAY_ROUTE_ROUTER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/call.h"
#include "common/records/envelope.h"
#include "common/metrics/metrics.h"
#include "common/shm/layout.h"
#include "relay/cluster/roster.h"
#include "relay/history/store.h"
#include "relay/recovery/recovery.h"
#include "relay/route/calls.h"
#include "relay/route/fanout.h"
#include "relay/route/kept.h"
#include "relay/route/port.h"
#include "relay/route/remote_ops.h"

struct rc_router_setup {
    struct rc_relay_port *ports; /* borrowed: opened */
    uint32_t port_count;
    struct rc_relay_truth *truth;       /* borrowed: written for a successor, read at its start only */
    struct rc_metrics *metrics;         /* borrowed: the relay's */
    uint32_t relay_generation;          /* this relay's; above 1 it has a predecessor */
    uint64_t interest_count_max;        /* pairs of channel and worker */
    struct rc_idempotency *idempotency; /* borrowed; NULL = keys are not looked at */
    struct rc_history *history;         /* borrowed; NULL = nothing is kept of channels */
    struct rc_recovery *recovery;       /* borrowed; NULL = no Socket.IO socket comes back */
    const char *instance_id;            /* borrowed: of whom retained values are that are said here */
    struct rc_roster *roster;           /* borrowed; NULL = nobody is told who is in which channel */
    /* An RC_UP_QUERY of the worker is to be answered by rc_router_send; the view lives during the call only. NULL = none are. */
    void (*query)(void *context, uint32_t worker, const struct rc_envelope_view *view);
    void *query_context; /* borrowed */
    /* An RC_UP_LIMIT, likewise. */
    void (*limit)(void *context, uint32_t worker, const struct rc_envelope_view *view);
    void *limit_context; /* borrowed */
    /* All that is known of a channel of presence events (rc_channel_is_presence), which a worker wants now, as an entry of common/shm/history.h: its bytes.
     * `out` NULL: it does not ask. NULL = there are none. */
    uint32_t (*presence)(void *context, struct rc_span channel, uint8_t *out, uint64_t room);
    void *presence_context; /* borrowed */
    struct rc_remote_way remote;
};

struct rc_router {
    struct rc_router_setup setup;
    uint64_t next_sequence; /* the truth is a copy of it */
    struct rc_fanout fanout;
    struct rc_route_calls calls;
    struct rc_worker_set snapshot; /* workers in the middle of their snapshot */
    uint32_t first;                /* port that the next turn begins with */
    struct rc_kept kept;
    uint64_t user_channels; /* channels `user:{id}` that some worker wants: users who are here */
};

/* Takes over from a predecessor (repairs next_sequence, routes the intent's record again). 0 or -ENOMEM. */
int rc_router_open(struct rc_router *router, const struct rc_router_setup *setup);
void rc_router_close(struct rc_router *router);

/* After a reload. A smaller bound keeps what is registered. */
void rc_router_set_interest_max(struct rc_router *router, uint64_t interest_count_max);

/* One round: follows generations, pumps overflows, takes a bounded batch from every worker's up ring, rings bells. True when
 * it stopped at a bound and there is more to do at once. */
bool rc_router_turn(struct rc_router *router);

/* Wakes the workers that were written to since the last round: after deliveries and answers outside of a turn. */
void rc_router_ring(struct rc_router *router);

/* After the relay announced its sleep: true when there is something to do after all. */
bool rc_router_pending(struct rc_router *router);

/* True when every up ring is empty (or lost), nothing left to take. */
bool rc_router_drained(struct rc_router *router);

/* A message that no local worker sent (view->head.flags has RC_ENVELOPE_REMOTE): sequenced here and delivered. `type` is
 * RC_DOWN_MESSAGE, RC_DOWN_SELECT, or RC_DOWN_DIRECT for view->head.target. False when no local worker takes it. */
bool rc_router_deliver(struct rc_router *router, enum rc_record_type type, const struct rc_envelope_view *view);
/* What a worker's record, which has that sequence and is being routed, is for one client besides: RC_DOWN_DIRECT with the sequence behind it, also when a
 * successor routes the record again, so that who had it knows it. At most one of a record. False: there is no such client. */
bool rc_router_deliver_behind(struct rc_router *router, uint64_t sequence, const struct rc_envelope_view *view);

/* --- messages with a place of their own (place.c) --- */

enum rc_router_keep {
    RC_ROUTER_KEEP_AT,   /* in the history, at the place that is given */
    RC_ROUTER_KEEP_HERE, /* in the history of this host, which counts it */
    RC_ROUTER_KEEP_NOT,  /* the place is told, and the history has it already or not at all */
};

struct rc_router_placed {
    const struct rc_envelope_view *view;
    enum rc_router_keep keep;
    uint64_t epoch; /* 0: it has no place */
    uint64_t offset;
    uint64_t time_ms; /* CLOCK_MONOTONIC: when it was new */
    bool fans;        /* subscribers get it */
    bool own;         /* of a worker of this host */
    bool answers;     /* this worker, if it is the one that asked, gets its answer */
    uint32_t worker;
    uint32_t generation;
};

/* A message whose place in its channel is known by now, under a sequence of its own. */
void rc_router_place(struct rc_router *router, const struct rc_router_placed *placed);

/* The last message that a predecessor took into a shared history it may not have written to all workers: once more, with its sequence, which
 * those that have it know. */
void rc_router_place_again(struct rc_router *router, uint64_t sequence);

/* --- messages for one client (direct.c) --- */

/* RC_UP_DIRECT: to the worker of its target, to other instances, or nowhere; whoever asked for an answer gets one. */
void rc_router_direct(struct rc_router *router, struct rc_relay_port *port, const struct rc_port_record *record,
                      uint64_t sequence);
/* One that is none of a worker's: false when no local worker takes it. */
bool rc_router_deliver_direct(struct rc_router *router, struct rc_fanout_message *message);

/* --- clients that move (barrier.c) --- */

/* RC_UP_BARRIER: both workers are told at the same place of the order, from which on what is for the clients goes to the other worker; or the one
 * that asked is told that nobody was. */
void rc_router_barrier(struct rc_router *router, struct rc_relay_port *port, const struct rc_port_record *record,
                       uint64_t sequence);
/* RC_UP_GUEST. */
void rc_router_guest(struct rc_router *router, const struct rc_relay_port *port, const struct rc_envelope_view *view);

/* The end of an rc_remote_ops.complete: answers the worker, if it is the one that asked. */
void rc_router_asked(struct rc_router *router, uint32_t worker, uint32_t generation,
                     const struct rc_envelope_view *asked);

/* --- for it --- */

uint64_t rc_router_sequence(struct rc_router *router);
/* recoverable.c: for setup.recovery, which is there. */
void rc_router_recoverable(const struct rc_router *router, const struct rc_fanout_message *message);
/* The message goes to a room: Socket.IO clients that come back will ask for it. */
static inline void rc_router_keep_recoverable(const struct rc_router *router, const struct rc_fanout_message *message)
{
    if (RC_UNLIKELY(router->setup.recovery != NULL)) {
        rc_router_recoverable(router, message);
    }
}
/* The message is the channel's retained value from now on; `stamp`: when another instance has said so, else it is filled. 0, or the code of why
 * not. */
uint16_t rc_router_retain(struct rc_router *router, const struct rc_envelope_view *view,
                          struct rc_history_stamp *stamp);
/* Of a user's channel, when nobody here has it. */
void rc_router_miss(struct rc_router *router, const struct rc_envelope_view *view);

/* Messages of a channel were missed on the way to this host: everybody who is in it is told (gap); of "*", everybody. Without a name:
 * everybody is told that it may concern any channel, and direct messages. */
void rc_router_gap(struct rc_router *router, const char *name, uint32_t name_bytes);
/* The same of a channel with a history: what is missing is all before `behind`, or in it. */
void rc_router_gap_behind(struct rc_router *router, struct rc_span name, struct rc_gap_behind behind);

/* An answer without a sequence to a worker, as long as it is not far behind. As rc_port_send, and counted when it did not get it. */
int rc_router_send(struct rc_router *router, uint32_t worker, enum rc_record_type type,
                   const struct rc_envelope_view *view);
/* Bytes of the largest record that a worker can get; 0 = there is no such worker. */
uint64_t rc_router_record_max(const struct rc_router *router, uint32_t worker);

/* A call of another instance: to the worker of the target, or to all when it is nobody. `asked` says to whom it went: to nobody when the
 * target's worker is not there. False: not to all it should have gone to. */
bool rc_router_call(struct rc_router *router, const struct rc_envelope_view *view, struct rc_call_asked *asked);

/* The end of an rc_remote_ops.confirm that said RC_CONFIRMATION_LATER. */
void rc_router_confirmed(struct rc_router *router, uint64_t token, bool everywhere);

/* Does some worker want the channel? */
bool rc_router_wanted(const struct rc_router *router, struct rc_span channel);
/* Are lost sockets in it, which may come back for its messages? */
static inline bool rc_router_held(const struct rc_router *router, struct rc_span channel)
{
    return router->setup.recovery != NULL &&
           rc_recovery_log_wanted(&router->setup.recovery->log,
                                  rc_channel_hash((const char *)channel.bytes, channel.count));
}

/* Tells a worker that its interest in a channel is registered (code 0; `flags` may say RC_ENVELOPE_SCOPE_LOCAL) or refused. */
void rc_router_interest_done(struct rc_router *router, const struct rc_interest_request *request, uint16_t flags,
                             uint16_t code);

#endif
