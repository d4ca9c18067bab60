/* heartbeat: what a connection's timer finds: pings and pongs, who is silent, who takes nothing, who is late. See client.h. */
#include "worker/client/client.h"

#include "common/base/log.h"
#include "worker/store/named.h"

static void heartbeat_ping(struct rc_clients *clients, const struct rc_socket *socket)
{
    const uint32_t index = socket->client;
    struct rc_client *client = rc_truth_client(clients->truth, index);
    const struct rc_config_limits *limits = &clients->config->limits;
    if (client->flags & RC_CLIENT_PING_DUE) {
        const uint32_t asked_ds = client->ping_ds - (uint32_t)(limits->pong_timeout_ms / RC_WHEEL_TICK_MS);
        /* By their difference: what lies before the boot (a connection of its first second, a longer timeout after a reload) wraps. */
        if ((int32_t)(socket->received_ds - asked_ds) < 0 && !rc_socket_waits(clients, socket)) {
            rc_metric_add(clients->metrics, RC_METRIC_PONG_TIMEOUTS, 1);
            rc_named_log_client("pong_timeout", clients->truth, index, "no pong, and nothing else", "");
            rc_client_close(clients, index, RC_CLOSE_PONG_TIMEOUT, rc_close_reason(RC_CLOSE_PONG_TIMEOUT), true);
            return;
        }
        /* Something else arrived since, or we did not read: it is alive. */
        client->flags &= (uint16_t)~RC_CLIENT_PING_DUE;
        client->ping_ds = rc_client_next_ping(clients, limits->ping_interval_ms);
        return;
    }
    if (limits->ping_interval_ms == 0) {
        client->ping_ds = 0;
        return;
    }
    if (rc_hub_heartbeat(clients->hub, index) < 0) {
        rc_client_failed_memory(clients, index);
        return;
    }
    rc_metric_add(clients->metrics, RC_METRIC_PINGS, 1);
    if (limits->pong_timeout_ms > 0 &&
        !rc_encoding_is_stream(client->encoding)) { /* who only listens has no word for it */
        client->flags |= RC_CLIENT_PING_DUE;
        client->ping_ds = rc_io_deadline(clients->io, limits->pong_timeout_ms);
    } else {
        client->ping_ds = rc_client_next_ping(clients, limits->ping_interval_ms);
    }
}

/* The socket carries an open client. True: it does so still, and nothing was begun to end that. */
static bool heartbeat_timeouts(struct rc_clients *clients, uint32_t index)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    struct rc_client *client = rc_truth_client(clients->truth, socket->client);
    const uint32_t now = clients->io->now_ds;
    if ((client->flags & RC_CLIENT_WAITS_JOIN) && socket->resume_ds <= now) {
        rc_metric_add(clients->metrics, RC_METRIC_HANDSHAKE_TIMEOUTS, 1);
        rc_named_log_socket("handshake_timeout", clients->truth, index, "the relay did not register its channels", "");
        rc_io_terminate(clients->io, index); /* its handshake has not been answered */
        return false;
    }
    const uint32_t stalled_ds = rc_socket_stalled_ds(clients, socket);
    if (stalled_ds != 0 && stalled_ds <= now) {
        rc_metric_add(clients->metrics, RC_METRIC_WRITE_TIMEOUTS, 1);
        rc_named_log_socket("write_timeout", clients->truth, index, "its socket takes nothing", " blocked_ms=%u",
                            (now - socket->blocked_ds) * RC_WHEEL_TICK_MS);
        rc_client_close(clients, socket->client, RC_CLOSE_WRITE_STALLED, rc_close_reason(RC_CLOSE_WRITE_STALLED), true);
        return false;
    }
    if (socket->deadline_ds != 0 && socket->deadline_ds <= now) {
        const uint32_t idle_ds = (uint32_t)(clients->config->limits.idle_timeout_ms / RC_WHEEL_TICK_MS);
        if (idle_ds == 0) {
            socket->deadline_ds = 0;
        } else if (client->active_ds + idle_ds <= now) {
            rc_metric_add(clients->metrics, RC_METRIC_IDLE_TIMEOUTS, 1);
            rc_named_log_socket("idle_timeout", clients->truth, index, "it sent no message", " idle_ms=%u",
                                (now - client->active_ds) * RC_WHEEL_TICK_MS);
            rc_client_close(clients, socket->client, RC_CLOSE_IDLE_TIMEOUT, rc_close_reason(RC_CLOSE_IDLE_TIMEOUT),
                            true);
            return false;
        } else {
            socket->deadline_ds = client->active_ds + idle_ds;
        }
    }
    return true;
}

static void heartbeat_open(struct rc_clients *clients, uint32_t index)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    const uint32_t now = clients->io->now_ds;
    rc_io_quiet_check(clients->io, index);
    if ((socket->flags & RC_SOCKET_WAITS_RATE) && socket->resume_ds <= now) {
        socket->flags &= (uint16_t)~RC_SOCKET_WAITS_RATE;
        if (!rc_socket_waits(clients, socket)) {
            rc_socket_resume(clients, index);
            if (!rc_socket_is_open(clients, socket)) {
                return;
            }
        }
    }
    if (!heartbeat_timeouts(clients, index)) {
        return;
    }
    const uint32_t ping_ds = rc_truth_client(clients->truth, socket->client)->ping_ds;
    if (ping_ds != 0 && ping_ds <= now) {
        heartbeat_ping(clients, socket);
    }
    if (rc_socket_is_open(clients, socket)) {
        rc_socket_schedule(clients, index);
    }
}

void rc_socket_timer(void *context, uint32_t index)
{
    struct rc_clients *clients = context;
    struct rc_socket *socket = &clients->truth->sockets[index];
    if (rc_socket_is_open(clients, socket)) {
        heartbeat_open(clients, index);
        return;
    }
    if (socket->deadline_ds == 0 || socket->deadline_ds > clients->io->now_ds) {
        rc_socket_schedule(clients, index);
        return;
    }
    if (socket->state == RC_SOCKET_HTTP && rc_exchanges_expired(&clients->exchanges, index)) {
        return;
    }
    if (socket->state == RC_SOCKET_LEAVING) {
        clients->passage.late(clients->passage.context, index);
        return;
    }
    if (socket->state == RC_SOCKET_HTTP) {
        rc_metric_add(clients->metrics, RC_METRIC_HANDSHAKE_TIMEOUTS, 1);
        rc_named_log_socket("handshake_timeout", clients->truth, index, "no complete request", "");
    } else if (socket->state == RC_SOCKET_CARRYING) {
        rc_metric_add(clients->metrics, RC_METRIC_CLOSE_TIMEOUTS, 1);
        rc_named_log_socket("close_timeout", clients->truth, index, "its answer to the close frame did not come", "");
    }
    rc_io_terminate(clients->io, index);
}
