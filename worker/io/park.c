/*
 * park: standing still so that another process could go on. Nothing new is asked of the kernel but what ends something, receives and
 * accepts are cancelled, and what has come is handled; when nothing is left, whatever arrives stays in the sockets. Polls may stay: they
 * take nothing. What is done with DEFER_TASKRUN is done inside io_uring_enter alone, so a worker that does not enter takes nothing.
 * Sockets that were made here (to backends) go on meanwhile: requests are answered first. See io.h.
 */
#include "worker/io/io.h"

#include "common/base/check.h"
#include "worker/io/io_internal.h"

void rc_io_park(struct rc_io *io)
{
    RC_ASSERT(!io->parking);
    io->parking = true;
    rc_io_cancel_accepts(io);
    for (uint32_t i = 0; i < io->truth->socket_count; i++) {
        if (rc_io_is_parking(io, i)) {
            rc_io_cancel_receive(io, i);
        }
    }
}

void rc_io_park_own(struct rc_io *io)
{
    for (uint32_t i = 0; i < io->truth->socket_count; i++) {
        const struct rc_socket *socket = &io->truth->sockets[i];
        if (socket->listener == RC_SOCKET_MADE_HERE && socket->state != RC_SOCKET_FREE &&
            socket->state < RC_SOCKET_TERMINATING) {
            rc_io_terminate(io, i);
        }
    }
}

bool rc_io_parked(const struct rc_io *io)
{
    if (io_uring_sq_ready(&io->ring) > 0 || io_uring_cq_ready(&io->ring) > 0 || io_uring_cq_has_overflow(&io->ring) ||
        io->accepts_armed != 0 || io->arrivals_count > 0 || io->places_used > 0 || io->connects_used > 0 ||
        io->kept.taking_count > 0 || io->packet_count > 0) {
        return false;
    }
    for (uint32_t i = 0; i < io->truth->socket_count; i++) {
        const struct rc_socket *socket = &io->truth->sockets[i];
        if ((socket->inflight & ~(RC_INFLIGHT_POLL | RC_INFLIGHT_POLLOUT)) != 0 ||
            (socket->state != RC_SOCKET_FREE && socket->listener == RC_SOCKET_MADE_HERE)) {
            return false;
        }
    }
    return true;
}

void rc_io_go_on(struct rc_io *io)
{
    io->parking = false;
    rc_io_arrivals_adopt(io);
    for (uint32_t i = 0; i < io->truth->socket_count; i++) {
        const struct rc_socket *socket = &io->truth->sockets[i];
        if (socket->state == RC_SOCKET_FREE || socket->state >= RC_SOCKET_TERMINATING ||
            socket->listener == RC_SOCKET_MADE_HERE) {
            continue;
        }
        if (socket->listener < io->listener_count &&
            rc_address_equal(&io->truth->peers[i], &(struct rc_address){{0}})) {
            rc_io_ask_peername(io, i); /* a predecessor that was killed has not heard it */
        }
        rc_io_read(io, i);
        if (rc_io_is_tls(io, i)) {
            rc_io_tls_writable(io, i); /* a record that was half out */
        }
        if (socket->flags & RC_SOCKET_BLOCKED) {
            rc_io_want_writable(io, i);
        }
    }
    rc_io_arm_accepts(io);
}
