/*
 * ringcast: the only program a person starts. Everything is in cli (what was typed) and supervisor (the running
 * broker).
 */
#include "acceptor/console/cli.h"
#include "acceptor/watch/supervisor.h"

int main(int argc, char **argv)
{
    struct rc_cli cli;
    if (rc_cli_parse(&cli, argc, argv) != 0) {
        return RC_EXIT_CONFIG;
    }
    return rc_cli_run(&cli);
}
