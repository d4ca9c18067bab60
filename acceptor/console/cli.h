/*
 * cli: what a person types: `ringcast [run] [-c FILE]`, `check FILE`, `status`, `reload`, `stop`, `tune`, `token`, `version`, `help`.
 *
 * Called by main() alone. Output for people goes to standard output, errors to standard error.
 */
#ifndef RC_ACCEPTOR_CONSOLE_CLI_H
#define RC_ACCEPTOR_CONSOLE_CLI_H

#include <stdbool.h>

#include "acceptor/console/explain.h"

enum rc_cli_command {
    RC_CLI_RUN,
    RC_CLI_CHECK,
    RC_CLI_STATUS,
    RC_CLI_RELOAD,
    RC_CLI_STOP,
    RC_CLI_TUNE,
    RC_CLI_TOKEN,
    RC_CLI_VERSION,
    RC_CLI_HELP,
    RC_CLI_HELP_CONFIG,
};

struct rc_cli {
    enum rc_cli_command command;
    const char *config; /* borrowed from argv: -c FILE, or check's FILE; NULL = none */
    const char *socket; /* borrowed from argv: --socket PATH; NULL = find it */
    int argc;           /* of `token`: what follows */
    char **argv;
    bool json;
    bool now;
    struct rc_explain explain; /* of `check`; its event NULL: nothing is to be explained */
};

/* 0; or -EINVAL after a line on standard error. */
int rc_cli_parse(struct rc_cli *cli, int argc, char **argv);

/* Runs a command and returns the exit code of the program. */
int rc_cli_run(const struct rc_cli *cli);

#endif
