/*
 * arrival: from a request to a client, whatever will carry it: may anybody come now, from there, as whom, and what it hears from the
 * start. See client.h.
 */
#include "worker/client/client.h"
#include "worker/gate/permission.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/config/identity.h"
#include "common/config/pusher.h"
#include "common/config/socketio.h"
#include "common/records/channel_name.h"
#include "worker/http/origin.h"
#include "worker/proto/pusher.h"

static struct rc_clients *clients_of(const struct rc_exchange *exchange)
{
    return exchange->exchanges->ops.context;
}

static const enum rc_codec_id codecs[] = {
    [RC_ENDPOINT_NATIVE] = RC_CODEC_JSON,       [RC_ENDPOINT_RAW] = RC_CODEC_RAW,
    [RC_ENDPOINT_ENGINEIO] = RC_CODEC_ENGINEIO, [RC_ENDPOINT_SOCKETIO] = RC_CODEC_SOCKETIO,
    [RC_ENDPOINT_SSE] = RC_CODEC_SSE,           [RC_ENDPOINT_PUSHER] = RC_CODEC_PUSHER,
};

/* What stands behind an end point's path and a slash: an app's key. No bytes: it is another path. */
static struct rc_span pusher_key(const struct rc_config_endpoint *endpoint, const char *path)
{
    const size_t head = strlen(endpoint->path.text);
    return strncmp(path, endpoint->path.text, head) == 0 && path[head] == '/' ? rc_span_text(path + head + 1)
                                                                              : (struct rc_span){0};
}

int rc_socket_endpoint(const struct rc_config *config, const char *path, enum rc_codec_id *codec)
{
    *codec = RC_CODEC_JSON;
    if (strcmp(path, config->server.path.text) == 0) {
        return RC_ENDPOINT_PATH;
    }
    if (config->debug.echo.text[0] != 0 && strcmp(path, config->debug.echo.text) == 0) {
        *codec = RC_CODEC_ECHO;
        return RC_ENDPOINT_PATH;
    }
    if (rc_config_engineio_path_is(config->socketio.path.text, path)) {
        *codec = config->socketio.link.text[0] == '\0' ? RC_CODEC_SOCKETIO : RC_CODEC_LINK;
        return RC_ENDPOINT_PATH;
    }
    if (rc_config_engineio_path_is(config->debug.engineio_echo.text, path)) {
        *codec = RC_CODEC_ENGINEIO;
        return RC_ENDPOINT_PATH;
    }
    if (config->sse.path.text[0] != 0 && strcmp(path, config->sse.path.text) == 0) {
        *codec = RC_CODEC_SSE;
        return RC_ENDPOINT_PATH;
    }
    for (uint32_t i = 0; i < config->endpoint_count; i++) {
        const struct rc_config_endpoint *endpoint = &config->endpoints[i];
        *codec = codecs[endpoint->protocol];
        if (*codec == RC_CODEC_PUSHER) {
            if (pusher_key(endpoint, path).bytes != NULL) {
                return (int)i;
            }
            continue;
        }
        if (rc_encoding_is_engine(rc_encoding_of(*codec, RC_FRAMING_WEBSOCKET, 0))
                ? rc_config_engineio_path_is(endpoint->path.text, path)
                : strcmp(path, endpoint->path.text) == 0) {
            return (int)i;
        }
    }
    if (config->socketio.link.text[0] != '\0' && rc_config_engineio_path_below(config->socketio.path.text, path)) {
        *codec = RC_CODEC_LINK; /* as the application's own server would have it */
        return RC_ENDPOINT_PATH;
    }
    return -1;
}

/* --- who it is ------------------------------------------------------------------------------------------------------- */

/* Who is called what no user may be called is nobody. */
static struct rc_span checked_user(const struct rc_config *config, const char *text, size_t bytes, const char *source)
{
    const char *why = bytes == 0 ? NULL : rc_permission_user(config, rc_span_of(text, bytes));
    if (why != NULL) {
        rc_log_limited(RC_LOG_WARN, 1, "user_refused", "source=\"%s\" effect=\"the client is anonymous\" reason=\"%s\"",
                       source, why);
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
    return checked_user(exchange->exchanges->config, value->text, value->bytes, name);
}

/* `certificate`: the name in its certificate, which counts by itself unless [[identity]] says when it does. */
static struct rc_span find_user(const struct rc_exchange *exchange, struct rc_span certificate, char *text,
                                size_t capacity)
{
    const struct rc_config *config = exchange->exchanges->config;
    if (certificate.count > 0 && !rc_config_identity_any(config, RC_IDENTITY_CERTIFICATE)) {
        return checked_user(config, (const char *)certificate.bytes, certificate.count, "client certificate");
    }
    const struct rc_span header = header_user(exchange);
    if (header.count > 0) {
        return header;
    }
    if (config->debug.user_query.text[0] == 0 || !exchange->local) {
        return (struct rc_span){0};
    }
    const int bytes = rc_http_query_find(exchange->request->query, config->debug.user_query.text, text, capacity);
    return checked_user(config, text, bytes > 0 ? (size_t)bytes : 0, "debug.user_query");
}

/* `since=last N`, the wish of who knows no protocol to say it in; whatever else stands there is the application's own. */
static uint32_t arrival_rewind(const struct rc_exchange *exchange)
{
    const struct rc_span head = RC_SPAN("last ");
    char text[16];
    uint64_t count = 0;
    const int bytes = rc_http_query_find(exchange->request->query, "since", text, sizeof(text));
    if (bytes <= (int)head.count || memcmp(text, head.bytes, head.count) != 0) {
        return 0;
    }
    for (int i = (int)head.count; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return 0;
        }
        count = count * 10 + (uint64_t)(text[i] - '0');
    }
    return count <= UINT32_MAX ? (uint32_t)count : 0;
}

/* --- may it come? ---------------------------------------------------------------------------------------------------- */

/* Who is not let in is told so as a client, and closed: pages cannot read an answer to an upgrade. */
static void arrival_app(const struct rc_exchange *exchange, const char *path, struct rc_arrival *arrival)
{
    const struct rc_config *config = clients_of(exchange)->config;
    char version[8];
    const int bytes = rc_http_query_find(exchange->request->query, "protocol", version, sizeof(version));
    arrival->pusher_app =
        (int16_t)rc_pusher_app_of_key(config, pusher_key(&config->endpoints[arrival->endpoint], path));
    bool digits = bytes > 0;
    for (int i = 0; i < bytes; i++) {
        digits &= version[i] >= '0' && version[i] <= '9';
    }
    arrival->pusher_code = bytes == -ENOENT || bytes == 0                       ? RC_PUSHER_NO_VERSION
                           : !digits                                            ? RC_PUSHER_BAD_VERSION
                           : bytes != 1 || version[0] < '5' || version[0] > '7' ? RC_PUSHER_UNSUPPORTED_VERSION
                           : arrival->pusher_app < 0                            ? RC_PUSHER_NO_APP
                                                                                : 0;
}

bool rc_arrival_begin(struct rc_exchange *exchange, const char *path, struct rc_arrival *arrival)
{
    struct rc_clients *clients = clients_of(exchange);
    arrival->rewind = arrival_rewind(exchange);
    arrival->endpoint = rc_socket_endpoint(clients->config, path, &arrival->codec);
    arrival->pusher_app = -1;
    arrival->pusher_code = 0;
    if (arrival->endpoint < 0) {
        rc_exchange_error(
            exchange, (struct rc_exchange_answer){.status = 404, .message = "no WebSocket end point has this path"});
        return false;
    }
    if (arrival->codec == RC_CODEC_PUSHER) {
        arrival_app(exchange, path, arrival);
    }
    if (clients->draining) {
        rc_exchange_error(exchange, (struct rc_exchange_answer){.status = 503,
                                                                .retry_after_s = 1,
                                                                .message = "this server is going away: connect again"});
        return false;
    }
    if (rc_socket_sheds(clients, exchange->connection)) {
        /* Spread: who was refused together is not to come back together. */
        rc_exchange_error(exchange,
                          (struct rc_exchange_answer){.status = 503,
                                                      .retry_after_s = 1u + (uint32_t)(rc_hub_random(clients->hub) % 5),
                                                      .message = "this server is overloaded: try again"});
        return false;
    }
    return true;
}

bool rc_arrival_from(struct rc_exchange *exchange, struct rc_span origin)
{
    if (rc_origin_allowed(&clients_of(exchange)->config->http.allowed_origins, origin,
                          rc_span_of(exchange->request->host.text, exchange->request->host.bytes))) {
        return true;
    }
    rc_exchange_error(exchange, (struct rc_exchange_answer){
                                    .status = 403, .message = "this origin is not allowed: see http.allowed_origins"});
    return false;
}

/* From here on the connection is one client's: its address is the one behind the proxies. */
static void note_client(const struct rc_exchange *exchange)
{
    const struct rc_clients *clients = clients_of(exchange);
    const struct rc_address peer = rc_socket_peer(clients, exchange->connection);
    if (!rc_address_equal(&peer, &exchange->client)) {
        rc_socket_set_peer(clients, exchange->connection, &exchange->client);
    }
    if (rc_log_enabled(RC_LOG_DEBUG)) {
        char text[RC_ADDRESS_TEXT_MAX];
        char peer_text[RC_ADDRESS_TEXT_MAX];
        rc_address_format(text, &exchange->client);
        rc_address_format(peer_text, &peer);
        rc_log_debug("client", "slot=%u address=%s peer=%s tls=%d", exchange->connection, text, peer_text,
                     rc_socket_is_secure(clients, exchange->connection) ? 1 : 0);
    }
}

/* Can clients of this kind say who they are later, or have they their connect? */
static enum rc_identity_moment moment_of(enum rc_codec_id codec)
{
    return codec == RC_CODEC_SOCKETIO || rc_codec_is_link(codec) ? RC_IDENTITY_HANDSHAKE : RC_IDENTITY_ALL;
}

bool rc_arrival_take_request(struct rc_exchange *exchange, struct rc_arrival *arrival)
{
    char text[sizeof(arrival->user)];
    char name[sizeof(arrival->user)];
    struct rc_clients *clients = clients_of(exchange);
    const struct rc_credentials_known known = {
        .proxied = exchange->proxied,
        .certificate = rc_span_of(name, rc_io_tls_identity(clients->io, exchange->connection, name, sizeof(name)))};
    const struct rc_span user = find_user(exchange, known.certificate, text, sizeof(text));
    RC_ASSERT(user.count <= sizeof(arrival->user));
    arrival->token = rc_clients_random(clients);
    arrival->must_say = false;
    arrival->counted = false;
    arrival->row = 0;
    arrival->expires_ms = 0;
    arrival->bound_ms = 0;
    arrival->session = 0;
    arrival->identity_token.revocable = false;
    arrival->reply = rc_span_of(NULL, 0);
    arrival->set_bytes = 0;
    arrival->websocket = rc_http_header_has_token(exchange->request, "upgrade", "websocket");
    arrival->attributes_bytes = 0;
    arrival->user_bytes = (uint8_t)user.count;
    if (user.count > 0) {
        memcpy(arrival->user, user.bytes, user.count);
    }
    const int bytes =
        rc_credentials_of(clients->config, exchange->request, &known, arrival->request, sizeof(arrival->request));
    if (bytes < 0) {
        rc_exchange_error(exchange, (struct rc_exchange_answer){
                                        .status = 431, .message = "the headers that say who you are are too large"});
        return false;
    }
    arrival->request_bytes = (uint32_t)bytes;
    return true;
}

/* What a backend wants to be known of the connection, whoever it is. */
static void arrival_set(struct rc_arrival *arrival, const struct rc_judgement *judgement)
{
    if (judgement->set.count > sizeof(arrival->set)) {
        rc_log_limited(RC_LOG_WARN, 1, "backend_set_refused", "reason=\"more than %zu bytes\"", sizeof(arrival->set));
        return;
    }
    arrival->set_bytes = (uint16_t)judgement->set.count;
    if (judgement->set.count > 0) {
        memcpy(arrival->set, judgement->set.bytes, judgement->set.count);
    }
}

static void arrival_known(struct rc_arrival *arrival, const struct rc_judgement *judgement)
{
    arrival->user_bytes = (uint8_t)judgement->user.count;
    memcpy(arrival->user, judgement->user.bytes, judgement->user.count);
    arrival->attributes_bytes = (uint32_t)judgement->attributes.count;
    if (judgement->attributes.count > 0) {
        memcpy(arrival->attributes, judgement->attributes.bytes, judgement->attributes.count);
    }
    arrival->expires_ms = judgement->expires_ms;
    arrival->session = judgement->session;
    if (judgement->token != NULL) {
        arrival->identity_token = *judgement->token;
    }
}

/* As JSON, if it is somebody already. */
static struct rc_span arrival_user(const struct rc_arrival *arrival, uint8_t *out)
{
    static const char head[] = "{\"id\":";
    size_t bytes = sizeof(head) - 1;
    if (arrival->user_bytes == 0) {
        return rc_span_of(NULL, 0);
    }
    memcpy(out, head, bytes);
    bytes += rc_json_string_encode(out + bytes, RC_JSON_STRING_BYTES_MAX(RC_IDENTITY_USER_MAX),
                                   rc_span_of(arrival->user, arrival->user_bytes));
    out[bytes++] = '}';
    return rc_span_of(out, bytes);
}

static enum rc_arrived arrival_judge(struct rc_exchange *exchange, struct rc_arrival *arrival)
{
    struct rc_clients *clients = clients_of(exchange);
    char refused[RC_BACKEND_MESSAGE_MAX + 1];
    uint8_t user[sizeof("{\"id\":}") + RC_JSON_STRING_BYTES_MAX(RC_IDENTITY_USER_MAX)];
    struct rc_judgement judgement;
    const enum rc_identity_moment moment = moment_of(arrival->codec);
    if (!rc_identities_any(clients->config)) {
        return RC_ARRIVED;
    }
    const struct rc_identity_question question = {
        /* A proxy that is trusted, or a certificate, may have said it. */
        .moment = arrival->user_bytes > 0 ? RC_IDENTITY_NO_ROW : moment,
        .connects = moment != RC_IDENTITY_HANDSHAKE, /* of the others their namespaces do */
        .known = arrival->user_bytes > 0,
        .user = arrival_user(arrival, user),
        .asker = {.index = exchange->connection, .token = arrival->token},
        .later = arrival->codec == RC_CODEC_JSON || arrival->codec == RC_CODEC_BINARY,
        .request = rc_span_of(arrival->request, arrival->request_bytes),
        .transport = rc_encoding_is_stream(rc_encoding_of(arrival->codec, RC_FRAMING_STREAM, 0)) ? "sse"
                     : arrival->websocket                                                        ? "websocket"
                                                                                                 : "polling",
        .address = exchange->client,
    };
    rc_identities_judge(clients->identities, &question, &judgement);
    arrival_set(arrival, &judgement);
    arrival->reply = judgement.reply;
    arrival->backend = judgement.backend;
    arrival->bound_ms = judgement.bound_ms;
    arrival->row = judgement.row;
    switch (judgement.verdict) {
    case RC_IDENTITY_IS_WAITS:
        return RC_ARRIVED_LATER;
    case RC_IDENTITY_IS_REFUSED:
        (void)snprintf(refused, sizeof(refused), "%.*s", (int)judgement.refused.count,
                       (const char *)judgement.refused.bytes);
        rc_exchange_error(exchange, (struct rc_exchange_answer){.status = judgement.unavailable ? 503 : 401,
                                                                .retry_after_s = judgement.unavailable ? 1 : 0,
                                                                .message = refused});
        return RC_ARRIVED_NOT;
    case RC_IDENTITY_IS_MISSING:
        arrival->must_say = true;
        return RC_ARRIVED;
    case RC_IDENTITY_IS_KNOWN:
        arrival_known(arrival, &judgement);
        return RC_ARRIVED;
    case RC_IDENTITY_IS_NOBODY:
        return RC_ARRIVED;
    }
    return RC_ARRIVED;
}

enum rc_arrived rc_arrival_identify(struct rc_exchange *exchange, struct rc_arrival *arrival)
{
    const enum rc_arrived arrived = arrival_judge(exchange, arrival);
    if (arrived != RC_ARRIVED || arrival->user_bytes == 0 ||
        rc_clients_user_add(clients_of(exchange), rc_span_of(arrival->user, arrival->user_bytes), &arrival->counted)) {
        return arrived;
    }
    rc_exchange_error(exchange, (struct rc_exchange_answer){.status = 429,
                                                            .retry_after_s = 10,
                                                            .message = "you have too many connections: close one"});
    return RC_ARRIVED_NOT;
}

/* --- while somebody is asked who it is ------------------------------------------------------------------------------- */

#define WAIT_MS 15000u
#define HEAD_BYTES offsetof(struct rc_arrival, user) /* of an arrival before its texts */

struct arrival_kept {
    const struct rc_arrival_waiter *waiter;
    uint64_t token;
    size_t own_bytes;
    _Alignas(max_align_t) uint8_t bytes[]; /* the carrier's own, the arrival's head, what of its request is kept */
};

static void arrival_restore(const struct arrival_kept *kept, struct rc_arrival *arrival)
{
    const uint8_t *head = kept->bytes + kept->own_bytes;
    memcpy(arrival, head, HEAD_BYTES);
    memcpy(arrival->request, head + HEAD_BYTES, arrival->request_bytes);
}

static void arrival_go_on(struct rc_exchange *exchange)
{
    struct arrival_kept *kept = exchange->context;
    struct rc_arrival arrival;
    arrival_restore(kept, &arrival);
    if (rc_arrival_identify(exchange, &arrival) == RC_ARRIVED) {
        exchange->user = NULL; /* its end is the client's beginning */
        exchange->context = NULL;
        exchange->again = false;
        kept->waiter->arrived(exchange, &arrival, kept->bytes);
        free(kept);
    }
}

static void arrival_gone(struct rc_exchange *exchange, uint64_t token, const struct rc_arrival_waiter *waiter,
                         const void *own)
{
    rc_identities_forget(clients_of(exchange)->identities, token);
    if (waiter->gone != NULL) {
        waiter->gone(exchange, own);
    }
}

static void arrival_ended(struct rc_exchange *exchange, uint16_t status)
{
    struct arrival_kept *kept = exchange->context;
    (void)status;
    arrival_gone(exchange, kept->token, kept->waiter, kept->bytes);
    free(kept);
}

void rc_arrival_wait(struct rc_exchange *exchange, const struct rc_arrival *arrival,
                     const struct rc_arrival_waiter *waiter, const void *own, size_t own_bytes)
{
    static const struct rc_exchange_user user = {
        .half_closed_is_gone = true, .room = arrival_go_on, .ended = arrival_ended};
    struct arrival_kept *kept = malloc(sizeof(*kept) + own_bytes + HEAD_BYTES + arrival->request_bytes);
    RC_ASSERT(arrival->user_bytes == 0 && arrival->attributes_bytes == 0 && arrival->set_bytes == 0);
    if (kept == NULL || rc_exchange_wait(exchange, WAIT_MS) < 0) {
        free(kept);
        arrival_gone(exchange, arrival->token, waiter, own);
        rc_exchange_error(exchange, (struct rc_exchange_answer){
                                        .status = 503, .retry_after_s = 1, .message = "too many requests wait"});
        return;
    }
    *kept = (struct arrival_kept){.waiter = waiter, .token = arrival->token, .own_bytes = own_bytes};
    memcpy(kept->bytes, own, own_bytes);
    memcpy(kept->bytes + own_bytes, arrival, HEAD_BYTES);
    memcpy(kept->bytes + own_bytes + HEAD_BYTES, arrival->request, arrival->request_bytes);
    exchange->user = &user;
    exchange->context = kept;
    exchange->again = true; /* it is asked once more who it is */
}

/* --- as whom it comes ------------------------------------------------------------------------------------------------ */

const struct rc_identity *rc_arrival_identity(const struct rc_arrival *arrival, struct rc_identity *identity)
{
    *identity = (struct rc_identity){.user = rc_span_of(arrival->user, arrival->user_bytes),
                                     .attributes = rc_span_of(arrival->attributes, arrival->attributes_bytes),
                                     .expires_ms = arrival->expires_ms,
                                     .bound_ms = arrival->bound_ms,
                                     .session = arrival->session,
                                     .token = arrival->identity_token.revocable ? &arrival->identity_token : NULL,
                                     .row = arrival->row,
                                     .counted = arrival->counted};
    return arrival->user_bytes == 0 && arrival->bound_ms == 0 ? NULL : identity;
}

/* An earlier request of the connection was counted, maybe for another client behind a proxy, and refused for something else. */
static void admit_anew(struct rc_clients *clients, uint32_t connection)
{
    struct rc_socket *socket = &clients->truth->sockets[connection];
    if (socket->flags & RC_SOCKET_COUNTED) {
        rc_address_limit_remove(&clients->addresses, &clients->truth->peers[connection]);
        socket->flags &= (uint16_t)~RC_SOCKET_COUNTED;
    }
}

bool rc_arrival_admit(struct rc_exchange *exchange, bool counted)
{
    admit_anew(clients_of(exchange), exchange->connection);
    note_client(exchange);
    if (!counted && !rc_socket_admit(clients_of(exchange), exchange->connection)) {
        exchange->keep_alive = false; /* a proxy's next request would be somebody else's */
        rc_exchange_error(exchange, (struct rc_exchange_answer){.status = 429,
                                                                .retry_after_s = 10,
                                                                .message = "too many connections from your address"});
        return false;
    }
    return true;
}

/* --- what it is told and hears --------------------------------------------------------------------------------------- */

static void arrival_welcome(struct rc_clients *clients, uint32_t client)
{
    char id[RC_CLIENT_ID_MAX];
    const struct rc_client_ref ref = rc_client_ref(clients, client);
    const struct rc_welcome text = {
        .client =
            rc_span_of(id, rc_client_id_write(id, clients->control->instance_id, clients->control->boot_nonce, &ref)),
        .instance = rc_span_text(clients->control->instance_id),
        .user = rc_client_user(clients, client),
        .ping_interval_ms = (uint32_t)clients->config->limits.ping_interval_ms,
        .message_size_max = clients->config->limits.max_message_size_bytes,
    };
    const struct rc_event event = {.type = RC_EVENT_WELCOME, .welcome = &text};
    if (rc_hub_reply_event(clients->hub, client, &event) < 0) {
        rc_client_failed_memory(clients, client);
    }
}

void rc_client_join(struct rc_clients *clients, uint32_t client, struct rc_span name)
{
    if (rc_span_equal(name, RC_SPAN("*"))) {
        rc_hub_everybody_join(clients->hub, client);
        return;
    }
    switch (rc_hub_subscribe_name(clients->hub, client, name, RC_SUBSCRIBER_SERVER, (struct rc_span){0}, 0)) {
    case RC_SUBSCRIBED:
    case RC_SUBSCRIBE_WAITS:
        return;
    case RC_SUBSCRIBE_LIMITED:
    case RC_SUBSCRIBE_NO_ROOM:
        rc_hub_break(clients->hub, client); /* it would never hear what it relies on, without a word */
        return;
    }
}

void rc_client_await_join(struct rc_clients *clients, uint32_t index)
{
    const struct rc_client *client = rc_truth_client(clients->truth, index);
    if ((client->flags & RC_CLIENT_WAITS_JOIN) && client->socket != RC_SOCKET_NONE) {
        clients->truth->sockets[client->socket].resume_ds =
            rc_io_deadline(clients->io, clients->config->limits.handshake_timeout_ms);
        rc_socket_schedule(clients, client->socket);
        rc_io_pause(clients->io, client->socket);
    }
}

void rc_client_hears_user(struct rc_clients *clients, uint32_t client)
{
    const struct rc_span user = rc_client_user(clients, client);
    const struct rc_codec *codec = rc_codec_of(rc_encoding_codec(rc_truth_client(clients->truth, client)->encoding));
    if (codec->hears_user && user.count > 0) {
        char name[RC_CHANNEL_NAME_MAX + 1];
        const int bytes =
            snprintf(name, sizeof(name), RC_USER_CHANNEL_HEAD "%.*s", (int)user.count, (const char *)user.bytes);
        rc_client_join(clients, client, rc_span_of(name, (size_t)bytes));
    }
}

/* What an end point joins comes with its newest messages for who asks so, and may read them; nobody is told that he may not. */
static void arrival_join(struct rc_clients *clients, uint32_t client, struct rc_span name, uint32_t rewind)
{
    const struct rc_config_namespace *policy =
        rc_config_namespace_of(clients->config, (const char *)name.bytes, name.count);
    const struct rc_hub_from from = {.last = rewind};
    if (rewind == 0 || rc_span_equal(name, RC_SPAN("*")) || policy->history == 0 ||
        !rc_permission_allows(policy->history_who, rc_client_user(clients, client), name, true)) {
        rc_client_join(clients, client, name);
        return;
    }
    const enum rc_subscribed rc =
        rc_hub_subscribe_from(clients->hub, client, name, RC_SUBSCRIBER_SERVER, (struct rc_span){0}, 0, &from);
    if (rc != RC_SUBSCRIBED && rc != RC_SUBSCRIBE_WAITS) {
        rc_hub_break(clients->hub, client); /* as rc_client_join */
    }
}

void rc_client_hears(struct rc_clients *clients, uint32_t client, uint32_t rewind)
{
    const struct rc_client *its = rc_truth_client(clients->truth, client);
    const struct rc_codec *codec = rc_codec_of(rc_encoding_codec(its->encoding));
    const uint8_t endpoint = its->endpoint;
    if (codec->hears_everybody) {
        rc_client_join(clients, client, RC_SPAN("*"));
    }
    rc_client_hears_user(clients, client);
    if (codec->hears_channels && endpoint != RC_ENDPOINT_PATH) {
        const struct rc_config_endpoint *on = &clients->config->endpoints[endpoint];
        for (uint32_t i = 0; i < on->join_count; i++) {
            arrival_join(clients, client, rc_span_text(on->join[i]), rewind);
        }
    }
}

void rc_arrival_greet(struct rc_clients *clients, uint32_t client, const struct rc_arrival *arrival)
{
    if (arrival->codec == RC_CODEC_PUSHER) {
        clients->pusher.begin(clients->pusher.context, client, arrival->pusher_app, arrival->pusher_code);
    } else {
        arrival_welcome(clients, client);
    }
    rc_client_set_by_backend(clients, client, rc_span_of(arrival->set, arrival->set_bytes));
    if (rc_client_keep_request(clients, client, rc_span_of(arrival->request, arrival->request_bytes)) < 0 ||
        (arrival->must_say && rc_client_must_say(clients, client) < 0)) {
        rc_client_failed_memory(clients, client);
        return;
    }
    if (!arrival->must_say) {
        rc_client_hears(clients, client, arrival->rewind);
    }
    rc_hub_opened(clients->hub, client);
    rc_client_let_in(clients, client, arrival->backend, arrival->reply);
    rc_client_await_join(clients, client);
}
