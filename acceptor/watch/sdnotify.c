/*
 * sdnotify: see sdnotify.h.
 */
#include "acceptor/watch/sdnotify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"

#define RC_SDNOTIFY_TEXT_MAX 1024

static uint64_t watchdog_interval_ms(void)
{
    const char *interval = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    if (interval == NULL || (pid != NULL && strtol(pid, NULL, 10) != (long)getpid())) {
        return 0;
    }
    /* Half of the manager's patience, as sd_watchdog_enabled(3) advises. */
    const uint64_t half_ms = strtoull(interval, NULL, 10) / 2000u;
    return half_ms;
}

void rc_sdnotify_open(struct rc_sdnotify *notify)
{
    memset(notify, 0, sizeof(*notify));
    notify->fd = -1;
    const char *path = getenv("NOTIFY_SOCKET");
    const size_t bytes = path != NULL ? strlen(path) : 0;
    if (bytes > 1 && bytes < sizeof(notify->address.sun_path) && (path[0] == '/' || path[0] == '@')) {
        notify->address.sun_family = AF_UNIX;
        memcpy(notify->address.sun_path, path, bytes);
        notify->address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
        if (path[0] == '@') {
            notify->address.sun_path[0] = '\0'; /* abstract: the length says where the name ends */
        } else {
            notify->address_bytes++;
        }
        notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    }
    notify->watchdog_ms = notify->fd >= 0 ? watchdog_interval_ms() : 0;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void rc_sdnotify_close(struct rc_sdnotify *notify)
{
    if (notify->fd >= 0) {
        close(notify->fd);
        notify->fd = -1;
    }
}

void rc_sdnotify_send(struct rc_sdnotify *notify, const char *format, ...)
{
    if (notify->fd < 0) {
        return;
    }
    char text[RC_SDNOTIFY_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    const int bytes = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (bytes <= 0) {
        return;
    }
    const size_t count = (size_t)bytes < sizeof(text) ? (size_t)bytes : sizeof(text) - 1;
    (void)sendto(notify->fd, text, count, MSG_NOSIGNAL, (const struct sockaddr *)&notify->address,
                 notify->address_bytes);
}

void rc_sdnotify_reloading(struct rc_sdnotify *notify)
{
    rc_sdnotify_send(notify, "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reloading",
                     (unsigned long long)(rc_clock_ns() / 1000u));
}

void rc_sdnotify_beat(struct rc_sdnotify *notify, uint64_t now_ms)
{
    if (notify->watchdog_ms == 0 || now_ms < notify->watchdog_due_ms) {
        return;
    }
    notify->watchdog_due_ms = now_ms + notify->watchdog_ms;
    rc_sdnotify_send(notify, "WATCHDOG=1");
}
