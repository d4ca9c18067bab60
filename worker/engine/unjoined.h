/*
 * unjoined: Engine.IO sessions that have joined no namespace yet. They cost what others do and are nobody's: their number is bounded before
 * socketio.connect_timeout ends them.
 *
 *   rc_unjoined_admits ──▶ a session ──▶ rc_unjoined_add ──joins, or ends──▶ rc_unjoined_remove
 *                                             └── rc_unjoined_work: of too many the oldest end
 *
 * Of one address there may be socketio.max_unjoined_per_address: who comes then is refused, as it is its own doing. In all
 * there may be socketio.max_unjoined on a worker: then the oldest make room, since who joins does so with its first packet, and
 * refusing who comes would let those who never join keep everybody out.
 *
 * Owned as all of worker/engine. An index: a successor has those that have a deadline to join until then, in the order of their numbers.
 * Memory is touched with use only.
 */
#ifndef RC_WORKER_ENGINE_UNJOINED_H
#define RC_WORKER_ENGINE_UNJOINED_H

#include "worker/engine/session.h"

/* What who is refused is told, with 429. */
#define RC_UNJOINED_TEXT "too many sessions of your address have joined no namespace"

/* -ENOMEM. */
int rc_unjoined_open(struct rc_engines *engines);
void rc_unjoined_close(struct rc_engines *engines);

/* May a session of this address begin? A refusal is counted. */
bool rc_unjoined_admits(struct rc_engines *engines, const struct rc_address *address);
/* It has begun (rc_engine_begin); one that never joins, as its end point has no namespaces, is left out. */
void rc_unjoined_add(struct rc_engines *engines, uint32_t client, const struct rc_address *address);
/* It has joined, or ends. Who is not there is no mistake. */
void rc_unjoined_remove(struct rc_engines *engines, uint32_t client);
/* Every pass of the loop. */
void rc_unjoined_work(struct rc_engines *engines);

#endif
