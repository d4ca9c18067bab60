/* acceptor/sdnotify: what a service manager gets to hear. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "acceptor/watch/sdnotify.h"

static int manager = -1;
static char path[80];

static void open_manager(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const size_t bytes = strlen(name);
    memcpy(address.sun_path, name, bytes);
    if (name[0] == '@') {
        address.sun_path[0] = '\0';
    }
    manager = socket(AF_UNIX, SOCK_DGRAM, 0);
    cr_assert_eq(bind(manager, (const struct sockaddr *)&address,
                      (socklen_t)(sizeof(address.sun_family) + bytes + (name[0] == '@' ? 0 : 1))),
                 0);
    setenv("NOTIFY_SOCKET", name, 1);
}

static void expect(const char *text)
{
    char got[1024];
    const ssize_t bytes = recv(manager, got, sizeof(got) - 1, MSG_DONTWAIT);
    cr_assert_gt(bytes, 0, "nothing came instead of %s", text);
    got[bytes] = '\0';
    cr_assert_eq(strncmp(got, text, strlen(text)), 0, "%s instead of %s", got, text);
}

static void expect_nothing(void)
{
    char got[16];
    cr_assert_lt(recv(manager, got, sizeof(got), MSG_DONTWAIT), 0);
}

static void set_up(void)
{
    snprintf(path, sizeof(path), "/tmp/ringcast-notify-%d.sock", (int)getpid());
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

static void tear_down(void)
{
    close(manager);
    unlink(path);
}

TestSuite(sdnotify, .init = set_up, .fini = tear_down);

Test(sdnotify, states_arrive_and_children_do_not_inherit_the_socket)
{
    struct rc_sdnotify notify;
    open_manager(path);
    rc_sdnotify_open(&notify);
    cr_assert_null(getenv("NOTIFY_SOCKET"));
    rc_sdnotify_send(&notify, "READY=1\nMAINPID=%d", 7);
    expect("READY=1\nMAINPID=7");
    rc_sdnotify_reloading(&notify);
    expect("RELOADING=1\nMONOTONIC_USEC=");
    rc_sdnotify_close(&notify);
}

Test(sdnotify, abstract_socket)
{
    struct rc_sdnotify notify;
    char name[64];
    snprintf(name, sizeof(name), "@ringcast-notify-%d", (int)getpid());
    open_manager(name);
    rc_sdnotify_open(&notify);
    rc_sdnotify_send(&notify, "STOPPING=1");
    expect("STOPPING=1");
    rc_sdnotify_close(&notify);
}

Test(sdnotify, watchdog_beats_at_half_its_patience)
{
    struct rc_sdnotify notify;
    open_manager(path);
    setenv("WATCHDOG_USEC", "4000000", 1);
    rc_sdnotify_open(&notify);
    cr_assert_eq(notify.watchdog_ms, 2000);
    rc_sdnotify_beat(&notify, 10000);
    expect("WATCHDOG=1");
    rc_sdnotify_beat(&notify, 11999);
    expect_nothing();
    rc_sdnotify_beat(&notify, 12000);
    expect("WATCHDOG=1");
    rc_sdnotify_close(&notify);
}

Test(sdnotify, watchdog_of_another_process_is_not_ours)
{
    struct rc_sdnotify notify;
    open_manager(path);
    setenv("WATCHDOG_USEC", "4000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    rc_sdnotify_open(&notify);
    cr_assert_eq(notify.watchdog_ms, 0);
    rc_sdnotify_close(&notify);
}

Test(sdnotify, nobody_listening_is_no_error)
{
    struct rc_sdnotify notify;
    unsetenv("NOTIFY_SOCKET");
    rc_sdnotify_open(&notify);
    cr_assert_eq(notify.fd, -1);
    rc_sdnotify_send(&notify, "READY=1");
    rc_sdnotify_beat(&notify, 1);
    setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
    rc_sdnotify_open(&notify);
    rc_sdnotify_send(&notify, "READY=1");
    rc_sdnotify_close(&notify);
}

Test(sdnotify, strange_names_are_ignored)
{
    struct rc_sdnotify notify;
    char name[300];
    memset(name, 'x', sizeof(name));
    name[0] = '/';
    name[sizeof(name) - 1] = '\0';
    setenv("NOTIFY_SOCKET", name, 1);
    rc_sdnotify_open(&notify);
    cr_assert_eq(notify.fd, -1);
    setenv("NOTIFY_SOCKET", "relative", 1);
    rc_sdnotify_open(&notify);
    cr_assert_eq(notify.fd, -1);
}
