/*
 * console: the Unix socket on which a running broker is asked and told things (`ringcast status`, `reload`, `stop`).
 *
 * A caller connects, sends one line, reads text until end of file. The first line of the answer is "ok" or "error".
 * Only root and the broker's own user are answered (SO_PEERCRED; the socket file is 0600). One instance, owned by the
 * supervisor, which watches `epoll_fd` and calls rc_console_serve. Sessions, request and time are bounded: a caller
 * that does not read or write is closed.
 */
#ifndef RC_ACCEPTOR_CONSOLE_CONSOLE_H
#define RC_ACCEPTOR_CONSOLE_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "common/base/err.h"

#define RC_CONSOLE_SESSIONS_MAX 16
#define RC_CONSOLE_REQUEST_MAX 4200 /* a path and a word; what a trace looks for: three names, percent-encoded */
#define RC_CONSOLE_OUTPUT_MAX (1u << 20)
#define RC_CONSOLE_IDLE_MS 5000u
#define RC_CONSOLE_TURNED_AWAY "the broker is answering as many commands as it can at a time: try again"

/*
 * A session:  READING -> (request complete) WAITING -> FLUSHING -> closed
 * WAITING may last as long as what was asked for (a reload, a drain); output can be written in it already.
 */
enum rc_console_state { RC_CONSOLE_FREE, RC_CONSOLE_READING, RC_CONSOLE_WAITING, RC_CONSOLE_FLUSHING };

struct rc_console_session {
    enum rc_console_state state;
    /* Its number + RC_CONSOLE_SESSIONS_MAX x a serial: an answer that comes late reaches no other session. */
    uint32_t handle;
    int fd;               /* owned */
    uint64_t deadline_ms; /* of READING and FLUSHING */
    size_t request_bytes;
    char request[RC_CONSOLE_REQUEST_MAX];
    char *output; /* owned, NULL = none */
    size_t output_bytes;
    size_t output_sent;
};

/* Answers by rc_console_write and rc_console_finish, in the call or later. */
typedef void rc_console_handler(void *context, uint32_t handle, const char *request);

struct rc_console {
    int epoll_fd;  /* owned; readable when rc_console_serve has work */
    int listen_fd; /* owned */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    bool bound; /* the socket file was made here */
    uint32_t open_sessions;
    uint32_t serial; /* of the last session */
    struct rc_console_session sessions[RC_CONSOLE_SESSIONS_MAX];
    rc_console_handler *handler;
    void *context; /* borrowed: the handler's */
};

/* Where the socket goes: `configured` when not empty, else ringcast-<instance_id>.sock in the first folder of
 * $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR, /run/ringcast and /tmp that this process can write to. */
int rc_console_path(char *path, size_t capacity, const char *configured, const char *instance_id, struct rc_err *err);

/* The folders, in the order in which a broker tries them and a caller looks into them. NULL at the end. */
#define RC_CONSOLE_FOLDERS_MAX 5
void rc_console_folders(const char *folders[RC_CONSOLE_FOLDERS_MAX], char *storage, size_t capacity);

int rc_console_open(struct rc_console *console, const char *path, rc_console_handler *handler, void *context,
                    struct rc_err *err);
/* Goes on with what another program of ours has opened: descriptors, path and sessions are in `console`, its epoll_fd is -1. */
int rc_console_adopt(struct rc_console *console, rc_console_handler *handler, void *context, struct rc_err *err);
void rc_console_close(struct rc_console *console);

/* Accepts, reads, writes, and closes what is overdue. */
void rc_console_serve(struct rc_console *console, uint64_t now_ms);

/* When rc_console_serve must be called at the latest although epoll_fd is silent; UINT64_MAX = never. */
uint64_t rc_console_due_ms(const struct rc_console *console);

/* Adds text to a session's output; too much of it ends the session. Nothing when the session is gone. */
void rc_console_write(struct rc_console *console, uint32_t handle, const char *text, size_t bytes);
/* The caller's connection itself, blocking, which is the taker's to close from here on; the session is gone. Only of one that has no
 * unsent output. -ENOENT: it is gone; -EBUSY; another negative errno. */
int rc_console_take(struct rc_console *console, uint32_t handle);
/* No more output: the session closes when everything is sent. */
void rc_console_finish(struct rc_console *console, uint32_t handle, uint64_t now_ms);

#endif
