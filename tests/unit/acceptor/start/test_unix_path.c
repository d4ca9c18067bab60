/* The file of a Unix socket: one that nobody listens on goes, nothing else does. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "acceptor/start/unix_path.h"

static char path[64];

static void set_up(void)
{
    (void)snprintf(path, sizeof(path), "/tmp/ringcast-unix-path-%d", (int)getpid());
    (void)unlink(path);
}

static void tear_down(void)
{
    (void)unlink(path);
}

TestSuite(unix_path, .init = set_up, .fini = tear_down);

static struct sockaddr_un address_of(const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", text);
    return address;
}

static int bound(void)
{
    const struct sockaddr_un address = address_of(path);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert(fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
    return fd;
}

Test(unix_path, nothing_there_is_free)
{
    cr_assert_eq(rc_unix_path_clear(path), 0);
    cr_assert_eq(rc_unix_path_clear("/nonexistent/folder/socket"), 0);
}

Test(unix_path, what_a_killed_process_left_goes)
{
    (void)close(bound());
    cr_assert_eq(access(path, F_OK), 0);
    cr_assert_eq(rc_unix_path_clear(path), 0);
    cr_assert_neq(access(path, F_OK), 0);
    /* Bound, and never listened on. */
    const int fd = bound();
    cr_assert_eq(rc_unix_path_clear(path), 0);
    (void)close(fd);
}

Test(unix_path, somebody_s_listener_stays)
{
    const struct sockaddr_un address = address_of(path);
    const int fd = bound();
    cr_assert_eq(listen(fd, 1), 0);
    cr_assert_eq(rc_unix_path_clear(path), -EADDRINUSE);
    /* Also while its queue is full. */
    int fds[16];
    size_t count = 0;
    do {
        cr_assert_lt(count, 16);
        fds[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    } while (connect(fds[count++], (const struct sockaddr *)&address, sizeof(address)) == 0);
    cr_assert_eq(errno, EAGAIN);
    cr_assert_eq(rc_unix_path_clear(path), -EADDRINUSE);
    cr_assert_eq(access(path, F_OK), 0);
    while (count > 0) {
        (void)close(fds[--count]);
    }
    (void)close(fd);
}

Test(unix_path, what_is_no_socket_stays)
{
    const int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    (void)close(fd);
    cr_assert_eq(rc_unix_path_clear(path), -EEXIST);
    cr_assert_eq(access(path, F_OK), 0);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(symlink("/tmp", path), 0);
    cr_assert_eq(rc_unix_path_clear(path), -EEXIST, "what a link points to is not looked at");
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(rc_unix_path_clear(path), -EEXIST);
}

Test(unix_path, a_path_that_no_socket_can_have)
{
    char text[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
    memset(text, 'x', sizeof(text));
    text[0] = '/';
    text[sizeof(text) - 1] = '\0';
    cr_assert_eq(rc_unix_path_clear(text), -ENAMETOOLONG);
    text[sizeof(text) - 2] = '\0';
    cr_assert_eq(rc_unix_path_clear(text), 0, "the longest one may be");
}
