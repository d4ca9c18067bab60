/*
 * arrive: accepts that a kill cannot come between. Whom a standing accept has taken off a listener's queue is in this process's table alone until its second
 * reference is made, and the kernel carries such accepts out for a process on its way to its death, too: everybody who came in its last moments would be
 * lost with it. So a poll says that somebody waits, and the accept and the request that puts the socket into the vault are submitted together, both of
 * which the kernel carries out, or neither:
 *
 *   poll ─▶ how many wait? ─▶ for each: a free slot; the truth has it ─▶ | accept into it | put it into the vault | ─▶ submit ─▶ rc_io_accepted
 *                                 └── killed from here on: a successor looks which of those slots the vault has ──┘
 *
 * Here is also where thousands who come back at once are made to come a few at a time while others are served: rc_io_pace_accepts().
 *
 * Slots are chosen here, so that both requests, and the truth, know them beforehand. With server.keep = "all", where the kernel has what it takes (Linux
 * 6.10); else accepts stand (accept.c).
 */
#include "worker/io/io.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/io/io_internal.h"
#include "worker/store/order.h"

static struct rc_truth_arrivals *arrivals_of(const struct rc_io *io)
{
    return &io->truth->layout->arrivals;
}

void rc_io_on_listen(struct rc_io *io, uint32_t listener, const struct io_uring_cqe *cqe)
{
    io->arrivals_left |= cqe->res >= 0 ? 1u << listener : 0;
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        rc_io_accept_ended(io, listener, 0, cqe->res);
    }
}

bool rc_io_arrivals_wait(const struct rc_io *io)
{
    return (io->arrivals_left & rc_io_accepts_wanted(io)) != 0 && io->accept_retry_ds == 0 && io->slots_free_count > 0;
}

void rc_io_pace_accepts(struct rc_io *io, bool paced)
{
    io->accepts_paced = paced;
    io->pace_waits = io->pace_waits && paced;
}

uint32_t rc_io_arrivals_ms(const struct rc_io *io, uint32_t most_ms)
{
    if (!rc_io_arrivals_wait(io)) {
        return most_ms;
    }
    const uint64_t since_ns = io->now_ns - io->pace_from_ns;
    if (!io->pace_waits || since_ns >= RC_IO_PACE_NS) {
        return 0;
    }
    const uint32_t left_ms = (uint32_t)((RC_IO_PACE_NS - since_ns + 999999u) / 1000000u);
    return left_ms < most_ms ? left_ms : most_ms;
}

/* How many of those who wait at a listener may be accepted now: its share of the window, where somebody may wait at those behind it, too. Operators
 * are always served. */
static uint32_t arrive_may(struct rc_io *io, uint32_t listener, uint32_t waiting, uint32_t room)
{
    if ((io->accepts_admin & 1u << listener) != 0) {
        return waiting;
    }
    if (!io->accepts_paced || (room > 0 && waiting >= room / 2)) {
        io->pace_waits = false;
        return waiting;
    }
    if (io->now_ns - io->pace_from_ns >= RC_IO_PACE_NS) {
        io->pace_from_ns = io->now_ns;
        io->pace_taken = 0;
        io->pace_waits = false;
    }
    const uint32_t sharers = (uint32_t)__builtin_popcount(io->arrivals_left & ~io->accepts_admin &
                                                          rc_io_accepts_wanted(io) & (~0u << listener));
    const uint32_t room_left = RC_IO_PACE_MAX > io->pace_taken ? RC_IO_PACE_MAX - io->pace_taken : 0;
    const uint32_t left = (room_left + sharers - 1) / sharers; /* it is one of them itself */
    if (waiting <= left) {
        return waiting;
    }
    if (io->pace_wanted_ns == 0 || io->now_ns - io->pace_wanted_ns > RC_IO_PACE_CALM_NS) {
        io->pace_burst_ns = io->now_ns;
    }
    io->pace_wanted_ns = io->now_ns;
    if (io->now_ns - io->pace_burst_ns > RC_IO_PACE_BURST_NS) {
        io->pace_waits = false;
        return waiting;
    }
    if (!io->pace_waits) {
        io->pace_waits = true;
        rc_metric_add(io->metrics, RC_METRIC_ACCEPT_PACED, 1);
    }
    return left;
}

/* How many wait at the listener, of how many that may; 1 of 0 where nobody can be asked (Unix sockets). */
static uint32_t arrive_waiting(const struct rc_io *io, uint32_t listener, uint32_t *room)
{
    struct tcp_info info;
    socklen_t bytes = sizeof(info);
    const bool known = getsockopt(io->listen_fds[listener], IPPROTO_TCP, TCP_INFO, &info, &bytes) == 0 &&
                       info.tcpi_state == TCP_LISTEN;
    *room = known ? info.tcpi_sacked : 0;
    return known ? info.tcpi_unacked : 1;
}

/* One accept, and its put: never in two submits. False: there is no slot, or too many are under way. */
static bool arrive_ask(struct rc_io *io, uint32_t listener)
{
    struct rc_truth_arrivals *arrivals = arrivals_of(io);
    uint32_t entry = 0;
    while (entry < RC_ARRIVALS_MAX && arrivals->socket[entry] != 0) {
        entry++;
    }
    const uint32_t slot = entry < RC_ARRIVALS_MAX ? rc_io_slot_take(io) : RC_SOCKET_NONE;
    if (slot == RC_SOCKET_NONE) {
        return false;
    }
    arrivals->listener[entry] = (uint8_t)listener;
    RC_STORE_ORDER();
    arrivals->socket[entry] = slot + 1;
    io->arrivals_count++;
    if (io_uring_sq_space_left(&io->ring) < 2) {
        const int rc = io_uring_submit(&io->ring);
        RC_ASSERT(rc >= 0 || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY);
    }
    struct io_uring_sqe *sqe = rc_io_sqe(io);
    io_uring_prep_accept_direct(sqe, io->listen_fds[listener], NULL, NULL, 0, slot);
    sqe->ioprio |= IORING_ACCEPT_DONTWAIT;
    io_uring_sqe_set_data64(sqe, rc_io_user_data(RC_OP_ARRIVE, entry, listener));
    if (!io->tls_listener[listener]) { /* a handshake could not be gone on with */
        rc_kept_put_arriving(io, slot);
    }
    return true;
}

void rc_io_arrive(struct rc_io *io)
{
    uint32_t asked = 0;
    for (uint32_t i = 0; i < io->listener_count && rc_io_arrivals_wait(io); i++) {
        if ((io->arrivals_left & rc_io_accepts_wanted(io) & 1u << i) == 0) {
            continue;
        }
        uint32_t room;
        const uint32_t waiting = arrive_waiting(io, i, &room);
        const uint32_t may = arrive_may(io, i, waiting, room);
        uint32_t count = 0;
        while (count < may && arrive_ask(io, i)) {
            count++;
        }
        io->pace_taken += (io->accepts_admin & 1u << i) == 0 ? count : 0;
        if (room > 0 && count == waiting) {
            io->arrivals_left &= ~(1u << i); /* whoever comes from now on makes the poll say so */
        } else if (io->slots_free_count == 0) {
            rc_metric_add(io->metrics, RC_METRIC_ACCEPT_WAITS, 1);
            rc_log_limited(
                RC_LOG_WARN, 1, "accepts_wait",
                "listener=%u waiting=%u reason=\"every place of this worker is taken\" remedy=\"they are accepted when "
                "others end; raise server.max_connections or the descriptor limit, or add workers\"",
                i, waiting - count);
        }
        asked += count;
    }
    if (asked > 0) {
        const int rc = io_uring_submit(&io->ring);
        RC_ASSERT(rc >= 0 || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY);
    }
}

void rc_io_on_arrive(struct rc_io *io, uint32_t listener, uint32_t entry, int result)
{
    struct rc_truth_arrivals *arrivals = arrivals_of(io);
    RC_ASSERT(entry < RC_ARRIVALS_MAX && arrivals->socket[entry] != 0 && io->arrivals_count > 0);
    const uint32_t slot = arrivals->socket[entry] - 1;
    io->arrivals_count--;
    if (result < 0) {
        arrivals->socket[entry] = 0;
        rc_io_slot_free(io, slot);
        if (result == -EAGAIN) {
            io->arrivals_left &= ~(1u << listener); /* nobody waits any more */
        } else {
            io->arrivals_left |= 1u << listener;
            rc_io_accept_failed(io, listener, result);
        }
        return;
    }
    io->accept_backoff_ds = 0;
    io->accepted[listener]++;
    if (!io->tls_listener[listener]) {
        rc_kept_arrived(io, slot);
    }
    rc_io_accepted(io, listener, slot, entry);
}

void rc_io_arrivals_adopt(struct rc_io *io)
{
    struct rc_truth_arrivals *arrivals = arrivals_of(io);
    if (io->arrivals_count > 0) {
        return; /* this process's own, which stood still for a moment: their completions come */
    }
    for (uint32_t entry = 0; entry < RC_ARRIVALS_MAX; entry++) {
        const uint32_t slot = arrivals->socket[entry] - 1;
        const uint32_t listener = arrivals->listener[entry];
        bool there = false;
        if (arrivals->socket[entry] == 0) {
            continue;
        }
        if (io->slots_free != NULL && slot < io->truth->socket_count && listener < io->listener_count &&
            io->truth->sockets[slot].state == RC_SOCKET_FREE) {
            rc_kept_adopt(io, &slot, &there, 1);
            if (!there) {
                rc_io_slot_free(io, slot);
            }
        }
        if (there) {
            rc_io_accepted(io, listener, slot, entry);
        } else {
            arrivals->socket[entry] = 0;
        }
    }
}
