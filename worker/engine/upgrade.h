/*
 * upgrade: a WebSocket takes a polling session over.
 *
 *   WebSocket with the session's id ──▶ probe (a client of its own) ──"2probe"──▶ "3probe" ──"5"──▶ not read any more, while the
 *   session waits for a moment in which it has got everything there is ──▶ what was taken leaves on the WebSocket first, the
 *   session's channels change over to the WebSocket's encoding, its socket carries the session, and the probe is no more
 *
 * Until then polling goes on; a probe that fails is only a WebSocket that ends. Owned as all of worker/engine, one thread.
 */
#ifndef RC_WORKER_ENGINE_UPGRADE_H
#define RC_WORKER_ENGINE_UPGRADE_H

#include "worker/engine/session.h"

/* May a WebSocket take the session over: it polls, and nobody else tries? */
bool rc_engine_probes(const struct rc_engines *engines, uint32_t session);
/* A WebSocket client that names a session: it probes. False: the session cannot be taken over, the WebSocket is to be closed. */
bool rc_engine_probe(struct rc_engines *engines, uint32_t probe, uint32_t session);
/* What a probe says. */
void rc_engine_probe_packet(struct rc_engines *engines, uint32_t probe, const uint8_t *bytes, size_t count);
/* The session is ready and its probe has said "5": true when it has changed over, or will as soon as it may. */
bool rc_engine_upgrade(struct rc_engines *engines, uint32_t session);
/* All that there is for a session that polls becomes replies of its, in order. When it is ready. False: it has ended, for want of memory. */
bool rc_engine_gather(struct rc_engines *engines, uint32_t session);

#endif
