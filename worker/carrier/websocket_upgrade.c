/*
 * websocket_upgrade: a request becomes a WebSocket that carries a client.
 *
 *   judged (upgrade_judge) ──▶ struct upgrade: all that is needed from then on ──▶ 101 and client (upgrade_finish)
 *
 * The two are apart so that an answer of somebody else may be waited for in between (rc_arrival_wait): nothing of the request is
 * looked at afterwards. See websocket.h.
 */
#include "worker/carrier/websocket.h"

#include <stddef.h>
#include <string.h>

#include "worker/carrier/polling.h"
#include "worker/engine/upgrade.h"
#include "worker/engine/unjoined.h"
#include "worker/http/deflate_offer.h"
#include "worker/http/upgrade.h"
#include "worker/link/opening.h"
#include "worker/ws/frame.h"

/* What was agreed; no pointers into the request. */
struct upgrade {
    uint8_t server_window_bits;
    uint8_t client_window_bits;
    bool client_takeover;
    struct rc_text opening; /* what the application is told of the request; empty when none has its clients */
    bool engine;            /* Engine.IO: a session of its own, */
    uint32_t session;       /* or one that it is to take over; 0 = of its own */
    uint32_t response_bytes;
    char response[1024]; /* last: as much as there is is kept of one that waits */
};

static struct rc_links *links_of(const struct rc_exchange *exchange)
{
    const struct rc_clients *clients = exchange->exchanges->ops.context;
    return ((struct rc_engines *)clients->engine.context)->link.context;
}

static struct rc_clients *clients_of(const struct rc_exchange *exchange)
{
    return exchange->exchanges->ops.context;
}

static void agree_on_deflate(const struct rc_websockets *websockets, struct rc_http_upgrade *upgrade,
                             enum rc_codec_id codec, struct rc_deflate_agreement *agreement)
{
    const struct rc_config *config = websockets->clients->config;
    const struct rc_deflate_policy policy = {.server_window_bits = (uint8_t)config->compression.server_window_bits,
                                             .client_window_bits = (uint8_t)config->compression.client_window_bits,
                                             .serves_256 = websockets->deflate_serves_256};
    *agreement = (struct rc_deflate_agreement){0};
    if (config->compression.enabled && codec != RC_CODEC_LINK_3 && /* which has no windows */
        rc_deflate_offer_choose(upgrade->extensions, upgrade->extension_count, &policy, agreement)) {
        upgrade->extension_response = agreement->answer;
    }
}

/* The handshake itself: what was asked for and what of it there is. False: answered. */
static bool judge_handshake(struct rc_exchange *exchange, struct rc_http_upgrade *upgrade, struct rc_arrival *arrival)
{
    /* A subprotocol chooses among the codecs that have one; the others know none. */
    size_t subprotocol_count = 0;
    const char *const *subprotocols =
        rc_codec_of(arrival->codec)->subprotocol != NULL ? rc_codec_subprotocols(&subprotocol_count) : NULL;
    const struct rc_http_upgrade_policy policy = {.subprotocols = subprotocols, .subprotocol_count = subprotocol_count};
    const int rc = rc_http_upgrade_check(exchange->request, &policy, upgrade);
    if (rc < 0) {
        rc_exchange_error(exchange, (struct rc_exchange_answer){.status = (uint16_t)-rc,
                                                                .headers = upgrade->failure_headers,
                                                                .message = upgrade->why});
        return false;
    }
    if (upgrade->has_origin && !rc_arrival_from(exchange, rc_span_of(upgrade->origin.text, upgrade->origin.bytes))) {
        return false;
    }
    arrival->codec = rc_codec_chosen(upgrade->subprotocol, arrival->codec);
    return true;
}

/* False: answered. */
static bool judge_endpoint(struct rc_exchange *exchange, const struct rc_arrival *arrival)
{
    if (rc_encoding_is_stream(rc_encoding_of(arrival->codec, RC_FRAMING_STREAM, 0))) {
        rc_exchange_error(
            exchange, (struct rc_exchange_answer){
                          .status = 400, .message = "this end point sends events: ask with GET, and without Upgrade"});
        return false;
    }
    return true;
}

/* Of an Engine.IO end point: which session is it for? False: answered. */
static bool judge_session(const struct rc_websockets *websockets, struct rc_exchange *exchange,
                          struct rc_arrival *arrival, struct upgrade *out)
{
    struct rc_engine_query query;
    out->engine = rc_encoding_is_engine(rc_encoding_of(arrival->codec, RC_FRAMING_WEBSOCKET, 0));
    out->session = 0;
    if (!out->engine) {
        return true;
    }
    if (!rc_polling_query(websockets->clients->polling_context, exchange, true, &query)) {
        return false;
    }
    out->session = query.session;
    arrival->codec = query.revision == 3 ? RC_CODEC_LINK_3 : arrival->codec;
    return true;
}

/* Does the session that is to be taken over stand for its WebSocket in the limits of the address? Only for one at a time, and from
 * where the session came. */
static bool session_counts(const struct rc_websockets *websockets, const struct rc_exchange *exchange, uint32_t session)
{
    const struct rc_engines *engines = websockets->clients->engine.context;
    return session != 0 && rc_engine_probes(engines, session) &&
           (rc_engine_of(engines, session)->flags & RC_ENGINE_COUNTED) != 0 &&
           rc_address_equal(&rc_engine_of(engines, session)->address, &exchange->client);
}

/* False: it was answered. */
static bool upgrade_judge(const struct rc_websockets *websockets, struct rc_exchange *exchange, const char *path,
                          struct upgrade *out, struct rc_arrival *arrival)
{
    struct rc_http_upgrade upgrade;
    struct rc_deflate_agreement agreement;
    if (!rc_arrival_begin(exchange, path, arrival) || !judge_endpoint(exchange, arrival) ||
        !judge_session(websockets, exchange, arrival, out) || !judge_handshake(exchange, &upgrade, arrival)) {
        return false;
    }
    struct rc_engines *engines = clients_of(exchange)->engine.context;
    if (out->engine && out->session == 0 && !rc_unjoined_admits(engines, &exchange->client)) {
        exchange->keep_alive = false;
        rc_exchange_error(exchange,
                          (struct rc_exchange_answer){.status = 429, .retry_after_s = 10, .message = RC_UNJOINED_TEXT});
        return false;
    }
    agree_on_deflate(websockets, &upgrade, arrival->codec, &agreement);
    if (!rc_arrival_admit(exchange, session_counts(websockets, exchange, out->session)) ||
        !rc_arrival_take_request(exchange, arrival)) {
        return false;
    }
    if (rc_codec_is_link(arrival->codec) && out->session == 0 &&
        !rc_link_opening_of(links_of(exchange), exchange, true, arrival->codec, &out->opening)) {
        return false;
    }
    out->server_window_bits = agreement.server_window_bits;
    out->client_window_bits = agreement.client_window_bits;
    out->client_takeover = agreement.client_window_bits > 0 && !agreement.client_no_context_takeover;
    out->response_bytes = (uint32_t)rc_http_upgrade_response(&upgrade, out->response, sizeof(out->response));
    return true;
}

/* The first that the client gets. */
static void upgrade_greet(struct rc_clients *clients, uint32_t client, const struct upgrade *upgrade,
                          const struct rc_arrival *arrival)
{
    struct rc_engines *engines = clients->engine.context;
    if (upgrade->session != 0) {
        rc_hub_opened(clients->hub, client);
        if (!rc_engine_probe(engines, client, upgrade->session)) {
            rc_client_close(clients, client, RC_WS_CLOSE_NORMAL, NULL, true);
        }
        return;
    }
    if (upgrade->engine) {
        char packet[RC_ENGINE_OPEN_BYTES_MAX];
        if (!rc_engine_begin(engines, client, rc_truth_client(clients->truth, client)->socket)) {
            rc_client_close(clients, client, RC_CLOSE_TRY_AGAIN_LATER, rc_close_reason(RC_CLOSE_TRY_AGAIN_LATER), true);
            return;
        }
        rc_unjoined_add(engines, client, &clients->truth->peers[rc_truth_client(clients->truth, client)->socket]);
        rc_engine_reply(engines, client, RC_PART_TEXT, packet, rc_engine_open_packet(engines, client, packet));
    }
    rc_arrival_greet(clients, client, arrival);
}

/* What was agreed holds from here on for the client that the socket carries. */
static void upgrade_apply(struct rc_clients *clients, uint32_t socket, const struct upgrade *upgrade)
{
    struct rc_socket *its = &clients->truth->sockets[socket];
    its->inflate_bits = upgrade->client_window_bits;
    its->flags |= upgrade->client_takeover ? RC_SOCKET_TAKEOVER : 0;
}

/* 101 with these header lines beside its own, for a session that the application has. */
static void upgrade_opened(struct rc_exchange *exchange, uint32_t client, const char *headers, const void *own)
{
    const struct upgrade *upgrade = own;
    struct rc_clients *clients = clients_of(exchange);
    struct rc_engines *engines = clients->engine.context;
    char packet[RC_ENGINE_OPEN_BYTES_MAX];
    const uint32_t socket = exchange->connection;
    const bool later = rc_exchange_upgraded(exchange);
    const uint32_t head_bytes = upgrade->response_bytes - 2; /* without the empty line */
    int rc = rc_hub_answer(clients->hub, socket, upgrade->response, head_bytes);
    rc = rc < 0 ? rc : rc_hub_answer(clients->hub, socket, headers, (uint32_t)strlen(headers));
    rc = rc < 0 ? rc : rc_hub_answer(clients->hub, socket, "\r\n", 2);
    if (rc < 0 || rc_client_attach(clients, client, socket) < 0) {
        rc_client_end(clients, client);
        rc_socket_failed_memory(clients, socket);
        return;
    }
    rc_metric_add(clients->metrics, RC_METRIC_UPGRADED, 1);
    upgrade_apply(clients, socket, upgrade);
    rc_engine_reply(engines, client, RC_PART_TEXT, packet, rc_engine_open_packet(engines, client, packet));
    if (later) {
        clients->exchanges.ops.resume(clients, socket);
    }
}

/* The application is asked, or told, first; until then nothing carries the client. */
static void upgrade_link(struct rc_exchange *exchange, struct upgrade *upgrade, const struct rc_arrival *arrival)
{
    struct rc_clients *clients = clients_of(exchange);
    struct rc_engines *engines = clients->engine.context;
    struct rc_identity identity;
    const uint32_t client =
        rc_client_open(clients, (uint8_t)arrival->endpoint,
                       rc_encoding_of(arrival->codec, RC_FRAMING_WEBSOCKET, upgrade->server_window_bits),
                       rc_arrival_identity(arrival, &identity));
    if (client == 0 || upgrade->response_bytes < 2 || !rc_engine_begin(engines, client, exchange->connection)) {
        if (client != 0) {
            rc_client_end(clients, client);
        }
        rc_exchange_error(exchange, (struct rc_exchange_answer){
                                        .status = 503, .retry_after_s = 1, .message = "no room for more sessions"});
    } else {
        rc_engine_of(engines, client)->address = exchange->client;
        rc_arrival_greet(clients, client, arrival);
        rc_link_open(engines->link.context, exchange, client,
                     rc_span_of(upgrade->opening.bytes, upgrade->opening.count), upgrade_opened, upgrade,
                     sizeof(*upgrade));
    }
    rc_text_free(&upgrade->opening);
}

/* Answers 101; the exchange is gone afterwards, and the connection a client's. */
static void upgrade_finish(struct rc_exchange *exchange, struct upgrade *upgrade, const struct rc_arrival *arrival)
{
    struct rc_clients *clients = clients_of(exchange);
    if (rc_codec_is_link(arrival->codec) && upgrade->session == 0) {
        upgrade_link(exchange, upgrade, arrival);
        return;
    }
    const uint32_t socket = exchange->connection;
    const bool later = rc_exchange_upgraded(exchange);
    struct rc_identity identity;
    uint32_t client = 0;
    if (upgrade->response_bytes > 0 &&
        rc_hub_answer(clients->hub, socket, upgrade->response, upgrade->response_bytes) == 0) {
        client = rc_client_open_on(clients, socket, (uint8_t)arrival->endpoint,
                                   rc_encoding_of(arrival->codec, RC_FRAMING_WEBSOCKET, upgrade->server_window_bits),
                                   rc_arrival_identity(arrival, &identity));
    } else {
        rc_clients_user_remove(clients, rc_span_of(arrival->user, arrival->user_bytes), arrival->counted);
    }
    if (client == 0) {
        rc_socket_failed_memory(clients, socket);
        return;
    }
    upgrade_apply(clients, socket, upgrade);
    upgrade_greet(clients, client, upgrade, arrival);
    if (later) {
        clients->exchanges.ops.resume(clients, socket); /* the WebSocket's first bytes may have come already */
    }
}

/* --- the request ----------------------------------------------------------------------------------------------------- */

static void upgrade_arrived(struct rc_exchange *exchange, const struct rc_arrival *arrival, const void *own)
{
    struct upgrade upgrade = {0};
    memcpy(&upgrade, own, offsetof(struct upgrade, response));
    memcpy(upgrade.response, (const uint8_t *)own + offsetof(struct upgrade, response), upgrade.response_bytes);
    upgrade_finish(exchange, &upgrade, arrival);
}

static void upgrade_gone(struct rc_exchange *exchange, const void *own)
{
    struct rc_text opening;
    (void)exchange;
    memcpy(&opening, (const uint8_t *)own + offsetof(struct upgrade, opening), sizeof(opening));
    rc_text_free(&opening);
}

void rc_websocket_upgrade(void *context, struct rc_exchange *exchange, const char *path)
{
    static const struct rc_arrival_waiter waiter = {.arrived = upgrade_arrived, .gone = upgrade_gone};
    struct upgrade upgrade;
    struct rc_arrival arrival;
    upgrade.opening = (struct rc_text){0};
    if (!upgrade_judge(context, exchange, path, &upgrade, &arrival)) {
        return;
    }
    switch (upgrade.session != 0 ? RC_ARRIVED : rc_arrival_identify(exchange, &arrival)) {
    case RC_ARRIVED:
        upgrade_finish(exchange, &upgrade, &arrival);
        return;
    case RC_ARRIVED_LATER:
        rc_arrival_wait(exchange, &arrival, &waiter, &upgrade,
                        offsetof(struct upgrade, response) + upgrade.response_bytes);
        return;
    case RC_ARRIVED_NOT:
        rc_text_free(&upgrade.opening);
        return;
    }
}
