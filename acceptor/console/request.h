/*
 * request: what the console's callers may ask: "status", "status json", "version", "reload", "handover N", "stop", "stop now", "postmortem", "postmortem json"; and "api",
 * after whose "ok" the connection is a worker's, which answers HTTP on it as on an admin listener, the API without a key.
 *
 * Functions over struct rc_supervisor, called from its loop alone. The answer's first line is "ok" or "error".
 */
#ifndef RC_ACCEPTOR_CONSOLE_REQUEST_H
#define RC_ACCEPTOR_CONSOLE_REQUEST_H

#include <stdint.h>

#include "acceptor/watch/supervisor.h"

/* An rc_console_handler; the context is the supervisor. */
void rc_request_handle(void *context, uint32_t handle, const char *request);

/* The broker has ended: says so to those who asked for it. */
void rc_request_ended(struct rc_supervisor *supervisor);

#endif
