/*
 * spawn: see spawn.h.
 */
#include "acceptor/start/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acceptor/start/cpus.h"
#include "common/base/clock.h"
#include "common/base/fail.h"
#include "common/base/inherited.h"
#include "common/base/log.h"
#include "common/config/variable.h"

#define RC_SPAWN_ARGV_MAX (2 * (3 * RC_WORKERS_MAX + RC_LISTENERS_MAX + 16))
#define RC_SPAWN_TEXT_MAX (RC_SPAWN_ARGV_MAX * 20)
#define SPAWN_END_MS 1000u

/* What the child was doing when it failed; sent through the report pipe. */
enum spawn_step { STEP_STDIN, STEP_DESCRIPTOR, STEP_IDENTITY, STEP_EXEC };

struct spawn_report {
    int32_t step;
    int32_t code; /* errno */
};

static const char *const step_names[] = {
    [STEP_STDIN] = "open /dev/null",
    [STEP_DESCRIPTOR] = "inherit a descriptor",
    [STEP_IDENTITY] = "take on server.user",
    [STEP_EXEC] = "execute the program",
};

static int keep_open(int fd)
{
    return fd < 0 || fcntl(fd, F_SETFD, 0) == 0 ? 0 : -errno;
}

static int keep_all_open(const struct rc_spawn_args *args)
{
    int rc = 0;
    /* What is not for this kind of child is -1 (rc_spawn_args_clear). */
    const int single[] = {
        args->core_fd,  args->config_fd, args->own_fd,     args->acceptor_fd,      args->relay_fd, args->keep_fd,
        args->life_fd,  args->bell_fd,   args->truth_fd,   args->relay_bell_fd,    args->steer_fd, args->keys_fd,
        args->inbox_fd, args->limits_fd, args->history_fd, args->acceptor_bell_fd, args->vault_fd, args->order_fd,
        args->io_fd,    args->old_io_fd, args->pass_fd};
    for (size_t i = 0; i < sizeof(single) / sizeof(single[0]) && rc == 0; i++) {
        rc = keep_open(single[i]);
    }
    for (int i = 0; i < args->listen_count && rc == 0; i++) {
        rc = keep_open(args->listen_fds[i]);
    }
    for (int i = 0; i < args->worker_count && rc == 0; i++) {
        rc = keep_open(args->worker_fds[i]);
    }
    for (int i = 0; i < args->port_count && rc == 0; i++) {
        rc = keep_open(args->port_fds[i]);
    }
    for (int i = 0; i < args->worker_bell_count && rc == 0; i++) {
        rc = keep_open(args->worker_bell_fds[i]);
    }
    for (int i = 0; i < args->outbox_count && rc == 0; i++) {
        rc = keep_open(args->outbox_fds[i]);
    }
    return rc;
}

/* As the child's main() sets them again: none may end it before that. The acceptor alone says when a child ends: a worker by the
 * broker's state, the relay by its SIGTERM. */
static void set_signals(bool worker)
{
    static const int of_worker[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, 0};
    static const int of_relay[] = {SIGHUP, SIGINT, SIGQUIT, 0};
    sigset_t blocked;
    sigemptyset(&blocked);
    if (!worker) {
        sigaddset(&blocked, SIGTERM);
    }
    rc_inherited_signals(worker ? of_worker : of_relay, &blocked);
}

static void cpu_pin(uint32_t cpu)
{
    if (cpu >= RC_CPUS_MAX) {
        return;
    }
    cpu_set_t *set = CPU_ALLOC(RC_CPUS_MAX);
    if (set != NULL) {
        const size_t bytes = CPU_ALLOC_SIZE(RC_CPUS_MAX);
        CPU_ZERO_S(bytes, set);
        CPU_SET_S(cpu, bytes, set);
        /* A CPU that went away since start: unpinned is slower, not wrong. */
        (void)sched_setaffinity(0, bytes, set);
        CPU_FREE(set);
    }
}

__attribute__((noreturn)) static void child_main(const struct rc_spawn *spawn, const struct rc_spawn_args *args,
                                                 char **argv, char **environment, int report_fd)
{
    struct spawn_report report = {.step = STEP_STDIN, .code = 0};
    (void)setpgid(0, 0);
    set_signals(args->index >= 0);
    cpu_pin(spawn->cpu);
    const int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0) {
        report.code = errno;
    }
    if (report.code == 0) {
        report.step = STEP_DESCRIPTOR;
        report.code = -keep_all_open(args);
    }
    if (report.code == 0) {
        report.step = STEP_IDENTITY;
        report.code = -rc_identity_assume(spawn->identity);
    }
    if (report.code == 0 && rc_fail_here("before a child runs")) {
        (void)pause();
    }
    if (report.code == 0) {
        report.step = STEP_EXEC;
        /* Not by path: that may be another build's by now. The kernel names the process by the descriptor's number; main() of each
         * program names it again (rc_inherited_name). */
        (void)execveat(spawn->program->fd, "", argv, environment, AT_EMPTY_PATH);
        report.code = errno;
    }
    (void)!write(report_fd, &report, sizeof(report));
    _exit(127);
}

/* Waits until the child runs its program (end of file: the pipe is close-on-exec) or reports why not. A disk that does not answer holds it up,
 * and nobody is served by an acceptor that waits with it. */
static int await_exec(int report_fd, const char *program, struct rc_err *err)
{
    const uint64_t end_ms = rc_clock_ms() + RC_SPAWN_EXEC_MS;
    struct spawn_report report;
    ssize_t bytes;
    for (;;) {
        struct pollfd poller = {.fd = report_fd, .events = POLLIN};
        const uint64_t now_ms = rc_clock_ms();
        if (now_ms >= end_ms) {
            return rc_err_set(err, -ETIMEDOUT, "cannot start %s: it does not run within %u ms", program,
                              RC_SPAWN_EXEC_MS);
        }
        if (poll(&poller, 1, (int)(end_ms - now_ms)) <= 0) {
            continue;
        }
        bytes = read(report_fd, &report, sizeof(report));
        if (bytes >= 0 || errno != EINTR) {
            break;
        }
    }
    if (bytes == 0) {
        return 0;
    }
    if (bytes != (ssize_t)sizeof(report) || report.step < STEP_STDIN || report.step > STEP_EXEC) {
        return rc_err_set(err, -EIO, "cannot start %s: it ended before its program ran", program);
    }
    return rc_err_set(err, -report.code, "cannot start %s: %s: %s", program, step_names[report.step],
                      strerror(report.code));
}

/* The environment without what only the acceptor reads: keys and passwords are not to stand in /proc/PID/environ of a process
 * that speaks with clients. NULL: no memory. The strings are borrowed. */
static char **environment_of_child(void)
{
    size_t count = 0;
    while (environ[count] != NULL) {
        count++;
    }
    char **environment = calloc(count + 1, sizeof(*environment));
    size_t kept = 0;
    for (size_t i = 0; environment != NULL && i < count; i++) {
        if (!rc_config_variable_ours(environ[i])) {
            environment[kept++] = environ[i];
        }
    }
    return environment;
}

/* One that is not wanted. Who hangs in the kernel stays until that lets it go, and is nobody's then: it has nothing that others wait for. */
static void child_end(pid_t pid)
{
    const uint64_t end_ms = rc_clock_ms() + SPAWN_END_MS;
    (void)kill(pid, SIGKILL);
    for (;;) {
        const pid_t rc = waitpid(pid, NULL, WNOHANG);
        if (rc == pid || (rc < 0 && errno != EINTR)) {
            return;
        }
        if (rc_clock_ms() >= end_ms) {
            rc_log_error("process_does_not_end", "child=\"%s\" pid=%d", "a child that never ran", (int)pid);
            return;
        }
        (void)poll(NULL, 0, 1);
    }
}

pid_t rc_spawn_child(const struct rc_spawn *spawn, const struct rc_spawn_args *args, int *pidfd, struct rc_err *err)
{
    char *argv[RC_SPAWN_ARGV_MAX];
    char text[RC_SPAWN_TEXT_MAX];
    char name[] = "ringcast-worker";
    const int count = rc_spawn_args_format(args, argv, RC_SPAWN_ARGV_MAX, text, (int)sizeof(text));
    if (count < 0) {
        return rc_err_set(err, count, "too many descriptors for one child");
    }
    if (args->index < 0) {
        memcpy(name, "ringcast-relay", sizeof("ringcast-relay"));
    }
    argv[0] = name;

    char **environment = environment_of_child();
    if (environment == NULL) {
        return rc_err_set(err, -ENOMEM, "no memory for the environment of a child");
    }
    int report_fds[2];
    if (pipe2(report_fds, O_CLOEXEC) != 0) {
        free(environment);
        return rc_err_set(err, -errno, "cannot make a pipe: %s", strerror(errno));
    }
    const pid_t pid = fork();
    if (pid == 0) {
        child_main(spawn, args, argv, environment, report_fds[1]);
    }
    const int fork_code = pid < 0 ? -errno : 0;
    free(environment);
    close(report_fds[1]);
    int rc = fork_code;
    if (pid < 0) {
        rc_err_set(err, rc, "cannot fork: %s", strerror(-rc));
    } else {
        rc = await_exec(report_fds[0], spawn->program->path, err);
    }
    close(report_fds[0]);
    if (rc == 0) {
        *pidfd = pidfd_open(pid, 0);
        if (*pidfd < 0) {
            rc = rc_err_set(err, -errno, "cannot watch a child: pidfd_open: %s", strerror(errno));
        }
    }
    if (rc != 0 && pid > 0) {
        child_end(pid);
    }
    return rc == 0 ? pid : rc;
}
