/*
 * acks: events that Socket.IO clients are to answer, on behalf of who asks from outside of this worker (common/records/emit.h), and
 * their answers.
 *
 *   RC_CALL_SOCKETS_EMIT ──▶ rc_acks_emit ──▶ clients, each with the emit's id ──▶ rc_acks_answered ──▶ RC_UP_REPLY
 *                                              └──▶ left, ended, or nothing in time: counted, and told only where the asker wants to know
 *
 * Who is waited for lies in the truth (struct rc_emit, struct rc_ack): a successor could not tell otherwise what an answer is to; lists by
 * client and the clock are index. Ids are from a range of ours, RC_ACKS_ID_FIRST up, so that who else numbers what a client is asked can
 * begin at 0; below 2^31, since clients in Java, C++ and Rust keep them in 32 bits.
 *
 * Bounded: RC_ACKS_OF_CLIENT_MAX of a client, and what the truth has room for (RC_TRUTH_ACKS, RC_TRUTH_EMITS). Beyond it the client gets
 * the event without an id, and counts as one that does not answer. Owned as all of worker/engine, one thread.
 */
#ifndef RC_WORKER_ENGINE_ACKS_H
#define RC_WORKER_ENGINE_ACKS_H

#include "worker/engine/session.h"

#define RC_ACKS_ID_FIRST (1u << 30)
#define RC_ACKS_OF_CLIENT_MAX 64u
#define RC_ACKS_ALL 0u /* no socket's token */

/* io is open: time begins. -ENOMEM. */
int rc_acks_open(struct rc_engines *engines);
void rc_acks_close(struct rc_engines *engines);
/* Those of a truth that another process has written. */
struct rc_truth_found;
void rc_acks_rebuild(struct rc_engines *engines, const struct rc_truth_found *found);
/* When that is this process's: the answer that a predecessor was just handing on went up, and is not waited for, or did not. */
void rc_acks_taken(struct rc_engines *engines);

/* Carries an RC_CALL_SOCKETS_EMIT out, whose tag has been read. `data`: behind its call head. How many sockets got it. */
uint32_t rc_acks_emit(struct rc_engines *engines, const struct rc_envelope_view *view, struct rc_span data);
/* An acknowledgement of a client, with its arguments as rc_args has them. It waits for room in the up ring. */
enum rc_engine_result rc_acks_answered(struct rc_engines *engines, uint32_t client,
                                       const struct rc_operation *operation, struct rc_span args);
/* Nothing is waited for any more of the client's socket with this token, or of all of them (RC_ACKS_ALL). */
void rc_acks_forget(struct rc_engines *engines, uint32_t client, uint64_t token);
/* It is told from here on by what stands in the truth, and not waited for any more. */
void rc_acks_told(struct rc_engines *engines, uint32_t ack);
/* The same by a predecessor, that may have been killed before it: is it still waited for, of that client, by the emit of that id? */
bool rc_acks_waits(const struct rc_engines *engines, uint32_t ack, uint32_t client, uint32_t emit_id);
/* What is due is not waited for any more. */
void rc_acks_timers(struct rc_engines *engines);

#endif
