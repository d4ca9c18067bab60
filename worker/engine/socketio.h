/*
 * socketio: namespaces, events and acknowledgements of Socket.IO sessions (socket.io-protocol v5).
 *
 * Owned as all of worker/engine, one thread. A session without memory for what it sends ends.
 */
#ifndef RC_WORKER_ENGINE_SOCKETIO_H
#define RC_WORKER_ENGINE_SOCKETIO_H

#include "worker/engine/session.h"

/* A message of the session, as rc_engine_packet. */
enum rc_engine_result rc_socketio_message(struct rc_engines *engines, uint32_t client, enum rc_part_kind kind,
                                          uint8_t *bytes, size_t count, uint32_t *done);
/* The client's socket in a namespace is sent away; the session stays. */
void rc_socketio_dismiss(struct rc_engines *engines, uint32_t client, struct rc_span nsp);
/* The client is sent away: tells all its namespaces. */
void rc_socketio_farewell(struct rc_engines *engines, uint32_t client);
/* It is no more for others: it is told, with the rooms that it is in still, and then it is in no namespace. */
void rc_socketio_gone(struct rc_engines *engines, uint32_t client);
/* All that the client missed has come, at this place of the down ring: it is in the namespace again. */
void rc_socketio_came_back(struct rc_engines *engines, uint32_t client, struct rc_returning *returning);
/* What it holds is given back. */
void rc_socketio_ended(struct rc_engines *engines, uint32_t client);

#endif
