/*
 * top: `ringcast top`: the broker live in a terminal: processes, rates, latencies, the hottest channels, the clients furthest behind, and
 * why clients ended.
 *
 * Asks the API over the control socket every --interval seconds; plain escape codes, as large as the terminal is. --once writes one
 * picture and ends, --json as one JSON object. A command of cli.h: it returns the exit code of the program.
 */
#ifndef RC_ACCEPTOR_CONSOLE_TOP_H
#define RC_ACCEPTOR_CONSOLE_TOP_H

struct rc_cli;

int rc_top_run(const struct rc_cli *cli);

#endif
