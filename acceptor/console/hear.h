/*
 * hear: `ringcast sub`: what is published in channels, a line each, until it is interrupted or --count messages have come.
 *
 * A stream of server-sent events (docs/sse.md) over the control socket: whoever may use that hears any channel. A command of cli.h: it
 * returns the exit code of the program.
 */
#ifndef RC_ACCEPTOR_CONSOLE_HEAR_H
#define RC_ACCEPTOR_CONSOLE_HEAR_H

struct rc_cli;

int rc_hear_run(const struct rc_cli *cli);

#endif
