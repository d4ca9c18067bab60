/* kept: see kept.h. */
#include "worker/io/kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/fail.h"
#include "common/base/log.h"
#include "worker/io/io_internal.h"

#define KEPT_SWEEP_SLOTS 256u
#define KEPT_SWEEP_NS 1000000000u
#define KEPT_ADOPT_S 5
#define KEPT_LATE_NS 2000000000u
_Static_assert(sizeof(struct io_uring_params) == RC_VAULT_PARAMS_BYTES, "what the core segment has of it");

/* The descriptor is closed if that fails. */
static int kept_map(struct rc_kept *kept, int vault_fd, const struct io_uring_params *params)
{
    kept->bits = calloc((kept->slots + 7) / 8, 1);
    const int rc = kept->bits == NULL ? -ENOMEM : rc_vault_map(&kept->vault, vault_fd, params);
    if (rc < 0) {
        free(kept->bits);
        kept->bits = NULL;
        close(vault_fd);
    }
    return rc;
}

int rc_kept_open(struct rc_io *io, const struct rc_io_options *options)
{
    static const struct io_uring_params none;
    struct rc_kept *kept = &io->kept;
    const enum rc_keep from = options->config->server.keep;
    const int vault_fd = options->args->vault_fd;
    struct io_uring_params params;
    *kept = (struct rc_kept){
        .from = RC_KEEP_NONE, .slots = options->direct_descriptors, .process = options->process, .life = options->life};
    memcpy(&params, options->control->vault_params, sizeof(params));
    if (vault_fd < 0) {
        const bool late = options->process != NULL && memcmp(&params, &none, sizeof(params)) != 0;
        kept->wanted = late ? from : RC_KEEP_NONE;
        kept->late_ns = io->now_ns + KEPT_LATE_NS;
        return 0;
    }
    const int rc = kept_map(kept, vault_fd, &params);
    kept->from = rc == 0 ? from : RC_KEEP_NONE;
    return rc;
}

void rc_kept_close(struct rc_io *io)
{
    if (io->kept.bits != NULL) {
        rc_vault_unmap(&io->kept.vault);
        free(io->kept.bits);
    }
}

static bool kept_has(const struct rc_kept *kept, uint32_t socket)
{
    return (kept->bits[socket / 8] & 1u << socket % 8) != 0;
}

bool rc_kept_has(const struct rc_io *io, uint32_t socket)
{
    return io->kept.bits != NULL && kept_has(&io->kept, socket);
}

static void kept_set(struct rc_io *io, uint32_t socket, bool has)
{
    struct rc_kept *kept = &io->kept;
    const uint8_t bit = (uint8_t)(1u << socket % 8);
    if (has) {
        kept->bits[socket / 8] |= bit;
        kept->count++;
    } else {
        kept->bits[socket / 8] &= (uint8_t)~bit;
        kept->count--;
    }
    rc_metric_set(io->metrics, RC_METRIC_KEPT, kept->count);
}

/* `generation`: of the socket that is put. */
static void kept_ask(struct rc_io *io, uint32_t socket, uint32_t generation)
{
    struct rc_kept *kept = &io->kept;
    struct io_uring_sqe *sqe = rc_io_sqe(io);
    io_uring_prep_msg_ring_fd(sqe, kept->vault.ring_fd, (int)socket, (int)socket, 0, IORING_MSG_RING_CQE_SKIP);
    io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
    io_uring_sqe_set_data64(sqe, rc_io_user_data(RC_OP_KEEP, generation, socket));
    kept->put_tail = io->ring.sq.sqe_tail;
}

void rc_kept_put(struct rc_io *io, uint32_t socket, enum rc_keep at)
{
    struct rc_kept *kept = &io->kept;
    /* What OpenSSL keeps of a TLS connection is in this process: without it the socket is of no use. */
    if (kept->from == RC_KEEP_NONE || (at == RC_KEEP_ALL && kept->from != RC_KEEP_ALL) || kept_has(kept, socket) ||
        rc_io_tls_stays(io, socket) || io->truth->sockets[socket].state >= RC_SOCKET_TERMINATING) {
        return;
    }
    kept_ask(io, socket, io->truth->sockets[socket].generation);
    kept_set(io, socket, true);
}

void rc_kept_put_arriving(struct rc_io *io, uint32_t socket)
{
    kept_ask(io, socket, io->truth->sockets[socket].generation + 1);
}

void rc_kept_arrived(struct rc_io *io, uint32_t socket)
{
    kept_set(io, socket, true);
}

void rc_kept_on_put(struct rc_io *io, uint32_t socket, uint32_t generation, int result)
{
    const struct rc_socket *now = &io->truth->sockets[socket];
    if (result == -EBADF && (now->generation & RC_IO_GENERATION_MASK) != generation) {
        return; /* the accept before it has brought nobody */
    }
    rc_metric_add(io->metrics, RC_METRIC_KEEP_FAILED, 1);
    rc_log_limited(RC_LOG_WARN, 1, "connection_not_kept", "socket=%u error=\"%s\"", socket, strerror(-result));
    /* It may have been closed since: the vault was asked for it in vain then. */
    if ((now->generation & RC_IO_GENERATION_MASK) == generation && kept_has(&io->kept, socket)) {
        kept_set(io, socket, false);
    }
}

bool rc_kept_take(struct rc_io *io, uint32_t socket)
{
    struct rc_kept *kept = &io->kept;
    if (!rc_kept_has(io, socket)) {
        return false;
    }
    kept_set(io, socket, false);
    kept->taking[kept->taking_count++] = socket;
    if (kept->taking_count == RC_VAULT_ENTRIES) {
        rc_kept_flush(io);
    }
    return true;
}

static void vault_submit(struct io_uring *vault)
{
    while (io_uring_sq_ready(vault) > 0) {
        const int rc = io_uring_submit(vault);
        RC_ASSERT(rc >= 0 || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY);
    }
}

static void vault_empty_slot(struct io_uring *vault, uint32_t socket, unsigned flags)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(vault);
    RC_ASSERT(sqe != NULL); /* no more are asked for than there are, and each time all are submitted */
    io_uring_prep_close_direct(sqe, socket);
    io_uring_sqe_set_flags(sqe, flags);
    io_uring_sqe_set_data64(sqe, socket);
}

/* Completions of the vault: of those without CQE_SKIP_SUCCESS, and of what failed. Returns how many say that there was something. */
static uint32_t vault_collect(struct io_uring *vault)
{
    struct io_uring_cqe *cqe;
    uint32_t done = 0;
    while (io_uring_cq_ready(vault) > 0 && io_uring_peek_cqe(vault, &cqe) == 0) {
        done += cqe->res == 0 ? 1u : 0u; /* -EBADF: its put had failed */
        io_uring_cqe_seen(vault, cqe);
    }
    return done;
}

/* Is the last put still in the queue? The kernel moves the head as it takes entries. */
static bool kept_put_waits(const struct rc_io *io)
{
    const uint32_t head = __atomic_load_n(io->ring.sq.khead, __ATOMIC_ACQUIRE);
    const uint32_t ahead = io->kept.put_tail - head; /* of one long ago: more than there is in the queue */
    return ahead != 0 && ahead <= io->ring.sq.sqe_tail - head;
}

void rc_kept_flush(struct rc_io *io)
{
    struct rc_kept *kept = &io->kept;
    const uint32_t count = kept->taking_count;
    if (RC_LIKELY(count == 0)) {
        return;
    }
    /* A put that is still in the queue would come after the take, and stay. A submit may fail for now, or take a part only: as rc_io_sqe,
     * until it is out, for who takes next relies on room in `taking`. */
    while (kept_put_waits(io)) {
        const int rc = io_uring_submit(&io->ring);
        RC_ASSERT(rc >= 0 || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY);
    }
    for (uint32_t i = 0; i < count; i++) {
        vault_empty_slot(&kept->vault, kept->taking[i], IOSQE_CQE_SKIP_SUCCESS);
    }
    vault_submit(&kept->vault);
    (void)vault_collect(&kept->vault);
    kept->taking_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        rc_io_close_slot(io, kept->taking[i]);
    }
}

void rc_kept_adopt(struct rc_io *io, const uint32_t *sockets, bool *there, uint32_t count)
{
    struct io_uring *vault = &io->kept.vault;
    const uint64_t own = (uint64_t)getpid() << 32; /* processes before this one have had the queue, too */
    for (uint32_t i = 0; i < count; i++) {
        there[i] = false;
        struct io_uring_sqe *sqe = io->kept.bits == NULL ? NULL : io_uring_get_sqe(vault);
        if (sqe != NULL) {
            io_uring_prep_msg_ring_fd(sqe, io->ring.ring_fd, (int)sockets[i], (int)sockets[i], 0,
                                      IORING_MSG_RING_CQE_SKIP);
            io_uring_sqe_set_data64(sqe, own | i);
        }
    }
    /* The receiving end of a DEFER_TASKRUN ring is done by its own task, in this call too. */
    for (uint32_t done = 0; io->kept.bits != NULL && done < count;) {
        struct io_uring_cqe *cqe;
        struct __kernel_timespec timeout = {.tv_sec = KEPT_ADOPT_S};
        const int rc = io_uring_submit_and_wait_timeout(vault, &cqe, count - done, &timeout, NULL);
        RC_ASSERT(rc >= 0 || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY);
        while (io_uring_cq_ready(vault) > 0 && io_uring_peek_cqe(vault, &cqe) == 0) {
            const uint32_t i = (uint32_t)cqe->user_data;
            if ((cqe->user_data & ~(uint64_t)UINT32_MAX) != own || i >= count) {
                io_uring_cqe_seen(vault, cqe); /* of a predecessor that was killed before it had looked */
                continue;
            }
            there[i] = cqe->res >= 0;
            if (there[i]) {
                kept_set(io, sockets[i], true);
            }
            io_uring_cqe_seen(vault, cqe);
            done++;
        }
    }
}

int rc_kept_fd(struct rc_io *io, uint32_t socket)
{
    struct io_uring *vault = &io->kept.vault;
    int fd = -EBADF;
    if (!rc_kept_has(io, socket)) {
        return fd;
    }
    struct io_uring_sqe *sqe = io_uring_get_sqe(vault);
    RC_ASSERT(sqe != NULL); /* each time all are submitted */
    (void)vault_collect(vault);
    io_uring_prep_fixed_fd_install(sqe, (int)socket, 0);
    io_uring_sqe_set_data64(sqe, socket);
    vault_submit(vault);
    for (struct io_uring_cqe *cqe; io_uring_peek_cqe(vault, &cqe) == 0;) {
        fd = cqe->res;
        io_uring_cqe_seen(vault, cqe);
    }
    return fd;
}

void rc_kept_empty(struct rc_io *io, uint32_t socket)
{
    if (io->kept.bits != NULL) {
        vault_empty_slot(&io->kept.vault, socket, 0);
        vault_submit(&io->kept.vault);
        (void)vault_collect(&io->kept.vault);
    }
}

/* Nobody else can be put there before the acceptor has it: of this process alone it would outlive nothing. */
static void kept_offer(struct rc_io *io)
{
    struct rc_kept *kept = &io->kept;
    struct io_uring_params params;
    struct rc_err ignored;
    const int fd = rc_fail_here("vault") ? -ENOMEM : rc_vault_make(kept->slots, &params, &ignored);
    if (fd < 0 || kept_map(kept, fd, &params) < 0) {
        return;
    }
    kept->offered = true;
    /* VT2 pairs with VT1 in acceptor/start/vaults.c: what is offered is whole. */
    atomic_store_explicit(&kept->process->vault_offer, rc_vault_offer((uint32_t)getpid(), kept->vault.ring_fd),
                          memory_order_release);
}

/* Those that came before there was a vault, all at once: once in the life of a process, and 0.7 us for each. Who comes is put as always. How many there
 * were: as many as could not be put the last time. */
static uint32_t kept_put_late(struct rc_io *io)
{
    const struct rc_kept *kept = &io->kept;
    const uint32_t before = kept->count;
    for (uint32_t i = 0, seen = 0; i < io->truth->socket_count && seen < io->open_count; i++) {
        const struct rc_socket *socket = &io->truth->sockets[i];
        if (socket->state == RC_SOCKET_FREE) {
            continue;
        }
        seen++;
        if (socket->listener != RC_SOCKET_MADE_HERE) {
            const bool opened = socket->mode != RC_IO_HANDSHAKE && socket->mode != RC_IO_TLS_HANDSHAKE;
            rc_kept_put(io, i, opened ? kept->from : RC_KEEP_ALL);
        }
    }
    return kept->count - before;
}

static void kept_late(struct rc_io *io)
{
    struct rc_kept *kept = &io->kept;
    kept->late_ns = io->now_ns + KEPT_LATE_NS;
    if (!kept->offered) {
        kept_offer(io);
        return;
    }
    /* VT6 pairs with VT3 in acceptor/start/vaults.c: it has the ring. */
    if (atomic_load_explicit(&kept->life->vault_pid, memory_order_acquire) == (uint32_t)getpid()) {
        kept->from = kept->wanted;
        if (kept_put_late(io) ==
            0) { /* what was put in a former pass was submitted behind it, and what failed was said */
            kept->wanted = RC_KEEP_NONE;
            /* VT4 pairs with VT5 in acceptor/start/vaults.c: the vault has all. */
            atomic_store_explicit(&kept->process->vault_offer, 0, memory_order_release);
        }
    }
}

void rc_kept_sweep(struct rc_io *io)
{
    struct rc_kept *kept = &io->kept;
    if (RC_UNLIKELY(kept->wanted != RC_KEEP_NONE && io->now_ns >= kept->late_ns)) {
        kept_late(io);
    }
    if (kept->from == RC_KEEP_NONE || io->now_ns < kept->sweep_ns) {
        return;
    }
    kept->sweep_ns = io->now_ns + KEPT_SWEEP_NS;
    for (uint32_t i = 0; i < KEPT_SWEEP_SLOTS && i < kept->slots; i++) {
        const uint32_t socket = kept->sweep_next;
        kept->sweep_next = socket + 1 < kept->slots ? socket + 1 : 0;
        /* One that is accepted at this moment is free here, too, but nobody has put it. */
        if (io->truth->sockets[socket].state == RC_SOCKET_FREE &&
            ((io->arrivals_count == 0 && io->truth->layout->coming.phase == RC_COMING_NONE) ||
             !rc_io_arriving(io, socket))) {
            vault_empty_slot(&kept->vault, socket, 0);
        }
    }
    vault_submit(&kept->vault);
    const uint32_t leaked = vault_collect(&kept->vault);
    if (RC_UNLIKELY(leaked > 0)) {
        rc_metric_add(io->metrics, RC_METRIC_KEPT_LEAKED, leaked);
        rc_log_limited(RC_LOG_WARN, 1, "connections_leaked",
                       "count=%u reason=\"their slots are free, the vault had them\"", leaked);
    }
}
