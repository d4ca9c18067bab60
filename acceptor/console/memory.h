/*
 * memory: `ringcast memory`: why memory grows: who holds it (GET /api/memory, docs/api.md), what of it has grown between two looks, and the
 * clients and channels that are behind it.
 *
 * Asks the API over the control socket. A command of cli.h: it returns the exit code of the program.
 */
#ifndef RC_ACCEPTOR_CONSOLE_MEMORY_H
#define RC_ACCEPTOR_CONSOLE_MEMORY_H

struct rc_cli;

int rc_console_memory_run(const struct rc_cli *cli);

#endif
