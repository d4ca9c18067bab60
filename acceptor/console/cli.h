/*
 * cli: what a person types, read by the table of commands.h, and carried out.
 *
 * Called by main() alone. Output for people goes to standard output, errors to standard error.
 */
#ifndef RC_ACCEPTOR_CONSOLE_CLI_H
#define RC_ACCEPTOR_CONSOLE_CLI_H

#include <stdbool.h>

#include "acceptor/console/commands.h"
#include "acceptor/console/explain.h"

struct rc_cli {
    enum rc_cli_command command;
    bool named; /* it was given: not `run` because there was none */
    const char
        *config; /* borrowed: -c FILE, or check's FILE, or the one that is used where none is named; NULL = none */
    const char *socket; /* borrowed from argv: --socket PATH; NULL = find it */
    const char *topic;  /* borrowed from argv: what `help` is asked about; NULL = all */
    int argc;           /* of `token`: what follows */
    char **argv;
    const char *binary_dir; /* borrowed from argv: of `upgrade`; NULL = where this program is */
    const char *state_fd;   /* borrowed from argv, as the next two: see acceptor/upgrade/resume.h */
    const char *fallback_fd;
    const char *refused;
    const char *worker; /* borrowed from argv: of `handover`; NULL = all. Of `workers`: how many */
    const char *whom;   /* borrowed from argv: a channel, or a client */
    const char *data;   /* likewise, as all of these; NULL = not given */
    const char *event;
    const char *key;
    const char *user;
    const char *client;
    const char *seconds;
    const char *interval;
    const char *channel;
    const char *address;
    const char *protocol;
    const char *behind;
    const char *by;
    const char *limit;
    const char *sort;
    const char *prefix;
    const char *count;
    const char *path;
    const char *code;
    const char *reason;
    bool names;
    bool closed;
    bool once;
    bool watch;
    bool lines;
    bool retain;
    bool retained;
    bool remove;
    bool json;
    bool now;
    bool drain;
    bool help;                 /* the page of the command, and nothing else */
    bool manual;               /* as troff */
    bool words;                /* for shells */
    struct rc_explain explain; /* of `check`; its event NULL: nothing is to be explained */
};

/* 0; or -EINVAL after a line on standard error. */
int rc_cli_parse(struct rc_cli *cli, int argc, char **argv);

/* Runs a command and returns the exit code of the program. */
int rc_cli_run(const struct rc_cli *cli);
/* Has all that a command said been written? A line on standard error if not (the disk is full). */
bool rc_cli_written(void);

#endif
