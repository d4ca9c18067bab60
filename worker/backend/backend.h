/*
 * backend: calls of the application's own servers by HTTP/1.1 (RFC 9112), over the worker's ring: [[backend]].
 *
 *   rc_backend_call ─▶ WAITING ─▶ a connection of the pool ─▶ ASKED ─▶ answered, late, or lost ─▶ waiter.answered, once
 *
 * Owned by the worker's main(), above io and hub, below the rooms that call; one thread. A call is copied when it is made and lives here
 * until it is answered: whoever made it may be gone by then, and knows that by its token. Everything is bounded: connections
 * for each address, calls that wait and their bytes, an answer's bytes, the time. A worker's end is the end of its calls.
 *
 *   backend.c     calls: begun, waiting, ended; counted        address.c   which address is next; the breaker
 *   connection.c  the pool: sockets, requests out, answers in  flight.c    calls of one kind and key: asked once, remembered
 *   answer.c      an HTTP answer in pieces                     request.c   the bytes of a request, its signature
 *   call.c        the frames of calls                          reply.c     what a reply wants to be done
 */
#ifndef RC_WORKER_BACKEND_BACKEND_H
#define RC_WORKER_BACKEND_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/config/backend.h"

struct rc_backends;

#define RC_BACKEND_ID_MAX 96u /* of a call, with its NUL: the instance, the worker, a number */
#define RC_BACKEND_KEY_BYTES 32u

/* How a call ended. */
enum rc_backend_outcome {
    RC_BACKEND_ANSWERED,    /* an HTTP answer, of any status */
    RC_BACKEND_LATE,        /* none within the backend's `timeout` */
    RC_BACKEND_UNREACHABLE, /* no address could be connected to: nothing was sent */
    RC_BACKEND_LOST,        /* the connection ended before the answer was whole */
    RC_BACKEND_GARBAGE,     /* what came is no HTTP answer */
    RC_BACKEND_TOO_LARGE,   /* beyond the backend's `max_body`, or its head beyond 16 KiB */
    RC_BACKEND_REFUSED, /* by our own bounds, before anything was done: too many wait, the breaker is open, no memory, no address */
};

struct rc_backend_answer {
    enum rc_backend_outcome outcome;
    uint16_t status;     /* of ANSWERED */
    struct rc_span body; /* of ANSWERED; for the time of the call */
    const char *why;     /* of the others: a short static sentence, for logs */
};

struct rc_backend_request {
    enum rc_backend_call_kind kind;
    struct rc_span body;    /* JSON; copied */
    struct rc_span headers; /* "name: value\r\n" lines that are forwarded, checked by rc_backend_forward; copied */
    char id[RC_BACKEND_ID_MAX];
    /* Calls of one kind and backend with the same key, while one is in flight, share its answer; and what an answer with a top-level "ttl" says is
     * the answer for so many seconds (SHA-256 of whatever makes the answer what it is). Not looked at without `shared`. */
    bool shared;
    uint8_t key[RC_BACKEND_KEY_BYTES];
};

/* Who is told. Never within rc_backend_call, always once. */
struct rc_backend_waiter {
    void *context; /* borrowed: a room */
    void (*answered)(void *context, uint64_t token, const struct rc_backend_answer *answer);
    uint64_t token;
};

/* The identifier of the next call, for its frame and its header. */
void rc_backend_next_id(struct rc_backends *backends, char id[RC_BACKEND_ID_MAX]);

/* Asks the backend of that index in config->backends. 0: the waiter will be told. Negative: it will not, it is counted, and that is
 * RC_BACKEND_REFUSED: -EBUSY (max_waiting, or 4 MiB), -ECONNREFUSED (the breaker is open), -ENOMEM, -ESHUTDOWN. */
int rc_backend_call(struct rc_backends *backends, uint32_t backend, const struct rc_backend_request *request,
                    struct rc_backend_waiter waiter);

/* An answer 200 that is no reply to what was asked (rc_backend_..._reply_read): counted, and logged once a second. */
void rc_backend_reply_refused(struct rc_backends *backends, uint32_t backend, enum rc_backend_call_kind kind,
                              const char *id, const char *why);

/* Appends what of the request's headers the backend's `forward` lists to `to`, as lines; the bytes, at most `capacity` (lines that do
 * not fit are left out). In call.c, for those who call with a request at hand. */
struct rc_http_request;
size_t rc_backend_forward(const struct rc_config_backend *backend, const struct rc_http_request *request, char *to,
                          size_t capacity);

#endif
