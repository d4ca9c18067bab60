/* backend: calls: begun, waiting, ended, and who is told. See backend.h and backend_io.h. */
#include "worker/backend/backend.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/metrics/backend_health.h"
#include "common/shm/hosts.h"
#include "common/tls/context.h"
#include "worker/backend/addresses.h"
#include "worker/backend/backend_io.h"
#include "worker/backend/count.h"
#include "worker/backend/flight.h"
#include "worker/backend/judge.h"
#include "worker/backend/pool.h"

#define WAITING_BYTES_MAX (4u << 20) /* of a backend's calls that wait, together */

static uint64_t calls_now_ms(const struct rc_backends *backends)
{
    return backends->io->now_ns / 1000000u;
}

/* --- addresses --- */

/* Adds what is not there yet; what is there stays. */
static void address_add(void *context, uint32_t url, const void *name, socklen_t bytes)
{
    struct rc_backend *backend = context;
    uint32_t place = backend->address_count;
    for (uint32_t i = 0; i < backend->address_count; i++) {
        struct rc_backend_address *address = &backend->addresses[i];
        if (address->url == url && address->name_bytes == bytes && memcmp(&address->name, name, bytes) == 0) {
            address->gone = false;
            return;
        }
        if (address->gone && address->conns == 0) {
            place = i;
        }
    }
    if (place == RC_BACKEND_ADDRESSES_MAX) {
        return; /* enough to choose from */
    }
    struct rc_backend_address *address = &backend->addresses[place];
    *address = (struct rc_backend_address){.name_bytes = bytes, .url = url};
    memcpy(&address->name, name, bytes);
    backend->address_count += place == backend->address_count;
}

/* As the names are known now. */
static void backend_find_addresses(struct rc_backends *backends, struct rc_backend *backend)
{
    for (uint32_t i = 0; i < backend->address_count; i++) {
        backend->addresses[i].gone = true;
    }
    rc_backend_addresses_each(&backends->control->core->hosts, backend->urls, backend->config.url_count, address_add,
                              backend);
    rc_pool_trim(backends, backend, false);
}

/* --- backends --- */

static void backend_free(struct rc_backend *backend)
{
    SSL_CTX_free(backend->tls);
    rc_backend_signer_close(backend->signer);
    free(backend);
}

static bool backend_needs_tls(const struct rc_backend *backend)
{
    for (uint32_t i = 0; i < backend->config.url_count; i++) {
        if (backend->urls[i].scheme == RC_BACKEND_HTTPS) {
            return true;
        }
    }
    return false;
}

/* NULL: no memory, or its authorities cannot be read (logged): it is as one that cannot be reached. */
static struct rc_backend *backend_new(struct rc_backends *backends, const struct rc_config_backend *config,
                                      uint32_t index)
{
    struct rc_backend *backend = calloc(1, sizeof(*backend));
    struct rc_err err = {.text = "no memory"};
    uint32_t failures = 0;
    uint64_t within_ms = 0;
    bool good = backend != NULL;
    if (good) {
        backend->config = *config;
        backend->index = index;
        backend->looked_ms = rc_clock_ms(); /* as if: whoever starts has calls of its own to make first */
    }
    for (uint32_t i = 0; good && i < config->url_count; i++) {
        good = rc_backend_url_parse(&backend->urls[i], backend->config.urls[i].text, &err) == 0;
    }
    good = good && rc_backend_breaker_parse(config->breaker.text, &failures, &within_ms, &err) == 0;
    if (good && config->secret_count > 0) {
        backend->signer = rc_backend_signer_open(config->secrets[0].text);
        good = backend->signer != NULL;
    }
    if (good && backend_needs_tls(backend)) {
        good = rc_tls_client_context_open(&backend->tls, "tls_ca", config->tls_ca.text, &err) == 0;
    }
    if (!good) {
        rc_log_error("backend_not_opened", "backend=\"%s\" reason=\"%s\" effect=\"it is not asked\"", config->name.text,
                     err.text);
        if (backend != NULL) {
            backend_free(backend);
        }
        return NULL;
    }
    rc_breaker_open(&backend->breaker, failures, within_ms);
    backend_find_addresses(backends, backend);
    backend->next = backends->all;
    backends->all = backend;
    return backend;
}

/* The one of the same table, if nothing of it has changed. */
static struct rc_backend *backend_same(const struct rc_backends *backends, const struct rc_config_backend *config)
{
    for (uint32_t i = 0; i < backends->count; i++) {
        if (backends->current[i] != NULL && memcmp(&backends->current[i]->config, config, sizeof(*config)) == 0) {
            return backends->current[i];
        }
    }
    return NULL;
}

static void backend_renew_tls(struct rc_backend *backend)
{
    struct rc_err err;
    if (rc_tls_client_context_renew(&backend->tls, "tls_ca", backend->config.tls_ca.text, &err) < 0) {
        rc_log_error("backend_tls_refused",
                     "backend=\"%s\" reason=\"%s\" remedy=\"correct the file and reload: the former one is in use\"",
                     backend->config.name.text, err.text);
    }
}

static void gauges_set(struct rc_backends *backends, const struct rc_backend *backend)
{
    struct rc_backend_counters *counters = rc_judge_counters(backends, backend);
    if (counters != NULL) {
        rc_backend_count_set(&counters->in_flight, backend->taken);
        rc_backend_count_set(&counters->waiting, backend->waiting);
        rc_backend_count_set(&counters->breaker, backend->breaker.state != RC_BREAKER_CLOSED);
    }
}

/* As this process knows it: what it found out while it was opened, and gauges of a predecessor are not true any more. */
static void backends_report(struct rc_backends *backends)
{
    for (uint32_t i = 0; i < backends->count; i++) {
        const struct rc_backend *backend = backends->current[i];
        struct rc_backend_counters *counters = &backends->counters[i];
        if (backend != NULL) {
            gauges_set(backends, backend);
            rc_backend_count_set(&counters->connections, backend->conns);
            continue;
        }
        rc_backend_count_set(&counters->in_flight, 0);
        rc_backend_count_set(&counters->waiting, 0);
        rc_backend_count_set(&counters->breaker, 0);
        rc_backend_count_set(&counters->connections, 0);
        if (backends->config->backends[i].kind == RC_BACKEND_KIND_HTTP) { /* links: worker/link/dial.c */
            rc_backend_health_note(backends->control->own, i, false);     /* no call of it will find that out */
        }
    }
}

static void backends_adopt(struct rc_backends *backends, const struct rc_config *config)
{
    struct rc_backend *next[RC_CONFIG_BACKENDS_MAX] = {0};
    struct rc_config_text names[RC_CONFIG_BACKENDS_MAX];
    backends->config = config;
    for (uint32_t i = 0; i < config->backend_count; i++) {
        names[i] = config->backends[i].name;
        next[i] = backend_same(backends, &config->backends[i]);
        if (next[i] == NULL) {
            next[i] = backend_new(backends, &config->backends[i], i);
        } else {
            backend_renew_tls(next[i]);
        }
    }
    rc_backend_count_reorder(backends->counters, backends->names, backends->count, names, config->backend_count);
    for (struct rc_backend *backend = backends->all; backend != NULL; backend = backend->next) {
        backend->retired = true;
    }
    for (uint32_t i = 0; i < RC_CONFIG_BACKENDS_MAX; i++) {
        if (i < config->backend_count) {
            rc_backend_health_register(backends->control->own, i, config->backends[i].name.text);
        } else {
            rc_backend_health_retire(backends->control->own, i);
        }
    }
    for (uint32_t i = 0; i < config->backend_count; i++) {
        if (next[i] != NULL) {
            next[i]->retired = false;
            next[i]->index = i;
        }
        backends->current[i] = next[i];
        backends->names[i] = names[i];
    }
    backends->count = config->backend_count;
    backends->room = true; /* those that are over with are freed */
}

struct rc_backends *rc_backends_open(const struct rc_control *control, struct rc_truth *truth, struct rc_io *io,
                                     struct rc_hub *hub, const struct rc_config *config, uint32_t worker)
{
    struct rc_backends *backends = calloc(1, sizeof(*backends));
    if (backends == NULL) {
        return NULL;
    }
    *backends = (struct rc_backends){.truth = truth,
                                     .io = io,
                                     .hub = hub,
                                     .control = control,
                                     .counters = control->own->backends,
                                     .worker = worker,
                                     .looks = true,
                                     .hosts_revision = rc_hosts_revision(&control->core->hosts),
                                     .flights = rc_flights_open()};
    const ssize_t got = getrandom(&backends->run, sizeof(backends->run), 0);
    if (backends->flights == NULL || got != (ssize_t)sizeof(backends->run)) {
        rc_flights_close(backends->flights);
        free(backends);
        return NULL;
    }
    for (uint32_t i = 0; i < config->backend_count; i++) { /* a predecessor's counters go on */
        backends->names[i] = config->backends[i].name;
    }
    backends->count = config->backend_count;
    backends_adopt(backends, config);
    return backends;
}

static void calling_free(struct rc_calling *call)
{
    free(call->answer);
    free(call);
}

void rc_backends_close(struct rc_backends *backends)
{
    if (backends == NULL) {
        return;
    }
    while (backends->all != NULL) {
        struct rc_backend *backend = backends->all;
        backends->all = backend->next;
        while (backend->oldest != NULL) {
            struct rc_calling *call = backend->oldest;
            backend->oldest = call->newer;
            calling_free(call);
        }
        backend_free(backend);
    }
    rc_pool_close(backends);
    rc_flights_close(backends->flights);
    free(backends);
}

void rc_backends_reconfigure(struct rc_backends *backends, const struct rc_config *config)
{
    backends_adopt(backends, config);
    backends->reports = true;
    backends_report(backends);
    rc_flights_forget(backends->flights);
}

/* --- a call's life --- */

static void waiting_add(struct rc_backend *backend, struct rc_calling *call, bool front)
{
    call->state = RC_CALLING_WAITS;
    call->next = front ? backend->first_waiting : NULL;
    if (backend->first_waiting == NULL) {
        backend->first_waiting = backend->last_waiting = call;
    } else if (front) {
        backend->first_waiting = call;
    } else {
        backend->last_waiting->next = call;
        backend->last_waiting = call;
    }
    backend->waiting++;
    backend->waiting_bytes += call->headers_bytes + call->body_bytes;
}

static void waiting_remove(struct rc_backend *backend, struct rc_calling *call)
{
    struct rc_calling *before = NULL;
    struct rc_calling **link = &backend->first_waiting;
    while (*link != call) {
        before = *link;
        link = &(*link)->next;
    }
    *link = call->next;
    if (backend->last_waiting == call) {
        backend->last_waiting = before;
    }
    backend->waiting--;
    backend->waiting_bytes -= call->headers_bytes + call->body_bytes;
}

/* Finds the call a connection, or says why there is none. False: it has to wait for one. */
static bool calling_start(struct rc_backends *backends, struct rc_calling *call)
{
    const struct rc_backend *backend = call->backend;
    const enum rc_pool_taken taken = rc_pool_take(backends, call);
    if (taken == RC_POOL_NONE) {
        const bool lost = call->again && call->outcome == RC_BACKEND_LOST;
        rc_calling_end(backends, call, RC_CALLING_ENDED, lost ? RC_BACKEND_LOST : RC_BACKEND_UNREACHABLE,
                       backend->address_count == 0 ? "its name has no address (yet)"
                       : call->why[0] != '\0'      ? call->why
                                                   : "none of its addresses can be connected to");
    }
    return taken != RC_POOL_FULL;
}

/* Those that wait find connections, in their order. */
static void backend_dispatch(struct rc_backends *backends, struct rc_backend *backend)
{
    while (backend->first_waiting != NULL) {
        struct rc_calling *call = backend->first_waiting;
        waiting_remove(backend, call); /* it is the first: no search */
        if (!calling_start(backends, call)) {
            waiting_add(backend, call, true);
            break;
        }
    }
    gauges_set(backends, backend);
}

/* Nobody waits longer for who does not answer. */
static void backend_refuse_waiting(struct rc_backends *backends, struct rc_backend *backend)
{
    while (backend->breaker.state == RC_BREAKER_OPEN && backend->first_waiting != NULL) {
        struct rc_calling *call = backend->first_waiting;
        waiting_remove(backend, call);
        rc_calling_end(backends, call, RC_CALLING_ENDED, RC_BACKEND_REFUSED, "its breaker has opened");
    }
}

static void calling_unlink(struct rc_calling *call)
{
    struct rc_backend *backend = call->backend;
    *(call->older != NULL ? &call->older->newer : &backend->oldest) = call->newer;
    *(call->newer != NULL ? &call->newer->older : &backend->newest) = call->older;
}

/* One that is over with. */
static void calling_tell(struct rc_backends *backends, struct rc_calling *call)
{
    struct rc_backend *backend = call->backend;
    if (!call->kept) {
        rc_judge_ended(backends, call);
        backend_refuse_waiting(backends, backend);
        calling_unlink(call);
        gauges_set(backends, backend);
    }
    const struct rc_backend_answer answer = {.outcome = (enum rc_backend_outcome)call->outcome,
                                             .status = call->status,
                                             .body = rc_span_of(call->answer, call->answer_bytes),
                                             .why = call->why};
    call->waiter.answered(call->waiter.context, call->waiter.token, &answer);
    calling_free(call);
}

/* Takes the calls that are over with out, those that are there now: each may bring others. */
static void backends_settle(struct rc_backends *backends)
{
    struct rc_calling *call = backends->ended;
    backends->ended = backends->ended_last = NULL;
    while (call != NULL) {
        struct rc_calling *next = call->next;
        if (call->state == RC_CALLING_UNSENT) {
            waiting_add(call->backend, call, true);
            backends->room = true;
        } else {
            calling_tell(backends, call);
        }
        call = next;
    }
}

static void backend_expire(struct rc_backends *backends, struct rc_backend *backend)
{
    const uint64_t now = calls_now_ms(backends);
    struct rc_calling *next;
    for (struct rc_calling *call = backend->oldest; call != NULL && call->deadline_ms <= now; call = next) {
        next = call->newer;
        if (call->state == RC_CALLING_TAKEN) {
            rc_pool_drop(backends, call);
        } else if (call->state == RC_CALLING_WAITS) {
            waiting_remove(backend, call);
        } else {
            continue; /* it has ended just now */
        }
        rc_calling_end(backends, call, RC_CALLING_ENDED, RC_BACKEND_LATE, "no answer within its timeout");
    }
}

static void backends_free_retired(struct rc_backends *backends)
{
    struct rc_backend **link = &backends->all;
    while (*link != NULL) {
        struct rc_backend *backend = *link;
        if (backend->retired && backend->oldest == NULL) {
            rc_pool_trim(backends, backend, true);
        }
        if (backend->retired && backend->oldest == NULL && backend->conns == 0) {
            *link = backend->next;
            backend_free(backend);
        } else {
            link = &backend->next;
        }
    }
}

void rc_backends_work(struct rc_backends *backends)
{
    if (!backends->reports) {
        backends->reports = true;
        backends_report(backends);
    }
    if (backends->all == NULL) {
        backends_settle(backends);
        return;
    }
    const uint32_t revision = rc_hosts_revision(&backends->control->core->hosts);
    if (revision != backends->hosts_revision) {
        backends->hosts_revision = revision;
        for (struct rc_backend *backend = backends->all; backend != NULL; backend = backend->next) {
            backend_find_addresses(backends, backend);
        }
        backends->room = true;
    }
    for (struct rc_backend *backend = backends->all; backend != NULL; backend = backend->next) {
        backend_expire(backends, backend);
    }
    backends_settle(backends);
    if (backends->room) {
        backends->room = false;
        for (struct rc_backend *backend = backends->all; backend != NULL; backend = backend->next) {
            backend_dispatch(backends, backend);
        }
        backends_free_retired(backends);
    }
}

uint32_t rc_backends_sleep_ms(const struct rc_backends *backends, uint32_t wait_ms)
{
    if (backends->ended != NULL || (backends->room && backends->all != NULL)) {
        return 0;
    }
    const uint64_t now = calls_now_ms(backends);
    for (const struct rc_backend *backend = backends->all; backend != NULL; backend = backend->next) {
        if (backend->oldest != NULL) {
            const uint64_t due = backend->oldest->deadline_ms;
            const uint64_t left = due > now ? due - now : 0;
            wait_ms = left < wait_ms ? (uint32_t)left : wait_ms;
        }
    }
    return wait_ms;
}

bool rc_backends_busy(const struct rc_backends *backends)
{
    for (const struct rc_backend *backend = backends->all; backend != NULL; backend = backend->next) {
        if (backend->oldest != NULL) {
            return true;
        }
    }
    return backends->ended != NULL; /* kept answers are calls of none */
}

bool rc_backends_hinder(const struct rc_backends *backends)
{
    for (const struct rc_backend *backend = backends->all; backend != NULL; backend = backend->next) {
        for (const struct rc_calling *call = backend->oldest; call != NULL; call = call->newer) {
            if (!call->leaves) {
                return true;
            }
        }
    }
    return backends->ended != NULL;
}

void rc_backends_leave(struct rc_backends *backends)
{
    RC_ASSERT(!rc_backends_hinder(backends));
    for (struct rc_backend *backend = backends->all; backend != NULL; backend = backend->next) {
        while (backend->oldest != NULL) {
            struct rc_calling *call = backend->oldest;
            if (call->state == RC_CALLING_TAKEN) {
                rc_pool_drop(backends, call);
                backend->taken--;
            } else {
                waiting_remove(backend, call);
            }
            calling_unlink(call);
            calling_free(call);
        }
        gauges_set(backends, backend);
    }
}

int64_t rc_backends_authorities_not_after_s(const struct rc_backends *backends, uint32_t backend)
{
    return backend < backends->count && backends->current[backend] != NULL
               ? rc_tls_authorities_not_after_of(backends->current[backend]->tls)
               : 0;
}

/* --- asking --- */

void rc_backend_next_id(struct rc_backends *backends, char id[RC_BACKEND_ID_MAX])
{
    (void)snprintf(id, RC_BACKEND_ID_MAX, "%.64s~%" PRIx32 "-%" PRIx32 "-%" PRIx64, backends->control->instance_id,
                   backends->worker, backends->run, ++backends->next_id & UINT64_C(0xffffffffff));
}

static int call_refuse(struct rc_backends *backends, const struct rc_backend *backend,
                       const struct rc_backend_request *request, int error)
{
    struct rc_backend_counters *counters = backend == NULL ? NULL : rc_judge_counters(backends, backend);
    if (counters != NULL) {
        rc_backend_count_call(counters, request->kind, RC_BACKEND_REASON_REFUSED, 0);
    }
    return error;
}

/* It has to wait. False: too many do. */
static bool call_wait(struct rc_backend *backend, struct rc_calling *call)
{
    if (backend->waiting >= backend->config.max_waiting ||
        backend->waiting_bytes + call->headers_bytes + call->body_bytes > WAITING_BYTES_MAX) {
        rc_log_limited(RC_LOG_WARN, 1, "backend_queue_full", "backend=\"%s\" waiting=%u bytes=%" PRIu64,
                       backend->config.name.text, backend->waiting, backend->waiting_bytes);
        return false;
    }
    waiting_add(backend, call, false);
    return true;
}

static int call_begin(struct rc_backends *backends, struct rc_backend *backend,
                      const struct rc_backend_request *request, struct rc_backend_waiter waiter)
{
    bool probe;
    const uint64_t bytes = request->headers.count + request->body.count;
    if (!rc_breaker_allows(&backend->breaker, calls_now_ms(backends), &probe)) {
        return -ECONNREFUSED;
    }
    struct rc_calling *call = bytes > UINT32_MAX / 2 ? NULL : calloc(1, sizeof(*call) + bytes);
    if (call == NULL) {
        return -ENOMEM;
    }
    call->backend = backend;
    call->waiter = waiter;
    call->kind = (uint8_t)request->kind;
    call->attempt = (uint8_t)request->attempt;
    call->leaves = request->leaves;
    call->probe = probe;
    call->why = "";
    call->begun_ns = backends->io->now_ns;
    call->deadline_ms = calls_now_ms(backends) + backend->config.timeout_ms;
    call->headers_bytes = (uint32_t)request->headers.count;
    call->body_bytes = (uint32_t)request->body.count;
    memcpy(call->id, request->id, sizeof(call->id));
    call->id[sizeof(call->id) - 1] = '\0';
    if (request->headers.count > 0) {
        memcpy(call->bytes, request->headers.bytes, request->headers.count);
    }
    if (request->body.count > 0) {
        memcpy(call->bytes + call->headers_bytes, request->body.bytes, request->body.count);
    }
    call->older = backend->newest;
    *(backend->newest != NULL ? &backend->newest->newer : &backend->oldest) = call;
    backend->newest = call;
    /* Who comes later does not overtake those that wait. */
    const bool starts = backend->first_waiting == NULL && calling_start(backends, call);
    if (!starts && !call_wait(backend, call)) {
        calling_unlink(call);
        free(call);
        return -EBUSY;
    }
    gauges_set(backends, backend);
    return 0;
}

/* --- asked once for many --- */

/* Tells all who wait for it, the first of them included. */
static void flight_answered(void *context, uint64_t token, const struct rc_backend_answer *answer)
{
    struct rc_backends *backends = context;
    struct rc_flight_waiter *next;
    for (struct rc_flight_waiter *each =
             rc_flight_end(backends->flights, (uint32_t)token, answer, calls_now_ms(backends));
         each != NULL; each = next) {
        next = each->next;
        each->waiter.answered(each->waiter.context, each->waiter.token, answer);
        free(each);
    }
}

/* The first of a flight. An error is told to the caller alone: nobody else can have joined. */
static int flight_begin(struct rc_backends *backends, struct rc_backend *backend,
                        const struct rc_backend_request *request, uint32_t flight)
{
    const int rc =
        call_begin(backends, backend, request,
                   (struct rc_backend_waiter){.context = backends, .answered = flight_answered, .token = flight});
    if (rc < 0) {
        const struct rc_backend_answer none = {.outcome = RC_BACKEND_REFUSED, .why = ""};
        free(rc_flight_end(backends->flights, flight, &none, calls_now_ms(backends)));
    }
    return rc;
}

/* The answer is there already; told with those that come, never at once. */
static int call_kept(struct rc_backends *backends, struct rc_backend_waiter waiter, struct rc_span body)
{
    struct rc_calling *call = calloc(1, sizeof(*call));
    uint8_t *copy = call == NULL ? NULL : malloc(body.count > 0 ? body.count : 1);
    if (copy == NULL) {
        free(call);
        return -ENOMEM;
    }
    if (body.count > 0) {
        memcpy(copy, body.bytes, body.count);
    }
    call->waiter = waiter;
    call->answer = copy;
    call->answer_bytes = body.count;
    call->status = 200;
    call->kept = true;
    rc_calling_end(backends, call, RC_CALLING_ENDED, RC_BACKEND_ANSWERED, "");
    return 0;
}

static void count_shared(struct rc_backends *backends, const struct rc_backend *backend)
{
    struct rc_backend_counters *counters = rc_judge_counters(backends, backend);
    if (counters != NULL) {
        rc_backend_count_add(&counters->shared, 1);
    }
}

static int call_shared(struct rc_backends *backends, struct rc_backend *backend, uint32_t index,
                       const struct rc_backend_request *request, struct rc_backend_waiter waiter)
{
    uint32_t flight = RC_FLIGHT_NONE;
    struct rc_span body;
    switch (rc_flight_begin(backends->flights, request->kind, index, request->key, calls_now_ms(backends), waiter,
                            &flight, &body)) {
    case RC_FLIGHT_FIRST:
        return flight_begin(backends, backend, request, flight);
    case RC_FLIGHT_JOINED:
        count_shared(backends, backend);
        return 0;
    case RC_FLIGHT_KEPT:
        count_shared(backends, backend);
        return call_kept(backends, waiter, body);
    case RC_FLIGHT_ALONE:
        break;
    }
    return call_begin(backends, backend, request, waiter);
}

int rc_backend_call(struct rc_backends *backends, uint32_t index, const struct rc_backend_request *request,
                    struct rc_backend_waiter waiter)
{
    struct rc_backend *backend = index < backends->count ? backends->current[index] : NULL;
    if (backend == NULL) {
        return -ENOENT;
    }
    const int rc = request->shared ? call_shared(backends, backend, index, request, waiter)
                                   : call_begin(backends, backend, request, waiter);
    return rc < 0 ? call_refuse(backends, backend, request, rc) : 0;
}

bool rc_backend_answered(enum rc_backend_call_kind kind, const struct rc_backend_answer *answer)
{
    return answer->outcome == RC_BACKEND_ANSWERED && rc_judge_answers(kind, answer->status);
}

void rc_backend_reply_refused(struct rc_backends *backends, uint32_t index, enum rc_backend_call_kind kind,
                              const char *id, const char *why)
{
    struct rc_backend *backend = index < backends->count ? backends->current[index] : NULL;
    if (backend != NULL) {
        rc_judge_reply_refused(backends, backend, kind);
        rc_log_limited(RC_LOG_WARN, 1, "backend_reply_refused", "backend=\"%s\" call=\"%s\" id=\"%s\" reason=\"%s\"",
                       backend->config.name.text, rc_backend_call_name(kind), id, why);
    }
}
