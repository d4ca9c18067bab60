/*
 * client: see client.h.
 */
#include "acceptor/console/client.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "acceptor/console/console.h"
#include "common/base/clock.h"

#define RC_CLIENT_PREFIX "ringcast-"
#define RC_CLIENT_SUFFIX ".sock"
#define RC_CLIENT_ANSWER_MAX (1u << 20)
#define RC_CLIENT_BUSY_MS 100

int rc_client_connect(const char *path, uint64_t timeout_ms)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    const struct timeval patience = {.tv_sec = (time_t)(timeout_ms / 1000u),
                                     .tv_usec = (suseconds_t)(timeout_ms % 1000u * 1000u)};
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0) {
        const int rc = -errno;
        close(fd);
        return rc;
    }
    /* Where it waits for a place it is not begun again by itself behind a stop (signal(7)). */
    while (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        const int rc = -errno;
        if (rc != -EINTR) {
            close(fd);
            return rc;
        }
    }
    return fd;
}

static bool named_like_ours(const char *name)
{
    const size_t bytes = strlen(name);
    const size_t suffix = sizeof(RC_CLIENT_SUFFIX) - 1;
    return strncmp(name, RC_CLIENT_PREFIX, sizeof(RC_CLIENT_PREFIX) - 1) == 0 && bytes > suffix &&
           strcmp(name + bytes - suffix, RC_CLIENT_SUFFIX) == 0;
}

/* The text of the whole answer to a request, to be freed by the caller; NULL when there is none in time. Closes `fd`. */
static char *answer_of(int fd, const char *request)
{
    const uint64_t end_ms = rc_clock_ms() + RC_CLIENT_ANSWER_MS;
    char *text = malloc(RC_CLIENT_ANSWER_MAX);
    size_t bytes = 0;
    ssize_t got = -1;
    /* Who is turned away is answered before the request is read: sending may find a closed end, and behind that answer is no end but a reset. */
    const ssize_t sent = text == NULL ? -1 : send(fd, request, strlen(request), MSG_NOSIGNAL);
    if (sent == (ssize_t)strlen(request) || (text != NULL && sent < 0 && errno == EPIPE)) {
        do {
            got = recv(fd, text + bytes, RC_CLIENT_ANSWER_MAX - 1 - bytes, 0);
            bytes += got > 0 ? (size_t)got : 0;
        } while ((got > 0 || (got < 0 && errno == EINTR)) && rc_clock_ms() < end_ms);
    }
    const bool ended = got == 0 || (got < 0 && errno == ECONNRESET && bytes > 0);
    close(fd);
    if (text == NULL || !ended) {
        free(text);
        return NULL;
    }
    text[bytes] = '\0';
    return text;
}

static void copy_member(char *out, size_t capacity, const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    (void)snprintf(out, capacity, "%s", value != NULL ? value : "");
}

/* What the broker says of itself: of one whose sessions are all taken just now, when it has one, within the time in which others answer. */
static char *peer_status(struct rc_client_broker *broker, int fd)
{
    static const struct timespec pause = {.tv_nsec = RC_CLIENT_BUSY_MS * 1000000};
    const uint64_t end_ms = rc_clock_ms() + RC_CLIENT_ANSWER_MS;
    for (;;) {
        char *text = answer_of(fd, "status json\n");
        broker->busy = text != NULL && strcmp(text, "error\n" RC_CONSOLE_TURNED_AWAY "\n") == 0;
        if (!broker->busy || rc_clock_ms() >= end_ms) {
            return text;
        }
        free(text);
        (void)nanosleep(&pause, NULL);
        fd = rc_client_connect(broker->socket, RC_CLIENT_ANSWER_MS);
        if (fd < 0) {
            broker->busy = fd == -EAGAIN; /* its backlog is full, too */
            return NULL;
        }
    }
}

/* Who listens on an open connection? Closes it. */
static void peer_identify(struct rc_client_broker *broker, int fd)
{
    struct ucred peer;
    socklen_t peer_bytes = sizeof(peer);
    broker->pid = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) == 0 ? peer.pid : 0;
    char *text = peer_status(broker, fd);
    json_t *status = text != NULL && strncmp(text, "ok\n", 3) == 0 ? json_loads(text + 3, 0, NULL) : NULL;
    broker->silent = status == NULL && !broker->busy;
    copy_member(broker->instance, sizeof(broker->instance), status, "instance");
    copy_member(broker->config, sizeof(broker->config), status, "config");
    json_decref(status);
    free(text);
}

/* In a folder like /tmp only what root or we made is believed. */
static bool peer_believed(const char *path, bool anybody_writes)
{
    struct stat status;
    return lstat(path, &status) == 0 && S_ISSOCK(status.st_mode) &&
           (!anybody_writes || status.st_uid == 0 || status.st_uid == geteuid());
}

static void answer_collect(struct rc_client_brokers *brokers, const char *folder, const char *config)
{
    struct stat status;
    DIR *directory = opendir(folder);
    if (directory == NULL || fstat(dirfd(directory), &status) != 0) {
        if (directory != NULL) {
            closedir(directory);
        }
        return;
    }
    const bool anybody_writes = (status.st_mode & S_IWOTH) != 0;
    const struct dirent *entry;
    while (brokers->count < RC_CLIENT_BROKERS_MAX && (entry = readdir(directory)) != NULL) {
        struct rc_client_broker *next = &brokers->items[brokers->count];
        *next = (struct rc_client_broker){.silent = true};
        const int bytes = named_like_ours(entry->d_name)
                              ? snprintf(next->socket, sizeof(next->socket), "%s/%s", folder, entry->d_name)
                              : -1;
        if (bytes < 0 || (size_t)bytes >= sizeof(next->socket)) {
            continue;
        }
        if (!peer_believed(next->socket, anybody_writes)) {
            brokers->doubtful++;
            continue;
        }
        const int fd = rc_client_connect(next->socket, RC_CLIENT_ANSWER_MS);
        if (fd < 0 && fd != -EAGAIN) { /* nobody's any more, or another user's; EAGAIN: nobody accepts */
            brokers->foreign += fd == -EACCES ? 1u : 0u;
            continue;
        }
        if (fd >= 0) {
            peer_identify(next, fd);
        }
        brokers->silent += next->silent ? 1u : 0u;
        brokers->busy += next->busy ? 1u : 0u;
        if (config == NULL || strcmp(next->config, config) == 0) {
            brokers->count++;
        }
    }
    closedir(directory);
}

/* The same folder twice (/run/user/0 and a link to it) would make two of one. */
static bool seen_before(const char *const folders[], size_t count)
{
    struct stat its;
    struct stat other;
    for (size_t i = 0; i < count; i++) {
        if (stat(folders[count], &its) == 0 && stat(folders[i], &other) == 0 && its.st_dev == other.st_dev &&
            its.st_ino == other.st_ino) {
            return true;
        }
    }
    return false;
}

void rc_client_find(struct rc_client_brokers *brokers, const char *config)
{
    const char *folders[RC_CONSOLE_FOLDERS_MAX];
    char storage[256];
    brokers->count = brokers->foreign = brokers->doubtful = brokers->silent = brokers->busy = 0;
    rc_console_folders(folders, storage, sizeof(storage));
    for (size_t i = 0; folders[i] != NULL; i++) {
        if (!seen_before(folders, i)) {
            answer_collect(brokers, folders[i], config);
        }
    }
}

/* Splits the verdict off the answer's first line: copies what follows it. */
struct answer {
    char first[16];
    size_t first_bytes;
    bool first_done;
};

static void answer_take(struct answer *answer, const char *text, size_t bytes, FILE *out)
{
    size_t at = 0;
    while (at < bytes && !answer->first_done) {
        if (text[at] == '\n') {
            answer->first_done = true;
        } else if (answer->first_bytes < sizeof(answer->first) - 1) {
            answer->first[answer->first_bytes++] = text[at];
        }
        at++;
    }
    if (at < bytes) {
        (void)fwrite(text + at, 1, bytes - at, out);
        fflush(out);
    }
}

/* Does whoever is behind the socket still answer, if only by turning us away? */
static bool peer_lives(const char *path)
{
    const int fd = rc_client_connect(path, RC_CLIENT_ANSWER_MS);
    if (fd < 0) {
        return fd != -EAGAIN;
    }
    char *text = answer_of(fd, "version\n");
    const bool lives = text != NULL;
    free(text);
    return lives;
}

static int peer_hangs(const char *path, pid_t pid, struct rc_err *err)
{
    if (pid == 0) {
        return rc_err_set(err, -ETIMEDOUT, "the broker at %s does not answer: it hangs, or is stopped", path);
    }
    return rc_err_set(err, -ETIMEDOUT, "the broker at %s (pid %d) does not answer: it hangs, or is stopped", path,
                      (int)pid);
}

int rc_client_unreached(struct rc_err *err, const char *path, int rc)
{
    return rc_err_set(err, rc, "cannot reach a broker at %s: %s%s", path, strerror(-rc),
                      rc == -EACCES ? ": ask as the broker's user, or as root" : "");
}

int rc_client_ask(const char *path, const char *request, FILE *out, struct rc_err *err)
{
    char buffer[8192];
    struct answer answer = {.first_done = false};
    struct ucred peer = {0};
    socklen_t peer_bytes = sizeof(peer);
    const int fd = rc_client_connect(path, RC_CLIENT_SILENCE_MS);
    if (fd == -EAGAIN) {
        return peer_hangs(path, 0, err);
    }
    if (fd < 0) {
        return rc_client_unreached(err, path, fd);
    }
    (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes);
    const int length = snprintf(buffer, sizeof(buffer), "%s\n", request);
    if (length < 0 || (size_t)length >= sizeof(buffer)) {
        close(fd);
        return rc_err_set(err, -E2BIG, "the request is too long");
    }
    /* Who has been turned away already can read why. */
    if (send(fd, buffer, (size_t)length, MSG_NOSIGNAL) != length && errno != EPIPE) {
        const int rc = -errno;
        close(fd);
        return rc_err_set(err, rc, "the broker does not listen: %s", strerror(-rc));
    }
    for (;;) {
        const ssize_t bytes = recv(fd, buffer, sizeof(buffer), 0);
        if (bytes < 0 && errno == EINTR) {
            continue;
        }
        /* A drain, or a reload behind another one, may be silent for long: then the broker is asked whether it lives. */
        if (bytes < 0 && errno == EAGAIN) {
            if (peer_lives(path)) {
                continue;
            }
            close(fd);
            return peer_hangs(path, peer.pid, err);
        }
        if (bytes <= 0) {
            break;
        }
        answer_take(&answer, buffer, (size_t)bytes, out);
    }
    close(fd);
    if (!answer.first_done) {
        return rc_err_set(err, -EPIPE, "the broker closed the connection without an answer: try again");
    }
    return strcmp(answer.first, "ok") == 0 ? 0 : rc_err_set(err, -EBADMSG, "refused");
}

char *rc_client_text(const char *path, const char *request, struct rc_err *err)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    int rc =
        out == NULL ? rc_err_set(err, -ENOMEM, "no memory for the answer") : rc_client_ask(path, request, out, err);
    if (out != NULL && fclose(out) != 0) {
        rc = rc_err_set(err, -ENOMEM, "no memory for the answer");
    }
    if (rc == 0) {
        return text;
    }
    if (rc == -EBADMSG && text != NULL && text[0] != '\0') {
        (void)rc_err_set(err, rc, "%.*s", (int)strcspn(text, "\n"), text);
    }
    free(text);
    return NULL;
}
