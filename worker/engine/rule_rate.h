/*
 * rule_rate: rates of rows: how many of their events a user may send, and how many bytes of them; and those of the channel namespaces whose
 * rooms a client names itself: publish_rate, publish_rate_bytes, subscribe_rate and unsubscribe_rate of [[namespace]], which count for it as for
 * requests of native clients. Rooms that the row's author named are the row's own business.
 *
 * A row counts once in a namespace, however many of its rooms are there. Owned as all of worker/engine.
 */
#ifndef RC_WORKER_ENGINE_RULE_RATE_H
#define RC_WORKER_ENGINE_RULE_RATE_H

#include "worker/engine/rule_state.h"

/* Of rc_rule_guards: the row's own. */
enum rc_rule_guarded rc_rule_rate(struct rc_rule_run *run);
/* They have passed, and are asked again with the rest. */
void rc_rule_rate_unused(struct rc_rule_run *run);

/* The same, of rooms. */
enum rc_rule_guarded rc_rule_rates(struct rc_rule_run *run);
void rc_rule_rates_unused(struct rc_rule_run *run);

#endif
