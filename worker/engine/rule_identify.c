/* rule_identify: see rule_identify.h. */
#include "worker/engine/rule_identify.h"

#include <errno.h>
#include <stdio.h>

#include "common/text/json_scan.h"
#include "worker/engine/asked.h"

static enum rc_rule_guarded identify_refuse(struct rc_rule_run *run, int code, const char *why)
{
    run->guard = RC_GUARD_IDENTIFY;
    rc_rule_state_fail(run, code, why);
    return RC_RULE_REFUSED;
}

/* The first argument, as it stands; empty: there is none. */
static struct rc_span identify_said(const struct rc_rule_run *run)
{
    struct rc_json_cursor cursor;
    struct rc_json_value value;
    return rc_json_array_begin(&cursor, run->its.json, 0) == 0 && rc_json_array_next(&cursor, &value) == 1
               ? value.raw
               : rc_span_of(NULL, 0);
}

/* The row's values are those of the user from here on. */
static void identify_known(struct rc_rule_run *run)
{
    const uint32_t document = rc_rule_document(RC_EVENT_SOURCE_USER);
    if (run->input.documents[document].count > 0 || rc_event_uses(run->row, RC_EVENT_SOURCE_USER)) {
        run->input.documents[document] = rc_client_user_json(run->clients, run->client, run->user);
        run->values.input.documents[document] = run->input.documents[document];
    }
    const uint32_t set = rc_rule_document(RC_EVENT_SOURCE_CLIENT); /* a backend may have said something of it */
    if (rc_event_uses(run->row, RC_EVENT_SOURCE_CLIENT) || run->row->set_count > 0) {
        run->input.documents[set] = rc_client_set(run->clients, run->client);
        run->values.input.documents[set] = run->input.documents[set];
    }
}

static enum rc_rule_guarded identify_become(struct rc_rule_run *run, const struct rc_judgement *judgement)
{
    struct rc_clients *clients = run->clients;
    const bool anonymous = rc_client_user(clients, run->client).count == 0;
    switch (rc_client_become(clients, run->client, judgement)) {
    case 0:
        break;
    case -EEXIST:
        return identify_refuse(run, RC_CODE_CONFLICT, "you are another user on this connection");
    case -EDQUOT:
        return identify_refuse(run, RC_CODE_LIMITED, "you have too many connections: close one");
    default:
        rc_client_failed_memory(clients, run->client);
        return identify_refuse(run, RC_CODE_UNAVAILABLE, "no memory");
    }
    if (anonymous) {
        rc_engine_join_user(run->engines, run->client);
    }
    identify_known(run);
    if (judgement->reply.count > 0) {
        rc_asked_connected(run->engines, run->client, judgement->backend, run->nsp, judgement->reply);
    }
    return RC_RULE_PASSES;
}

enum rc_rule_guarded rc_rule_identify(struct rc_rule_run *run)
{
    struct rc_judgement judgement;
    if (run->row->identify_at == 0 || run->client == 0) {
        return RC_RULE_PASSES;
    }
    const struct rc_client_claim claim = {
        .moment = RC_IDENTITY_ROW, .row = run->row->identify_at - 1, .nsp = run->nsp, .auth = identify_said(run)};
    rc_client_judge(run->clients, run->client, &claim, &judgement);
    switch (judgement.verdict) {
    case RC_IDENTITY_IS_WAITS:
        return RC_RULE_WAITS;
    case RC_IDENTITY_IS_KNOWN:
        return identify_become(run, &judgement);
    case RC_IDENTITY_IS_NOBODY:
    case RC_IDENTITY_IS_MISSING:
        return identify_refuse(run, RC_CODE_UNAUTHORIZED, "there is no credential in it");
    case RC_IDENTITY_IS_REFUSED:
        break;
    }
    (void)snprintf(run->rate_text, sizeof(run->rate_text), "%.*s", (int)judgement.refused.count,
                   (const char *)judgement.refused.bytes);
    return identify_refuse(run, judgement.unavailable ? RC_CODE_UNAVAILABLE : RC_CODE_UNAUTHORIZED, run->rate_text);
}
