/* Connections made by the ring: made, refused, not in time, too many, and such that are under way at the end. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/support/hub_rig.h"

static struct hub_rig rig;
static struct {
    uint32_t count;
    int fd;
    int error;
    uint64_t token;
    char first[RC_IO_CONNECT_FIRST_MAX + 1];
} seen;

static void on_connected(void *context, const struct rc_io_connect *made, int fd, int error)
{
    (void)context;
    seen.count++;
    seen.fd = fd;
    seen.error = error;
    seen.token = made->token;
    memcpy(seen.first, made->first, made->first_bytes);
    seen.first[made->first_bytes] = '\0';
}

static void open_all(void)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4, .inbox_fd = -1});
    rig.connected = on_connected;
    memset(&seen, 0, sizeof(seen));
}

static void close_all(void)
{
    hub_rig_close(&rig);
}

TestSuite(io_connect, .init = open_all, .fini = close_all);

/* A TCP socket of this machine; with `backlog` it listens. */
static int tcp(struct sockaddr_in *name, int backlog)
{
    socklen_t bytes = sizeof(*name);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *name = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    RC_ASSERT(fd >= 0 && bind(fd, (struct sockaddr *)name, bytes) == 0 &&
              getsockname(fd, (struct sockaddr *)name, &bytes) == 0 && (backlog == 0 || listen(fd, backlog) == 0));
    return fd;
}

static void wait_for(uint32_t count)
{
    for (int i = 0; i < 1000 && seen.count < count; i++) {
        rc_io_run(&rig.io, 10);
    }
    cr_assert_eq(seen.count, count);
}

Test(io_connect, made_or_refused)
{
    struct sockaddr_in name;
    int fd = tcp(&name, 1);
    const uint8_t first[] = {'h', 'i'};
    cr_assert_eq(
        rc_io_connect(&rig.io, (struct sockaddr *)&name, sizeof(name), 5000, UINT64_MAX - 7, first, sizeof(first)), 0);
    wait_for(1);
    cr_assert_eq(seen.error, 0);
    cr_assert_eq(seen.token, UINT64_MAX - 7);
    cr_assert_str_eq(seen.first, "hi");
    cr_assert(fcntl(seen.fd, F_GETFL) & O_NONBLOCK);
    close(seen.fd);
    close(fd);
    fd = tcp(&name, 0);
    cr_assert_eq(rc_io_connect(&rig.io, (struct sockaddr *)&name, sizeof(name), 5000, 1, first, 0), 0);
    wait_for(2);
    cr_assert_eq(seen.fd, -1);
    cr_assert_eq(seen.error, -ECONNREFUSED);
    close(fd);
}

Test(io_connect, has_a_deadline_and_a_bound)
{
    struct sockaddr_in name;
    const int fd = tcp(&name, 1);
    const uint8_t first[1] = {0};
    int clients[8];
    /* The queue takes two; who comes then gets no answer. */
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(clients); i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(clients[i], (struct sockaddr *)&name, sizeof(name));
    }
    for (uint32_t i = 0; i < RC_IO_CONNECTS_MAX; i++) {
        cr_assert_eq(rc_io_connect(&rig.io, (struct sockaddr *)&name, sizeof(name), 100, i, first, 0), 0);
    }
    cr_assert_eq(rc_io_connect(&rig.io, (struct sockaddr *)&name, sizeof(name), 100, 0, first, 0), -EAGAIN);
    wait_for(RC_IO_CONNECTS_MAX);
    cr_assert_eq(seen.error, -ECANCELED);
    cr_assert_eq(rc_io_connect(&rig.io, (struct sockaddr *)&name, sizeof(name), 60000, 0, first, 0), 0,
                 "its place is used again; closed with the ring");
    rc_io_run(&rig.io, 0);
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(clients); i++) {
        close(clients[i]);
    }
    close(fd);
}
