/*
 * rebuild: what is known of clients and their sockets beside the truth, made from a truth that another process has written. See client.h.
 *
 * What a backend is being asked is asked anew when its client goes on. Nothing is written to the truth before rc_clients_taken.
 */
#include "worker/client/client.h"

#include <errno.h>

#include "common/base/check.h"

static int rebuild_address(struct rc_clients *clients, const struct rc_address *address)
{
    return rc_address_limit_count(&clients->addresses, address);
}

static int rebuild_socket(struct rc_clients *clients, uint32_t index)
{
    const struct rc_socket *socket = &clients->truth->sockets[index];
    if (socket->state == RC_SOCKET_FREE || socket->state >= RC_SOCKET_TERMINATING) {
        return 0;
    }
    clients->handshakes += (socket->flags & RC_SOCKET_HANDSHAKE) != 0;
    rc_socket_schedule(clients, index);
    return socket->flags & RC_SOCKET_COUNTED ? rebuild_address(clients, &clients->truth->peers[index]) : 0;
}

/* Who has not said who it is has as long for it as at first. */
static int rebuild_expiry(struct rc_clients *clients, uint32_t index)
{
    const struct rc_client *client = rc_truth_client(clients->truth, index);
    return client->must_say ? rc_client_must_say_within(clients, index)
                            : rc_client_expires(clients, index, rc_client_expiry_due(clients, index));
}

static int rebuild_client(struct rc_clients *clients, uint32_t index)
{
    const struct rc_truth *truth = clients->truth;
    const struct rc_client *client = rc_truth_client(truth, index);
    const struct rc_user *user = client->user == 0 ? NULL : rc_truth_user(truth, client->user);
    const struct rc_engine *engine = rc_encoding_is_engine(client->encoding) ? rc_truth_engine(truth, index) : NULL;
    clients->connections++;
    /* As rc_client_attach counted it: something carries it. */
    clients->streams += rc_encoding_is_stream(client->encoding) && (client->flags & RC_CLIENT_CLOSE_RECEIVED) != 0;
    clients->users += user != NULL && user->id_bytes > 0;
    int rc = 0;
    if (engine != NULL && (engine->flags & RC_ENGINE_COUNTED)) { /* a session that no socket carries */
        rc = rebuild_address(clients, &engine->address);
    }
    rc = rc < 0 ? rc : rc_client_session_rebuild(clients, index);
    return rc < 0 ? rc : rebuild_expiry(clients, index);
}

int rc_clients_rebuild(struct rc_clients *clients, struct rc_err *err)
{
    const struct rc_truth *truth = clients->truth;
    RC_ASSERT(truth->adopted && clients->connections == 0);
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < truth->socket_count; i++) {
        rc = rebuild_socket(clients, i);
    }
    for (uint32_t i = 1; rc == 0 && i <= clients->hub->clients_high; i++) {
        rc = rc_truth_client(truth, i)->random == 0 ? 0 : rebuild_client(clients, i);
    }
    rc_metric_set(clients->metrics, RC_METRIC_CONNECTIONS, clients->connections);
    rc_metric_set(clients->metrics, RC_METRIC_STREAMS, clients->streams);
    rc_metric_set(clients->metrics, RC_METRIC_USERS, clients->users);
    rc_metric_set(clients->metrics, RC_METRIC_HANDSHAKES, clients->handshakes);
    return rc == 0 ? 0
                   : rc_err_set(err, rc,
                                rc == -EBADMSG ? "clients of a former process are of sessions that cannot be"
                                               : "no memory for the clients of a former process");
}

/* Whom a former process was about to hand over has a connection or a place that was that process's: its request is begun again, unless some of it may
 * have gone. (Who only waits, RC_LEAVING_WAITS, does that with its deadline.) */
static void stop_leaving(struct rc_clients *clients, uint32_t index)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    if (socket->state != RC_SOCKET_LEAVING || socket->leaving % RC_LEAVING_TRY == RC_LEAVING_WAITS) {
        return;
    }
    if (socket->flags & RC_SOCKET_PIPE) {
        rc_io_terminate(clients->io, index);
        return;
    }
    socket->leaving = 0;
    socket->flags &= (uint16_t)~RC_SOCKET_PAUSED;
    socket->state = RC_SOCKET_HTTP;
    rc_socket_deadline(clients, index, clients->config->limits.handshake_timeout_ms);
}

void rc_clients_taken(struct rc_clients *clients)
{
    const struct rc_truth *truth = clients->truth;
    for (uint32_t i = 1; i <= clients->hub->clients_high; i++) {
        const struct rc_client *client = rc_truth_client(truth, i);
        if (client->random != 0 && client->socket == RC_SOCKET_NONE && rc_encoding_is_stream(client->encoding)) {
            rc_client_end(clients, i); /* its request makes another one */
        }
    }
    for (uint32_t i = 0; i < truth->socket_count; i++) {
        const struct rc_socket *socket = &truth->sockets[i];
        stop_leaving(clients, i);
        if (socket->state == RC_SOCKET_HTTP && rc_socket_request_kept(clients, i)) {
            rc_socket_deadline(clients, i, 0); /* the former try's, which may be over: it gets another one */
        } else if (socket->state == RC_SOCKET_HTTP && socket->listener != RC_SOCKET_MADE_HERE &&
                   socket->deadline_ds == 0 && socket->input == 0) {
            rc_socket_deadline(clients, i, clients->config->limits.handshake_timeout_ms); /* it has just come */
        }
        if (socket->state == RC_SOCKET_HTTP && socket->listener != RC_SOCKET_MADE_HERE && socket->input != 0 &&
            rc_truth_input(truth, socket->input)->parked_bytes > 0 && !rc_socket_waits(clients, socket)) {
            rc_waiters_add(&clients->uplink->waiters, i);
        }
    }
}
