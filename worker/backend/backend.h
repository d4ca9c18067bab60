/*
 * backend: calls of the application's own servers by HTTP/1.1 (RFC 9112), over the worker's ring: [[backend]].
 *
 *   rc_backend_call ─▶ WAITING ─▶ a connection of the pool ─▶ ASKED ─▶ answered, late, or lost ─▶ waiter.answered, once
 *
 * Owned by the worker's main(), above io and hub, below the rooms that call; one thread. A call is copied when it is made and lives here
 * until it is answered: whoever made it may be gone by then, and knows that by its token. Everything is bounded: connections
 * for each address, calls that wait and their bytes, an answer's bytes, the time. A worker's end is the end of its calls.
 *
 *   backend.c     calls: begun, waiting, ended; counted        pool.c      connections: sockets, requests out, answers in
 *   flight.c      calls of one kind and key: asked once        request.c   the bytes of a request, its signature
 *   call.c        the frames of calls                          reply.c     what a reply wants to be done
 *   question.h    what is asked, what is answered              breaker.c   whether it is to be asked
 *   look.c        whether one answers that nobody asks         judge.c     what a call that has ended says of it
 */
#ifndef RC_WORKER_BACKEND_BACKEND_H
#define RC_WORKER_BACKEND_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/backend/question.h"

struct rc_backends;

/* The identifier of the next call, for its frame and its header. */
void rc_backend_next_id(struct rc_backends *backends, char id[RC_BACKEND_ID_MAX]);

/* Asks the backend of that index in config->backends. 0: the waiter will be told. Negative: it will not, it is counted, and that is
 * RC_BACKEND_REFUSED: -EBUSY (max_waiting, or 4 MiB), -ECONNREFUSED (the breaker is open), -ENOMEM, -ESHUTDOWN. */
int rc_backend_call(struct rc_backends *backends, uint32_t backend, const struct rc_backend_request *request,
                    struct rc_backend_waiter waiter);

/* Was such a call answered, by a status that answers it? Else it has failed, however well something came: that is counted and logged, and
 * the breaker and /health/database hear of it. */
bool rc_backend_answered(enum rc_backend_call_kind kind, const struct rc_backend_answer *answer);

/* An answer 200 that is no reply to what was asked (rc_backend_..._reply_read): counted, and logged once a second. */
void rc_backend_reply_refused(struct rc_backends *backends, uint32_t backend, enum rc_backend_call_kind kind,
                              const char *id, const char *why);

/* Appends what of the request's headers the backend's `forward` lists to `to`, as lines; the bytes, at most `capacity` (lines that do
 * not fit are left out). In call.c, for those who call with a request at hand. */
struct rc_http_request;
size_t rc_backend_forward(const struct rc_config_backend *backend, const struct rc_http_request *request, char *to,
                          size_t capacity);

#endif
