/* shm: sizes, seals and what is refused. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/shm/segment.h"

Test(shm, segment_has_its_size_is_zero_and_close_on_exec)
{
    struct rc_err err = {""};
    uint64_t bytes = 0;
    const int fd = rc_segment_create("test", 100000, &err);
    cr_assert_geq(fd, 0, "%s", err.text);
    cr_assert_neq(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    uint8_t *memory = rc_segment_map(fd, &bytes, &err);
    cr_assert_not_null(memory);
    cr_assert_eq(bytes, 100000);
    uint64_t nonzero = 0;
    for (uint64_t i = 0; i < bytes; i++) {
        nonzero += memory[i] != 0;
    }
    cr_assert_eq(nonzero, 0);
    munmap(memory, bytes);
    close(fd);
}

Test(shm, size_is_sealed)
{
    struct rc_err err = {""};
    const int fd = rc_segment_create("test", 8192, &err);
    cr_assert_geq(fd, 0);
    cr_assert_neq(ftruncate(fd, 4096), 0);
    cr_assert_neq(ftruncate(fd, 16384), 0);
    cr_assert_eq(fcntl(fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
                 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    close(fd);
}

Test(shm, processes_share_the_bytes)
{
    struct rc_err err = {""};
    uint64_t bytes;
    const int fd = rc_segment_create("test", 4096, &err);
    uint8_t *memory = rc_segment_map(fd, &bytes, &err);
    cr_assert_not_null(memory);
    const pid_t pid = fork();
    if (pid == 0) {
        uint8_t *theirs = rc_segment_map(fd, &bytes, &err);
        memcpy(theirs, "written by the child", 21);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    cr_assert_str_eq((char *)memory, "written by the child");
    munmap(memory, bytes);
    close(fd);
}

/* Whether the descriptor, or one opened anew through it, gives a mapping that can be written to. */
static bool writable(int fd)
{
    char path[48];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    const int again = open(path, O_RDWR | O_CLOEXEC);
    const int fds[] = {fd, again};
    bool any = false;
    for (int i = 0; i < 2; i++) {
        void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0);
        any |= memory != MAP_FAILED;
        if (memory != MAP_FAILED) {
            munmap(memory, 4096);
        }
    }
    if (again >= 0) {
        close(again);
    }
    return any;
}

Test(shm, reader_sees_every_store_and_can_make_none)
{
    struct rc_err err = {""};
    uint64_t bytes;
    const int fd = rc_segment_create("test", 4096, &err);
    uint8_t *memory = rc_segment_map(fd, &bytes, &err);
    const int reader = rc_segment_reader(fd, &err);
    cr_assert_geq(reader, 0, "%s", err.text);
    cr_assert_neq(fcntl(reader, F_GETFD) & FD_CLOEXEC, 0);
    cr_assert_null(rc_segment_map(reader, &bytes, &err));
    const uint8_t *seen = rc_segment_map_read(reader, &bytes, &err);
    cr_assert_not_null(seen, "%s", err.text);
    cr_assert_eq(bytes, 4096);
    memory[100] = 7;
    cr_assert_eq(seen[100], 7);
    cr_assert_neq(mprotect((void *)(uintptr_t)seen, 4096, PROT_READ | PROT_WRITE), 0);
    cr_assert(writable(fd), "its writer may have a successor");
    if (geteuid() != 0) {
        cr_assert_not(writable(reader));
    }
    close(reader);
    close(fd);
    cr_assert_lt(rc_segment_reader(-1, &err), 0);
}

Test(shm, unsized_segment_is_sized_once_by_its_user)
{
    struct rc_err err = {""};
    uint64_t bytes;
    const int fd = rc_segment_create("truth", 0, &err);
    cr_assert_geq(fd, 0);
    cr_assert_null(rc_segment_map(fd, &bytes, &err));
    cr_assert_eq(rc_segment_size(fd, 12288, &err), 0, "%s", err.text);
    cr_assert_eq(rc_segment_size(fd, 12288, &err), 0, "a successor finds the same size");
    cr_assert_eq(rc_segment_size(fd, 8192, &err), -EBADMSG);
    cr_assert_not_null(strstr(err.text, "12288"));
    cr_assert_eq(rc_segment_size(fd, 16384, &err), -EBADMSG);
    void *memory = rc_segment_map(fd, &bytes, &err);
    cr_assert_not_null(memory);
    cr_assert_eq(bytes, 12288);
    munmap(memory, bytes);
    close(fd);
}

Test(shm, segment_whose_maker_died_before_sealing_is_sealed)
{
    struct rc_err err = {""};
    const int fd = rc_segment_create("truth", 0, &err);
    cr_assert_eq(ftruncate(fd, 4096), 0);
    uint64_t bytes;
    cr_assert_null(rc_segment_map(fd, &bytes, &err), "its size could still change under us");
    cr_assert_eq(rc_segment_size(fd, 4096, &err), 0);
    cr_assert_neq(ftruncate(fd, 0), 0);
    close(fd);
}

Test(shm, silly_sizes_and_descriptors_are_refused)
{
    struct rc_err err = {""};
    uint64_t bytes;
    const int fd = rc_segment_create("truth", 0, &err);
    cr_assert_eq(rc_segment_size(fd, 0, &err), -EINVAL);
    cr_assert_eq(rc_segment_size(fd, UINT64_MAX, &err), -EINVAL);
    cr_assert_lt(rc_segment_create("huge", UINT64_C(1) << 60, &err), 0);
    cr_assert_eq(rc_segment_size(-1, 4096, &err), -EBADF);
    cr_assert_null(rc_segment_map(-1, &bytes, &err));
    cr_assert_null(rc_segment_map(STDIN_FILENO, &bytes, &err));
    char path[] = "/tmp/ringcast-test-XXXXXX";
    const int file = mkstemp(path);
    unlink(path);
    cr_assert_eq(ftruncate(file, 4096), 0);
    cr_assert_null(rc_segment_map(file, &bytes, &err), "a plain file cannot be sealed");
    cr_assert_not_null(strstr(err.text, "not a memfd"));
    cr_assert_lt(rc_segment_size(file, 4096, &err), 0);
    close(file);
    close(fd);
    const int quiet = rc_segment_create("x", 1, NULL); /* nobody wants the reason */
    cr_assert_geq(quiet, 0);
    close(quiet);
}

Test(shm, running_out_of_descriptors_names_the_limit)
{
    struct rc_err err = {""};
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
    const pid_t pid = fork(); /* the limit must not reach the test runner */
    if (pid == 0) {
        setrlimit(RLIMIT_NOFILE, &none);
        _exit(rc_segment_create("test", 4096, &err) == -EMFILE && strstr(err.text, "RLIMIT_NOFILE") != NULL ? 0 : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    cr_assert_eq(status, 0);
}
