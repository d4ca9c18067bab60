/*
 * commands: one table of what `ringcast` can be told, and its forms for people: `ringcast help`, `ringcast COMMAND --help`, the manual page
 * and what shells complete.
 *
 * Whoever adds a command or an option adds it here, and nowhere else but where it is carried out (cli.c). Constant; any process may read.
 */
#ifndef RC_ACCEPTOR_CONSOLE_COMMANDS_H
#define RC_ACCEPTOR_CONSOLE_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum rc_cli_command {
    RC_CLI_RUN,
    RC_CLI_CHECK,
    RC_CLI_STATUS,
    RC_CLI_RELOAD,
    RC_CLI_HANDOVER,
    RC_CLI_WORKERS,
    RC_CLI_UPGRADE,
    RC_CLI_UPGRADE_CHECK,
    RC_CLI_STOP,
    RC_CLI_CLIENTS,
    RC_CLI_CHANNELS,
    RC_CLI_TOP,
    RC_CLI_MEMORY,
    RC_CLI_TRACE,
    RC_CLI_POSTMORTEM,
    RC_CLI_PUB,
    RC_CLI_SUB,
    RC_CLI_DIRECT,
    RC_CLI_RETAIN,
    RC_CLI_KICK,
    RC_CLI_TUNE,
    RC_CLI_TOKEN,
    RC_CLI_VERSION,
    RC_CLI_HELP,
    RC_CLI_HELP_CONFIG,
};
#define RC_CLI_COMMANDS (RC_CLI_HELP_CONFIG + 1)

enum rc_option_kind {
    RC_OPTION_SWITCH,  /* a bool */
    RC_OPTION_TEXT,    /* a const char *, that must not be empty */
    RC_OPTION_NEEDED,  /* the same, without which the command makes no sense */
    RC_OPTION_EXPLAIN, /* of an event (acceptor/console/explain.h) */
    RC_OPTION_OWN,     /* text from another program of ours: nobody is told of it */
};

struct rc_command_option {
    const char *word;  /* "--config"; NULL: a word that is no option, `value` says what for */
    const char *alias; /* "-c"; NULL = none */
    const char *value; /* "FILE"; NULL = a switch */
    const char *help;
    enum rc_option_kind kind;
    size_t offset; /* of its value in struct rc_cli */
};
#define RC_COMMAND_OPTIONS_MAX 16u

struct rc_command {
    const char *name;
    const char *alias;   /* another name; NULL = none */
    const char *summary; /* one line */
    const char *details; /* sentences; NULL = the summary says it all */
    const char *failed;  /* when the exit code is 1 */
    const char *example; /* one a line, as a shell takes them; NULL = the page says it all */
    const char *words;   /* that may follow besides `options`, for shells: "make verify keys"; NULL = none */
    bool hidden;         /* the broker's own, not a person's */
    bool own_help;       /* it has a page of its own, and options that are not listed here */
    struct rc_command_option options[RC_COMMAND_OPTIONS_MAX]; /* the first without `help` ends the list */
};

/* By enum rc_cli_command. */
extern const struct rc_command rc_commands[RC_CLI_COMMANDS];

/* By its name or its alias; NULL: there is none. */
const struct rc_command *rc_command_find(const char *word);

/* `ringcast help` */
void rc_commands_list(FILE *out);
/* `ringcast COMMAND --help`: its page, but where it has one of its own. */
void rc_command_page(FILE *out, const struct rc_command *command);
/* ringcast(1), as troff with the man macros. `token`: the page of `ringcast token`. */
void rc_commands_manual(FILE *out, const char *token);
/* What may follow `ringcast` (NULL) or `ringcast COMMAND`: a line each, options with a value end with "=". */
void rc_command_words(FILE *out, const struct rc_command *command);

#endif
