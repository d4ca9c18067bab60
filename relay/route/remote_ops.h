/*
 * remote_ops: what the router asks of whatever connects this host to others.
 *
 * All that the router knows of them; without one this host is all there is. Nothing may block; the views live during the call only.
 */
#ifndef RC_RELAY_ROUTE_REMOTE_OPS_H
#define RC_RELAY_ROUTE_REMOTE_OPS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/records/envelope.h"

/* A worker asks to get a channel's messages. */
struct rc_interest_request {
    uint32_t worker;
    uint64_t token;   /* of the RC_UP_INTEREST_ADD: by it the worker knows which of several registrations is meant */
    uint64_t hash;    /* rc_channel_hash of the name */
    const char *name; /* borrowed */
    uint32_t name_bytes;
};

enum rc_confirmation {
    RC_CONFIRMED,         /* messages of other hosts arrive */
    RC_CONFIRMED_HERE,    /* those of this host do */
    RC_CONFIRMATION_LATER /* rc_router_confirmed comes */
};

enum rc_members_mark { RC_MEMBERS_BEGIN, RC_MEMBERS_END, RC_MEMBERS_GONE };

struct rc_remote_ops {
    /* A sequenced message of a local worker goes out. Called again with the same sequence after a restart. */
    void (*publish)(void *context, const struct rc_envelope_view *view);
    /* A message of this worker that is to get its place from all instances: true, and it is delivered (and the worker answered) by
     * rc_router_place once it has it; `view` has its sequence and its request id. False: this host counts it itself. `answers`: the
     * worker wants to know. May be NULL. */
    bool (*share)(void *context, const struct rc_envelope_view *view, uint32_t worker, uint32_t generation,
                  bool answers);
    /* A worker asks for the history of a channel (RC_QUERY_HISTORY), or that it be forgotten. True: it is all instances', and rc_router_asked
     * comes when this host has it, or has waited for it long enough. May be NULL. */
    bool (*complete)(void *context, const struct rc_envelope_view *asked, uint32_t worker, uint32_t generation,
                     bool forget);
    /* The same of one with exceptions (common/records/select.h). May be NULL. */
    void (*select)(void *context, const struct rc_envelope_view *view);
    /* A direct message for a client that is not of this host. False: there is no such client. */
    bool (*direct)(void *context, const struct rc_envelope_view *view);
    /* A worker wants the channel (`first`: none did before). True: rc_router_interest_done comes later, false: answer now. */
    bool (*interest_add)(void *context, const struct rc_interest_request *request, bool first);
    /* Has Redis a subscription to this channel, which some worker wants? May be NULL. */
    enum rc_confirmation (*confirm)(void *context, uint64_t hash, struct rc_span name, uint64_t token);
    /* No worker wants the channel any more. */
    void (*interest_remove)(void *context, uint64_t hash, const char *name, uint32_t name_bytes);
    /* A local worker's message for a user found no connection here. May be NULL. */
    void (*missed)(void *context, struct rc_span user);
    /* A worker's call is for other instances as well, or alone when its target is a client of theirs. 0: replies come, as RC_DOWN_REPLY
     * with RC_WORKER_FOREIGN as origin.worker. -ENOTCONN: they cannot be asked now; -EINVAL: it is none; another: too much to do.
     * May be NULL, as all that follow. */
    int (*call)(void *context, uint32_t worker, const struct rc_envelope_view *view);
    /* A worker replied to an rc_router_call. */
    void (*replied)(void *context, uint32_t worker, const struct rc_envelope_view *view);
    /* RC_UP_MEMBER_ADD, _REMOVE: view->head.origin is a client of that worker. */
    void (*member)(void *context, const struct rc_envelope_view *view, bool subscribed);
    /* A value was kept here that is newer than what was known; without data it was taken away. */
    void (*retained)(void *context, const struct rc_envelope_view *view);
    /* All of a worker's members are told between begin and end; gone: it died with its clients. */
    void (*members)(void *context, uint32_t worker, enum rc_members_mark mark);
};

/* NULL ops: this host is all there is. */
struct rc_remote_way {
    const struct rc_remote_ops *ops; /* borrowed */
    void *context;                   /* borrowed */
};

#endif
