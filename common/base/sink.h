/*
 * sink: a descriptor that lines of text go to, and that never makes its writer wait.
 *
 * Standard error and standard output belong to somebody else: a terminal that is stopped, a pipe whose reader sleeps, a journal
 * that is restarted. A plain write(2) there stands still for as long as they do, and a loop with it. O_NONBLOCK on what was
 * inherited would be seen by everybody who shares it (a shell, the program at the other end of `2>&1`), so:
 *
 *   pipe, terminal   opened again by way of /proc/self/fd, which gives a description of our own, non-blocking; it takes the
 *                    descriptor's place, so that children have it too. A terminal that may not be opened (after su): by /dev/tty
 *   pipe that may not be opened again (made by another user: containers, su)
 *                    pwritev2(RWF_NOWAIT), from Linux 6.4 on, but for named ones; else splice(2) out of a pipe of our own, without waiting:
 *                    a line then takes a page of the pipe
 *   socket (journal) send(2) with MSG_DONTWAIT
 *   file, /dev/null  write(2): that waits for memory and disk at most, as every file does
 *   else             poll(2) before each write
 *
 * Lines up to PIPE_BUF go into a pipe as a whole or not at all. A terminal or socket may take a part: the rest goes before the next
 * line. Owned by its process; not for two threads.
 */
#ifndef RC_COMMON_BASE_SINK_H
#define RC_COMMON_BASE_SINK_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define RC_SINK_LINE_MAX PIPE_BUF

enum rc_sink_kind {
    RC_SINK_PLAIN, /* write(2) does not wait, or is as good as it gets */
    RC_SINK_SOCKET,
    RC_SINK_NOWAIT,
    RC_SINK_SPLICE,
    RC_SINK_POLL,
};

struct rc_sink {
    int fd; /* borrowed: its number is known to everybody */
    enum rc_sink_kind kind;
    int pipe_fds[2]; /* owned, RC_SINK_SPLICE only: lines pass through it */
    size_t rest_bytes;
    char rest[RC_SINK_LINE_MAX]; /* of a line that was taken in part */
};

/* What `fd` is until rc_sink_open: written to as it is. */
#define RC_SINK_INIT(number)                                          \
    {                                                                 \
        .fd = (number), .kind = RC_SINK_PLAIN, .pipe_fds = { -1, -1 } \
    }

/* Finds the way that does not wait. Cannot fail: the least is RC_SINK_POLL. */
void rc_sink_open(struct rc_sink *sink, int fd);
void rc_sink_close(struct rc_sink *sink); /* not the descriptor */

/* At most RC_SINK_LINE_MAX bytes. True when they were taken; false: nothing of them was, and the line is the caller's to count. No
 * bytes: only the rest of an earlier line, if there is one; true when there is none any more. */
bool rc_sink_write(struct rc_sink *sink, const char *line, size_t bytes);

#endif
