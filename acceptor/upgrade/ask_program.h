/*
 * ask_program: asks a program that is held by its descriptor (acceptor/start/program.h) for its numbers (common/shm/numbers.h).
 *
 * Blocks until it has answered, for a bounded time: not for the loop of the acceptor.
 */
#ifndef RC_ACCEPTOR_UPGRADE_ASK_PROGRAM_H
#define RC_ACCEPTOR_UPGRADE_ASK_PROGRAM_H

#include <stddef.h>

#include "common/base/err.h"

/* Runs it with `--numbers`: what it wrote is in `text`, NUL-terminated. Negative errno with `err`: it cannot be executed, ended badly, said
 * nothing in time or too much. `name` is for messages. */
int rc_ask_program(int program_fd, const char *name, char *text, size_t capacity, struct rc_err *err);

#endif
