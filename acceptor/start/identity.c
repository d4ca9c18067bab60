/*
 * identity: see identity.h.
 */
#include "acceptor/start/identity.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/check.h"

int rc_identity_resolve(struct rc_identity *identity, const char *user, struct rc_err *err)
{
    memset(identity, 0, sizeof(*identity));
    identity->uid = geteuid();
    identity->gid = getegid();
    if (user[0] == '\0') {
        return 0;
    }
    errno = 0;
    const struct passwd *entry = getpwnam(user);
    if (entry == NULL) {
        return rc_err_set(
            err, -ENOENT,
            "server.user: there is no user \"%s\": create it (`useradd --system %s`) or correct server.user", user,
            user);
    }
    if (entry->pw_uid == geteuid()) {
        return 0;
    }
    if (geteuid() != 0) {
        return rc_err_set(err, -EPERM,
                          "server.user = \"%s\" can only be taken on by root: start as root, or as that user with "
                          "server.user = \"\"",
                          user);
    }
    identity->change = true;
    identity->uid = entry->pw_uid;
    identity->gid = entry->pw_gid;
    identity->group_count = RC_IDENTITY_GROUPS_MAX;
    if (getgrouplist(user, entry->pw_gid, identity->groups, &identity->group_count) < 0) {
        identity->group_count = RC_IDENTITY_GROUPS_MAX; /* the first ones, as many as fit */
    }
    return 0;
}

void rc_identity_return(const struct rc_identity *own)
{
    if (own->change) {
        /* The saved user id is still ours: the kernel cannot refuse. */
        RC_ASSERT(seteuid(own->uid) == 0 && setegid(own->gid) == 0 &&
                  setgroups((size_t)own->group_count, own->groups) == 0);
    }
}

int rc_identity_borrow(const struct rc_identity *identity, struct rc_identity *own)
{
    *own = (struct rc_identity){.uid = geteuid(), .gid = getegid()};
    if (!identity->change) {
        return 0;
    }
    own->group_count = getgroups(RC_IDENTITY_GROUPS_MAX, own->groups);
    if (own->group_count < 0) {
        return -errno;
    }
    own->change = true;
    if (setgroups((size_t)identity->group_count, identity->groups) != 0 || setegid(identity->gid) != 0 ||
        seteuid(identity->uid) != 0) {
        const int error = errno;
        rc_identity_return(own);
        return -error;
    }
    return 0;
}

/* Raw capset: capabilities of a child that stays the same, unprivileged user but inherited ambient ones (systemd). */
static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    const struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL) {
        return -errno;
    }
    return syscall(SYS_capset, &header, none) == 0 ? 0 : -errno;
}

int rc_identity_assume(const struct rc_identity *identity)
{
    if (identity->change) {
        if (setgroups((size_t)identity->group_count, identity->groups) != 0 ||
            setresgid(identity->gid, identity->gid, identity->gid) != 0 ||
            setresuid(identity->uid, identity->uid, identity->uid) != 0) {
            return -errno;
        }
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return -errno;
    }
    /* Root without server.user stays what the person who started it asked for. */
    return identity->uid == 0 ? 0 : drop_capabilities();
}
