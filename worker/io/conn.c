/*
 * conn: the life of a socket: being read, being waited for, and its end (terminate, join, close), or how it leaves for another process
 * whole. How it begins: accept.c, place.c.
 *
 *   rc_io_give ─▶ nothing in flight ─▶ a descriptor of this process ─▶ handlers.given: rc_io_left, or it stays (rc_io_keep)
 */
#include "worker/io/io.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/io/io_internal.h"
#include "worker/store/order.h"
#include "worker/store/taking.h"

/* A quiet connection whose polls follow each other faster than this starts to be received in one standing request... */
#define CONN_TALKING_DS 10u
/* ...and goes back when it was silent for so long. */
#define CONN_QUIET_DS 50u
#define CONN_RETRY_NS 50000000 /* between two looks for room where a poll cannot wait for it */

static void conn_arm_receive(struct rc_io *io, uint32_t index, bool multishot)
{
    struct io_uring_sqe *sqe = rc_io_sqe(io);
    if (multishot) {
        io_uring_prep_recv_multishot(sqe, (int)index, NULL, 0, 0);
    } else {
        io_uring_prep_recv(sqe, (int)index, NULL, RC_IO_BUFFER_BYTES, 0);
    }
    io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT);
    sqe->buf_group = RC_IO_BUFFER_GROUP;
    io_uring_sqe_set_data64(sqe, rc_io_socket_data(io, RC_OP_RECEIVE, index));
    io->truth->sockets[index].inflight |= RC_INFLIGHT_RECEIVE;
    io->truth->sockets[index].cancelled &= (uint8_t)~RC_INFLIGHT_RECEIVE;
}

static bool conn_readable_state(const struct rc_socket *socket)
{
    return socket->state != RC_SOCKET_FREE && socket->state != RC_SOCKET_TERMINATING &&
           socket->state != RC_SOCKET_CLOSED && !(socket->flags & RC_SOCKET_PEER_ENDED);
}

/* `more`: the socket is known to have something. */
static void conn_read(struct rc_io *io, uint32_t index, bool more)
{
    const struct rc_socket *socket = &io->truth->sockets[index];
    if ((socket->flags & RC_SOCKET_PAUSED) || (socket->inflight & (RC_INFLIGHT_RECEIVE | RC_INFLIGHT_POLL)) ||
        rc_io_is_parking(io, index) || !conn_readable_state(&io->truth->sockets[index])) {
        return;
    }
    switch ((enum rc_io_mode)socket->mode) {
    case RC_IO_HANDSHAKE:
    case RC_IO_TLS_HANDSHAKE:
        conn_arm_receive(io, index, false);
        return;
    case RC_IO_QUIET:
        if (more) {
            conn_arm_receive(io, index, false);
        } else {
            rc_io_arm_poll(io, index, POLLIN | POLLRDHUP, RC_OP_POLL, RC_INFLIGHT_POLL);
        }
        return;
    case RC_IO_TALKING:
        conn_arm_receive(io, index, true);
        return;
    case RC_IO_GIVING:
        rc_io_give_step(io, index);
        return;
    case RC_IO_GIVEN:
    case RC_IO_LEFT:
    case RC_IO_ASKED:
        return;
    }
}

void rc_io_read(struct rc_io *io, uint32_t index)
{
    conn_read(io, index, false);
}

/* Cancels one of the `wanted` requests that are in flight, if there is one and no cancellation is under way. One at a time and by
 * its user data, which the kernel finds by hash: by descriptor it looks at every request of the ring (0.2 ms with 5,000). */
static void conn_cancel(struct rc_io *io, uint32_t index, uint8_t wanted)
{
    static const struct {
        uint8_t bit;
        uint8_t op;
    } kinds[] = {
        {RC_INFLIGHT_RECEIVE, RC_OP_RECEIVE}, {RC_INFLIGHT_POLL, RC_OP_POLL}, {RC_INFLIGHT_POLLOUT, RC_OP_POLLOUT}};
    struct rc_socket *socket = &io->truth->sockets[index];
    const uint32_t left = socket->inflight & wanted & ~(uint32_t)socket->cancelled;
    if (socket->inflight & RC_INFLIGHT_CANCEL) {
        return;
    }
    for (size_t i = 0; i < RC_ARRAY_COUNT(kinds); i++) {
        if (left & kinds[i].bit) {
            struct io_uring_sqe *sqe = rc_io_sqe(io);
            io_uring_prep_cancel64(sqe, rc_io_socket_data(io, (enum rc_io_op)kinds[i].op, index), 0);
            io_uring_sqe_set_data64(sqe, rc_io_socket_data(io, RC_OP_CANCEL, index));
            socket->inflight |= RC_INFLIGHT_CANCEL;
            socket->cancelled |= kinds[i].bit;
            return;
        }
    }
}

void rc_io_cancel_receive(struct rc_io *io, uint32_t index)
{
    conn_cancel(io, index, RC_INFLIGHT_RECEIVE);
}

/* Cancels what can be of what is in flight, all of it. False: nothing is. */
static bool conn_join(struct rc_io *io, uint32_t index)
{
    conn_cancel(io, index, RC_INFLIGHT_RECEIVE | RC_INFLIGHT_POLL | RC_INFLIGHT_POLLOUT);
    return io->truth->sockets[index].inflight != 0;
}

void rc_io_pause(struct rc_io *io, uint32_t index)
{
    io->truth->sockets[index].flags |= RC_SOCKET_PAUSED;
    conn_cancel(io, index, RC_INFLIGHT_RECEIVE);
    /* A one-shot poll may stay: it reads nothing, and rc_io_on_poll looks at `paused`. */
}

void rc_io_resume(struct rc_io *io, uint32_t index)
{
    io->truth->sockets[index].flags &= (uint16_t)~RC_SOCKET_PAUSED;
    rc_io_read(io, index);
}

void rc_io_want_writable(struct rc_io *io, uint32_t index)
{
    if (!rc_io_busy(io, index)) { /* else the completion of the record under way says so */
        rc_io_arm_pollout(io, index);
    }
}

void rc_io_give_buffer(struct rc_io *io, uint32_t buffer)
{
    io_uring_buf_ring_add(io->buffers, io->buffer_memory + (size_t)buffer * RC_IO_BUFFER_BYTES, RC_IO_BUFFER_BYTES,
                          (unsigned short)buffer, (int)(io->buffer_count - 1), 0);
    io_uring_buf_ring_advance(io->buffers, 1);
}

/* Which mode the connection should be in after data came now. */
static void conn_note_data(struct rc_io *io, struct rc_socket *socket)
{
    if (socket->mode == RC_IO_QUIET && io->now_ds - socket->received_ds < CONN_TALKING_DS) {
        socket->mode = RC_IO_TALKING;
    }
    socket->received_ds = io->now_ds;
}

static void conn_received(struct rc_io *io, uint32_t index, uint8_t *bytes, uint32_t count)
{
    struct rc_socket *socket = &io->truth->sockets[index];
    if (RC_UNLIKELY(socket->flags & RC_SOCKET_PREFACE)) {
        bool done = false;
        rc_taking_over(io->truth);
        const int used = io->handlers.preface(io->handlers.context, index, bytes, count, &done);
        if (used < 0) {
            rc_io_terminate(io, index);
            return;
        }
        RC_ASSERT((uint32_t)used <= count);
        if (!done || (uint32_t)used == count) {
            if (done) {
                socket->flags &= (uint16_t)~RC_SOCKET_PREFACE;
            }
            return;
        }
        socket->flags &= (uint16_t)~RC_SOCKET_PREFACE;
        bytes += used;
        count -= (uint32_t)used;
    }
    if (rc_io_is_tls(io, index)) {
        const uint32_t generation = socket->generation;
        const bool shakes = socket->mode == RC_IO_TLS_HANDSHAKE;
        rc_io_tls_received(io, index, bytes, count);
        if (shakes && socket->generation == generation && rc_io_is_tls(io, index)) {
            rc_kept_put(io, index, RC_KEEP_ALL); /* if it can outlive this process now */
        }
    } else {
        io->handlers.received(io->handlers.context, index, bytes, count);
    }
}

void rc_io_on_receive(struct rc_io *io, uint32_t index, const struct io_uring_cqe *cqe)
{
    struct rc_socket *socket = &io->truth->sockets[index];
    const int result = cqe->res;
    /* What says where the buffers lie is damaged, and the kernel keeps an entry that it could not use: everybody's next input would come to the same.
     * A successor has entries of its own. */
    RC_ASSERT(result != -EFAULT);
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        socket->inflight &= (uint8_t)~RC_INFLIGHT_RECEIVE;
    }
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        const uint32_t buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        RC_ASSERT(buffer < io->buffer_count);
        if (result > 0 && conn_readable_state(socket)) {
            socket->received_bytes += (uint32_t)result;
            rc_metric_add(io->metrics, RC_METRIC_BYTES_IN, (uint64_t)result);
            conn_note_data(io, socket);
            conn_received(io, index, io->buffer_memory + (size_t)buffer * RC_IO_BUFFER_BYTES, (uint32_t)result);
            RC_STORE_ORDER();
            io->memory->current_valid = 0; /* the bytes are done with; what follows is done anew by a successor */
        }
        rc_io_give_buffer(io, buffer);
    }
    if (socket->state == RC_SOCKET_TERMINATING) {
        rc_io_terminate(io, index);
        return;
    }
    if (result == 0 ||
        (result < 0 && result != -ENOBUFS && result != -ECANCELED && result != -EINTR && result != -EAGAIN)) {
        socket->flags |= RC_SOCKET_PEER_ENDED;
        io->handlers.ended(io->handlers.context, index, result);
        if (socket->state == RC_SOCKET_TERMINATING) {
            rc_io_terminate(io, index);
        }
        rc_io_give_step(io, index);
        return;
    }
    if (result == -ENOBUFS) {
        /* Every buffer was in use; they are recycled as soon as they are handled, so the next try finds some. */
        rc_metric_add(io->metrics, RC_METRIC_ENOBUFS, 1);
    }
    const bool more = result > 0 && (cqe->flags & IORING_CQE_F_SOCK_NONEMPTY) != 0;
    io->input_left |= more;
    conn_read(io, index, more);
}

void rc_io_on_poll(struct rc_io *io, uint32_t index, int result)
{
    struct rc_socket *socket = &io->truth->sockets[index];
    socket->inflight &= (uint8_t)~RC_INFLIGHT_POLL;
    if (io->truth->sockets[index].state == RC_SOCKET_TERMINATING) {
        rc_io_terminate(io, index);
        return;
    }
    if (result == -ECANCELED || (socket->flags & RC_SOCKET_PAUSED) || socket->mode == RC_IO_GIVING ||
        rc_io_is_parking(io, index) || !conn_readable_state(&io->truth->sockets[index])) {
        rc_io_read(io, index);
        rc_io_give_step(io, index);
        return;
    }
    conn_arm_receive(io, index, socket->mode == RC_IO_TALKING);
}

/* Looks whether there is room after a while, in place of a poll. */
static void conn_retry_pollout(struct rc_io *io, uint32_t index)
{
    static const struct __kernel_timespec again = {.tv_nsec = CONN_RETRY_NS};
    struct io_uring_sqe *sqe = rc_io_sqe(io);
    io_uring_prep_timeout(sqe, (struct __kernel_timespec *)(uintptr_t)&again, 0, 0);
    io_uring_sqe_set_data64(sqe, rc_io_socket_data(io, RC_OP_POLLOUT, index));
    io->truth->sockets[index].inflight |= RC_INFLIGHT_POLLOUT;
    io->truth->sockets[index].cancelled &= (uint8_t)~RC_INFLIGHT_POLLOUT;
}

void rc_io_on_pollout(struct rc_io *io, uint32_t index, int result)
{
    io->truth->sockets[index].inflight &= (uint8_t)~RC_INFLIGHT_POLLOUT;
    if (io->truth->sockets[index].state == RC_SOCKET_TERMINATING) {
        rc_io_terminate(io, index);
        return;
    }
    if (result > 0 && !(result & (POLLOUT | POLLERR | POLLHUP))) {
        if (rc_io_is_parking(io, index)) {
            return; /* rc_io_go_on asks again */
        }
        /* The kernel ends any poll of a socket whose peer has shut its writing end (POLLRDHUP is always waited for): there may be
         * no room for as long as the peer likes, and every poll would say so at once. */
        conn_retry_pollout(io, index);
        return;
    }
    if (rc_io_busy(io, index)) {
        rc_io_tls_writable(io, index);
    } else if (result != -ECANCELED) {
        io->handlers.writable(io->handlers.context, index);
    }
    rc_io_give_step(io, index);
}

void rc_io_on_cancel(struct rc_io *io, uint32_t index, int result)
{
    struct rc_socket *socket = &io->truth->sockets[index];
    socket->inflight &= (uint8_t)~RC_INFLIGHT_CANCEL;
    if (result < 0) {
        /* Not found, or not to be stopped: it has ended, or was just between two shots. If it goes on it is tried again. */
        socket->cancelled = 0;
    }
    if (io->truth->sockets[index].state == RC_SOCKET_TERMINATING) {
        rc_io_terminate(io, index);
        return;
    }
    if ((socket->flags & RC_SOCKET_PAUSED) || socket->mode == RC_IO_QUIET || rc_io_is_parking(io, index)) {
        conn_cancel(io, index, RC_INFLIGHT_RECEIVE);
    }
    rc_io_read(io, index);
    rc_io_give_step(io, index);
}

void rc_io_quiet_check(struct rc_io *io, uint32_t index)
{
    struct rc_socket *socket = &io->truth->sockets[index];
    if (socket->mode == RC_IO_TALKING && io->now_ds - socket->received_ds >= CONN_QUIET_DS) {
        socket->mode = RC_IO_QUIET;
        conn_cancel(io, index, RC_INFLIGHT_RECEIVE);
    }
}

void rc_io_opened(struct rc_io *io, uint32_t index)
{
    struct rc_socket *socket = &io->truth->sockets[index];
    socket->mode = RC_IO_QUIET;
    socket->received_ds = io->now_ds - CONN_TALKING_DS;
    rc_kept_put(io, index, RC_KEEP_WEBSOCKET);
}

void rc_io_terminate(struct rc_io *io, uint32_t index)
{
    struct rc_socket *socket = &io->truth->sockets[index];
    RC_ASSERT(socket->state != RC_SOCKET_FREE && socket->state != RC_SOCKET_CLOSED);
    if (socket->state != RC_SOCKET_TERMINATING) {
        socket->state = RC_SOCKET_TERMINATING;
        rc_wheel_clear(&io->wheel, index);
        io->handlers.terminated(io->handlers.context, index);
        rc_io_tls_shutdown(io, index);
    }
    if (conn_join(io, index)) {
        return; /* join: each completion comes back here */
    }
    socket->state = RC_SOCKET_CLOSED;
    socket->inflight |= RC_INFLIGHT_CLOSE;
    if (!rc_kept_take(io, index)) {
        rc_io_close_slot(io, index);
    }
}

void rc_io_on_close(struct rc_io *io, uint32_t index, int result)
{
    struct rc_socket *socket = &io->truth->sockets[index];
    /* -EBADF: a predecessor's that was not in the vault, and was ended with another before it was found missing (adopt.c). */
    RC_ASSERT(socket->state == RC_SOCKET_CLOSED && (result == 0 || (result == -EBADF && io->truth->adopted)));
    socket->inflight = 0;
    rc_io_tls_freed(io, index); /* while it is somebody's: keys are wiped */
    socket->state = RC_SOCKET_FREE;
    if (io->kept_fds != NULL && io->kept_fds[index] >= 0) {
        close(io->kept_fds[index]);
        io->kept_fds[index] = -1;
    }
    rc_io_slot_free(io, index);
    RC_ASSERT(io->open_count > 0);
    io->open_count--;
    rc_metric_add(io->metrics, socket->mode == RC_IO_LEFT ? RC_METRIC_HANDED_OUT : RC_METRIC_CLOSED, 1);
    rc_metric_set(io->metrics, RC_METRIC_SOCKETS, io->open_count);
    if (io->steer != NULL) {
        /* The steering program counted the connection when it chose this worker. */
        uint64_t load = __atomic_load_n(&io->steer->load, __ATOMIC_RELAXED);
        while (load > 0 && !__atomic_compare_exchange_n(&io->steer->load, &load, load - 1, true, __ATOMIC_RELAXED,
                                                        __ATOMIC_RELAXED)) {}
    }
}

void rc_io_lose(struct rc_io *io, uint32_t index)
{
    struct rc_socket *socket = &io->truth->sockets[index];
    if (socket->state != RC_SOCKET_TERMINATING && socket->state != RC_SOCKET_CLOSED) {
        socket->state = RC_SOCKET_TERMINATING;
        rc_wheel_clear(&io->wheel, index);
        io->handlers.terminated(io->handlers.context, index);
    }
    socket->state = RC_SOCKET_CLOSED;
    socket->inflight |= RC_INFLIGHT_CLOSE;
    if (!rc_kept_take(io, index)) {
        rc_io_on_close(io, index, 0);
    }
}

/* --- leaving --- */

bool rc_io_can_give(const struct rc_io *io, uint32_t index)
{
    return io->kept_fds == NULL || io->kept_fds[index] >= 0;
}

void rc_io_give(struct rc_io *io, uint32_t index)
{
    struct rc_socket *socket = &io->truth->sockets[index];
    RC_ASSERT(rc_io_can_give(io, index));
    socket->mode = RC_IO_GIVING;
    socket->flags &= (uint16_t)~RC_SOCKET_PAUSED;
    rc_io_give_step(io, index);
}

void rc_io_give_step(struct rc_io *io, uint32_t index)
{
    struct rc_socket *socket = &io->truth->sockets[index];
    if (socket->mode != RC_IO_GIVING || socket->state == RC_SOCKET_TERMINATING || socket->state == RC_SOCKET_CLOSED ||
        conn_join(io, index)) {
        return; /* each completion comes back here */
    }
    if (io->kept_fds != NULL) {
        socket->mode = RC_IO_GIVEN;
        io->handlers.given(io->handlers.context, index, io->kept_fds[index]);
        return;
    }
    struct io_uring_sqe *sqe = rc_io_sqe(io);
    io_uring_prep_fixed_fd_install(sqe, (int)index, 0);
    io_uring_sqe_set_data64(sqe, rc_io_socket_data(io, RC_OP_INSTALL, index));
    socket->inflight |= RC_INFLIGHT_COMMAND;
}

void rc_io_on_install(struct rc_io *io, uint32_t index, int result)
{
    struct rc_socket *socket = &io->truth->sockets[index];
    socket->inflight &= (uint8_t)~RC_INFLIGHT_COMMAND;
    if (socket->state == RC_SOCKET_TERMINATING) {
        rc_io_terminate(io, index);
    } else {
        socket->mode = RC_IO_GIVEN;
        io->handlers.given(io->handlers.context, index, result);
    }
    if (result >= 0) {
        close(result); /* the message has its own reference */
    }
}

void rc_io_left(struct rc_io *io, uint32_t index)
{
    io->truth->sockets[index].mode = RC_IO_LEFT;
    rc_io_tls_freed(io, index); /* it says nothing at the end: the other process goes on with its keys */
    rc_io_terminate(io, index);
}

void rc_io_leaves(struct rc_io *io, uint32_t index, bool leaves)
{
    rc_io_tls_changes(io, index, leaves);
    RC_STORE_ORDER();
    io->truth->sockets[index].mode = leaves ? RC_IO_LEFT : RC_IO_GIVEN;
    RC_STORE_ORDER();
}

void rc_io_keep(struct rc_io *io, uint32_t index)
{
    io->truth->sockets[index].mode = RC_IO_HANDSHAKE;
    rc_io_resume(io, index);
}

void rc_io_shut(struct rc_io *io, uint32_t index)
{
    struct io_uring_sqe *sqe = rc_io_sqe(io);
    RC_ASSERT(!(io->truth->sockets[index].inflight & RC_INFLIGHT_COMMAND));
    io_uring_prep_shutdown(sqe, (int)index, SHUT_WR);
    io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    /* Joined: it is carried out by a kernel thread, which looks the slot up only then. */
    io_uring_sqe_set_data64(sqe, rc_io_socket_data(io, RC_OP_SHUTDOWN, index));
    io->truth->sockets[index].inflight |= RC_INFLIGHT_COMMAND;
}

void rc_io_on_shutdown(struct rc_io *io, uint32_t index)
{
    io->truth->sockets[index].inflight &= (uint8_t)~RC_INFLIGHT_COMMAND;
    if (io->truth->sockets[index].state == RC_SOCKET_TERMINATING) {
        rc_io_terminate(io, index);
    }
}
