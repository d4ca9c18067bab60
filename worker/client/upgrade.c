/*
 * upgrade: a request becomes a WebSocket client.
 *
 *   judged (upgrade_judge) ──▶ struct upgrade: all that is needed from then on ──▶ 101 and client (upgrade_finish)
 *
 * The two are apart so that an answer of somebody else may be waited for in between (rc_exchange_wait): nothing of the request is
 * looked at afterwards. See client.h.
 */
#include "worker/client/client.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/records/channel_name.h"
#include "worker/http/deflate_offer.h"
#include "worker/http/origin.h"
#include "worker/http/upgrade.h"

/* What was agreed; no pointers into the request. */
struct upgrade {
    int endpoint; /* index of [[endpoint]], or RC_ENDPOINT_PATH */
    enum rc_codec_id codec;
    uint8_t server_window_bits;
    uint8_t client_window_bits;
    bool client_takeover;
    uint8_t user_bytes;
    char user[RC_CHANNEL_NAME_MAX - RC_USER_CHANNEL_HEAD_BYTES];
    uint32_t response_bytes;
    char response[1024];
};

static struct rc_sessions *sessions_of(const struct rc_exchange *exchange)
{
    return exchange->exchanges->ops.context;
}

int rc_session_endpoint(const struct rc_config *config, const char *path, enum rc_codec_id *codec)
{
    *codec = RC_CODEC_JSON;
    if (strcmp(path, config->server.path.text) == 0) {
        return RC_ENDPOINT_PATH;
    }
    if (config->debug.echo.text[0] != 0 && strcmp(path, config->debug.echo.text) == 0) {
        *codec = RC_CODEC_ECHO;
        return RC_ENDPOINT_PATH;
    }
    for (uint32_t i = 0; i < config->endpoint_count; i++) {
        const enum rc_endpoint_protocol protocol = config->endpoints[i].protocol;
        const bool raw = protocol == RC_ENDPOINT_RAW;
        if ((raw || protocol == RC_ENDPOINT_NATIVE) && strcmp(path, config->endpoints[i].path.text) == 0) {
            if (raw) {
                *codec = RC_CODEC_RAW;
            }
            return (int)i;
        }
    }
    return -1;
}

/* --- who it is ------------------------------------------------------------------------------------------------------- */

/* What every user's id must be, wherever it comes from: it is part of a channel's name and stands in JSON. Who is called something
 * else is nobody. */
static struct rc_span checked_user(const char *text, size_t bytes, const char *source)
{
    if (bytes > 0 && rc_channel_name_check(text, bytes, RC_CHANNEL_NAME_MAX - RC_USER_CHANNEL_HEAD_BYTES) < 0) {
        rc_log_limited(
            RC_LOG_WARN, 1, "user_refused",
            "source=\"%s\" effect=\"the client is anonymous\" reason=\"too long, control characters, or no UTF-8\"",
            source);
        return (struct rc_span){0};
    }
    return rc_span_of(text, bytes);
}

/* The user's id in auth.user_header, which anybody but a trusted proxy could write. Twice: none. */
static struct rc_span header_user(const struct rc_exchange *exchange)
{
    const char *name = exchange->exchanges->config->auth.user_header.text;
    uint32_t index = 0;
    const struct rc_http_view *value =
        name[0] != 0 && exchange->proxied ? rc_http_header_next(exchange->request, name, &index) : NULL;
    if (value == NULL) {
        return (struct rc_span){0};
    }
    if (rc_http_header_next(exchange->request, name, &index) != NULL) {
        rc_log_limited(RC_LOG_WARN, 1, "user_refused",
                       "source=\"%s\" effect=\"the client is anonymous\" reason=\"the header is there twice\"", name);
        return (struct rc_span){0};
    }
    return checked_user(value->text, value->bytes, name);
}

static struct rc_span find_user(const struct rc_exchange *exchange, char *text, size_t capacity)
{
    const struct rc_config *config = exchange->exchanges->config;
    const size_t name_bytes = rc_io_tls_identity(sessions_of(exchange)->io, exchange->connection, text, capacity);
    if (name_bytes > 0) {
        return checked_user(text, name_bytes, "client certificate"); /* a verified one */
    }
    const struct rc_span header = header_user(exchange);
    if (header.count > 0) {
        return header;
    }
    if (config->debug.user_query.text[0] == 0 || !exchange->local) {
        return (struct rc_span){0};
    }
    const int bytes = rc_http_query_find(exchange->request->query, config->debug.user_query.text, text, capacity);
    return checked_user(text, bytes > 0 ? (size_t)bytes : 0, "debug.user_query");
}

/* --- judging --------------------------------------------------------------------------------------------------------- */

/* May anybody become a client there now? False: answered. */
static bool admit_anybody(struct rc_exchange *exchange, const char *path, struct upgrade *out)
{
    struct rc_sessions *sessions = sessions_of(exchange);
    out->endpoint = rc_session_endpoint(sessions->config, path, &out->codec);
    if (out->endpoint < 0) {
        rc_exchange_error(
            exchange, (struct rc_exchange_answer){.status = 404, .message = "no WebSocket end point has this path"});
        return false;
    }
    if (sessions->draining) {
        rc_exchange_error(exchange, (struct rc_exchange_answer){.status = 503,
                                                                .retry_after_s = 1,
                                                                .message = "this server is going away: connect again"});
        return false;
    }
    if (rc_session_sheds(sessions, exchange->connection)) {
        /* Spread: who was refused together is not to come back together. */
        rc_exchange_error(
            exchange, (struct rc_exchange_answer){.status = 503,
                                                  .retry_after_s = 1u + (uint32_t)(rc_hub_random(sessions->hub) % 5),
                                                  .message = "this server is overloaded: try again"});
        return false;
    }
    return true;
}

static void agree_on_deflate(const struct rc_sessions *sessions, struct rc_http_upgrade *upgrade,
                             struct rc_deflate_agreement *agreement)
{
    const struct rc_config *config = sessions->config;
    const struct rc_deflate_policy policy = {.server_window_bits = (uint8_t)config->compression.server_window_bits,
                                             .client_window_bits = (uint8_t)config->compression.client_window_bits,
                                             .serves_256 = sessions->deflate_serves_256};
    *agreement = (struct rc_deflate_agreement){0};
    if (config->compression.enabled &&
        rc_deflate_offer_choose(upgrade->extensions, upgrade->extension_count, &policy, agreement)) {
        upgrade->extension_response = agreement->answer;
    }
}

/* The handshake itself: what was asked for and what of it there is. False: answered. */
static bool judge_handshake(struct rc_exchange *exchange, struct rc_http_upgrade *upgrade, struct upgrade *out)
{
    const struct rc_sessions *sessions = sessions_of(exchange);
    /* A subprotocol chooses among the codecs that have one; the others know none. */
    size_t subprotocol_count = 0;
    const char *const *subprotocols =
        rc_codec_of(out->codec)->subprotocol != NULL ? rc_codec_subprotocols(&subprotocol_count) : NULL;
    const struct rc_http_upgrade_policy policy = {.subprotocols = subprotocols, .subprotocol_count = subprotocol_count};
    const int rc = rc_http_upgrade_check(exchange->request, &policy, upgrade);
    if (rc < 0) {
        rc_exchange_error(exchange, (struct rc_exchange_answer){.status = (uint16_t)-rc,
                                                                .headers = upgrade->failure_headers,
                                                                .message = upgrade->why});
        return false;
    }
    if (upgrade->has_origin &&
        !rc_origin_allowed(&sessions->config->http.allowed_origins,
                           rc_span_of(upgrade->origin.text, upgrade->origin.bytes),
                           rc_span_of(exchange->request->host.text, exchange->request->host.bytes))) {
        rc_exchange_error(
            exchange, (struct rc_exchange_answer){.status = 403,
                                                  .message = "this origin is not allowed: see http.allowed_origins"});
        return false;
    }
    out->codec = rc_codec_chosen(upgrade->subprotocol, out->codec);
    return true;
}

/* From here on the connection is one client's: its address is the one behind the proxies. */
static void note_client(const struct rc_exchange *exchange)
{
    const struct rc_sessions *sessions = sessions_of(exchange);
    const struct rc_address peer = rc_session_peer(sessions, exchange->connection);
    if (!rc_address_equal(&peer, &exchange->client)) {
        rc_session_set_peer(sessions, exchange->connection, &exchange->client);
    }
    if (rc_log_enabled(RC_LOG_DEBUG)) {
        char text[RC_ADDRESS_TEXT_MAX];
        char peer_text[RC_ADDRESS_TEXT_MAX];
        rc_address_format(text, &exchange->client);
        rc_address_format(peer_text, &peer);
        rc_log_debug("client", "slot=%u address=%s peer=%s tls=%d", exchange->connection, text, peer_text,
                     rc_io_is_tls(sessions->io, exchange->connection) ? 1 : 0);
    }
}

/* False: it was answered. */
static bool upgrade_judge(struct rc_exchange *exchange, const char *path, struct upgrade *out)
{
    struct rc_sessions *sessions = sessions_of(exchange);
    struct rc_http_upgrade upgrade;
    struct rc_deflate_agreement agreement;
    char user_text[sizeof(out->user)];
    if (!admit_anybody(exchange, path, out) || !judge_handshake(exchange, &upgrade, out)) {
        return false;
    }
    agree_on_deflate(sessions, &upgrade, &agreement);
    note_client(exchange);
    if (!rc_session_admit(sessions, exchange->connection)) {
        exchange->keep_alive = false; /* a proxy's next request would be somebody else's */
        rc_exchange_error(exchange, (struct rc_exchange_answer){.status = 429,
                                                                .retry_after_s = 10,
                                                                .message = "too many connections from your address"});
        return false;
    }
    const struct rc_span user = find_user(exchange, user_text, sizeof(user_text));
    RC_ASSERT(user.count <= sizeof(out->user));
    out->user_bytes = (uint8_t)user.count;
    if (user.count > 0) {
        memcpy(out->user, user.bytes, user.count);
    }
    out->server_window_bits = agreement.server_window_bits;
    out->client_window_bits = agreement.client_window_bits;
    out->client_takeover = agreement.client_window_bits > 0 && !agreement.client_no_context_takeover;
    out->response_bytes = (uint32_t)rc_http_upgrade_response(&upgrade, out->response, sizeof(out->response));
    return true;
}

/* --- the client ------------------------------------------------------------------------------------------------------ */

static void upgrade_welcome(struct rc_sessions *sessions, uint32_t client)
{
    char id[RC_CLIENT_ID_MAX];
    const struct rc_client_ref ref = rc_session_ref(sessions, client);
    const struct rc_welcome text = {
        .client =
            rc_span_of(id, rc_client_id_write(id, sessions->control->instance_id, sessions->control->boot_nonce, &ref)),
        .instance = rc_span_text(sessions->control->instance_id),
        .user = rc_session_user(sessions, client),
        .ping_interval_ms = (uint32_t)sessions->config->limits.ping_interval_ms,
        .message_size_max = sessions->config->limits.max_message_size_bytes,
    };
    const struct rc_event event = {.type = RC_EVENT_WELCOME, .welcome = &text};
    if (rc_hub_reply_event(sessions->hub, client, &event) < 0) {
        rc_client_failed_memory(sessions, client);
    }
}

/* The handshake is answered when nothing that is published from then on can be missed: rc_session_joined. */
static void await_join(struct rc_sessions *sessions, const struct rc_client *client)
{
    if (client->flags & RC_CLIENT_WAITS_JOIN) {
        sessions->truth->sockets[client->socket].resume_ds =
            rc_io_deadline(sessions->io, sessions->config->limits.handshake_timeout_ms);
        rc_session_schedule(sessions, client->socket);
        rc_io_pause(sessions->io, client->socket);
    }
}

/* What the client hears from the start: everybody, its user's channel, and what its end point joins. */
static void upgrade_join(struct rc_sessions *sessions, uint32_t client, const struct upgrade *upgrade)
{
    const struct rc_codec *codec = rc_codec_of(upgrade->codec);
    const struct rc_span user = rc_session_user(sessions, client);
    if (codec->hears_everybody) {
        rc_session_join(sessions, client, RC_SPAN("*"));
    }
    if (codec->hears_user && user.count > 0) {
        char name[RC_CHANNEL_NAME_MAX + 1];
        const int bytes =
            snprintf(name, sizeof(name), RC_USER_CHANNEL_HEAD "%.*s", (int)user.count, (const char *)user.bytes);
        rc_session_join(sessions, client, rc_span_of(name, (size_t)bytes));
    }
    if (codec->hears_channels && upgrade->endpoint != RC_ENDPOINT_PATH) {
        const struct rc_config_endpoint *its = &sessions->config->endpoints[upgrade->endpoint];
        for (uint32_t i = 0; i < its->join_count; i++) {
            rc_session_join(sessions, client, rc_span_text(its->join[i]));
        }
    }
    rc_hub_opened(sessions->hub, client);
    await_join(sessions, rc_truth_client(sessions->truth, client));
}

/* Answers 101; the exchange is gone afterwards, and the connection a client's. */
static void upgrade_finish(struct rc_exchange *exchange, const struct upgrade *upgrade)
{
    struct rc_sessions *sessions = sessions_of(exchange);
    const uint32_t socket = exchange->connection;
    const bool later = rc_exchange_upgraded(exchange);
    uint32_t client = 0;
    if (upgrade->response_bytes > 0 &&
        rc_hub_answer(sessions->hub, socket, upgrade->response, upgrade->response_bytes) == 0) {
        client = rc_session_open(sessions, socket, (uint8_t)upgrade->endpoint,
                                 rc_encoding_of(upgrade->codec, RC_FRAMING_WEBSOCKET, upgrade->server_window_bits),
                                 rc_span_of(upgrade->user, upgrade->user_bytes));
    }
    if (client == 0) {
        rc_session_failed_memory(sessions, socket);
        return;
    }
    struct rc_socket *its = &sessions->truth->sockets[socket];
    its->inflate_bits = upgrade->client_window_bits;
    its->flags |= upgrade->client_takeover ? RC_SOCKET_TAKEOVER : 0;
    upgrade_welcome(sessions, client);
    upgrade_join(sessions, client, upgrade);
    if (later) {
        sessions->exchanges.ops.resume(sessions, socket); /* the WebSocket's first bytes may have come already */
    }
}

void rc_session_upgrade(void *context, struct rc_exchange *exchange, const char *path)
{
    struct upgrade upgrade;
    (void)context; /* the same as the exchange's owner */
    if (upgrade_judge(exchange, path, &upgrade)) {
        upgrade_finish(exchange, &upgrade);
    }
}
