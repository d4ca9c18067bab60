/* pipe: see pipe.h. */
#include "worker/carrier/pipe.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"

#define PIPE_BYTES_MAX 65536u

static bool is_near(const struct rc_socket *socket)
{
    return (socket->pipe & RC_PIPE_NEAR) != 0;
}

static uint32_t other_end(const struct rc_socket *socket)
{
    return socket->pipe & ~RC_PIPE_NEAR;
}

void rc_pipes_rebuild(struct rc_pipes *pipes)
{
    const struct rc_truth *truth = pipes->clients->truth;
    RC_ASSERT(truth->adopted && pipes->count == 0);
    for (uint32_t i = 0; i < truth->socket_count; i++) {
        pipes->count += truth->sockets[i].state == RC_SOCKET_PIPED && is_near(&truth->sockets[i]); /* once a pair */
    }
    rc_metric_set(pipes->clients->metrics, RC_METRIC_PIPES, pipes->count);
}

bool rc_pipes_wanted(const struct rc_pipes *pipes)
{
    const struct rc_control *control = pipes->clients->control;
    for (uint32_t i = 0; pipes->count > 0 && i < control->worker_count; i++) {
        if (i != pipes->clients->worker && rc_report_value(control->workers[i], RC_METRIC_CONNECTIONS) > 0) {
            return true;
        }
    }
    return false;
}

int rc_pipe_open(struct rc_pipes *pipes, uint32_t index, int fd, const void *first, uint32_t first_bytes)
{
    struct rc_clients *clients = pipes->clients;
    struct rc_socket *socket = &clients->truth->sockets[index];
    RC_ASSERT(socket->state == RC_SOCKET_LEAVING);
    if (first_bytes > 0) {
        /* Before what is parked: the near end takes all of it when it has its place. */
        const uint32_t parked = socket->input == 0 ? 0 : rc_truth_input(clients->truth, socket->input)->parked_bytes;
        if (rc_socket_park(clients, index, first, first_bytes) < 0) {
            close(fd);
            return -ENOMEM;
        }
        uint8_t *bytes = rc_heap_at(&clients->truth->heap, rc_truth_input(clients->truth, socket->input)->parked);
        memmove(bytes + first_bytes, bytes, parked);
        memcpy(bytes, first, first_bytes);
    }
    const struct rc_handover like = {
        .peer = clients->truth->peers[index], .port = socket->port, .listener = socket->listener};
    const int rc = rc_io_place(clients->io, fd, &like, (uint64_t)socket->generation << 32 | index);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    socket->flags |= RC_SOCKET_PIPE; /* nowhere yet: LEAVING until it is placed */
    socket->pipe = RC_SOCKET_NONE & ~RC_PIPE_NEAR;
    rc_io_pause(clients->io, index);
    return 0;
}

/* Makes what was received on `index` output of the other. False: that ended both. */
static bool pipe_pass(struct rc_pipes *pipes, uint32_t index, const uint8_t *bytes, uint32_t count)
{
    struct rc_clients *clients = pipes->clients;
    const struct rc_socket *socket = &clients->truth->sockets[index];
    const uint32_t other = other_end(socket);
    if (count > 0 && rc_hub_answer(clients->hub, other, bytes, count) < 0) {
        rc_socket_failed_memory(clients, index);
        return false;
    }
    if (rc_hub_unsent_on(clients->hub, other) > PIPE_BYTES_MAX) {
        clients->truth->sockets[other].flags |= RC_SOCKET_WAITS_REPLIES;
        rc_metric_add(clients->metrics, RC_METRIC_READ_PAUSES, 1);
        rc_io_pause(clients->io, index);
    }
    return true;
}

void rc_pipe_received(struct rc_pipes *pipes, uint32_t index, const uint8_t *bytes, uint32_t count)
{
    (void)pipe_pass(pipes, index, bytes, count);
}

void rc_pipe_placed(struct rc_pipes *pipes, const struct rc_io_place *place, uint32_t near)
{
    struct rc_clients *clients = pipes->clients;
    const uint32_t index = (uint32_t)place->token;
    struct rc_socket *socket = &clients->truth->sockets[index];
    if (socket->generation != (uint32_t)(place->token >> 32) || socket->state != RC_SOCKET_LEAVING) {
        if (near != RC_SOCKET_NONE) { /* its connection has ended meanwhile */
            rc_io_terminate(clients->io, near);
        }
        return;
    }
    if (near == RC_SOCKET_NONE) {
        rc_io_terminate(clients->io, index);
        return;
    }
    rc_metric_add(clients->metrics, RC_METRIC_PIPES_OPENED, 1);
    rc_metric_set(clients->metrics, RC_METRIC_PIPES, ++pipes->count);
    struct rc_socket *end = &clients->truth->sockets[near];
    end->state = socket->state = RC_SOCKET_PIPED;
    end->flags |= RC_SOCKET_PIPE;
    end->pipe = index | RC_PIPE_NEAR;
    socket->pipe = near;
    rc_socket_deadline(clients, index, 0); /* whoever answers has an eye on the clock */
    uint32_t block = 0;
    uint32_t count = 0;
    if (socket->input != 0) {
        struct rc_input *input = rc_truth_input(clients->truth, socket->input);
        block = input->parked;
        count = input->parked_bytes;
        input->parked = input->parked_capacity = input->parked_bytes = input->parked_scanned = 0;
        rc_socket_input_release(clients, index);
    }
    const bool goes_on = count == 0 || pipe_pass(pipes, index, rc_heap_at(&clients->truth->heap, block), count);
    rc_socket_input_free(clients, &block);
    if (!goes_on) {
        return;
    }
    if (socket->flags & RC_SOCKET_PEER_ENDED) {
        rc_pipe_ended(pipes, index, 0);
    } else if (!(end->flags & RC_SOCKET_WAITS_REPLIES)) {
        rc_io_resume(clients->io, index);
    }
}

void rc_pipe_drained(struct rc_pipes *pipes, uint32_t index)
{
    struct rc_clients *clients = pipes->clients;
    struct rc_socket *socket = &clients->truth->sockets[index];
    if (rc_hub_unsent_on(clients->hub, index) <= PIPE_BYTES_MAX / 2) {
        socket->flags &= (uint16_t)~RC_SOCKET_WAITS_REPLIES;
        rc_io_resume(clients->io, other_end(socket));
    }
}

void rc_pipe_answered(struct rc_pipes *pipes, uint32_t index)
{
    struct rc_clients *clients = pipes->clients;
    const struct rc_socket *socket = &clients->truth->sockets[index];
    if (is_near(socket) && (clients->truth->sockets[other_end(socket)].flags & RC_SOCKET_PEER_ENDED)) {
        rc_io_shut(clients->io, index); /* once: nothing is received there any more that could be output here */
    }
}

void rc_pipe_ended(struct rc_pipes *pipes, uint32_t index, int error)
{
    struct rc_clients *clients = pipes->clients;
    const struct rc_socket *socket = &clients->truth->sockets[index];
    if (error < 0 || is_near(socket)) {
        rc_io_terminate(clients->io, index); /* rc_pipe_terminated: the other one, too */
    } else if (clients->truth->sockets[socket->pipe].output == 0) {
        rc_pipe_answered(pipes, socket->pipe); /* else when the rest has left */
    }
}

void rc_pipe_terminated(struct rc_pipes *pipes, uint32_t index)
{
    struct rc_clients *clients = pipes->clients;
    struct rc_socket *socket = &clients->truth->sockets[index];
    const uint32_t other = other_end(socket);
    const bool near = is_near(socket);
    socket->flags &= (uint16_t)~RC_SOCKET_PIPE;
    if (!near && other == (RC_SOCKET_NONE & ~RC_PIPE_NEAR)) {
        return; /* the near end finds that out when it has its place */
    }
    struct rc_socket *left = &clients->truth->sockets[other];
    RC_ASSERT(left->state == RC_SOCKET_PIPED && pipes->count > 0);
    rc_metric_set(clients->metrics, RC_METRIC_PIPES, --pipes->count);
    left->flags &= (uint16_t) ~(RC_SOCKET_PIPE | RC_SOCKET_WAITS_REPLIES);
    if (!near) {
        rc_io_terminate(clients->io, other);
        return;
    }
    /* The client gets what was for it, then its end. */
    rc_socket_linger(clients, other);
    rc_io_resume(clients->io, other);
    if (left->output == 0) {
        rc_socket_answered(clients, other);
    }
}
