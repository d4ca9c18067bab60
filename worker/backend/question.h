/*
 * question: what a backend is asked, what it answers, and who is told. See backend.h.
 */
#ifndef RC_WORKER_BACKEND_QUESTION_H
#define RC_WORKER_BACKEND_QUESTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/config/backend.h"

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
    uint32_t attempt; /* 2 and more: it is asked again; the backend is told */
    bool leaves;      /* who asks can leave it to a successor (rc_backends_leave) */
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

#endif
