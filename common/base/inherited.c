/* inherited: see inherited.h. */
#include "common/base/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

int rc_inherited_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            continue;
        }
        /* Without O_CLOEXEC: children have them too. The lowest free number is this one, the lower ones are open. */
        const int null_fd = open("/dev/null", O_RDWR);
        if (null_fd < 0) {
            return -errno;
        }
        if (null_fd != fd) {
            const int rc = dup2(null_fd, fd) < 0 ? -errno : 0;
            close(null_fd);
            if (rc != 0) {
                return rc;
            }
        }
    }
    return 0;
}

void rc_inherited_name(const char *name)
{
    (void)prctl(PR_SET_NAME, name, 0, 0, 0); /* of a string nothing can be wrong */
}

void rc_inherited_hide_descriptors(void)
{
    /* Where a seccomp filter forbids it children have some descriptors too many, which they never touch. */
    (void)close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
}

void rc_inherited_umask(void)
{
    (void)umask(S_IWGRP | S_IWOTH);
}

void rc_inherited_signals(const int *ignored, const sigset_t *blocked)
{
    static const int meaningless[] = {SIGPIPE, SIGUSR1, SIGUSR2,   SIGALRM, SIGVTALRM, SIGPROF,
                                      SIGIO,   SIGPWR,  SIGSTKFLT, SIGXFSZ, SIGTTIN,   SIGTTOU};
    struct sigaction action;
    /* Handlers do not survive exec, what is ignored does: an ignored SIGCHLD would take the exit status of children away. A
     * handler is a sanitizer's, and stays. */
    for (int number = 1; number <= SIGRTMAX; number++) {
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN) {
            (void)signal(number, SIG_DFL);
        }
    }
    for (size_t i = 0; i < sizeof(meaningless) / sizeof(meaningless[0]); i++) {
        (void)signal(meaningless[i], SIG_IGN);
    }
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++) {
        (void)signal(number, SIG_IGN);
    }
    for (; ignored != NULL && *ignored != 0; ignored++) {
        (void)signal(*ignored, SIG_IGN);
    }
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, blocked != NULL ? blocked : &none, NULL);
}
