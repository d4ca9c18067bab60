/*
 * asked: events that a backend decides on: [[event]] `ask`, and those without a row where socketio.unknown_event names a backend.
 *
 *   event ─▶ call ─▶ answered: its operations, in order ─▶ the client goes on
 *             │          └─ wait for a join before them, or for room: tried again in the next passes
 *             └─ no answer: the client is told 503, once
 *
 * The client is not read until then (RC_CLIENT_WAITS_ANSWER), or until fewer than the backend's `per_client` are in flight. An
 * event is asked once, but for those of a process that died or was replaced before the answer: where the backend has `ask_again` they are asked
 * once more, with the same id; else the client is told 503. What that takes, and replies that wait, is in the truth (worker/store/hook.h).
 *
 * Owned as all of worker/engine, one thread.
 */
#ifndef RC_WORKER_ENGINE_ASKED_H
#define RC_WORKER_ENGINE_ASKED_H

#include "worker/engine/session.h"

/* Asks the backend of that name about an event, with its arguments as rc_args has them; `acked`: its acknowledgement was given already.
 * It is over with, as far as the packet goes. `row`, whose event it is (NULL: none's), is counted when the reply is carried out, or there is
 * none; not when another process does that, or its client has gone. */
void rc_asked_event(struct rc_engines *engines, uint32_t client, struct rc_span backend,
                    const struct rc_operation *operation, struct rc_span args, bool acked,
                    const struct rc_config_event *row);

/* The backend's reply to `connect`, for a socket that has just connected: what it wants done besides `user` is done in the next passes.
 * Without a namespace: of a client that speaks no Socket.IO, or is in none yet: then as soon as it is in the first. Nothing is done for a
 * client of a linked application. */
void rc_asked_connected(struct rc_engines *engines, uint32_t client, uint32_t backend, struct rc_span nsp,
                        struct rc_span reply);
/* A Socket.IO client is in a namespace. */
void rc_asked_joined(struct rc_engines *engines, uint32_t client, struct rc_span nsp);
/* Is anything asked, or to be done, for the client? */
bool rc_asked_is(const struct rc_engines *engines, uint32_t client);
/* It is about to be no more. */
void rc_asked_forget(struct rc_engines *engines, uint32_t client);

/* Tells the backend what a socket answered to an emit of its (arguments as rc_args has them), or, `args` empty, that it did not: the call `ack`. What
 * its reply wants done is done for that socket, if it is still there; a failure is only counted. `asker` as rc_asking_emit made it; `ack`: the struct rc_ack
 * that is over by that (rc_acks_told): a successor finds it waited for, or this call, and never both or neither. */
void rc_asked_told(struct rc_engines *engines, uint32_t client, struct rc_span asker, struct rc_span args,
                   uint32_t ack);

/* The same of a client of another server beside this instance (RC_CALL_ASKED, common/records/emit.h; `data` behind its call head), or, without arguments,
 * of the `missing` ones of them that did not. It is nobody's here: of what the reply wants done only retains and emits with a `to` are. */
void rc_asked_elsewhere(struct rc_engines *engines, struct rc_span data, uint16_t missing);

/* Those of a former process are this one's: the next rc_asked_work goes on with them. */
void rc_asked_taken(struct rc_engines *engines);
/* The process makes way, or will ask them again if it does not: what the backend was asked and has not answered. */
void rc_asked_leave(struct rc_engines *engines);
/* Is the client not read because of what is asked for it? */
bool rc_asked_stops(const struct rc_engines *engines, uint32_t client);

/* Goes on with those that wait. */
void rc_asked_work(struct rc_engines *engines);
/* How long the loop may sleep, at most `most_ms`. */
uint32_t rc_asked_sleep_ms(const struct rc_engines *engines, uint32_t most_ms);
/* -ENOMEM. Of a client all is found without looking at that of others: they are thousands when a backend is slow. */
int rc_asked_open(struct rc_engines *engines);
void rc_asked_close(struct rc_engines *engines);

#endif
