/*
 * program: the executable file of a child, held open since the broker's start.
 *
 * A package upgrade replaces the files on disk while the broker runs. A child that died then must not come back as the new program,
 * which shares other memory: it is executed by this descriptor, so that a broker stays of one build until it is told otherwise, also
 * when the file is gone. The acceptor owns one of these for each kind of child.
 */
#ifndef RC_ACCEPTOR_START_PROGRAM_H
#define RC_ACCEPTOR_START_PROGRAM_H

#include <limits.h>

#include "common/base/err.h"

struct rc_program {
    int fd;              /* owned, close-on-exec, names the file without opening it for reading; -1 = none */
    char path[PATH_MAX]; /* where it was, for messages */
};

/* Finds the program of this name beside the one that runs (/proc/self/exe) and holds it. -ENOENT, -EACCES, … with the path in `err`
 * when it is not there or may not be executed; nothing is held then. */
int rc_program_open(struct rc_program *program, const char *name, struct rc_err *err);

/* Of one that was opened, or is zero but for fd = -1. */
void rc_program_close(struct rc_program *program);

#endif
