/* handover: see handover.h. */
#include "common/shm/handover.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/shm/layout.h"

#define FDS_MAX 4u /* room for more than the one that is right, so that none of a wrong message stays open */

int rc_handover_check(const struct rc_handover *handover, size_t message_bytes, uint32_t listener_count,
                      uint32_t worker_count)
{
    return message_bytes >= sizeof(*handover) && handover->magic == RC_HANDOVER_MAGIC &&
                   handover->bytes <= RC_HANDOVER_BYTES_MAX && message_bytes - sizeof(*handover) == handover->bytes &&
                   (handover->listener < listener_count || handover->listener == RC_LISTENER_CONSOLE) &&
                   handover->worker < worker_count && (handover->flags & ~RC_HANDOVER_FLAGS_ALL) == 0
               ? 0
               : -EBADMSG;
}

int rc_handover_send(int outbox_fd, const struct rc_handover *handover, const void *bytes, int fd)
{
    struct rc_handover head = *handover;
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    head.magic = RC_HANDOVER_MAGIC;
    (void)!getrandom(&head.number, sizeof(head.number), GRND_NONBLOCK);
    if (head.bytes > RC_HANDOVER_BYTES_MAX) {
        return -EMSGSIZE;
    }
    struct iovec vector[] = {{.iov_base = &head, .iov_len = sizeof(head)},
                             {.iov_base = (void *)(uintptr_t)bytes, .iov_len = head.bytes}};
    const struct msghdr message = {.msg_iov = vector,
                                   .msg_iovlen = head.bytes > 0 ? 2 : 1,
                                   .msg_control = fd < 0 ? NULL : control.bytes,
                                   .msg_controllen = fd < 0 ? 0 : sizeof(control.bytes)};
    RC_ASSERT((fd < 0) == ((head.flags & RC_HANDOVER_WORD) != 0));
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    if (rights != NULL) {
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(fd));
        memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
    }
    ssize_t sent;
    do {
        sent = sendmsg(outbox_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) {
        RC_ASSERT((size_t)sent == sizeof(head) + head.bytes); /* SEQPACKET: all or nothing */
        return 0;
    }
    /* The kernel bounds the descriptors that are under way (RLIMIT_NOFILE of them), and may be short of memory for a moment. */
    return errno == ETOOMANYREFS || errno == ENOBUFS || errno == ENOMEM ? -EAGAIN : -errno;
}

/* The one descriptor that is right; any others are closed. -1: there is none; -2: there are more. */
static int only_fd(struct msghdr *message)
{
    int fds[FDS_MAX];
    size_t count = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const size_t its = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < its && count < FDS_MAX; i++) {
            memcpy(&fds[count++], CMSG_DATA(part) + i * sizeof(int), sizeof(int));
        }
    }
    if (count == 1) {
        return fds[0];
    }
    for (size_t i = 0; i < count; i++) {
        close(fds[i]);
    }
    return count == 0 ? -1 : -2;
}

/* Never waits, and is never interrupted. -errno. */
static ssize_t inbox_read(int inbox_fd, struct msghdr *message, int flags)
{
    ssize_t bytes;
    do {
        bytes = recvmsg(inbox_fd, message, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (bytes < 0 && errno == EINTR);
    return bytes < 0 ? -errno : bytes;
}

int rc_handover_peek(int inbox_fd, uint8_t *buffer, uint32_t listener_count, uint32_t worker_count, int *fd)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control;
    struct iovec vector = {.iov_base = buffer, .iov_len = RC_HANDOVER_MESSAGE_MAX};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    const ssize_t bytes = inbox_read(inbox_fd, &message, MSG_PEEK);
    if (bytes < 0) {
        return (int)bytes;
    }
    const int passed = only_fd(&message);
    struct rc_handover head = {0};
    memcpy(&head, buffer, (size_t)bytes < sizeof(head) ? (size_t)bytes : sizeof(head));
    const bool word = (head.flags & RC_HANDOVER_WORD) != 0;
    /* It may have been sent with one that cannot be had now: MSG_CTRUNC, or nothing says so. */
    const bool lacks = passed == -1 && !word;
    if (passed == -2 || (passed >= 0 && word) || (message.msg_flags & (lacks ? MSG_TRUNC : MSG_TRUNC | MSG_CTRUNC)) ||
        rc_handover_check(&head, (size_t)bytes, listener_count, worker_count) < 0) {
        if (passed >= 0) {
            close(passed);
        }
        return -EBADMSG;
    }
    *fd = passed;
    return lacks ? -EMFILE : 0;
}

void rc_handover_consume(int inbox_fd)
{
    struct msghdr message = {0}; /* without room for anything: what does not fit is thrown away (recv(2), unix(7)) */
    (void)inbox_read(inbox_fd, &message, 0);
}

bool rc_handover_waits(int inbox_fd, const struct rc_handover *handover)
{
    struct rc_handover head = {0};
    struct iovec vector = {.iov_base = &head, .iov_len = sizeof(head)};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    return inbox_read(inbox_fd, &message, MSG_PEEK) == sizeof(head) && memcmp(&head, handover, sizeof(head)) == 0;
}
