/* common/inherited: whatever the one who starts a program leaves behind, it begins the same. */
#include "common/base/inherited.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Criterion reports over descriptors of its own; its standard ones are given back before anything is asserted. */
Test(inherited, closed_descriptors_become_dev_null)
{
    int saved[3];
    char targets[3][64] = {"", "", ""};
    for (int fd = 0; fd < 3; fd++) {
        saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
        close(fd);
    }
    const int code = rc_inherited_descriptors();
    const int next = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    const bool inheritable = fcntl(2, F_GETFD) == 0;
    for (int fd = 0; fd < 3; fd++) {
        char link[32];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        (void)!readlink(link, targets[fd], sizeof(targets[fd]) - 1);
        if (saved[fd] >= 0) {
            dup2(saved[fd], fd);
        }
    }
    cr_expect_eq(code, 0);
    cr_expect_gt(next, 2);
    cr_expect(inheritable);
    for (int fd = 0; fd < 3; fd++) {
        cr_expect_str_eq(targets[fd], "/dev/null");
    }
}

Test(inherited, open_descriptors_stay_as_they_are)
{
    struct stat before[3];
    struct stat after[3];
    const int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    dup2(zero, 0);
    for (int fd = 0; fd < 3; fd++) {
        cr_assert_eq(fstat(fd, &before[fd]), 0);
    }
    cr_assert_eq(rc_inherited_descriptors(), 0);
    for (int fd = 0; fd < 3; fd++) {
        cr_assert_eq(fstat(fd, &after[fd]), 0);
        cr_expect_eq(before[fd].st_ino, after[fd].st_ino);
    }
}

Test(inherited, others_are_hidden_from_children_and_stay_open)
{
    const int zero = open("/dev/zero", O_RDONLY);
    cr_assert_eq(fcntl(zero, F_GETFD), 0);
    rc_inherited_hide_descriptors();
    cr_expect_eq(fcntl(zero, F_GETFD), FD_CLOEXEC);
    cr_expect_eq(fcntl(2, F_GETFD), 0);
}

Test(inherited, umask_is_ours)
{
    umask(0);
    rc_inherited_umask();
    cr_expect_eq(umask(0), 022);
}

static bool is_ignored(int number)
{
    struct sigaction action;
    cr_assert_eq(sigaction(number, NULL, &action), 0);
    return action.sa_handler == SIG_IGN;
}

static void handler(int number)
{
    (void)number;
}

Test(inherited, signals_have_a_meaning_or_none)
{
    static const int list[] = {SIGINT, 0};
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    signal(SIGCHLD, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGBUS, handler); /* as a sanitizer's */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    rc_inherited_signals(list, &set);
    cr_expect_not(is_ignored(SIGCHLD));
    cr_expect_not(is_ignored(SIGTERM));
    cr_expect_not(is_ignored(SIGHUP));
    cr_expect(is_ignored(SIGRTMIN) && is_ignored(SIGRTMAX));
    static const int ignored[] = {SIGPIPE, SIGUSR1, SIGUSR2,   SIGALRM, SIGVTALRM, SIGPROF, SIGIO,
                                  SIGPWR,  SIGXFSZ, SIGSTKFLT, SIGTTIN, SIGTTOU,   SIGINT};
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
        cr_expect(is_ignored(ignored[i]), "signal %d", ignored[i]);
    }
    struct sigaction action;
    sigaction(SIGBUS, NULL, &action);
    cr_expect_eq(action.sa_handler, handler);
    sigprocmask(SIG_SETMASK, NULL, &set);
    cr_expect(sigismember(&set, SIGTERM) == 1 && sigismember(&set, SIGCHLD) == 0 && sigismember(&set, SIGINT) == 0);
}

Test(inherited, a_process_is_called_what_it_says)
{
    char name[16] = "";
    rc_inherited_name("ringcast-worker");
    cr_assert_eq(prctl(PR_GET_NAME, name, 0, 0, 0), 0);
    cr_assert_str_eq(name, "ringcast-worker");
    rc_inherited_name("longer than what the kernel keeps");
    cr_assert_eq(prctl(PR_GET_NAME, name, 0, 0, 0), 0);
    cr_assert_str_eq(name, "longer than wha");
}
