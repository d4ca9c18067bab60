/*
 * spawn: starts one child program, held open since the start (program.h), with inherited descriptors.
 *
 * Every descriptor of the acceptor is close-on-exec; the child keeps exactly those that `args` names. It gets its own
 * process group (Ctrl-C reaches the acceptor alone), /dev/null as standard input, its CPU, its user, and signals of which
 * none ends it but SIGTERM the relay (and SIGKILL). Failures inside the child before its program runs come back through a pipe, so that the caller can
 * say what failed.
 */
#ifndef RC_ACCEPTOR_START_SPAWN_H
#define RC_ACCEPTOR_START_SPAWN_H

#include <stdint.h>
#include <sys/types.h>

#include "acceptor/start/identity.h"
#include "acceptor/start/program.h"
#include "common/base/err.h"
#include "common/shm/spawn_args.h"

#define RC_SPAWN_EXEC_MS 5000u /* until its program must run: the acceptor waits for that */

struct rc_spawn {
    const struct rc_program *program;   /* borrowed */
    const struct rc_identity *identity; /* borrowed */
    uint32_t cpu;                       /* UINT32_MAX = not pinned */
};

/* Starts the child. Returns its pid and *pidfd (owned by the caller), or negative errno with `err` set; -ETIMEDOUT: it does not run. */
pid_t rc_spawn_child(const struct rc_spawn *spawn, const struct rc_spawn_args *args, int *pidfd, struct rc_err *err);

#endif
