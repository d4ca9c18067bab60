/*
 * sdnotify: what a service manager wants to hear (sd_notify(3)), without its library.
 *
 * One datagram per message to the socket that $NOTIFY_SOCKET names; without it every call does nothing. The acceptor
 * owns the one instance. A message that cannot be sent is dropped: a manager that does not listen must not stop the
 * broker.
 */
#ifndef RC_ACCEPTOR_WATCH_SDNOTIFY_H
#define RC_ACCEPTOR_WATCH_SDNOTIFY_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct rc_sdnotify {
    int fd; /* owned, -1 = nobody listens */
    struct sockaddr_un address;
    socklen_t address_bytes;
    uint64_t watchdog_ms; /* send a sign of life at least this often, 0 = not asked for */
    uint64_t watchdog_due_ms;
};

/* Reads $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID and removes them from the environment: children are not
 * to answer. */
void rc_sdnotify_open(struct rc_sdnotify *notify);
void rc_sdnotify_close(struct rc_sdnotify *notify);

/* Sends one state, e.g. "READY=1\nSTATUS=…" (formatted, at most 1 KiB). */
void rc_sdnotify_send(struct rc_sdnotify *notify, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* RELOADING=1 with the monotonic time that the protocol wants beside it; READY=1 ends it. */
void rc_sdnotify_reloading(struct rc_sdnotify *notify);

/* Sends WATCHDOG=1 when it is due. */
void rc_sdnotify_beat(struct rc_sdnotify *notify, uint64_t now_ms);

#endif
