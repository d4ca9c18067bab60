/*
 * rule_rate: rates of the channel namespaces whose rooms a client names itself: publish_rate, subscribe_rate and unsubscribe_rate of
 * [[namespace]], which count for it as for requests of native clients. Rooms that the row's author named are the row's own business.
 *
 * A row counts once in a namespace, however many of its rooms are there. Owned as all of worker/engine.
 */
#ifndef RC_WORKER_ENGINE_RULE_RATE_H
#define RC_WORKER_ENGINE_RULE_RATE_H

#include "worker/engine/rule_state.h"

/* Of rc_rule_guards. */
enum rc_rule_guarded rc_rule_rates(struct rc_rule_run *run);
/* They have passed, and are asked again with the rest. */
void rc_rule_rates_unused(struct rc_rule_run *run);

#endif
