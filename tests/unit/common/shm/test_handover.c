/* One message of an inbox: what is sent comes out with its socket, and nothing else is believed. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/shm/handover.h"
#include "common/shm/layout.h"

#define LISTENERS 3u
#define WORKERS 4u

static int boxes[2]; /* inbox, outbox */
static int conn[2];  /* what is handed over, and its peer */
static uint8_t buffer[RC_HANDOVER_MESSAGE_MAX];
static uint8_t bytes[RC_HANDOVER_BYTES_MAX + 1];

static void open_boxes(void)
{
    RC_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, boxes) == 0);
    RC_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, conn) == 0);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 31 + i / 256);
    }
}

static void close_boxes(void)
{
    close(boxes[0]);
    close(boxes[1]);
    close(conn[0]);
    close(conn[1]);
}

TestSuite(handover, .init = open_boxes, .fini = close_boxes);

static struct rc_handover head_of(uint32_t count)
{
    return (struct rc_handover){.bytes = count,
                                .sent_bytes = 1ull << 40,
                                .received_bytes = count + 7,
                                .time_ms = 99,
                                .peer = {{[10] = 0xff, [11] = 0xff, [12] = 192, [15] = 9}},
                                .worker = WORKERS - 1,
                                .generation = 12,
                                .port = 65535,
                                .listener = LISTENERS - 1,
                                .flags = RC_HANDOVER_COUNTED};
}

/* What is there stays there until it is taken out, and each look has a descriptor of its own. */
static int receive(int *fd)
{
    struct rc_handover head;
    const int rc = rc_handover_peek(boxes[0], buffer, LISTENERS, WORKERS, fd);
    if (rc == -EAGAIN) {
        return rc;
    }
    memcpy(&head, buffer, sizeof(head));
    if (rc == 0) {
        int again = -1;
        cr_assert(rc_handover_waits(boxes[0], &head));
        cr_assert_eq(rc_handover_peek(boxes[0], buffer, LISTENERS, WORKERS, &again), 0);
        cr_assert_eq(again < 0, *fd < 0);
        if (again >= 0) {
            cr_assert_neq(again, *fd);
            close(again);
        }
    }
    rc_handover_consume(boxes[0]);
    cr_assert_not(rc_handover_waits(boxes[0], &head));
    return rc;
}

Test(handover, what_came_over_the_control_socket_is_of_no_listener)
{
    struct rc_handover head = head_of(0);
    head.magic = RC_HANDOVER_MAGIC;
    head.listener = RC_LISTENER_CONSOLE;
    cr_assert_eq(rc_handover_check(&head, sizeof(head), LISTENERS, WORKERS), 0);
    head.listener = LISTENERS;
    cr_assert_eq(rc_handover_check(&head, sizeof(head), LISTENERS, WORKERS), -EBADMSG);
    head.listener = RC_LISTENER_CONSOLE + 1;
    cr_assert_eq(rc_handover_check(&head, sizeof(head), LISTENERS, WORKERS), -EBADMSG);
}

static int fds_open(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

Test(handover, message_comes_out_as_it_was_sent)
{
    static const uint32_t counts[] = {0, 1, 700, RC_HANDOVER_BYTES_MAX};
    int fd = -1;
    cr_assert_eq(receive(&fd), -EAGAIN);
    for (size_t i = 0; i < RC_ARRAY_COUNT(counts); i++) {
        const struct rc_handover head = head_of(counts[i]);
        cr_assert_eq(rc_handover_send(boxes[1], &head, bytes, conn[0]), 0);
        cr_assert_eq(receive(&fd), 0);
        struct rc_handover back;
        memcpy(&back, buffer, sizeof(back));
        cr_assert_eq(back.magic, RC_HANDOVER_MAGIC);
        back.magic = back.number = 0;
        cr_assert_eq(memcmp(&back, &head, sizeof(back)), 0);
        cr_assert_eq(memcmp(buffer + sizeof(back), bytes, counts[i]), 0);
        char letter = 'a';
        cr_assert_eq(write(fd, &letter, 1), 1, "it is the connection");
        cr_assert_eq(read(conn[1], &letter, 1), 1);
        cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        close(fd);
    }
    const struct rc_handover head = head_of(RC_HANDOVER_BYTES_MAX + 1);
    cr_assert_eq(rc_handover_send(boxes[1], &head, bytes, conn[0]), -EMSGSIZE);
    cr_assert_eq(receive(&fd), -EAGAIN);
}

Test(handover, word_has_no_connection_and_nothing_else_goes_without)
{
    struct rc_handover head = head_of(5);
    int fd = 7;
    head.flags = RC_HANDOVER_WORD;
    cr_assert_eq(rc_handover_send(boxes[1], &head, bytes, -1), 0);
    cr_assert_eq(receive(&fd), 0);
    cr_assert_eq(fd, -1);
    cr_assert_eq(memcmp(buffer + sizeof(head), bytes, 5), 0);
    head.magic = RC_HANDOVER_MAGIC;
    head.bytes = 0;
    head.flags = RC_HANDOVER_CLIENT;
    cr_assert_eq(send(boxes[1], &head, sizeof(head), 0), (ssize_t)sizeof(head));
    cr_assert_eq(receive(&fd), -EMFILE, "a client comes with its connection");
}

/* A full inbox takes no more and loses nothing; what it holds is there after its receiver has died. */
Test(handover, full_inbox_refuses_and_keeps)
{
    const struct rc_handover head = head_of(1000);
    uint32_t sent = 0;
    int rc;
    int fd;
    while ((rc = rc_handover_send(boxes[1], &head, bytes, conn[0])) == 0) {
        sent++;
    }
    cr_assert_eq(rc, -EAGAIN);
    cr_assert_gt(sent, 10);
    const int successor = dup(boxes[0]);
    close(boxes[0]);
    boxes[0] = successor;
    for (uint32_t i = 0; i < sent; i++) {
        cr_assert_eq(receive(&fd), 0);
        close(fd);
    }
    cr_assert_eq(receive(&fd), -EAGAIN);
    cr_assert_eq(rc_handover_send(boxes[1], &head, bytes, conn[0]), 0);
}

static void send_raw(const void *data, size_t count, const int *fds, size_t fd_count)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec vector = {.iov_base = (void *)(uintptr_t)data, .iov_len = count};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (fd_count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(rights), fds, fd_count * sizeof(int));
    }
    cr_assert_eq(sendmsg(boxes[1], &message, 0), (ssize_t)count);
}

/* At RLIMIT_NOFILE a message is whole, and stays until its descriptor can be had. */
Test(handover, without_room_for_its_descriptor_it_is_not_damaged)
{
    const struct rc_handover head = head_of(3);
    struct rlimit limit;
    int fd = -1;
    cr_assert_eq(rc_handover_send(boxes[1], &head, bytes, conn[0]), 0);
    RC_ASSERT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
    RC_ASSERT(setrlimit(RLIMIT_NOFILE, &none) == 0);
    const int rc = rc_handover_peek(boxes[0], buffer, LISTENERS, WORKERS, &fd);
    RC_ASSERT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    cr_assert_eq(rc, -EMFILE);
    cr_assert_eq(receive(&fd), 0);
    close(fd);
}

/* Nothing that is not whole and right is taken, and none of its descriptors stays open. */
Test(handover, damaged_messages_leave_nothing)
{
    static uint8_t large[RC_HANDOVER_MESSAGE_MAX + 100];
    const int before = fds_open();
    int fd;
    struct rc_handover good = head_of(0);
    good.magic = RC_HANDOVER_MAGIC;
    for (size_t count = 1; count < sizeof(good); count++) {
        send_raw(&good, count, conn, 1);
        cr_assert_eq(receive(&fd), -EBADMSG, "%zu bytes", count);
    }
    struct rc_handover wrong[6];
    for (size_t i = 0; i < RC_ARRAY_COUNT(wrong); i++) {
        wrong[i] = good;
    }
    wrong[0].magic++;
    wrong[1].bytes = 1;
    wrong[2].listener = LISTENERS;
    wrong[3].worker = WORKERS;
    wrong[4].flags = 0x80;
    wrong[5].bytes = UINT32_MAX;
    for (size_t i = 0; i < RC_ARRAY_COUNT(wrong); i++) {
        send_raw(&wrong[i], sizeof(wrong[i]), conn, 1);
        cr_assert_eq(receive(&fd), -EBADMSG, "case %zu", i);
    }
    struct rc_handover longest = good;
    longest.bytes = RC_HANDOVER_BYTES_MAX;
    memcpy(large, &longest, sizeof(longest));
    send_raw(large, sizeof(large), conn, 1);
    cr_assert_eq(receive(&fd), -EBADMSG, "longer than any");
    const int many[] = {conn[0], conn[1], conn[0], conn[1], conn[0], conn[1], conn[0], conn[1]};
    send_raw(&good, sizeof(good), NULL, 0);
    cr_assert_eq(receive(&fd), -EMFILE, "without a descriptor: it may be there the next time");
    for (size_t count = 2; count <= RC_ARRAY_COUNT(many); count++) {
        send_raw(&good, sizeof(good), many, count);
        cr_assert_eq(receive(&fd), -EBADMSG, "with %zu", count);
    }
    cr_assert_eq(fds_open(), before);
    send_raw(&good, sizeof(good), conn, 1);
    cr_assert_eq(receive(&fd), 0, "and the next one is read");
    close(fd);
}
