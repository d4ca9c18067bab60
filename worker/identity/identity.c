/* identity: see identity.h. */
#include "worker/identity/identity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/config/backend.h"
#include "common/config/event_rules.h"
#include "common/config/identity.h"
#include "common/metrics/backend_health.h"
#include "common/records/channel_name.h"
#include "common/text/json_path.h"
#include "worker/identity/session_id.h"
#include "worker/gate/permission.h"
#include "worker/gate/rule_values.h"

/* The first table of sessions stands for them all: there is one Redis. NULL: there is none. */
static const struct rc_config_identity *first_session_row(const struct rc_config *config)
{
    for (uint32_t i = 0; i < config->identity_count; i++) {
        if (config->identities[i].kind == RC_IDENTITY_SESSION) {
            return &config->identities[i];
        }
    }
    return NULL;
}

static void configure_health(struct rc_identities *identities)
{
    const struct rc_config_identity *row = first_session_row(identities->config);
    char key[RC_QUERY_KEY_MAX];
    const int bytes = row == NULL ? 0 : rc_session_key(row, RC_SPAN("ringcast-health"), key);
    rc_sessions_probe_with(&identities->sessions, rc_span_of(key, bytes > 0 ? (size_t)bytes : 0));
    if (row == NULL) {
        rc_backend_health_retire(identities->control->own, RC_BACKEND_SESSIONS);
    } else {
        rc_backend_health_register(identities->control->own, RC_BACKEND_SESSIONS,
                                   row->name.text[0] == '\0' ? "sessions" : row->name.text);
    }
}

static void configure_keys(struct rc_identities *identities, uint32_t generation)
{
    bool revocation = false;
    configure_health(identities);
    rc_jwt_gate_configure(&identities->gate, generation);
    for (uint32_t i = 0; i < identities->config->identity_count; i++) {
        if (identities->config->identities[i].kind == RC_IDENTITY_JWT) {
            rc_jwt_gate_row(&identities->gate, i, &identities->config->identities[i].jwt);
            revocation |= identities->config->identities[i].jwt.revocation != RC_REVOCATION_OFF;
        }
    }
    rc_revocations_configure(&identities->revocations, identities->config->redis.prefix.text, revocation);
}

void rc_identities_open(struct rc_identities *identities, const struct rc_config *config, uint32_t generation,
                        struct rc_control *control, const struct rc_key_board *board, struct rc_metrics *metrics)
{
    *identities = (struct rc_identities){.sessions = identities->sessions,
                                         .revocations = identities->revocations,
                                         .callers = {.metrics = metrics,
                                                     .context = identities->sessions.ops.context,
                                                     .ready = identities->sessions.ops.ready}};
    identities->config = identities->callers.config = config;
    identities->control = control;
    identities->metrics = metrics;
    rc_jwt_gate_open(&identities->gate, board);
    configure_keys(identities, generation);
}

void rc_identities_close(struct rc_identities *identities)
{
    rc_jwt_gate_close(&identities->gate);
    rc_sessions_close(&identities->sessions);
    rc_revocations_close(&identities->revocations);
    rc_callers_close(&identities->callers);
    free(identities->reply);
    identities->reply = NULL;
}

void rc_identities_reconfigure(struct rc_identities *identities, const struct rc_config *config, uint32_t generation)
{
    identities->config = identities->callers.config = config;
    configure_keys(identities, generation);
}

bool rc_identities_any(const struct rc_config *config)
{
    return config->identity_count > 0 || rc_backend_of_call(config, RC_BACKEND_CONNECT) >= 0;
}

void rc_identities_heard(struct rc_identities *identities, bool answered)
{
    if (first_session_row(identities->config) != NULL) {
        rc_backend_health_note(identities->control->own, RC_BACKEND_SESSIONS, answered);
    }
}

void rc_identities_forget(struct rc_identities *identities, uint64_t token)
{
    rc_sessions_forget(&identities->sessions, token);
    rc_revocations_forget(&identities->revocations, token);
    rc_caller_forget(&identities->callers, token);
}

/* --- one judgement ------------------------------------------------------------------------------------------------ */

struct judge {
    struct rc_identities *identities;
    const struct rc_identity_question *question;
    const struct rc_config_identity *row;
    struct rc_judgement *judgement;
    struct rc_span documents[RC_EVENT_DOCUMENTS]; /* those of the request as they are asked for: judge_document */
    uint32_t found;                               /* of the request: RC_EVENT_SOURCE_BIT of those that were */
    struct rc_span credential;                    /* decoded */
    bool is_cookie;
};

/* What the client said there, its `request` being looked through for a part of it when somebody asks; empty: nothing. */
static struct rc_span judge_document(struct judge *judge, enum rc_event_source source)
{
    struct rc_span *document = &judge->documents[rc_rule_document(source)];
    if (source >= RC_EVENT_SOURCE_QUERY && source <= RC_EVENT_SOURCE_COOKIE &&
        (judge->found & RC_EVENT_SOURCE_BIT(source)) == 0) {
        *document = rc_credentials_part(judge->question->request, source);
        judge->found |= RC_EVENT_SOURCE_BIT(source);
    }
    return *document;
}

static void judge_refuse(struct judge *judge, const char *why)
{
    struct rc_judgement *const judgement = judge->judgement;
    static const char *const kinds[] = {[RC_IDENTITY_JWT] = "jwt",
                                        [RC_IDENTITY_SESSION] = "session",
                                        [RC_IDENTITY_BACKEND] = "backend",
                                        [RC_IDENTITY_PROXY] = "proxy",
                                        [RC_IDENTITY_CERTIFICATE] = "certificate"};
    char address[RC_ADDRESS_TEXT_MAX];
    judgement->verdict = RC_IDENTITY_IS_REFUSED;
    judgement->refused = judgement->unavailable ? RC_SPAN("Service unavailable")
                         : judge->row == NULL   ? RC_SPAN("Connection refused")
                                                : rc_span_text(judge->row->refused.text);
    if (!judgement->unavailable && judge->row != NULL) {
        judgement->data = rc_span_text(judge->row->refused_data.text);
    }
    (void)rc_address_format(address, &judge->question->address);
    rc_metric_add(judge->identities->metrics, RC_METRIC_IDENTITY_REFUSED, 1);
    rc_metric_add(judge->identities->metrics, RC_METRIC_IDENTITY_UNAVAILABLE, judgement->unavailable ? 1 : 0);
    rc_log_limited(RC_LOG_INFO, 10, "identity_refused", "address=%s kind=%s row=%u reason=\"%s\"", address,
                   judge->row == NULL ? "connect" : kinds[judge->row->kind], (unsigned)judge->judgement->row, why);
}

/* A template's JSON; empty: it cannot be worked out. */
static struct rc_span judge_evaluate(struct judge *judge, const struct rc_event_template *template, uint8_t *out,
                                     size_t room)
{
    const struct rc_config *config = judge->identities->config;
    const struct rc_event_piece *const pieces = rc_event_pieces(config, template);
    struct rc_rule_input input = {.address = judge->question->address};
    struct rc_rule_values values;
    struct rc_rule_args args;
    for (uint32_t i = 0; i < template->piece_count; i++) {
        if (pieces[i].type != RC_EVENT_PIECE_LITERAL && rc_event_source_is_document(pieces[i].source)) {
            (void)judge_document(judge, (enum rc_event_source)pieces[i].source);
        }
    }
    memcpy(input.documents, judge->documents, sizeof(input.documents));
    rc_rule_values_begin(&values, config, &input);
    return rc_rule_args(&values, template, out, room, &args) == 0 ? args.json : rc_span_of(NULL, 0);
}

/* What a JSON string, number or boolean reads as, in `out` or where it stands; empty: it is none of them. */
static struct rc_span scalar_text(const struct rc_json_value *value, uint8_t *out, size_t room)
{
    struct rc_span text;
    if (value->type == RC_JSON_STRING) {
        return rc_json_string_decode(value, out, room, &text) == 0 ? text : rc_span_of(NULL, 0);
    }
    return value->type == RC_JSON_NUMBER || value->type == RC_JSON_TRUE || value->type == RC_JSON_FALSE
               ? value->raw
               : rc_span_of(NULL, 0);
}

/* Do the pairs of `same` read alike? What is missing is like nothing. */
static bool judge_same(struct judge *judge)
{
    struct rc_identities *identities = judge->identities;
    uint8_t left[RC_IDENTITY_USER_MAX];
    uint8_t right[RC_IDENTITY_USER_MAX];
    struct rc_json_cursor cursor;
    struct rc_json_value value;
    if (judge->row->same.piece_count == 0) {
        return true;
    }
    const struct rc_span pairs =
        judge_evaluate(judge, &judge->row->same, identities->values, sizeof(identities->values));
    if (pairs.count == 0 || rc_json_array_begin(&cursor, pairs, 0) != 0) {
        return false;
    }
    while (rc_json_array_next(&cursor, &value) == 1) {
        const struct rc_span one = scalar_text(&value, left, sizeof(left));
        if (rc_json_array_next(&cursor, &value) != 1) {
            return false;
        }
        const struct rc_span other = scalar_text(&value, right, sizeof(right));
        if (one.count == 0 || !rc_span_equal(one, other)) {
            return false;
        }
    }
    return true;
}

/* The id: what `user` says, or the credential itself. */
static struct rc_span user_of(struct judge *judge)
{
    struct rc_identities *identities = judge->identities;
    struct rc_json_value value;
    if (judge->row->user.piece_count == 0) {
        return judge->credential;
    }
    const struct rc_span json =
        judge_evaluate(judge, &judge->row->user, identities->values, sizeof(identities->values));
    if (json.count == 0 || rc_json_scan(json, 0, &value, NULL) != 0) {
        return rc_span_of(NULL, 0);
    }
    return scalar_text(&value, identities->attributes, sizeof(identities->attributes)); /* they are made later */
}

/* {"id":"42","name":…}: `id` and what the template of attributes says. False: it is too large. */
static bool put_attributes(struct judge *judge)
{
    static const char head[] = "{\"id\":";
    struct rc_identities *identities = judge->identities;
    uint8_t *const out = identities->attributes;
    size_t used = sizeof(head) - 1;
    judge->judgement->attributes = rc_span_of(NULL, 0);
    if (judge->row == NULL || judge->row->attributes.piece_count == 0) {
        return true; /* the id alone: nothing has to be kept beside it */
    }
    memcpy(out, head, used);
    const size_t id = rc_json_string_encode(out + used, RC_IDENTITY_ATTRIBUTES_MAX - used, judge->judgement->user);
    const struct rc_span members =
        judge_evaluate(judge, &judge->row->attributes, identities->values, sizeof(identities->values));
    used += id;
    if (id == 0 || members.count < 2 || members.count > RC_IDENTITY_ATTRIBUTES_MAX - used) {
        return false;
    }
    const bool any = members.count > 2;
    out[used] = any ? ',' : '}';
    memcpy(out + used + 1, members.bytes + 1, any ? members.count - 1 : 0);
    judge->judgement->attributes = rc_span_of(out, used + (any ? members.count : 1));
    return true;
}

/* It is `user`, whom something has vouched for. */
static void accept_user(struct judge *judge, struct rc_span user)
{
    struct rc_identities *identities = judge->identities;
    const char *why = rc_permission_user(identities->config, user);
    if (why != NULL) {
        judge_refuse(judge, why);
        return;
    }
    memcpy(identities->user, user.bytes, user.count);
    judge->judgement->user = rc_span_of(identities->user, user.count);
    if (!put_attributes(judge)) {
        judge_refuse(judge, "attributes: more than 4 KiB, or a value that is no text");
        return;
    }
    judge->judgement->verdict = RC_IDENTITY_IS_KNOWN;
}

/* The token's name, as far as it has one. False: it cannot be looked for, and so it is refused. */
static bool token_name(struct judge *judge)
{
    struct rc_identities *identities = judge->identities;
    struct rc_identity_token *const name = &identities->token_name;
    const struct rc_json_value jti =
        rc_json_member(judge->documents[rc_rule_document(RC_EVENT_SOURCE_CLAIMS)], RC_SPAN("jti"));
    struct rc_span text = {0};
    name->revocable = true;
    name->issued_s = (uint64_t)identities->token.iat_s;
    if (jti.type != RC_JSON_NONE &&
        (jti.type != RC_JSON_STRING || rc_json_string_decode(&jti, name->id, sizeof(name->id), &text) != 0)) {
        judge_refuse(judge, "jti is no text, or longer than 255 bytes");
        return false;
    }
    name->id_bytes = (uint16_t)text.count;
    if (text.count > 0 && text.bytes != name->id) {
        memcpy(name->id, text.bytes, text.count);
    }
    return true;
}

/* Is the token not revoked, as far as Redis says? Else it is judged: refused, or it waits. */
static bool token_stands(struct judge *judge, struct rc_span user)
{
    struct rc_identities *identities = judge->identities;
    const struct rc_identity_token *name = &identities->token_name;
    if (user.count > RC_IDENTITY_USER_MAX) {
        return true; /* accept_user refuses it */
    }
    if (!token_name(judge)) {
        return false;
    }
    const struct rc_revocable token = {
        .id = rc_span_of(name->id, name->id_bytes), .user = user, .issued_s = name->issued_s};
    switch (rc_revocations_find(&identities->revocations, &token, &judge->question->asker)) {
    case RC_REVOCATION_WAITS:
        judge->judgement->verdict = RC_IDENTITY_IS_WAITS;
        return false;
    case RC_REVOCATION_REVOKED:
        rc_metric_add(identities->metrics, RC_METRIC_IDENTITY_REVOKED, 1);
        judge_refuse(judge, "the token is revoked");
        return false;
    case RC_REVOCATION_UNKNOWN:
        if (judge->row->jwt.revocation == RC_REVOCATION_STRICT) {
            judge->judgement->unavailable = true;
            judge_refuse(judge, "Redis does not say whether the token is revoked");
            return false;
        }
        break;
    case RC_REVOCATION_VALID:
        break;
    }
    judge->judgement->token = name;
    return true;
}

/* The credential is good: who is it? */
static void accept_row(struct judge *judge)
{
    if (!judge_same(judge)) {
        judge_refuse(judge, "same: values differ");
        return;
    }
    const struct rc_span user = user_of(judge);
    if (user.count == 0 || judge->row->kind != RC_IDENTITY_JWT || judge->row->jwt.revocation == RC_REVOCATION_OFF ||
        token_stands(judge, user)) {
        accept_user(judge, user);
    }
}

static void judge_jwt(struct judge *judge)
{
    struct rc_identities *identities = judge->identities;
    struct rc_jwt_result *const token = &identities->token;
    const uint32_t row = judge->judgement->row - 1u;
    const uint64_t now_ms =
        rc_clock_wall_ms(); /* time() is behind it by a tick: a token of this second would be of the next */
    const int rc = rc_jwt_gate_verify(&identities->gate, row, judge->credential, (int64_t)(now_ms / 1000u), token);
    if (token->kid_unknown) {
        atomic_fetch_add_explicit(&identities->control->own->process.keys_missed[row], 1, memory_order_relaxed);
    }
    if (rc != 0) {
        judge_refuse(judge, rc_jwt_refusal_text(token->refusal));
        return;
    }
    judge->documents[rc_rule_document(RC_EVENT_SOURCE_CLAIMS)] = rc_span_of(token->claims, token->claims_bytes);
    if (token->exp_s != RC_JWT_FOREVER) {
        /* One that is taken although it has just expired, since clocks differ, is not sent away at once. */
        const bool late = (uint64_t)token->exp_s * 1000u <= now_ms;
        judge->judgement->expires_ms = (uint64_t)token->exp_s * 1000u + (late ? judge->row->jwt.leeway_ms : 0);
    }
    accept_row(judge);
}

/* The key's value is a JSON object of who it is. */
static void judge_value(struct judge *judge, const struct rc_session_view *session)
{
    struct rc_json_value value;
    if (rc_json_scan(session->value, 0, &value, NULL) != 0 || value.type != RC_JSON_OBJECT) {
        judge_refuse(judge, "the session is no JSON object");
        return;
    }
    judge->documents[rc_rule_document(RC_EVENT_SOURCE_SESSION)] = value.raw;
    judge->judgement->expires_ms = session->expires_ms;
    judge->judgement->session = session->id;
    accept_row(judge);
}

static void judge_session(struct judge *judge)
{
    char key[RC_QUERY_KEY_MAX];
    struct rc_session_view session;
    struct rc_span id;
    const char *why;
    if (rc_session_id(judge->row, judge->credential, judge->is_cookie, &id, &why) < 0) {
        judge_refuse(judge, why);
        return;
    }
    const int bytes = rc_session_key(judge->row, id, key);
    if (bytes < 0) {
        judge_refuse(judge, "the session's key is too long");
        return;
    }
    rc_sessions_find(&judge->identities->sessions, rc_span_of(key, (size_t)bytes), &judge->question->asker, &session);
    switch (session.state) {
    case RC_SESSION_WAITS:
        judge->judgement->verdict = RC_IDENTITY_IS_WAITS;
        return;
    case RC_SESSION_THERE:
        judge_value(judge, &session);
        return;
    case RC_SESSION_MISSING:
        judge_refuse(judge, "there is no such session, or it has expired");
        return;
    case RC_SESSION_UNREADABLE:
        judge_refuse(judge, "the session is no string in Redis, or has more than 32 KiB");
        return;
    case RC_SESSION_UNAVAILABLE:
        judge->judgement->unavailable = true;
        judge_refuse(judge, "Redis does not answer, or too many wait for it");
        return;
    }
}

/* --- a backend is asked ----------------------------------------------------------------------------------------------- */

/* What of the request's headers the backend's `forward` lists, as lines and as a JSON object. */
struct forwarded {
    char lines[RC_CREDENTIALS_BYTES_MAX];
    size_t lines_bytes;
    uint8_t json[RC_CREDENTIALS_BYTES_MAX];
    size_t json_bytes;
};

static void forwarded_put(struct forwarded *forwarded, const char *name, const struct rc_json_value *value)
{
    uint8_t scratch[RC_JWT_TOKEN_BYTES_MAX];
    const struct rc_span text = scalar_text(value, scratch, sizeof(scratch));
    const size_t name_bytes = strlen(name);
    const size_t line = name_bytes + 2 + text.count + 2;
    const size_t member = 1 + name_bytes + 3 + value->raw.count;
    if (text.count == 0 || line > sizeof(forwarded->lines) - forwarded->lines_bytes ||
        member > sizeof(forwarded->json) - 1 - forwarded->json_bytes) {
        return;
    }
    char *to = forwarded->lines + forwarded->lines_bytes;
    memcpy(to, name, name_bytes);
    memcpy(to + name_bytes, ": ", 2);
    memcpy(to + name_bytes + 2, text.bytes, text.count);
    memcpy(to + line - 2, "\r\n", 2);
    forwarded->lines_bytes += line;
    uint8_t *json = forwarded->json + forwarded->json_bytes;
    json[0] = forwarded->json_bytes == 0 ? '{' : ',';
    json[1] = '"';
    memcpy(json + 2, name, name_bytes); /* RC_FORM_HEADER: nothing to be escaped */
    memcpy(json + 2 + name_bytes, "\":", 2);
    memcpy(json + 4 + name_bytes, value->raw.bytes, value->raw.count);
    forwarded->json_bytes += member;
}

static void forwarded_find(struct judge *judge, const struct rc_config_backend *backend, struct forwarded *forwarded)
{
    const struct rc_span headers = judge_document(judge, RC_EVENT_SOURCE_HEADER);
    forwarded->lines_bytes = 0;
    forwarded->json_bytes = 0;
    for (uint32_t i = 0; i < backend->forward_count; i++) {
        const struct rc_json_value value = rc_json_member_nocase(headers, rc_span_text(backend->forward[i].text));
        if (value.type == RC_JSON_STRING) {
            forwarded_put(forwarded, backend->forward[i].text, &value);
        }
    }
    if (forwarded->json_bytes > 0) {
        forwarded->json[forwarded->json_bytes++] = '}';
    }
}

/* Who it is, as far as that is known: a JSON object, or nothing. */
static struct rc_span judged_user(const struct judge *judge, uint8_t *scratch, size_t room)
{
    static const char head[] = "{\"id\":";
    const struct rc_judgement *judgement = judge->judgement;
    size_t bytes = sizeof(head) - 1;
    if (judgement->verdict != RC_IDENTITY_IS_KNOWN || judgement->attributes.count > 0) {
        return judgement->verdict == RC_IDENTITY_IS_KNOWN ? judgement->attributes : judge->question->user;
    }
    memcpy(scratch, head, bytes);
    bytes += rc_json_string_encode(scratch + bytes, room - bytes - 1, judgement->user);
    scratch[bytes++] = '}';
    return rc_span_of(scratch, bytes);
}

/* Everything that the backend is told of who it is makes the answer what it is: who says the same gets the same. Of who says nothing
 * that does not hold: each is asked about. */
static int backend_ask(struct judge *judge, uint32_t backend)
{
    static struct forwarded forwarded;
    char address[RC_ADDRESS_TEXT_MAX];
    uint8_t scratch[sizeof("{\"id\":}") + RC_JSON_STRING_BYTES_MAX(RC_IDENTITY_USER_MAX)];
    const struct rc_identity_question *question = judge->question;
    const struct rc_span user = judged_user(judge, scratch, sizeof(scratch));
    forwarded_find(judge, &judge->identities->config->backends[backend], &forwarded);
    const struct rc_span headers = rc_span_of(forwarded.json, forwarded.json_bytes);
    const struct rc_span query = judge_document(judge, RC_EVENT_SOURCE_QUERY);
    const struct rc_span credentials[] = {question->nsp, user, question->auth, query, headers};
    (void)rc_address_format(address, &question->address);
    const struct rc_backend_connect connect = {
        .caller = {.nsp = question->nsp, .user = user},
        .auth = question->auth,
        .query = query,
        .headers = headers,
        .forwarded = rc_span_of(forwarded.lines, forwarded.lines_bytes),
        .address = rc_span_text(address),
        .transport = question->transport,
        .credentials = credentials,
        .credential_count = judge->credential.count > 0 || user.count > 0 ? RC_ARRAY_COUNT(credentials) : 0,
    };
    return rc_caller_call(&judge->identities->callers, &question->asker, backend, &connect);
}

/* Nobody said anything that counts. */
static void backend_silent(struct judge *judge, uint32_t backend, const char *why)
{
    judge->judgement->reply = rc_span_of(NULL, 0);
    if (backend < RC_CONFIG_BACKENDS_MAX &&
        judge->identities->config->backends[backend].on_failure == RC_BACKEND_FAILURE_ALLOW) {
        rc_metric_add(judge->identities->metrics, RC_METRIC_IDENTITY_UNAVAILABLE, 1);
        return; /* as it is without it */
    }
    judge->judgement->unavailable = true;
    judge_refuse(judge, why);
}

static void backend_accepted(struct judge *judge, const struct rc_backend_connect_reply *answer)
{
    struct rc_identities *identities = judge->identities;
    struct rc_judgement *const judgement = judge->judgement;
    uint8_t scratch[RC_IDENTITY_USER_MAX];
    if (answer->expire_at_s > UINT64_MAX / 1000u || answer->user.count > RC_IDENTITY_ATTRIBUTES_MAX) {
        judge_refuse(judge,
                     answer->user.count > RC_IDENTITY_ATTRIBUTES_MAX ? "user: more than 4 KiB" : "expire_at: no time");
        return;
    }
    if (answer->user.count > 0) {
        accept_user(judge, rc_reply_text(&answer->user_id, scratch, sizeof(scratch)));
        judgement->attributes = answer->user;
    }
    const bool tells = answer->user.count > 0 && judge->row != NULL && judge->row->kind == RC_IDENTITY_BACKEND;
    *(tells ? &judgement->expires_ms : &judgement->bound_ms) = answer->expire_at_s * 1000u;
    judgement->set = answer->client;
    if (identities->callers.operations->count == 0) {
        judgement->reply = rc_span_of(NULL, 0);
    }
}

/* It was answered. */
static void backend_judged(struct judge *judge, struct rc_caller *caller)
{
    struct rc_identities *identities = judge->identities;
    struct rc_judgement *const judgement = judge->judgement;
    const struct rc_backend_connect_reply *answer = &identities->answer;
    const uint32_t backend = rc_backend_marked(identities->config, caller->backend);
    const int rc = rc_caller_read(&identities->callers, caller, &identities->answer);
    identities->reply = caller->body; /* until the next judgement */
    caller->body = NULL;
    judgement->reply = caller->answer.body;
    judgement->backend = backend;
    rc_caller_end(&identities->callers, caller);
    if (rc < 0 || answer->verdict == RC_BACKEND_NO_ANSWER) {
        backend_silent(judge, backend, rc < 0 ? "no memory" : answer->why);
        return;
    }
    if (answer->verdict == RC_BACKEND_ACCEPTED) {
        backend_accepted(judge, answer);
        return;
    }
    judge_refuse(judge, "the backend says no");
    if (answer->data.count > 0) {
        judgement->data = answer->data;
    }
    if (answer->message.count > 0) {
        judgement->refused = answer->message;
    }
}

static void judge_by_backend(struct judge *judge, int backend)
{
    struct rc_identities *identities = judge->identities;
    struct rc_caller *caller = rc_caller_find(&identities->callers, judge->question->asker.token);
    if (caller != NULL && caller->answered) {
        backend_judged(judge, caller);
        return;
    }
    RC_ASSERT(backend >= 0); /* rc_config_identity_finish */
    if (caller == NULL && backend_ask(judge, (uint32_t)backend) < 0) {
        backend_silent(judge, (uint32_t)backend, "the backend cannot be asked");
        return;
    }
    judge->judgement->verdict = RC_IDENTITY_IS_WAITS;
}

static void judge_backend(struct judge *judge)
{
    judge_by_backend(judge, rc_backend_find(judge->identities->config, rc_span_text(judge->row->backend.text)));
}

/* Who was somebody before the backend was asked is no other than that. */
static bool is_user(const struct rc_span json, struct rc_span id)
{
    uint8_t scratch[RC_IDENTITY_USER_MAX];
    const struct rc_json_value value = rc_json_member(json, RC_SPAN("id"));
    return rc_span_equal(scalar_text(&value, scratch, sizeof(scratch)), id);
}

/* A connection begins: the backend with the call "connect" has a say, whoever told who it is; but where it was it who did. */
static void judge_connect(struct judge *judge)
{
    const struct rc_config *config = judge->identities->config;
    struct rc_judgement *const judgement = judge->judgement;
    const int backend = rc_backend_of_call(config, RC_BACKEND_CONNECT);
    uint8_t before[sizeof("{\"id\":}") + RC_JSON_STRING_BYTES_MAX(RC_IDENTITY_USER_MAX)];
    uint8_t copy[RC_IDENTITY_ATTRIBUTES_MAX];
    judge->row = judgement->row == 0 ? NULL : &config->identities[judgement->row - 1];
    if (backend < 0 || (judge->row != NULL && judge->row->kind == RC_IDENTITY_BACKEND)) {
        return;
    }
    struct rc_span user = judged_user(judge, before, sizeof(before));
    if (user.count > sizeof(copy)) {
        user = rc_span_of(NULL, 0);
    }
    if (user.count > 0) { /* what it is in may be written anew */
        memcpy(copy, user.bytes, user.count);
        user.bytes = copy;
    }
    judge_by_backend(judge, backend);
    if (judgement->verdict == RC_IDENTITY_IS_KNOWN && user.count > 0 && !is_user(user, judgement->user)) {
        judge_refuse(judge, "the backend names another user");
    }
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

/* "Bearer x" is x (RFC 6750 2.1). */
static struct rc_span without_scheme(struct rc_span text)
{
    static const char scheme[] = "bearer ";
    const size_t bytes = sizeof(scheme) - 1;
    return text.count > bytes && strncasecmp((const char *)text.bytes, scheme, bytes) == 0
               ? rc_span_of(text.bytes + bytes, text.count - bytes)
               : text;
}

/* Names in requests may have dots, and those of headers are in any case. */
static struct rc_json_value find_value(struct judge *judge, enum rc_event_source source, struct rc_span name)
{
    const struct rc_span document = judge_document(judge, source);
    const struct rc_json_value whole = {.type = RC_JSON_OBJECT, .raw = document};
    return source == RC_EVENT_SOURCE_AUTH     ? rc_json_path(whole, name)
           : source == RC_EVENT_SOURCE_HEADER ? rc_json_member_nocase(document, name)
                                              : rc_json_member(document, name);
}

/* Of an event whose argument is the credential itself. */
static bool find_said(struct judge *judge)
{
    struct rc_json_value value;
    if (rc_json_scan(judge->question->auth, 0, &value, NULL) != 0 || value.type == RC_JSON_OBJECT ||
        value.type == RC_JSON_ARRAY || value.type == RC_JSON_NULL) {
        return false;
    }
    judge->credential = scalar_text(&value, judge->identities->credential, sizeof(judge->identities->credential));
    return true; /* empty: it is too long, and nobody's */
}

/* The table's credential, where the client has it: the first of `from`. An empty one, or null, is none. */
static bool find_credential(struct judge *judge)
{
    struct rc_identities *identities = judge->identities;
    const struct rc_identity_question *question = judge->question;
    if (judge->row->kind == RC_IDENTITY_CERTIFICATE) {
        const struct rc_json_value name = rc_credentials_certificate(question->request);
        judge->credential = scalar_text(&name, identities->credential, sizeof(identities->credential));
        return name.type == RC_JSON_STRING;
    }
    if (judge->row->kind == RC_IDENTITY_PROXY && !rc_credentials_proxied(question->request)) {
        return false; /* anybody could write such a header */
    }
    if (question->moment == RC_IDENTITY_ROW && find_said(judge)) {
        return true;
    }
    for (uint32_t i = 0; i < judge->row->from.count; i++) {
        struct rc_span name;
        const enum rc_event_source source = rc_config_credential(&judge->row->from.items[i], &name);
        const struct rc_json_value value = find_value(judge, source, name);
        if (value.type == RC_JSON_NONE || value.type == RC_JSON_NULL ||
            (value.type == RC_JSON_STRING && value.raw.count <= 2)) {
            continue;
        }
        judge->is_cookie = source == RC_EVENT_SOURCE_COOKIE;
        const struct rc_span text = scalar_text(&value, identities->credential, sizeof(identities->credential));
        judge->credential = source == RC_EVENT_SOURCE_HEADER ? without_scheme(text) : text;
        return true; /* empty now: it is no text, or too long, and nobody's */
    }
    return false;
}

static void judge_row(struct judge *judge)
{
    if (judge->credential.count == 0) {
        judge_refuse(judge, "the credential is no text, or longer than 8 KiB");
        return;
    }
    switch (judge->row->kind) {
    case RC_IDENTITY_JWT:
        judge_jwt(judge);
        return;
    case RC_IDENTITY_PROXY:
    case RC_IDENTITY_CERTIFICATE:
        accept_row(judge);
        return;
    case RC_IDENTITY_SESSION:
        judge_session(judge);
        return;
    case RC_IDENTITY_BACKEND:
        judge_backend(judge);
        return;
    }
}

static bool is_asked(const struct rc_identity_question *question, const struct rc_config_identity *row, uint32_t index)
{
    switch (question->moment) {
    case RC_IDENTITY_HANDSHAKE:
        return row->at == RC_IDENTITY_AT_HANDSHAKE;
    case RC_IDENTITY_CONNECT:
        return row->at == RC_IDENTITY_AT_CONNECT;
    case RC_IDENTITY_ALL:
        return true;
    case RC_IDENTITY_ROW:
        return index == question->row;
    case RC_IDENTITY_NO_ROW:
        return false;
    }
    return false;
}

/* The first table whose credential is there decides. */
static void judge_rows(struct judge *judge)
{
    const struct rc_identity_question *question = judge->question;
    struct rc_judgement *const judgement = judge->judgement;
    const struct rc_config *config = judge->identities->config;
    uint32_t required = 0; /* index of the first table that is, and 1 */
    bool later = false;    /* one of them may still get its credential */
    for (uint32_t i = 0; i < config->identity_count; i++) {
        judge->row = &config->identities[i];
        if (!is_asked(question, judge->row, i)) {
            continue;
        }
        judgement->row = (uint8_t)(i + 1);
        if (find_credential(judge)) {
            judge_row(judge);
            return;
        }
        later |= question->later && rc_config_identity_said_later(judge->row);
        required = required == 0 && judge->row->required ? i + 1 : required;
    }
    judgement->row = 0;
    if (question->known) {
        return;
    }
    if (required > 0 && later) {
        judgement->verdict = RC_IDENTITY_IS_MISSING;
    } else if (required > 0) {
        judge->row = &config->identities[required - 1];
        judgement->row = (uint8_t)required;
        judge_refuse(judge, "no credential");
    }
}

void rc_identities_judge(struct rc_identities *identities, const struct rc_identity_question *question,
                         struct rc_judgement *judgement)
{
    struct judge judge = {.identities = identities, .question = question, .judgement = judgement};
    *judgement = (struct rc_judgement){.verdict = RC_IDENTITY_IS_NOBODY};
    free(identities->reply);
    identities->reply = NULL;
    judge.documents[rc_rule_document(RC_EVENT_SOURCE_AUTH)] = question->auth;
    judge_rows(&judge);
    if (question->connects &&
        (judgement->verdict == RC_IDENTITY_IS_KNOWN || judgement->verdict == RC_IDENTITY_IS_NOBODY)) {
        judge_connect(&judge);
    }
    rc_metric_add(identities->metrics, RC_METRIC_IDENTITY_ACCEPTED, judgement->verdict == RC_IDENTITY_IS_KNOWN);
}
