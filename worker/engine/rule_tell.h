/*
 * rule_tell: what the sender of an event is told when nothing is done for it. Owned as all of worker/engine.
 */
#ifndef RC_WORKER_ENGINE_RULE_TELL_H
#define RC_WORKER_ENGINE_RULE_TELL_H

#include "worker/engine/rule_state.h"

/* run->code and run->why, in place of the acknowledgement or as an event; as the row's `refuse` says, where it has one (run->row may be NULL). */
void rc_rule_tell(struct rc_rule_run *run);

#endif
