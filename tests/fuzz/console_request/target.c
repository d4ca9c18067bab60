/* Callers of the control socket: whatever they send, in whatever pieces, requests are lines without their end, each caller has one, and no
 * session is left behind. The first byte says how many callers there are, the next one the size of the pieces. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "acceptor/console/console.h"
#include "common/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static struct rc_console console;
static uint32_t handles[RC_CONSOLE_SESSIONS_MAX];
static uint32_t handle_count;

/* Answers the request with itself, at once or never, by what it begins with. */
static void handler(void *context, uint32_t handle, const char *request)
{
    RC_ASSERT(context == &console && strlen(request) < RC_CONSOLE_REQUEST_MAX && strchr(request, '\n') == NULL);
    for (uint32_t i = 0; i < handle_count; i++) {
        RC_ASSERT(handles[i] != handle);
    }
    RC_ASSERT(handle_count < RC_CONSOLE_SESSIONS_MAX);
    handles[handle_count++] = handle;
    rc_console_write(&console, handle, "ok\n", 3);
    rc_console_write(&console, handle, request, strlen(request));
    if (request[0] != 'w') {
        rc_console_finish(&console, handle, 1);
    }
}

static void open_console(void)
{
    char path[64];
    struct rc_err err = {{0}};
    (void)snprintf(path, sizeof(path), "/tmp/ringcast-fuzz-console-%d.sock", (int)getpid());
    RC_ASSERT(rc_console_open(&console, path, handler, &console, &err) == 0);
}

static int call(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, console.path, sizeof(address.sun_path));
    RC_ASSERT(fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    int fds[4];
    if (count < 2) {
        return 0;
    }
    const uint32_t callers = 1 + bytes[0] % 4;
    const size_t piece = 1 + (size_t)bytes[1] * 16;
    open_console();
    handle_count = 0;
    for (uint32_t i = 0; i < callers; i++) {
        fds[i] = call();
    }
    rc_console_serve(&console, 0);
    RC_ASSERT(console.open_sessions == callers);
    for (size_t at = 2; at < count; at += piece) {
        for (uint32_t i = 0; i < callers; i++) {
            (void)!send(fds[i], bytes + at, at + piece < count ? piece : count - at, MSG_NOSIGNAL);
        }
        rc_console_serve(&console, 0);
    }
    for (uint32_t i = 0; i < callers; i += 2) { /* some go without having read */
        close(fds[i]);
    }
    rc_console_serve(&console, RC_CONSOLE_IDLE_MS - 1);
    rc_console_serve(&console, RC_CONSOLE_IDLE_MS + 1);
    for (uint32_t i = 0; i < handle_count; i++) {
        rc_console_finish(&console, handles[i], RC_CONSOLE_IDLE_MS + 1);
    }
    rc_console_serve(&console, 3 * RC_CONSOLE_IDLE_MS);
    RC_ASSERT(console.open_sessions == 0);
    for (uint32_t i = 1; i < callers; i += 2) {
        close(fds[i]);
    }
    rc_console_close(&console);
    return 0;
}
