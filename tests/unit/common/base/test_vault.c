/* common/base/vault: sockets that were put there outlive the process that had them, to the byte. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/uring.h"
#include "common/base/vault.h"

#define SLOTS 16u

static int vault_new(struct io_uring_params *params)
{
    struct rc_err err;
    const int fd = rc_vault_make(SLOTS, params, &err);
    cr_assert_geq(fd, 0, "%s", err.text);
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    return fd;
}

static void worker_ring(struct io_uring *ring)
{
    struct rc_err err;
    const struct rc_uring_options options = {.sq_entries = 64, .cq_entries = 64, .direct_descriptors = SLOTS};
    cr_assert_eq(rc_uring_open(ring, &options, NULL, &err), 0, "%s", err.text);
}

static int submit_one(struct io_uring *ring)
{
    struct io_uring_cqe *cqe;
    struct __kernel_timespec timeout = {.tv_sec = 10};
    cr_assert_geq(io_uring_submit_and_wait_timeout(ring, &cqe, 1, &timeout, NULL), 0);
    const int result = cqe->res;
    io_uring_cqe_seen(ring, cqe);
    return result;
}

static int move(struct io_uring *from, int to_fd, unsigned slot)
{
    io_uring_prep_msg_ring_fd(io_uring_get_sqe(from), to_fd, (int)slot, (int)slot, 0, IORING_MSG_RING_CQE_SKIP);
    return submit_one(from);
}

static int empty(struct io_uring *ring, unsigned slot)
{
    io_uring_prep_close_direct(io_uring_get_sqe(ring), slot);
    return submit_one(ring);
}

/* A worker: takes the sockets as direct descriptors only, keeps them, says that it has, and waits for its end. */
__attribute__((noreturn)) static void worker(int vault_fd, const struct io_uring_params *params, const int *sockets,
                                             int ready)
{
    struct io_uring vault;
    struct io_uring ring;
    cr_assert_eq(rc_vault_map(&vault, vault_fd, params), 0);
    worker_ring(&ring);
    for (unsigned i = 0; i < SLOTS; i++) {
        cr_assert_eq(io_uring_register_files_update(&ring, i, &sockets[i], 1), 1);
        close(sockets[i]);
        cr_assert_geq(move(&ring, vault.ring_fd, i), 0);
    }
    /* What it queues and does not submit is not done by whoever maps the vault next. */
    io_uring_prep_close_direct(io_uring_get_sqe(&vault), 3);
    *vault.sq.ktail = vault.sq.sqe_tail;
    cr_assert_eq(write(ready, "r", 1), 1);
    for (;;) {
        pause();
    }
}

Test(vault, sockets_outlive_a_killed_worker)
{
    struct io_uring_params params;
    int near[SLOTS];
    int far[SLOTS];
    int ready[2];
    char byte;
    const int fd = vault_new(&params);
    cr_assert_eq(pipe(ready), 0);
    for (unsigned i = 0; i < SLOTS; i++) {
        int pair[2];
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        near[i] = pair[0];
        far[i] = pair[1];
    }
    const pid_t pid = fork();
    if (pid == 0) {
        worker(fd, &params, near, ready[1]);
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        close(near[i]);
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);

    /* What the peers send meanwhile waits for the successor. */
    for (unsigned i = 0; i < SLOTS; i++) {
        byte = (char)('a' + i);
        cr_assert_eq(send(far[i], &byte, 1, MSG_NOSIGNAL), 1);
    }
    struct io_uring vault;
    struct io_uring ring;
    cr_assert_eq(rc_vault_map(&vault, fd, &params), 0);
    worker_ring(&ring);
    for (unsigned i = 0; i < SLOTS; i++) {
        cr_assert_geq(move(&vault, ring.ring_fd, i), 0, "slot %u", i);
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
        io_uring_prep_recv(sqe, (int)i, &byte, 1, MSG_DONTWAIT);
        io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
        cr_assert_eq(submit_one(&ring), 1);
        cr_assert_eq(byte, (char)('a' + i));
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        cr_assert_eq(empty(&vault, i), 0);
        cr_assert_eq(recv(far[i], &byte, 1, MSG_DONTWAIT), -1, "the worker has it");
        cr_assert_eq(errno, EAGAIN);
        cr_assert_eq(empty(&ring, i), 0);
        struct pollfd ended = {.fd = far[i], .events = POLLIN};
        cr_assert_eq(poll(&ended, 1, 10000), 1);
        cr_assert_eq(recv(far[i], &byte, 1, MSG_DONTWAIT), 0);
        close(far[i]);
    }
    rc_uring_close(&ring);
    rc_vault_unmap(&vault);
}

Test(vault, is_probed_by_doing)
{
    struct io_uring_params params;
    const int fd = vault_new(&params);
    unsetenv(RC_URING_WITHOUT);
    cr_assert(rc_vault_probe(fcntl(fd, F_DUPFD_CLOEXEC, 0), &params));
    cr_assert(rc_vault_probe(fcntl(fd, F_DUPFD_CLOEXEC, 0), &params), "it is as empty as before");
    setenv(RC_URING_WITHOUT, "no_mmap,vault", 1);
    cr_assert_not(rc_vault_probe(fd, &params));
    unsetenv(RC_URING_WITHOUT);
    cr_assert_not(rc_vault_probe(open("/dev/null", O_RDWR | O_CLOEXEC), &params), "this is no ring");
    close(fd);
}

Test(vault, memory_is_what_limits_count)
{
    struct io_uring_params params;
    struct io_uring vault;
    const int fd = vault_new(&params);
    cr_assert_eq(params.sq_entries, RC_VAULT_ENTRIES);
    cr_assert_eq(params.cq_entries, RC_VAULT_ENTRIES);
    cr_assert_eq(rc_vault_map(&vault, fd, &params), 0);
    cr_assert_leq(vault.sq.ring_sz + vault.sq.ring_entries * sizeof(struct io_uring_sqe), rc_vault_memory_bytes());
    rc_vault_unmap(&vault);
}
