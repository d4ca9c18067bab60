/*
 * moving: an Engine.IO session on its way to another worker (worker/move): what the truth says of it beside its client, as bytes.
 *
 *   | head | namespaces, as in engine->namespaces | what it said who it is, as in engine->auth | sockets that may come back | a payload: what it has not got |
 *
 * One that polls has no connection of its own: its GET that waits is answered with a noop when it has gone, and whatever asks for it next finds it by
 * common/shm/sid_places.h; what there was for it, read or not, goes with it. A POST that is being carried out, and a probe, are waited for; new ones wait
 * while it goes (rc_handover_wait).
 *
 * Its sids name the place where it was opened, here as there: the other workers and the relay find it by their tokens (rc_truth_token_next). What only
 * the process knows of it (a row that waits, a question to a backend, an answer that is waited for) keeps it here until that is over.
 * What is read is another process's: it is checked. Owned as all of worker/engine, one thread.
 */
#ifndef RC_WORKER_ENGINE_MOVING_H
#define RC_WORKER_ENGINE_MOVING_H

#include "worker/engine/session.h"

/* As struct rc_moving_ops; the context is the engines. Of clients that speak something else: whether something is being done for them. */
const char *rc_engine_hindrance(void *context, uint32_t client);
uint64_t rc_engine_moving_bytes(void *context, uint32_t client);
uint32_t rc_engine_goes(void *context, uint32_t client, uint8_t *out, uint32_t room);
int rc_engine_came(void *context, uint32_t client, struct rc_span bytes);
void rc_engine_went(void *context, uint32_t client, uint32_t worker);
void rc_engine_lost(void *context, struct rc_span bytes);
/* The worker that has the session: the one that its sid names, unless it was moved. */
uint32_t rc_engine_place(const struct rc_engines *engines, const struct rc_sid *sid);
/* The socket of a client that is not where its sids say is in the namespace from here on, or not any more. -ENOMEM. */
int rc_engine_token_begins(struct rc_engines *engines, uint32_t client, struct rc_span nsp);
void rc_engine_token_ends(struct rc_engines *engines, uint32_t client, struct rc_span nsp);
/* Made from a truth that another process has written: by what all such clients are found. Behind rc_recoverable_rebuild, by which it is known
 * whose socket has a sid of another place than its client's. */
void rc_engine_tokens_rebuild(struct rc_engines *engines);
/* All of them; the client is another worker's. */
void rc_engine_tokens_went(struct rc_engines *engines, uint32_t client);

#endif
