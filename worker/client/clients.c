/* clients: all of a worker's: made, given other settings, sent away. See client.h. */
#include "worker/client/client.h"

#include <stdlib.h>

/* Takes the limits over from the configuration. */
static void clients_limits(struct rc_clients *clients)
{
    const struct rc_config_limits *limits = &clients->config->limits;
    const struct rc_address_limits addresses = {
        .per_address = limits->max_connections_per_address,
        .per_network = limits->max_connections_per_network,
        .accept = {.count_per_s = limits->accept_rate, .count_burst = limits->accept_rate}};
    rc_address_limit_reconfigure(&clients->addresses, &addresses);
    clients->rate_limits = (struct rc_rate_limits){.count_per_s = limits->message_rate,
                                                   .count_burst = limits->message_rate,
                                                   .bytes_per_s = limits->byte_rate_bytes,
                                                   .bytes_burst = limits->byte_rate_bytes};
    if (clients->rates == NULL && (limits->message_rate > 0 || limits->byte_rate_bytes > 0)) {
        _Static_assert(sizeof(struct rc_rate) == sizeof(struct rc_truth_rate), "rates lie in the truth");
        clients->rates = (struct rc_rate *)(void *)clients->truth->rates;
    }
}

int rc_clients_open(struct rc_clients *clients, const struct rc_control *control, const struct rc_config *config,
                    struct rc_truth *truth, struct rc_io *io, struct rc_hub *hub, struct rc_uplink *uplink,
                    struct rc_interests *interests, struct rc_asks *asks, struct rc_metrics *metrics, uint32_t worker)
{
    *clients = (struct rc_clients){.control = control,
                                   .config = config,
                                   .truth = truth,
                                   .io = io,
                                   .hub = hub,
                                   .uplink = uplink,
                                   .interests = interests,
                                   .asks = asks,
                                   .metrics = metrics,
                                   .worker = worker};
    rc_clients_trust(clients);
    const struct rc_address_limits none = {0};
    int rc = rc_address_limit_open(&clients->addresses, &none, truth->socket_count);
    if (rc < 0) {
        return rc;
    }
    clients_limits(clients);
    return rc_clients_http_open(clients, rc_socket_resume);
}

void rc_clients_close(struct rc_clients *clients)
{
    rc_exchanges_close(&clients->exchanges);
    rc_address_limit_close(&clients->addresses);
    free(clients->room);
    rc_client_decisions_close(clients);
    rc_client_refreshes_close(clients);
}

bool rc_clients_answering(const struct rc_clients *clients)
{
    return clients->exchanges.waiting > 0;
}

bool rc_clients_answering_once(const struct rc_clients *clients)
{
    const struct rc_exchanges *exchanges = &clients->exchanges;
    for (uint32_t i = 0; exchanges->waiting > 0 && i <= exchanges->kept_max; i++) {
        const struct rc_exchange *exchange = exchanges->items[i];
        if (exchange != NULL && exchange->state == RC_EXCHANGE_WAITING &&
            !rc_socket_request_kept(clients, exchange->connection)) {
            return true;
        }
    }
    return false;
}

/* A connection that was there before the limits of its address were. */
static void clients_count_address(struct rc_clients *clients, uint32_t index)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    if (!(socket->flags & RC_SOCKET_COUNTED) &&
        rc_address_limit_count(&clients->addresses, &clients->truth->peers[index]) == 0) {
        socket->flags |= RC_SOCKET_COUNTED; /* else it is one that does not count: no memory is no reason to end it */
    }
}

/* The same for sessions that no socket carries. */
static void clients_count_session(struct rc_clients *clients, uint32_t index)
{
    const struct rc_client *client = rc_truth_client(clients->truth, index);
    if (client->state != RC_CLIENT_OPEN || client->socket != RC_SOCKET_NONE ||
        !rc_encoding_is_engine(client->encoding)) {
        return;
    }
    struct rc_engine *engine = rc_truth_engine(clients->truth, index);
    if ((engine->flags & (RC_ENGINE_SESSION | RC_ENGINE_COUNTED)) == RC_ENGINE_SESSION &&
        rc_address_limit_count(&clients->addresses, &engine->address) == 0) {
        engine->flags |= RC_ENGINE_COUNTED;
    }
}

/* Times that run by other limits than those in force are set anew: `old` ones may lie a day ahead, or never come. Handshakes and
 * closing handshakes end within what they began with. */
static void clients_retime(struct rc_clients *clients, uint32_t index, const struct rc_config_limits *old)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    struct rc_client *client = rc_truth_client(clients->truth, socket->client);
    const struct rc_config_limits *limits = &clients->config->limits;
    if (limits->idle_timeout_ms != old->idle_timeout_ms && !rc_encoding_is_stream(client->encoding)) {
        socket->deadline_ds = limits->idle_timeout_ms == 0
                                  ? 0
                                  : client->active_ds + (uint32_t)(limits->idle_timeout_ms / RC_WHEEL_TICK_MS) + 1;
    }
    if (rc_encoding_is_engine(client->encoding)) {
        /* its heartbeat is worker/engine's, by other settings */
    } else if (client->flags & RC_CLIENT_PING_DUE) {
        /* The ping's time is known as the difference (heartbeat_ping): both change together. */
        client->ping_ds += (uint32_t)(limits->pong_timeout_ms / RC_WHEEL_TICK_MS) -
                           (uint32_t)(old->pong_timeout_ms / RC_WHEEL_TICK_MS);
    } else if (limits->ping_interval_ms != old->ping_interval_ms) {
        client->ping_ds =
            limits->ping_interval_ms == 0
                ? 0
                : rc_client_next_ping(clients, 1 + rc_hub_random(clients->hub) % limits->ping_interval_ms);
    }
    rc_socket_schedule(clients, index);
}

void rc_clients_reconfigure(struct rc_clients *clients, const struct rc_config *config)
{
    const struct rc_config_limits *old = &clients->config->limits;
    const struct rc_config_limits *limits = &config->limits;
    const bool counted = old->max_connections_per_address != 0 || old->max_connections_per_network != 0;
    const bool count =
        !counted && (limits->max_connections_per_address != 0 || limits->max_connections_per_network != 0);
    const bool retime =
        limits->idle_timeout_ms != old->idle_timeout_ms || limits->ping_interval_ms != old->ping_interval_ms ||
        limits->pong_timeout_ms != old->pong_timeout_ms || limits->write_timeout_ms != old->write_timeout_ms;
    clients->config = config;
    clients->exchanges.config = config;
    rc_clients_trust(clients);
    clients_limits(clients);
    rc_clients_count_users(clients);
    for (uint32_t i = 0; (count || retime) && i < clients->truth->socket_count; i++) {
        const struct rc_socket *socket = &clients->truth->sockets[i];
        if (count && socket->client != 0) {
            clients_count_address(clients, i);
        }
        if (retime && rc_socket_is_open(clients, socket)) {
            clients_retime(clients, i, old);
        }
    }
    for (uint32_t i = 1; count && i <= clients->hub->clients_high; i++) {
        clients_count_session(clients, i);
    }
}

void rc_client_goodbye(struct rc_clients *clients, uint32_t index, uint64_t spread_ms)
{
    uint8_t reason[RC_GOODBYE_BYTES_MAX + 1] = {0};
    const struct rc_client *client = rc_truth_client(clients->truth, index);
    const uint64_t delay_ms = spread_ms == 0 ? 0 : rc_hub_random(clients->hub) % spread_ms;
    reason[rc_encoding_codec_of(client->encoding)->goodbye(reason, (uint32_t)delay_ms)] = 0;
    rc_client_close(clients, index, RC_CLOSE_SERVICE_RESTART, (const char *)reason, false);
}

void rc_clients_drain(struct rc_clients *clients)
{
    if (clients->draining) {
        return;
    }
    clients->draining = true; /* accepting goes on: whoever comes is answered 503 */
    clients->exchanges.draining = true;
    const uint64_t spread_ms = clients->config->server.drain_timeout_ms;
    for (uint32_t index = 1; index <= clients->hub->clients_high; index++) {
        if (rc_truth_client(clients->truth, index)->state == RC_CLIENT_OPEN) {
            rc_client_goodbye(clients, index, spread_ms);
        }
    }
}
