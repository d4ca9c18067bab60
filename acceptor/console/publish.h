/*
 * publish: `ringcast pub`, `retain`, `direct` and `kick`: what a person does to a running broker by its API.
 *
 * DATA is a word of the command line or, without it, all that standard input has (--lines: each of its lines is a message). What is no JSON
 * (RFC 8259) is sent as a JSON string. Commands of cli.h: they return the exit code of the program.
 */
#ifndef RC_ACCEPTOR_CONSOLE_PUBLISH_H
#define RC_ACCEPTOR_CONSOLE_PUBLISH_H

struct rc_cli;

int rc_publish_run(const struct rc_cli *cli);

#endif
