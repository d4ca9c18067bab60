/*
 * token: `ringcast token make | verify | keys`: JSON Web Tokens for tests and for finding out why one is refused.
 *
 * Verifying is what workers do, with the same code. Secrets are read from files, not from the command line, where every user of the machine
 * could read them.
 */
#ifndef RC_ACCEPTOR_CONSOLE_TOKEN_H
#define RC_ACCEPTOR_CONSOLE_TOKEN_H

extern const char rc_token_help[];

/* `argv` begins behind the word "token". The exit code: 0 well; 1 refused, or it could not be done; 2 wrong usage or wrong configuration. */
int rc_token_run(int argc, char **argv);

#endif
