/*
 * rules: [[event]] rows carried out: what an event of a Socket.IO client, or the life of its socket, does. See docs/configuration.md.
 *
 * `*done` is what was done of the rows before they had to wait, with the number of reloads that changed rows (engines->rules): the
 * rest of a row that is not the same any more is not carried out, and who asked for it is told. Owned as all of worker/engine.
 */
#ifndef RC_WORKER_ENGINE_RULES_H
#define RC_WORKER_ENGINE_RULES_H

#include "worker/engine/rule_state.h"

/* Does some row but those of "connect" say {auth}? */
bool rc_rules_use_auth(const struct rc_config *config);
/* `*done` of a CONNECT that was let in, and of which nothing else is known to be done. */
#define RC_RULES_BEGUN 1u
/* `*done` when so many steps were done by the rows in force. */
uint32_t rc_rules_done(const struct rc_engines *engines, uint32_t steps);

/* The rows of a socket's beginning, whose first step is the connection itself. `auth`: what it said who it is. */
enum rc_engine_result rc_rules_connect(struct rc_engines *engines, uint32_t client, struct rc_span nsp,
                                       struct rc_span auth, uint32_t *done);
/* The rows of its end, which do not wait; what the full up ring cuts short is counted. */
void rc_rules_disconnect(struct rc_engines *engines, uint32_t client, struct rc_span nsp, const char *reason);
/* What is kept of a row of the client that waits is not needed any more. */
void rc_rules_forget(struct rc_engines *engines, uint32_t client);
/* The row of an event, with its arguments as rc_args has them, and what these are. */
enum rc_engine_result rc_rules_event(struct rc_engines *engines, uint32_t client, const struct rc_operation *operation,
                                     struct rc_span args, const struct rc_args_view *its, uint32_t *done);
/* The event's sender is told why nothing of it is done. */
void rc_rules_refuse(struct rc_engines *engines, uint32_t client, const struct rc_operation *operation, int code,
                     const char *why);

/* The row of an event that a server beside this instance has sent, with the JSON array of its arguments. It does not wait: what the
 * full up ring cuts short is counted. `answer` may be NULL; it is not called where the row has no acknowledgement. */
void rc_rules_server_event(struct rc_engines *engines, struct rc_span nsp, struct rc_span event, struct rc_span json,
                           const struct rc_rules_answer *answer);

#endif
