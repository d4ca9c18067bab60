/*
 * connect: connections that are made from here, to other instances. See io.h.
 *
 *   rc_io_connect ─▶ connect and a deadline, linked ─▶ handlers.connected: a descriptor, which rc_io_place makes a socket of
 */
#include "worker/io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "worker/io/io_internal.h"

int rc_io_connects_open(struct rc_io *io)
{
    io->connects = calloc(RC_IO_CONNECTS_MAX, sizeof(*io->connects)); /* pages are touched with use only */
    io->connects_free = RC_IO_CONNECTS_MAX;
    return io->connects == NULL ? -ENOMEM : 0;
}

/* After the ring was closed: nothing is in flight. */
void rc_io_connects_close(struct rc_io *io)
{
    for (uint32_t i = 0; io->connects != NULL && i < io->connects_fresh; i++) {
        if (io->connects[i].fd >= 0) {
            close(io->connects[i].fd);
        }
    }
    free(io->connects);
}

/* The two must be in one submission: a link does not reach beyond it. */
static void connect_submit(struct rc_io *io, uint32_t entry)
{
    struct rc_io_connect *one = &io->connects[entry];
    while (io_uring_sq_space_left(&io->ring) < 2) {
        const int submitted = io_uring_submit(&io->ring);
        RC_ASSERT(submitted >= 0 || submitted == -EBUSY || submitted == -EAGAIN || submitted == -EINTR);
    }
    struct io_uring_sqe *sqe = rc_io_sqe(io);
    io_uring_prep_connect(sqe, one->fd, (const struct sockaddr *)&one->name, one->name_bytes);
    io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK);
    io_uring_sqe_set_data64(sqe, rc_io_user_data(RC_OP_CONNECT, 0, entry));
    sqe = rc_io_sqe(io);
    io_uring_prep_link_timeout(sqe, &one->deadline, 0);
    io_uring_sqe_set_data64(sqe, rc_io_user_data(RC_OP_IGNORE, 0, 0));
}

int rc_io_connect(struct rc_io *io, const struct sockaddr *name, socklen_t name_bytes, uint32_t in_ms, uint64_t token,
                  const uint8_t *first, uint32_t first_bytes)
{
    RC_ASSERT(name_bytes <= sizeof(struct sockaddr_storage) && first_bytes <= RC_IO_CONNECT_FIRST_MAX);
    if (io->connects_used == RC_IO_CONNECTS_MAX) {
        return -EAGAIN;
    }
    const int fd = socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    const int on = 1;
    if (name->sa_family != AF_UNIX && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) {
        const int error = errno;
        close(fd);
        return -error;
    }
    uint32_t entry = io->connects_free;
    if (entry == RC_IO_CONNECTS_MAX) {
        entry = io->connects_fresh++;
    } else {
        io->connects_free = io->connects[entry].next_free;
    }
    struct rc_io_connect *one = &io->connects[entry];
    *one = (struct rc_io_connect){.fd = fd,
                                  .first_bytes = (uint16_t)first_bytes,
                                  .name_bytes = name_bytes,
                                  .deadline = {.tv_sec = in_ms / 1000, .tv_nsec = (long long)(in_ms % 1000) * 1000000},
                                  .token = token};
    memcpy(&one->name, name, name_bytes);
    memcpy(one->first, first, first_bytes);
    io->connects_used++;
    connect_submit(io, entry);
    return 0;
}

void rc_io_on_connect(struct rc_io *io, uint32_t entry, int result)
{
    RC_ASSERT(entry < io->connects_fresh && io->connects[entry].fd >= 0 && io->connects_used > 0);
    const struct rc_io_connect one = io->connects[entry];
    io->connects[entry].fd = -1;
    io->connects[entry].next_free = io->connects_free;
    io->connects_free = (uint16_t)entry;
    io->connects_used--;
    /* Blocking until here, so that the ring waits for it. */
    if (result == 0 && fcntl(one.fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0) {
        result = -errno;
    }
    if (result < 0) {
        close(one.fd);
    }
    io->handlers.connected(io->handlers.context, &one, result < 0 ? -1 : one.fd, result);
}
