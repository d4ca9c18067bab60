/*
 * resume: the new program, in the process of the old one: it takes over what a state describes, or goes back.
 *
 *   exec ─▶ rc_resume_read: everything that may fail, without any effect ─▶ rc_resume_keep: from here on this program is the broker's
 *                │ refused
 *                ▼
 *           rc_resume_back: exec of the program that was there before, with the same state
 *
 * Called by the loop at its start, and by the check of an upgrade, which keeps nothing.
 */
#ifndef RC_ACCEPTOR_UPGRADE_RESUME_H
#define RC_ACCEPTOR_UPGRADE_RESUME_H

#include <stdbool.h>

#include "acceptor/watch/supervisor.h"
#include "common/base/err.h"

/* How this program was started. */
struct rc_resume {
    int state_fd;        /* -1: by a person, there is nothing to resume */
    int fallback_fd;     /* the program that was there before; -1: this is that one, again */
    const char *refused; /* borrowed: why the other one could not go on; NULL = this is the new one */
    bool foreign;        /* filled by rc_resume_read: the former program is of another build */
    int old_programs[2]; /* filled by rc_resume_read: descriptors of the old worker and relay; -1 = none */
};

/* Fills a supervisor of zeros, whose settings were read from the file: descriptors, segments, limits, programs. Nothing that others see is
 * changed. Negative errno with `err`. */
int rc_resume_read(struct rc_supervisor *supervisor, struct rc_resume *resume, struct rc_err *err);
/* It goes on with this program: puts its own BPF program in place, closes what is only of use for going back. */
void rc_resume_keep(struct rc_supervisor *supervisor, struct rc_resume *resume);
/* Executes the program that was there before. Returns only when that cannot be: the process is to end then, and everything with it. */
void rc_resume_back(const struct rc_resume *resume, const char *config, const char *why);

#endif
