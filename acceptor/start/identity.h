/*
 * identity: the user that children run as.
 *
 * The acceptor keeps its own privileges (it opens ports, makes listeners again and starts children; it never reads a
 * byte from a client); a child gives up everything before it executes its program. One instance, resolved once at
 * start.
 */
#ifndef RC_ACCEPTOR_START_IDENTITY_H
#define RC_ACCEPTOR_START_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/base/err.h"

#define RC_IDENTITY_GROUPS_MAX 64

struct rc_identity {
    bool change; /* false: children keep the acceptor's user */
    uid_t uid;
    gid_t gid;
    int group_count;
    gid_t groups[RC_IDENTITY_GROUPS_MAX];
};

/* Resolves `user` ("" = the acceptor's own). -ENOENT when there is no such user, -EPERM when this process may not
 * become it. */
int rc_identity_resolve(struct rc_identity *identity, const char *user, struct rc_err *err);

/* For a moment: files are opened with the identity's rights, so that what the acceptor found readable is readable for its
 * children. 0 or -errno, then nothing has changed. Every success is followed by rc_identity_return, with `own` as it was filled. */
int rc_identity_borrow(const struct rc_identity *identity, struct rc_identity *own);
void rc_identity_return(const struct rc_identity *own);

/* In the child, after fork: takes the identity on for good, without any capability, and forbids regaining one. 0
 * or -errno. */
int rc_identity_assume(const struct rc_identity *identity);

#endif
