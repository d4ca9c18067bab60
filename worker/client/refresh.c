/*
 * refresh: a backend that told until when a client is who it is (`expire_at`) is asked before that time comes whether it still is: the
 * call `refresh`. See client.h.
 *
 *   due ─▶ ASKED ─▶ expire_at: from then on that counts · expired, 4xx: the client is closed · no answer: again in 5 s, until the end
 *
 * At most one call of a client is in flight. A late answer finds another client in the slot, or another call, and is nobody's. Private
 * memory: a successor of the worker asks anew.
 */
#include "worker/client/client.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/backend/call.h"
#include "worker/store/named.h"

#define REFRESH_AGAIN_MS 5000u

struct rc_refresh {
    struct rc_clients *clients;
    uint64_t random; /* of the client */
    uint32_t client;
    uint32_t backend; /* rc_backend_mark */
    char id[RC_BACKEND_ID_MAX];
};

static struct rc_user *refresh_user(const struct rc_clients *clients, uint32_t client)
{
    const uint32_t user = rc_truth_client(clients->truth, client)->user;
    return user == 0 ? NULL : rc_truth_user(clients->truth, user);
}

/* --- the answer ------------------------------------------------------------------------------------------------------ */

static void refresh_end(struct rc_clients *clients, uint32_t client, const char *why)
{
    rc_metric_add(clients->metrics, RC_METRIC_IDENTITY_EXPIRED, 1);
    rc_named_log_client("identity_expired", clients->truth, client, why, "");
    rc_client_send_away(clients, client, RC_CLOSE_UNAUTHORIZED, rc_close_reason(RC_CLOSE_UNAUTHORIZED));
}

/* It goes on until then, as the backend says of it. */
static void refresh_renew(struct rc_clients *clients, uint32_t client, const struct rc_backend_connect_reply *reply)
{
    uint64_t *end;
    uint8_t scratch[RC_IDENTITY_USER_MAX];
    const struct rc_span id = reply->user.count == 0 ? rc_client_user(clients, client)
                                                     : rc_reply_text(&reply->user_id, scratch, sizeof(scratch));
    if (!rc_span_equal(id, rc_client_user(clients, client)) || reply->user.count > RC_IDENTITY_ATTRIBUTES_MAX) {
        refresh_end(clients, client, "the backend names another user, or one of more than 4 KiB");
        return;
    }
    if (rc_client_refreshed_by(clients, client, &end) < 0) {
        return; /* a reload, or another credential: its end is not this backend's any more */
    }
    *end = reply->expire_at_s * 1000u;
    if (rc_client_renew(clients, client, reply->user) < 0) {
        rc_client_failed_memory(clients, client);
        return;
    }
    rc_metric_add(clients->metrics, RC_METRIC_IDENTITY_REFRESHED, 1);
    rc_client_set_by_backend(clients, client, reply->client);
}

static void on_refreshed(void *context, uint64_t token, const struct rc_backend_answer *answer)
{
    struct rc_clients *clients = context;
    struct rc_refresh *refresh = (struct rc_refresh *)(uintptr_t)token;
    struct rc_backend_connect_reply reply;
    const uint32_t client = refresh->client;
    const struct rc_client *its = rc_truth_named(clients->truth, client, refresh->random);
    const bool wanted = clients->refreshes[client] == refresh;
    if (wanted) {
        clients->refreshes[client] = NULL;
    }
    if (!wanted || its == NULL || its->state != RC_CLIENT_OPEN || its->user == 0) {
        free(refresh);
        return;
    }
    rc_backend_refresh_reply_read(&reply, answer);
    if (reply.refused) {
        rc_backend_reply_refused(clients->backends, rc_backend_marked(clients->config, refresh->backend),
                                 RC_BACKEND_REFRESH, refresh->id, reply.why);
    }
    free(refresh);
    if (reply.verdict == RC_BACKEND_DENIED || (reply.verdict == RC_BACKEND_ACCEPTED && reply.expired)) {
        refresh_end(clients, client, "the backend does not renew its credential");
    } else if (reply.verdict == RC_BACKEND_ACCEPTED) {
        refresh_renew(clients, client, &reply);
    }
}

/* --- asking ---------------------------------------------------------------------------------------------------------- */

/* As whom: the socket in "/" of a Socket.IO client, else the client. */
static size_t refresh_sid(const struct rc_clients *clients, uint32_t client, char out[RC_CLIENT_ID_MAX],
                          struct rc_span *nsp)
{
    struct rc_client_ref ref = rc_client_ref(clients, client);
    char instance[RC_SID_INSTANCE_BYTES];
    *nsp = rc_span_of(NULL, 0);
    if (!rc_encoding_is_engine(rc_truth_client(clients->truth, client)->encoding) ||
        rc_truth_sid_token(clients->truth, client, RC_SPAN("/")) == 0) {
        return rc_client_id_write(out, clients->control->instance_id, clients->control->boot_nonce, &ref);
    }
    *nsp = RC_SPAN("/");
    ref.random = rc_truth_sid_token(clients->truth, client, *nsp);
    rc_sid_instance(instance, clients->control->instance_id);
    rc_sid_write(out, instance, &ref);
    return RC_SID_BYTES;
}

static void refresh_ask(struct rc_clients *clients, uint32_t client, uint32_t backend)
{
    char sid[RC_CLIENT_ID_MAX];
    uint8_t user[RC_CLIENT_USER_JSON_MAX];
    struct rc_backend_frame frame;
    if (clients->refreshes == NULL) {
        clients->refreshes = calloc((size_t)clients->truth->clients.count_max + 1, sizeof(*clients->refreshes));
    }
    if (clients->refreshes == NULL || clients->refreshes[client] != NULL) {
        return; /* in a while again */
    }
    struct rc_refresh *refresh = calloc(1, sizeof(*refresh));
    if (refresh == NULL) {
        rc_metric_add(clients->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        return;
    }
    *refresh = (struct rc_refresh){.clients = clients,
                                   .random = rc_truth_client(clients->truth, client)->random,
                                   .client = client,
                                   .backend = rc_backend_mark(clients->config, backend)};
    struct rc_backend_caller caller = {.user = rc_client_user_json(clients, client, user),
                                       .client = rc_client_set(clients, client)};
    const size_t sid_bytes = refresh_sid(clients, client, sid, &caller.nsp);
    caller.sid = rc_span_of(sid, sid_bytes);
    rc_backend_frame_begin(&frame, clients->backends, RC_BACKEND_REFRESH, &caller);
    memcpy(refresh->id, frame.request.id, sizeof(refresh->id));
    const struct rc_backend_waiter waiter = {
        .context = clients, .answered = on_refreshed, .token = (uint64_t)(uintptr_t)refresh};
    if (rc_backend_frame_call(&frame, clients->backends, backend, waiter) < 0) {
        free(refresh);
        return;
    }
    clients->refreshes[client] = refresh;
}

uint64_t rc_client_refresh(struct rc_clients *clients, uint32_t client)
{
    const struct rc_user *user = refresh_user(clients, client);
    const uint64_t now_ms = rc_clock_wall_ms();
    const uint64_t end_ms = rc_client_end_ms(user);
    uint64_t *told;
    const int backend = rc_client_refreshed_by(clients, client, &told);
    if (backend < 0) {
        return rc_client_expiry_due(clients, client);
    }
    if (*told > now_ms + RC_REFRESH_BEFORE_MS) {
        return rc_client_expiry_due(clients, client); /* the clock was set back, or that was as far as a wheel counts */
    }
    refresh_ask(clients, client, (uint32_t)backend);
    const uint64_t again_ms = now_ms + REFRESH_AGAIN_MS;
    return again_ms < end_ms ? again_ms : end_ms;
}

void rc_client_refreshes_close(struct rc_clients *clients)
{
    for (uint32_t i = 0; clients->refreshes != NULL && i <= clients->truth->clients.count_max; i++) {
        free(clients->refreshes[i]);
    }
    free(clients->refreshes);
    clients->refreshes = NULL;
}
