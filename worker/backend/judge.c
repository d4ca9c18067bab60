/* judge: see judge.h. */
#include "worker/backend/judge.h"

#include "common/base/log.h"
#include "common/metrics/backend_health.h"
#include "worker/backend/breaker.h"
#include "worker/backend/count.h"

struct rc_backend_counters *rc_judge_counters(const struct rc_backends *backends, const struct rc_backend *backend)
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

/* What an HTTP answer says, by the call that it answers, its status, and what was known of the backend. */
enum judge_says {
    SAYS_FAILS,
    SAYS_ANSWERS,
    SAYS_NOTHING,
};

enum judge_status {
    STATUS_DONE,    /* 200, 204 */
    STATUS_TAKEN,   /* another 2xx */
    STATUS_OTHER,   /* 1xx, 3xx */
    STATUS_REFUSED, /* 4xx */
    STATUS_FAILED,  /* another 5xx */
    STATUS_AWAY,    /* 502 to 504: it says of itself that the service is not there (RFC 9110 15.6.3 to 15.6.5) */
    STATUS_COUNT,
};

enum judge_call {
    CALL_ASKS,
    CALL_ASKS_LEAVE, /* it says no by 4xx, too */
    CALL_TELLS,      /* any 2xx takes it */
    CALL_LOOKS, /* look.h: it is there, whatever it makes of the call; an application that does not know it may fail over it */
    CALL_LOOKS_AGAIN, /* the same of one that answered a real call wrongly, which proves nothing, then */
    CALL_COUNT,
};

/* clang-format off */
static const uint8_t says[CALL_COUNT][STATUS_COUNT] = {
    /*                     200, 204      another 2xx   1xx, 3xx      4xx           another 5xx   502 to 504 */
    [CALL_ASKS]        = { SAYS_ANSWERS, SAYS_FAILS,   SAYS_FAILS,   SAYS_FAILS,   SAYS_FAILS,   SAYS_FAILS },
    [CALL_ASKS_LEAVE]  = { SAYS_ANSWERS, SAYS_FAILS,   SAYS_FAILS,   SAYS_ANSWERS, SAYS_FAILS,   SAYS_FAILS },
    [CALL_TELLS]       = { SAYS_ANSWERS, SAYS_ANSWERS, SAYS_FAILS,   SAYS_FAILS,   SAYS_FAILS,   SAYS_FAILS },
    [CALL_LOOKS]       = { SAYS_ANSWERS, SAYS_ANSWERS, SAYS_ANSWERS, SAYS_ANSWERS, SAYS_ANSWERS, SAYS_FAILS },
    [CALL_LOOKS_AGAIN] = { SAYS_ANSWERS, SAYS_ANSWERS, SAYS_ANSWERS, SAYS_ANSWERS, SAYS_NOTHING, SAYS_FAILS },
};
/* clang-format on */

static enum judge_call call_of(enum rc_backend_call_kind kind, bool wrong)
{
    switch (kind) {
    case RC_BACKEND_CONNECT:
    case RC_BACKEND_SUBSCRIBE:
    case RC_BACKEND_PUBLISH:
    case RC_BACKEND_REFRESH:
        return CALL_ASKS_LEAVE;
    case RC_BACKEND_DISCONNECT:
    case RC_BACKEND_WEBHOOK:
        return CALL_TELLS;
    case RC_BACKEND_HEALTH:
        return wrong ? CALL_LOOKS_AGAIN : CALL_LOOKS;
    default:
        return CALL_ASKS;
    }
}

static enum judge_status status_of(uint32_t status)
{
    if (status >= 500) {
        return status >= 502 && status <= 504 ? STATUS_AWAY : STATUS_FAILED;
    }
    if (status == 200 || status == 204) {
        return STATUS_DONE;
    }
    return status >= 400 ? STATUS_REFUSED : status >= 200 && status < 300 ? STATUS_TAKEN : STATUS_OTHER;
}

bool rc_judge_answers(enum rc_backend_call_kind kind, uint32_t status)
{
    return says[call_of(kind, false)][status_of(status)] == SAYS_ANSWERS;
}

bool rc_judge_wrong(const struct rc_backends *backends, const struct rc_backend *backend, uint64_t now_ms)
{
    const uint64_t wrong_ms = backend->retired ? 0 : rc_backend_health_wrong_ms(backends->control, backend->index);
    /* Rounded up by those who write it, who may be damaged. */
    return wrong_ms != 0 && wrong_ms <= now_ms + 1000 && now_ms < wrong_ms + RC_JUDGE_WRONG_MS;
}

static enum judge_says says_of(const struct rc_backends *backends, const struct rc_calling *call)
{
    const enum rc_backend_call_kind kind = (enum rc_backend_call_kind)call->kind;
    const bool wrong =
        kind == RC_BACKEND_HEALTH && rc_judge_wrong(backends, call->backend, backends->io->now_ns / 1000000u);
    return call->outcome == RC_BACKEND_ANSWERED ? (enum judge_says)says[call_of(kind, wrong)][status_of(call->status)]
                                                : SAYS_FAILS;
}

/* Of a call that failed: as what that counts. */
static int reason_of(const struct rc_calling *call)
{
    static const int reasons[] = {
        [RC_BACKEND_ANSWERED] = RC_BACKEND_REASON_STATUS,         [RC_BACKEND_LATE] = RC_BACKEND_REASON_LATE,
        [RC_BACKEND_UNREACHABLE] = RC_BACKEND_REASON_UNREACHABLE, [RC_BACKEND_LOST] = RC_BACKEND_REASON_LOST,
        [RC_BACKEND_GARBAGE] = RC_BACKEND_REASON_GARBAGE,         [RC_BACKEND_TOO_LARGE] = RC_BACKEND_REASON_TOO_LARGE,
        [RC_BACKEND_REFUSED] = RC_BACKEND_REASON_REFUSED};
    return reasons[call->outcome];
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

void rc_judge_ended(struct rc_backends *backends, const struct rc_calling *call)
{
    struct rc_backend *backend = call->backend;
    struct rc_backend_counters *counters = rc_judge_counters(backends, backend);
    const enum judge_says said = says_of(backends, call);
    const int reason = said == SAYS_FAILS ? reason_of(call) : -1;
    if (counters != NULL) {
        rc_backend_count_call(counters, (enum rc_backend_call_kind)call->kind, reason,
                              (backends->io->now_ns - call->begun_ns) / 1000);
    }
    if (said == SAYS_NOTHING ||
        reason == RC_BACKEND_REASON_REFUSED) { /* our own bounds say nothing about the backend */
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

void rc_judge_reply_refused(struct rc_backends *backends, struct rc_backend *backend, enum rc_backend_call_kind kind)
{
    struct rc_backend_counters *counters = rc_judge_counters(backends, backend);
    backend_heard(backends, backend, kind, RC_BACKEND_REASON_REPLY);
    if (counters != NULL) {
        rc_backend_count_add(&counters->calls[kind].failures[RC_BACKEND_REASON_REPLY], 1);
    }
}
