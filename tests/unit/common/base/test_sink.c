/* common/sink: lines into everything that standard error can be, with nobody reading: never waiting, never half a line too much. */
#include "common/base/sink.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define LINES_MAX 20000
#define OUTPUT_MAX (8u << 20)

static struct rc_sink sink;
static char output[OUTPUT_MAX];
static size_t output_bytes;

/* What waits kills the test. */
TestSuite(sink, .timeout = 20);

static size_t line_of(char line[256], unsigned number)
{
    return (size_t)snprintf(
        line, 256, "line %u %.*s\n", number, (int)(number % 150),
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
}

static void drain(int read_fd)
{
    ssize_t bytes;
    while (output_bytes < OUTPUT_MAX && (bytes = read(read_fd, output + output_bytes, OUTPUT_MAX - output_bytes)) > 0) {
        output_bytes += (size_t)bytes;
    }
}

/* Writes until nothing is taken any more, reads, and writes again: what arrives is exactly the lines that were taken. */
static void fill_and_check(int read_fd, unsigned at_least)
{
    static char wanted[OUTPUT_MAX];
    size_t wanted_bytes = 0;
    unsigned number = 0;
    output_bytes = 0;
    cr_assert_eq(fcntl(read_fd, F_SETFL, O_NONBLOCK), 0);
    for (int round = 0; round < 3; round++) {
        unsigned taken = 0;
        unsigned refused = 0;
        while (refused < 3 && taken < LINES_MAX) {
            char line[256];
            const size_t bytes = line_of(line, ++number);
            if (rc_sink_write(&sink, line, bytes)) {
                memcpy(wanted + wanted_bytes, line, bytes);
                wanted_bytes += bytes;
                taken++;
            } else {
                refused++;
            }
        }
        cr_assert_eq(refused, 3, "it is full at last");
        cr_expect_geq(taken, at_least, "round %d", round);
        drain(read_fd);
    }
    while (!rc_sink_write(&sink, "", 0)) {
        drain(read_fd);
    }
    drain(read_fd);
    cr_assert_eq(output_bytes, wanted_bytes);
    cr_expect_eq(memcmp(output, wanted, wanted_bytes), 0);
}

static bool nonblocking(int fd)
{
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

Test(sink, a_pipe_is_opened_again_and_stays_what_it_was_for_others)
{
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    const int of_others = dup(fds[1]);
    rc_sink_open(&sink, fds[1]);
    cr_expect_eq(sink.kind, RC_SINK_PLAIN);
    cr_expect(nonblocking(fds[1]));
    cr_expect_not(nonblocking(of_others));
    cr_expect_eq(fcntl(fds[1], F_GETFD), 0, "children have it");
    fill_and_check(fds[0], 400);
    /* A child that may not open it again finds the description that does not wait. */
    rc_sink_close(&sink);
    rc_sink_open(&sink, fds[1]);
    fill_and_check(fds[0], 400);
}

/* As a container's standard error, which is root's, is for a broker of another user. */
static void forbid(int fd)
{
    cr_assert_eq(fchmod(fd, 0), 0);
    if (geteuid() == 0) {
        cr_assert_eq(setresuid(65534, 65534, 65534), 0);
    }
}

Test(sink, a_pipe_that_may_not_be_opened_again)
{
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    forbid(fds[1]);
    rc_sink_open(&sink, fds[1]);
    cr_expect_eq(sink.kind, RC_SINK_NOWAIT);
    cr_expect_not(nonblocking(fds[1]));
    fill_and_check(fds[0], 14); /* by splice a line takes a page, of which there are 16 */
}

Test(sink, a_pipe_on_a_kernel_without_nowait)
{
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    rc_sink_open(&sink, fds[1]);
    cr_assert_eq(pipe2(sink.pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
    cr_assert_eq(fcntl(fds[1], F_SETFL, 0), 0);
    sink.kind = RC_SINK_SPLICE;
    fill_and_check(fds[0], 14);
    rc_sink_close(&sink);
}

Test(sink, a_named_pipe_that_may_not_be_opened_again)
{
    char path[64];
    snprintf(path, sizeof(path), "/tmp/ringcast-sink-%d", (int)getpid());
    cr_assert_eq(mkfifo(path, 0600), 0);
    const int read_fd = open(path, O_RDONLY | O_NONBLOCK);
    const int write_fd = open(path, O_WRONLY);
    unlink(path);
    forbid(write_fd);
    rc_sink_open(&sink, write_fd);
    fill_and_check(read_fd, 14);
    cr_expect_not(nonblocking(write_fd));
}

Test(sink, a_socket)
{
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    rc_sink_open(&sink, fds[1]);
    cr_expect_eq(sink.kind, RC_SINK_SOCKET);
    fill_and_check(fds[0], 50);
    cr_expect_not(nonblocking(fds[1]));
}

Test(sink, a_terminal)
{
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    struct termios raw;
    cr_assert_geq(master, 0);
    cr_assert_eq(grantpt(master), 0);
    cr_assert_eq(unlockpt(master), 0);
    const int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    cr_assert_geq(slave, 0);
    cr_assert_eq(tcgetattr(slave, &raw), 0);
    cfmakeraw(&raw);
    cr_assert_eq(tcsetattr(slave, TCSANOW, &raw), 0);
    const int of_others = dup(slave);
    rc_sink_open(&sink, slave);
    cr_expect_eq(sink.kind, RC_SINK_PLAIN);
    cr_expect_not(nonblocking(of_others));
    fill_and_check(master, 10);
    /* Ctrl-S */
    cr_assert_eq(tcflow(of_others, TCOOFF), 0);
    cr_expect_not(rc_sink_write(&sink, "stopped\n", 8));
    cr_assert_eq(tcflow(of_others, TCOON), 0);
    cr_expect(rc_sink_write(&sink, "goes on\n", 8));
}

Test(sink, a_file_and_dev_null_are_written_to_as_they_are)
{
    char path[] = "/tmp/ringcast-sink-XXXXXX";
    const int file = mkstemp(path);
    unlink(path);
    rc_sink_open(&sink, file);
    cr_expect_eq(sink.kind, RC_SINK_PLAIN);
    cr_expect(rc_sink_write(&sink, "line\n", 5));
    cr_expect_eq(lseek(file, 0, SEEK_END), 5);
    rc_sink_open(&sink, open("/dev/null", O_WRONLY));
    cr_expect_eq(sink.kind, RC_SINK_PLAIN);
    cr_expect(rc_sink_write(&sink, "line\n", 5));
}

Test(sink, a_pipe_without_a_reader_takes_nothing)
{
    int fds[2];
    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(pipe(fds), 0);
    close(fds[0]);
    rc_sink_open(&sink, fds[1]);
    cr_expect_not(rc_sink_write(&sink, "line\n", 5));
    cr_expect_not(rc_sink_write(&sink, "line\n", 5));
}

Test(sink, what_is_closed_takes_nothing)
{
    rc_sink_open(&sink, 987);
    cr_expect_not(rc_sink_write(&sink, "line\n", 5));
}
