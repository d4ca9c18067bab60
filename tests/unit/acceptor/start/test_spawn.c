/* acceptor/spawn and acceptor/identity: what a child gets, and what comes back when it cannot start. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "acceptor/start/cpus.h"
#include "acceptor/start/spawn.h"
#include "common/base/clock.h"

static struct rc_identity same;
static struct rc_spawn_args relay_args; /* without descriptors */

static void resolve_same(void)
{
    struct rc_err err;
    rc_spawn_args_clear(&relay_args, -1);
    cr_assert_eq(rc_identity_resolve(&same, "", &err), 0);
}

TestSuite(spawn, .init = resolve_same);

/* A program that writes what it is into a file: a shell script, since arguments are the acceptor's. */
static void script(char path[64], const char *body)
{
    snprintf(path, 64, "/tmp/ringcast-spawn-%d.sh", (int)getpid());
    FILE *file = fopen(path, "w");
    fprintf(file, "#!/bin/sh\n%s\n", body);
    fclose(file);
    chmod(path, 0700);
}

/* Not close-on-exec: the kernel hands a script to its interpreter as /dev/fd/N. Real programs are ELF, and are (test_program.c). */
static struct rc_program held(const char *path)
{
    struct rc_program program = {.fd = open(path, O_RDONLY)};
    cr_assert_geq(program.fd, 0);
    (void)snprintf(program.path, sizeof(program.path), "%s", path);
    return program;
}

static int exit_code_of(const char *body, const struct rc_spawn_args *args, uint32_t cpu)
{
    char path[64];
    struct rc_err err;
    int pidfd = -1;
    int status = -1;
    script(path, body);
    struct rc_program program = held(path);
    const struct rc_spawn spawn = {.program = &program, .identity = &same, .cpu = cpu};
    const pid_t pid = rc_spawn_child(&spawn, args, &pidfd, &err);
    cr_assert_gt(pid, 0, "%s", err.text);
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    cr_assert_eq(poll(&ended, 1, 10000), 1);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    close(pidfd);
    rc_program_close(&program);
    unlink(path);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

Test(spawn, child_has_its_own_process_group_and_no_terminal)
{
    cr_assert_eq(exit_code_of("set -- $(cut -d' ' -f1,5 /proc/$$/stat)\n"
                              "[ \"$1\" = \"$2\" ] && [ \"$(readlink /proc/$$/fd/0)\" = /dev/null ]",
                              &relay_args, RC_CPU_NONE),
                 0);
}

/* As on a disk that does not answer: the file "fails" beside the program is looked at by debug builds (common/base/fail.h). */
Test(spawn, child_that_never_runs_its_program_is_given_up, .timeout = 60)
{
    char fails[512] = "";
    char path[64];
    struct rc_err err = {{0}};
    int pidfd = -1;
    cr_assert_gt(readlink("/proc/self/exe", fails, sizeof(fails) - 16), 0);
    memcpy(strrchr(fails, '/'), "/fails", sizeof("/fails"));
    FILE *file = fopen(fails, "w");
    cr_assert_not_null(file);
    fputs("before a child runs\n", file);
    fclose(file);
    script(path, "exit 0");
    struct rc_program program = held(path);
    const struct rc_spawn spawn = {.program = &program, .identity = &same, .cpu = RC_CPU_NONE};
    const uint64_t since_ms = rc_clock_ms();
    const pid_t pid = rc_spawn_child(&spawn, &relay_args, &pidfd, &err);
    const uint64_t took_ms = rc_clock_ms() - since_ms;
    unlink(fails);
    cr_expect_eq(pid, -ETIMEDOUT);
    cr_expect_not_null(strstr(err.text, "it does not run within"), "%s", err.text);
    cr_expect_geq(took_ms, RC_SPAWN_EXEC_MS);
    cr_expect_eq(waitpid(-1, NULL, WNOHANG), -1, "nothing is left of it");
    rc_program_close(&program);
    unlink(path);
}

Test(spawn, child_keeps_named_descriptors_only)
{
    struct rc_spawn_args args = relay_args;
    char body[256];
    const int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    /* High ones, which no shell uses for itself. */
    const int kept = fcntl(zero, F_DUPFD_CLOEXEC, 200);
    const int other = fcntl(zero, F_DUPFD_CLOEXEC, 300);
    args.bell_fd = kept;
    snprintf(body, sizeof(body), "[ \"$(readlink /proc/$$/fd/%d)\" = /dev/zero ] && [ ! -e /proc/$$/fd/%d ]", kept,
             other);
    cr_assert_eq(exit_code_of(body, &args, RC_CPU_NONE), 0);
    close(zero);
    close(kept);
    close(other);
}

Test(spawn, child_is_pinned)
{
    struct rc_cpus cpus;
    struct rc_err err;
    char body[128];
    cr_assert_eq(rc_cpus_read(&cpus, &err), 0);
    const uint32_t cpu = cpus.ids[cpus.count - 1];
    snprintf(body, sizeof(body), "grep -q \"^Cpus_allowed_list:[[:space:]]*%u$\" /proc/$$/status", cpu);
    cr_assert_eq(exit_code_of(body, &relay_args, cpu), 0);
}

#define BIT(number) (1ull << ((number)-1))

/* Signals 1 to 31: the next ones are the C library's own. By built-ins alone: a shell blocks signals while it waits for a program, and would be seen doing so. */
static void mask_is(const struct rc_spawn_args *args, const char *mask, uint64_t wanted)
{
    char body[256];
    snprintf(body, sizeof(body),
             "while read -r key value; do [ \"$key\" = %s: ] && break; done </proc/$$/status\n"
             "value=${value#????????}; [ $((0x$value & 0x7fffffff)) = %llu ] || { echo \"%s is $value\"; exit 3; }",
             mask, (unsigned long long)wanted, mask);
    cr_expect_eq(exit_code_of(body, args, RC_CPU_NONE), 0, "%s", mask);
}

Test(spawn, signals_are_what_the_acceptor_makes_them_not_what_it_got)
{
    struct rc_spawn_args worker_args = relay_args;
    worker_args.index = 0;
    const uint64_t both = BIT(SIGPIPE) | BIT(SIGUSR1) | BIT(SIGUSR2) | BIT(SIGALRM) | BIT(SIGVTALRM) | BIT(SIGPROF) |
                          BIT(SIGIO) | BIT(SIGPWR) | BIT(SIGSTKFLT) | BIT(SIGXFSZ) | BIT(SIGTTIN) | BIT(SIGTTOU) |
                          BIT(SIGHUP) | BIT(SIGINT) | BIT(SIGQUIT);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGWINCH, SIG_IGN);
    mask_is(&relay_args, "SigBlk", BIT(SIGTERM));
    mask_is(&relay_args, "SigIgn", both);
    mask_is(&worker_args, "SigBlk", 0);
    mask_is(&worker_args, "SigIgn", both | BIT(SIGTERM));
}

Test(spawn, secrets_stay_with_the_acceptor)
{
    setenv("REDIS_URL", "redis://:secret@host", 1);
    setenv("RINGCAST_API_KEY", "secret", 1);
    setenv("OTHER", "kept", 1);
    cr_assert_eq(
        exit_code_of("[ -z \"$REDIS_URL$RINGCAST_API_KEY\" ] && [ \"$OTHER\" = kept ]", &relay_args, RC_CPU_NONE), 0);
}

Test(spawn, new_privileges_are_forbidden)
{
    cr_assert_eq(exit_code_of("grep -q '^NoNewPrivs:[[:space:]]*1$' /proc/$$/status", &relay_args, RC_CPU_NONE), 0);
}

Test(spawn, program_that_cannot_run_is_told)
{
    struct rc_err err;
    int pidfd = -1;
    struct rc_program program = held("/dev/null");
    const struct rc_spawn spawn = {.program = &program, .identity = &same, .cpu = RC_CPU_NONE};
    cr_assert_eq(rc_spawn_child(&spawn, &relay_args, &pidfd, &err), -EACCES);
    cr_assert(strstr(err.text, "/dev/null") != NULL, "%s", err.text);
    rc_program_close(&program);
    cr_assert_eq(pidfd, -1);
    cr_assert_eq(waitpid(-1, NULL, 0), -1); /* nothing is left over */
}

Test(spawn, bad_descriptor_is_told)
{
    struct rc_err err;
    int pidfd = -1;
    struct rc_spawn_args args = relay_args;
    args.bell_fd = 987;
    struct rc_program program = held("/bin/true");
    const struct rc_spawn spawn = {.program = &program, .identity = &same, .cpu = RC_CPU_NONE};
    cr_assert_eq(rc_spawn_child(&spawn, &args, &pidfd, &err), -EBADF);
    cr_assert(strstr(err.text, "descriptor") != NULL, "%s", err.text);
    rc_program_close(&program);
}

Test(spawn, child_takes_on_another_user_without_any_capability)
{
    struct rc_err err;
    if (geteuid() != 0) {
        cr_skip_test("only root can");
    }
    cr_assert_eq(rc_identity_resolve(&same, "nobody", &err), 0, "%s", err.text);
    char path[64];
    script(path, "[ \"$(id -u)\" = \"$(id -u nobody)\" ] && grep -q '^CapEff:[[:space:]]*0*$' /proc/$$/status &&\n"
                 "grep -q '^CapPrm:[[:space:]]*0*$' /proc/$$/status");
    chmod(path, 0755);
    int pidfd = -1;
    int status = -1;
    struct rc_program program = held(path);
    const struct rc_spawn spawn = {.program = &program, .identity = &same, .cpu = RC_CPU_NONE};
    const pid_t pid = rc_spawn_child(&spawn, &relay_args, &pidfd, &err);
    cr_assert_gt(pid, 0, "%s", err.text);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
    rc_program_close(&program);
    unlink(path);
}

Test(identity, unknown_user_is_told)
{
    struct rc_identity identity;
    struct rc_err err;
    cr_assert_eq(rc_identity_resolve(&identity, "no-such-user", &err), -ENOENT);
    cr_assert(strstr(err.text, "useradd") != NULL, "%s", err.text);
}

Test(identity, own_user_needs_no_change)
{
    struct rc_identity identity;
    struct rc_err err;
    cr_assert_eq(rc_identity_resolve(&identity, "", &err), 0);
    cr_assert_not(identity.change);
    cr_assert_eq(identity.uid, geteuid());
}

Test(identity, only_root_takes_on_another_user)
{
    struct rc_identity identity;
    struct rc_err err;
    if (geteuid() == 0) {
        cr_assert_eq(setresuid(65534, 65534, 65534), 0);
    }
    cr_assert_eq(rc_identity_resolve(&identity, "root", &err), -EPERM);
}
