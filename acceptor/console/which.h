/*
 * which: the broker that a command is for, found by what a person has said of it, and the configuration that is named.
 *
 * Used by the sub-commands of `ringcast`, in a process of their own. What is wrong is written to standard error.
 */
#ifndef RC_ACCEPTOR_CONSOLE_WHICH_H
#define RC_ACCEPTOR_CONSOLE_WHICH_H

#include <stdbool.h>
#include <sys/un.h>

#include "acceptor/start/settings.h"

struct rc_which {
    char socket[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* its control socket */
};

/* The control socket at `socket`, or of the broker of the file `config`, or (both NULL) of the one that runs: an exit code, RC_EXIT_OK when
 * `which` is filled in. */
int rc_which_broker(struct rc_which *which, const char *socket, const char *config);

/* NULL: every error is in `errors`. `files`: those that it names must be usable too. */
struct rc_settings *rc_which_settings_told(const char *path, bool quickstart, bool files,
                                           struct rc_config_errors *errors);

/* The same; NULL after every error was written to standard error. */
struct rc_settings *rc_which_settings(const char *path, bool quickstart, bool files);

/* Of defaults, for who goes on with a configuration that is in force. */
struct rc_settings *rc_which_settings_none(const char *path, bool quickstart);

#endif
