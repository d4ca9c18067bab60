/* acceptor/start/program: what was held is what runs, whatever became of its file. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "acceptor/start/cpus.h"
#include "acceptor/start/program.h"
#include "acceptor/start/spawn.h"

/* A path beside this test, as the programs of one build lie in one folder, and what lies there. */
static const char *path_of(char path[PATH_MAX], const char *name)
{
    char self[PATH_MAX] = "";
    cr_assert_gt(readlink("/proc/self/exe", self, sizeof(self) - 1), 0);
    *strrchr(self, '/') = '\0';
    cr_assert_lt(snprintf(path, PATH_MAX, "%s/%s", self, name), PATH_MAX);
    return path;
}

static void copy(const char *path, const char *from)
{
    const int in = open(from, O_RDONLY | O_CLOEXEC);
    const int out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    struct stat status;
    cr_assert(in >= 0 && out >= 0 && fstat(in, &status) == 0);
    cr_assert_eq(sendfile(out, in, NULL, (size_t)status.st_size), status.st_size);
    close(in);
    close(out);
}

static int exit_code_of(const struct rc_program *program)
{
    struct rc_identity identity;
    struct rc_spawn_args args;
    struct rc_err err;
    int pidfd = -1;
    int status = -1;
    rc_spawn_args_clear(&args, -1);
    cr_assert_eq(rc_identity_resolve(&identity, "", &err), 0);
    const struct rc_spawn spawn = {.program = program, .identity = &identity, .cpu = RC_CPU_NONE};
    const pid_t pid = rc_spawn_child(&spawn, &args, &pidfd, &err);
    cr_assert_gt(pid, 0, "%s", err.text);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    close(pidfd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(program, what_was_held_runs_after_its_file_was_replaced_and_removed)
{
    char name[64];
    char path[PATH_MAX];
    char update[PATH_MAX];
    struct rc_err err;
    struct rc_program program;
    struct rc_program later;
    (void)snprintf(name, sizeof(name), "program-of-test-%d", (int)getpid());
    copy(path_of(path, name), "/bin/true");
    cr_assert_eq(rc_program_open(&program, name, &err), 0, "%s", err.text);
    cr_assert(fcntl(program.fd, F_GETFD) & FD_CLOEXEC);
    cr_assert_str_eq(program.path, path);
    cr_assert_eq(exit_code_of(&program), 0);

    /* As package managers do: the new file is renamed over the old one. */
    copy(path_of(update, "program-of-test.new"), "/bin/false");
    cr_assert_eq(rename(update, path), 0);
    cr_assert_eq(rc_program_open(&later, name, &err), 0, "%s", err.text);
    cr_assert_eq(exit_code_of(&later), 1, "who looks by name finds the new one");
    cr_assert_eq(exit_code_of(&program), 0);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(exit_code_of(&program), 0);
    rc_program_close(&later);
    rc_program_close(&program);
    cr_assert_eq(program.fd, -1);
}

Test(program, missing_and_forbidden_ones_are_told_with_their_path)
{
    char path[PATH_MAX];
    struct rc_err err;
    struct rc_program program;
    cr_assert_eq(rc_program_open(&program, "no-such-program", &err), -ENOENT);
    cr_assert(strstr(err.text, "/no-such-program") != NULL && strstr(err.text, "one folder") != NULL, "%s", err.text);
    cr_assert_eq(program.fd, -1);
    copy(path_of(path, "program-of-test.data"), "/bin/true");
    cr_assert_eq(chmod(path, 0644), 0);
    cr_assert_eq(rc_program_open(&program, "program-of-test.data", &err), -EACCES);
    cr_assert(strstr(err.text, path) != NULL, "%s", err.text);
    cr_assert_eq(program.fd, -1);
    unlink(path);
}
