/*
 * foreign: what bridges to other formats than the envelope of wire.h have in common: the bounds of a message from Redis, what is
 * counted and logged when it is refused, and handing its bare data to this host's workers.
 *
 * Such messages reach every instance by Redis itself: they are delivered to local workers and never published again.
 */
#ifndef RC_RELAY_BRIDGE_FOREIGN_H
#define RC_RELAY_BRIDGE_FOREIGN_H

#include "relay/bridge/bridge.h"

/* Counts a message that came. False, and it was refused, when it is too large to be looked at. `what` names its Redis channel. */
bool rc_foreign_received(const struct rc_bridge *bridge, const char *what, struct rc_span message);
/* The same of messages that carry binary as base64: they may be as much larger. */
bool rc_foreign_received_base64(const struct rc_bridge *bridge, const char *what, struct rc_span message);

/* Counts and logs a message that was refused: -EMSGSIZE, an error of json_scan, or anything else with its reason. */
void rc_foreign_refused(const struct rc_bridge *bridge, const char *what, struct rc_span message, int rc,
                        const char *why);

/* A message for a channel of this host. */
struct rc_foreign_message {
    struct rc_span channel;
    struct rc_span event;               /* empty: none */
    struct rc_span data;                /* JSON text, or, with RC_ENVELOPE_ARGS, as common/records/args.h says */
    uint32_t flags;                     /* further enum rc_envelope_flags */
    const struct rc_client_ref *except; /* who does not get it; NULL: nobody */
};

/* Delivers it. 0; -EMSGSIZE when its data is larger than limits.max_message_size; -ENOENT when no local worker takes it (another
 * instance may). */
int rc_foreign_deliver(const struct rc_bridge *bridge, const struct rc_foreign_message *message);

/* May this be an instance's id? */
bool rc_foreign_is_instance(struct rc_span id);

#endif
