/*
 * loop: the acceptor's loop. Starts the broker, watches its children, answers the console, reloads, drains.
 *
 * One epoll instance over signals, the children's pidfds and the console; between events it sleeps, at most a second
 * at a time. It owns the one struct rc_supervisor, over which all modules of this room work.
 */
#ifndef RC_ACCEPTOR_WATCH_LOOP_H
#define RC_ACCEPTOR_WATCH_LOOP_H

#include "acceptor/start/settings.h"
#include "acceptor/upgrade/resume.h"

/* Runs the broker until it ends, or goes on with the one that `resume` describes. Returns the exit code. Nothing else of this process may
 * have started threads or children. */
int rc_acceptor_run(struct rc_settings *settings, struct rc_resume *resume);

#endif
