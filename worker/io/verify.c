/*
 * verify: does a successor know of its connections what their kernel knows? With debug.adopt_verify; 15 us a connection, before anything more is read.
 *
 *   bytes that the peer has acknowledged + those that lie in the socket to go out  =  sent_bytes
 *   bytes that have come                 - those that lie in the socket unread     =  received_bytes
 *
 * TCP alone counts them. Of TLS sent_bytes is what was said, not what left. See io.h.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"
#include "worker/io/io_internal.h"

#define VERIFY_TRIES 100u /* until nothing moved while it was looked at */

/* Of the kernel's struct tcp_info, which grows at its end: a C library may know less of it. */
struct verify_info {
    uint8_t state;
    uint8_t others[119];
    uint64_t bytes_acked;
    uint64_t bytes_received;
};
_Static_assert(offsetof(struct verify_info, bytes_acked) == 120, "as in linux/tcp.h");

struct verify_counts {
    uint64_t sent;
    uint64_t received;
    bool ended; /* an end counts as a byte, in either direction */
};

/* False: it is none of TCP, or does not stand still. */
static bool verify_ask(int fd, struct verify_counts *counts)
{
    for (uint32_t tries = 0; tries < VERIFY_TRIES; tries++) {
        struct verify_info before;
        struct verify_info after;
        socklen_t bytes = sizeof(before);
        int out = 0;
        int in = 0;
        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &before, &bytes) != 0 || bytes < sizeof(before) ||
            ioctl(fd, SIOCOUTQ, &out) != 0 || ioctl(fd, SIOCINQ, &in) != 0 ||
            getsockopt(fd, IPPROTO_TCP, TCP_INFO, &after, &bytes) != 0) {
            return false;
        }
        if (before.bytes_acked == after.bytes_acked && before.bytes_received == after.bytes_received) {
            *counts = (struct verify_counts){.sent = after.bytes_acked + (uint64_t)out,
                                             .received = after.bytes_received - (uint64_t)in,
                                             .ended = after.state != TCP_ESTABLISHED};
            return true;
        }
    }
    return false;
}

static bool verify_same(uint64_t known, uint64_t counted, bool ended)
{
    return known == counted || (ended && known + 1 == counted);
}

static bool verify_socket(struct rc_io *io, uint32_t index, const struct verify_counts *counts)
{
    const struct rc_socket *socket = &io->truth->sockets[index];
    const bool sent = rc_io_is_tls(io, index) || verify_same(socket->sent_bytes, counts->sent, counts->ended);
    const bool received = verify_same(socket->received_bytes, counts->received, counts->ended);
    if (sent && received) {
        return true;
    }
    rc_log_error("adopted_differs", "socket=%u what=\"%s\" known=%llu counted=%llu state=%u", index,
                 sent ? "received" : "sent", (unsigned long long)(sent ? socket->received_bytes : socket->sent_bytes),
                 (unsigned long long)(sent ? counts->received : counts->sent), socket->state);
    rc_metric_add(io->metrics, RC_METRIC_ADOPT_DIFFERENCES, 1);
    return false;
}

uint32_t rc_io_verify(struct rc_io *io, uint32_t *looked)
{
    uint32_t different = 0;
    *looked = 0;
    for (uint32_t i = 0; i < io->truth->socket_count; i++) {
        const struct rc_socket *socket = &io->truth->sockets[i];
        struct verify_counts counts;
        const int fd = socket->state == RC_SOCKET_FREE || socket->state >= RC_SOCKET_TERMINATING ||
                               socket->listener == RC_SOCKET_MADE_HERE
                           ? -EBADF
                           : rc_kept_fd(io, i);
        if (fd >= 0 && verify_ask(fd, &counts)) {
            *looked += 1;
            different += verify_socket(io, i, &counts) ? 0u : 1u;
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    return different;
}
