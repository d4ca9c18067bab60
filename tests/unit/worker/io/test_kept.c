/* worker/io/kept: what the vault has at any moment, and that closing is as it was. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/vault.h"
#include "tests/support/hub_rig.h"
#include "worker/io/io.h"
#include "worker/io/kept.h"

static struct hub_rig rig;
static struct io_uring acceptors; /* the vault as another process sees it */

static void open_rig(void)
{
    struct io_uring_params params;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 64});
    memcpy(&params, rig.control->vault_params, sizeof(params));
    /* Mapped without rc_vault_map, which would forget what the worker has queued. */
    cr_assert_eq(io_uring_queue_mmap(rig.vault_fd, &params, &acceptors), 0);
}

static void close_rig(void)
{
    hub_rig_close(&rig);
}

TestSuite(kept, .init = open_rig, .fini = close_rig);

/* Does the vault have the slot? It is copied into a ring of its own, which says. */
static bool vault_has(uint32_t slot)
{
    struct io_uring ring;
    struct io_uring vault;
    struct io_uring_params params;
    struct io_uring_cqe *cqe;
    struct __kernel_timespec timeout = {.tv_sec = 10};
    memcpy(&params, rig.control->vault_params, sizeof(params));
    cr_assert_eq(io_uring_queue_init(8, &ring, 0), 0);
    cr_assert_eq(io_uring_register_files_sparse(&ring, 64), 0);
    cr_assert_eq(rc_vault_map(&vault, fcntl(rig.vault_fd, F_DUPFD_CLOEXEC, 0), &params), 0);
    io_uring_prep_msg_ring_fd(io_uring_get_sqe(&vault), ring.ring_fd, (int)slot, (int)slot, 0,
                              IORING_MSG_RING_CQE_SKIP);
    cr_assert_geq(io_uring_submit_and_wait_timeout(&vault, &cqe, 1, &timeout, NULL), 0);
    const int result = cqe->res;
    io_uring_cqe_seen(&vault, cqe);
    /* The worker's own view of the queue has to go on where this one stopped. */
    rig.io.kept.vault.sq.sqe_head = rig.io.kept.vault.sq.sqe_tail = vault.sq.sqe_tail;
    rc_vault_unmap(&vault);
    io_uring_queue_exit(&ring);
    cr_assert(result >= 0 || result == -EBADF, "%d", result);
    return result >= 0;
}

static bool peer_hears_the_end(int fd)
{
    char byte;
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    return poll(&ended, 1, 10000) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

Test(kept, a_websocket_is_in_the_vault_from_its_upgrade_to_its_close)
{
    const uint32_t client = hub_rig_connect(&rig, HUB_RIG_TCP, RC_CODEC_RAW, false, 0);
    const uint32_t socket = hub_rig_socket_of(&rig, client);
    hub_rig_run(&rig);
    cr_assert(vault_has(socket));
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_KEPT), 1);
    const int far = rig.peers[client].fd;
    rc_io_terminate(&rig.io, socket);
    for (int i = 0; i < 10 && rig.truth.sockets[socket].state != RC_SOCKET_FREE; i++) {
        hub_rig_run(&rig);
    }
    cr_assert_not(vault_has(socket));
    cr_assert(peer_hears_the_end(far), "nobody else has it");
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_KEPT), 0);
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_KEEP_FAILED), 0);
}

Test(kept, what_begins_and_ends_in_one_pass_leaves_nothing_behind)
{
    int far;
    const uint32_t socket = hub_rig_socket(&rig, HUB_RIG_TCP, 0, &far);
    rc_kept_put(&rig.io, socket, RC_KEEP_ALL); /* queued, not submitted */
    rc_io_terminate(&rig.io, socket);
    cr_assert_eq(rig.truth.sockets[socket].state, RC_SOCKET_CLOSED);
    for (int i = 0; i < 10 && rig.truth.sockets[socket].state != RC_SOCKET_FREE; i++) {
        hub_rig_run(&rig);
    }
    cr_assert_not(vault_has(socket));
    cr_assert(peer_hears_the_end(far));
    close(far);
}

Test(kept, a_slot_that_is_used_again_has_the_new_socket)
{
    for (int i = 0; i < 5; i++) {
        int far;
        const uint32_t socket = hub_rig_socket(&rig, HUB_RIG_UNIX, 0, &far);
        cr_assert_eq(socket, 63, "the same one each time");
        rc_kept_put(&rig.io, socket, RC_KEEP_ALL);
        hub_rig_run(&rig);
        cr_assert(vault_has(socket));
        rc_io_terminate(&rig.io, socket);
        while (rig.truth.sockets[socket].state != RC_SOCKET_FREE) {
            hub_rig_run(&rig);
        }
        cr_assert(peer_hears_the_end(far));
        close(far);
    }
    cr_assert_not(vault_has(63));
}

Test(kept, only_from_when_it_is_configured)
{
    int far;
    rig.io.kept.from = RC_KEEP_WEBSOCKET;
    const uint32_t http = hub_rig_socket(&rig, HUB_RIG_TCP, 0, &far);
    rc_kept_put(&rig.io, http, RC_KEEP_ALL);
    hub_rig_run(&rig);
    cr_assert_not(vault_has(http));
    rc_io_opened(&rig.io, http);
    hub_rig_run(&rig);
    cr_assert(vault_has(http));
    rig.io.kept.from = RC_KEEP_NONE;
    int other_far;
    const uint32_t other = hub_rig_socket(&rig, HUB_RIG_TCP, 0, &other_far);
    rc_io_opened(&rig.io, other);
    hub_rig_run(&rig);
    cr_assert_not(vault_has(other));
    rc_io_terminate(&rig.io, other);
    hub_rig_run(&rig);
    cr_assert(peer_hears_the_end(other_far));
    close(far);
    close(other_far);
}

Test(kept, a_put_that_fails_is_counted_and_the_connection_lives)
{
    int far;
    char byte;
    const uint32_t socket = hub_rig_socket(&rig, HUB_RIG_TCP, 0, &far);
    /* A descriptor that is no ring any more: the kernel refuses. */
    const int vault_fd = rig.io.kept.vault.ring_fd;
    rig.io.kept.vault.ring_fd = rig.life_fd;
    rc_kept_put(&rig.io, socket, RC_KEEP_ALL);
    hub_rig_run(&rig);
    rig.io.kept.vault.ring_fd = vault_fd;
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_KEEP_FAILED), 1);
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_KEPT), 0);
    cr_assert_eq(rig.truth.sockets[socket].state, RC_SOCKET_HTTP);
    cr_assert_eq(recv(far, &byte, 1, MSG_DONTWAIT), -1);
    rc_io_terminate(&rig.io, socket);
    hub_rig_run(&rig);
    cr_assert(peer_hears_the_end(far));
    close(far);
}

Test(kept, what_a_free_slot_still_has_in_the_vault_is_found)
{
    int far;
    const uint32_t socket = hub_rig_socket(&rig, HUB_RIG_TCP, 0, &far);
    rc_kept_put(&rig.io, socket, RC_KEEP_ALL);
    hub_rig_run(&rig);
    /* As if the take had been forgotten. */
    rig.io.kept.bits[socket / 8] = 0;
    rig.io.kept.count = 0;
    rc_io_terminate(&rig.io, socket);
    while (rig.truth.sockets[socket].state != RC_SOCKET_FREE) {
        hub_rig_run(&rig);
    }
    cr_assert(vault_has(socket));
    rig.io.kept.sweep_ns = 0;
    rc_kept_sweep(&rig.io);
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_KEPT_LEAKED), 1);
    cr_assert_not(vault_has(socket));
    cr_assert(peer_hears_the_end(far));
    rig.io.kept.sweep_ns = 0;
    rc_kept_sweep(&rig.io);
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_KEPT_LEAKED), 1);
    close(far);
}

Test(kept, more_closes_than_the_vault_takes_at_once)
{
    struct hub_rig large;
    int fars[8];
    hub_rig_close(&rig);
    hub_rig_open(&large, &(struct hub_rig_options){.slots = 2 * RC_VAULT_ENTRIES + 100});
    for (uint32_t i = 0; i < 2 * RC_VAULT_ENTRIES + 50; i++) {
        int far;
        const uint32_t socket = hub_rig_socket(&large, HUB_RIG_UNIX, 0, &far);
        rc_kept_put(&large.io, socket, RC_KEEP_ALL);
        if (i < 8) {
            fars[i] = far;
        } else {
            close(far);
        }
    }
    cr_assert_eq(large.io.kept.count, 2 * RC_VAULT_ENTRIES + 50);
    for (uint32_t i = 0; i < large.slots; i++) {
        if (large.truth.sockets[i].state != RC_SOCKET_FREE) {
            rc_io_terminate(&large.io, i);
        }
    }
    for (int i = 0; i < 100 && large.io.open_count > 0; i++) {
        hub_rig_run(&large);
    }
    cr_assert_eq(large.io.open_count, 0);
    cr_assert_eq(large.io.kept.count, 0);
    for (int i = 0; i < 8; i++) {
        cr_assert(peer_hears_the_end(fars[i]));
        close(fars[i]);
    }
    hub_rig_close(&large);
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 64});
}
