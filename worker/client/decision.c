/*
 * decision: a backend decides on a client's subscribe or publish (`calls = ["subscribe", "publish"]`). See client.h.
 *
 *   none ─asked─▶ ASKED: the client is not read ─answered─▶ GRANTED, DENIED, FAILED or left to the rules ─the operation is done─▶ none
 *
 * At most one for each client, by its index, since it waits. The operation comes again when it is decided; one that is another (the
 * client was closed and its index used again) finds none.
 */
#include "worker/client/client.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/backend/call.h"

struct rc_decision {
    struct rc_clients *clients;
    uint64_t random; /* of the client; 0: it is gone */
    uint32_t client;
    uint32_t backend; /* rc_backend_mark */
    enum rc_backend_call_kind kind;
    enum rc_decided state;
    uint8_t *data; /* owned: what is published instead; NULL: what came */
    uint32_t data_bytes;
    uint8_t channel_bytes;
    uint8_t channel[RC_CHANNEL_NAME_MAX];
    char id[RC_BACKEND_ID_MAX];
};

static void decision_free(struct rc_decision *decision)
{
    free(decision->data);
    free(decision);
}

void rc_client_decision_forget(struct rc_clients *clients, uint32_t client)
{
    struct rc_decision *decision = clients->decisions == NULL ? NULL : clients->decisions[client];
    if (decision == NULL) {
        return;
    }
    clients->decisions[client] = NULL;
    if (decision->state == RC_DECIDED_LATER) {
        decision->random = 0; /* freed when it is answered */
    } else {
        decision_free(decision);
    }
}

void rc_client_decisions_close(struct rc_clients *clients)
{
    for (uint32_t i = 0; clients->decisions != NULL && i <= clients->truth->socket_count; i++) {
        if (clients->decisions[i] != NULL) {
            decision_free(clients->decisions[i]);
        }
    }
    free(clients->decisions);
}

static enum rc_decided decision_on_failure(const struct rc_clients *clients, uint32_t backend)
{
    return backend < clients->config->backend_count &&
                   clients->config->backends[backend].on_failure == RC_BACKEND_FAILURE_ALLOW
               ? RC_DECIDED_BY_RULES
               : RC_DECIDED_FAILED;
}

static void on_decided(void *context, uint64_t token, const struct rc_backend_answer *answer)
{
    struct rc_clients *clients = context;
    struct rc_decision *decision = (struct rc_decision *)(uintptr_t)token;
    struct rc_backend_allow_reply reply;
    if (decision->random == 0) {
        decision_free(decision);
        return;
    }
    const uint32_t backend = rc_backend_marked(clients->config, decision->backend);
    rc_backend_allow_reply_read(&reply, NULL, answer);
    if (reply.refused) {
        rc_backend_reply_refused(clients->backends, backend, decision->kind, decision->id, reply.why);
    }
    decision->state = reply.verdict == RC_BACKEND_ACCEPTED ? RC_DECIDED_GRANTED
                      : reply.verdict == RC_BACKEND_DENIED ? RC_DECIDED_DENIED
                                                           : decision_on_failure(clients, backend);
    if (reply.verdict == RC_BACKEND_ACCEPTED && reply.data.count > 0 && decision->kind == RC_BACKEND_PUBLISH) {
        decision->data = malloc(reply.data.count);
        if (decision->data == NULL) {
            decision->state = RC_DECIDED_FAILED;
        } else {
            memcpy(decision->data, reply.data.bytes, reply.data.count);
            decision->data_bytes = (uint32_t)reply.data.count;
        }
    }
    clients->answered(clients, decision->client);
}

/* All of the message that those hear who get it: what is not told cannot be judged. */
static void frame_message(struct rc_backend_frame *frame, const struct rc_operation *operation)
{
    if (operation->event.count > 0) {
        rc_backend_frame_text(frame, "event", operation->event);
    }
    if (operation->key.count > 0) {
        rc_backend_frame_text(frame, "key", operation->key);
    }
    if (operation->retain) {
        rc_backend_frame_bool(frame, "retain", true);
    }
    if (operation->data_kind == RC_DATA_ARGS) {
        rc_backend_frame_args(frame, operation->data);
    } else if (operation->data_kind == RC_DATA_JSON) {
        rc_backend_frame_json(frame, "data", operation->data);
    } else {
        rc_backend_frame_base64(frame, "attachments", &operation->data, 1);
    }
}

/* Asks. -ENOMEM, or an error of rc_backend_call. */
static int decision_ask(struct rc_clients *clients, struct rc_decision *decision, uint32_t backend,
                        const struct rc_operation *operation)
{
    char id[RC_CLIENT_ID_BYTES_MAX];
    uint8_t user[RC_CLIENT_USER_JSON_MAX];
    struct rc_backend_frame frame;
    const struct rc_client_ref ref = rc_client_ref(clients, decision->client);
    const size_t id_bytes = rc_client_id_write(id, clients->control->instance_id, clients->control->boot_nonce, &ref);
    const struct rc_backend_caller caller = {.sid = rc_span_of(id, id_bytes),
                                             .user = rc_client_user_json(clients, decision->client, user),
                                             .client = rc_client_set(clients, decision->client)};
    rc_backend_frame_begin(&frame, clients->backends, decision->kind, &caller);
    rc_backend_frame_text(&frame, "channel", operation->channel);
    if (decision->kind == RC_BACKEND_PUBLISH) {
        frame_message(&frame, operation);
    } else if (caller.user.count > 0) { /* what one of a user's clients may, all may */
        const struct rc_span parts[] = {rc_client_user(clients, decision->client), operation->channel};
        frame.request.shared = true;
        rc_backend_key(frame.request.key, parts, RC_ARRAY_COUNT(parts));
    }
    memcpy(decision->id, frame.request.id, sizeof(decision->id));
    return rc_backend_frame_call(
        &frame, clients->backends, backend,
        (struct rc_backend_waiter){.context = clients, .answered = on_decided, .token = (uint64_t)(uintptr_t)decision});
}

static enum rc_decided decision_begin(struct rc_clients *clients, uint32_t client, uint32_t backend,
                                      enum rc_backend_call_kind kind, const struct rc_operation *operation)
{
    struct rc_client *its = rc_truth_client(clients->truth, client);
    if (clients->decisions == NULL) {
        clients->decisions = calloc((size_t)clients->truth->socket_count + 2, sizeof(struct rc_decision *));
    }
    struct rc_decision *decision = clients->decisions == NULL ? NULL : calloc(1, sizeof(*decision));
    if (decision == NULL) {
        return RC_DECIDED_FAILED;
    }
    *decision = (struct rc_decision){.clients = clients,
                                     .random = its->random,
                                     .client = client,
                                     .backend = rc_backend_mark(clients->config, backend),
                                     .kind = kind,
                                     .state = RC_DECIDED_LATER,
                                     .channel_bytes = (uint8_t)operation->channel.count};
    memcpy(decision->channel, operation->channel.bytes, operation->channel.count);
    if (decision_ask(clients, decision, backend, operation) < 0) {
        decision_free(decision);
        return decision_on_failure(clients, backend);
    }
    clients->decisions[client] = decision;
    its->flags |= RC_CLIENT_WAITS_ANSWER;
    return RC_DECIDED_LATER;
}

enum rc_decided rc_client_decide(struct rc_clients *clients, uint32_t client, const struct rc_operation *operation,
                                 struct rc_span *data)
{
    const enum rc_backend_call_kind kind =
        operation->type == RC_OPERATION_SUBSCRIBE ? RC_BACKEND_SUBSCRIBE : RC_BACKEND_PUBLISH;
    const int backend = clients->config->backend_count == 0 ? -1 : rc_backend_of_call(clients->config, kind);
    if (backend < 0) {
        return RC_DECIDED_BY_RULES;
    }
    const struct rc_decision *decision = clients->decisions == NULL ? NULL : clients->decisions[client];
    if (decision != NULL && decision->state == RC_DECIDED_LATER) {
        return RC_DECIDED_LATER;
    }
    if (decision == NULL || decision->kind != kind ||
        !rc_span_equal(rc_span_of(decision->channel, decision->channel_bytes), operation->channel)) {
        rc_client_decision_forget(clients, client);
        return decision_begin(clients, client, (uint32_t)backend, kind, operation);
    }
    if (decision->data != NULL) {
        *data = rc_span_of(decision->data, decision->data_bytes);
    }
    return decision->state;
}
