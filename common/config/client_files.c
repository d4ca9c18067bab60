/* client_files: see client_files.h. */
#include "common/config/client_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES_MAX 512u
#define KEY "socketio.client_files"

/* socket.io[.esm|.msgpack][.min].js[.map], as socket.io serves them; which of them there are depends on the version. */
const char *const rc_client_file_names[RC_CLIENT_FILES_MAX] = {
    "socket.io.js",         "socket.io.js.map",         "socket.io.min.js",         "socket.io.min.js.map",
    "socket.io.esm.js",     "socket.io.esm.js.map",     "socket.io.esm.min.js",     "socket.io.esm.min.js.map",
    "socket.io.msgpack.js", "socket.io.msgpack.js.map", "socket.io.msgpack.min.js", "socket.io.msgpack.min.js.map",
};

/* The descriptor and the size; or -ENOENT, or what is wrong. */
static int file_open(const char *folder, const char *name, size_t *count, struct rc_err *err)
{
    char path[PATH_BYTES_MAX];
    struct stat its;
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path)) {
        return rc_err_set(err, -ENAMETOOLONG, "%s: the path is too long", KEY);
    }
    /* O_NONBLOCK: a named pipe in the place of a file must not stop anybody. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        const int error = errno;
        return rc_err_set(err, -error, "%s: cannot read %s: %s%s", KEY, path, strerror(error),
                          error == EACCES ? " (it must be readable by the user of the workers, server.user)" : "");
    }
    int rc = 0;
    if (fstat(fd, &its) < 0) {
        const int error = errno;
        rc = rc_err_set(err, -error, "%s: cannot read %s: %s", KEY, path, strerror(error));
    } else if (!S_ISREG(its.st_mode)) {
        rc = rc_err_set(err, -EINVAL, "%s: %s is not a file", KEY, path);
    } else if (its.st_size > (off_t)RC_CLIENT_FILE_BYTES_MAX) {
        rc = rc_err_set(err, -EFBIG, "%s: %s is larger than %u MiB", KEY, path, RC_CLIENT_FILE_BYTES_MAX >> 20);
    }
    if (rc < 0) {
        (void)close(fd);
        return rc;
    }
    *count = (size_t)its.st_size;
    return fd;
}

int rc_client_file_read(const char *folder, const char *name, uint8_t **bytes, size_t *count, struct rc_err *err)
{
    size_t size = 0;
    const int fd = file_open(folder, name, &size, err);
    if (fd < 0) {
        return fd;
    }
    uint8_t *to = malloc(size + 1);
    size_t got = 0;
    ssize_t part = -1;
    int error = ENOMEM;
    while (to != NULL && got < size) {
        part = read(fd, to + got, size - got);
        error = errno;
        if (part < 0 && error == EINTR) {
            continue;
        }
        if (part <= 0) {
            break;
        }
        got += (size_t)part;
    }
    (void)close(fd);
    if (to == NULL || (got < size && part < 0)) {
        free(to);
        return rc_err_set(err, -error, "%s: cannot read %s/%s: %s", KEY, folder, name, strerror(error));
    }
    *bytes = to;
    *count = got; /* less: it was cut meanwhile */
    return 0;
}

int rc_client_files_check(const char *folder, struct rc_err *err)
{
    unsigned scripts = 0;
    for (size_t i = 0; i < RC_CLIENT_FILES_MAX; i++) {
        size_t count;
        const int fd = file_open(folder, rc_client_file_names[i], &count, err);
        if (fd >= 0) {
            (void)close(fd);
            scripts += strstr(rc_client_file_names[i], ".map") == NULL;
        } else if (fd != -ENOENT) {
            return fd;
        }
    }
    if (scripts == 0) {
        return rc_err_set(err, -ENOENT, "%s: %s has no socket.io.js: it is the folder dist of npm's socket.io-client",
                          KEY, folder);
    }
    return 0;
}
