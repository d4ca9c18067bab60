/*
 * rules: [[event]] rows carried out: what an event of a Socket.IO client, or the life of its socket, does. See docs/configuration.md.
 */
#ifndef RC_WORKER_ENGINE_RULES_H
#define RC_WORKER_ENGINE_RULES_H

#include "worker/engine/engine.h"

enum rc_rules_life { RC_RULES_CONNECT, RC_RULES_DISCONNECT };

/* The rows of a socket's beginning or end. `auth`: what it said who it is. `*done` as everywhere. */
enum rc_engine_result rc_rules_life(struct rc_engines *engines, uint32_t client, enum rc_rules_life life,
                                    struct rc_span nsp, struct rc_span auth, uint32_t *done);
/* The row of an event, with its arguments as rc_args has them. */
enum rc_engine_result rc_rules_event(struct rc_engines *engines, uint32_t client, const struct rc_operation *operation,
                                     struct rc_span args, uint32_t *done);

#endif
