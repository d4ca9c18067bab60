/*
 * client: see client.h.
 */
#include "acceptor/console/client.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "acceptor/console/console.h"

#define RC_CLIENT_CANDIDATES_MAX 64
#define RC_CLIENT_PREFIX "ringcast-"
#define RC_CLIENT_SUFFIX ".sock"

struct candidate {
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    struct timespec made;
};

static int connect_to(const char *path)
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
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        const int code = -errno;
        close(fd);
        return code;
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

static unsigned collect(const char *folder, struct candidate *candidates, unsigned count)
{
    struct stat status;
    DIR *directory = opendir(folder);
    if (directory == NULL || fstat(dirfd(directory), &status) != 0) {
        if (directory != NULL) {
            closedir(directory);
        }
        return count;
    }
    const bool anybody_writes = (status.st_mode & S_IWOTH) != 0;
    const struct dirent *entry;
    while (count < RC_CLIENT_CANDIDATES_MAX && (entry = readdir(directory)) != NULL) {
        struct candidate *next = &candidates[count];
        const int bytes = named_like_ours(entry->d_name)
                              ? snprintf(next->path, sizeof(next->path), "%s/%s", folder, entry->d_name)
                              : -1;
        if (bytes < 0 || (size_t)bytes >= sizeof(next->path) || lstat(next->path, &status) != 0 ||
            !S_ISSOCK(status.st_mode)) {
            continue;
        }
        /* In a folder like /tmp only what root or we made is believed. */
        if (!anybody_writes || status.st_uid == 0 || status.st_uid == geteuid()) {
            next->made = status.st_ctim;
            count++;
        }
    }
    closedir(directory);
    return count;
}

/* Takes the newest candidate out; NULL when none is left. */
static const struct candidate *newest(struct candidate *candidates, unsigned count, bool *taken)
{
    unsigned best = count;
    for (unsigned i = 0; i < count; i++) {
        if (!taken[i] && (best == count || candidates[i].made.tv_sec > candidates[best].made.tv_sec ||
                          (candidates[i].made.tv_sec == candidates[best].made.tv_sec &&
                           candidates[i].made.tv_nsec > candidates[best].made.tv_nsec))) {
            best = i;
        }
    }
    if (best == count) {
        return NULL;
    }
    taken[best] = true;
    return &candidates[best];
}

static int connect_newest(struct rc_err *err)
{
    struct candidate candidates[RC_CLIENT_CANDIDATES_MAX];
    bool taken[RC_CLIENT_CANDIDATES_MAX] = {false};
    const char *folders[RC_CONSOLE_FOLDERS_MAX];
    char storage[256];
    unsigned count = 0;
    rc_console_folders(folders, storage, sizeof(storage));
    for (size_t i = 0; folders[i] != NULL; i++) {
        count = collect(folders[i], candidates, count);
    }
    const struct candidate *next;
    int code = -ENOENT;
    while ((next = newest(candidates, count, taken)) != NULL) {
        const int fd = connect_to(next->path);
        if (fd >= 0) {
            return fd;
        }
        code = fd == -EACCES ? fd : code;
    }
    if (code == -EACCES) {
        return rc_err_set(err, code, "a broker of another user is running: ask as that user or as root");
    }
    return rc_err_set(err, code, "no running broker found: start one, or name its socket with --socket PATH");
}

int rc_client_connect(const char *path, const struct rc_config *config, struct rc_err *err)
{
    char derived[sizeof(((struct sockaddr_un *)0)->sun_path)];
    if (path == NULL && config != NULL &&
        rc_console_path(derived, sizeof(derived), config->server.control_socket.text, config->server.instance_id.text,
                        NULL) == 0) {
        const int fd = connect_to(derived);
        if (fd >= 0) {
            return fd;
        }
        if (config->server.control_socket.text[0] != '\0') {
            path = derived; /* named exactly: no guessing */
        }
    }
    if (path == NULL) {
        return connect_newest(err);
    }
    const int fd = connect_to(path);
    return fd >= 0 ? fd : rc_err_set(err, fd, "cannot reach a broker at %s: %s", path, strerror(-fd));
}

/* Splits the verdict off the answer's first line: copies what follows it. */
struct answer {
    char first[16];
    size_t first_bytes;
    bool first_done;
};

static void take(struct answer *answer, const char *text, size_t bytes, FILE *out)
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

int rc_client_ask(int fd, const char *request, FILE *out, struct rc_err *err)
{
    char buffer[4096];
    struct answer answer = {.first_done = false};
    const int length = snprintf(buffer, sizeof(buffer), "%s\n", request);
    if (send(fd, buffer, (size_t)length, MSG_NOSIGNAL) != length) {
        const int code = -errno;
        close(fd);
        return rc_err_set(err, code, "the broker does not listen: %s", strerror(-code));
    }
    for (;;) {
        const ssize_t bytes = recv(fd, buffer, sizeof(buffer), 0);
        if (bytes < 0 && errno == EINTR) {
            continue;
        }
        if (bytes <= 0) {
            break;
        }
        take(&answer, buffer, (size_t)bytes, out);
    }
    close(fd);
    if (!answer.first_done) {
        return rc_err_set(err, -EPIPE, "the broker closed the connection without an answer (is it another user's?)");
    }
    return strcmp(answer.first, "ok") == 0 ? 0 : rc_err_set(err, -EBADMSG, "refused");
}
