/* http: requests of a connection that is not a WebSocket (yet): the upgrade, and the few resources. See session.h. */
#include "worker/client/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/metrics/bridges.h"
#include "common/records/channel_name.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/text/json_scan.h"
#include "common/base/log.h"
#include "common/metrics/redis_health.h"
#include "worker/http/assets.h"
#include "worker/http/deflate_offer.h"
#include "worker/http/origin.h"
#include "worker/http/parse.h"
#include "worker/http/upgrade.h"
#include "worker/api/api.h"

#define HTTP_PATH_MAX 256

/* One request being answered. */
struct exchange {
    struct rc_sessions *sessions;
    uint32_t slot;
    const struct rc_http_request *request;
    struct rc_address client; /* who asks, behind trusted proxies */
    bool proxied;             /* the peer itself is one of http.trusted_proxies */
    bool keep_alive;
    char cors[RC_CORS_HEADERS_BYTES_MAX]; /* header lines of the answer; "" before they are known */
};

static const char *exchange_date(struct rc_sessions *sessions)
{
    return rc_http_date_at(&sessions->date, (int64_t)time(NULL));
}

static void exchange_finish(struct exchange *exchange, int rc, uint16_t status)
{
    struct rc_sessions *sessions = exchange->sessions;
    rc_metric_add(sessions->metrics, RC_METRIC_HTTP_REQUESTS, 1);
    if (status >= 400) {
        rc_metric_add(sessions->metrics, RC_METRIC_HTTP_ERRORS, 1);
    }
    if (rc < 0) {
        rc_session_failed_memory(sessions, exchange->slot);
    } else if (!exchange->keep_alive) {
        rc_session_linger(sessions, exchange->slot);
    }
}

static void exchange_error(struct exchange *exchange, struct rc_http_response response, const char *message)
{
    char text[4096 + RC_CORS_HEADERS_BYTES_MAX];
    char lines[256 + RC_CORS_HEADERS_BYTES_MAX];
    struct rc_sessions *sessions = exchange->sessions;
    (void)snprintf(lines, sizeof(lines), "%s%s", response.headers == NULL ? "" : response.headers, exchange->cors);
    response.headers = lines;
    if (response.status == 400 || response.status == 413 || response.status == 414 || response.status == 431 ||
        response.status >= 500) {
        exchange->keep_alive = false; /* where the next request would begin is not known, or not wanted */
    }
    response.keep_alive = exchange->keep_alive;
    response.date = exchange_date(sessions);
    response.head = exchange->request != NULL && exchange->request->method == RC_HTTP_HEAD;
    const size_t bytes = rc_http_respond_error(text, sizeof(text), &response, message);
    exchange_finish(exchange, rc_hub_answer(sessions->hub, exchange->slot, text, (uint32_t)bytes), response.status);
}

static void exchange_body(struct exchange *exchange, uint16_t status, const char *type, const char *body,
                          size_t body_bytes)
{
    struct rc_sessions *sessions = exchange->sessions;
    char text[1024 + RC_CORS_HEADERS_BYTES_MAX];
    const struct rc_http_response response = {.status = status,
                                              .content_type = type,
                                              .body_bytes = body_bytes,
                                              .keep_alive = exchange->keep_alive,
                                              .head = exchange->request->method == RC_HTTP_HEAD,
                                              .date = exchange_date(sessions),
                                              .headers = exchange->cors};
    const size_t head = rc_http_respond(text, sizeof(text), &response);
    int rc = head == 0 ? -ENOMEM : rc_hub_answer(sessions->hub, exchange->slot, text, (uint32_t)head);
    if (rc == 0 && !response.head) {
        rc = rc_hub_answer(sessions->hub, exchange->slot, body, (uint32_t)body_bytes);
    }
    exchange_finish(exchange, rc, status);
}

void rc_session_answer(struct rc_sessions *sessions, uint32_t slot, const struct rc_answer *answer)
{
    struct exchange exchange = {
        .sessions = sessions, .slot = slot, .keep_alive = answer->keep_alive && !sessions->draining};
    char text[8192]; /* the head, or an error whole; `headers` are CORS's at most */
    const struct rc_http_response response = {.status = answer->status,
                                              .content_type = answer->content_type,
                                              .body_bytes = answer->body_bytes,
                                              .keep_alive = exchange.keep_alive,
                                              .head = answer->head,
                                              .allow = answer->allow,
                                              .retry_after_s = answer->retry_after_s,
                                              .date = exchange_date(sessions),
                                              .headers = answer->headers};
    size_t bytes;
    if (answer->message != NULL) {
        bytes = rc_http_respond_error(text, sizeof(text), &response, answer->message);
    } else {
        bytes = rc_http_respond(text, sizeof(text), &response);
    }
    int rc = bytes == 0 ? -ENOMEM : rc_hub_answer(sessions->hub, slot, text, (uint32_t)bytes);
    if (rc == 0 && answer->message == NULL && !answer->head && answer->body_bytes > 0) {
        rc = rc_hub_answer(sessions->hub, slot, answer->body, (uint32_t)answer->body_bytes);
    }
    exchange_finish(&exchange, rc, answer->status);
    if (rc == 0 && exchange.keep_alive) {
        rc_session_restart_deadline(sessions, slot); /* the next request has its time from now on */
    }
}

/* --- resources --- */

static uint64_t http_total(const struct rc_sessions *sessions, enum rc_metric_id id)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < sessions->control->worker_count; i++) {
        total += rc_metric_get(&sessions->control->workers[i]->metrics, id);
    }
    return total;
}

/* Of the worker that has most of it: a load balancer may look, though the broker serves on. */
static const char *http_overload(const struct rc_sessions *sessions)
{
    uint64_t worst = 0;
    for (uint32_t i = 0; i < sessions->control->worker_count; i++) {
        const uint64_t level = rc_metric_get(&sessions->control->workers[i]->metrics, RC_METRIC_OVERLOAD);
        worst = level > worst ? level : worst;
    }
    return worst == RC_PRESSURE_NONE ? "none" : worst == RC_PRESSURE_PAUSED ? "paused" : "shedding";
}

static void http_health(struct exchange *exchange)
{
    struct rc_sessions *sessions = exchange->sessions;
    const struct rc_control *control = sessions->control;
    const bool draining = sessions->draining || rc_control_state(control) >= RC_BROKER_DRAINING;
    char body[512];
    const int bytes = snprintf(
        body, sizeof(body),
        "{\"healthy\":%s,\"status\":\"%s\",\"overload\":\"%s\",\"instance\":\"%s\",\"workers\":%u,\"connections\":%llu,"
        "\"uptime_s\":%llu,\"timestamp\":%llu}\n",
        draining ? "false" : "true", draining ? "draining" : "ok", http_overload(sessions), control->instance_id,
        control->worker_count, (unsigned long long)http_total(sessions, RC_METRIC_CONNECTIONS),
        (unsigned long long)((rc_clock_ms() - control->boot_ms) / 1000), (unsigned long long)rc_clock_wall_ms());
    exchange_body(exchange, draining ? 503 : 200, "application/json", body, (size_t)bytes);
}

static void http_health_websocket(struct exchange *exchange)
{
    const struct rc_sessions *sessions = exchange->sessions;
    char body[256];
    const int bytes = snprintf(
        body, sizeof(body), "{\"healthy\":true,\"connections\":{\"total\":%llu,\"users\":%llu},\"timestamp\":%llu}\n",
        (unsigned long long)http_total(sessions, RC_METRIC_CONNECTIONS),
        (unsigned long long)http_total(sessions, RC_METRIC_USERS), (unsigned long long)rc_clock_wall_ms());
    exchange_body(exchange, 200, "application/json", body, (size_t)bytes);
}

/* The relay's word, as long as it moves: one that is dead or stuck talks to no Redis either. */
static enum rc_redis_state http_redis_state(const struct rc_control *control, struct rc_redis_errors *errors)
{
    const enum rc_redis_state state = rc_redis_health_get(&control->relay->redis_health, errors);
    const uint64_t moved_ms = atomic_load_explicit(&control->relay->report.process.heartbeat_ms, memory_order_relaxed);
    if (atomic_load_explicit(&control->relay->report.process.state, memory_order_acquire) != RC_PROCESS_READY ||
        moved_ms + RC_RELAY_SILENT_MS < rc_clock_ms()) {
        *errors = (struct rc_redis_errors){.lost = "the relay does not run"};
        return RC_REDIS_AWAY;
    }
    return state;
}

static const char *http_quoted(char out[RC_JSON_STRING_BYTES_MAX(RC_REDIS_ERROR_MAX) + 1], const char *text)
{
    out[rc_json_string_encode((uint8_t *)out, RC_JSON_STRING_BYTES_MAX(RC_REDIS_ERROR_MAX), rc_span_text(text))] = '\0';
    return out;
}

static void http_health_redis(struct exchange *exchange)
{
    const struct rc_sessions *sessions = exchange->sessions;
    struct rc_redis_errors errors = {.lost = ""};
    char lost[RC_JSON_STRING_BYTES_MAX(RC_REDIS_ERROR_MAX) + 1];
    char latest[sizeof(lost)];
    char body[2 * sizeof(lost) + 128];
    const unsigned long long now_ms = (unsigned long long)rc_clock_wall_ms();
    const bool wanted = sessions->config->redis.url.text[0] != '\0';
    const bool good = !wanted || http_redis_state(sessions->control, &errors) == RC_REDIS_CONNECTED;
    int bytes;
    if (good) {
        bytes = snprintf(body, sizeof(body), "{\"healthy\":true,\"redis\":\"%s\",\"timestamp\":%llu}\n",
                         wanted ? "connected" : "disabled", now_ms);
    } else {
        const bool more = errors.latest[0] != '\0';
        bytes = snprintf(body, sizeof(body),
                         "{\"healthy\":false,\"redis\":\"disconnected\",\"error\":%s%s%s,\"timestamp\":%llu}\n",
                         http_quoted(lost, errors.lost[0] != '\0' ? errors.lost : "not connected yet"),
                         more ? ",\"latest_error\":" : "", more ? http_quoted(latest, errors.latest) : "", now_ms);
    }
    exchange_body(exchange, good ? 200 : 503, "application/json", body, (size_t)bytes);
}

/* Listeners that only this machine reaches show everything, unless a trusted proxy says that it asks for somebody else; others
 * what the configuration says. */
static bool http_private(const struct exchange *exchange)
{
    const uint32_t flags = exchange->sessions->truth->sockets[exchange->slot].flags;
    return (flags & RC_SOCKET_ADMIN) != 0 ||
           ((flags & (RC_SOCKET_LOOPBACK | RC_SOCKET_UNIX)) != 0 && rc_address_is_loopback(&exchange->client));
}

static void http_metrics(struct exchange *exchange)
{
    struct rc_sessions *sessions = exchange->sessions;
    const struct rc_control *control = sessions->control;
    if (!http_private(exchange) && !sessions->config->http.public_metrics) {
        exchange_error(exchange, (struct rc_http_response){.status = 403},
                       "metrics are not served on public listeners: set http.admin_listen or http.public_metrics");
        return;
    }
    if (rc_api_wants_json(exchange->request)) {
        struct rc_text json = {0};
        if (rc_api_metrics_json(sessions->api, &json) < 0) {
            exchange_error(exchange, (struct rc_http_response){.status = 503, .retry_after_s = 1}, "no memory");
        } else {
            exchange_body(exchange, 200, "application/json", json.bytes, json.count);
        }
        rc_text_free(&json);
        return;
    }
    struct rc_metrics_source sources[RC_WORKERS_MAX + 2];
    size_t count = 0;
    for (uint32_t i = 0; i < control->worker_count; i++) {
        sources[count++] = (struct rc_metrics_source){.metrics = &control->workers[i]->metrics, .worker = (int)i};
    }
    sources[count++] = (struct rc_metrics_source){.metrics = &control->relay->report.metrics, .worker = -1};
    sources[count++] = (struct rc_metrics_source){.metrics = &control->acceptor->metrics, .worker = -2};
    /* Asked for a few times a minute: the buffer is not worth keeping. Counters grow meanwhile, hence the slack. */
    const struct rc_config *config = exchange->sessions->config;
    const size_t room = rc_metrics_render(sources, count, control->instance_id, NULL, 0) +
                        rc_bridge_metrics_render(config, control->relay->bridges, control->instance_id, NULL, 0) + 4096;
    char *text = malloc(room);
    if (text == NULL) {
        exchange_error(exchange, (struct rc_http_response){.status = 503, .retry_after_s = 1}, "no memory");
        return;
    }
    size_t bytes = rc_metrics_render(sources, count, control->instance_id, text, room);
    bytes = bytes < room ? bytes : room;
    bytes +=
        rc_bridge_metrics_render(config, control->relay->bridges, control->instance_id, text + bytes, room - bytes);
    exchange_body(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", text, bytes < room ? bytes : room - 1);
    free(text);
}

static void http_page(struct exchange *exchange)
{
    if (!http_private(exchange) && !exchange->sessions->config->http.public_page) {
        exchange_error(exchange, (struct rc_http_response){.status = 404}, "not found");
        return;
    }
    exchange_body(exchange, 200, "text/html; charset=utf-8", rc_asset_page_html, RC_ASSET_BYTES(rc_asset_page_html));
}

static void http_client_script(struct exchange *exchange)
{
    exchange_body(exchange, 200, "text/javascript; charset=utf-8", rc_asset_ringcast_js,
                  RC_ASSET_BYTES(rc_asset_ringcast_js));
}

static const struct {
    const char *path;
    void (*answer)(struct exchange *exchange);
} http_routes[] = {
    {"/", http_page},
    {"/ringcast.js", http_client_script},
    {"/health", http_health},
    {"/health/websocket", http_health_websocket},
    {"/health/redis", http_health_redis},
    {"/metrics", http_metrics},
};

/* --- the upgrade --- */

/* Which end point has this path? RC_ENDPOINT_PATH for server.path, -1 for none; *codec is what it speaks. */
static int http_endpoint(const struct rc_config *config, const char *path, enum rc_codec_id *codec)
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
        if (strcmp(path, config->endpoints[i].path.text) == 0) {
            if (config->endpoints[i].protocol == RC_ENDPOINT_RAW) {
                *codec = RC_CODEC_RAW;
            }
            return (int)i;
        }
    }
    return -1;
}

/* What every user's id must be, wherever it comes from: it is part of a channel's name and stands in JSON. Who is called something
 * else is nobody. */
static struct rc_span http_checked_user(const char *text, size_t bytes, const char *source)
{
    if (bytes > 0 && rc_channel_name_check(text, bytes, RC_CHANNEL_NAME_MAX - strlen("user:")) < 0) {
        rc_log_limited(
            RC_LOG_WARN, 1, "user_refused",
            "source=\"%s\" effect=\"the client is anonymous\" reason=\"too long, control characters, or no UTF-8\"",
            source);
        return (struct rc_span){0};
    }
    return rc_span_of(text, bytes);
}

/* The user's id in auth.user_header, which anybody but a trusted proxy could write. Twice: none. */
static struct rc_span http_header_user(const struct exchange *exchange)
{
    const char *name = exchange->sessions->config->auth.user_header.text;
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
    return http_checked_user(value->text, value->bytes, name);
}

static struct rc_span http_user(const struct exchange *exchange, char *text, size_t capacity)
{
    const struct rc_config *config = exchange->sessions->config;
    const size_t name_bytes = rc_io_tls_identity(exchange->sessions->io, exchange->slot, text, capacity);
    if (name_bytes > 0) {
        return http_checked_user(text, name_bytes, "client certificate"); /* a verified one */
    }
    const struct rc_span header = http_header_user(exchange);
    if (header.count > 0) {
        return header;
    }
    if (config->debug.user_query.text[0] == 0 || !http_private(exchange)) {
        return (struct rc_span){0};
    }
    const int bytes = rc_http_query_find(exchange->request->query, config->debug.user_query.text, text, capacity);
    return http_checked_user(text, bytes > 0 ? (size_t)bytes : 0, "debug.user_query");
}

static void http_welcome(struct rc_sessions *sessions, uint32_t client)
{
    char id[RC_CLIENT_ID_MAX];
    const struct rc_client_ref ref = rc_session_ref(sessions, client);
    const struct rc_welcome welcome = {
        .client =
            rc_span_of(id, rc_client_id_write(id, sessions->control->instance_id, sessions->control->boot_nonce, &ref)),
        .instance = rc_span_text(sessions->control->instance_id),
        .user = rc_session_user(sessions, client),
        .ping_interval_ms = (uint32_t)sessions->config->limits.ping_interval_ms,
        .message_size_max = sessions->config->limits.max_message_size_bytes,
    };
    const struct rc_event event = {.type = RC_EVENT_WELCOME, .welcome = &welcome};
    if (rc_hub_reply_event(sessions->hub, client, &event) < 0) {
        rc_client_failed_memory(sessions, client);
    }
}

/* What the client hears from the start: everybody, its user's channel, and what its end point joins. */
static void http_join(struct rc_sessions *sessions, uint32_t client, int endpoint, enum rc_codec_id codec)
{
    const struct rc_codec *its_codec = rc_codec_of(codec);
    const struct rc_span user = rc_session_user(sessions, client);
    if (its_codec->hears_everybody) {
        rc_session_join(sessions, client, RC_SPAN("*"));
    }
    if (its_codec->hears_user && user.count > 0) {
        char name[RC_CHANNEL_NAME_MAX + 1];
        const int bytes = snprintf(name, sizeof(name), "user:%.*s", (int)user.count, (const char *)user.bytes);
        rc_session_join(sessions, client, rc_span_of(name, (size_t)bytes));
    }
    if (its_codec->hears_channels && endpoint != RC_ENDPOINT_PATH) {
        const struct rc_config_endpoint *its = &sessions->config->endpoints[endpoint];
        for (uint32_t i = 0; i < its->join_count; i++) {
            rc_session_join(sessions, client, rc_span_text(its->join[i]));
        }
    }
    rc_hub_opened(sessions->hub, client);
    const struct rc_client *its = rc_truth_client(sessions->truth, client);
    if (its->flags & RC_CLIENT_WAITS_JOIN) {
        /* The handshake is answered when nothing that is published from then on can be missed: rc_session_joined. */
        sessions->truth->sockets[its->socket].resume_ds =
            rc_io_deadline(sessions->io, sessions->config->limits.handshake_timeout_ms);
        rc_session_schedule(sessions, its->socket);
        rc_io_pause(sessions->io, its->socket);
    }
}

/* From here on the connection is one client's: its address is the one behind the proxies. */
static void http_note_client(const struct exchange *exchange)
{
    const struct rc_address peer = rc_session_peer(exchange->sessions, exchange->slot);
    if (!rc_address_equal(&peer, &exchange->client)) {
        exchange->sessions->truth->peers[exchange->slot] = exchange->client;
        exchange->sessions->truth->sockets[exchange->slot].port = 0; /* the proxy's tells nothing */
    }
    if (rc_log_enabled(RC_LOG_DEBUG)) {
        char text[RC_ADDRESS_TEXT_MAX];
        char peer_text[RC_ADDRESS_TEXT_MAX];
        rc_address_format(text, &exchange->client);
        rc_address_format(peer_text, &peer);
        rc_log_debug("client", "slot=%u address=%s peer=%s tls=%d", exchange->slot, text, peer_text,
                     rc_io_is_tls(exchange->sessions->io, exchange->slot) ? 1 : 0);
    }
}

static void http_upgrade(struct exchange *exchange, const char *path)
{
    struct rc_sessions *sessions = exchange->sessions;
    const struct rc_config *config = sessions->config;
    enum rc_codec_id codec;
    const int endpoint = http_endpoint(config, path, &codec);
    if (endpoint < 0) {
        exchange_error(exchange, (struct rc_http_response){.status = 404}, "no WebSocket end point has this path");
        return;
    }
    if (sessions->draining) {
        exchange_error(exchange, (struct rc_http_response){.status = 503, .retry_after_s = 1},
                       "this server is going away: connect again");
        return;
    }
    if (rc_session_sheds(sessions, exchange->slot)) {
        exchange->keep_alive = false;
        /* Spread: who was refused together is not to come back together. */
        exchange_error(exchange,
                       (struct rc_http_response){.status = 503,
                                                 .retry_after_s = 1u + (uint32_t)(rc_hub_random(sessions->hub) % 5)},
                       "this server is overloaded: try again");
        return;
    }
    /* A subprotocol chooses among the codecs that have one; the others know none. */
    size_t subprotocol_count = 0;
    const char *const *subprotocols =
        rc_codec_of(codec)->subprotocol != NULL ? rc_codec_subprotocols(&subprotocol_count) : NULL;
    const struct rc_http_upgrade_policy policy = {.subprotocols = subprotocols, .subprotocol_count = subprotocol_count};
    struct rc_http_upgrade upgrade;
    const int rc = rc_http_upgrade_check(exchange->request, &policy, &upgrade);
    if (rc < 0) {
        exchange_error(exchange, (struct rc_http_response){.status = (uint16_t)-rc, .headers = upgrade.failure_headers},
                       upgrade.why);
        return;
    }
    if (upgrade.has_origin &&
        !rc_origin_allowed(&config->http.allowed_origins, rc_span_of(upgrade.origin.text, upgrade.origin.bytes),
                           rc_span_of(exchange->request->host.text, exchange->request->host.bytes))) {
        exchange_error(exchange, (struct rc_http_response){.status = 403},
                       "this origin is not allowed: see http.allowed_origins");
        return;
    }
    codec = rc_codec_chosen(upgrade.subprotocol, codec);
    struct rc_deflate_agreement agreement = {0};
    const struct rc_deflate_policy deflate = {.server_window_bits = (uint8_t)config->compression.server_window_bits,
                                              .client_window_bits = (uint8_t)config->compression.client_window_bits,
                                              .serves_256 = sessions->deflate_serves_256};
    if (config->compression.enabled &&
        rc_deflate_offer_choose(upgrade.extensions, upgrade.extension_count, &deflate, &agreement)) {
        upgrade.extension_response = agreement.answer;
    }
    char text[1024];
    char user[RC_CHANNEL_NAME_MAX - 5];
    http_note_client(exchange);
    if (!rc_session_admit(sessions, exchange->slot)) {
        exchange->keep_alive = false; /* a proxy's next request would be somebody else's */
        exchange_error(exchange, (struct rc_http_response){.status = 429, .retry_after_s = 10},
                       "too many connections from your address");
        return;
    }
    const size_t bytes = rc_http_upgrade_response(&upgrade, text, sizeof(text));
    const uint32_t client =
        bytes == 0 || rc_hub_answer(sessions->hub, exchange->slot, text, (uint32_t)bytes) < 0
            ? 0
            : rc_session_open(sessions, exchange->slot, (uint8_t)endpoint,
                              rc_encoding_of(codec, RC_FRAMING_WEBSOCKET, agreement.server_window_bits),
                              http_user(exchange, user, sizeof(user)));
    if (client == 0) {
        rc_session_failed_memory(sessions, exchange->slot);
        return;
    }
    struct rc_socket *socket = &sessions->truth->sockets[exchange->slot];
    socket->inflate_bits = agreement.client_window_bits;
    if (agreement.client_window_bits > 0 && !agreement.client_no_context_takeover) {
        socket->flags |= RC_SOCKET_TAKEOVER;
    }
    http_welcome(sessions, client);
    http_join(sessions, client, endpoint, codec);
}

/* --- requests --- */

/* What a resource can be asked with; NULL: there is none. */
static const char *http_methods(const struct exchange *exchange, const char *path)
{
    enum rc_codec_id codec;
    if (strcmp(path, "*") == 0) {
        return "GET, HEAD, POST"; /* of the server (RFC 9110 9.3.7) */
    }
    if (strncmp(path, "/api/", 5) == 0) {
        return rc_api_methods(path);
    }
    for (size_t i = 0; i < RC_ARRAY_COUNT(http_routes); i++) {
        if (strcmp(path, http_routes[i].path) == 0) {
            return "GET, HEAD";
        }
    }
    return http_endpoint(exchange->sessions->config, path, &codec) >= 0 ? "GET" : NULL;
}

/* OPTIONS, a browser's preflight or not. Nobody has to be allowed anything to ask. */
static void http_options(struct exchange *exchange, const char *methods, enum rc_cors_verdict verdict)
{
    if (methods == NULL) {
        exchange_error(exchange, (struct rc_http_response){.status = 404}, "not found");
        return;
    }
    if (verdict == RC_CORS_REFUSED && rc_cors_is_preflight(exchange->request)) {
        exchange_error(exchange, (struct rc_http_response){.status = 403},
                       "this page may not ask so: see http.allowed_origins, http.cors_methods and http.cors_headers");
        return;
    }
    char text[1024 + RC_CORS_HEADERS_BYTES_MAX];
    char allow[64];
    (void)snprintf(allow, sizeof(allow), "%s, OPTIONS", methods);
    struct rc_sessions *sessions = exchange->sessions;
    const struct rc_http_response response = {.status = 204,
                                              .keep_alive = exchange->keep_alive,
                                              .allow = allow,
                                              .date = exchange_date(sessions),
                                              .headers = exchange->cors};
    const size_t bytes = rc_http_respond(text, sizeof(text), &response);
    exchange_finish(exchange, rc_hub_answer(sessions->hub, exchange->slot, text, (uint32_t)bytes), response.status);
}

static void http_resource(struct exchange *exchange, const char *path)
{
    const enum rc_http_method method = exchange->request->method;
    enum rc_codec_id codec;
    for (size_t i = 0; i < RC_ARRAY_COUNT(http_routes); i++) {
        if (strcmp(path, http_routes[i].path) == 0) {
            if (method == RC_HTTP_GET || method == RC_HTTP_HEAD) {
                http_routes[i].answer(exchange);
            } else {
                exchange_error(exchange, (struct rc_http_response){.status = 405, .allow = "GET, HEAD, OPTIONS"},
                               "this resource can only be read");
            }
            return;
        }
    }
    if (http_endpoint(exchange->sessions->config, path, &codec) >= 0) {
        exchange_error(
            exchange,
            (struct rc_http_response){.status = 426, .headers = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"},
            "this is a WebSocket end point");
    } else {
        exchange_error(exchange, (struct rc_http_response){.status = 404}, "not found");
    }
}

static void http_request(struct exchange *exchange)
{
    const struct rc_http_request *request = exchange->request;
    const struct rc_config_limits *limits = &exchange->sessions->config->limits;
    char path[HTTP_PATH_MAX];
    if (request->version == RC_HTTP_0_9) {
        /* Who asks so could not tell the head from the body; a page that makes a browser write here neither. */
        exchange_error(exchange, (struct rc_http_response){.status = 400}, "malformed request line");
        return;
    }
    const int path_bytes = rc_http_path_decode(request->path, path, sizeof(path) - 1);
    if (path_bytes < 0) {
        exchange_error(exchange, (struct rc_http_response){.status = path_bytes == -ENOSPC ? 404 : 400},
                       path_bytes == -ENOSPC ? "not found" : "the path is not correctly percent-encoded");
        return;
    }
    path[path_bytes] = 0;
    const bool upgrade = request->version == RC_HTTP_1_1 && rc_http_upgrade_wanted(request); /* RFC 9110 7.8 */
    const bool options = request->method == RC_HTTP_OPTIONS;
    const char *methods = http_methods(exchange, path);
    const enum rc_cors_verdict verdict =
        upgrade ? RC_CORS_NONE
                : rc_session_cors(&exchange->sessions->config->http, request, methods == NULL ? "" : methods,
                                  exchange->cors, sizeof(exchange->cors));
    if (strncmp(path, "/api/", 5) == 0 && !upgrade && !options) {
        if (verdict == RC_CORS_REFUSED && request->method != RC_HTTP_GET && request->method != RC_HTTP_HEAD) {
            /* The browser would only hide the answer from the page; what it asks for would be done. */
            exchange->keep_alive = false;
            exchange_error(exchange, (struct rc_http_response){.status = 403},
                           "this origin is not allowed: see http.allowed_origins");
            return;
        }
        rc_api_request(exchange->sessions->api, exchange->slot, request, path, exchange->keep_alive, exchange->cors);
        return;
    }
    if (request->has_content_length && request->content_length > limits->max_body_bytes) {
        exchange_error(exchange, (struct rc_http_response){.status = 413}, "the body is larger than limits.max_body");
        return;
    }
    if (request->chunked || (request->has_content_length && request->content_length > 0)) {
        exchange->keep_alive = false; /* no resource takes a body: it is thrown away while the connection lingers */
    }
    if (upgrade) {
        http_upgrade(exchange, path);
    } else if (options) {
        http_options(exchange, methods, verdict);
    } else {
        http_resource(exchange, path);
    }
}

uint32_t rc_session_requests(struct rc_sessions *sessions, uint32_t index, uint8_t *bytes, uint32_t count)
{
    const struct rc_config_limits *config = &sessions->config->limits;
    const struct rc_http_limits limits = {.head_bytes_max = (uint32_t)config->max_request_bytes,
                                          .headers_max = config->max_request_headers};
    const struct rc_socket *slot = &sessions->truth->sockets[index];
    uint32_t used = 0;
    while (slot->state == RC_SOCKET_HTTP && used < count) {
        if (rc_hub_unsent_on(sessions->hub, index) > config->max_reply_bytes) {
            sessions->truth->sockets[index].flags |= RC_SOCKET_WAITS_REPLIES;
            rc_io_pause(sessions->io, index);
            return used; /* goes on in rc_session_replies_drained */
        }
        if (slot->call != 0) {
            const uint32_t taken = rc_api_body(sessions->api, index, bytes + used, count - used);
            if (taken == 0) {
                return used; /* pipelined behind a call that waits for its answer */
            }
            used += taken;
            continue;
        }
        struct rc_http_request request;
        const char *why = "";
        size_t scanned = 0;
        if (used == 0 && slot->input != 0) {
            scanned = rc_truth_input(sessions->truth, slot->input)->parked_scanned;
        }
        const int rc = rc_http_request_parse(bytes + used, count - used, &scanned, &limits, &request, &why);
        if (rc == 0) {
            if (used == 0 && slot->input != 0) {
                rc_truth_input(sessions->truth, slot->input)->parked_scanned = (uint32_t)scanned;
            }
            return used;
        }
        struct exchange exchange = {.sessions = sessions, .slot = index};
        if (rc < 0) {
            exchange_error(&exchange, (struct rc_http_response){.status = (uint16_t)-rc}, why);
            return count;
        }
        exchange.request = &request;
        rc_session_handshake_over(sessions, index);
        const struct rc_address peer = rc_session_peer(sessions, index);
        exchange.client = rc_session_client(sessions, index, &request);
        exchange.proxied = rc_cidr_list_contains(&sessions->trusted, &peer);
        exchange.keep_alive = request.keep_alive && !sessions->draining;
        http_request(&exchange);
        used += (uint32_t)rc;
        if (slot->state == RC_SOCKET_HTTP && slot->call == 0) {
            /* The next request has its time from now on. */
            rc_session_restart_deadline(sessions, index);
        }
    }
    return used;
}
