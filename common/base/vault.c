/* vault: see vault.h. */
#include "common/base/vault.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/uring.h"

#define PROBE_SLOT 1u
#define PROBE_SLOTS 2u
#define PROBE_ENTRIES 8u

int rc_vault_make(uint32_t slots, struct io_uring_params *params, struct rc_err *err)
{
    memset(params, 0, sizeof(*params));
    params->flags = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL;
    params->cq_entries = RC_VAULT_ENTRIES;
    const int fd = io_uring_setup(RC_VAULT_ENTRIES, params);
    if (fd < 0) {
        return rc_uring_explain(fd, "creating the ring that keeps a worker's sockets", err);
    }
    struct io_uring_rsrc_register table = {.nr = slots, .flags = IORING_RSRC_REGISTER_SPARSE};
    const int rc = io_uring_register((unsigned)fd, IORING_REGISTER_FILES2, &table, sizeof(table));
    if (rc < 0) {
        close(fd);
        return rc_uring_explain(rc, "registering the slots that keep a worker's sockets", err);
    }
    return fd;
}

int rc_vault_map(struct io_uring *vault, int fd, const struct io_uring_params *params)
{
    struct io_uring_params copy = *params;
    const int rc = io_uring_queue_mmap(fd, &copy, vault);
    if (rc < 0) {
        return rc;
    }
    /* What io_uring_queue_init does behind its mmap. Whoever had it before has done it too, and alike. */
    for (unsigned i = 0; i < vault->sq.ring_entries; i++) {
        vault->sq.array[i] = i;
    }
    vault->ring_fd = vault->enter_ring_fd = fd;
    vault->features = params->features;
    vault->flags = params->flags;
    /* The kernel reads the tail when it is entered, and only we enter it. */
    vault->sq.sqe_head = vault->sq.sqe_tail = *vault->sq.khead;
    *vault->sq.ktail = vault->sq.sqe_tail;
    return 0;
}

void rc_vault_unmap(struct io_uring *vault)
{
    io_uring_queue_exit(vault);
}

uint64_t rc_vault_memory_bytes(void)
{
    return rc_uring_memory_bytes(RC_VAULT_ENTRIES, RC_VAULT_ENTRIES);
}

/* Sends the probed slot of one ring into another one. */
static bool probe_move(struct io_uring *from, int to_fd)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(from);
    RC_ASSERT(sqe != NULL);
    io_uring_prep_msg_ring_fd(sqe, to_fd, (int)PROBE_SLOT, (int)PROBE_SLOT, 0, IORING_MSG_RING_CQE_SKIP);
    return rc_uring_submit_one(from) >= 0;
}

static bool probe_empty(struct io_uring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    RC_ASSERT(sqe != NULL);
    io_uring_prep_close_direct(sqe, PROBE_SLOT);
    return rc_uring_submit_one(ring) == 0;
}

static bool ring_open(struct io_uring *ring)
{
    struct rc_err err;
    const struct rc_uring_options options = {
        .sq_entries = PROBE_ENTRIES, .cq_entries = PROBE_ENTRIES, .direct_descriptors = PROBE_SLOTS};
    return rc_uring_open(ring, &options, NULL, &err) == 0;
}

/* A worker has the socket `*fd`, which becomes its direct descriptor alone, keeps it in the vault and ends. */
static bool probe_put(struct io_uring *vault, int *fd)
{
    struct io_uring ring;
    if (!ring_open(&ring)) {
        return false;
    }
    bool works = io_uring_register_files_update(&ring, PROBE_SLOT, fd, 1) == 1;
    close(*fd);
    *fd = -1;
    works = works && probe_move(&ring, vault->ring_fd) && probe_empty(&ring);
    rc_uring_close(&ring);
    return works;
}

/* Its successor takes the socket out of the vault, and it works. Then the successor closes it, and its peer hears that. */
static bool probe_adopt(struct io_uring *vault, int peer)
{
    struct io_uring ring;
    char byte = 0;
    if (!ring_open(&ring)) {
        return false;
    }
    bool works = probe_move(vault, ring.ring_fd);
    if (works) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
        RC_ASSERT(sqe != NULL);
        io_uring_prep_send(sqe, (int)PROBE_SLOT, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
        works = rc_uring_submit_one(&ring) == 1 && recv(peer, &byte, 1, MSG_DONTWAIT) == 1 && byte == 'x';
    }
    works = probe_empty(vault) && works && probe_empty(&ring);
    struct pollfd ended = {.fd = peer, .events = POLLIN};
    works = works && poll(&ended, 1, RC_URING_PROBE_TIMEOUT_S * 1000) == 1 && recv(peer, &byte, 1, MSG_DONTWAIT) == 0;
    rc_uring_close(&ring);
    return works;
}

bool rc_vault_probe(int fd, const struct io_uring_params *params)
{
    struct io_uring vault;
    int pair[2];
    if (rc_uring_without("vault") || rc_vault_map(&vault, fd, params) < 0) {
        return false;
    }
    bool works = false;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
        works = probe_put(&vault, &pair[0]) && probe_adopt(&vault, pair[1]);
        if (pair[0] >= 0) {
            close(pair[0]);
        }
        close(pair[1]);
    }
    rc_vault_unmap(&vault);
    return works;
}
