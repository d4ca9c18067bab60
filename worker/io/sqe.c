/* sqe: submission entries, and the polls that more than one file arms with them. See io.h. */
#include "worker/io/io_internal.h"

#include <poll.h>

#include "common/base/check.h"

struct io_uring_sqe *rc_io_sqe(struct rc_io *io)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&io->ring);
    while (RC_UNLIKELY(sqe == NULL)) {
        const int submitted = io_uring_submit(&io->ring);
        RC_ASSERT(submitted >= 0 || submitted == -EBUSY || submitted == -EAGAIN || submitted == -EINTR);
        sqe = io_uring_get_sqe(&io->ring);
    }
    return sqe;
}

void rc_io_arm_poll(struct rc_io *io, uint32_t index, unsigned events, enum rc_io_op op, uint8_t bit)
{
    struct io_uring_sqe *sqe = rc_io_sqe(io);
    io_uring_prep_poll_add(sqe, (int)index, events);
    io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    io_uring_sqe_set_data64(sqe, rc_io_socket_data(io, op, index));
    io->truth->sockets[index].inflight |= bit;
    io->truth->sockets[index].cancelled &= (uint8_t)~bit;
}

void rc_io_arm_pollout(struct rc_io *io, uint32_t index)
{
    if (rc_io_is_parking(io, index)) {
        return;
    }
    if (!(io->truth->sockets[index].inflight & RC_INFLIGHT_POLLOUT)) {
        rc_io_arm_poll(io, index, POLLOUT, RC_OP_POLLOUT, RC_INFLIGHT_POLLOUT);
    }
}

void rc_io_close_slot(struct rc_io *io, uint32_t index)
{
    struct io_uring_sqe *sqe = rc_io_sqe(io);
    io_uring_prep_close_direct(sqe, index);
    io_uring_sqe_set_data64(sqe, rc_io_socket_data(io, RC_OP_CLOSE, index));
}
