/*
 * inherited: what a process gets from whoever started it and must not depend on: descriptors 0 to 2, its name, signal
 * dispositions, the signal mask, the mode mask of new files.
 *
 * Called once, first of all, by main() of each program, before there are threads; the signals also by the acceptor's child between
 * fork and exec (async-signal-safe). What stays as it is found: the working folder (relative paths of the configuration
 * begin there), nice value and CPUs, and limits (acceptor/start/limits.h).
 */
#ifndef RC_COMMON_BASE_INHERITED_H
#define RC_COMMON_BASE_INHERITED_H

#include <signal.h>

/* Descriptors 0, 1 and 2 that are closed become /dev/null: a socket or a ring with such a number would get log lines. 0 or -errno. */
int rc_inherited_descriptors(void);

/* The name under which ps, top and logs of the kernel know the process, cut to 15 bytes. One that was executed by a descriptor
 * (acceptor/start/spawn.c) would be called by that one's number. */
void rc_inherited_name(const char *name);

/* Every other descriptor becomes close-on-exec: a child gets what it is given and nothing that somebody forgot. They stay
 * open here: one of them may be the configuration (`-c <(…)`). */
void rc_inherited_hide_descriptors(void);

/* New files and sockets get the modes that the code names: nobody else may write, everybody may read what is meant for it. */
void rc_inherited_umask(void);

/*
 * Signals: every disposition is the kernel's default, but for those that are ignored: `ignored` (a list that ends with 0, NULL = none)
 * and those that mean nothing to a broker and would end it: PIPE, USR1, USR2, ALRM, VTALRM, PROF, IO, PWR, STKFLT, XFSZ, the
 * real-time ones, and those that would stop it for a line on a terminal (TTIN, TTOU). `blocked` becomes the mask (NULL = none).
 */
void rc_inherited_signals(const int *ignored, const sigset_t *blocked);

#endif
