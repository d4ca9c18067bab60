/* accept: where sockets come from: the standing accepts, whom they bring, and when there are none for a while. See io.h. */
#include "worker/io/io.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/io/io_internal.h"
#include "worker/store/order.h"

/* An accept that failed for want of something is tried again after 100 ms, then twice that, up to a second. */
#define ACCEPT_BACKOFF_DS 1u
#define ACCEPT_BACKOFF_MAX_DS 10u

/*
 * Before Linux 6.7 nobody can ask for the peer of a direct descriptor, and a multishot accept has one place for all addresses. There
 * every connection is brought by a request of its own, with its own place. A connection that finds the table full is lost, so no
 * more are in flight than the table has room for, except one for each listener, which is as many as multishot accepts would lose.
 */
static void accept_arm_entries(struct rc_io *io, uint32_t listener)
{
    const uint32_t taken = io->open_count + io->places_used;
    const uint32_t room = taken < io->truth->socket_count ? io->truth->socket_count - taken : 0;
    for (uint32_t i = 0; i < RC_IO_ACCEPTS_MAX && room > 0; i++) {
        struct rc_io_accept *accept = &io->accepts[listener * RC_IO_ACCEPTS_MAX + i];
        if (accept->armed) {
            continue;
        }
        if (io->accepts_count >= room && (io->accepts_armed & (1u << listener))) {
            return;
        }
        struct io_uring_sqe *sqe = rc_io_sqe(io);
        *accept = (struct rc_io_accept){.name_bytes = sizeof(accept->name), .armed = true};
        io_uring_prep_accept_direct(sqe, io->listen_fds[listener], (struct sockaddr *)&accept->name,
                                    &accept->name_bytes, 0, IORING_FILE_INDEX_ALLOC);
        io_uring_sqe_set_data64(sqe, rc_io_user_data(RC_OP_ACCEPT, i, listener));
        io->accepts_count++;
        io->accepts_armed |= 1u << listener;
    }
}

/* The completion says that the request is over. */
static void accept_disarmed(struct rc_io *io, uint32_t listener, uint32_t entry)
{
    io->accepts_armed &= ~(1u << listener);
    if (io->accepts == NULL) {
        return;
    }
    struct rc_io_accept *accepts = &io->accepts[listener * RC_IO_ACCEPTS_MAX];
    RC_ASSERT(entry < RC_IO_ACCEPTS_MAX && accepts[entry].armed && io->accepts_count > 0);
    accepts[entry].armed = false;
    io->accepts_count--;
    for (uint32_t i = 0; i < RC_IO_ACCEPTS_MAX; i++) {
        if (accepts[i].armed) {
            io->accepts_armed |= 1u << listener;
            return;
        }
    }
}

/* In place of accepts: arrive.c. */
static void accept_arm_poll(struct rc_io *io, uint32_t listener)
{
    struct io_uring_sqe *sqe = rc_io_sqe(io);
    io_uring_prep_poll_multishot(sqe, io->listen_fds[listener], POLLIN);
    sqe->poll32_events |= (uint32_t)EPOLLET;
    io_uring_sqe_set_data64(sqe, rc_io_user_data(RC_OP_LISTEN, 0, listener));
    io->accepts_armed |= 1u << listener;
    io->arrivals_left |= 1u << listener;
}

void rc_io_arm_accept(struct rc_io *io, uint32_t listener)
{
    if (io->accepts != NULL) {
        accept_arm_entries(io, listener);
        return;
    }
    if (io->slots_free != NULL) {
        accept_arm_poll(io, listener);
        return;
    }
    struct io_uring_sqe *sqe = rc_io_sqe(io);
    io_uring_prep_multishot_accept_direct(sqe, io->listen_fds[listener], NULL, NULL, 0);
    io_uring_sqe_set_data64(sqe, rc_io_user_data(RC_OP_ACCEPT, 0, listener));
    io->accepts_armed |= 1u << listener;
}

uint32_t rc_io_accepts_wanted(const struct rc_io *io)
{
    const uint32_t all = (uint32_t)((1ull << io->listener_count) - 1);
    return io->parking ? 0 : io->accepts_paused ? io->accepts_admin : all;
}

static bool accept_wanted(const struct rc_io *io, uint32_t listener)
{
    return (rc_io_accepts_wanted(io) & (1u << listener)) != 0;
}

void rc_io_arm_accepts(struct rc_io *io)
{
    for (uint32_t i = 0; i < io->listener_count; i++) {
        if ((io->accepts != NULL || !(io->accepts_armed & (1u << i))) && accept_wanted(io, i)) {
            rc_io_arm_accept(io, i);
        }
    }
}

/* Cancels what is in flight for the listener. */
static void accept_cancel(struct rc_io *io, uint32_t listener)
{
    for (uint32_t i = 0; i < (io->accepts == NULL ? 1 : RC_IO_ACCEPTS_MAX); i++) {
        if (io->accepts != NULL && !io->accepts[listener * RC_IO_ACCEPTS_MAX + i].armed) {
            continue;
        }
        struct io_uring_sqe *sqe = rc_io_sqe(io);
        io_uring_prep_cancel64(sqe, rc_io_user_data(io->slots_free != NULL ? RC_OP_LISTEN : RC_OP_ACCEPT, i, listener),
                               0);
        io_uring_sqe_set_data64(sqe, rc_io_user_data(RC_OP_IGNORE, 0, 0));
    }
}

void rc_io_cancel_accepts(struct rc_io *io)
{
    for (uint32_t i = 0; i < io->listener_count; i++) {
        if (io->accepts_armed & (1u << i)) {
            accept_cancel(io, i);
        }
    }
}

void rc_io_renew_accepts(struct rc_io *io)
{
    if (io->accept_again_ds == 0 || io->now_ds < io->accept_again_ds) {
        return;
    }
    io->accept_again_in_ds *= 2;
    io->accept_again_ds = io->accept_again_in_ds <= RC_IO_ACCEPT_AGAIN_MAX_DS ? io->now_ds + io->accept_again_in_ds : 0;
    rc_io_cancel_accepts(io); /* its last completion arms each again */
}

void rc_io_pause_accept(struct rc_io *io, bool paused)
{
    if (io->accepts_paused == paused) {
        return;
    }
    io->accepts_paused = paused;
    if (!paused) {
        /* One whose cancellation is under way is still armed; its last completion arms it again. */
        rc_io_arm_accepts(io);
        return;
    }
    for (uint32_t i = 0; i < io->listener_count; i++) {
        if ((io->accepts_armed & (1u << i)) && !accept_wanted(io, i)) {
            accept_cancel(io, i);
        }
    }
}

/*
 * Whom the kernel has taken off each listener's queue and this pass of the loop was the first to look at, or has not come to yet. The standing
 * accepts empty the whole queue into the ring as soon as the worker enters the kernel, which is before it can look: without those a queue that
 * was full to the brim while the worker was elsewhere would look empty.
 */
static void accept_count_here(const struct rc_io *io, uint32_t here[RC_LISTENERS_MAX])
{
    struct io_uring_cqe *cqe;
    unsigned head;
    memcpy(here, io->accepted, sizeof(io->accepted));
    io_uring_for_each_cqe(&io->ring, head, cqe)
    {
        const uint32_t listener = (uint32_t)cqe->user_data;
        const enum rc_io_op op = (enum rc_io_op)(cqe->user_data >> 56);
        if ((op == RC_OP_ACCEPT || op == RC_OP_ARRIVE) && cqe->res >= 0 && listener < RC_LISTENERS_MAX) {
            here[listener]++;
        }
    }
}

void rc_io_accept_queue(const struct rc_io *io, uint32_t *queued, uint32_t *backlog)
{
    uint32_t here[RC_LISTENERS_MAX];
    *queued = *backlog = 0;
    accept_count_here(io, here);
    for (uint32_t i = 0; i < io->listener_count; i++) {
        struct tcp_info info;
        socklen_t bytes = sizeof(info);
        if ((io->accepts_admin & (1u << i)) ||
            getsockopt(io->listen_fds[i], IPPROTO_TCP, TCP_INFO, &info, &bytes) < 0 || info.tcpi_state != TCP_LISTEN) {
            continue;
        }
        /* Of a listening socket these two are the queue and its room (tcp_get_info in Linux). */
        const uint32_t all = info.tcpi_unacked + here[i];
        if (*backlog == 0 || (uint64_t)all * *backlog > (uint64_t)*queued * info.tcpi_sacked) {
            *queued = all;
            *backlog = info.tcpi_sacked;
        }
    }
}

void rc_io_set_busy(struct rc_io *io, bool busy)
{
    if (io->steer != NULL) {
        __atomic_store_n(&io->steer->busy, busy ? 1u : 0u, __ATOMIC_RELAXED);
    }
}

/* Errors of one connection, which was lost before it was accepted (accept(2)); all others stay until something changes. */
static bool accept_goes_on(int error)
{
    switch (error) {
    case -ECANCELED:
    case -ECONNABORTED:
    case -EINTR:
    case -EAGAIN:
    case -EPROTO:
    case -ENOPROTOOPT:
    case -ENETDOWN:
    case -ENETUNREACH:
    case -EHOSTDOWN:
    case -EHOSTUNREACH:
    case -ENONET:
    case -EOPNOTSUPP:
    case -ETIMEDOUT:
        return true;
    default:
        return error >= 0;
    }
}

/* What would fail again at once waits: for a while, or until a descriptor is free. */
static void accept_back_off(struct rc_io *io)
{
    io->accept_backoff_ds = io->accept_backoff_ds == 0                          ? ACCEPT_BACKOFF_DS
                            : io->accept_backoff_ds * 2 < ACCEPT_BACKOFF_MAX_DS ? io->accept_backoff_ds * 2
                                                                                : ACCEPT_BACKOFF_MAX_DS;
    io->accept_retry_ds = io->now_ds + io->accept_backoff_ds;
}

void rc_io_accept_ended(struct rc_io *io, uint32_t listener, uint32_t entry, int result)
{
    accept_disarmed(io, listener, entry);
    if (!accept_goes_on(result)) {
        accept_back_off(io);
    } else if (accept_wanted(io, listener)) {
        rc_io_arm_accept(io, listener);
    }
}

void rc_io_ask_peername(struct rc_io *io, uint32_t index)
{
    const uint32_t bytes = io->peername_bytes[io->truth->sockets[index].listener];
    if (bytes == 0 || (io->truth->sockets[index].inflight & RC_INFLIGHT_PEERNAME)) {
        return; /* it has none, or others bring it */
    }
    if (io->peernames_free_count == 0) {
        return; /* more connections at once than a listen queue holds: their addresses stay unknown, not another's */
    }
    const uint32_t entry = io->peernames_free[--io->peernames_free_count];
    struct io_uring_sqe *sqe = rc_io_sqe(io);
    memset(&io->peernames[entry], 0, sizeof(io->peernames[entry]));
    io_uring_prep_cmd_sock(sqe, SOCKET_URING_OP_GETSOCKOPT, (int)index, SOL_SOCKET, SO_PEERNAME, &io->peernames[entry],
                           (int)bytes);
    io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    /* The entry belongs to the request until its completion is handled: a thousand may be under way after a burst. */
    io_uring_sqe_set_data64(sqe, rc_io_user_data(RC_OP_PEERNAME, entry, index));
    io->truth->sockets[index].inflight |= RC_INFLIGHT_PEERNAME;
}

/* A Unix socket's peer has no address. */
static void accept_set_peer(struct rc_truth *truth, uint32_t index, const struct sockaddr_in6 *name)
{
    if (name->sin6_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)name;
        uint8_t *bytes = truth->peers[index].bytes;
        bytes[10] = bytes[11] = 0xff;
        memcpy(bytes + 12, &v4->sin_addr, 4);
        truth->sockets[index].port = ntohs(v4->sin_port);
    } else if (name->sin6_family == AF_INET6) {
        memcpy(truth->peers[index].bytes, &name->sin6_addr, 16);
        truth->sockets[index].port = ntohs(name->sin6_port);
    }
}

void rc_io_accepted(struct rc_io *io, uint32_t listener, uint32_t index, uint32_t entry)
{
    struct rc_socket *socket = &io->truth->sockets[index];
    RC_ASSERT(socket->state == RC_SOCKET_FREE);
    const uint32_t generation = socket->generation + 1;
    *socket = (struct rc_socket){.generation = generation,
                                 .flags = io->preface_listener[listener] ? RC_SOCKET_PREFACE : 0,
                                 .state = RC_SOCKET_HTTP,
                                 .listener = (uint8_t)listener,
                                 .mode = RC_IO_HANDSHAKE,
                                 .tls = io->tls_listener[listener]}; /* before it can be taken for a plain one */
    io->truth->peers[index] = (struct rc_address){{0}};
    if (io->slots_free != NULL) {
        RC_STORE_ORDER();
        io->truth->layout->arrivals.socket[entry] = 0; /* it is known by the socket from here on */
    }
    if (io->accepts != NULL) {
        RC_ASSERT(entry < RC_IO_ACCEPTS_MAX);
        accept_set_peer(io->truth, index, &io->accepts[listener * RC_IO_ACCEPTS_MAX + entry].name);
    }
    io->open_count++;
    rc_metric_add(io->metrics, RC_METRIC_ACCEPTED, 1);
    rc_metric_set(io->metrics, RC_METRIC_SOCKETS, io->open_count);
    rc_io_ask_peername(io, index);
    if ((io->tls_listener[listener] && !rc_io_tls_accept(io, index)) ||
        !io->handlers.accepted(io->handlers.context, index, listener)) {
        rc_io_terminate(io, index);
        return;
    }
    rc_kept_put(io, index, RC_KEEP_ALL);
    rc_io_read(io, index);
}

void rc_io_accept_failed(struct rc_io *io, uint32_t listener, int result)
{
    if (io->slots_free != NULL && !accept_goes_on(result)) {
        accept_back_off(io);
    }
    if (result != -ECANCELED) {
        rc_metric_add(io->metrics, RC_METRIC_ACCEPT_ERRORS, 1);
        rc_log_limited(RC_LOG_WARN, 1, "accept_failed", "listener=%u error=\"%s\" again_in_ms=%u", listener,
                       strerror(-result), accept_goes_on(result) ? 0 : io->accept_backoff_ds * RC_WHEEL_TICK_MS);
    }
}

void rc_io_on_accept(struct rc_io *io, uint32_t listener, uint32_t entry, const struct io_uring_cqe *cqe)
{
    const bool ended = !(cqe->flags & IORING_CQE_F_MORE);
    if (cqe->res < 0) {
        if (ended) {
            rc_io_accept_ended(io, listener, entry, cqe->res);
        }
        rc_io_accept_failed(io, listener, cqe->res);
        return;
    }
    io->accept_backoff_ds = 0;
    io->accepted[listener]++;
    const uint32_t index = (uint32_t)cqe->res;
    RC_ASSERT(index < io->truth->socket_count);
    rc_io_accepted(io, listener, index, entry);
    if (ended) {
        rc_io_accept_ended(io, listener, entry,
                           cqe->res); /* when this one has its place: how many more there may be is counted */
    }
}

void rc_io_on_peername(struct rc_io *io, uint32_t index, uint32_t entry, int result)
{
    struct rc_socket *socket = &io->truth->sockets[index];
    socket->inflight &= (uint8_t)~RC_INFLIGHT_PEERNAME;
    RC_ASSERT(entry < RC_IO_PEERNAMES_MAX);
    const struct sockaddr_in6 *name = &io->peernames[entry];
    io->peernames_free[io->peernames_free_count++] = (uint16_t)entry;
    if (socket->state == RC_SOCKET_TERMINATING) {
        rc_io_terminate(io, index);
        return;
    }
    if (result >= 0) { /* else a Unix socket, or the peer is gone already */
        accept_set_peer(io->truth, index, name);
    }
    rc_io_give_step(io, index);
}
