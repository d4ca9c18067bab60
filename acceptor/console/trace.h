/*
 * trace: `ringcast trace`: the stages of messages from socket to socket, live, with their times, and why somebody does not get one.
 *
 * Asks the running broker a few times a second (acceptor/watch/trace.h) until it is interrupted, or for --seconds. A command of cli.h: it
 * returns the exit code of the program.
 */
#ifndef RC_ACCEPTOR_CONSOLE_TRACE_H
#define RC_ACCEPTOR_CONSOLE_TRACE_H

struct rc_cli;

int rc_console_trace_run(const struct rc_cli *cli);

#endif
