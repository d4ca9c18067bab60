/*
 * emission: an event of another Socket.IO server or backend on its way to this host's clients: what the bridges to them have in common.
 *
 *   rc_emission_targets ──▶ rc_targets_… (targets.h) ──▶ the event's data is laid out in `buffer` ──▶ rc_emission_deliver
 *                                                                                                       └──▶ rc_emission_fill, asking.h
 *
 * Owned by a bridge; one thread. Room for one event at a time; it grows to the largest.
 */
#ifndef RC_RELAY_BRIDGE_EMISSION_H
#define RC_RELAY_BRIDGE_EMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/bridge/scratch.h"
#include "relay/bridge/targets.h"

struct rc_emission {
    const struct rc_bridge *bridge;             /* borrowed; NULL = closed */
    char instance[RC_SID_INSTANCE_BYTES];       /* what our sids begin with */
    struct rc_scratch buffer;                   /* owner: of what goes down, or out */
    char *names;                                /* owner: RC_EXCLUDE_TEXT_MAX bytes, rooms of what comes */
    struct rc_client_ref refs[RC_EXCLUDES_MAX]; /* the clients that do not get it */
};

/* -ENOMEM. */
int rc_emission_open(struct rc_emission *emission, const struct rc_bridge *bridge);
/* Also of one that is closed, or all zeros. */
void rc_emission_close(struct rc_emission *emission);

/* Nobody yet, in a namespace. They use emission's names and refs. */
struct rc_targets rc_emission_targets(struct rc_emission *emission, struct rc_span nsp);
/* A record of an event with arguments, to be filled in. */
struct rc_envelope_view rc_emission_view(void);
/* Fills the event in and counts it; `data` is laid out as common/records/args.h says. `received`: the bridge's counter. */
void rc_emission_fill(const struct rc_emission *emission, struct rc_envelope_view *view, struct rc_span event,
                      struct rc_span data, enum rc_metric_id received);
/* The same, and hands it to the workers. */
void rc_emission_deliver(struct rc_emission *emission, enum rc_record_type type, struct rc_envelope_view *view,
                         struct rc_span event, struct rc_span data, enum rc_metric_id received);

#endif
