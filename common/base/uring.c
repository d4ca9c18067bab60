/* uring: see uring.h. */
#include "common/base/uring.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/base/check.h"

#define RING_FLAGS \
    (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE)

#define URING_CQ_ENTRIES_MAX 65536u /* the kernel's IORING_MAX_CQ_ENTRIES */

/* More than one page each, so that a kernel that wants contiguous memory shows it. */
#define PROBE_SQ_ENTRIES 128u
#define PROBE_CQ_ENTRIES 1024u
#define PROBE_GROUP 1

/* The first number in a small file of /proc, or -1. */
static long proc_number(const char *path)
{
    char text[32] = "";
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    const ssize_t bytes = read(fd, text, sizeof(text) - 1);
    close(fd);
    return bytes > 0 ? strtol(text, NULL, 10) : -1;
}

static void limit_text(const struct rlimit *limit, char *out, size_t out_bytes)
{
    if (limit->rlim_max == RLIM_INFINITY) {
        snprintf(out, out_bytes, "unlimited");
    } else {
        snprintf(out, out_bytes, "%" PRIu64, (uint64_t)limit->rlim_max);
    }
}

int rc_uring_explain(int code, const char *doing, struct rc_err *err)
{
    struct utsname kernel;
    struct rlimit limits = {.rlim_max = RLIM_INFINITY};
    char limit[32];
    const char *release = uname(&kernel) == 0 ? kernel.release : "of this machine";
    switch (-code) {
    case ENOSYS:
        return rc_err_set(err, code,
                          "io_uring, %s: the kernel (%s) is built without it, or a container's seccomp filter "
                          "hides it; ringcast needs Linux 6.1 or newer with CONFIG_IO_URING",
                          doing, release);
    case EPERM:
    case EACCES: {
        const long disabled = proc_number("/proc/sys/kernel/io_uring_disabled");
        if (disabled > 0) {
            return rc_err_set(err, code,
                              "io_uring, %s: switched off by sysctl kernel.io_uring_disabled=%ld; `sysctl -w "
                              "kernel.io_uring_disabled=0`%s",
                              doing, disabled,
                              disabled == 1 ? ", or put the user into the group of kernel.io_uring_group" : "");
        }
        return rc_err_set(err, code,
                          "io_uring, %s: not permitted; a container's seccomp filter or a security module forbids it "
                          "(Docker: --security-opt seccomp=unconfined, or a profile that allows io_uring_*)",
                          doing);
    }
    case ENOMEM:
        (void)getrlimit(RLIMIT_MEMLOCK, &limits);
        limit_text(&limits, limit, sizeof(limit));
        return rc_err_set(err, code,
                          "io_uring, %s: no memory; RLIMIT_MEMLOCK is %s bytes (`ulimit -l`, systemd LimitMEMLOCK=): "
                          "raise it, or use fewer workers or smaller rings",
                          doing, limit);
    case EMFILE:
    case ENFILE:
        (void)getrlimit(RLIMIT_NOFILE, &limits);
        limit_text(&limits, limit, sizeof(limit));
        return rc_err_set(
            err, code,
            "io_uring, %s: too many descriptors; RLIMIT_NOFILE is %s (`ulimit -n`, systemd "
            "LimitNOFILE=): raise it (and sysctl fs.nr_open, fs.file-max), lower server.max_connections, or "
            "use more workers",
            doing, limit);
    case EOPNOTSUPP:
        return rc_err_set(err, code,
                          "io_uring, %s: this kernel (%s) has no IORING_SETUP_DEFER_TASKRUN; ringcast needs Linux "
                          "6.1 or newer",
                          doing, release);
    default:
        return rc_err_set(err, code, "io_uring, %s: %s", doing, strerror(-code));
    }
}

static uint64_t page_up(uint64_t bytes)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) & ~(page - 1);
}

uint64_t rc_uring_memory_bytes(uint32_t sq_entries, uint32_t cq_entries)
{
    /* liburing counts the index array (kernels without NO_SQARRAY) with the entries, the kernel lays it behind the
     * completions: room for both. 256 for the heads, tails and flags in front. */
    const uint64_t array = (uint64_t)sq_entries * sizeof(uint32_t);
    const uint64_t entries = (uint64_t)sq_entries * sizeof(struct io_uring_sqe);
    const uint64_t completions = (uint64_t)cq_entries * sizeof(struct io_uring_cqe);
    return page_up(entries + array) + page_up(256 + completions + array);
}

bool rc_uring_without(const char *feature)
{
    const char *list = getenv(RC_URING_WITHOUT);
    const size_t bytes = strlen(feature);
    while (list != NULL && *list != '\0') {
        const size_t item = strcspn(list, ",");
        if (item == bytes && memcmp(list, feature, bytes) == 0) {
            return true;
        }
        list += item + (list[item] == ',' ? 1 : 0);
    }
    return false;
}

/* The ring alone, in `memory` or, when NULL, in the kernel's. */
static int ring_make(struct io_uring *ring, uint32_t sq_entries, uint32_t cq_entries, void *memory,
                     uint64_t memory_bytes)
{
    struct io_uring_params params = {.flags = RING_FLAGS, .cq_entries = cq_entries};
    if (memory == NULL) {
        return io_uring_queue_init_params(sq_entries, ring, &params); /* tries NO_SQARRAY by itself */
    }
    if (rc_uring_without("no_mmap")) {
        return -EINVAL; /* as a kernel that does not know the flag */
    }
    memset(memory, 0, (size_t)memory_bytes);
    const int used = io_uring_queue_init_mem(sq_entries, ring, &params, memory, (size_t)memory_bytes);
    return used < 0 ? used : 0;
}

int rc_uring_open(struct io_uring *ring, const struct rc_uring_options *options, bool *in_memory, struct rc_err *err)
{
    bool used = options->memory != NULL;
    RC_ASSERT(options->sq_entries != 0 && (options->sq_entries & (options->sq_entries - 1)) == 0);
    RC_ASSERT(options->cq_entries >= options->sq_entries && (options->cq_entries & (options->cq_entries - 1)) == 0);
    RC_ASSERT(options->cq_entries <= URING_CQ_ENTRIES_MAX);
    if (used && options->memory_bytes < rc_uring_memory_bytes(options->sq_entries, options->cq_entries)) {
        return rc_err_set(err, -EINVAL,
                          "io_uring, creating the ring: %" PRIu64 " bytes of memory where %" PRIu64 " are needed",
                          options->memory_bytes, rc_uring_memory_bytes(options->sq_entries, options->cq_entries));
    }
    int rc = ring_make(ring, options->sq_entries, options->cq_entries, options->memory, options->memory_bytes);
    if (rc != 0 && used) {
        used = false;
        rc = ring_make(ring, options->sq_entries, options->cq_entries, NULL, 0);
    }
    if (rc != 0) {
        /* The sizes are ours and right, so what is invalid is the flag that Linux 6.1 brought; the probe says so
         * first. */
        return rc_uring_explain(rc == -EINVAL ? -EOPNOTSUPP : rc, "creating the ring", err);
    }
    if (in_memory != NULL) {
        *in_memory = used;
    }
    /* Saves the descriptor look-up of each enter; everything works without, so a refusal is not an error. */
    (void)io_uring_register_ring_fd(ring);
    if (options->direct_descriptors != 0) {
        rc = io_uring_register_files_sparse(ring, options->direct_descriptors);
        if (rc != 0) {
            char doing[64];
            snprintf(doing, sizeof(doing), "registering %" PRIu32 " direct descriptors", options->direct_descriptors);
            io_uring_queue_exit(ring);
            return rc_uring_explain(rc, doing, err);
        }
    }
    return 0;
}

void rc_uring_close(struct io_uring *ring)
{
    io_uring_queue_exit(ring);
}

int rc_uring_submit_one(struct io_uring *ring)
{
    struct io_uring_cqe *cqe;
    struct __kernel_timespec timeout = {.tv_sec = RC_URING_PROBE_TIMEOUT_S};
    const int rc = io_uring_submit_and_wait_timeout(ring, &cqe, 1, &timeout, NULL);
    if (rc < 0) {
        return rc;
    }
    const int result = cqe->res;
    io_uring_cqe_seen(ring, cqe);
    return result;
}

static struct io_uring_sqe *sqe_get(struct io_uring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    RC_ASSERT(sqe != NULL); /* one at a time in a ring of many */
    return sqe;
}

static bool probe_no_mmap(void)
{
    struct io_uring ring;
    const uint64_t bytes = rc_uring_memory_bytes(PROBE_SQ_ENTRIES, PROBE_CQ_ENTRIES);
    void *memory = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return false;
    }
    bool works = ring_make(&ring, PROBE_SQ_ENTRIES, PROBE_CQ_ENTRIES, memory, bytes) == 0;
    if (works) {
        /* Made is not enough: the completions must really arrive in our memory. */
        io_uring_prep_nop(sqe_get(&ring));
        works = rc_uring_submit_one(&ring) == 0;
        io_uring_queue_exit(&ring);
    }
    munmap(memory, (size_t)bytes);
    return works;
}

static bool probe_getsockopt(struct io_uring *ring, int fd)
{
    int type = 0;
    io_uring_prep_cmd_sock(sqe_get(ring), SOCKET_URING_OP_GETSOCKOPT, fd, SOL_SOCKET, SO_TYPE, &type, sizeof(type));
    return rc_uring_submit_one(ring) == (int)sizeof(type) && type == SOCK_STREAM;
}

/* Puts the descriptor into a direct table and takes it out again as another one of the process. */
static bool probe_fd_install(int fd)
{
    struct io_uring ring;
    const struct rc_uring_options options = {
        .sq_entries = PROBE_SQ_ENTRIES, .cq_entries = PROBE_CQ_ENTRIES, .direct_descriptors = 1};
    struct rc_err err;
    if (rc_uring_open(&ring, &options, NULL, &err) != 0) {
        return false;
    }
    int installed = -1;
    if (io_uring_register_files_update(&ring, 0, &fd, 1) == 1) {
        io_uring_prep_fixed_fd_install(sqe_get(&ring), 0, 0);
        installed = rc_uring_submit_one(&ring);
    }
    if (installed >= 0) {
        close(installed);
    }
    io_uring_queue_exit(&ring);
    return installed >= 0;
}

/* Nobody comes: the accept says so, at once. */
static bool probe_accept_dontwait(struct io_uring *ring)
{
    const struct sockaddr any = {.sa_family = AF_UNIX}; /* a name of the kernel's own, in no file system */
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool works = fd >= 0 && bind(fd, &any, sizeof(any.sa_family)) == 0 && listen(fd, 1) == 0;
    if (works) {
        struct io_uring_sqe *sqe = sqe_get(ring);
        io_uring_prep_accept(sqe, fd, NULL, NULL, 0);
        sqe->ioprio |= IORING_ACCEPT_DONTWAIT;
        works = rc_uring_submit_one(ring) == -EAGAIN;
    }
    if (fd >= 0) {
        close(fd);
    }
    return works;
}

static bool probe_buffers(struct io_uring *ring)
{
    int rc = 0;
    struct io_uring_buf_ring *buffers = io_uring_setup_buf_ring(ring, 8, PROBE_GROUP, 0, &rc);
    if (buffers == NULL) {
        return false;
    }
    io_uring_free_buf_ring(ring, buffers, 8, PROBE_GROUP);
    return true;
}

int rc_uring_probe(struct rc_uring_features *features, struct rc_err *err)
{
    struct io_uring ring;
    int pair[2];
    const struct rc_uring_options options = {.sq_entries = PROBE_SQ_ENTRIES, .cq_entries = PROBE_CQ_ENTRIES};
    *features = (struct rc_uring_features){0};
    int rc = rc_uring_open(&ring, &options, NULL, err);
    if (rc != 0) {
        return rc;
    }
    if (!probe_buffers(&ring)) {
        io_uring_queue_exit(&ring);
        return rc_err_set(err, -EOPNOTSUPP,
                          "io_uring: this kernel has no provided-buffer rings; ringcast needs Linux 6.1 or newer");
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        rc = rc_uring_explain(-errno, "making a socket pair to probe it", err);
        io_uring_queue_exit(&ring);
        return rc;
    }
    features->no_sqarray = (ring.flags & IORING_SETUP_NO_SQARRAY) != 0;
    features->socket_getsockopt = !rc_uring_without("socket_getsockopt") && probe_getsockopt(&ring, pair[0]);
    features->accept_dontwait = !rc_uring_without("accept_dontwait") && probe_accept_dontwait(&ring);
    features->fd_install = !rc_uring_without("fd_install") && probe_fd_install(pair[0]);
    close(pair[0]);
    close(pair[1]);
    io_uring_queue_exit(&ring);
    features->no_mmap = probe_no_mmap();
    return 0;
}

int rc_uring_lost(const struct rc_uring_features *features, char *text, size_t text_bytes)
{
    const struct {
        bool there;
        const char *lost;
    } all[] = {
        {features->no_mmap, "ring memory that survives a worker (Linux 6.5, with small pages newer)"},
        {features->no_sqarray, "submission without an index array (6.6)"},
        {features->socket_getsockopt, "peer address by ring command: every connection is accepted by a request (6.7)"},
        {features->accept_dontwait, "connections that are just being accepted when their worker dies (6.10)"},
        {features->fd_install, "connections that move between workers: their bytes are carried across instead (6.8)"},
    };
    int missing = 0;
    size_t used = 0;
    RC_ASSERT(text_bytes > 0);
    text[0] = '\0';
    for (size_t i = 0; i < RC_ARRAY_COUNT(all); i++) {
        if (all[i].there) {
            continue;
        }
        const int bytes = snprintf(text + used, text_bytes - used, "%s%s", missing == 0 ? "" : "; ", all[i].lost);
        used = bytes < 0 || (size_t)bytes >= text_bytes - used ? text_bytes - 1 : used + (size_t)bytes;
        missing++;
    }
    return missing;
}
