/*
 * post: messages of servers and backends, who are no client: what rows of events from servers, and POST /api/do, send.
 *
 * Nothing is asked whether it is allowed: whoever calls has seen to that. Owned as all of worker/engine, one thread.
 */
#ifndef RC_WORKER_ENGINE_POST_H
#define RC_WORKER_ENGINE_POST_H

#include "worker/engine/session.h"

/* A RC_OPERATION_PUBLISH, or RC_OPERATION_DIRECT to a socket of this instance in `nsp`: it has no origin. */
enum rc_carried rc_engine_post(struct rc_engines *engines, struct rc_span nsp, const struct rc_operation *operation);

#endif
