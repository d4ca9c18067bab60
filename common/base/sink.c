/* sink: see sink.h. */
#include "common/base/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

/* --- opening ----------------------------------------------------------------------------------------------------- */

/* Gives `fd` the description of `own`, which is closed. */
static bool take_place(int own, int fd)
{
    if (own < 0) {
        return false;
    }
    const bool done = dup2(own, fd) >= 0;
    (void)close(own);
    return done;
}

static bool sink_reopen(int fd)
{
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return take_place(open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), fd);
}

/* Anybody may open /dev/tty, which is the controlling terminal: is it this one? */
static bool reopen_own_terminal(int fd, dev_t terminal)
{
    unsigned number = 0;
    const int own = open("/dev/tty", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own >= 0 && (ioctl(own, TIOCGDEV, &number) != 0 || number != (unsigned)terminal)) {
        (void)close(own);
        return false;
    }
    return take_place(own, fd);
}

static bool is_nonblocking(int fd)
{
    const int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

void rc_sink_open(struct rc_sink *sink, int fd)
{
    struct stat its;
    sink->fd = fd;
    sink->kind = RC_SINK_PLAIN;
    sink->pipe_fds[0] = sink->pipe_fds[1] = -1;
    sink->rest_bytes = 0;
    if (fstat(fd, &its) != 0 || S_ISREG(its.st_mode)) {
        return;
    }
    if (S_ISSOCK(its.st_mode)) {
        sink->kind = RC_SINK_SOCKET;
    } else if (S_ISFIFO(its.st_mode)) {
        /* The acceptor's children have its description, and another user's rights perhaps. */
        sink->kind = sink_reopen(fd) || is_nonblocking(fd) ? RC_SINK_PLAIN : RC_SINK_NOWAIT;
    } else if (isatty(fd)) {
        const bool ours = sink_reopen(fd) || reopen_own_terminal(fd, its.st_rdev) || is_nonblocking(fd);
        sink->kind = ours ? RC_SINK_PLAIN : RC_SINK_POLL;
    } else if (!S_ISCHR(its.st_mode) || its.st_rdev != makedev(1, 3)) {
        sink->kind = RC_SINK_POLL; /* whatever it is, but for /dev/null */
    }
}

void rc_sink_close(struct rc_sink *sink)
{
    for (int i = 0; i < 2; i++) {
        if (sink->pipe_fds[i] >= 0) {
            (void)close(sink->pipe_fds[i]);
            sink->pipe_fds[i] = -1;
        }
    }
    sink->kind = RC_SINK_PLAIN;
    sink->rest_bytes = 0;
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

/* Through our own pipe: one page, moved as a whole or not at all. */
static ssize_t put_spliced(struct rc_sink *sink, const char *bytes, size_t count)
{
    if (write(sink->pipe_fds[1], bytes, count) != (ssize_t)count) {
        return -1;
    }
    const ssize_t moved = splice(sink->pipe_fds[0], NULL, sink->fd, NULL, count, SPLICE_F_NONBLOCK);
    const int error = errno;
    if (moved < (ssize_t)count) {
        char rest[RC_SINK_LINE_MAX];
        while (read(sink->pipe_fds[0], rest, sizeof(rest)) > 0) {}
    }
    errno = error;
    return moved;
}

/* Linux says only at a write of some bytes whether it has RWF_NOWAIT for this pipe (from 6.4 on, and not for named ones). */
static ssize_t put_nowait(struct rc_sink *sink, const char *bytes, size_t count)
{
    const struct iovec whole = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = count};
    const ssize_t taken = pwritev2(sink->fd, &whole, 1, -1, RWF_NOWAIT);
    if (taken < 0 && errno == EOPNOTSUPP) {
        sink->kind = pipe2(sink->pipe_fds, O_CLOEXEC | O_NONBLOCK) == 0 ? RC_SINK_SPLICE : RC_SINK_POLL;
        errno = EINTR; /* once more, the other way */
    }
    return taken;
}

static ssize_t put_polled(const struct rc_sink *sink, const char *bytes, size_t count)
{
    struct pollfd room = {.fd = sink->fd, .events = POLLOUT};
    if (poll(&room, 1, 0) == 1 && (room.revents & POLLOUT) != 0) {
        return write(sink->fd, bytes, count);
    }
    errno = EAGAIN;
    return -1;
}

static ssize_t sink_put(struct rc_sink *sink, const char *bytes, size_t count)
{
    ssize_t taken = -1;
    do {
        switch (sink->kind) {
        case RC_SINK_PLAIN:
            taken = write(sink->fd, bytes, count);
            break;
        case RC_SINK_SOCKET:
            taken = send(sink->fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
            break;
        case RC_SINK_NOWAIT:
            taken = put_nowait(sink, bytes, count);
            break;
        case RC_SINK_SPLICE:
            taken = put_spliced(sink, bytes, count);
            break;
        case RC_SINK_POLL:
            taken = put_polled(sink, bytes, count);
            break;
        }
    } while (taken < 0 && errno == EINTR);
    return taken;
}

bool rc_sink_write(struct rc_sink *sink, const char *line, size_t bytes)
{
    if (sink->rest_bytes > 0) {
        const ssize_t taken = sink_put(sink, sink->rest, sink->rest_bytes);
        if (taken > 0) {
            sink->rest_bytes -= (size_t)taken;
            memmove(sink->rest, sink->rest + taken, sink->rest_bytes);
        }
        if (sink->rest_bytes > 0) {
            return false;
        }
    }
    if (bytes == 0) {
        return true;
    }
    const ssize_t taken = bytes <= sizeof(sink->rest) ? sink_put(sink, line, bytes) : -1;
    if (taken <= 0) {
        return false;
    }
    sink->rest_bytes = bytes - (size_t)taken;
    memcpy(sink->rest, line + taken, sink->rest_bytes);
    return true;
}
