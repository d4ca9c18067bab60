/*
 * rule_guard: whether a row is carried out for an event: its guards, in the order of docs/rules.md. A new one is a function, and a row of the
 * table of rc_rule_guards that says where a row of the configuration has it. Owned as all of worker/engine.
 */
#ifndef RC_WORKER_ENGINE_RULE_GUARD_H
#define RC_WORKER_ENGINE_RULE_GUARD_H

#include "worker/engine/rule_state.h"

enum rc_rule_guarded rc_rule_guards(struct rc_rule_run *run);

#endif
