/*
 * emits: events of backends that clients of other instances are to answer, too (common/records/emit.h, with RC_EMIT_HOOK).
 *
 *   worker ── RC_UP_CALL ──▶ router ──▶ emits ── PUBLISH ws:instances:emit ──▶ Redis ──▶ emits of the others ── RC_DOWN_CALL ──▶ their workers
 *
 * Nothing comes back: who has a socket tells its backend itself, by the name that travels with the event, as it does where the backend's
 * event began. So nothing is kept here, whatever is asked, and there is nothing to be bounded. At most once: while Redis is away the other
 * instances' clients are not asked, which is counted.
 *
 * Owned by relay/remote; one thread.
 */
#ifndef RC_RELAY_CLUSTER_EMITS_H
#define RC_RELAY_CLUSTER_EMITS_H

#include "relay/bridge/bridge.h"
#include "relay/bridge/scratch.h"
#include "relay/cluster/registry.h"

struct rc_emits {
    const struct rc_bridge *bridge;     /* borrowed */
    const struct rc_registry *registry; /* borrowed: who is there */
    struct rc_redis_subscription subscription;
    struct rc_scratch out; /* owner: of a message that goes out */
    struct rc_scratch in;  /* owner: of a call that is made of one that came */
};

/* Is it such a call of a worker? */
bool rc_emits_is(const struct rc_envelope_view *view);

void rc_emits_open(struct rc_emits *emits, const struct rc_bridge *bridge, const struct rc_registry *registry);
/* Behind the link's end. */
void rc_emits_close(struct rc_emits *emits);

/* Passes it on. 0; -ENOSYS: there is no other instance; -ENOTCONN: it could not be passed on (Redis is away, no memory), which is counted. */
int rc_emits_send(struct rc_emits *emits, const struct rc_envelope_view *view);

#endif
