/*
 * image: what of a running acceptor the program that goes on in its process needs, to and from a state (state.h): descriptors by their
 * roles, and what stands in no shared memory.
 *
 * Functions over struct rc_supervisor. What can be found out anew is not in it: limits, CPUs, users, addresses of backends, rates of the last
 * seconds; threads and timers begin anew.
 */
#ifndef RC_ACCEPTOR_UPGRADE_IMAGE_H
#define RC_ACCEPTOR_UPGRADE_IMAGE_H

#include <stdbool.h>

#include "acceptor/upgrade/state.h"
#include "acceptor/watch/supervisor.h"
#include "common/base/err.h"

/* Everything of it; what fails is in state->rc. */
void rc_image_write(struct rc_supervisor *supervisor, struct rc_state *state);

/* Into a supervisor of zeros: descriptors and numbers; nothing is mapped, opened or changed. -ENOTSUP: the state says something that has
 * to be understood and is not; -EBADMSG: it is damaged. */
int rc_image_read(struct rc_supervisor *supervisor, const struct rc_state *state, struct rc_err *err);

/* Frees what rc_image_read has allocated. */
void rc_image_forget(struct rc_supervisor *supervisor);

/* Makes the descriptors of a state survive (`held`) or not survive an exec. 0 or -errno. */
int rc_image_hold(const struct rc_state *state, bool held);

/* Version and numbers (common/shm/numbers.h) of the program that wrote it; "" where it does not say. */
void rc_image_origin(const struct rc_state *state, char version[64], char numbers[1024]);

#endif
