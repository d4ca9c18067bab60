/* ask_program: see ask_program.h. */
#include "acceptor/upgrade/ask_program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"

#define ASK_MS 10000u

__attribute__((noreturn)) static void child_main(int program_fd, const char *name, int out, pid_t parent)
{
    static char numbers[] = "--numbers";
    char *argv[] = {(char *)(uintptr_t)name, numbers, NULL};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent && dup2(out, STDOUT_FILENO) >= 0) {
        (void)execveat(program_fd, "", argv, environ, AT_EMPTY_PATH);
    }
    _exit(127);
}

/* All that comes until the end. False: it takes too long, or is too much. */
static bool read_all(int fd, char *text, size_t capacity)
{
    const uint64_t end_ms = rc_clock_ms() + ASK_MS;
    size_t bytes = 0;
    for (;;) {
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        const uint64_t now_ms = rc_clock_ms();
        if (now_ms >= end_ms || bytes == capacity - 1) {
            return false;
        }
        if (poll(&poller, 1, (int)(end_ms - now_ms)) <= 0) {
            continue;
        }
        const ssize_t got = read(fd, text + bytes, capacity - 1 - bytes);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            text[bytes] = '\0';
            return got == 0;
        }
        bytes += (size_t)got;
    }
}

int rc_ask_program(int program_fd, const char *name, char *text, size_t capacity, struct rc_err *err)
{
    int out[2];
    if (pipe2(out, O_CLOEXEC) != 0) {
        return rc_err_set(err, -errno, "cannot make a pipe: %s", strerror(errno));
    }
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid == 0) {
        child_main(program_fd, name, out[1], parent);
    }
    const int fork_code = errno;
    close(out[1]);
    if (pid < 0) {
        close(out[0]);
        return rc_err_set(err, -fork_code, "cannot fork: %s", strerror(fork_code));
    }
    const bool whole = read_all(out[0], text, capacity);
    int status = 0;
    close(out[0]);
    if (!whole) {
        (void)kill(pid, SIGKILL);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    if (!whole || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return rc_err_set(err, -EBADMSG,
                          "%s does not say its numbers: it is no program of this kind, or of an older version", name);
    }
    return 0;
}
