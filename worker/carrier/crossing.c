/* crossing: see crossing.h. */
#include "worker/carrier/crossing.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/config/text.h"
#include "common/shm/neighbours.h"
#include "worker/http/proxy_protocol.h"

_Static_assert(RC_NEIGHBOUR_SIDS_BYTES == RC_SID_INSTANCE_BYTES, "what sids begin with");
_Static_assert(RC_PROXY_WRITTEN_BYTES_MAX <= RC_IO_CONNECT_FIRST_MAX, "the header goes first");

static int crossing_failed(struct rc_clients *clients, const struct rc_listen_address *address, int error)
{
    char text[160] = "?";
    if (address != NULL) {
        rc_listen_address_format(text, sizeof(text), address);
    }
    rc_metric_add(clients->metrics, RC_METRIC_CROSSINGS_FAILED, 1);
    rc_log_limited(RC_LOG_WARN, 1, "instance_unreachable",
                   "address!=\"%s\" error=\"%s\" remedy=\"see cluster.advertise of that instance\"", text,
                   error == -ECANCELED ? "no connection in time" : strerror(-error));
    return error;
}

int rc_crossing_begin(struct rc_handovers *handovers, struct rc_exchange *exchange,
                      const char instance[RC_SID_INSTANCE_BYTES])
{
    struct rc_clients *clients = handovers->clients;
    const uint32_t index = exchange->connection;
    struct rc_socket *socket = &clients->truth->sockets[index];
    struct rc_listen_address address;
    char text[RC_NEIGHBOUR_ADDRESS_MAX];
    struct rc_err why;
    uint8_t header[RC_PROXY_WRITTEN_BYTES_MAX];
    RC_ASSERT(exchange->request != NULL && exchange->state == RC_EXCHANGE_RUNNING);
    if (socket->flags & RC_SOCKET_HERE) {
        return -ELOOP;
    }
    int rc = rc_neighbours_find(&clients->control->relay->neighbours, instance, text);
    if (rc == 0 && rc_advertise_address_parse(&address, text, strlen(text), &why) < 0) {
        rc = -EBADMSG;
    }
    if (rc < 0) {
        return rc == -ENOENT ? rc : crossing_failed(clients, NULL, rc);
    }
    if (clients->draining || clients->io->open_count >= rc_clients_slots(clients)) {
        return crossing_failed(clients, &address, clients->draining ? -ESHUTDOWN : -ENFILE);
    }
    /* Not exchange->client: the other side judges the request's headers, and with them who is behind its peer, as this one would. */
    const struct rc_address peer = rc_socket_peer(clients, index);
    const size_t header_bytes =
        rc_proxy_header_write(header, &peer, socket->port, clients->control->listeners[socket->listener].port);
    rc = rc_io_connect(clients->io, &address.socket.any, address.socket_bytes, RC_CROSSING_MS,
                       (uint64_t)socket->generation << 32 | index, header, (uint32_t)header_bytes);
    if (rc < 0) {
        return crossing_failed(clients, &address, rc);
    }
    rc_exchange_put_back(exchange);
    socket->state = RC_SOCKET_LEAVING;
    socket->leaving = RC_LEAVING_CROSSES;
    rc_socket_deadline(clients, index, 0); /* the connection has one */
    return 0;
}

/* The request once more, for which nobody else is asked. */
static void crossing_stays(struct rc_clients *clients, uint32_t index)
{
    clients->truth->sockets[index].flags |= RC_SOCKET_HERE;
    rc_handover_again(clients, index);
}

void rc_crossing_connected(void *context, const struct rc_io_connect *connect, int fd, int error)
{
    struct rc_handovers *handovers = context;
    struct rc_clients *clients = handovers->clients;
    const uint32_t index = (uint32_t)connect->token;
    const struct rc_socket *socket = &clients->truth->sockets[index];
    if (socket->generation != (uint32_t)(connect->token >> 32) || socket->state != RC_SOCKET_LEAVING) {
        if (fd >= 0) { /* the client has gone meanwhile */
            close(fd);
        }
        return;
    }
    if (fd >= 0) {
        error = rc_pipe_open(&handovers->pipes, index, fd, connect->first, connect->first_bytes);
    }
    if (error < 0) {
        struct rc_listen_address address = {.socket_bytes = connect->name_bytes};
        memcpy(&address.socket, &connect->name,
               sizeof(address.socket) < sizeof(connect->name) ? sizeof(address.socket) : sizeof(connect->name));
        address.unix_socket = connect->name.ss_family == AF_UNIX;
        address.port = address.unix_socket ? 0 : ntohs(address.socket.v6.sin6_port); /* both families have it there */
        (void)crossing_failed(clients, &address, error);
        crossing_stays(clients, index);
        return;
    }
    rc_metric_add(clients->metrics, RC_METRIC_CROSSINGS, 1);
}
