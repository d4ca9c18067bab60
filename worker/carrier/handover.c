/* handover: see handover.h. */
#include "worker/carrier/handover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/link/link_io.h"
#include "worker/store/named.h"
#include "worker/store/receiving.h"

#define HANDOVER_TRIES_MAX 10u
#define HANDOVER_AGAIN_MS 100u
#define HANDOVER_LATER_MAX 20u

static uint32_t leaving_to(const struct rc_socket *socket)
{
    return socket->leaving % RC_LEAVING_TRY;
}

/* --- it is to go ----------------------------------------------------------------------------------------------------- */

int rc_handover_begin(struct rc_exchange *exchange, uint32_t worker)
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

void rc_handover_wait(struct rc_handovers *handovers, struct rc_exchange *exchange)
{
    struct rc_clients *clients = handovers->clients;
    const uint32_t index = exchange->connection;
    rc_exchange_put_back(exchange);
    clients->truth->sockets[index].leaving = RC_LEAVING_WAITS;
    clients->truth->sockets[index].state = RC_SOCKET_LEAVING;
    rc_socket_deadline(clients, index, clients->config->limits.handshake_timeout_ms);
    handovers->waiting = true;
}

bool rc_handover_later(struct rc_exchange *exchange)
{
    struct rc_clients *clients = exchange->exchanges->ops.context;
    const uint32_t index = exchange->connection;
    struct rc_socket *socket = &clients->truth->sockets[index];
    const uint32_t tries = leaving_to(socket) == RC_LEAVING_WAITS ? socket->leaving / RC_LEAVING_TRY : 0;
    if (tries >= HANDOVER_LATER_MAX || clients->draining) {
        socket->leaving = 0; /* that was this request's: the next one on this connection has its own patience */
        return false;
    }
    rc_exchange_put_back(exchange);
    socket->leaving = RC_LEAVING_WAITS + (tries + 1) * RC_LEAVING_TRY;
    socket->state = RC_SOCKET_LEAVING;
    rc_socket_deadline(clients, index, HANDOVER_AGAIN_MS);
    return true;
}

void rc_handover_again(struct rc_clients *clients, uint32_t index)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    socket->state = RC_SOCKET_HTTP; /* how often it was tried stays in socket->leaving */
    rc_socket_deadline(clients, index, clients->config->limits.handshake_timeout_ms);
    rc_io_resume(clients->io, index);
    rc_socket_resume(clients, index);
    if (socket->state == RC_SOCKET_HTTP) {
        socket->leaving = 0; /* it has found who answers it */
    }
    if ((socket->flags & RC_SOCKET_PEER_ENDED) &&
        (socket->state == RC_SOCKET_HTTP || socket->state == RC_SOCKET_CARRYING)) {
        rc_socket_ended(clients, index,
                        0); /* while it was LEAVING nobody was told: who gives its GET up gives up the session */
    }
}

static bool socket_waits(const struct rc_socket *socket)
{
    return socket->state == RC_SOCKET_LEAVING && leaving_to(socket) == RC_LEAVING_WAITS;
}

void rc_handovers_go_on(struct rc_handovers *handovers)
{
    struct rc_clients *clients = handovers->clients;
    if (RC_LIKELY(!handovers->waiting)) {
        return;
    }
    handovers->waiting = false;
    for (uint32_t i = 0; i < clients->truth->socket_count; i++) {
        /* Those of rc_handover_later have their own time: nothing that was moved is what they wait for. */
        if (socket_waits(&clients->truth->sockets[i]) && clients->truth->sockets[i].leaving / RC_LEAVING_TRY == 0) {
            rc_handover_again(clients, i);
        }
    }
}

/* It could not go: 503, and its end. What it asked for is not known here. */
static void leave_failed(struct rc_handovers *handovers, uint32_t index, int error)
{
    struct rc_clients *clients = handovers->clients;
    rc_metric_add(clients->metrics, RC_METRIC_HANDOVERS_FAILED, 1);
    rc_log_limited(RC_LOG_WARN, 1, "handover_failed", "worker=%u error=\"%s\"",
                   leaving_to(&clients->truth->sockets[index]), strerror(-error));
    rc_socket_input_release(clients, index);
    rc_io_keep(clients->io, index);
    rc_socket_refuse(clients, index, "the worker that has this session takes no connection now: try again");
}

/* The message could not be sent: again in a moment, if that may help. */
static void leave_later(struct rc_handovers *handovers, uint32_t index, int error)
{
    struct rc_clients *clients = handovers->clients;
    struct rc_socket *socket = &clients->truth->sockets[index];
    const bool passes = error == -EAGAIN || error == -EMFILE || error == -ENFILE || error == -ENOMEM;
    if (!passes || socket->leaving / RC_LEAVING_TRY >= HANDOVER_TRIES_MAX) {
        leave_failed(handovers, index, error);
        return;
    }
    socket->leaving += RC_LEAVING_TRY;
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
static int leave_send(const struct rc_handovers *handovers, uint32_t index, int fd, uint32_t bytes)
{
    const struct rc_clients *clients = handovers->clients;
    const struct rc_socket *socket = &clients->truth->sockets[index];
    if (leaving_to(socket) == RC_LEAVING_LINKS) {
        const struct rc_address peer = rc_socket_peer(clients, index);
        return rc_links_take(handovers->links, fd, rc_span_of(leaving_bytes(clients, index).bytes, bytes), &peer);
    }
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
        .flags = (uint8_t)(((socket->flags & RC_SOCKET_COUNTED) ? RC_HANDOVER_COUNTED : 0u) |
                           ((socket->flags & RC_SOCKET_HERE) ? RC_HANDOVER_HERE : 0u)),
    };
    return rc_handover_send(handovers->outbox_fds[leaving_to(socket)], &head, leaving_bytes(clients, index).bytes, fd);
}

/* It stays, and what is to be handed over is the far end of a pipe. */
static void leave_by_pipe(struct rc_handovers *handovers, uint32_t index)
{
    struct rc_clients *clients = handovers->clients;
    const uint64_t parked = leaving_bytes(clients, index).count;
    const uint32_t bytes = parked < RC_HANDOVER_BYTES_MAX ? (uint32_t)parked : RC_HANDOVER_BYTES_MAX;
    int pair[2];
    if (!rc_io_can_place(clients->io)) { /* known before the request has gone */
        leave_later(handovers, index, -EAGAIN);
        return;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
        leave_later(handovers, index, -errno);
        return;
    }
    int rc = leave_send(handovers, index, pair[1], bytes);
    close(pair[1]);
    if (rc < 0) {
        close(pair[0]);
        leave_later(handovers, index, rc);
        return;
    }
    if (bytes > 0) {
        rc_socket_unpark(clients, index, bytes);
    }
    rc = rc_pipe_open(&handovers->pipes, index, pair[0], NULL, 0);
    RC_ASSERT(rc == 0); /* there is a place, and nothing to go first */
}

static void socket_leaves(void *context, uint32_t index)
{
    struct rc_handovers *handovers = context;
    struct rc_clients *clients = handovers->clients;
    struct rc_socket *socket = &clients->truth->sockets[index];
    if (socket->flags & RC_SOCKET_PIPE) {
        return;
    }
    if (leaving_to(socket) == RC_LEAVING_CROSSES || leaving_to(socket) == RC_LEAVING_WAITS) {
        rc_io_pause(clients->io, index); /* goes on in rc_crossing_connected, rc_handovers_go_on */
        return;
    }
    const bool moves = rc_io_can_give(clients->io, index) && !rc_io_is_tls(clients->io, index) &&
                       leaving_bytes(clients, index).count <= RC_HANDOVER_BYTES_MAX;
    if (!moves) {
        rc_io_pause(clients->io, index);
        leave_by_pipe(handovers, index);
    } else if (socket->output != 0) {
        rc_io_pause(clients->io, index); /* goes on in rc_socket_answered */
    } else {
        rc_io_give(clients->io, index);
    }
}

static void socket_late(void *context, uint32_t index)
{
    struct rc_handovers *handovers = context;
    struct rc_clients *clients = handovers->clients;
    const struct rc_socket *socket = &clients->truth->sockets[index];
    if (socket_waits(socket)) {
        rc_handover_again(clients, index);
        return;
    }
    if (!(socket->flags & RC_SOCKET_PIPE) && leaving_to(socket) != RC_LEAVING_CROSSES &&
        socket->leaving / RC_LEAVING_TRY > 0) {
        socket_leaves(handovers, index);
        return;
    }
    rc_metric_add(clients->metrics, RC_METRIC_HANDOVERS_FAILED, 1);
    rc_named_log_socket("handover_timeout", clients->truth, index, "its answers do not leave", "");
    rc_io_terminate(clients->io, index);
}

void rc_handover_given(void *context, uint32_t index, int fd)
{
    struct rc_handovers *handovers = context;
    struct rc_clients *clients = handovers->clients;
    const uint64_t parked = leaving_bytes(clients, index).count;
    if (parked > RC_HANDOVER_BYTES_MAX) { /* the last receive was too much for a message */
        rc_io_keep(clients->io, index);
        rc_io_pause(clients->io, index);
        leave_by_pipe(handovers, index);
        return;
    }
    const bool stays = leaving_to(&clients->truth->sockets[index]) == RC_LEAVING_LINKS; /* in this process */
    if (!stays) {
        rc_io_leaves(clients->io, index, true); /* killed behind the send, the successor has it no more */
    }
    const int rc = fd < 0 ? fd : leave_send(handovers, index, fd, (uint32_t)parked);
    if (rc < 0) {
        if (!stays) {
            rc_io_leaves(clients->io, index, false);
        }
        leave_later(handovers, index, rc);
        return;
    }
    rc_io_left(clients->io, index);
}

/* --- it has come ----------------------------------------------------------------------------------------------------- */

static void socket_arrives(struct rc_clients *clients, const struct rc_io_place *place, uint32_t index)
{
    rc_metric_add(clients->metrics, RC_METRIC_HANDED_IN, 1);
    if (rc_log_enabled(RC_LOG_DEBUG)) {
        rc_log_debug("handed_in", "slot=%u from=%u generation=%u bytes=%u waited_ms=%llu", index, place->from.worker,
                     place->from.generation, place->from.bytes,
                     (unsigned long long)(rc_clock_ms() - place->from.time_ms));
    }
    rc_socket_came_in(clients, index);
    clients->truth->sockets[index].flags |= (place->from.flags & RC_HANDOVER_HERE) ? RC_SOCKET_HERE : 0u;
    if (rc_socket_too_many(clients, index)) {
        rc_socket_refuse(clients, index, "this server is full: try again");
        return;
    }
    if ((place->from.flags & RC_HANDOVER_COUNTED) && !rc_socket_admit(clients, index)) {
        rc_socket_refuse(clients, index, "too many connections from your address");
        return;
    }
    rc_socket_deadline(clients, index, clients->config->limits.handshake_timeout_ms);
    if (place->from.bytes > 0) { /* without memory: when it was taken */
        (void)rc_socket_park(clients, index, place->bytes, place->from.bytes);
    }
}

void rc_handover_placed(void *context, const struct rc_io_place *place, uint32_t index)
{
    struct rc_handovers *handovers = context;
    if (place->token != RC_IO_PLACE_ARRIVED) {
        rc_pipe_placed(&handovers->pipes, place, index);
    } else if (index != RC_SOCKET_NONE) {
        socket_arrives(handovers->clients, place, index);
    } else {
        rc_metric_add(handovers->clients->metrics, RC_METRIC_HANDOVERS_LOST, 1);
    }
}

void rc_handover_taken(void *context, const struct rc_io_place *place, uint32_t index)
{
    const struct rc_handovers *handovers = context;
    const struct rc_socket *socket = &handovers->clients->truth->sockets[index];
    if (socket->state == RC_SOCKET_HTTP && socket->input != 0) {
        rc_socket_resume(handovers->clients, index);
    } else if (socket->state == RC_SOCKET_HTTP && place->from.bytes > 0) {
        rc_socket_received(handovers->clients, index, place->bytes, place->from.bytes);
        rc_receiving_over(handovers->clients->truth);
    }
}

/* --- debug.handover -------------------------------------------------------------------------------------------------- */

/* What was posted comes back. */
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

static void asked_of(void *context, struct rc_exchange *exchange, const struct rc_route *route)
{
    static const struct rc_exchange_user user = {.run = asked_run};
    const struct rc_handovers *handovers = context;
    const uint32_t worker = (uint32_t)(route - handovers->asked);
    const int rc = worker == handovers->clients->worker ? rc_exchange_read(exchange, &user, NULL)
                                                        : rc_handover_begin(exchange, worker);
    if (rc < 0) {
        rc_exchange_error(exchange,
                          (struct rc_exchange_answer){.status = 503, .message = strerror(-rc), .retry_after_s = 1});
    }
}

static void asked_open(struct rc_handovers *handovers)
{
    struct rc_clients *clients = handovers->clients;
    const uint32_t count = clients->control->worker_count;
    (void)snprintf(handovers->asked_below, sizeof(handovers->asked_below), "%s/", clients->config->debug.handover.text);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(handovers->asked_paths[i], sizeof(handovers->asked_paths[i]), "%u", i);
        handovers->asked[i] =
            (struct rc_route){.path = handovers->asked_paths[i], .methods = "GET, POST", .run = asked_of};
    }
    const struct rc_route_set set = {.below = handovers->asked_below,
                                     .routes = handovers->asked,
                                     .count = count,
                                     .context = handovers,
                                     .missing = "there is no such worker"};
    rc_routes_add(&clients->routes, &set);
}

/* --- wiring ---------------------------------------------------------------------------------------------------------- */

static void pipe_received(void *context, uint32_t socket, const uint8_t *bytes, uint32_t count)
{
    struct rc_handovers *handovers = context;
    rc_pipe_received(&handovers->pipes, socket, bytes, count);
}

static void pipe_drained(void *context, uint32_t socket)
{
    struct rc_handovers *handovers = context;
    rc_pipe_drained(&handovers->pipes, socket);
}

static void pipe_answered(void *context, uint32_t socket)
{
    struct rc_handovers *handovers = context;
    rc_pipe_answered(&handovers->pipes, socket);
}

static void pipe_ended(void *context, uint32_t socket, int error)
{
    struct rc_handovers *handovers = context;
    rc_pipe_ended(&handovers->pipes, socket, error);
}

static void pipe_terminated(void *context, uint32_t socket)
{
    struct rc_handovers *handovers = context;
    rc_pipe_terminated(&handovers->pipes, socket);
}

void rc_handovers_open(struct rc_handovers *handovers, struct rc_clients *clients, const int *outbox_fds)
{
    *handovers = (struct rc_handovers){
        .clients = clients, .outbox_fds = outbox_fds, .pipes = {.clients = clients}, .waiting = true};
    clients->passage = (struct rc_passage_ops){.context = handovers,
                                               .leaves = socket_leaves,
                                               .late = socket_late,
                                               .received = pipe_received,
                                               .drained = pipe_drained,
                                               .answered = pipe_answered,
                                               .ended = pipe_ended,
                                               .terminated = pipe_terminated};
    if (clients->config->debug.handover.text[0] != '\0') {
        asked_open(handovers);
    }
}
