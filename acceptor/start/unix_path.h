/*
 * unix_path: the file of a Unix socket, which outlives a process that was killed.
 *
 * Used by the acceptor for its listeners and its console.
 */
#ifndef RC_ACCEPTOR_START_UNIX_PATH_H
#define RC_ACCEPTOR_START_UNIX_PATH_H

/* Removes a socket file on which nobody listens. 0 when the path is free afterwards; -EADDRINUSE when somebody
 * listens, -EEXIST when it is not a socket, or the negative errno of looking at it. */
int rc_unix_path_clear(const char *path);

#endif
