/*
 * namespaces: which namespaces of Socket.IO a session has joined: "/" is a flag, the others a list in a heap block of their own. Each is whole before it
 * is there, so that a successor of a killed worker finds it or does not.
 *
 * Owned as all of worker/engine.
 */
#ifndef RC_WORKER_ENGINE_NAMESPACES_H
#define RC_WORKER_ENGINE_NAMESPACES_H

#include "worker/engine/session.h"

static inline bool rc_namespace_is_root(struct rc_span nsp)
{
    return nsp.count == 1;
}

/* One that it has not joined. -ENOMEM. */
int rc_namespaces_add(struct rc_engines *engines, uint32_t client, struct rc_span nsp);
/* One that it has. */
void rc_namespaces_remove(struct rc_engines *engines, uint32_t client, struct rc_span nsp);
/* Calls `what` for each joined namespace, "/" first. */
void rc_namespaces_each(struct rc_engines *engines, uint32_t client,
                        void (*what)(struct rc_engines *engines, uint32_t client, struct rc_span nsp));

#endif
