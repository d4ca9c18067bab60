/*
 * handover: a connection whose next request is another worker's: it goes there with the bytes of that request. See client.h.
 *
 *   HTTP ─▶ LEAVING: its answers leave ─▶ nothing in flight (io) ─▶ one message to the other worker ─▶ gone from here
 *              │                                                            │ full: again, ten times
 *              │ it cannot move: a pipe's far end goes in its place         ▼
 *              └────────────▶ PIPED (pipe.c)                            503, LINGER
 */
#include "worker/client/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/store/named.h"

#define HANDOVER_TRIES_MAX 10u
#define HANDOVER_AGAIN_MS 100u
#define HANDOVER_TRY 65536u /* in socket.leaving */

static uint32_t leaving_to(const struct rc_socket *socket)
{
    return socket->leaving % HANDOVER_TRY;
}

/* --- it is to go ----------------------------------------------------------------------------------------------------- */

int rc_socket_hand_over(struct rc_exchange *exchange, uint32_t worker)
{
    struct rc_clients *clients = exchange->exchanges->ops.context;
    const uint32_t index = exchange->connection;
    struct rc_socket *socket = &clients->truth->sockets[index];
    RC_ASSERT(exchange->request != NULL && exchange->state == RC_EXCHANGE_RUNNING);
    if (worker >= clients->control->worker_count || worker == clients->worker) {
        return -EINVAL;
    }
    if (clients->draining) {
        return -ESHUTDOWN;
    }
    /* Relaxed: it may die in the next moment; what is in its inbox then is its successor's. */
    if (atomic_load_explicit(&clients->control->core->workers[worker].running, memory_order_relaxed) == 0) {
        return -ESRCH;
    }
    rc_exchange_put_back(exchange);
    socket->state = RC_SOCKET_LEAVING;
    socket->leaving = worker;
    rc_socket_deadline(clients, index, clients->config->limits.handshake_timeout_ms);
    return 0;
}

/* It could not go: 503, and its end. What it asked for is not known here. */
static void leave_failed(struct rc_clients *clients, uint32_t index, int error)
{
    rc_metric_add(clients->metrics, RC_METRIC_HANDOVERS_FAILED, 1);
    rc_log_limited(RC_LOG_WARN, 1, "handover_failed", "worker=%u error=\"%s\"",
                   leaving_to(&clients->truth->sockets[index]), strerror(-error));
    rc_socket_input_release(clients, index);
    rc_io_keep(clients->io, index);
    rc_socket_refuse(clients, index, "the worker that has this session takes no connection now: try again");
}

/* The message could not be sent: again in a moment, if that may help. */
static void leave_later(struct rc_clients *clients, uint32_t index, int error)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    const bool passes = error == -EAGAIN || error == -EMFILE || error == -ENFILE || error == -ENOMEM;
    if (!passes || socket->leaving / HANDOVER_TRY >= HANDOVER_TRIES_MAX) {
        leave_failed(clients, index, error);
        return;
    }
    socket->leaving += HANDOVER_TRY;
    rc_socket_deadline(clients, index, HANDOVER_AGAIN_MS);
}

static struct rc_span leaving_bytes(const struct rc_clients *clients, uint32_t index)
{
    const struct rc_socket *socket = &clients->truth->sockets[index];
    if (socket->input == 0) {
        return (struct rc_span){0};
    }
    const struct rc_input *input = rc_truth_input(clients->truth, socket->input);
    return rc_span_of(input->parked == 0 ? NULL : rc_heap_at(&clients->truth->heap, input->parked),
                      input->parked_bytes);
}

/* Sends `fd`, which is the connection or speaks for it, with the first `bytes` of what is parked. */
static int leave_send(struct rc_clients *clients, uint32_t index, int fd, uint32_t bytes)
{
    const struct rc_socket *socket = &clients->truth->sockets[index];
    const struct rc_handover head = {
        .bytes = bytes,
        .sent_bytes = socket->sent_bytes,
        .received_bytes = socket->received_bytes,
        .time_ms = rc_clock_ms(),
        .peer = clients->truth->peers[index],
        .worker = clients->worker,
        .generation =
            atomic_load_explicit(&clients->control->core->workers[clients->worker].generation, memory_order_relaxed),
        .port = socket->port,
        .listener = socket->listener,
        .flags = (socket->flags & RC_SOCKET_COUNTED) ? RC_HANDOVER_COUNTED : 0,
    };
    return rc_handover_send(clients->outbox_fds[leaving_to(socket)], &head, leaving_bytes(clients, index).bytes, fd);
}

/* It stays, and what is to be handed over is the far end of a pipe. */
static void leave_by_pipe(struct rc_clients *clients, uint32_t index)
{
    const uint64_t parked = leaving_bytes(clients, index).count;
    const uint32_t bytes = parked < RC_HANDOVER_BYTES_MAX ? (uint32_t)parked : RC_HANDOVER_BYTES_MAX;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
        leave_later(clients, index, -errno);
        return;
    }
    int rc = leave_send(clients, index, pair[1], bytes);
    close(pair[1]);
    if (rc < 0) {
        close(pair[0]);
        leave_later(clients, index, rc);
        return;
    }
    if (bytes > 0) {
        rc_socket_unpark(clients, index, bytes);
    }
    rc = rc_pipe_open(clients, index, pair[0], NULL, 0);
    if (rc < 0) { /* the request has gone: the other worker finds its connection closed */
        leave_failed(clients, index, rc);
    }
}

void rc_socket_leave(struct rc_clients *clients, uint32_t index)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    if (socket->flags & RC_SOCKET_PIPE) {
        return;
    }
    const bool moves =
        rc_io_can_give(clients->io, index) && leaving_bytes(clients, index).count <= RC_HANDOVER_BYTES_MAX;
    if (!moves) {
        rc_io_pause(clients->io, index);
        leave_by_pipe(clients, index);
    } else if (socket->output != 0) {
        rc_io_pause(clients->io, index); /* goes on in rc_socket_answered */
    } else {
        rc_io_give(clients->io, index);
    }
}

void rc_socket_leave_again(struct rc_clients *clients, uint32_t index)
{
    const struct rc_socket *socket = &clients->truth->sockets[index];
    if (!(socket->flags & RC_SOCKET_PIPE) && socket->leaving / HANDOVER_TRY > 0) {
        rc_socket_leave(clients, index);
        return;
    }
    rc_metric_add(clients->metrics, RC_METRIC_HANDOVERS_FAILED, 1);
    rc_named_log_socket("handover_timeout", clients->truth, index, "its answers do not leave", "");
    rc_io_terminate(clients->io, index);
}

void rc_socket_given(void *context, uint32_t index, int fd)
{
    struct rc_clients *clients = context;
    const uint64_t parked = leaving_bytes(clients, index).count;
    if (parked > RC_HANDOVER_BYTES_MAX) { /* the last receive was too much for a message */
        rc_io_keep(clients->io, index);
        rc_io_pause(clients->io, index);
        leave_by_pipe(clients, index);
        return;
    }
    const int rc = fd < 0 ? fd : leave_send(clients, index, fd, (uint32_t)parked);
    if (rc < 0) {
        leave_later(clients, index, rc);
        return;
    }
    rc_io_left(clients->io, index);
}

/* --- it has come ----------------------------------------------------------------------------------------------------- */

static void arrive(struct rc_clients *clients, const struct rc_io_place *place, uint32_t index)
{
    rc_metric_add(clients->metrics, RC_METRIC_HANDED_IN, 1);
    if (rc_log_enabled(RC_LOG_DEBUG)) {
        rc_log_debug("handed_in", "slot=%u from=%u generation=%u bytes=%u waited_ms=%llu", index, place->from.worker,
                     place->from.generation, place->from.bytes,
                     (unsigned long long)(rc_clock_ms() - place->from.time_ms));
    }
    rc_socket_came_in(clients, index);
    if (rc_socket_too_many(clients, index)) {
        rc_socket_refuse(clients, index, "this server is full: try again");
        return;
    }
    if ((place->from.flags & RC_HANDOVER_COUNTED) && !rc_socket_admit(clients, index)) {
        rc_socket_refuse(clients, index, "too many connections from your address");
        return;
    }
    rc_socket_deadline(clients, index, clients->config->limits.handshake_timeout_ms);
    if (place->from.bytes > 0) {
        rc_socket_received(clients, index, place->bytes, place->from.bytes);
    }
}

void rc_socket_placed(void *context, const struct rc_io_place *place, uint32_t index)
{
    struct rc_clients *clients = context;
    if (place->token != RC_IO_PLACE_ARRIVED) {
        rc_pipe_placed(clients, place, index);
    } else if (index != RC_SOCKET_NONE) {
        arrive(clients, place, index);
    } else {
        rc_metric_add(clients->metrics, RC_METRIC_HANDOVERS_LOST, 1);
    }
}

/* --- debug.handover -------------------------------------------------------------------------------------------------- */

/* The number behind "{debug.handover}/"; -1: the path is another. */
static int asked_worker(const struct rc_config *config, const char *path)
{
    const char *below = config->debug.handover.text;
    const size_t bytes = strlen(below);
    if (bytes == 0 || strncmp(path, below, bytes) != 0 || path[bytes] != '/' || path[bytes + 1] < '0' ||
        path[bytes + 1] > '9') {
        return -1;
    }
    char *end;
    const unsigned long worker = strtoul(path + bytes + 1, &end, 10);
    return *end == '\0' && worker < RC_WORKERS_MAX ? (int)worker : -1;
}

static void asked_run(struct rc_exchange *exchange)
{
    const struct rc_clients *clients = exchange->exchanges->ops.context;
    char peer[RC_ADDRESS_TEXT_MAX];
    char head[128];
    uint8_t *body = malloc(exchange->byte_count + 1); /* the exchange's own is gone when its answer is written */
    if (body == NULL) {
        rc_exchange_error(exchange, (struct rc_exchange_answer){.status = 503, .message = "no memory"});
        return;
    }
    if (exchange->byte_count > 0) {
        memcpy(body, exchange->bytes, exchange->byte_count);
    }
    rc_address_format(peer, &exchange->client);
    (void)snprintf(head, sizeof(head), "X-Worker: %u\r\nX-Peer: %s %u\r\nX-Local: %d\r\n", clients->worker, peer,
                   clients->truth->sockets[exchange->connection].port, exchange->local ? 1 : 0);
    rc_exchange_answer(exchange, &(struct rc_exchange_answer){.status = 200,
                                                              .content_type = "application/octet-stream",
                                                              .headers = head,
                                                              .body = body,
                                                              .body_bytes = exchange->byte_count});
    free(body);
}

/* Answered by the worker that the path names, with the body that came. */
static void asked(void *context, struct rc_exchange *exchange, const struct rc_route *route)
{
    static const struct rc_exchange_user user = {.run = asked_run};
    const struct rc_clients *clients = exchange->exchanges->ops.context;
    char path[RC_ROUTE_PATH_BYTES_MAX];
    (void)context;
    (void)route;
    (void)snprintf(path, sizeof(path), "%.*s", (int)exchange->request->path.bytes, exchange->request->path.text);
    const int worker = asked_worker(clients->config, path);
    int rc = worker < 0 ? -EINVAL : 0;
    if (rc == 0 && (uint32_t)worker != clients->worker) {
        rc = rc_socket_hand_over(exchange, (uint32_t)worker);
        if (rc == 0) {
            return;
        }
    } else if (rc == 0) {
        rc = rc_exchange_read(exchange, &user, NULL);
    }
    if (rc < 0) {
        rc_exchange_error(exchange,
                          (struct rc_exchange_answer){.status = 503, .message = strerror(-rc), .retry_after_s = 1});
    }
}

const struct rc_route *rc_handover_route(const struct rc_config *config, const char *path)
{
    static const struct rc_route route = {.path = "", .methods = "GET, POST", .allow = NULL, .run = asked};
    return asked_worker(config, path) >= 0 ? &route : NULL;
}
