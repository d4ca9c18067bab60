/*
 * client: the other end of the console: finds the running broker's socket, sends one request, copies the answer.
 *
 * Used by the sub-commands of `ringcast`, in a process of their own.
 */
#ifndef RC_ACCEPTOR_CONSOLE_CLIENT_H
#define RC_ACCEPTOR_CONSOLE_CLIENT_H

#include <stdio.h>

#include "common/config/config.h"
#include "common/base/err.h"

/* Connects to `path` when given; else to the socket that `config` (may be NULL) names; else to the newest one in
 * the folders of rc_console_folders that a broker of this user or root listens on. The descriptor, or -ENOENT with
 * what to do. */
int rc_client_connect(const char *path, const struct rc_config *config, struct rc_err *err);

/* Sends `request` and copies the answer after its first line to `out` as it comes. 0 when that line was "ok",
 * -EBADMSG when it was "error", else negative errno with `err` set. Closes `fd`. */
int rc_client_ask(int fd, const char *request, FILE *out, struct rc_err *err);

#endif
