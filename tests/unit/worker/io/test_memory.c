/* worker/io/memory: what a dead process leaves of its ring can be read. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/uring.h"
#include "common/shm/segment.h"
#include "worker/io/io.h"
#include "worker/io/memory.h"

static int segment(void)
{
    struct rc_err err;
    const int fd = rc_segment_create("io", 0, &err);
    cr_assert_geq(fd, 0, "%s", err.text);
    return fd;
}

Test(io_memory, parts_follow_each_other_and_buffers_are_a_power_of_two)
{
    struct rc_err err;
    const struct rc_io_memory_plan plan = {.socket_count = 1000, .receive_buffers_bytes = 3 * RC_IO_BUFFER_BYTES};
    struct rc_io_memory *memory = rc_io_memory_create(segment(), &plan, &err);
    cr_assert_neq(memory, NULL, "%s", err.text);
    cr_assert_eq(atomic_load(&memory->ready), RC_IO_MEMORY_READY);
    cr_assert_eq(memory->buffer_count, 4);
    cr_assert_geq(memory->packets, memory->held + memory->held_max * sizeof(struct io_uring_cqe));
    cr_assert_geq(memory->buffers, memory->pieces + RC_IO_BATCH_MAX * RC_IO_PIECES_MAX * sizeof(struct rc_piece));
    cr_assert_eq(memory->queues, memory->buffers + (uint64_t)4 * RC_IO_BUFFER_BYTES);
    cr_assert_eq(memory->bytes, memory->queues + memory->queues_bytes);
    cr_assert_eq(memory->cq_head, 0, "no ring lies there yet");
    cr_assert_eq(memory->buffers % 4096, 0);
    cr_assert_eq(memory->queues % 4096, 0);
    cr_assert_gt(memory->held_max, 8 * 1000, "each kind of each socket at once");
    rc_io_memory_unmap(memory);
}

Test(io_memory, completions_of_a_killed_process_are_there)
{
    struct rc_err err;
    int ready[2];
    char byte;
    const int fd = segment();
    const struct rc_io_memory_plan plan = {.socket_count = 16, .receive_buffers_bytes = 65536};
    cr_assert_eq(pipe(ready), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        struct io_uring ring;
        bool in_memory = false;
        struct rc_io_memory *memory = rc_io_memory_create(fd, &plan, &err);
        const struct rc_uring_options options = {.sq_entries = RC_IO_SQ_ENTRIES,
                                                 .cq_entries = RC_IO_CQ_ENTRIES,
                                                 .memory = rc_io_memory_at(memory, memory->queues),
                                                 .memory_bytes = memory->queues_bytes};
        cr_assert_eq(rc_uring_open(&ring, &options, &in_memory, &err), 0);
        if (in_memory) {
            rc_io_memory_found(memory, &ring);
        }
        for (uint64_t i = 0; i < 3; i++) {
            struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
            io_uring_prep_nop(sqe);
            io_uring_sqe_set_data64(sqe, 100 + i);
        }
        cr_assert_eq(io_uring_submit_and_get_events(&ring), 3);
        struct io_uring_cqe *cqe;
        cr_assert_eq(io_uring_peek_cqe(&ring, &cqe), 0);
        io_uring_cqe_seen(&ring, cqe);
        cr_assert_eq(write(ready[1], in_memory ? "m" : "k", 1), 1);
        for (;;) {
            pause();
        }
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    uint64_t bytes = 0;
    struct rc_io_memory *memory = rc_segment_map(fd, &bytes, &err);
    cr_assert_neq(memory, NULL, "%s", err.text);
    cr_assert_eq(bytes, memory->bytes);
    if (byte == 'k') {
        cr_assert_eq(memory->cq_head, 0, "a kernel that keeps its queues: that is said");
        cr_skip_test("queues cannot lie in this memory here");
    }
    const uint32_t head = *(uint32_t *)rc_io_memory_at(memory, memory->cq_head);
    const uint32_t tail = *(uint32_t *)rc_io_memory_at(memory, memory->cq_tail);
    const struct io_uring_cqe *cqes = rc_io_memory_at(memory, memory->cqes);
    cr_assert_eq(tail - head, 2);
    for (uint32_t i = head; i != tail; i++) {
        cr_assert_eq(cqes[i & (memory->cq_entries - 1)].user_data, 100 + i);
    }
    rc_io_memory_unmap(memory);
}
