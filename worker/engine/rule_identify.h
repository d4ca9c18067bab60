/*
 * rule_identify: the guard `identify` of a row: who says an event proves with it who it is, by an [[identity]].
 *
 *   args.0 ─▶ rc_client_judge (that row alone) ─▶ good: it is that user from here on, and in user:{id} ─▶ the row goes on, as that user
 *                    │                              └─ it was that user: its credential is renewed
 *                    └─ somebody else is asked: the row waits
 *
 * Owned as all of worker/engine.
 */
#ifndef RC_WORKER_ENGINE_RULE_IDENTIFY_H
#define RC_WORKER_ENGINE_RULE_IDENTIFY_H

#include "worker/engine/rule_state.h"

/* The last guard: what it finds stays, whatever becomes of the row. */
enum rc_rule_guarded rc_rule_identify(struct rc_rule_run *run);

#endif
