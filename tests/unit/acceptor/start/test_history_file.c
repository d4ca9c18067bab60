/* The file of the history: made, found again, locked, and begun anew when it is of another size or version, or nothing at all. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acceptor/start/history_file.h"
#include "common/shm/history.h"

#define BYTES (1u << 20)

static char directory[64];
static char path[96];
static struct rc_segment segment;
static struct rc_err err;

static void make_directory(void)
{
    (void)snprintf(directory, sizeof(directory), "/tmp/ringcast-history-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/history", directory);
}

static void remove_directory(void)
{
    (void)unlink(path);
    (void)rmdir(directory);
}

TestSuite(history_file_open, .init = make_directory, .fini = remove_directory);

static struct rc_history_segment *open_file(uint64_t bytes)
{
    segment = (struct rc_segment){.fd = -1, .reader_fd = -1};
    cr_assert_eq(rc_history_file_open(path, bytes, &segment, &err), 0, "%s", err.text);
    cr_assert_eq(segment.bytes, bytes);
    rc_history_format(segment.memory, bytes);
    return segment.memory;
}

static void close_file(bool orderly)
{
    if (orderly) {
        rc_history_file_closing(&segment);
    }
    munmap(segment.memory, segment.bytes);
    close(segment.fd);
    close(segment.reader_fd);
}

/* What a broker finds that opens it with these bytes, after `doubt` was cleared and a word written. */
static uint64_t *last_word(void)
{
    return (uint64_t *)((uint8_t *)segment.memory + BYTES - 8);
}

Test(history_file_open, what_was_written_is_there_again)
{
    struct stat status;
    struct rc_history_segment *head = open_file(BYTES);
    cr_assert_eq(head->doubt, RC_HISTORY_SURE);
    cr_assert_eq(head->file, 1);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0600);
    cr_assert_geq((uint64_t)status.st_blocks * 512, BYTES, "it has its place on the disk");
    *last_word() = 77;
    close_file(false); /* kill -9 of all: what it wrote is there */
    head = open_file(BYTES);
    cr_assert_eq(head->doubt, RC_HISTORY_OTHER);
    cr_assert_eq(*last_word(), 77);
    /* The machine went down: another boot, and it was not closed. */
    head->doubt = RC_HISTORY_SURE;
    head->boot[3]++;
    close_file(false);
    head = open_file(BYTES);
    cr_assert_eq(head->doubt, RC_HISTORY_UNCLOSED);
    close_file(true); /* nobody has looked */
    head = open_file(BYTES);
    cr_assert_eq(head->doubt, RC_HISTORY_UNCLOSED);
    head->doubt = RC_HISTORY_SURE;
    head->boot[3]++;
    close_file(true);
    head = open_file(BYTES);
    cr_assert_eq(head->doubt, RC_HISTORY_OTHER, "another boot, but it was closed");
    cr_assert_eq(head->closed, 0);
    close_file(true);
}

Test(history_file_open, one_broker_at_a_time, .timeout = 30)
{
    (void)open_file(BYTES);
    struct rc_segment second = {.fd = -1, .reader_fd = -1};
    cr_assert_eq(rc_history_file_open(path, BYTES, &second, &err), -EBUSY);
    cr_assert_not_null(strstr(err.text, "another broker"), "%s", err.text);
    close(second.fd);
    close_file(true);
}

Test(history_file_open, another_size_or_version_or_bytes_begin_anew)
{
    struct rc_history_segment *head = open_file(BYTES);
    *last_word() = 77;
    close_file(true);
    head = open_file(2 * BYTES);
    cr_assert_eq(head->doubt, RC_HISTORY_SURE);
    cr_assert_eq(*last_word(), 0);
    close_file(true);
    head = open_file(BYTES);
    *last_word() = 77;
    head->abi++;
    close_file(true);
    head = open_file(BYTES);
    cr_assert_eq(*last_word(), 0);
    cr_assert_eq(head->doubt, RC_HISTORY_SURE);
    *last_word() = 77;
    head->slot_count--;
    close_file(true);
    (void)open_file(BYTES);
    cr_assert_eq(*last_word(), 0);
    memset(segment.memory, 0x5a, BYTES);
    close_file(false);
    (void)open_file(BYTES);
    cr_assert_eq(*last_word(), 0);
    close_file(true);
}

Test(history_file_open, without_room_it_says_so_and_leaves_none_taken)
{
    struct stat status;
    const struct rlimit limit = {.rlim_cur = BYTES / 2, .rlim_max = BYTES / 2};
    (void)signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    segment = (struct rc_segment){.fd = -1, .reader_fd = -1};
    cr_assert_lt(rc_history_file_open(path, BYTES, &segment, &err), 0);
    cr_assert_not_null(strstr(err.text, "limits.history_memory"), "%s", err.text);
    cr_assert_eq(fstat(segment.fd, &status), 0);
    cr_assert_eq(status.st_size, 0);
    close(segment.fd);
}

Test(history_file_open, what_is_no_file_is_refused)
{
    segment = (struct rc_segment){.fd = -1, .reader_fd = -1};
    cr_assert_lt(rc_history_file_open(directory, BYTES, &segment, &err), 0);
    cr_assert_lt(rc_history_file_open("/nowhere/history", BYTES, &segment, &err), 0);
    cr_assert_eq(symlink("elsewhere", path), 0);
    cr_assert_lt(rc_history_file_open(path, BYTES, &segment, &err), 0);
}
