/*
 * asked: events that a backend decides on: [[event]] `ask`, and those without a row where socketio.unknown_event names a backend.
 *
 *   event ─▶ call ─▶ answered: its operations, in order ─▶ the client goes on
 *             │          └─ wait for a join before them, or for room: tried again in the next passes
 *             └─ no answer: the client is told 503, once
 *
 * The client is not read until then (RC_CLIENT_WAITS_ANSWER), or until fewer than the backend's `per_client` are in flight. An
 * event is never asked twice. Owned as all of worker/engine, one thread; what is asked ends with the process.
 */
#ifndef RC_WORKER_ENGINE_ASKED_H
#define RC_WORKER_ENGINE_ASKED_H

#include "worker/engine/session.h"

/* Asks the backend of that name about an event, with its arguments as rc_args has them; `acked`: its acknowledgement was given already.
 * It is over with, as far as the packet goes. */
void rc_asked_event(struct rc_engines *engines, uint32_t client, struct rc_span backend,
                    const struct rc_operation *operation, struct rc_span args, bool acked);

/* The backend's reply to `connect`, for a socket that has just connected: what it wants done besides `user` is done in the next passes.
 * Without a namespace: of a client that speaks no Socket.IO, or is in none yet: then as soon as it is in the first. */
void rc_asked_connected(struct rc_engines *engines, uint32_t client, uint32_t backend, struct rc_span nsp,
                        struct rc_span reply);
/* A Socket.IO client is in a namespace. */
void rc_asked_joined(struct rc_engines *engines, uint32_t client, struct rc_span nsp);
/* It is about to be no more. */
void rc_asked_forget(struct rc_engines *engines, uint32_t client);

/* Tells the backend what a socket answered to an emit of its (arguments as rc_args has them), or, `args` empty, that it did not: the call `ack`. What
 * its reply wants done is done for that socket, if it is still there; a failure is only counted. `asker` as rc_asking_emit made it. */
void rc_asked_told(struct rc_engines *engines, uint32_t client, struct rc_span asker, struct rc_span args);

/* The same of a client of another server beside this instance (RC_CALL_ASKED, common/records/emit.h; `data` behind its call head), or, without arguments,
 * of the `missing` ones of them that did not. It is nobody's here: of what the reply wants done only retains and emits with a `to` are. */
void rc_asked_elsewhere(struct rc_engines *engines, struct rc_span data, uint16_t missing);

/* Goes on with those that wait. */
void rc_asked_work(struct rc_engines *engines);
/* How long the loop may sleep, at most `most_ms`. */
uint32_t rc_asked_sleep_ms(const struct rc_engines *engines, uint32_t most_ms);
void rc_asked_close(struct rc_engines *engines);

#endif
