/* clients: all of a worker's: made, given other settings, sent away. See client.h. */
#include "worker/client/client.h"

#include <stdlib.h>

#include "common/base/log.h"

/* Takes the limits over from the configuration. */
static void clients_limits(struct rc_sessions *sessions)
{
    const struct rc_config_limits *limits = &sessions->config->limits;
    const struct rc_address_limits addresses = {
        .per_address = limits->max_connections_per_address,
        .per_network = limits->max_connections_per_network,
        .accept = {.count_per_s = limits->accept_rate, .count_burst = limits->accept_rate}};
    rc_address_limit_reconfigure(&sessions->addresses, &addresses);
    sessions->rate_limits = (struct rc_rate_limits){.count_per_s = limits->message_rate,
                                                    .count_burst = limits->message_rate,
                                                    .bytes_per_s = limits->byte_rate_bytes,
                                                    .bytes_burst = limits->byte_rate_bytes};
    if (sessions->rates == NULL && (limits->message_rate > 0 || limits->byte_rate_bytes > 0)) {
        sessions->rates = calloc(sessions->truth->clients.count_max, sizeof(*sessions->rates));
        if (sessions->rates == NULL) {
            rc_log_error("rates_off", "reason=\"no memory for the rates of %u clients\"",
                         sessions->truth->clients.count_max);
        }
    }
}

int rc_sessions_open(struct rc_sessions *sessions, const struct rc_control *control, const struct rc_config *config,
                     struct rc_truth *truth, struct rc_io *io, struct rc_hub *hub, struct rc_uplink *uplink,
                     struct rc_interests *interests, struct rc_asks *asks, struct rc_metrics *metrics, uint32_t worker)
{
    *sessions = (struct rc_sessions){.control = control,
                                     .config = config,
                                     .truth = truth,
                                     .io = io,
                                     .hub = hub,
                                     .uplink = uplink,
                                     .interests = interests,
                                     .asks = asks,
                                     .metrics = metrics,
                                     .worker = worker,
                                     .deflate_serves_256 = rc_deflate_serves_256()};
    rc_session_trust(sessions);
    const struct rc_address_limits none = {0};
    int rc = rc_address_limit_open(&sessions->addresses, &none, truth->socket_count);
    if (rc == 0) {
        clients_limits(sessions);
        rc = rc_inflater_open(&sessions->inflater);
    }
    return rc < 0 ? rc : rc_session_http_open(sessions, rc_session_resume);
}

void rc_sessions_close(struct rc_sessions *sessions)
{
    rc_exchanges_close(&sessions->exchanges);
    rc_inflater_close(&sessions->inflater);
    rc_address_limit_close(&sessions->addresses);
    free(sessions->rates);
    free(sessions->inflated);
}

bool rc_sessions_answering(const struct rc_sessions *sessions)
{
    return sessions->exchanges.waiting > 0;
}

/* A connection that was there before the limits of its address were. */
static void clients_count_address(struct rc_sessions *sessions, uint32_t index)
{
    struct rc_socket *socket = &sessions->truth->sockets[index];
    if (!(socket->flags & RC_SOCKET_COUNTED) &&
        rc_address_limit_count(&sessions->addresses, &sessions->truth->peers[index]) == 0) {
        socket->flags |= RC_SOCKET_COUNTED; /* else it is one that does not count: no memory is no reason to end it */
    }
}

/* Times that run by other limits than those in force are set anew: `old` ones may lie a day ahead, or never come. Handshakes and
 * closing handshakes end within what they began with. */
static void clients_retime(struct rc_sessions *sessions, uint32_t index, const struct rc_config_limits *old)
{
    struct rc_socket *socket = &sessions->truth->sockets[index];
    struct rc_client *client = rc_truth_client(sessions->truth, socket->client);
    const struct rc_config_limits *limits = &sessions->config->limits;
    if (limits->idle_timeout_ms != old->idle_timeout_ms) {
        socket->deadline_ds = limits->idle_timeout_ms == 0
                                  ? 0
                                  : client->active_ds + (uint32_t)(limits->idle_timeout_ms / RC_WHEEL_TICK_MS) + 1;
    }
    if (client->flags & RC_CLIENT_PING_DUE) {
        /* The ping's time is known as the difference (heartbeat_ping): both change together. */
        client->ping_ds += (uint32_t)(limits->pong_timeout_ms / RC_WHEEL_TICK_MS) -
                           (uint32_t)(old->pong_timeout_ms / RC_WHEEL_TICK_MS);
    } else if (limits->ping_interval_ms != old->ping_interval_ms) {
        client->ping_ds =
            limits->ping_interval_ms == 0
                ? 0
                : rc_session_next_ping(sessions, 1 + rc_hub_random(sessions->hub) % limits->ping_interval_ms);
    }
    rc_session_schedule(sessions, index);
}

void rc_sessions_reconfigure(struct rc_sessions *sessions, const struct rc_config *config)
{
    const struct rc_config_limits *old = &sessions->config->limits;
    const struct rc_config_limits *limits = &config->limits;
    const bool counted = old->max_connections_per_address != 0 || old->max_connections_per_network != 0;
    const bool count =
        !counted && (limits->max_connections_per_address != 0 || limits->max_connections_per_network != 0);
    const bool retime = limits->idle_timeout_ms != old->idle_timeout_ms ||
                        limits->ping_interval_ms != old->ping_interval_ms ||
                        limits->pong_timeout_ms != old->pong_timeout_ms;
    sessions->config = config;
    sessions->exchanges.config = config;
    rc_session_trust(sessions);
    clients_limits(sessions);
    for (uint32_t i = 0; (count || retime) && i < sessions->truth->socket_count; i++) {
        const struct rc_socket *socket = &sessions->truth->sockets[i];
        if (count && socket->client != 0) {
            clients_count_address(sessions, i);
        }
        if (retime && rc_session_is_open(sessions, socket)) {
            clients_retime(sessions, i, old);
        }
    }
}

void rc_sessions_drain(struct rc_sessions *sessions)
{
    if (sessions->draining) {
        return;
    }
    sessions->draining = true; /* accepting goes on: whoever comes is answered 503 */
    sessions->exchanges.draining = true;
    const uint64_t spread_ms = sessions->config->server.drain_timeout_ms;
    for (uint32_t index = 1; index <= sessions->hub->clients_high; index++) {
        const struct rc_client *client = rc_truth_client(sessions->truth, index);
        if (client->state == RC_CLIENT_OPEN) {
            uint8_t reason[RC_GOODBYE_BYTES_MAX + 1] = {0};
            const uint64_t delay_ms = spread_ms == 0 ? 0 : rc_hub_random(sessions->hub) % spread_ms;
            reason[rc_encoding_codec_of(client->encoding)->goodbye(reason, (uint32_t)delay_ms)] = 0;
            rc_session_close(sessions, index, RC_CLOSE_SERVICE_RESTART, (const char *)reason, false);
        }
    }
}
