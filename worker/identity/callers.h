/*
 * callers: whom backends are asked about: the call `connect` of [[identity]] kind = "backend", from when it is made until it is judged.
 *
 *   rc_caller_find: none ─▶ rc_caller_call ─▶ ASKED ─▶ ANSWERED, ops.ready ─▶ rc_caller_find ─▶ rc_caller_end
 *                                               └─ rc_caller_forget: nobody wants to know any more, a late answer is nothing
 *
 * That one call serves all who say the same is the backends' own business (worker/backend/flight.h). Owned by the worker's main(), one
 * thread, private memory. Bounded: RC_CALLERS_MAX wait at a time, and an answer has the backend's `max_body` at most.
 */
#ifndef RC_WORKER_IDENTITY_CALLERS_H
#define RC_WORKER_IDENTITY_CALLERS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/metrics/metrics.h"
#include "worker/backend/call.h"
#include "worker/identity/sessions.h"

#define RC_CALLERS_MAX 16384u
#define RC_CALLERS_BUCKETS 1024u

struct rc_caller {
    struct rc_identity_asker asker;
    struct rc_caller *next; /* in its bucket */
    bool answered;
    uint32_t backend; /* rc_backend_mark */
    char call[RC_BACKEND_ID_MAX];
    struct rc_backend_answer answer; /* ANSWERED: its body is the caller's own */
    uint8_t *body;                   /* owned; NULL = none */
};

struct rc_callers {
    struct rc_backends *backends; /* borrowed; set by main() */
    void *context;                /* borrowed */
    void (*ready)(void *context, const struct rc_identity_asker *asker);
    const struct rc_config *config;                /* borrowed: the one in force */
    struct rc_metrics *metrics;                    /* borrowed */
    struct rc_caller *buckets[RC_CALLERS_BUCKETS]; /* by token */
    uint32_t count;
    struct rc_reply *operations; /* owned: of the reply that is read; NULL until the first one */
};

void rc_callers_close(struct rc_callers *callers);

/* The one of that token; NULL: there is none. */
struct rc_caller *rc_caller_find(const struct rc_callers *callers, uint64_t token);
/* Asks. -ENOBUFS: too many wait; else as rc_backend_frame_call. */
int rc_caller_call(struct rc_callers *callers, const struct rc_identity_asker *asker, uint32_t backend,
                   const struct rc_backend_connect *connect);
void rc_caller_end(struct rc_callers *callers, struct rc_caller *caller);
void rc_caller_forget(struct rc_callers *callers, uint64_t token);

/* Reads an answer; -ENOMEM. A reply that cannot be understood is told (rc_backend_reply_refused). */
int rc_caller_read(struct rc_callers *callers, const struct rc_caller *caller, struct rc_backend_connect_reply *reply);

#endif
