/* asked: see asked.h. */
#include "worker/engine/asked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/metrics/event_rows.h"
#include "common/records/emit.h"
#include "common/text/decimal.h"
#include "worker/backend/backend_io.h"
#include "worker/backend/call.h"
#include "worker/engine/acks.h"
#include "worker/engine/asked_table.h"
#include "worker/engine/asking.h"
#include "worker/engine/does.h"
#include "worker/engine/rule_trace.h"
#include "worker/store/receiving.h"

#define ASKED_RETRY_MS 2u
#define ASKED_DEATHS_MAX 3u /* of processes that were asking it: what comes back may be what kills them */

static struct rc_does does_of(const struct rc_asked *asked)
{
    return (struct rc_does){.engines = asked->engines,
                            .client = asked->its->client,
                            .random = asked->its->random,
                            .nsp = asked->its->nsp_bytes == 0 ? RC_SPAN("/") : rc_asked_nsp(asked),
                            .backend = rc_asked_backend(asked),
                            .id = rc_span_of(asked->its->id, asked->its->id_bytes)};
}

bool rc_asked_is(const struct rc_engines *engines, uint32_t client)
{
    return rc_asked_count_of(engines, client, rc_truth_client(engines->clients->truth, client)->random) > 0;
}

/* It is over with: its client is read on. */
static void asked_end(struct rc_asked *asked)
{
    struct rc_engines *engines = asked->engines;
    const uint32_t client = asked->its->client;
    const uint64_t random = asked->its->random;
    const bool elsewhere = rc_asked_flag(asked, RC_HOOK_ELSEWHERE);
    rc_asked_free(asked);
    if (!elsewhere && rc_engine_lives(engines, client, random) &&
        (rc_truth_client(engines->clients->truth, client)->flags & RC_CLIENT_WAITS_ANSWER) != 0 &&
        !rc_asked_stops(engines, client)) { /* else it waits for the answer to another one */
        rc_client_answered(engines->clients, client);
    }
}

/* Is who said it still the same, in the same namespace (of who speaks Socket.IO)? */
static bool asked_is_there(const struct rc_asked *asked)
{
    const struct rc_hook *its = asked->its;
    if (rc_asked_flag(asked, RC_HOOK_ELSEWHERE)) {
        return true;
    }
    return rc_engine_lives(asked->engines, its->client, its->random) &&
           (its->nsp_bytes == 0 || rc_engine_is_joined_as(asked->engines, its->client, rc_asked_nsp(asked), its->sid));
}

/* It is over for its row, as rc_event_row_count has it. After a reload the row's index is another one's. */
static void asked_count(const struct rc_asked *asked, int guard)
{
    if (asked->row != 0 && asked->rules == asked->engines->rules) {
        rc_event_row_count(&asked->engines->clients->control->own->rows[asked->row - 1], guard);
    }
}

static void asked_fail(struct rc_asked *asked, uint32_t code, const char *message)
{
    asked_count(asked, RC_GUARDS);
    if (!rc_asked_flag(asked, RC_HOOK_QUIET) && !rc_asked_flag(asked, RC_HOOK_ELSEWHERE) && asked_is_there(asked)) {
        const struct rc_does does = does_of(asked);
        rc_does_error(&does, code, rc_span_text(message));
    }
    asked_end(asked);
}

/* Who it is was known before. */
static void user_drop(struct rc_reply *reply)
{
    if (reply->count > 0 && reply->operations[0].type == RC_REPLY_USER) {
        reply->count--;
        memmove(reply->operations, reply->operations + 1, reply->count * sizeof(reply->operations[0]));
    }
}

/* Of nobody: what needs no client. */
static bool asked_post(const struct rc_does *does, const struct rc_reply *reply, uint32_t *step)
{
    for (; *step >> 16 < reply->count; *step = ((*step >> 16) + 1) << 16) {
        const struct rc_reply_operation *wanted = &reply->operations[*step >> 16];
        uint32_t rooms = *step & UINT16_MAX;
        const bool posts =
            wanted->type == RC_REPLY_RETAIN || (wanted->type == RC_REPLY_EMIT && wanted->to.type != RC_JSON_NONE);
        if (posts && !rc_does_post(does, wanted, &rooms)) {
            *step = (*step & ~(uint32_t)UINT16_MAX) | rooms;
            return false;
        }
    }
    return true;
}

/* Its operations, from its->step on. False: they have to wait. */
static bool asked_do(struct rc_asked *asked, struct rc_span body, const char **why)
{
    struct rc_engines *engines = asked->engines;
    struct rc_err err;
    *why = NULL;
    if (engines->reply == NULL && (engines->reply = malloc(sizeof(*engines->reply))) == NULL) {
        *why = "no memory";
        return true;
    }
    if (rc_reply_read(engines->reply, body, &err) < 0) {
        rc_backend_reply_refused(engines->clients->backends, rc_asked_index(asked),
                                 (enum rc_backend_call_kind)asked->its->kind, asked->its->call, err.text);
        *why = "the server's answer cannot be understood";
        return true;
    }
    if (rc_asked_flag(asked, RC_HOOK_CONNECTED)) {
        user_drop(engines->reply);
    }
    struct rc_does does = does_of(asked);
    bool failed = false; /* there is nobody to be told */
    if (rc_asked_flag(asked, RC_HOOK_ELSEWHERE)) {
        does.failed = &failed;
        return asked_post(&does, engines->reply, &asked->its->step);
    }
    const uint32_t outer = rc_hub_works(engines->clients->hub, asked->its->client);
    const bool done = rc_does(&does, engines->reply, &asked->its->step);
    rc_hub_worked(engines->clients->hub, outer);
    return done;
}

/* The reply is carried out, or kept until it can be. */
static void asked_go_on(struct rc_asked *asked, struct rc_span body)
{
    const char *why;
    if (!asked_do(asked, body, &why)) {
        if (asked->its->reply == 0 && !rc_asked_keep_reply(asked, body)) {
            asked_fail(asked, RC_CODE_UNAVAILABLE, "no memory");
        } else if (body.bytes != rc_asked_reply(asked).bytes) {
            asked->engines->asked_waiting++; /* it has just begun to */
        }
    } else if (why != NULL) {
        asked_fail(asked, RC_CODE_BAD_GATEWAY, why);
    } else {
        asked_count(asked, -1);
        asked_end(asked);
    }
}

static void on_answered(void *context, uint64_t token, const struct rc_backend_answer *answer)
{
    struct rc_asked *asked = (struct rc_asked *)(uintptr_t)token;
    (void)context;
    if (rc_rule_traces(asked->engines->clients)) {
        rc_rule_trace_answered(asked->engines->clients, asked->its->client,
                               rc_span_text(asked->event != NULL ? asked->event : ""), rc_asked_backend(asked),
                               answer->outcome == RC_BACKEND_ANSWERED ? answer->status : 0,
                               answer->outcome == RC_BACKEND_ANSWERED ? (uint32_t)answer->body.count : 0);
    }
    if (!asked_is_there(asked)) {
        asked_end(asked);
    } else if (!rc_backend_answered((enum rc_backend_call_kind)asked->its->kind, answer)) {
        asked_fail(asked, RC_CODE_UNAVAILABLE, "the server could not be asked: try again later");
    } else if (answer->status == 200 && rc_asked_keep_reply(asked, answer->body)) {
        asked->engines->asked_waiting += asked->lost ? 0 : 1;
        asked_go_on(asked, rc_asked_reply(asked)); /* killed meanwhile, a successor goes on with it */
    } else {
        asked_go_on(asked, answer->status == 200 ? answer->body : (struct rc_span){0});
    }
}

/* May a successor ask it again? Not when some of what the backend wants was done. */
static bool asked_repeats(const struct rc_asked *asked)
{
    const struct rc_hook *its = asked->its;
    const struct rc_config_backend *settings = rc_asked_settings(asked);
    return its->request != 0 && its->step == 0 && its->deaths < ASKED_DEATHS_MAX && settings != NULL &&
           settings->ask_again;
}

/* False: nobody can be asked, and it is over with. */
static bool asked_ask(struct rc_asked *asked, struct rc_backend_request *request)
{
    struct rc_engines *engines = asked->engines;
    const struct rc_backend_waiter waiter = {
        .context = engines, .answered = on_answered, .token = (uint64_t)(uintptr_t)asked};
    if (rc_rule_traces(engines->clients)) {
        rc_rule_trace_asked(engines->clients, asked->its->client,
                            rc_span_text(asked->event != NULL ? asked->event : ""), rc_asked_backend(asked),
                            rc_span_of(request->id, strnlen(request->id, sizeof(request->id))));
    }
    request->leaves = asked_repeats(asked);
    if (rc_backend_call(engines->clients->backends, rc_asked_index(asked), request, waiter) < 0) {
        asked_fail(asked, RC_CODE_UNAVAILABLE, "the server could not be asked: try again later");
        return false;
    }
    return true;
}

/* --- of a process that is no more ------------------------------------------------------------------------------------- */

/* Nobody knows whether the backend was reached, and what it did: it is asked again if it says that it can tell, else the client is told. */
static void asked_again(struct rc_asked *asked)
{
    const struct rc_clients *clients = asked->engines->clients;
    struct rc_hook *its = asked->its;
    asked->lost = false;
    asked->engines->asked_waiting--;
    if (!asked_is_there(asked)) {
        asked_end(asked);
        return;
    }
    if (!asked_repeats(asked)) {
        rc_metric_add(clients->metrics, RC_METRIC_CALLS_LOST, 1);
        rc_log_limited(RC_LOG_WARN, 1, "backend_answer_lost", "call=\"%s\" id=\"%s\" attempt=%u",
                       rc_backend_call_name((enum rc_backend_call_kind)its->kind), its->call, its->attempt);
        asked_fail(asked, RC_CODE_UNAVAILABLE, "the server's answer was lost: it may have been done, or not");
        return;
    }
    its->attempt = its->attempt < UINT8_MAX ? its->attempt + 1 : UINT8_MAX;
    its->flags &= (uint8_t)~RC_HOOK_LEFT;
    rc_metric_add(clients->metrics, RC_METRIC_CALLS_AGAIN, 1);
    struct rc_backend_request request = {
        .kind = (enum rc_backend_call_kind)its->kind,
        .body = rc_span_of(rc_heap_at(&clients->truth->heap, its->request), its->request_bytes),
        .attempt = its->attempt};
    memcpy(request.id, its->call, sizeof(request.id));
    (void)asked_ask(asked, &request);
}

void rc_asked_taken(struct rc_engines *engines)
{
    struct rc_clients *clients = engines->clients;
    for (uint32_t i = 1; i < clients->truth->hooks.high; i++) {
        struct rc_hook *its = rc_truth_hook(clients->truth, i);
        if (its->attempt == 0) {
            continue;
        }
        if ((its->flags & RC_HOOK_EARLY) && !rc_engine_lives(engines, its->client, its->random)) {
            rc_asked_hook_free(clients, i); /* nobody will be in a namespace */
            continue;
        }
        const bool ack_waits = its->ack != 0 && rc_acks_waits(engines, its->ack, its->client, its->ack_emit);
        if (ack_waits && (its->flags & RC_HOOK_UNASKED)) {
            rc_asked_hook_free(clients, i);
            continue;
        }
        its->flags &= (uint8_t)~RC_HOOK_UNASKED;
        if (ack_waits) {
            rc_acks_told(engines, its->ack); /* its emit ends in its time */
        }
        its->ack = 0;
        if (its->reply == 0 && !(its->flags & RC_HOOK_LEFT) && its->deaths < ASKED_DEATHS_MAX) {
            its->deaths++;
        }
        its->flags |= (uint8_t)RC_HOOK_LEFT; /* until it is asked again: who dies of taking over has not died of this */
        const struct rc_asked *asked = rc_asked_take(engines, i);
        if (asked == NULL) { /* sockets cannot be ended yet */
            its->flags |= (uint8_t)RC_HOOK_UNTAKEN;
            engines->asked_untaken++;
            continue;
        }
        its->flags &= (uint8_t)~RC_HOOK_UNTAKEN;
        engines->asked_waiting += rc_asked_waits(asked);
        engines->asked_early += rc_asked_flag(asked, RC_HOOK_EARLY);
    }
}

void rc_asked_leave(struct rc_engines *engines)
{
    rc_backends_leave(engines->clients->backends);
    for (struct rc_asked *asked = engines->asked; asked != NULL; asked = asked->next) {
        if (asked->its->reply == 0 && !asked->lost) {
            asked->its->flags |= (uint8_t)RC_HOOK_LEFT;
            asked->lost = true;
            engines->asked_waiting++;
        }
    }
}

bool rc_asked_stops(const struct rc_engines *engines, uint32_t client)
{
    const uint64_t random = rc_truth_client(engines->clients->truth, client)->random;
    for (const struct rc_asked *asked = engines->asked_of[client]; asked != NULL; asked = asked->next_of_client) {
        const struct rc_hook *its = asked->its;
        if (its->random == random && its->kind == RC_BACKEND_EVENT) {
            const struct rc_config_backend *settings = rc_asked_settings(asked);
            return rc_asked_count_of(engines, client, random) >= (settings != NULL ? settings->per_client : 1);
        }
    }
    return false;
}

/* --- going on --------------------------------------------------------------------------------------------------------- */

/* Whoever waits for one of them would wait for ever. */
static void untaken_end(struct rc_engines *engines)
{
    struct rc_clients *clients = engines->clients;
    for (uint32_t i = 1; i < clients->truth->hooks.high && engines->asked_untaken > 0; i++) {
        const struct rc_hook *its = rc_truth_hook(clients->truth, i);
        if (its->attempt == 0 || (its->flags & RC_HOOK_UNTAKEN) == 0) {
            continue;
        }
        const uint32_t client = its->client;
        const uint64_t random = its->random;
        const bool elsewhere = (its->flags & RC_HOOK_ELSEWHERE) != 0;
        engines->asked_untaken--;
        rc_asked_hook_free(clients, i);
        if (!elsewhere && rc_engine_lives(engines, client, random)) {
            rc_client_failed_memory(clients, client);
        }
    }
}

void rc_asked_work(struct rc_engines *engines)
{
    if (engines->asked_untaken > 0) {
        untaken_end(engines);
    }
    /* What one wants may end the clients of others. */
    for (struct rc_asked *asked = engines->asked_waiting == 0 ? NULL : engines->asked; asked != NULL;
         asked = engines->asked_next) {
        engines->asked_next = asked->next;
        if (asked->lost) {
            asked_again(asked);
        } else if (!rc_asked_waits(asked)) {
            continue;
        } else if (asked_is_there(asked)) {
            asked_go_on(asked, rc_asked_reply(asked));
        } else {
            asked_end(asked);
        }
    }
}

uint32_t rc_asked_sleep_ms(const struct rc_engines *engines, uint32_t most_ms)
{
    return engines->asked_waiting + engines->asked_untaken > 0 && most_ms > ASKED_RETRY_MS ? ASKED_RETRY_MS : most_ms;
}

int rc_asked_open(struct rc_engines *engines)
{
    /* Untouched pages while nobody is asked. */
    engines->asked_of = calloc((size_t)engines->clients->truth->clients.count_max + 1, sizeof(*engines->asked_of));
    return engines->asked_of == NULL ? -ENOMEM : 0;
}

void rc_asked_close(struct rc_engines *engines)
{
    while (engines->asked != NULL) {
        rc_asked_drop(engines->asked);
    }
    free(engines->asked_of);
    free(engines->reply);
    engines->asked_of = NULL;
    engines->reply = NULL;
}

static void frame_begin(struct rc_backend_frame *frame, const struct rc_asked *asked, enum rc_backend_call_kind kind)
{
    const struct rc_clients *clients = asked->engines->clients;
    uint8_t user[RC_CLIENT_USER_JSON_MAX];
    const struct rc_hook *its = asked->its;
    struct rc_backend_caller caller = {.nsp = rc_asked_nsp(asked)};
    if (!rc_asked_flag(asked, RC_HOOK_ELSEWHERE)) {
        caller.sid = rc_span_of(its->sid, sizeof(its->sid));
        caller.user = rc_client_user_json(clients, its->client, user);
        caller.client = rc_client_set(clients, its->client);
    }
    rc_backend_frame_begin(frame, clients->backends, kind, &caller);
    if (rc_asked_flag(asked, RC_HOOK_ELSEWHERE)) {
        rc_backend_frame_json(frame, "sid", (struct rc_span){0});
    }
}

/* The ack of which this tells is not waited for any more. */
static void asked_ack_over(struct rc_asked *asked)
{
    struct rc_hook *its = asked->its;
    if (its->ack != 0) {
        rc_acks_told(asked->engines, its->ack);
        RC_STORE_ORDER();
        its->ack = 0;
    }
}

void rc_asked_connected(struct rc_engines *engines, uint32_t client, uint32_t backend, struct rc_span nsp,
                        struct rc_span reply)
{
    struct rc_operation operation;
    if (rc_engine_is_linked(engines, client)) {
        return; /* its namespaces are the application's, which decides what it gets */
    }
    rc_operation_reset(&operation);
    operation.nsp = nsp;
    const bool early =
        nsp.count == 0 && rc_engine_is(engines, client) &&
        rc_encoding_codec(rc_truth_client(engines->clients->truth, client)->encoding) != RC_CODEC_ENGINEIO;
    struct rc_asked *asked = rc_asked_new(engines, client, backend, RC_BACKEND_CONNECT, &operation, RC_HOOK_CONNECTED);
    if (asked == NULL || !rc_asked_keep_reply(asked, reply)) {
        if (asked != NULL) {
            rc_asked_free(asked);
        }
        rc_client_failed_memory(engines->clients, client);
        return;
    }
    asked->its->flags |= early ? (uint8_t)RC_HOOK_EARLY : 0;
    rc_asked_begin(asked);
    *(early ? &engines->asked_early : &engines->asked_waiting) += 1;
}

static struct rc_asked *asked_early_of(const struct rc_engines *engines, uint32_t client)
{
    const uint64_t random = rc_truth_client(engines->clients->truth, client)->random;
    struct rc_asked *asked = engines->asked_early == 0 ? NULL : engines->asked_of[client];
    while (asked != NULL && (asked->its->random != random || !rc_asked_flag(asked, RC_HOOK_EARLY))) {
        asked = asked->next_of_client;
    }
    return asked;
}

void rc_asked_joined(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    struct rc_asked *asked = asked_early_of(engines, client);
    if (asked == NULL) {
        return;
    }
    struct rc_hook *its = asked->its;
    RC_ASSERT(nsp.count <= sizeof(its->nsp));
    memcpy(its->nsp, nsp.bytes, nsp.count);
    rc_engine_nsp_sid(engines, client, nsp, its->sid);
    RC_STORE_ORDER();
    its->nsp_bytes = (uint8_t)nsp.count;
    its->flags &= (uint8_t)~RC_HOOK_EARLY;
    engines->asked_early--;
    engines->asked_waiting++;
}

void rc_asked_forget(struct rc_engines *engines, uint32_t client)
{
    struct rc_asked *asked = asked_early_of(engines, client);
    if (asked != NULL) {
        rc_asked_free(asked);
    }
}

/* The frame is whole. False: it cannot be asked, and is over with. */
static bool asked_call(struct rc_asked *asked, struct rc_backend_frame *frame)
{
    memcpy(asked->its->call, frame->request.id, sizeof(asked->its->call));
    bool good = rc_backend_frame_end(frame);
    if (good) {
        struct rc_engines *engines = asked->engines;
        const uint32_t ack = asked->its->ack;
        rc_asked_keep_request(asked, frame->request.body);
        rc_receiving_asks(engines->clients->truth, asked->index);
        rc_asked_begin(asked);
        good = asked_ask(asked, &frame->request);
        if (good) {
            asked_ack_over(asked);
        } else if (ack != 0) {
            rc_acks_told(engines, ack);
        }
    } else {
        asked_ack_over(asked);
        asked_fail(asked, RC_CODE_UNAVAILABLE, "no memory");
    }
    rc_backend_frame_drop(frame);
    return good;
}

static void ack_lost(struct rc_engines *engines, uint32_t ack, enum rc_metric_id metric)
{
    rc_metric_add(engines->clients->metrics, metric, 1);
    if (ack != 0) {
        rc_acks_told(engines, ack);
    }
}

/* Who has answered an emit, and with what; no arguments: who has not, and how many they are, if they are clients of other servers. */
static void asked_ack(struct rc_engines *engines, uint32_t client, struct rc_span asker, struct rc_span args,
                      uint16_t missing, uint32_t ack)
{
    struct rc_backend_frame frame;
    struct rc_operation operation;
    struct rc_span backend;
    struct rc_span token;
    rc_operation_reset(&operation);
    if (!rc_asking_read(asker, &operation.nsp, &backend, &token)) {
        ack_lost(engines, ack, RC_METRIC_RING_CORRUPT);
        return;
    }
    const int index = rc_backend_find(engines->clients->config, backend);
    if (index < 0) { /* a reload took it away */
        ack_lost(engines, ack, RC_METRIC_ACKS_DROPPED);
        return;
    }
    struct rc_asked *asked = rc_asked_new(engines, client, (uint32_t)index, RC_BACKEND_ACK, &operation, RC_HOOK_QUIET);
    if (asked == NULL) {
        ack_lost(engines, ack, RC_METRIC_MEMORY_REFUSALS);
        return;
    }
    if (ack != 0) {
        const struct rc_truth *truth = engines->clients->truth;
        asked->its->ack_emit = rc_truth_emit(truth, rc_truth_ack(truth, ack)->emit)->id;
        asked->its->ack = ack;
    }
    frame_begin(&frame, asked, RC_BACKEND_ACK);
    rc_backend_frame_text(&frame, "token", token);
    if (args.count > 0) {
        rc_backend_frame_args(&frame, args);
    } else {
        rc_backend_frame_bool(&frame, "timeout", true);
    }
    if (missing > 0) {
        char digits[RC_DECIMAL_BYTES_MAX];
        rc_backend_frame_json(&frame, "missing",
                              rc_span_of(digits, (size_t)(rc_decimal_write(digits, missing) - digits)));
    }
    (void)asked_call(asked, &frame);
}

void rc_asked_told(struct rc_engines *engines, uint32_t client, struct rc_span asker, struct rc_span args, uint32_t ack)
{
    asked_ack(engines, client, asker, args, 0, ack);
}

void rc_asked_elsewhere(struct rc_engines *engines, struct rc_span data, uint16_t missing)
{
    struct rc_span asker;
    struct rc_span args;
    if (rc_emit_asked_read(data, &asker, &args) < 0) {
        rc_metric_add(engines->clients->metrics, RC_METRIC_RING_CORRUPT, 1);
        return;
    }
    asked_ack(engines, 0, asker, args, args.count > 0 ? 0 : missing, 0);
}

void rc_asked_event(struct rc_engines *engines, uint32_t client, struct rc_span name,
                    const struct rc_operation *operation, struct rc_span args, bool acked,
                    const struct rc_config_event *row)
{
    struct rc_clients *clients = engines->clients;
    struct rc_client *its = rc_truth_client(clients->truth, client);
    const int backend = rc_backend_find(clients->config, name);
    struct rc_backend_frame frame;
    RC_ASSERT(backend >= 0);       /* rc_config_backends_check */
    rc_client_repeats(clients, 0); /* no step that is done: killed in it, it begins again (rc_receiving_asks) */
    struct rc_asked *asked = rc_asked_new(engines, client, (uint32_t)backend, RC_BACKEND_EVENT, operation, 0);
    if (asked == NULL) {
        rc_client_failed_memory(clients, client);
        return;
    }
    asked->its->id_bytes = acked ? 0 : asked->its->id_bytes;
    asked->row = row == NULL ? 0 : (uint32_t)(row - clients->config->events) + 1;
    asked->rules = engines->rules;
    if (rc_rule_traces(clients)) { /* without it the trace has a stage less that it can be looked for by */
        asked->event = strndup((const char *)operation->event.bytes, operation->event.count);
    }
    frame_begin(&frame, asked, RC_BACKEND_EVENT);
    rc_backend_frame_text(&frame, "event", operation->event);
    rc_backend_frame_args(&frame, args);
    rc_backend_frame_bool(&frame, "ack", asked->its->id_bytes > 0);
    if (!asked_call(asked, &frame)) {
        return;
    }
    const uint32_t most = clients->config->backends[backend].per_client;
    if (most == 1 || rc_asked_count_of(engines, client, its->random) >= most) {
        its->flags |= RC_CLIENT_WAITS_ANSWER;
        if (its->socket != RC_SOCKET_NONE) {
            rc_io_pause(clients->io, its->socket);
        }
    }
}
