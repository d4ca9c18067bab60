/* judge: see judge.h. */
#include "worker/backend/judge.h"

#include "common/base/log.h"
#include "common/metrics/backend_health.h"
#include "worker/backend/breaker.h"
#include "worker/backend/count.h"

struct rc_backend_counters *rc_backend_counters_of(const struct rc_backends *backends, const struct rc_backend *backend)
{
    return backend->retired ? NULL : &backends->counters[backend->index];
}

/* How it stands with it, for /health/database: as the last call found it (and look.h makes one when there is none). */
static void backend_heard(const struct rc_backends *backends, const struct rc_backend *backend,
                          enum rc_backend_call_kind kind, int reason)
{
    if (backend->retired) {
        return;
    }
    rc_backend_health_note(backends->control->own, backend->index, reason < 0);
    if (reason >= 0 && kind != RC_BACKEND_HEALTH) {
        rc_backend_health_note_wrong(backends->control->own, backend->index,
                                     reason == RC_BACKEND_REASON_STATUS || reason == RC_BACKEND_REASON_GARBAGE ||
                                         reason == RC_BACKEND_REASON_TOO_LARGE || reason == RC_BACKEND_REASON_REPLY);
    }
}

static bool status_answers(enum rc_backend_call_kind kind, uint32_t status)
{
    /* What is asked: 200 and 204. What is told: any 2xx. Who is asked for leave says no by 4xx, too. */
    static const struct {
        bool told;
        bool denies;
    } kinds[RC_BACKEND_CALL_KINDS] = {
        [RC_BACKEND_CONNECT] = {.denies = true},   [RC_BACKEND_DISCONNECT] = {.told = true},
        [RC_BACKEND_SUBSCRIBE] = {.denies = true}, [RC_BACKEND_PUBLISH] = {.denies = true},
        [RC_BACKEND_REFRESH] = {.denies = true},   [RC_BACKEND_WEBHOOK] = {.told = true},
    };
    if (kind == RC_BACKEND_HEALTH) {
        return status < 500; /* it is there, whatever it makes of the call */
    }
    if (kinds[kind].told) {
        return status >= 200 && status < 300;
    }
    return status == 200 || status == 204 || (kinds[kind].denies && status >= 400 && status < 500);
}

bool rc_backend_answered(enum rc_backend_call_kind kind, const struct rc_backend_answer *answer)
{
    return answer->outcome == RC_BACKEND_ANSWERED && status_answers(kind, answer->status);
}

/* An application that does not know the call of look.h may fail over it as well as refuse it. So only a status that says of itself that the
 * service is not there (RFC 9110 15.6.3 to 15.6.5) takes what was known of a backend from it, and any other proves of one that was not there that
 * it is again. Of one that answered a real call wrongly, such a failure proves nothing. */
static bool fails_over_look(const struct rc_backends *backends, const struct rc_calling *call)
{
    return call->kind == RC_BACKEND_HEALTH && call->status >= 500 && (call->status < 502 || call->status > 504) &&
           !rc_backend_health_wrong(backends->control->own, call->backend->index);
}

/* A call that was not made, or was: what it counts as. -1: no failure. */
static int reason_of(const struct rc_backends *backends, const struct rc_calling *call)
{
    static const int reasons[] = {[RC_BACKEND_ANSWERED] = -1,
                                  [RC_BACKEND_LATE] = RC_BACKEND_REASON_LATE,
                                  [RC_BACKEND_UNREACHABLE] = RC_BACKEND_REASON_UNREACHABLE,
                                  [RC_BACKEND_LOST] = RC_BACKEND_REASON_LOST,
                                  [RC_BACKEND_GARBAGE] = RC_BACKEND_REASON_GARBAGE,
                                  [RC_BACKEND_TOO_LARGE] = RC_BACKEND_REASON_TOO_LARGE,
                                  [RC_BACKEND_REFUSED] = RC_BACKEND_REASON_REFUSED};
    return call->outcome == RC_BACKEND_ANSWERED &&
                   !status_answers((enum rc_backend_call_kind)call->kind, call->status) &&
                   !fails_over_look(backends, call)
               ? RC_BACKEND_REASON_STATUS
               : reasons[call->outcome];
}

static void backend_log(struct rc_backend *backend, const struct rc_calling *call, bool failed)
{
    const char *name = backend->config.name.text;
    const char *kind = rc_backend_call_name((enum rc_backend_call_kind)call->kind);
    if (failed && !backend->failing) {
        rc_log_warn("backend_failed", "backend=\"%s\" call=\"%s\" id=\"%s\" status=%u reason=\"%s\"", name, kind,
                    call->id, call->status,
                    call->outcome == RC_BACKEND_ANSWERED ? "its status is no answer" : call->why);
    } else if (failed && call->kind != RC_BACKEND_HEALTH) { /* nobody is worse off for those */
        rc_log_limited(RC_LOG_WARN, 1, "backend_fails", "backend=\"%s\" call=\"%s\" id=\"%s\" status=%u reason=\"%s\"",
                       name, kind, call->id, call->status,
                       call->outcome == RC_BACKEND_ANSWERED ? "its status is no answer" : call->why);
    } else if (!failed && backend->failing) {
        rc_log_info("backend_answers", "backend=\"%s\" call=\"%s\"", name, kind);
    }
    backend->failing = failed;
}

void rc_backend_judge(struct rc_backends *backends, const struct rc_calling *call)
{
    struct rc_backend *backend = call->backend;
    struct rc_backend_counters *counters = rc_backend_counters_of(backends, backend);
    const int reason = reason_of(backends, call);
    if (counters != NULL) {
        rc_backend_count_call(counters, (enum rc_backend_call_kind)call->kind, reason,
                              (backends->io->now_ns - call->begun_ns) / 1000);
    }
    if (reason == RC_BACKEND_REASON_REFUSED) { /* our own bounds say nothing about the backend */
        return;
    }
    backend_heard(backends, backend, (enum rc_backend_call_kind)call->kind, reason);
    backend_log(backend, call, reason >= 0);
    if (!rc_breaker_note(&backend->breaker, backends->io->now_ns / 1000000u, reason >= 0, call->probe)) {
        return;
    }
    if (backend->breaker.state == RC_BREAKER_CLOSED) {
        rc_log_info("backend_breaker_closed", "backend=\"%s\"", backend->config.name.text);
    } else {
        rc_log_warn("backend_breaker_opened", "backend=\"%s\" effect=\"it is asked once a second until it answers\"",
                    backend->config.name.text);
        if (counters != NULL) {
            rc_backend_count_add(&counters->opened, 1);
        }
    }
}

void rc_backend_reply_refused(struct rc_backends *backends, uint32_t index, enum rc_backend_call_kind kind,
                              const char *id, const char *why)
{
    struct rc_backend *backend = index < backends->count ? backends->current[index] : NULL;
    if (backend != NULL) {
        backend_heard(backends, backend, kind, RC_BACKEND_REASON_REPLY);
        rc_backend_count_add(&backends->counters[index].calls[kind].failures[RC_BACKEND_REASON_REPLY], 1);
        rc_log_limited(RC_LOG_WARN, 1, "backend_reply_refused", "backend=\"%s\" call=\"%s\" id=\"%s\" reason=\"%s\"",
                       backend->config.name.text, rc_backend_call_name(kind), id, why);
    }
}
