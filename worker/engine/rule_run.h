/*
 * rule_run: one [[event]] row being carried out for one event: its operations. Its guards: rule_guard.h. See rules.h.
 *
 * What a row does is counted in steps, a number that depends on the row alone: each room that is left, joined or emitted to, and one for
 * anything else. A row that has to wait is gone through again from its first step, and those before `*done` are passed over. What it
 * works out comes from the event, and from what was known of the client when it came: who waits keeps that (rule_wait.h).
 *
 * Owned by its caller, on the stack; one thread.
 */
#ifndef RC_WORKER_ENGINE_RULE_RUN_H
#define RC_WORKER_ENGINE_RULE_RUN_H

#include "worker/engine/rule_state.h"

/* Of a client (0: none), from its first row on; `done`, `args`, `auth` and what else there is are the caller's. */
void rc_rule_run_open(struct rc_rule_run *run, struct rc_engines *engines, uint32_t client, struct rc_span nsp,
                      struct rc_span event);
/* What a row may ask of the client is found out, as far as it asks. */
void rc_rule_run_ask(struct rc_rule_run *run, const struct rc_config_event *row);

/* Steps of a row, whatever happens. */
uint32_t rc_rule_steps(const struct rc_config_event *row, const struct rc_config *config);

/* All operations of the row, those before `*done` left out; run->code tells what went wrong. False: it has to wait. */
bool rc_rule_run_row(struct rc_rule_run *run);
/* Looks whether everything could be worked out: all or nothing, what cannot stops a row before its first step. */
bool rc_rule_run_could(struct rc_rule_run *run);

#endif
