/*
 * rule_retained: {retained:ROOM} of rows. A room that the row joins brings its retained values with the registration, and the client is in
 * it from that place of the order on: the row goes on before anything newer is sent. Of another room the relay is asked.
 *
 * What it is, as JSON: the value without a key; where there is none but there are some with keys, an object of them; null where there is
 * nothing. Of kept arguments a single one is itself, several are a list; what is binary, or has attachments, is null.
 *
 * Owned as all of worker/engine.
 */
#ifndef RC_WORKER_ENGINE_RULE_RETAINED_H
#define RC_WORKER_ENGINE_RULE_RETAINED_H

#include "worker/engine/rule_wait.h"

/* The row joins a channel: does it ask for its retained value, so that its client is to be told with the registration? False also, with
 * run->code set, when there is no memory to wait for it. */
bool rc_rule_retained_joins(struct rc_rule_run *run, struct rc_span channel);

/* The values of a channel, as entries of common/shm/history.h, are the question's answer. False: no memory, or too large. */
bool rc_rule_retained_answer(struct rc_rule_question *question, struct rc_span values, size_t most);

/* Hub handler (rc_hub_handlers.values), context: struct rc_engines. */
void rc_rule_retained_came(void *context, uint32_t client, uint32_t channel, struct rc_span values);

#endif
