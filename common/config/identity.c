/* identity: see identity.h. */
#include "common/config/identity.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/span.h"
#include "common/config/backend.h"
#include "common/config/event_rules.h"
#include "common/text/json_scan.h"

#define SAID                                                                                  \
    (RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_AUTH) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_QUERY) | \
     RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_HEADER) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_COOKIE))

/* By kind. `credential`: it is told by one, `from` says where. */
static const struct {
    const char *name;
    uint32_t sources;
    const char *user;
    bool credential;
} kinds[] = {
    [RC_IDENTITY_JWT] = {"jwt", SAID | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_CLAIMS), "{claims.sub}", true},
    [RC_IDENTITY_SESSION] = {"session", SAID | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_SESSION), "{session.userId}", true},
    [RC_IDENTITY_BACKEND] = {"backend", SAID, NULL, true},
    [RC_IDENTITY_PROXY] = {"proxy", SAID, NULL, true},
    [RC_IDENTITY_CERTIFICATE] = {"certificate", SAID, NULL, false},
};

uint32_t rc_config_identity_sources(enum rc_identity_kind kind)
{
    return kinds[kind].sources;
}

const char *rc_config_identity_user(enum rc_identity_kind kind)
{
    return kinds[kind].user;
}

enum rc_event_source rc_config_credential(const struct rc_config_text *from, struct rc_span *name)
{
    const char *const dot = strchr(from->text, '.');
    RC_ASSERT(dot != NULL); /* RC_FORM_CREDENTIAL */
    *name = rc_span_text(dot + 1);
    switch (from->text[0]) {
    case 'a':
        return RC_EVENT_SOURCE_AUTH;
    case 'q':
        return RC_EVENT_SOURCE_QUERY;
    case 'h':
        return RC_EVENT_SOURCE_HEADER;
    default:
        return RC_EVENT_SOURCE_COOKIE;
    }
}

bool rc_config_identity_any(const struct rc_config *config, enum rc_identity_kind kind)
{
    for (uint32_t i = 0; i < config->identity_count; i++) {
        if (config->identities[i].kind == kind) {
            return true;
        }
    }
    return false;
}

bool rc_config_identity_said_later(const struct rc_config_identity *identity)
{
    for (uint32_t i = 0; i < identity->from.count; i++) {
        struct rc_span name;
        if (rc_config_credential(&identity->from.items[i], &name) == RC_EVENT_SOURCE_AUTH) {
            return true;
        }
    }
    return false;
}

/* --- what is kept of requests ---------------------------------------------------------------------------------------- */

static bool name_is(const struct rc_handshake_name *name, enum rc_event_source source, struct rc_span text)
{
    return name->source == source && name->bytes == text.count &&
           (source == RC_EVENT_SOURCE_HEADER ? strncasecmp(name->text, (const char *)text.bytes, text.count)
                                             : memcmp(name->text, text.bytes, text.count)) == 0;
}

static int name_add(struct rc_config *config, enum rc_event_source source, struct rc_span text, struct rc_err *err)
{
    for (uint32_t i = 0; i < config->handshake_name_count; i++) {
        if (name_is(&config->handshake_names[i], source, text)) {
            return 0;
        }
    }
    if (config->handshake_name_count == RC_HANDSHAKE_NAMES_MAX) {
        return rc_err_set(err, -EINVAL, "[[identity]] and [[event]] name more than %d parts of a client's request",
                          RC_HANDSHAKE_NAMES_MAX);
    }
    struct rc_handshake_name *const name = &config->handshake_names[config->handshake_name_count++];
    RC_ASSERT(text.count < sizeof(name->text)); /* RC_FORM_CREDENTIAL, placeholder_known, backend_names */
    *name = (struct rc_handshake_name){.source = (uint8_t)source, .bytes = (uint8_t)text.count};
    memcpy(name->text, text.bytes, text.count);
    return 0;
}

static bool source_is_of_request(uint8_t source)
{
    return source == RC_EVENT_SOURCE_QUERY || source == RC_EVENT_SOURCE_HEADER || source == RC_EVENT_SOURCE_COOKIE;
}

static int piece_names(struct rc_config *config, const struct rc_event_piece *piece, struct rc_err *err)
{
    return piece->type != RC_EVENT_PIECE_LITERAL && source_is_of_request(piece->source)
               ? name_add(config, (enum rc_event_source)piece->source, rc_event_text(config, piece->at, piece->bytes),
                          err)
               : 0;
}

static int template_names(struct rc_config *config, const struct rc_event_template *template, struct rc_err *err)
{
    const struct rc_event_piece *const pieces = rc_event_pieces(config, template);
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < template->piece_count; i++) {
        rc = piece_names(config, &pieces[i], err);
    }
    return rc;
}

/* What a row looks at before it does anything. */
static int guard_names(struct rc_config *config, const struct rc_config_event *row, struct rc_err *err)
{
    const struct rc_event_condition *const match = rc_event_conditions(config, row->guards.match);
    const struct rc_event_question *const questions = rc_event_questions(config, row);
    int rc = template_names(config, &row->guards.inside, err);
    rc = rc == 0 ? template_names(config, &row->guards.ack, err) : rc;
    for (uint32_t i = 0; rc == 0 && i < row->guards.match_count; i++) {
        rc = piece_names(config, &match[i].value, err);
    }
    for (uint32_t i = 0; rc == 0 && i < row->question_count; i++) {
        rc = template_names(config, &questions[i].room, err);
    }
    return rc;
}

static int row_names(struct rc_config *config, const struct rc_config_event *row, struct rc_err *err)
{
    const struct rc_event_operation *const operations = rc_event_operations(config, row);
    int rc = guard_names(config, row, err);
    for (uint32_t i = 0; rc == 0 && i < row->operation_count; i++) {
        const struct rc_event_template *const rooms = rc_event_rooms(config, &operations[i]);
        rc = template_names(config, &operations[i].event, err);
        rc = rc == 0 ? template_names(config, &operations[i].args, err) : rc;
        for (uint32_t room = 0; rc == 0 && room < operations[i].room_count; room++) {
            rc = template_names(config, &rooms[room], err);
        }
        const struct rc_event_template *const excepts = rc_event_excepts(config, &operations[i]);
        for (uint32_t room = 0; rc == 0 && room < operations[i].except_count; room++) {
            rc = template_names(config, &excepts[room], err);
        }
    }
    return rc;
}

/* Headers that the backend is sent: clients may be asked about when their request is long over. */
static int backend_names(struct rc_config *config, const struct rc_config_backend *backend, struct rc_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < backend->forward_count; i++) {
        if (strlen(backend->forward[i].text) > RC_EVENT_STEP_MAX) {
            return rc_err_set(err, -EINVAL, "[[backend]] \"%s\": forward: \"%s\" is longer than %d characters",
                              backend->name.text, backend->forward[i].text, RC_EVENT_STEP_MAX);
        }
        rc = name_add(config, RC_EVENT_SOURCE_HEADER, rc_span_text(backend->forward[i].text), err);
    }
    return rc;
}

static int identity_names(struct rc_config *config, const struct rc_config_identity *identity, struct rc_err *err)
{
    int rc = template_names(config, &identity->user, err);
    rc = rc == 0 ? template_names(config, &identity->attributes, err) : rc;
    rc = rc == 0 ? template_names(config, &identity->same, err) : rc;
    for (uint32_t i = 0; rc == 0 && i < identity->from.count; i++) {
        struct rc_span name;
        const enum rc_event_source source = rc_config_credential(&identity->from.items[i], &name);
        rc = source_is_of_request((uint8_t)source) ? name_add(config, source, name, err) : 0;
    }
    if (rc == 0 && identity->kind == RC_IDENTITY_BACKEND) {
        rc = backend_names(config, &config->backends[rc_backend_find(config, rc_span_text(identity->backend.text))],
                           err);
    }
    return rc;
}

/* --- reload ---------------------------------------------------------------------------------------------------------- */

uint16_t rc_config_identity_mark(const struct rc_config *config, uint32_t row)
{
    uint64_t parts[1 + RC_CONFIG_LIST_MAX];
    uint32_t count = 0;
    if (row == 0 || row > config->identity_count) {
        return 0;
    }
    const struct rc_config_identity *const identity = &config->identities[row - 1];
    if (identity->name.text[0] != '\0') {
        parts[count++] = rc_hash_public(identity->name.text, strlen(identity->name.text));
    } else {
        parts[count++] = identity->kind;
        for (uint32_t i = 0; i < identity->from.count; i++) {
            const char *from = identity->from.items[i].text;
            parts[count++] = rc_hash_public(from, strlen(from));
        }
    }
    const uint16_t mark = (uint16_t)rc_hash_public(parts, count * sizeof(parts[0]));
    return mark == 0 ? 1 : mark;
}

uint32_t rc_config_identity_marked(const struct rc_config *config, uint16_t mark)
{
    for (uint32_t row = 1; mark != 0 && row <= config->identity_count; row++) {
        if (rc_config_identity_mark(config, row) == mark) {
            return row;
        }
    }
    return 0;
}

/* As it stands in the file: what compiles alike from other texts has the same meaning, but it was changed. */
static bool template_equal(const struct rc_config *a, const struct rc_event_template *one, const struct rc_config *b,
                           const struct rc_event_template *other)
{
    return (one->piece_count == 0) == (other->piece_count == 0) &&
           rc_span_equal(rc_event_text(a, one->source, one->source_bytes),
                         rc_event_text(b, other->source, other->source_bytes));
}

bool rc_config_identities_equal(const struct rc_config *a, const struct rc_config *b)
{
    bool equal = a->identity_count == b->identity_count;
    for (uint32_t i = 0; equal && i < a->identity_count; i++) {
        const struct rc_config_identity *const one = &a->identities[i];
        const struct rc_config_identity *const other = &b->identities[i];
        equal = template_equal(a, &one->user, b, &other->user) &&
                template_equal(a, &one->attributes, b, &other->attributes) &&
                template_equal(a, &one->same, b, &other->same);
    }
    return equal;
}

/* --- checks ---------------------------------------------------------------------------------------------------------- */

static bool jwt_has_keys(const struct rc_identity_jwt *jwt)
{
    return jwt->secret.text[0] != '\0' || jwt->secret_file.text[0] != '\0' || jwt->key_file.count > 0 ||
           jwt->jwks_file.text[0] != '\0' || jwt->jwks_url.text[0] != '\0';
}

/* Who begins is asked about once: by its table, or because of `calls`. */
static int backend_check(const struct rc_config *config, const struct rc_config_identity *identity, uint32_t number,
                         struct rc_err *err)
{
    const int backend = rc_backend_find(config, rc_span_text(identity->backend.text));
    const int connects = rc_backend_of_call(config, RC_BACKEND_CONNECT);
    if (backend < 0 || config->backends[backend].kind != RC_BACKEND_KIND_HTTP) {
        return rc_err_set(err, -EINVAL,
                          "[[identity]] %u: kind \"backend\" needs backend, the name of a [[backend]]; there is none "
                          "named \"%s\"",
                          number, identity->backend.text);
    }
    return connects < 0 || connects == backend
               ? 0
               : rc_err_set(
                     err, -EINVAL,
                     "[[identity]] %u asks \"%s\" who connects, and [[backend]] \"%s\" has the call \"connect\": "
                     "which of them decides?",
                     number, identity->backend.text, config->backends[connects].name.text);
}

static int kind_check(const struct rc_config *config, const struct rc_config_identity *identity, uint32_t number,
                      struct rc_err *err)
{
    switch (identity->kind) {
    case RC_IDENTITY_JWT:
        if (identity->jwt.revocation != RC_REVOCATION_OFF && config->redis.url.text[0] == '\0') {
            return rc_err_set(err, -EINVAL, "[[identity]] %u: revocation needs redis.url: what is revoked stands there",
                              number);
        }
        return jwt_has_keys(&identity->jwt) ? 0
                                            : rc_err_set(err, -EINVAL,
                                                         "[[identity]] %u: kind \"jwt\" needs keys: secret, "
                                                         "secret_file, key_file, jwks_file or jwks_url",
                                                         number);
    case RC_IDENTITY_SESSION:
        if (config->redis.url.text[0] == '\0') {
            return rc_err_set(err, -EINVAL, "[[identity]] %u: kind \"session\" needs redis.url: sessions are there",
                              number);
        }
        return strstr(identity->key.text, "{id}") != NULL
                   ? 0
                   : rc_err_set(err, -EINVAL, "[[identity]] %u: key needs {id}, the session's id", number);
    case RC_IDENTITY_BACKEND:
        return backend_check(config, identity, number, err);
    case RC_IDENTITY_PROXY:
        for (uint32_t i = 0; i < identity->from.count; i++) {
            struct rc_span name;
            if (rc_config_credential(&identity->from.items[i], &name) != RC_EVENT_SOURCE_HEADER) {
                return rc_err_set(err, -EINVAL,
                                  "[[identity]] %u: kind \"proxy\" is about headers, which proxies write: \"%s\" is "
                                  "the client's own",
                                  number, identity->from.items[i].text);
            }
        }
        return config->http.trusted_proxies.count > 0
                   ? 0
                   : rc_err_set(err, -EINVAL, "[[identity]] %u: kind \"proxy\" needs http.trusted_proxies", number);
    case RC_IDENTITY_CERTIFICATE:
        return config->tls.client_ca.text[0] != '\0'
                   ? 0
                   : rc_err_set(err, -EINVAL, "[[identity]] %u: kind \"certificate\" needs tls.client_ca", number);
    }
    return 0;
}

static int identity_check(const struct rc_config *config, uint32_t index, struct rc_err *err)
{
    const struct rc_config_identity *const identity = &config->identities[index];
    if (kinds[identity->kind].credential != (identity->from.count > 0)) {
        return kinds[identity->kind].credential
                   ? rc_err_set(err, -EINVAL, "[[identity]] %u: kind \"%s\" needs from, such as [\"auth.token\"]",
                                index + 1, kinds[identity->kind].name)
                   : rc_err_set(err, -EINVAL, "[[identity]] %u: kind \"%s\" has no from: leave it out", index + 1,
                                kinds[identity->kind].name);
    }
    if (identity->at == RC_IDENTITY_AT_HANDSHAKE && rc_config_identity_said_later(identity)) {
        return rc_err_set(err, -EINVAL,
                          "[[identity]] %u: at = \"handshake\" knows no auth.NAME: clients send it when they connect",
                          index + 1);
    }
    struct rc_json_value data;
    size_t at = 0;
    const struct rc_span text = rc_span_text(identity->refused_data.text);
    if (text.count > 0 && rc_json_scan(text, 0, &data, &at) < 0) {
        return rc_err_set(err, -EINVAL, "[[identity]] %u: refused_data is no JSON from character %zu on: %s", index + 1,
                          at + 1, identity->refused_data.text);
    }
    for (uint32_t i = 0; i < index && identity->name.text[0] != '\0'; i++) {
        if (strcmp(config->identities[i].name.text, identity->name.text) == 0) {
            return rc_err_set(err, -EINVAL, "there are two [[identity]] named \"%s\"", identity->name.text);
        }
    }
    return kind_check(config, identity, index + 1, err);
}

/* The [[identity]] that a row identifies by. */
static int row_identify(const struct rc_config *config, struct rc_config_event *row, struct rc_err *err)
{
    row->identify_at = 0;
    if (row->identify.text[0] == '\0') {
        return 0;
    }
    for (uint32_t i = 0; i < config->identity_count; i++) {
        if (strcmp(config->identities[i].name.text, row->identify.text) == 0) {
            row->identify_at = i + 1;
        }
    }
    if (row->identify_at == 0) {
        return rc_err_set(err, -EINVAL, "[[event]] \"%s\": identify: there is no [[identity]] named \"%s\"",
                          row->on.text, row->identify.text);
    }
    const struct rc_config_identity *const identity = &config->identities[row->identify_at - 1];
    if (!kinds[identity->kind].credential || identity->kind == RC_IDENTITY_PROXY ||
        !rc_config_identity_said_later(identity)) {
        return rc_err_set(
            err, -EINVAL,
            "[[event]] \"%s\": identify: \"%s\" has no credential that an event could bring: its from needs "
            "an entry such as \"auth.token\"",
            row->on.text, row->identify.text);
    }
    return row->from == RC_EVENT_FROM_CLIENT && !rc_event_life_cycle(row)
               ? 0
               : rc_err_set(err, -EINVAL, "[[event]] \"%s\": identify is for what clients say", row->on.text);
}

int rc_config_identity_finish(struct rc_config *config, struct rc_err *err)
{
    int rc = 0;
    config->handshake_name_count = 0;
    for (uint32_t i = 0; rc == 0 && i < config->identity_count; i++) {
        rc = identity_check(config, i, err);
        rc = rc == 0 ? identity_names(config, &config->identities[i], err) : rc;
    }
    for (uint32_t i = 0; rc == 0 && i < config->event_count; i++) {
        rc = row_names(config, &config->events[i], err);
        rc = rc == 0 ? row_identify(config, &config->events[i], err) : rc;
    }
    const int connects = rc_backend_of_call(config, RC_BACKEND_CONNECT);
    return rc == 0 && connects >= 0 ? backend_names(config, &config->backends[connects], err) : rc;
}
