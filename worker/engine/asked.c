/* asked: see asked.h. */
#include "worker/engine/asked.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/records/args.h"
#include "common/records/emit.h"
#include "common/text/decimal.h"
#include "worker/backend/call.h"
#include "worker/engine/asking.h"
#include "worker/engine/does.h"
#include "worker/engine/rule_trace.h"

#define ASKED_RETRY_MS 2u

struct rc_asked {
    struct rc_asked *previous;
    struct rc_asked *next;
    struct rc_engines *engines;
    uint64_t random; /* of the client */
    uint32_t client;
    uint32_t backend;
    enum rc_backend_call_kind kind;
    uint32_t step;       /* of the reply, while it waits */
    uint32_t body_bytes; /* likewise */
    char *event;         /* owned, while something is traced: its name; NULL = it is not known */
    uint8_t *body;       /* owned: a reply that waits; NULL: not answered yet, or over with */
    bool connected;      /* the reply is that to `connect` */
    bool quiet;          /* the client asked for nothing: it is not told what went wrong */
    bool elsewhere;      /* it is another server's: there is no client */
    bool early;          /* that, of a client that is in no namespace yet: it waits for the first */
    uint8_t nsp_bytes;
    uint8_t id_bytes;
    char nsp[RC_NSP_MAX];
    char sid[RC_SID_BYTES]; /* of its socket there */
    uint8_t id[RC_REQUEST_ID_TOKEN_BYTES_MAX];
    char call[RC_BACKEND_ID_MAX];
};

/* Its name; empty: a reload has taken it away. */
static struct rc_span asked_backend(const struct rc_asked *asked)
{
    const struct rc_config *config = asked->engines->clients->config;
    return asked->backend < config->backend_count ? rc_span_text(config->backends[asked->backend].name.text)
                                                  : rc_span_of(NULL, 0);
}

static struct rc_does does_of(const struct rc_asked *asked)
{
    return (struct rc_does){.engines = asked->engines,
                            .client = asked->client,
                            .random = asked->random,
                            .nsp = asked->nsp_bytes == 0 ? RC_SPAN("/") : rc_span_of(asked->nsp, asked->nsp_bytes),
                            .backend = asked_backend(asked),
                            .id = rc_span_of(asked->id, asked->id_bytes)};
}

static uint32_t asked_of_client(const struct rc_engines *engines, uint32_t client, uint64_t random)
{
    uint32_t count = 0;
    for (const struct rc_asked *asked = engines->asked; asked != NULL; asked = asked->next) {
        count += asked->client == client && asked->random == random;
    }
    return count;
}

static void asked_free(struct rc_asked *asked)
{
    *(asked->previous != NULL ? &asked->previous->next : &asked->engines->asked) = asked->next;
    if (asked->next != NULL) {
        asked->next->previous = asked->previous;
    }
    free(asked->event);
    free(asked->body);
    free(asked);
}

/* It is over with: its client is read on. */
static void asked_end(struct rc_asked *asked)
{
    struct rc_engines *engines = asked->engines;
    const uint32_t client = asked->client;
    const uint64_t random = asked->random;
    const bool elsewhere = asked->elsewhere;
    asked_free(asked);
    if (!elsewhere && rc_engine_lives(engines, client, random) &&
        (rc_truth_client(engines->clients->truth, client)->flags & RC_CLIENT_WAITS_ANSWER) != 0) {
        rc_client_answered(engines->clients, client);
    }
}

/* Is who said it still the same, in the same namespace (of who speaks Socket.IO)? */
static bool asked_is_there(const struct rc_asked *asked)
{
    if (asked->elsewhere) {
        return true;
    }
    return rc_engine_lives(asked->engines, asked->client, asked->random) &&
           (asked->nsp_bytes == 0 || rc_engine_is_joined_as(asked->engines, asked->client,
                                                            rc_span_of(asked->nsp, asked->nsp_bytes), asked->sid));
}

static void asked_fail(struct rc_asked *asked, uint32_t code, const char *message)
{
    if (!asked->quiet && !asked->elsewhere && asked_is_there(asked)) {
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

/* Its operations, from asked->step on. False: they have to wait. */
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
        rc_backend_reply_refused(engines->clients->backends, asked->backend, asked->kind, asked->call, err.text);
        *why = "the server's answer cannot be understood";
        return true;
    }
    if (asked->connected) {
        user_drop(engines->reply);
    }
    struct rc_does does = does_of(asked);
    bool failed = false; /* there is nobody to be told */
    if (asked->elsewhere) {
        does.failed = &failed;
        return asked_post(&does, engines->reply, &asked->step);
    }
    return rc_does(&does, engines->reply, &asked->step);
}

/* The reply is carried out, or kept until it can be. */
static void asked_go_on(struct rc_asked *asked, struct rc_span body)
{
    const char *why;
    if (!asked_do(asked, body, &why)) {
        if (asked->body == NULL) {
            asked->body = malloc(body.count);
            if (asked->body == NULL) {
                asked_fail(asked, RC_CODE_UNAVAILABLE, "no memory");
                return;
            }
            memcpy(asked->body, body.bytes, body.count);
            asked->body_bytes = (uint32_t)body.count;
            asked->engines->asked_waiting++;
        }
        return;
    }
    asked->engines->asked_waiting -= asked->body != NULL;
    if (why != NULL) {
        asked_fail(asked, RC_CODE_BAD_GATEWAY, why);
    } else {
        asked_end(asked);
    }
}

static void on_answered(void *context, uint64_t token, const struct rc_backend_answer *answer)
{
    struct rc_asked *asked = (struct rc_asked *)(uintptr_t)token;
    (void)context;
    if (rc_rule_traces(asked->engines->clients)) {
        rc_rule_trace_answered(asked->engines->clients, asked->client,
                               rc_span_text(asked->event != NULL ? asked->event : ""), asked_backend(asked),
                               answer->outcome == RC_BACKEND_ANSWERED ? answer->status : 0,
                               answer->outcome == RC_BACKEND_ANSWERED ? (uint32_t)answer->body.count : 0);
    }
    if (!asked_is_there(asked)) {
        asked_end(asked);
    } else if (answer->outcome != RC_BACKEND_ANSWERED || (answer->status != 200 && answer->status != 204)) {
        asked_fail(asked, RC_CODE_UNAVAILABLE, "the server could not be asked: try again later");
    } else {
        asked_go_on(asked, answer->status == 200 ? answer->body : (struct rc_span){0});
    }
}

void rc_asked_work(struct rc_engines *engines)
{
    struct rc_asked *next;
    for (struct rc_asked *asked = engines->asked_waiting == 0 ? NULL : engines->asked; asked != NULL; asked = next) {
        next = asked->next;
        if (asked->body == NULL || asked->early) {
            continue;
        }
        if (asked_is_there(asked)) {
            asked_go_on(asked, rc_span_of(asked->body, asked->body_bytes));
        } else {
            engines->asked_waiting--;
            asked_end(asked);
        }
    }
}

uint32_t rc_asked_sleep_ms(const struct rc_engines *engines, uint32_t most_ms)
{
    return engines->asked_waiting > 0 && most_ms > ASKED_RETRY_MS ? ASKED_RETRY_MS : most_ms;
}

void rc_asked_close(struct rc_engines *engines)
{
    while (engines->asked != NULL) {
        asked_free(engines->asked);
    }
    free(engines->reply);
}

static void frame_begin(struct rc_backend_frame *frame, const struct rc_asked *asked, enum rc_backend_call_kind kind)
{
    const struct rc_clients *clients = asked->engines->clients;
    uint8_t user[RC_CLIENT_USER_JSON_MAX];
    struct rc_backend_caller caller = {.nsp = rc_span_of(asked->nsp, asked->nsp_bytes)};
    if (!asked->elsewhere) {
        caller.sid = rc_span_of(asked->sid, sizeof(asked->sid));
        caller.user = rc_client_user_json(clients, asked->client, user);
        caller.client = rc_client_set(clients, asked->client);
    }
    rc_backend_frame_begin(frame, clients->backends, kind, &caller);
    if (asked->elsewhere) {
        rc_backend_frame_json(frame, "sid", (struct rc_span){0});
    }
}

/* Arguments, as rc_args has them. */
static void frame_args(struct rc_backend_frame *frame, struct rc_span args)
{
    struct rc_span attachments[RC_CONFIG_ATTACHMENTS_MAX];
    struct rc_args_view its;
    uint32_t count = 0;
    size_t offset = 0;
    uint32_t index = 0;
    const int read = rc_args_read(args, &its);
    RC_ASSERT(read == 0); /* we wrote it */
    while (count < RC_CONFIG_ATTACHMENTS_MAX && rc_args_next(&its, &index, &offset, &attachments[count])) {
        count++;
    }
    rc_backend_frame_json(frame, "args", its.json);
    rc_backend_frame_base64(frame, "attachments", attachments, count);
}

/* `client` 0: of another server's. */
static struct rc_asked *asked_new(struct rc_engines *engines, uint32_t client, uint32_t backend,
                                  const struct rc_operation *operation, bool acked)
{
    struct rc_asked *asked = calloc(1, sizeof(*asked));
    if (asked == NULL) {
        return NULL;
    }
    RC_ASSERT(operation->nsp.count <= sizeof(asked->nsp) && operation->id.count <= sizeof(asked->id));
    asked->engines = engines;
    asked->client = client;
    asked->elsewhere = client == 0;
    asked->random = asked->elsewhere ? 0 : rc_truth_client(engines->clients->truth, client)->random;
    asked->backend = backend;
    asked->nsp_bytes = (uint8_t)operation->nsp.count;
    if (operation->nsp.count > 0) {
        memcpy(asked->nsp, operation->nsp.bytes, operation->nsp.count);
    }
    if (!acked && operation->id.count > 0) {
        asked->id_bytes = (uint8_t)operation->id.count;
        memcpy(asked->id, operation->id.bytes, operation->id.count);
    }
    if (operation->nsp.count > 0 && !asked->elsewhere) {
        rc_engine_nsp_sid(engines, client, operation->nsp, asked->sid);
    }
    asked->next = engines->asked;
    if (engines->asked != NULL) {
        engines->asked->previous = asked;
    }
    engines->asked = asked;
    return asked;
}

void rc_asked_connected(struct rc_engines *engines, uint32_t client, uint32_t backend, struct rc_span nsp,
                        struct rc_span reply)
{
    struct rc_operation operation;
    rc_operation_reset(&operation);
    operation.nsp = nsp;
    struct rc_asked *asked = asked_new(engines, client, backend, &operation, true);
    uint8_t *body = asked == NULL ? NULL : malloc(reply.count);
    if (body == NULL) {
        if (asked != NULL) {
            asked_free(asked);
        }
        rc_client_failed_memory(engines->clients, client);
        return;
    }
    memcpy(body, reply.bytes, reply.count);
    asked->connected = true;
    asked->kind = RC_BACKEND_CONNECT;
    asked->body = body;
    asked->body_bytes = (uint32_t)reply.count;
    asked->early = nsp.count == 0 && rc_engine_is(engines, client) &&
                   rc_encoding_codec(rc_truth_client(engines->clients->truth, client)->encoding) != RC_CODEC_ENGINEIO;
    *(asked->early ? &engines->asked_early : &engines->asked_waiting) += 1;
}

static struct rc_asked *asked_early_of(const struct rc_engines *engines, uint32_t client)
{
    struct rc_asked *asked = engines->asked_early == 0 ? NULL : engines->asked;
    while (asked != NULL && (asked->client != client || !asked->early)) {
        asked = asked->next;
    }
    return asked;
}

void rc_asked_joined(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    struct rc_asked *asked = asked_early_of(engines, client);
    if (asked == NULL) {
        return;
    }
    RC_ASSERT(nsp.count <= sizeof(asked->nsp));
    asked->nsp_bytes = (uint8_t)nsp.count;
    memcpy(asked->nsp, nsp.bytes, nsp.count);
    rc_engine_nsp_sid(engines, client, nsp, asked->sid);
    asked->early = false;
    engines->asked_early--;
    engines->asked_waiting++;
}

void rc_asked_forget(struct rc_engines *engines, uint32_t client)
{
    struct rc_asked *asked = asked_early_of(engines, client);
    if (asked != NULL) {
        engines->asked_early--;
        asked_free(asked);
    }
}

/* The frame is whole. False: it cannot be asked, and is over with. */
static bool asked_call(struct rc_asked *asked, struct rc_backend_frame *frame)
{
    struct rc_engines *engines = asked->engines;
    const struct rc_backend_waiter waiter = {
        .context = engines, .answered = on_answered, .token = (uint64_t)(uintptr_t)asked};
    memcpy(asked->call, frame->request.id, sizeof(asked->call));
    if (rc_rule_traces(engines->clients)) {
        rc_rule_trace_asked(engines->clients, asked->client, rc_span_text(asked->event != NULL ? asked->event : ""),
                            asked_backend(asked), rc_span_of(asked->call, strnlen(asked->call, sizeof(asked->call))));
    }
    asked->kind = frame->request.kind;
    if (rc_backend_frame_call(frame, engines->clients->backends, asked->backend, waiter) < 0) {
        asked_fail(asked, RC_CODE_UNAVAILABLE, "the server could not be asked: try again later");
        return false;
    }
    return true;
}

/* Who has answered an emit, and with what; no arguments: who has not, and how many they are, if they are clients of other servers. */
static void asked_ack(struct rc_engines *engines, uint32_t client, struct rc_span asker, struct rc_span args,
                      uint16_t missing)
{
    struct rc_backend_frame frame;
    struct rc_operation operation;
    struct rc_span backend;
    struct rc_span token;
    rc_operation_reset(&operation);
    if (!rc_asking_read(asker, &operation.nsp, &backend, &token)) {
        rc_metric_add(engines->clients->metrics, RC_METRIC_RING_CORRUPT, 1);
        return;
    }
    const int index = rc_backend_find(engines->clients->config, backend);
    if (index < 0) { /* a reload took it away */
        rc_metric_add(engines->clients->metrics, RC_METRIC_ACKS_DROPPED, 1);
        return;
    }
    struct rc_asked *asked = asked_new(engines, client, (uint32_t)index, &operation, true);
    if (asked == NULL) {
        rc_metric_add(engines->clients->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        return;
    }
    asked->quiet = true;
    frame_begin(&frame, asked, RC_BACKEND_ACK);
    rc_backend_frame_text(&frame, "token", token);
    if (args.count > 0) {
        frame_args(&frame, args);
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

void rc_asked_told(struct rc_engines *engines, uint32_t client, struct rc_span asker, struct rc_span args)
{
    asked_ack(engines, client, asker, args, 0);
}

void rc_asked_elsewhere(struct rc_engines *engines, struct rc_span data, uint16_t missing)
{
    struct rc_span asker;
    struct rc_span args;
    if (rc_emit_asked_read(data, &asker, &args) < 0) {
        rc_metric_add(engines->clients->metrics, RC_METRIC_RING_CORRUPT, 1);
        return;
    }
    asked_ack(engines, 0, asker, args, args.count > 0 ? 0 : missing);
}

void rc_asked_event(struct rc_engines *engines, uint32_t client, struct rc_span name,
                    const struct rc_operation *operation, struct rc_span args, bool acked)
{
    struct rc_clients *clients = engines->clients;
    struct rc_client *its = rc_truth_client(clients->truth, client);
    const int backend = rc_backend_find(clients->config, name);
    struct rc_backend_frame frame;
    RC_ASSERT(backend >= 0); /* rc_config_backends_check */
    struct rc_asked *asked = asked_new(engines, client, (uint32_t)backend, operation, acked);
    if (asked == NULL) {
        rc_client_failed_memory(clients, client);
        return;
    }
    if (rc_rule_traces(clients)) { /* without it the trace has a stage less that it can be looked for by */
        asked->event = strndup((const char *)operation->event.bytes, operation->event.count);
    }
    frame_begin(&frame, asked, RC_BACKEND_EVENT);
    rc_backend_frame_text(&frame, "event", operation->event);
    frame_args(&frame, args);
    rc_backend_frame_bool(&frame, "ack", asked->id_bytes > 0);
    if (!asked_call(asked, &frame)) {
        return;
    }
    const uint32_t most = clients->config->backends[backend].per_client;
    if (most == 1 || asked_of_client(engines, client, its->random) >= most) {
        its->flags |= RC_CLIENT_WAITS_ANSWER;
        if (its->socket != RC_SOCKET_NONE) {
            rc_io_pause(clients->io, its->socket);
        }
    }
}
