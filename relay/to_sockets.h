/*
 * to_sockets: what goes to sockets of other instances, and to those that came from one.
 *
 * A socket's sid names the instance that made it, in whose registry it is looked up; but one that came back somewhere else is there, and
 * its first instance passes on what comes for it. The relay's thread; what cannot be sent is told by the Redis link.
 */
#ifndef RC_RELAY_TO_SOCKETS_H
#define RC_RELAY_TO_SOCKETS_H

#include "relay/bridge/direct.h"
#include "relay/cluster/comeback.h"
#include "relay/cluster/registry.h"
#include "relay/route/router.h"

/* All borrowed. */
struct rc_to_sockets {
    struct rc_router *router;
    struct rc_registry *registry;
    struct rc_direct *direct;
    struct rc_comeback *comeback; /* NULL: none comes back elsewhere */
};

/* For a socket that went from this instance to another one (comeback.h). False: it did not, or that one is not there. */
bool rc_to_sockets_moved(const struct rc_to_sockets *to, const struct rc_envelope_view *view);

/* Is it for the room of a socket of another instance? Nobody there is subscribed to it. Of one that came from there it is here that it
 * is, or that it is lost and what is for it is kept: true, whether or not anybody gets it now. Of one that is only expected (comeback.h) it goes to
 * the instance that has it, too; what came both ways is known by its identity. */
bool rc_to_sockets_room(const struct rc_to_sockets *to, const struct rc_envelope_view *view);

/* `name` is the channel of one of the rooms of an RC_UP_SELECT: passed on to where a socket of that name may be, if it is one's. False: it is none, and
 * other instances may be subscribed to it. */
bool rc_to_sockets_select(const struct rc_to_sockets *to, struct rc_span name, const struct rc_envelope_view *view);

#endif
