/*
 * auth: what clients said who they are when they connected to their Socket.IO namespaces, kept for the [[event]] rows that ask for it later.
 *
 * Nothing is kept unless some row but those of "connect" says {auth} (rc_rules_use_auth). Owned as all of worker/engine, one thread;
 * it lies in the truth (struct rc_engine.auth), and goes with the namespace or the session.
 */
#ifndef RC_WORKER_ENGINE_AUTH_H
#define RC_WORKER_ENGINE_AUTH_H

#include "worker/engine/session.h"

#define RC_ENGINE_AUTH_BYTES_MAX 8192u /* of a client, for all its namespaces */

/* Is it within the bound, or nothing that is kept? */
bool rc_engine_auth_fits(const struct rc_engines *engines, uint32_t client, struct rc_span nsp, struct rc_span auth);
/* Keeps it. -ENOMEM; -EMSGSIZE: it is not within the bound. */
int rc_engine_auth_keep(struct rc_engines *engines, uint32_t client, struct rc_span nsp, struct rc_span auth);
/* What was kept of a namespace, empty: nothing. Valid until the next call. */
struct rc_span rc_engine_auth(const struct rc_engines *engines, uint32_t client, struct rc_span nsp);
/* All that is kept, as it stands in its block; empty: nothing. Is it such bytes? */
struct rc_span rc_engine_auth_whole(const struct rc_engines *engines, uint32_t client);
bool rc_engine_auth_right(struct rc_span bytes);
void rc_engine_auth_forget(struct rc_engines *engines, uint32_t client, struct rc_span nsp);

#endif
