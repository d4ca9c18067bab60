/* user: who a client is, and what is known of it. See client.h. */
#include "worker/client/client.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/config/identity.h"
#include "common/text/json_scan.h"
#include "worker/store/receiving.h"

static struct rc_user *user_of(const struct rc_clients *clients, uint32_t client)
{
    const uint32_t user = rc_truth_client(clients->truth, client)->user;
    return user == 0 ? NULL : rc_truth_user(clients->truth, user);
}

/* Makes it when there is none. NULL: no memory. */
static struct rc_user *user_need(struct rc_clients *clients, uint32_t index)
{
    struct rc_client *client = rc_truth_client(clients->truth, index);
    if (client->user == 0) {
        client->user = rc_pool_alloc(&clients->truth->users);
    }
    return user_of(clients, index);
}

static void user_count(struct rc_clients *clients, int more)
{
    clients->users = (uint32_t)((int64_t)clients->users + more);
    rc_metric_set(clients->metrics, RC_METRIC_USERS, clients->users);
}

/* A block with these bytes, which nobody names yet. It counts as what clients have sent, from whom it is. 0: no memory. */
static uint32_t block_make(const struct rc_clients *clients, const void *text, size_t count)
{
    struct rc_heap *heap = &clients->truth->heap;
    const uint32_t made =
        clients->hub->input_bytes + count > clients->config->limits.worker_log_bytes ? 0 : rc_heap_alloc(heap, count);
    if (made != 0) {
        memcpy(rc_heap_at(heap, made), text, count);
        clients->hub->input_bytes += rc_heap_block_bytes(heap, made);
    }
    return made;
}

static void block_exchange(struct rc_clients *clients, uint32_t *block, uint16_t *bytes, uint32_t made, uint16_t count)
{
    uint32_t old = *block;
    *bytes = 0; /* in between it has none: better than what two of them say together */
    RC_STORE_ORDER();
    *block = made;
    RC_STORE_ORDER();
    *bytes = count;
    RC_STORE_ORDER();
    rc_socket_input_free(clients, &old);
    rc_metric_set(clients->metrics, RC_METRIC_INPUT_BYTES, clients->hub->input_bytes);
}

/* A block with these bytes in place of the one there; `count` 0: none. -ENOMEM: unchanged. */
static int block_replace(struct rc_clients *clients, uint32_t *block, uint16_t *bytes, const void *text, size_t count)
{
    const uint32_t made = count == 0 ? 0 : block_make(clients, text, count);
    if (count > 0 && made == 0) {
        return -ENOMEM;
    }
    block_exchange(clients, block, bytes, made, (uint16_t)count);
    return 0;
}

/* --- the session that it is connected with --------------------------------------------------------------------------- */

static void session_unlink(struct rc_clients *clients, struct rc_user *user)
{
    if (user->session == 0) {
        return;
    }
    struct rc_sessions *sessions = &clients->identities->sessions;
    if (user->session_previous == 0) {
        rc_session_set_first(sessions, user->session, user->session_next);
    } else {
        user_of(clients, user->session_previous - 1)->session_next = user->session_next;
    }
    if (user->session_next != 0) {
        user_of(clients, user->session_next - 1)->session_previous = user->session_previous;
    }
    user->session = 0;
    user->session_next = 0;
    user->session_previous = 0;
}

/* -ENOMEM: it is in none. */
static int session_link(struct rc_clients *clients, uint32_t client, struct rc_user *user, uint32_t session)
{
    if (user->session == session) {
        return 0;
    }
    session_unlink(clients, user);
    if (session != 0) {
        struct rc_sessions *sessions = &clients->identities->sessions;
        const struct rc_span key = rc_session_key_of(sessions, session);
        if (block_replace(clients, &user->session_key, &user->session_key_bytes, key.bytes, key.count) < 0) {
            return -ENOMEM;
        }
        user->session = session;
        user->session_next = rc_session_first(sessions, session);
        if (user->session_next != 0) {
            user_of(clients, user->session_next - 1)->session_previous = client + 1;
        }
        rc_session_set_first(sessions, session, client + 1);
    }
    return 0;
}

void rc_client_session_left(struct rc_clients *clients, uint32_t client)
{
    session_unlink(clients, user_of(clients, client));
}

int rc_client_session_rebuild(struct rc_clients *clients, uint32_t client)
{
    const struct rc_user *user = user_of(clients, client);
    if (user == NULL || user->session == 0) {
        return 0;
    }
    struct rc_sessions *sessions = clients->identities == NULL ? NULL : &clients->identities->sessions;
    const struct rc_span key = rc_span_of(
        user->session_key == 0 ? NULL : rc_heap_at(&clients->truth->heap, user->session_key), user->session_key_bytes);
    const int rc = sessions == NULL ? -EBADMSG : rc_sessions_adopt(sessions, user->session, key, user->expires_ms);
    if (rc == 0 && user->session_previous == 0) {
        rc_session_set_first(sessions, user->session, client + 1);
    }
    return rc;
}

/* --- how long -------------------------------------------------------------------------------------------------------- */

int rc_client_expires(struct rc_clients *clients, uint32_t client, uint64_t at_ms)
{
    if (at_ms == 0) {
        if (clients->expiry.nodes != NULL) {
            rc_wheel_clear(&clients->expiry, client);
        }
        return 0;
    }
    if (clients->expiry.nodes == NULL &&
        rc_wheel_open(&clients->expiry, clients->truth->clients.count_max, clients->io->now_ds) < 0) {
        return -ENOMEM;
    }
    if (clients->expiry.pending == 0) {
        clients->wall_ahead_ms = rc_clock_wall_ms() - rc_clock_ms();
    }
    const uint64_t now_ms = rc_clock_wall_ms();
    rc_wheel_set(&clients->expiry, client, rc_io_deadline(clients->io, at_ms > now_ms ? at_ms - now_ms : 0));
    return 0;
}

uint64_t rc_client_end_ms(const struct rc_user *user)
{
    const bool bound = user->bound_ms > 0 && (user->expires_ms == 0 || user->bound_ms < user->expires_ms);
    return bound ? user->bound_ms : user->expires_ms;
}

/* The table that told, from 1. */
static void identity_told(const struct rc_clients *clients, struct rc_user *user, uint8_t row)
{
    user->identity = row;
    user->identity_mark = rc_config_identity_mark(clients->config, row);
}

/* The same table now, whatever a reload has put before it; NULL: none told, or it is there no more. */
static const struct rc_config_identity *identity_of(const struct rc_config *config, const struct rc_user *user)
{
    const uint32_t row =
        user->identity_mark == 0 || rc_config_identity_mark(config, user->identity) == user->identity_mark
            ? user->identity
            : rc_config_identity_marked(config, user->identity_mark);
    return row > 0 && row <= config->identity_count ? &config->identities[row - 1] : NULL;
}

int rc_client_bound(struct rc_clients *clients, uint32_t client, uint64_t at_ms, uint8_t row)
{
    struct rc_user *user = at_ms == 0 ? NULL : user_need(clients, client);
    if (user == NULL) {
        return at_ms == 0 ? 0 : -ENOMEM;
    }
    if (user->bound_ms == 0 || at_ms < user->bound_ms) {
        user->bound_ms = at_ms;
    }
    if (user->id_bytes == 0) {
        identity_told(clients, user, row);
    }
    return rc_client_expires(clients, client, rc_client_expiry_due(clients, client));
}

int rc_client_refreshed_by(const struct rc_clients *clients, uint32_t client, uint64_t **end)
{
    const struct rc_config *config = clients->config;
    struct rc_user *user = user_of(clients, client);
    const struct rc_config_identity *row = user == NULL ? NULL : identity_of(config, user);
    const bool told = row != NULL && row->kind == RC_IDENTITY_BACKEND;
    const int backend = told ? rc_backend_find(config, rc_span_text(row->backend.text))
                             : rc_backend_of_call(config, RC_BACKEND_CONNECT);
    if (user == NULL || backend < 0 || !rc_backend_calls(&config->backends[backend], RC_BACKEND_REFRESH)) {
        return -1;
    }
    *end = told && user->expires_ms > 0 ? &user->expires_ms : &user->bound_ms;
    return **end == 0 ? -1 : backend;
}

/* When its credential ends, or is to be renewed; 0 = never. */
static uint64_t credential_due(const struct rc_clients *clients, uint32_t client, uint64_t now_ms)
{
    const struct rc_user *user = user_of(clients, client);
    const uint64_t end_ms = user == NULL ? 0 : rc_client_end_ms(user);
    uint64_t *told;
    if (end_ms <= now_ms || rc_client_refreshed_by(clients, client, &told) < 0) {
        return end_ms;
    }
    const uint64_t half_ms = (*told - now_ms) / 2; /* it is no earlier than the end */
    const uint64_t ask_ms = *told - (half_ms < RC_REFRESH_BEFORE_MS ? half_ms : RC_REFRESH_BEFORE_MS);
    return ask_ms < end_ms ? ask_ms : end_ms;
}

/* When a client of the Pusher protocol must have shown that its app knows it; 0 = it has, or need not. */
static uint64_t authorize_due(const struct rc_clients *clients, uint32_t client, uint64_t now_ms)
{
    const bool pusher = rc_encoding_is_pusher(rc_truth_client(clients->truth, client)->encoding);
    const uint32_t at_ds = pusher ? rc_truth_pusher(clients->truth, client)->authorize_ds : 0;
    const int64_t left_ds = (int32_t)(at_ds - clients->io->now_ds);
    return at_ds == 0 ? 0 : left_ds > 0 ? now_ms + (uint64_t)left_ds * RC_WHEEL_TICK_MS : now_ms;
}

uint64_t rc_client_expiry_due(const struct rc_clients *clients, uint32_t client)
{
    const uint64_t now_ms = rc_clock_wall_ms();
    const uint64_t credential_ms = credential_due(clients, client, now_ms);
    const uint64_t authorize_ms = authorize_due(clients, client, now_ms);
    return credential_ms == 0 || (authorize_ms > 0 && authorize_ms < credential_ms) ? authorize_ms : credential_ms;
}

int rc_client_must_say_within(struct rc_clients *clients, uint32_t client)
{
    return rc_client_expires(clients, client, rc_clock_wall_ms() + clients->config->limits.handshake_timeout_ms);
}

int rc_client_must_say(struct rc_clients *clients, uint32_t client)
{
    rc_truth_client(clients->truth, client)->must_say = true;
    return rc_client_must_say_within(clients, client);
}

struct rc_client_ref rc_client_ref(const struct rc_clients *clients, uint32_t client)
{
    return rc_truth_ref(clients->truth, clients->worker, client);
}

struct rc_span rc_client_user(const struct rc_clients *clients, uint32_t client)
{
    const struct rc_user *user = user_of(clients, client);
    return user == NULL ? rc_span_of(NULL, 0) : rc_span_of(user->id, user->id_bytes);
}

struct rc_span rc_client_user_json(const struct rc_clients *clients, uint32_t client,
                                   uint8_t scratch[RC_CLIENT_USER_JSON_MAX])
{
    static const char head[] = "{\"id\":";
    const struct rc_user *user = user_of(clients, client);
    if (user == NULL || user->id_bytes == 0) {
        return (struct rc_span){0};
    }
    if (user->attributes != 0) {
        return rc_span_of(rc_heap_at(&clients->truth->heap, user->attributes), user->attributes_bytes);
    }
    size_t bytes = sizeof(head) - 1;
    memcpy(scratch, head, bytes);
    bytes += rc_json_string_encode(scratch + bytes, RC_CLIENT_USER_JSON_MAX - bytes - 1,
                                   rc_span_of(user->id, user->id_bytes));
    scratch[bytes++] = '}';
    return rc_span_of(scratch, bytes);
}

struct rc_span rc_client_set(const struct rc_clients *clients, uint32_t client)
{
    const struct rc_user *user = user_of(clients, client);
    return user == NULL || user->set == 0 ? rc_span_of(NULL, 0)
                                          : rc_span_of(rc_heap_at(&clients->truth->heap, user->set), user->set_bytes);
}

bool rc_clients_user_add(struct rc_clients *clients, struct rc_span user, bool *counted)
{
    const uint32_t max = clients->config->limits.max_connections_per_user;
    *counted = false;
    if (clients->limits == NULL || max == 0 || rc_limits_user_add(clients->limits, user, max, counted)) {
        return true;
    }
    rc_metric_add(clients->metrics, RC_METRIC_REFUSED_USER, 1);
    return false;
}

void rc_clients_user_remove(struct rc_clients *clients, struct rc_span user, bool counted)
{
    if (counted) {
        rc_limits_user_remove(clients->limits, user);
    }
}

void rc_clients_count_users(struct rc_clients *clients)
{
    if (clients->limits == NULL || clients->config->limits.max_connections_per_user == 0) {
        return;
    }
    for (uint32_t i = 1; i <= clients->hub->clients_high; i++) {
        struct rc_user *user = rc_truth_client(clients->truth, i)->random == 0 ? NULL : user_of(clients, i);
        if (user != NULL && user->id_bytes > 0 && !user->counted) { /* all that are there, also beyond the limit */
            (void)rc_limits_user_add(clients->limits, rc_span_of(user->id, user->id_bytes), 0, &user->counted);
        }
    }
}

int rc_client_set_user(struct rc_clients *clients, uint32_t client, struct rc_span id)
{
    struct rc_user *user = user_need(clients, client);
    if (user == NULL) {
        return -ENOMEM;
    }
    RC_ASSERT(user->id_bytes == 0 && id.count > 0 && id.count <= sizeof(user->id));
    memcpy(user->id, id.bytes, id.count);
    RC_STORE_ORDER();
    user->id_bytes = (uint8_t)id.count;
    RC_STORE_ORDER();
    user_count(clients, 1);
    return 0;
}

void rc_client_forget_user(struct rc_clients *clients, uint32_t client)
{
    struct rc_user *user = user_of(clients, client);
    if (user == NULL) {
        return;
    }
    (void)block_replace(clients, &user->attributes, &user->attributes_bytes, NULL, 0);
    (void)block_replace(clients, &user->set, &user->set_bytes, NULL, 0);
    (void)block_replace(clients, &user->token, &user->token_bytes, NULL, 0);
    (void)block_replace(clients, &user->request, &user->request_bytes, NULL, 0);
    (void)rc_client_expires(clients, client, 0);
    if (clients->refreshes != NULL) {
        clients->refreshes[client] = NULL; /* freed when it is answered */
    }
    session_unlink(clients, user);
    if (user->id_bytes > 0) {
        user_count(clients, -1);
        rc_clients_user_remove(clients, rc_span_of(user->id, user->id_bytes), user->counted);
    }
    (void)block_replace(clients, &user->session_key, &user->session_key_bytes, NULL, 0);
    rc_pool_give(&clients->truth->users, &rc_truth_client(clients->truth, client)->user);
}

struct rc_span rc_client_request_kept(const struct rc_clients *clients, uint32_t client)
{
    const struct rc_user *user = user_of(clients, client);
    return user == NULL || user->request == 0
               ? rc_span_of(NULL, 0)
               : rc_span_of(rc_heap_at(&clients->truth->heap, user->request), user->request_bytes);
}

struct rc_span rc_client_request(const struct rc_clients *clients, uint32_t client, enum rc_event_source source)
{
    return rc_credentials_part(rc_client_request_kept(clients, client), source);
}

int rc_client_keep_request(struct rc_clients *clients, uint32_t client, struct rc_span credentials)
{
    RC_ASSERT(credentials.count <= RC_CREDENTIALS_BYTES_MAX);
    if (credentials.count == 0) {
        return 0;
    }
    struct rc_user *user = user_need(clients, client);
    return user == NULL
               ? -ENOMEM
               : block_replace(clients, &user->request, &user->request_bytes, credentials.bytes, credentials.count);
}

int rc_clients_of_user(struct rc_clients *clients, struct rc_span user, struct rc_index_list *found)
{
    const struct rc_truth *truth = clients->truth;
    uint8_t name[RC_USER_CHANNEL_HEAD_BYTES + UINT8_MAX];
    if (user.count > UINT8_MAX) {
        return 0;
    }
    memcpy(name, RC_USER_CHANNEL_HEAD, RC_USER_CHANNEL_HEAD_BYTES);
    memcpy(name + RC_USER_CHANNEL_HEAD_BYTES, user.bytes, user.count);
    const struct rc_span channel_name = rc_span_of(name, RC_USER_CHANNEL_HEAD_BYTES + user.count);
    const uint32_t index =
        channel_name.count > RC_CHANNEL_NAME_MAX
            ? 0
            : rc_hub_find(clients->hub, rc_channel_hash((const char *)name, channel_name.count), channel_name);
    if (index == 0) {
        return 0;
    }
    const struct rc_channel *channel = rc_truth_channel(truth, index);
    for (uint32_t group = channel->groups; group != 0; group = rc_truth_group(truth, group)->next) {
        struct rc_members *members = &clients->hub->members[group];
        for (uint32_t i = 0; i < members->count; i++) {
            const uint32_t subscription = rc_members_items(members)[i];
            if (rc_index_list_push(found, rc_truth_subscription(truth, subscription)->client) < 0) {
                return -ENOMEM;
            }
        }
    }
    for (uint32_t i = channel->pending; i != 0; i = rc_truth_pending(truth, i)->next) {
        if (rc_index_list_push(found, rc_truth_pending(truth, i)->client) < 0) {
            return -ENOMEM;
        }
    }
    return 0;
}

/* --- what rows set --------------------------------------------------------------------------------------------------- */

int rc_client_set_merge(struct rc_clients *clients, uint32_t client, struct rc_span members)
{
    uint8_t text[RC_RULE_SET_MAX];
    size_t bytes = 0;
    const int rc = rc_rule_set_merged(rc_client_set(clients, client), members, text, &bytes);
    if (rc != 0 || bytes == 0) {
        return rc;
    }
    struct rc_user *user = user_need(clients, client);
    const uint32_t made = user == NULL ? 0 : block_make(clients, text, bytes);
    if (made == 0) {
        return -ENOMEM;
    }
    rc_receiving_sets(clients->truth, client, made, (uint16_t)bytes);
    block_exchange(clients, &user->set, &user->set_bytes, made, (uint16_t)bytes);
    rc_client_changed(clients, client);
    return 0;
}

void rc_client_set_by_backend(struct rc_clients *clients, uint32_t client, struct rc_span members)
{
    if (members.count > 0 && rc_client_set_merge(clients, client, members) < 0) {
        rc_log_limited(RC_LOG_WARN, 1, "backend_set_refused", "reason=\"more than %u members, or %u bytes\"",
                       RC_RULE_SET_MEMBERS_MAX, RC_RULE_SET_MAX);
    }
}

/* --- who it is ------------------------------------------------------------------------------------------------------- */

/* Tells the relay of a client in all its channels, before and after it becomes somebody. */
static void tell_members(struct rc_clients *clients, uint32_t client, bool joined)
{
    const struct rc_truth *truth = clients->truth;
    if (rc_encoding_is_pusher(rc_truth_client(truth, client)->encoding)) {
        return; /* who it is in a channel its authorisation for that says */
    }
    for (uint32_t i = rc_truth_client(truth, client)->subscriptions; i != 0;
         i = rc_truth_subscription(truth, i)->next) {
        const struct rc_group *group = rc_truth_group(truth, rc_truth_subscription(truth, i)->group);
        clients->hub->handlers.member_changed(clients->hub->handlers.context, client, group->channel, joined);
    }
}

/* -ENOMEM. */
static int keep_token(struct rc_clients *clients, struct rc_user *user, const struct rc_identity_token *token)
{
    uint8_t text[sizeof(token->issued_s) + sizeof(token->id)];
    if (token == NULL) {
        return block_replace(clients, &user->token, &user->token_bytes, NULL, 0);
    }
    memcpy(text, &token->issued_s, sizeof(token->issued_s));
    memcpy(text + sizeof(token->issued_s), token->id, token->id_bytes);
    return block_replace(clients, &user->token, &user->token_bytes, text, sizeof(token->issued_s) + token->id_bytes);
}

/* Does the table that told still ask? A reload may have switched that off, while others go on. */
static bool token_counts(const struct rc_config *config, const struct rc_user *user)
{
    const struct rc_config_identity *row = identity_of(config, user);
    return row != NULL && row->kind == RC_IDENTITY_JWT && row->jwt.revocation != RC_REVOCATION_OFF;
}

uint64_t rc_client_token(const struct rc_clients *clients, uint32_t client, struct rc_revocable *token)
{
    const struct rc_client *its = rc_truth_client(clients->truth, client);
    const struct rc_user *user = its->random == 0 || its->state != RC_CLIENT_OPEN ? NULL : user_of(clients, client);
    if (user == NULL || user->token == 0 || user->id_bytes == 0 || !token_counts(clients->config, user)) {
        return 0;
    }
    const uint8_t *text = rc_heap_at(&clients->truth->heap, user->token);
    memcpy(&token->issued_s, text, sizeof(token->issued_s));
    token->id = rc_span_of(text + sizeof(token->issued_s), user->token_bytes - sizeof(token->issued_s));
    token->user = rc_span_of(user->id, user->id_bytes);
    return its->random;
}

/* What a backend is being asked about the credential of before is not about the one that has just come. */
static void forget_refresh(struct rc_clients *clients, uint32_t client)
{
    uint64_t *end;
    if (clients->refreshes != NULL && rc_client_refreshed_by(clients, client, &end) >= 0 &&
        end == &user_of(clients, client)->expires_ms) {
        clients->refreshes[client] = NULL; /* freed when it is answered */
    }
}

/* What comes with who it is. -ENOMEM. */
static int keep_identity(struct rc_clients *clients, uint32_t client, struct rc_user *user,
                         const struct rc_identity *identity)
{
    RC_ASSERT(identity->user.count > 0 && identity->attributes.count <= RC_IDENTITY_ATTRIBUTES_MAX);
    forget_refresh(clients, client);
    if (block_replace(clients, &user->attributes, &user->attributes_bytes, identity->attributes.bytes,
                      identity->attributes.count) < 0 ||
        keep_token(clients, user, identity->token) < 0) {
        return -ENOMEM;
    }
    user->expires_ms = identity->expires_ms;
    identity_told(clients, user, identity->row);
    if (session_link(clients, client, user, identity->session) < 0) {
        return -ENOMEM;
    }
    return rc_client_expires(clients, client, rc_client_expiry_due(clients, client));
}

int rc_client_renew(struct rc_clients *clients, uint32_t client, struct rc_span attributes)
{
    struct rc_user *user = user_of(clients, client);
    if (attributes.count > 0 &&
        block_replace(clients, &user->attributes, &user->attributes_bytes, attributes.bytes, attributes.count) < 0) {
        return -ENOMEM;
    }
    return rc_client_expires(clients, client, rc_client_expiry_due(clients, client));
}

int rc_client_begin_as(struct rc_clients *clients, uint32_t client, const struct rc_identity *identity)
{
    int rc = rc_client_bound(clients, client, identity->bound_ms, identity->row);
    if (rc < 0 || identity->user.count == 0) {
        return rc;
    }
    rc = rc_client_set_user(clients, client, identity->user);
    if (rc == 0) {
        rc = keep_identity(clients, client, user_of(clients, client), identity);
    }
    if (rc == 0) {
        user_of(clients, client)->counted = identity->counted;
    }
    return rc;
}

bool rc_client_user_moves(const struct rc_clients *clients, uint32_t client, struct rc_client_user_state *state)
{
    const struct rc_user *user = user_of(clients, client);
    const struct rc_heap *heap = &clients->truth->heap;
    *state = (struct rc_client_user_state){0};
    if (user == NULL) {
        return true;
    }
    if (user->session != 0) {
        return false; /* its session is known by a table of this worker's */
    }
#define PART(name)                                                                  \
    if (user->name != 0) {                                                          \
        state->name = rc_span_of(rc_heap_at(heap, user->name), user->name##_bytes); \
    }
    PART(attributes)
    PART(set)
    PART(request)
    PART(token)
#undef PART
    state->there = true;
    state->id = rc_span_of(user->id, user->id_bytes);
    state->expires_ms = user->expires_ms;
    state->bound_ms = user->bound_ms;
    state->identity = user->identity;
    state->identity_mark = user->identity_mark;
    state->counted = user->counted;
    return true;
}

int rc_client_user_came(struct rc_clients *clients, uint32_t client, const struct rc_client_user_state *state)
{
    struct rc_user *user = state->there ? user_need(clients, client) : NULL;
    if (user == NULL) {
        return state->there ? -ENOMEM : 0;
    }
#define PART(name) block_replace(clients, &user->name, &user->name##_bytes, state->name.bytes, state->name.count) < 0
    if (PART(attributes) || PART(set) || PART(request) || PART(token)) {
        return -ENOMEM;
    }
#undef PART
    user->expires_ms = state->expires_ms;
    user->bound_ms = state->bound_ms;
    user->identity = state->identity;
    user->identity_mark = state->identity_mark;
    if (state->id.count > 0) {
        const int rc = rc_client_set_user(clients, client, state->id);
        if (rc < 0) {
            return rc;
        }
        if (state->counted && clients->limits != NULL) { /* each worker counts its own; who was let in stays */
            (void)rc_limits_user_add(clients->limits, state->id, 0, &user->counted);
        }
    }
    return rc_client_expires(clients, client, rc_client_expiry_due(clients, client));
}

int rc_client_identify(struct rc_clients *clients, uint32_t client, const struct rc_identity *identity)
{
    struct rc_user *user = user_need(clients, client);
    if (user == NULL) {
        return -ENOMEM;
    }
    if (user->id_bytes > 0 && !rc_span_equal(rc_span_of(user->id, user->id_bytes), identity->user)) {
        return -EEXIST;
    }
    bool counted = false;
    if (user->id_bytes == 0 && !rc_clients_user_add(clients, identity->user, &counted)) {
        return -EDQUOT;
    }
    const int rc = keep_identity(clients, client, user, identity);
    if (rc < 0 || user->id_bytes > 0) {
        rc_clients_user_remove(clients, identity->user, counted);
        return rc;
    }
    user->counted = counted;
    tell_members(clients, client, false);
    (void)rc_client_set_user(clients, client, identity->user); /* there is one */
    tell_members(clients, client, true);
    rc_client_changed(clients, client);
    return 0;
}
