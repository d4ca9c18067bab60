/*
 * program: see program.h.
 */
#include "acceptor/start/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The path of a program that lies beside this one. */
static int path_beside(char path[PATH_MAX], const char *name, struct rc_err *err)
{
    char self[PATH_MAX];
    const ssize_t bytes = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (bytes < 0) {
        return rc_err_set(err, -errno, "cannot read /proc/self/exe: %s (is /proc mounted?)", strerror(errno));
    }
    self[bytes] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    if (snprintf(path, PATH_MAX, "%s/%s", self, name) >= PATH_MAX) {
        return rc_err_set(err, -ENAMETOOLONG, "the path of %s is too long", name);
    }
    return 0;
}

int rc_program_open(struct rc_program *program, const char *name, struct rc_err *err)
{
    program->fd = -1;
    const int rc = path_beside(program->path, name, err);
    if (rc != 0) {
        return rc;
    }
    program->fd = open(program->path, O_PATH | O_CLOEXEC);
    if (program->fd < 0 || access(program->path, X_OK) != 0) {
        const int code = errno;
        rc_program_close(program);
        return rc_err_set(err, -code, "%s: %s: the programs of one build must lie in one folder", program->path,
                          strerror(code));
    }
    return 0;
}

void rc_program_close(struct rc_program *program)
{
    if (program->fd >= 0) {
        close(program->fd);
        program->fd = -1;
    }
}
