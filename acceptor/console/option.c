/* option: see option.h. */
#include "acceptor/console/option.h"

#include <stdio.h>
#include <string.h>

#include "acceptor/console/cell.h"
#include "acceptor/console/cli.h"
#include "acceptor/watch/supervisor.h"

#define WORD_COLUMNS 200u

const char *rc_option_value(const char *word, const char *name, int argc, char **argv, int *at)
{
    const size_t bytes = strlen(name);
    if (strcmp(word, name) == 0) {
        *at += 1;
        return *at < argc ? argv[*at] : "";
    }
    if (strncmp(name, "--", 2) == 0 && strncmp(word, name, bytes) == 0 && word[bytes] == '=') {
        return word + bytes + 1;
    }
    return NULL;
}

void rc_option_wrong(const char *program, const char *help, const char *what, const char *word)
{
    struct rc_cell shown; /* a script may have put there what somebody else chose */
    (void)fprintf(stderr, "%s: %s%s%s; `%s` lists what there is\n", program, what, word != NULL ? ": " : "",
                  rc_cell(&shown, word != NULL ? word : "", 0, WORD_COLUMNS), help);
}

int rc_option_misused(const struct rc_cli *cli, const char *what, const char *word)
{
    char page[64];
    (void)snprintf(page, sizeof(page), "ringcast help%s%s", cli->named ? " " : "",
                   cli->named ? rc_commands[cli->command].name : "");
    rc_option_wrong("ringcast", page, what, word);
    return RC_EXIT_CONFIG;
}
