/*
 * rule_trace: what `ringcast trace` is told of [[event]] rows: which took an event and what it does, why it was refused, and the backends
 * that were asked. Called only while hub->tracing (worker/hub/trace.h): rc_rule_traces says so. Nothing fails.
 */
#ifndef RC_WORKER_ENGINE_RULE_TRACE_H
#define RC_WORKER_ENGINE_RULE_TRACE_H

#include <stdbool.h>

#include "common/base/check.h"
#include "worker/engine/rule_state.h"

static inline bool rc_rule_traces(const struct rc_clients *clients)
{
    return RC_UNLIKELY(clients->hub->tracing);
}

/* run->row takes the event; NULL: no row does, and `unknown` (socketio.unknown_event) says what becomes of it. */
void rc_rule_trace_row(const struct rc_rule_run *run);
/* It is refused with run->code and run->why. */
void rc_rule_trace_refused(const struct rc_rule_run *run);
/* A backend is asked about an event of the client; `id` is the call's. */
void rc_rule_trace_asked(struct rc_clients *clients, uint32_t client, struct rc_span event, struct rc_span backend,
                         struct rc_span id);
/* It has answered, with a status of HTTP and so many bytes; 0: it has not. */
void rc_rule_trace_answered(struct rc_clients *clients, uint32_t client, struct rc_span event, struct rc_span backend,
                            uint32_t status, uint32_t bytes);

#endif
