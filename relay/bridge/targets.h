/*
 * targets: whom a message of another Socket.IO server or backend is for, as the record that says it to this host's workers.
 *
 *   rooms, exceptions                                 record
 *   one room, no exceptions but clients               RC_DOWN_MESSAGE on its channel, clients excepted as exclude refs
 *   no rooms, no exceptions but clients               RC_DOWN_MESSAGE on channel "NSP#"
 *   one client                                        RC_DOWN_DIRECT with channel "NSP#"
 *   anything else                                     RC_DOWN_SELECT (common/records/select.h)
 *
 * Rooms that no worker wants are left out beforehand; a room that is a session id of this instance (common/records/sid.h) is that client.
 */
#ifndef RC_RELAY_BRIDGE_TARGETS_H
#define RC_RELAY_BRIDGE_TARGETS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/select.h"
#include "common/records/sid.h"
#include "relay/bridge/bridge.h"

/* Filled in up to `refs` and `select.text`, then rooms, then exceptions, then the view. */
struct rc_targets {
    const struct rc_bridge *bridge; /* borrowed */
    const char *instance;           /* borrowed: what sids of this instance begin with */
    struct rc_span nsp;             /* of at most RC_NSP_MAX bytes */
    struct rc_client_ref *refs;     /* borrowed: RC_EXCLUDES_MAX, clients that do not get it */
    struct rc_select select;        /* its text: borrowed */
    uint32_t room_count;            /* that were named */
    uint32_t kept_count;            /* of them, those that somebody here may be in */
    uint32_t rooms_bytes;           /* of their names */
    uint32_t except_count;          /* rooms whose members do not get it, likewise */
    uint32_t ref_count;
    uint32_t refs_cut; /* for which there was no place */
    bool is_client;    /* the kept room is one client, `client`, and nobody else is in it */
    struct rc_client_ref client;
    char everybody[RC_NSP_MAX + 1]; /* NSP# */
};

void rc_targets_room(struct rc_targets *targets, struct rc_span room);
/* It is for everybody in the namespace, whatever rooms were named. */
void rc_targets_everybody(struct rc_targets *targets);
/* No more rooms: exceptions follow. */
void rc_targets_except(struct rc_targets *targets);
void rc_targets_excepted(struct rc_targets *targets, struct rc_span room);

/* Fills in channel, target and exclusions, views of `targets`, and says which record it is; 0: it is for nobody here. */
enum rc_record_type rc_targets_view(struct rc_targets *targets, struct rc_envelope_view *view);
/* Does the record of that type lack names, which did not fit? Then it must not be sent. */
bool rc_targets_cut(const struct rc_targets *targets, enum rc_record_type type);

/* May somebody of this host be in the room? */
bool rc_targets_wanted(const struct rc_bridge *bridge, struct rc_span nsp, struct rc_span room);
/* Is it the room of one client of the instance? */
bool rc_targets_is_own(const char *instance, struct rc_span room, struct rc_sid *sid);

#endif
