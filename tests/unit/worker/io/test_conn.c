/* White-box tests of worker/io/conn.c and the timers of a pass: requests are cancelled one by one, by their user data. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/support/hub_rig.h"
#include "worker/io/io_internal.h"

#define SMALL 4608 /* the least SO_SNDBUF that Linux grants */
#define REQUESTS (RC_INFLIGHT_RECEIVE | RC_INFLIGHT_POLL | RC_INFLIGHT_POLLOUT)

/* --- what is queued and not submitted, what is completed and not handled --- */

static struct io_uring_sqe *queued_cancel(struct rc_io *io)
{
    const struct io_uring_sq *sq = &io->ring.sq;
    for (unsigned at = sq->sqe_head; at != sq->sqe_tail; at++) {
        struct io_uring_sqe *sqe = &sq->sqes[at & sq->ring_mask];
        if (sqe->opcode == IORING_OP_ASYNC_CANCEL) {
            return sqe;
        }
    }
    return NULL;
}

/* The result of the completion of this kind that stands in the queue; 1 when there is none. */
static int completed(struct rc_io *io, enum rc_io_op op)
{
    struct io_uring_cqe *cqe;
    unsigned head;
    int result = 1;
    io_uring_for_each_cqe(&io->ring, head, cqe)
    {
        if ((enum rc_io_op)(cqe->user_data >> 56) == op) {
            result = cqe->res;
        }
    }
    return result;
}

/* Lets the kernel work and leaves what it says in the queue. */
static void submit_only(struct rc_io *io)
{
    cr_assert_geq(io_uring_submit_and_get_events(&io->ring), 0);
}

static uint64_t data_of(const struct hub_rig *rig, enum rc_io_op op, uint32_t socket)
{
    return rc_io_user_data(op, rig->truth.sockets[socket].generation, socket);
}

static void no_end(void *context, uint32_t socket, int error)
{
    (void)context;
    (void)socket;
    (void)error;
}

/* --- connections with this and that in flight --- */

static void talk(struct hub_rig *rig, uint32_t client)
{
    hub_rig_its_socket(rig, client)->mode = RC_IO_TALKING;
    cr_assert_eq(write(rig->peers[client].fd, "x", 1), 1);
    for (int i = 0; i < 10 && !(hub_rig_its_socket(rig, client)->inflight & RC_INFLIGHT_RECEIVE); i++) {
        hub_rig_run(rig);
    }
}

static void fill_socket(struct hub_rig *rig, uint32_t client)
{
    static const uint8_t bytes[200000];
    cr_assert_eq(rc_hub_reply_frame(&rig->hub, client, 2, bytes, sizeof(bytes)), 0);
    rc_hub_turn(&rig->hub);
}

static uint32_t connect_with(struct hub_rig *rig, enum hub_rig_socket kind, uint8_t inflight)
{
    const uint32_t client = hub_rig_connect(rig, kind, RC_CODEC_JSON, false, SMALL);
    if (inflight & RC_INFLIGHT_RECEIVE) {
        talk(rig, client);
    }
    if (inflight & RC_INFLIGHT_POLLOUT) {
        fill_socket(rig, client);
    }
    if (!(inflight & (RC_INFLIGHT_RECEIVE | RC_INFLIGHT_POLL))) {
        /* Paused while a poll is in flight; its event finds that nobody wants to read. */
        rc_io_pause(&rig->io, hub_rig_socket_of(rig, client));
        cr_assert_eq(write(rig->peers[client].fd, "x", 1), 1);
    }
    for (int i = 0; i < 5; i++) {
        hub_rig_run(rig);
    }
    cr_assert_eq(hub_rig_its_socket(rig, client)->inflight, inflight, "in flight: %x, wanted %x",
                 hub_rig_its_socket(rig, client)->inflight, inflight);
    return client;
}

/* --- terminate, join, close --- */

Test(io_conn, each_request_is_cancelled_by_its_user_data_and_waited_for)
{
    static const struct {
        uint8_t inflight;
        enum rc_io_op order[2];
    } cases[] = {
        {RC_INFLIGHT_RECEIVE, {RC_OP_RECEIVE}},
        {RC_INFLIGHT_POLL, {RC_OP_POLL}},
        {RC_INFLIGHT_POLLOUT, {RC_OP_POLLOUT}},
        {RC_INFLIGHT_RECEIVE | RC_INFLIGHT_POLLOUT, {RC_OP_RECEIVE, RC_OP_POLLOUT}},
        {RC_INFLIGHT_POLL | RC_INFLIGHT_POLLOUT, {RC_OP_POLL, RC_OP_POLLOUT}},
    };
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
    struct rc_io *io = &rig.io;
    /* Another's requests of the same kinds are nobody's business. */
    const uint32_t other =
        hub_rig_socket_of(&rig, connect_with(&rig, HUB_RIG_TCP, RC_INFLIGHT_POLL | RC_INFLIGHT_POLLOUT));
    for (size_t i = 0; i < 2 * RC_ARRAY_COUNT(cases); i++) {
        const size_t n = i / 2;
        const uint32_t client = connect_with(&rig, i % 2 ? HUB_RIG_TCP : HUB_RIG_UNIX, cases[n].inflight);
        const uint32_t socket = hub_rig_socket_of(&rig, client);
        const uint32_t open_count = io->open_count;
        uint32_t cancels = 0;
        rc_io_terminate(io, socket);
        for (int tries = 0; io->open_count == open_count; tries++) {
            cr_assert(tries < 100, "case %zu: still in flight: %x", n, rig.truth.sockets[socket].inflight);
            const uint8_t inflight = rig.truth.sockets[socket].inflight;
            if (rig.truth.sockets[socket].state == RC_SOCKET_CLOSED) {
                cr_assert_eq(inflight, RC_INFLIGHT_CLOSE, "case %zu: closed with %x in flight", n, inflight);
            } else {
                cr_assert_eq(rig.truth.sockets[socket].state, RC_SOCKET_TERMINATING);
                cr_assert(inflight & (REQUESTS | RC_INFLIGHT_CANCEL), "case %zu: nothing brings it to its end", n);
            }
            const struct io_uring_sqe *cancel = queued_cancel(io);
            if (cancel != NULL) {
                cr_assert(cancels < 2 && cases[n].order[cancels] != 0, "case %zu: one cancellation too many", n);
                cr_assert_eq(cancel->addr, data_of(&rig, cases[n].order[cancels], socket), "case %zu", n);
                cr_assert_eq(cancel->cancel_flags, 0, "by user data, and only the first");
                cr_assert_eq(cancel->user_data, data_of(&rig, RC_OP_CANCEL, socket));
                cancels++;
            }
            rc_io_run(io, 0);
        }
        cr_assert_eq(cancels, (uint32_t)__builtin_popcount(cases[n].inflight), "case %zu", n);
        cr_assert_eq(rig.truth.sockets[socket].state, RC_SOCKET_FREE);
        cr_assert_eq(rig.truth.sockets[socket].inflight, 0);
        cr_assert_eq(rig.truth.sockets[other].inflight, RC_INFLIGHT_POLL | RC_INFLIGHT_POLLOUT);
        hub_rig_hang_up(&rig, client);
        hub_rig_check(&rig);
    }
    hub_rig_close(&rig);
}

/* Handles one completion, as the loop does; false when there is none. */
static bool handle_one(struct hub_rig *rig)
{
    struct io_uring_cqe *cqe;
    if (io_uring_cq_ready(&rig->io.ring) == 0 || io_uring_peek_cqe(&rig->io.ring, &cqe) != 0) {
        return false;
    }
    const struct io_uring_cqe copy = *cqe;
    const uint32_t socket = (uint32_t)copy.user_data;
    io_uring_cqe_seen(&rig->io.ring, cqe);
    switch ((enum rc_io_op)(copy.user_data >> 56)) {
    case RC_OP_RECEIVE:
        rc_io_on_receive(&rig->io, socket, &copy);
        break;
    case RC_OP_POLL:
        rc_io_on_poll(&rig->io, socket, copy.res);
        break;
    case RC_OP_POLLOUT:
        rc_io_on_pollout(&rig->io, socket, copy.res);
        break;
    case RC_OP_CANCEL:
        rc_io_on_cancel(&rig->io, socket, copy.res);
        break;
    default:
        cr_assert_fail("operation %u", (unsigned)(copy.user_data >> 56));
    }
    return true;
}

/* What is to be cancelled has completed, and stands in the queue: the kernel finds nothing, and the slot goes all the same. */
Test(io_conn, a_cancellation_that_finds_nothing_leaves_no_slot_behind)
{
    static const uint8_t kinds[] = {RC_INFLIGHT_POLL, RC_INFLIGHT_POLLOUT, RC_INFLIGHT_POLL | RC_INFLIGHT_POLLOUT,
                                    RC_INFLIGHT_RECEIVE, RC_INFLIGHT_RECEIVE | RC_INFLIGHT_POLLOUT};
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 2});
    for (size_t n = 0; n < RC_ARRAY_COUNT(kinds); n++) {
        const uint32_t client = connect_with(&rig, HUB_RIG_UNIX, kinds[n]);
        const uint32_t socket = hub_rig_socket_of(&rig, client);
        if (kinds[n] & RC_INFLIGHT_POLLOUT) {
            hub_rig_read(&rig, client, 0);
        }
        if (kinds[n] & RC_INFLIGHT_POLL) {
            cr_assert_eq(write(rig.peers[client].fd, "y", 1), 1);
        }
        if (kinds[n] & RC_INFLIGHT_RECEIVE) {
            hub_rig_hang_up(&rig, client); /* only its end ends a receive of many shots */
        }
        submit_only(&rig.io);
        cr_assert(!(kinds[n] & RC_INFLIGHT_RECEIVE) || completed(&rig.io, RC_OP_RECEIVE) <= 0);
        cr_assert(!(kinds[n] & RC_INFLIGHT_POLL) || completed(&rig.io, RC_OP_POLL) > 0);
        cr_assert(!(kinds[n] & RC_INFLIGHT_POLLOUT) || completed(&rig.io, RC_OP_POLLOUT) > 0);
        rc_io_terminate(&rig.io, socket);
        cr_assert_not_null(queued_cancel(&rig.io));
        submit_only(&rig.io);
        cr_assert_eq(completed(&rig.io, RC_OP_CANCEL), -ENOENT);
        while (handle_one(&rig)) {
            const uint8_t inflight = rig.truth.sockets[socket].inflight;
            cr_assert_eq(rig.truth.sockets[socket].state == RC_SOCKET_CLOSED, (inflight & RC_INFLIGHT_CLOSE) != 0);
            cr_assert(!(inflight & RC_INFLIGHT_CLOSE) || inflight == RC_INFLIGHT_CLOSE, "closed with %x in flight",
                      inflight);
        }
        cr_assert_eq(rig.truth.sockets[socket].state, RC_SOCKET_CLOSED, "in flight: %x",
                     rig.truth.sockets[socket].inflight);
        for (int i = 0; i < 5 && rig.io.open_count > 0; i++) {
            rc_io_run(&rig.io, 0);
        }
        cr_assert_eq(rig.io.open_count, 0, "in flight: %x", rig.truth.sockets[socket].inflight);
        cr_assert_eq(rig.truth.sockets[socket].state, RC_SOCKET_FREE);
        hub_rig_hang_up(&rig, client);
        hub_rig_check(&rig);
    }
    hub_rig_close(&rig);
}

/* --- reading that is to stop --- */

static void count_bytes(void *context, uint32_t slot, const uint8_t *bytes, uint32_t count)
{
    (void)slot;
    (void)bytes;
    *(uint32_t *)context += count;
}

/* The queued cancellation misses, as it does between two shots of a receive that goes on. */
static void let_cancel_miss(struct hub_rig *rig, uint32_t socket)
{
    struct io_uring_sqe *cancel = queued_cancel(&rig->io);
    cr_assert_not_null(cancel);
    cr_assert_eq(cancel->addr, data_of(rig, RC_OP_RECEIVE, socket));
    cancel->addr = rc_io_user_data(RC_OP_RECEIVE, ~rig->truth.sockets[socket].generation, socket);
    submit_only(&rig->io);
    cr_assert_eq(completed(&rig->io, RC_OP_CANCEL), -ENOENT);
}

/* A rig with one connection that is received in one standing request, and what it brings counted. Returns its client. */
static uint32_t open_talking(struct hub_rig *rig, uint32_t *received)
{
    hub_rig_open(rig, &(struct hub_rig_options){.slots = 2});
    const uint32_t client = connect_with(rig, HUB_RIG_TCP, RC_INFLIGHT_RECEIVE);
    rig->received = count_bytes;
    rig->context = received;
    return client;
}

Test(io_conn, a_pause_whose_cancellation_missed_still_stops_reading)
{
    uint32_t received = 0;
    struct hub_rig rig;
    const uint32_t client = open_talking(&rig, &received);
    const uint32_t socket = hub_rig_socket_of(&rig, client);
    for (int misses = 1; misses <= 3; misses++) {
        rc_io_pause(&rig.io, socket);
        for (int i = 0; i < misses; i++) {
            let_cancel_miss(&rig, socket);
            rc_io_run(&rig.io, 0);
            cr_assert_eq(rig.truth.sockets[socket].inflight, RC_INFLIGHT_RECEIVE | RC_INFLIGHT_CANCEL,
                         "it is tried again");
        }
        for (int i = 0; i < 3; i++) {
            rc_io_run(&rig.io, 0);
        }
        cr_assert_eq(rig.truth.sockets[socket].inflight, 0);
        received = 0;
        cr_assert_eq(write(rig.peers[client].fd, "later", 5), 5);
        for (int i = 0; i < 5; i++) {
            rc_io_run(&rig.io, 0);
        }
        cr_assert_eq(received, 0, "%u bytes came to who does not read", received);
        rc_io_resume(&rig.io, socket);
        for (int i = 0; i < 100 && received < 5; i++) {
            rc_io_run(&rig.io, 0);
        }
        cr_assert_eq(received, 5);
        cr_assert_eq(rig.truth.sockets[socket].inflight, RC_INFLIGHT_RECEIVE);
    }
    rig.received = NULL;
    hub_rig_close(&rig);
}

/* A wake brings the first buffer of what a socket has. The rest belongs to the same pass: what was sent together goes on together. */
Test(io_conn, what_is_in_the_socket_is_read_in_one_pass)
{
    static const char text[3 * RC_IO_BUFFER_BYTES - 100];
    static const uint8_t modes[] = {RC_INFLIGHT_RECEIVE, RC_INFLIGHT_POLL};
    uint32_t received = 0;
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
    for (size_t i = 0; i < RC_ARRAY_COUNT(modes); i++) {
        const uint32_t client = connect_with(&rig, HUB_RIG_UNIX, modes[i]);
        rig.received = count_bytes;
        rig.context = &received;
        for (int round = 0; round < 3; round++) {
            received = 0;
            cr_assert_eq(write(rig.peers[client].fd, text, sizeof(text)), (ssize_t)sizeof(text));
            rc_io_run(&rig.io, 1000);
            if (received == 0) { /* a poll that woke it: the read is asked for now */
                rc_io_run(&rig.io, 1000);
            }
            cr_assert_eq(received, sizeof(text), "in flight %x: %u bytes in the first pass", modes[i], received);
            rc_io_run(&rig.io, 0);
        }
        rig.received = NULL;
    }
    hub_rig_close(&rig);
}

/* Who fell silent goes back to the cheaper way of being read, also when the first attempt misses. */
Test(io_conn, falling_quiet_is_tried_again)
{
    uint32_t received = 0;
    struct hub_rig rig;
    const uint32_t client = open_talking(&rig, &received);
    const uint32_t socket = hub_rig_socket_of(&rig, client);
    rig.io.now_ds = rig.truth.sockets[socket].received_ds + 1000;
    rc_io_quiet_check(&rig.io, socket);
    cr_assert_eq(rig.truth.sockets[socket].mode, RC_IO_QUIET);
    let_cancel_miss(&rig, socket);
    for (int i = 0; i < 5; i++) {
        rc_io_run(&rig.io, 0);
    }
    cr_assert_eq(rig.truth.sockets[socket].inflight, RC_INFLIGHT_POLL);
    cr_assert_eq(write(rig.peers[client].fd, "later", 5), 5);
    for (int i = 0; i < 100 && received < 5; i++) {
        rc_io_run(&rig.io, 0);
    }
    cr_assert_eq(received, 5);
    rig.received = NULL;
    hub_rig_close(&rig);
}

/* --- the timers of a pass --- */

static struct {
    uint32_t count;
    uint32_t of[RC_IO_TIMERS_MAX * 4];
} fired;

static void note_timer(void *context, uint32_t slot)
{
    (void)context;
    fired.count++;
    fired.of[slot]++;
}

Test(io_conn, a_pass_fires_so_many_timers_and_no_more)
{
    enum { COUNT = RC_IO_TIMERS_MAX * 3 + 1, LATE = 30 };
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = RC_IO_TIMERS_MAX * 4});
    struct rc_io *io = &rig.io;
    io->accept_again_ds = 0; /* a time of its own */
    io->handlers.timer = note_timer;
    io->accept_again_ds = 0; /* nobody is accepted here */
    const uint32_t due_ds = io->now_ds + 5;
    for (uint32_t i = 0; i < COUNT; i++) {
        rc_io_set_timer(io, i, due_ds - i % 3);
    }
    rc_io_set_timer(io, COUNT, due_ds + LATE);
    io->now_ds = due_ds;
    cr_assert_eq(rc_io_sleep_ms(io, 5000), 0);
    for (uint32_t pass = 1; pass <= 3; pass++) {
        rc_io_timers(io);
        cr_assert_eq(fired.count, pass * RC_IO_TIMERS_MAX);
        cr_assert_eq(rc_io_sleep_ms(io, 5000), 0, "the loop must not sleep while timers are due");
    }
    rc_io_timers(io);
    cr_assert_eq(fired.count, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        cr_assert_eq(fired.of[i], 1, "timer %u fired %u times", i, fired.of[i]);
    }
    cr_assert_eq(rc_io_sleep_ms(io, 5000), LATE * RC_WHEEL_TICK_MS);
    rc_io_timers(io);
    cr_assert_eq(fired.count, COUNT, "nothing is due");
    rc_io_set_timer(io, COUNT, 0);
    hub_rig_close(&rig);
}

/* Not even one that is set again for now each time keeps the loop. */
static void set_again(void *context, uint32_t socket)
{
    struct rc_io *io = context;
    fired.count++;
    rc_io_set_timer(io, socket, io->now_ds);
}

Test(io_conn, a_timer_that_is_always_due_does_not_hold_the_loop)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
    struct rc_io *io = &rig.io;
    io->handlers.timer = set_again;
    io->handlers.context = io;
    rc_io_set_timer(io, 0, io->now_ds + 1);
    io->now_ds += 5;
    rc_io_timers(io);
    cr_assert_leq(fired.count, RC_IO_TIMERS_MAX);
    rc_io_set_timer(io, 0, 0);
    io->handlers.context = &rig;
    hub_rig_close(&rig);
}

/* A peer that has shut its writing end and reads nothing: the kernel ends every poll of such a socket at once. */
Test(conn, a_half_closed_peer_that_does_not_read_costs_nothing)
{
    static const uint8_t much[1 << 20];
    struct hub_rig rig;
    int far;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 2});
    rig.io.handlers.ended = no_end;
    const uint32_t socket = hub_rig_socket(&rig, HUB_RIG_TCP, SMALL, &far);
    cr_assert_eq(rc_hub_answer(&rig.hub, socket, much, sizeof(much)), 0);
    cr_assert_eq(shutdown(far, SHUT_WR), 0);
    rc_io_read(&rig.io, socket);
    for (int i = 0; i < 20; i++) {
        hub_rig_run(&rig);
    }
    cr_assert(rig.truth.sockets[socket].flags & RC_SOCKET_PEER_ENDED);
    const uint64_t sends = rc_metric_get(rig.metrics, RC_METRIC_SENDS);
    for (int i = 0; i < 50; i++) {
        hub_rig_run(&rig);
    }
    cr_assert_leq(rc_metric_get(rig.metrics, RC_METRIC_SENDS), sends + 10);
    /* It gets everything once it reads. */
    static uint8_t got[sizeof(much)];
    size_t come = 0;
    for (int i = 0; i < 3000 && come < sizeof(much); i++) {
        const ssize_t bytes = recv(far, got, sizeof(got), MSG_DONTWAIT);
        come += bytes > 0 ? (size_t)bytes : 0;
        rc_io_run(&rig.io, 5);
        hub_rig_run(&rig);
    }
    cr_assert_eq(come, sizeof(much));
    rc_io_terminate(&rig.io, socket);
    close(far);
    hub_rig_close(&rig);
}
