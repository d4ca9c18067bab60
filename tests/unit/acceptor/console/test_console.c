/* acceptor/console and acceptor/client: one asks, the other answers, in one process and without a thread. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "acceptor/console/client.h"
#include "acceptor/console/console.h"

static struct rc_console console;
static char path[64];
static char last_request[RC_CONSOLE_REQUEST_MAX];
static uint32_t last_handle;
static unsigned requests;

static void handler(void *context, uint32_t handle, const char *request)
{
    (void)context;
    snprintf(last_request, sizeof(last_request), "%s", request);
    last_handle = handle;
    requests++;
}

static void set_up(void)
{
    struct rc_err err;
    snprintf(path, sizeof(path), "/tmp/ringcast-console-%d.sock", (int)getpid());
    cr_assert_eq(rc_console_open(&console, path, handler, NULL, &err), 0, "%s", err.text);
}

static void tear_down(void)
{
    rc_console_close(&console);
    cr_assert_neq(access(path, F_OK), 0);
}

static int connect_raw(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Reads until end of file or nothing more is there; true at end of file. */
static bool read_all(int fd, char *text, size_t capacity)
{
    size_t bytes = 0;
    ssize_t got;
    while ((got = recv(fd, text + bytes, capacity - 1 - bytes, MSG_DONTWAIT)) > 0) {
        bytes += (size_t)got;
    }
    text[bytes] = '\0';
    return got == 0;
}

TestSuite(console, .init = set_up, .fini = tear_down);

Test(console, socket_is_for_the_owner_alone)
{
    struct stat status;
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 0777u, 0600u);
}

Test(console, answers_a_request_at_once)
{
    char text[64];
    const int fd = connect_raw();
    cr_assert_eq(write(fd, "status\n", 7), 7);
    rc_console_serve(&console, 1000);
    rc_console_serve(&console, 1000);
    cr_assert_str_eq(last_request, "status");
    rc_console_write(&console, last_handle, "ok\nfine\n", 8);
    rc_console_finish(&console, last_handle, 1000);
    cr_assert(read_all(fd, text, sizeof(text)));
    cr_assert_str_eq(text, "ok\nfine\n");
    cr_assert_eq(console.open_sessions, 0);
    close(fd);
}

Test(console, a_request_may_come_in_pieces)
{
    const int fd = connect_raw();
    const char request[] = "stop now\n";
    for (size_t i = 0; i < sizeof(request) - 1; i++) {
        cr_assert_eq(requests, 0);
        cr_assert_eq(write(fd, request + i, 1), 1);
        rc_console_serve(&console, 1000);
        rc_console_serve(&console, 1000);
    }
    cr_assert_eq(requests, 1);
    cr_assert_str_eq(last_request, "stop now");
    close(fd);
}

Test(console, a_request_without_an_end_is_closed)
{
    char text[RC_CONSOLE_REQUEST_MAX * 2];
    const int fd = connect_raw();
    memset(text, 'x', sizeof(text));
    cr_assert_eq(write(fd, text, sizeof(text)), (ssize_t)sizeof(text));
    for (int i = 0; i < 5; i++) {
        rc_console_serve(&console, 1000);
    }
    cr_assert_eq(requests, 0);
    cr_assert_eq(console.open_sessions, 0);
    close(fd);
}

Test(console, a_silent_caller_is_closed_after_a_while)
{
    char text[16];
    const int fd = connect_raw();
    rc_console_serve(&console, 1000);
    cr_assert_eq(rc_console_due_ms(&console), 1000 + RC_CONSOLE_IDLE_MS);
    rc_console_serve(&console, 999 + RC_CONSOLE_IDLE_MS);
    cr_assert_not(read_all(fd, text, sizeof(text)));
    rc_console_serve(&console, 1000 + RC_CONSOLE_IDLE_MS);
    cr_assert(read_all(fd, text, sizeof(text)));
    cr_assert_eq(rc_console_due_ms(&console), UINT64_MAX);
    close(fd);
}

Test(console, output_larger_than_the_socket_is_sent_in_pieces)
{
    const size_t bytes = 900000;
    char *big = malloc(bytes);
    char *got = malloc(bytes + 1);
    cr_assert(big != NULL && got != NULL);
    memset(big, 'y', bytes);
    const int fd = connect_raw();
    cr_assert_eq(write(fd, "a\n", 2), 2);
    rc_console_serve(&console, 1000);
    rc_console_serve(&console, 1000);
    rc_console_write(&console, last_handle, big, bytes);
    rc_console_finish(&console, last_handle, 1000);
    cr_assert_eq(console.open_sessions, 1);
    size_t sum = 0;
    ssize_t some;
    while ((some = recv(fd, got, bytes, 0)) > 0) {
        sum += (size_t)some;
        rc_console_serve(&console, 1000);
    }
    cr_assert_eq(sum, bytes);
    cr_assert_eq(console.open_sessions, 0);
    close(fd);
    free(big);
    free(got);
}

Test(console, too_much_output_ends_the_session)
{
    char *big = calloc(1, RC_CONSOLE_OUTPUT_MAX + 1);
    cr_assert(big != NULL);
    const int fd = connect_raw();
    cr_assert_eq(write(fd, "a\n", 2), 2);
    rc_console_serve(&console, 1000);
    rc_console_serve(&console, 1000);
    rc_console_write(&console, last_handle, big, RC_CONSOLE_OUTPUT_MAX + 1);
    cr_assert_eq(console.open_sessions, 0);
    close(fd);
    free(big);
}

Test(console, a_late_answer_reaches_no_other_session)
{
    char text[64];
    int fd = connect_raw();
    cr_assert_eq(write(fd, "first\n", 6), 6);
    rc_console_serve(&console, 1000);
    rc_console_serve(&console, 1000);
    const uint32_t first = last_handle;
    close(fd);
    rc_console_serve(&console, 1000);
    cr_assert_eq(console.open_sessions, 0);
    fd = connect_raw();
    cr_assert_eq(write(fd, "second\n", 7), 7);
    rc_console_serve(&console, 1000);
    rc_console_serve(&console, 1000);
    cr_assert_neq(last_handle, first);
    rc_console_write(&console, first, "late", 4);
    rc_console_finish(&console, first, 1000);
    cr_assert_not(read_all(fd, text, sizeof(text)));
    cr_assert_str_eq(text, "");
    close(fd);
}

Test(console, a_connection_that_is_taken_is_nobody_elses)
{
    char text[64] = "";
    const int caller = connect_raw();
    cr_assert_eq(send(caller, "api\n", 4, 0), 4);
    rc_console_serve(&console, 0);
    rc_console_serve(&console, 0);
    rc_console_write(&console, last_handle, "ok\n", 3);
    const int fd = rc_console_take(&console, last_handle);
    cr_assert_geq(fd, 0);
    cr_assert_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    cr_assert_eq(console.open_sessions, 0);
    cr_assert_eq(rc_console_take(&console, last_handle), -ENOENT);
    /* What comes on it, its end included, is not the console's. */
    cr_assert_eq(send(caller, "x", 1, 0), 1);
    rc_console_serve(&console, RC_CONSOLE_IDLE_MS * 2);
    cr_assert_eq(requests, 1);
    cr_assert_eq(send(fd, "more", 4, 0), 4);
    cr_assert_not(read_all(caller, text, sizeof(text)));
    cr_assert_str_eq(text, "ok\nmore");
    cr_assert(recv(fd, text, sizeof(text), 0) == 1 && text[0] == 'x');
    close(fd);
    cr_assert(read_all(caller, text, sizeof(text)));
    close(caller);
}

Test(console, more_callers_than_sessions_are_turned_away_with_a_reason)
{
    int fds[RC_CONSOLE_SESSIONS_MAX + 4];
    char text[128];
    unsigned closed = 0;
    for (unsigned i = 0; i < RC_CONSOLE_SESSIONS_MAX + 4; i++) {
        fds[i] = connect_raw();
        rc_console_serve(&console, 1000);
    }
    for (unsigned i = 0; i < RC_CONSOLE_SESSIONS_MAX + 4; i++) {
        closed += read_all(fds[i], text, sizeof(text)) ? 1 : 0;
        cr_expect_eq(strncmp(text, "error\nthe broker is answering as many commands as it can", 56) == 0,
                     i >= RC_CONSOLE_SESSIONS_MAX, "%u: %s", i, text);
        close(fds[i]);
    }
    cr_assert_eq(closed, 4);
    rc_console_serve(&console, 1000);
    cr_assert_eq(console.open_sessions, 0);
}

Test(console, second_broker_of_the_same_name_is_refused)
{
    static struct rc_console second;
    struct rc_err err;
    cr_assert_eq(rc_console_open(&second, path, handler, NULL, &err), -EADDRINUSE);
    cr_assert(strstr(err.text, "running broker") != NULL, "%s", err.text);
    cr_assert_eq(access(path, F_OK), 0);
}

/* The client blocks: it runs in a child, whose output comes from *printed. */
static pid_t ask_begin(int *printed)
{
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        struct rc_err err;
        FILE *out = fdopen(fds[1], "w");
        close(fds[0]);
        const int code = rc_client_ask(path, "status", out, &err);
        fflush(out);
        _exit(-code);
    }
    close(fds[1]);
    *printed = fds[0];
    return pid;
}

static int ask_end(pid_t pid, int from, char *printed, size_t capacity)
{
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    const ssize_t bytes = read(from, printed, capacity - 1);
    printed[bytes > 0 ? bytes : 0] = '\0';
    close(from);
    return -WEXITSTATUS(status);
}

static void serve_until(unsigned count)
{
    while (requests < count) {
        rc_console_serve(&console, 1000);
    }
}

static int ask_from_child(const char *answer, char *printed, size_t capacity)
{
    int from;
    const pid_t pid = ask_begin(&from);
    serve_until(1);
    if (answer != NULL) {
        rc_console_write(&console, last_handle, answer, strlen(answer));
    }
    rc_console_finish(&console, last_handle, 1000);
    return ask_end(pid, from, printed, capacity);
}

Test(console, client_prints_what_follows_the_verdict)
{
    char printed[128];
    cr_assert_eq(ask_from_child("ok\nline 1\nline 2\n", printed, sizeof(printed)), 0);
    cr_assert_str_eq(printed, "line 1\nline 2\n");
}

Test(console, client_tells_a_refusal)
{
    char printed[128];
    cr_assert_eq(ask_from_child("error\nwhy\n", printed, sizeof(printed)), -EBADMSG);
    cr_assert_str_eq(printed, "why\n");
}

Test(console, client_tells_a_missing_answer)
{
    char printed[128];
    cr_assert_eq(ask_from_child(NULL, printed, sizeof(printed)), -EPIPE);
}

Test(console, client_waits_as_long_as_the_broker_lives)
{
    char printed[128];
    int from;
    const pid_t pid = ask_begin(&from);
    serve_until(1);
    const uint32_t handle = last_handle;
    rc_console_write(&console, handle, "ok\nbegun\n", 9);
    serve_until(2);
    cr_assert_str_eq(last_request, "version");
    rc_console_write(&console, last_handle, "ok\n1\n", 5);
    rc_console_finish(&console, last_handle, 1000);
    rc_console_write(&console, handle, "ended\n", 6);
    rc_console_finish(&console, handle, 1000);
    cr_assert_eq(ask_end(pid, from, printed, sizeof(printed)), 0);
    cr_assert_str_eq(printed, "begun\nended\n");
}

/* Whether it has taken the request, begun to answer, or not even accepts. */
Test(console, client_gives_a_broker_up_that_hangs)
{
    char printed[128];
    int from[2];
    pid_t pids[2];
    pids[0] = ask_begin(&from[0]);
    serve_until(1);
    rc_console_write(&console, last_handle, "ok\nbegun\n", 9);
    pids[1] = ask_begin(&from[1]);
    cr_assert_eq(ask_end(pids[0], from[0], printed, sizeof(printed)), -ETIMEDOUT);
    cr_assert_str_eq(printed, "begun\n");
    cr_assert_eq(ask_end(pids[1], from[1], printed, sizeof(printed)), -ETIMEDOUT);
    int fds[1024];
    int count = 0;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    do {
        cr_assert_lt(count, 1024);
        fds[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    } while (connect(fds[count++], (const struct sockaddr *)&address, sizeof(address)) == 0);
    cr_assert_eq(errno, EAGAIN);
    pids[0] = ask_begin(&from[0]);
    cr_assert_eq(ask_end(pids[0], from[0], printed, sizeof(printed)), -ETIMEDOUT);
    while (count > 0) {
        close(fds[--count]);
    }
}

Test(console_path, configured_path_wins)
{
    char text[108];
    struct rc_err err;
    cr_assert_eq(rc_console_path(text, sizeof(text), "/run/x.sock", "id", &err), 0);
    cr_assert_str_eq(text, "/run/x.sock");
}

Test(console_path, first_writable_folder_is_taken)
{
    char text[108];
    struct rc_err err;
    setenv("RUNTIME_DIRECTORY", "/tmp:/var/tmp", 1);
    cr_assert_eq(rc_console_path(text, sizeof(text), "", "id-1", &err), 0);
    cr_assert_str_eq(text, "/tmp/ringcast-id-1.sock");
    setenv("RUNTIME_DIRECTORY", "/nonexistent", 1);
    setenv("XDG_RUNTIME_DIR", "/var/tmp", 1);
    cr_assert_eq(rc_console_path(text, sizeof(text), "", "id-1", &err), 0);
    cr_assert_str_eq(text, "/var/tmp/ringcast-id-1.sock");
}

Test(console_path, longest_instance_id_fits)
{
    char text[108];
    char id[65];
    struct rc_err err;
    memset(id, 'i', 64);
    id[64] = '\0';
    setenv("RUNTIME_DIRECTORY", "/tmp", 1);
    cr_assert_eq(rc_console_path(text, sizeof(text), "", id, &err), 0);
}
