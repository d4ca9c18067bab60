/*
 * console: see console.h.
 */
#include "acceptor/console/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acceptor/start/unix_path.h"

#define RC_CONSOLE_BACKLOG 16
#define RC_CONSOLE_LISTENER UINT32_MAX /* event number of the listening socket; others are sessions */
#define RC_CONSOLE_SYSTEM_FOLDER "/run/ringcast"

void rc_console_folders(const char *folders[RC_CONSOLE_FOLDERS_MAX], char *storage, size_t capacity)
{
    size_t count = 0;
    const char *runtime = getenv("RUNTIME_DIRECTORY");
    const char *user = getenv("XDG_RUNTIME_DIR");
    if (runtime != NULL && runtime[0] == '/') {
        /* A list separated by colons: the first one is ours. */
        snprintf(storage, capacity, "%.*s", (int)strcspn(runtime, ":"), runtime);
        folders[count++] = storage;
    }
    if (user != NULL && user[0] == '/') {
        folders[count++] = user;
    }
    folders[count++] = RC_CONSOLE_SYSTEM_FOLDER;
    folders[count++] = "/tmp";
    folders[count] = NULL;
}

int rc_console_path(char *path, size_t capacity, const char *configured, const char *instance_id, struct rc_err *err)
{
    if (configured[0] != '\0') {
        if ((size_t)snprintf(path, capacity, "%s", configured) >= capacity) {
            return rc_err_set(err, -ENAMETOOLONG, "server.control_socket is longer than %zu bytes", capacity - 1);
        }
        return 0;
    }
    const char *folders[RC_CONSOLE_FOLDERS_MAX];
    char storage[256];
    rc_console_folders(folders, storage, sizeof(storage));
    for (size_t i = 0; folders[i] != NULL; i++) {
        if (strcmp(folders[i], RC_CONSOLE_SYSTEM_FOLDER) == 0 && geteuid() == 0) {
            (void)mkdir(folders[i], 0755);
        }
        if (access(folders[i], W_OK | X_OK) == 0 &&
            (size_t)snprintf(path, capacity, "%s/ringcast-%s.sock", folders[i], instance_id) < capacity) {
            return 0;
        }
    }
    return rc_err_set(err, -EACCES, "no folder for the control socket can be written to: set server.control_socket");
}

static int session_watch(struct rc_console *console, int operation, int fd, uint32_t number, uint32_t events)
{
    struct epoll_event event = {.events = events, .data = {.u32 = number}};
    return epoll_ctl(console->epoll_fd, operation, fd, &event) == 0 ? 0 : -errno;
}

static int listen_on(struct rc_console *console, const struct sockaddr_un *address)
{
    console->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (console->listen_fd < 0) {
        return -errno;
    }
    /* The mode must be right from the first moment on: a later chmod would leave a gap. */
    const mode_t before = umask(0177);
    const int bound = bind(console->listen_fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : -errno;
    umask(before);
    if (bound != 0) {
        return bound;
    }
    console->bound = true;
    if (listen(console->listen_fd, RC_CONSOLE_BACKLOG) != 0) {
        return -errno;
    }
    return session_watch(console, EPOLL_CTL_ADD, console->listen_fd, RC_CONSOLE_LISTENER, EPOLLIN);
}

int rc_console_open(struct rc_console *console, const char *path, rc_console_handler *handler, void *context,
                    struct rc_err *err)
{
    memset(console, 0, sizeof(*console));
    console->listen_fd = -1;
    console->handler = handler;
    console->context = context;
    console->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (console->epoll_fd < 0) {
        return rc_err_set(err, -errno, "cannot make an epoll instance: %s", strerror(errno));
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    snprintf(console->path, sizeof(console->path), "%s", path);
    int rc = rc_unix_path_clear(path);
    if (rc == 0) {
        rc = listen_on(console, &address);
    }
    if (rc == 0) {
        return 0;
    }
    rc_console_close(console);
    if (rc == -EADDRINUSE) {
        return rc_err_set(err, rc,
                          "the control socket %s belongs to a running broker: set server.instance_id or "
                          "server.control_socket",
                          path);
    }
    return rc_err_set(err, rc, "cannot make the control socket %s: %s (server.control_socket names another)", path,
                      rc == -EEXIST ? "there is a file of that name that is not a socket" : strerror(-rc));
}

int rc_console_adopt(struct rc_console *console, rc_console_handler *handler, void *context, struct rc_err *err)
{
    console->handler = handler;
    console->context = context;
    console->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int rc = console->epoll_fd >= 0 ? 0 : -errno;
    if (rc == 0) {
        rc = session_watch(console, EPOLL_CTL_ADD, console->listen_fd, RC_CONSOLE_LISTENER, EPOLLIN);
    }
    for (uint32_t i = 0; i < RC_CONSOLE_SESSIONS_MAX && rc == 0; i++) {
        const struct rc_console_session *session = &console->sessions[i];
        if (session->state != RC_CONSOLE_FREE) {
            rc = session_watch(console, EPOLL_CTL_ADD, session->fd, i,
                               session->state == RC_CONSOLE_READING ? EPOLLIN | EPOLLRDHUP : EPOLLOUT | EPOLLRDHUP);
        }
    }
    return rc == 0 ? 0 : rc_err_set(err, rc, "cannot watch the control socket: %s", strerror(-rc));
}

static void close_session(struct rc_console *console, struct rc_console_session *session)
{
    close(session->fd);
    free(session->output);
    memset(session, 0, sizeof(*session));
    session->fd = -1;
    console->open_sessions--;
}

void rc_console_close(struct rc_console *console)
{
    for (uint32_t i = 0; i < RC_CONSOLE_SESSIONS_MAX; i++) {
        if (console->sessions[i].state != RC_CONSOLE_FREE) {
            close_session(console, &console->sessions[i]);
        }
    }
    if (console->listen_fd >= 0) {
        close(console->listen_fd);
        console->listen_fd = -1;
    }
    if (console->bound) {
        (void)rc_unix_path_clear(console->path);
        console->bound = false;
    }
    if (console->epoll_fd >= 0) {
        close(console->epoll_fd);
        console->epoll_fd = -1;
    }
}

static bool peer_allowed(int fd)
{
    struct ucred peer;
    socklen_t bytes = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

static struct rc_console_session *free_session(struct rc_console *console, uint32_t *number)
{
    for (uint32_t i = 0; i < RC_CONSOLE_SESSIONS_MAX; i++) {
        if (console->sessions[i].state == RC_CONSOLE_FREE) {
            *number = i;
            return &console->sessions[i];
        }
    }
    return NULL;
}

/* Says why, as far as the socket takes it at once, and closes it. */
static void turn_away(int fd, const char *answer)
{
    (void)send(fd, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

static void accept_all(struct rc_console *console, uint64_t now_ms)
{
    for (uint32_t i = 0; i < RC_CONSOLE_BACKLOG; i++) {
        const int fd = accept4(console->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            return;
        }
        uint32_t number = 0;
        if (!peer_allowed(fd)) {
            turn_away(fd, "error\nonly root and the user of this broker may ask it\n");
            continue;
        }
        struct rc_console_session *session = free_session(console, &number);
        if (session == NULL || session_watch(console, EPOLL_CTL_ADD, fd, number, EPOLLIN | EPOLLRDHUP) != 0) {
            turn_away(fd, "error\n" RC_CONSOLE_TURNED_AWAY "\n");
            continue;
        }
        session->state = RC_CONSOLE_READING;
        session->handle = ++console->serial * RC_CONSOLE_SESSIONS_MAX + number;
        session->fd = fd;
        session->deadline_ms = now_ms + RC_CONSOLE_IDLE_MS;
        console->open_sessions++;
    }
}

/* True when the session is still open afterwards. */
static bool send_output(struct rc_console *console, uint32_t number)
{
    struct rc_console_session *session = &console->sessions[number];
    while (session->output_sent < session->output_bytes) {
        const ssize_t sent = send(session->fd, session->output + session->output_sent,
                                  session->output_bytes - session->output_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0 && errno == EAGAIN) {
            (void)session_watch(console, EPOLL_CTL_MOD, session->fd, number, EPOLLOUT);
            return true;
        }
        if (sent <= 0) {
            close_session(console, session);
            return false;
        }
        session->output_sent += (size_t)sent;
    }
    if (session->state == RC_CONSOLE_FLUSHING) {
        close_session(console, session);
        return false;
    }
    /* Only the caller's leaving is of interest now. */
    (void)session_watch(console, EPOLL_CTL_MOD, session->fd, number, EPOLLRDHUP);
    return true;
}

static void read_request(struct rc_console *console, uint32_t number)
{
    struct rc_console_session *session = &console->sessions[number];
    const size_t room = sizeof(session->request) - 1 - session->request_bytes;
    const ssize_t bytes = recv(session->fd, session->request + session->request_bytes, room, MSG_DONTWAIT);
    if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (bytes <= 0) {
        close_session(console, session);
        return;
    }
    session->request_bytes += (size_t)bytes;
    char *end = memchr(session->request, '\n', session->request_bytes);
    if (end == NULL) {
        if (session->request_bytes == sizeof(session->request) - 1) {
            close_session(console, session);
        }
        return;
    }
    *end = '\0';
    session->state = RC_CONSOLE_WAITING;
    (void)session_watch(console, EPOLL_CTL_MOD, session->fd, number, EPOLLRDHUP);
    console->handler(console->context, session->handle, session->request);
}

static void serve_session(struct rc_console *console, uint32_t number, uint32_t events)
{
    switch (console->sessions[number].state) {
    case RC_CONSOLE_FREE:
        return;
    case RC_CONSOLE_READING:
        read_request(console, number);
        return;
    case RC_CONSOLE_WAITING:
    case RC_CONSOLE_FLUSHING:
        if ((events & (EPOLLHUP | EPOLLERR)) != 0 || ((events & EPOLLRDHUP) != 0 && (events & EPOLLOUT) == 0)) {
            close_session(console, &console->sessions[number]);
        } else {
            (void)send_output(console, number);
        }
        return;
    }
}

static void close_overdue(struct rc_console *console, uint64_t now_ms)
{
    for (uint32_t i = 0; i < RC_CONSOLE_SESSIONS_MAX; i++) {
        struct rc_console_session *session = &console->sessions[i];
        if ((session->state == RC_CONSOLE_READING || session->state == RC_CONSOLE_FLUSHING) &&
            now_ms >= session->deadline_ms) {
            close_session(console, session);
        }
    }
}

void rc_console_serve(struct rc_console *console, uint64_t now_ms)
{
    struct epoll_event events[RC_CONSOLE_SESSIONS_MAX + 1];
    const int count = epoll_wait(console->epoll_fd, events, RC_CONSOLE_SESSIONS_MAX + 1, 0);
    for (int i = 0; i < count; i++) {
        if (events[i].data.u32 == RC_CONSOLE_LISTENER) {
            accept_all(console, now_ms);
        } else {
            serve_session(console, events[i].data.u32, events[i].events);
        }
    }
    close_overdue(console, now_ms);
}

uint64_t rc_console_due_ms(const struct rc_console *console)
{
    uint64_t due_ms = UINT64_MAX;
    for (uint32_t i = 0; console->open_sessions > 0 && i < RC_CONSOLE_SESSIONS_MAX; i++) {
        const struct rc_console_session *session = &console->sessions[i];
        if ((session->state == RC_CONSOLE_READING || session->state == RC_CONSOLE_FLUSHING) &&
            session->deadline_ms < due_ms) {
            due_ms = session->deadline_ms;
        }
    }
    return due_ms;
}

/* The session of a handle while it waits for its answer, else NULL. */
static struct rc_console_session *waiting_session(struct rc_console *console, uint32_t handle)
{
    struct rc_console_session *session = &console->sessions[handle % RC_CONSOLE_SESSIONS_MAX];
    return session->state == RC_CONSOLE_WAITING && session->handle == handle ? session : NULL;
}

void rc_console_write(struct rc_console *console, uint32_t handle, const char *text, size_t bytes)
{
    struct rc_console_session *session = waiting_session(console, handle);
    if (session == NULL || bytes == 0) {
        return;
    }
    char *grown = NULL;
    if (session->output_bytes + bytes <= RC_CONSOLE_OUTPUT_MAX) {
        grown = realloc(session->output, session->output_bytes + bytes);
    }
    if (grown == NULL) {
        close_session(console, session);
        return;
    }
    memcpy(grown + session->output_bytes, text, bytes);
    session->output = grown;
    session->output_bytes += bytes;
    (void)send_output(console, handle % RC_CONSOLE_SESSIONS_MAX);
}

int rc_console_take(struct rc_console *console, uint32_t handle)
{
    struct rc_console_session *session = waiting_session(console, handle);
    if (session == NULL) {
        return -ENOENT;
    }
    if (session->output_sent < session->output_bytes) {
        return -EBUSY;
    }
    const int flags = fcntl(session->fd, F_GETFL);
    const int fd = flags < 0 ? -1 : fcntl(session->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    /* The description goes on: what is not taken off here would go on telling of it. */
    if (epoll_ctl(console->epoll_fd, EPOLL_CTL_DEL, session->fd, NULL) != 0 ||
        fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0) {
        const int rc = -errno;
        close(fd);
        return rc;
    }
    close_session(console, session);
    return fd;
}

void rc_console_finish(struct rc_console *console, uint32_t handle, uint64_t now_ms)
{
    struct rc_console_session *session = waiting_session(console, handle);
    if (session != NULL) {
        session->state = RC_CONSOLE_FLUSHING;
        session->deadline_ms = now_ms + RC_CONSOLE_IDLE_MS;
        (void)send_output(console, handle % RC_CONSOLE_SESSIONS_MAX);
    }
}
