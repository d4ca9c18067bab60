/*
 * ringcast: the only program a person starts. Everything is in cli (what was typed) and loop (the running
 * broker).
 */
#include <stdlib.h>

#include "acceptor/console/cli.h"
#include "acceptor/watch/supervisor.h"
#include "common/base/inherited.h"

int main(int argc, char **argv)
{
    struct rc_cli cli;
    if (rc_inherited_descriptors() != 0) {
        return EXIT_FAILURE; /* there may be nowhere to say it */
    }
    rc_inherited_name("ringcast");
    rc_inherited_hide_descriptors();
    rc_inherited_umask();
    if (rc_cli_parse(&cli, argc, argv) != 0) {
        return RC_EXIT_CONFIG;
    }
    const int exit_code = rc_cli_run(&cli);
    /* Whom a broker's log went to may end before it does. */
    return exit_code != RC_EXIT_OK || cli.command == RC_CLI_RUN || rc_cli_written() ? exit_code : RC_EXIT_FAILED;
}
