/* uring: what this kernel offers is used for real; what it refuses is explained. Skipped where io_uring is not to
 * be had. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <string.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/shm/segment.h"
#include "common/base/uring.h"

/* True when this machine has io_uring at all; a test without says so and passes. */
static bool available(struct rc_uring_features *features)
{
    struct rc_err err = {""};
    if (rc_uring_probe(features, &err) != 0) {
        cr_log_warn("not tested: %s", err.text);
        return false;
    }
    return true;
}

static int run_one(struct io_uring *ring)
{
    struct io_uring_cqe *cqe;
    cr_assert_eq(io_uring_submit_and_wait(ring, 1), 1);
    cr_assert_eq(io_uring_peek_cqe(ring, &cqe), 0);
    const int result = cqe->res;
    io_uring_cqe_seen(ring, cqe);
    return result;
}

Test(uring, probe_leaves_no_descriptor_open)
{
    struct rc_uring_features features;
    if (!available(&features)) {
        return;
    }
    const int before = open("/dev/null", O_RDONLY);
    close(before);
    cr_assert(available(&features));
    const int after = open("/dev/null", O_RDONLY);
    close(after);
    cr_assert_eq(before, after);
}

Test(uring, ring_has_the_flags_of_the_design)
{
    struct rc_uring_features features;
    struct rc_err err = {""};
    struct io_uring ring;
    const struct rc_uring_options options = {.sq_entries = 256, .cq_entries = 4096, .direct_descriptors = 64};
    if (!available(&features)) {
        return;
    }
    bool in_memory = true;
    cr_assert_eq(rc_uring_open(&ring, &options, &in_memory, &err), 0, "%s", err.text);
    const unsigned int wanted =
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE;
    cr_assert_eq(ring.flags & wanted, wanted);
    cr_assert_eq((ring.flags & IORING_SETUP_NO_SQARRAY) != 0, features.no_sqarray);
    cr_assert_not(in_memory);
    cr_assert_eq(ring.sq.ring_entries, 256);
    cr_assert_eq(ring.cq.ring_entries, 4096);
    cr_assert_neq(fcntl(ring.ring_fd, F_GETFD) & FD_CLOEXEC, 0);
    io_uring_prep_socket_direct_alloc(io_uring_get_sqe(&ring), AF_INET, SOCK_STREAM, 0, 0);
    cr_assert_geq(run_one(&ring), 0, "the direct table is there");
    rc_uring_close(&ring);
}

Test(uring, ring_memory_of_the_caller_shows_the_completions_to_another_mapping)
{
    struct rc_uring_features features;
    struct rc_err err = {""};
    struct io_uring ring;
    uint64_t bytes;
    if (!available(&features) || !features.no_mmap) {
        return;
    }
    const uint64_t need = rc_uring_memory_bytes(1024, 16384);
    const int fd = rc_segment_create("ring", need, &err);
    uint8_t *ours = rc_segment_map(fd, &bytes, &err);
    uint8_t *theirs = rc_segment_map(fd, &bytes, &err);
    memset(ours, 0x5a, bytes); /* what a predecessor left */
    const struct rc_uring_options options = {
        .sq_entries = 1024, .cq_entries = 16384, .memory = ours, .memory_bytes = bytes};
    bool in_memory = false;
    cr_assert_eq(rc_uring_open(&ring, &options, &in_memory, &err), 0, "%s", err.text);
    cr_assert(in_memory);
    struct io_uring_cqe *cqe;
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < 40000; i++) { /* around the completion queue twice */
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
        io_uring_prep_nop(sqe);
        sqe->user_data = UINT64_C(0x1234567800000000) + i;
        wrong += io_uring_submit_and_wait(&ring, 1) != 1;
        wrong += io_uring_peek_cqe(&ring, &cqe) != 0 || cqe->res != 0 || cqe->user_data != sqe->user_data;
        io_uring_cq_advance(&ring, 1);
    }
    cr_assert_eq(wrong, 0);
    const uint64_t last = UINT64_C(0x1234567800000000) + 39999;
    cr_assert_not_null(memmem(theirs, bytes, &last, sizeof(last)));
    rc_uring_close(&ring);
    munmap(ours, bytes);
    munmap(theirs, bytes);
    close(fd);
}

Test(uring, too_little_memory_is_an_error_with_both_numbers)
{
    struct rc_err err = {""};
    struct io_uring ring;
    static uint8_t memory[4096] __attribute__((aligned(4096)));
    const struct rc_uring_options options = {
        .sq_entries = 64, .cq_entries = 256, .memory = memory, .memory_bytes = 4096};
    cr_assert_eq(rc_uring_open(&ring, &options, NULL, &err), -EINVAL);
    cr_assert_not_null(strstr(err.text, "4096 bytes"), "%s", err.text);
}

/* What uring.h says of SO_PEERNAME: the exact length works, a longer one is -EINVAL. */
Test(uring, peer_name_by_ring_command_wants_the_exact_length)
{
    struct rc_uring_features features;
    struct io_uring ring;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 peer = {0};
    socklen_t bytes = sizeof(address);
    const struct rc_uring_options options = {.sq_entries = 8, .cq_entries = 16};
    if (!available(&features) || !features.socket_getsockopt) {
        return;
    }
    cr_assert_eq(rc_uring_open(&ring, &options, NULL, NULL), 0);
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    const int client = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
    const int server = accept(listener, NULL, NULL);
    io_uring_prep_cmd_sock(io_uring_get_sqe(&ring), SOCKET_URING_OP_GETSOCKOPT, server, SOL_SOCKET, SO_PEERNAME, &peer,
                           sizeof(struct sockaddr_in));
    cr_assert_eq(run_one(&ring), (int)sizeof(struct sockaddr_in));
    cr_assert_eq(peer.sin6_family, AF_INET);
    io_uring_prep_cmd_sock(io_uring_get_sqe(&ring), SOCKET_URING_OP_GETSOCKOPT, server, SOL_SOCKET, SO_PEERNAME, &peer,
                           sizeof(struct sockaddr_in6));
    cr_assert_eq(run_one(&ring), -EINVAL);
    close(client);
    close(server);
    close(listener);
    rc_uring_close(&ring);
}

Test(uring, too_many_direct_descriptors_name_the_limit)
{
    struct rc_uring_features features;
    if (!available(&features)) {
        return;
    }
    const pid_t pid = fork(); /* the limit must not reach the test runner */
    if (pid == 0) {
        struct rc_err err = {""};
        struct io_uring ring;
        const struct rlimit limit = {.rlim_cur = 100, .rlim_max = 100};
        const struct rc_uring_options options = {.sq_entries = 8, .cq_entries = 16, .direct_descriptors = 101};
        setrlimit(RLIMIT_NOFILE, &limit);
        const int rc = rc_uring_open(&ring, &options, NULL, &err);
        _exit(rc == -EMFILE && strstr(err.text, "101 direct") != NULL &&
                      strstr(err.text, "RLIMIT_NOFILE is 100") != NULL
                  ? 0
                  : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    cr_assert_eq(status, 0);
}

/* A filter as a container's: io_uring_setup fails with `code`. For the rest of this process's life. */
static bool forbid_setup(int code)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)code),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = 4, .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

Test(uring, refusals_of_the_kernel_come_out_of_the_probe_with_their_remedy)
{
    static const struct {
        int kernel;
        int code;
        const char *says;
    } cases[] = {
        {ENOSYS, -ENOSYS, "needs Linux 6.1 or newer with CONFIG_IO_URING"},
        {EPERM, -EPERM, "io_uring"},
        {ENOMEM, -ENOMEM, "RLIMIT_MEMLOCK"},
        {EMFILE, -EMFILE, "RLIMIT_NOFILE"},
        {EINVAL, -EOPNOTSUPP, "IORING_SETUP_DEFER_TASKRUN"}, /* what a kernel below 6.1 says to that flag */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const pid_t pid = fork();
        if (pid == 0) {
            struct rc_uring_features features;
            struct rc_err err = {""};
            if (!forbid_setup(cases[i].kernel)) {
                _exit(0); /* no seccomp here */
            }
            const int rc = rc_uring_probe(&features, &err);
            _exit(rc == cases[i].code && strstr(err.text, cases[i].says) != NULL ? 0 : 1);
        }
        int status = -1;
        waitpid(pid, &status, 0);
        cr_expect_eq(status, 0, "%s", cases[i].says);
    }
}

Test(uring, errors_carry_reason_and_remedy)
{
    static const struct {
        int code;
        const char *says;
    } cases[] = {
        {-ENOSYS, "CONFIG_IO_URING"}, {-EPERM, "io_uring"},       {-ENOMEM, "RLIMIT_MEMLOCK"},
        {-EMFILE, "RLIMIT_NOFILE"},   {-EOPNOTSUPP, "Linux 6.1"}, {-EIO, "Input/output error"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rc_err err = {""};
        cr_expect_eq(rc_uring_explain(cases[i].code, "testing", &err), cases[i].code);
        cr_expect_not_null(strstr(err.text, cases[i].says), "%s", err.text);
        cr_expect_not_null(strstr(err.text, "testing"), "%s", err.text);
        cr_expect_lt(strlen(err.text), RC_ERR_TEXT_MAX - 1, "not cut");
    }
}

Test(uring, lost_features_are_listed)
{
    char text[1024];
    struct rc_uring_features features = {
        .no_mmap = true, .no_sqarray = true, .socket_getsockopt = true, .accept_dontwait = true, .fd_install = true};
    cr_assert_eq(rc_uring_lost(&features, text, sizeof(text)), 0);
    cr_assert_str_eq(text, "");
    features.no_sqarray = false;
    features.socket_getsockopt = false;
    cr_assert_eq(rc_uring_lost(&features, text, sizeof(text)), 2);
    cr_assert_not_null(strstr(text, "6.6"));
    cr_assert_not_null(strstr(text, "6.7"));
    cr_assert_not_null(strstr(text, "; "));
    features = (struct rc_uring_features){0};
    for (size_t bytes = 1; bytes < 400; bytes++) {
        memset(text, '!', sizeof(text));
        cr_assert_eq(rc_uring_lost(&features, text, bytes), 5);
        cr_assert_lt(strlen(text), bytes);
        cr_assert_eq(text[bytes], '!');
    }
}

/* What is taken for missing is missing to the probe, and nothing else is. */
Test(uring, features_can_be_taken_for_missing)
{
    struct rc_uring_features all;
    struct rc_uring_features some;
    if (!available(&all)) {
        return;
    }
    cr_assert_eq(setenv(RC_URING_WITHOUT, "socket_getsockopt", 1), 0);
    cr_assert(available(&some));
    cr_assert_not(some.socket_getsockopt);
    cr_assert_eq(some.no_mmap, all.no_mmap);
    cr_assert_eq(some.fd_install, all.fd_install);
    cr_assert_eq(setenv(RC_URING_WITHOUT, "fd_install", 1), 0);
    cr_assert(available(&some));
    cr_assert_not(some.fd_install);
    cr_assert_eq(some.socket_getsockopt, all.socket_getsockopt);
    cr_assert_eq(setenv(RC_URING_WITHOUT, "accept_dontwait", 1), 0);
    cr_assert(available(&some));
    cr_assert_not(some.accept_dontwait);
    cr_assert_eq(some.fd_install, all.fd_install);
    cr_assert_eq(setenv(RC_URING_WITHOUT, "socket_getsockopts,,no_mmap", 1), 0);
    cr_assert(available(&some));
    cr_assert_eq(some.socket_getsockopt, all.socket_getsockopt);
    cr_assert_not(some.no_mmap);
}

/* Without NO_MMAP the ring is made all the same, in the kernel's memory. */
Test(uring, ring_without_callers_memory)
{
    struct rc_uring_features features;
    if (!available(&features)) {
        return;
    }
    struct io_uring ring;
    struct rc_err err = {""};
    const uint64_t bytes = rc_uring_memory_bytes(64, 128);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(memory, MAP_FAILED);
    cr_assert_eq(setenv(RC_URING_WITHOUT, "no_mmap", 1), 0);
    const struct rc_uring_options options = {
        .sq_entries = 64, .cq_entries = 128, .memory = memory, .memory_bytes = bytes};
    bool in_memory = true;
    cr_assert_eq(rc_uring_open(&ring, &options, &in_memory, &err), 0, "%s", err.text);
    cr_assert_not(in_memory);
    io_uring_prep_nop(io_uring_get_sqe(&ring));
    cr_assert_eq(run_one(&ring), 0);
    rc_uring_close(&ring);
    munmap(memory, bytes);
}
