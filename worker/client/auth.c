/* auth: what a client says who it is, when it connects or later. See client.h. */
#include "worker/client/client.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"

void rc_client_judge(struct rc_clients *clients, uint32_t client, const struct rc_client_claim *claim,
                     struct rc_judgement *judgement)
{
    struct rc_client *its = rc_truth_client(clients->truth, client);
    static const struct rc_address nowhere;
    uint8_t user[RC_CLIENT_USER_JSON_MAX];
    const struct rc_identity_question question = {
        .moment = claim->moment,
        .row = claim->row,
        .connects = claim->connects,
        .asker = {.is_client = true, .index = client, .token = its->random},
        .known = rc_client_user(clients, client).count > 0,
        .auth = claim->auth,
        .request = rc_client_request_kept(clients, client),
        .user = rc_client_user_json(clients, client, user),
        .transport = rc_client_transport(its),
        .nsp = claim->nsp,
        .address = its->socket == RC_SOCKET_NONE ? nowhere : clients->truth->peers[its->socket],
    };
    rc_identities_judge(clients->identities, &question, judgement);
    if (judgement->verdict == RC_IDENTITY_IS_WAITS) {
        its->flags |= RC_CLIENT_WAITS_ANSWER;
        return;
    }
    rc_client_set_by_backend(clients, client, judgement->set);
    if (rc_client_bound(clients, client, judgement->bound_ms, judgement->row) < 0) {
        judgement->verdict = RC_IDENTITY_IS_REFUSED; /* rather than let it stay for ever */
        judgement->unavailable = true;
        judgement->refused = RC_SPAN("no memory");
    }
}

int rc_client_become(struct rc_clients *clients, uint32_t client, const struct rc_judgement *judgement)
{
    const struct rc_identity identity = {.user = judgement->user,
                                         .attributes = judgement->attributes,
                                         .expires_ms = judgement->expires_ms,
                                         .session = judgement->session,
                                         .token = judgement->token,
                                         .row = judgement->row};
    RC_ASSERT(judgement->verdict == RC_IDENTITY_IS_KNOWN);
    const int rc = rc_client_identify(clients, client, &identity);
    if (rc == 0) {
        rc_truth_client(clients->truth, client)->must_say = false;
    }
    return rc;
}

static void auth_refused(struct rc_clients *clients, uint32_t client, struct rc_span id, enum rc_code code,
                         struct rc_span message)
{
    const struct rc_event event = {.type = RC_EVENT_ERROR, .code = code, .id = id, .message = message};
    const uint64_t random = rc_truth_client(clients->truth, client)->random;
    if (rc_hub_reply_event(clients->hub, client, &event) < 0) {
        rc_client_failed_memory(clients, client);
    }
    if (rc_truth_named(clients->truth, client, random) != NULL && rc_truth_client(clients->truth, client)->must_say) {
        rc_client_send_away(clients, client, RC_CLOSE_UNAUTHORIZED, rc_close_reason(RC_CLOSE_UNAUTHORIZED));
    }
}

enum rc_carried rc_client_auth(struct rc_clients *clients, uint32_t client, const struct rc_operation *operation)
{
    struct rc_judgement judgement;
    const bool first = rc_truth_client(clients->truth, client)->must_say;
    const bool anonymous = rc_client_user(clients, client).count == 0;
    const bool renews = operation->type == RC_OPERATION_REFRESH;
    if (clients->config->identity_count == 0) {
        auth_refused(clients, client, operation->id, RC_CODE_NOT_ENABLED,
                     RC_SPAN("this server asks nobody who they are"));
        return RC_CARRIED_REFUSED;
    }
    if (renews && anonymous) {
        auth_refused(clients, client, operation->id, RC_CODE_UNAUTHORIZED,
                     RC_SPAN("you are nobody yet: say who you are with {\"type\":\"auth\",...}"));
        return RC_CARRIED_REFUSED;
    }
    const struct rc_client_claim claim = {.moment = RC_IDENTITY_ALL, .connects = first, .auth = operation->data};
    rc_client_judge(clients, client, &claim, &judgement);
    if (judgement.verdict == RC_IDENTITY_IS_WAITS) {
        return RC_CARRIED_LATER;
    }
    if (judgement.verdict != RC_IDENTITY_IS_KNOWN) {
        auth_refused(clients, client, operation->id, judgement.unavailable ? RC_CODE_UNAVAILABLE : RC_CODE_UNAUTHORIZED,
                     judgement.verdict == RC_IDENTITY_IS_REFUSED ? judgement.refused
                                                                 : RC_SPAN("there is no credential in it"));
        return RC_CARRIED_REFUSED;
    }
    const int rc = rc_client_become(clients, client, &judgement);
    if (rc == -EEXIST) {
        auth_refused(clients, client, operation->id, RC_CODE_CONFLICT,
                     RC_SPAN("you are another user on this connection"));
        return RC_CARRIED_REFUSED;
    }
    if (rc == -EDQUOT) {
        auth_refused(clients, client, operation->id, RC_CODE_LIMITED,
                     RC_SPAN("you have too many connections: close one"));
        return RC_CARRIED_REFUSED;
    }
    if (rc < 0) {
        rc_client_failed_memory(clients, client);
        return RC_CARRIED_REFUSED;
    }
    const struct rc_event event = {.type = renews ? RC_EVENT_REFRESHED : RC_EVENT_AUTHENTICATED,
                                   .id = operation->id,
                                   .from = rc_client_user(clients, client)};
    const uint64_t random = rc_truth_client(clients->truth, client)->random;
    if (rc_hub_reply_event(clients->hub, client, &event) < 0) {
        rc_client_failed_memory(clients, client);
    } else if (first) {
        rc_client_hears(clients, client, 0);
    } else if (anonymous) {
        rc_client_hears_user(clients, client);
    }
    if (rc_truth_named(clients->truth, client, random) != NULL) {
        rc_client_let_in(clients, client, judgement.backend, judgement.reply);
        rc_client_await_join(clients, client);
    }
    return RC_CARRIED_OUT;
}
