/* loop: setting the ring up, waiting, and handing completions to conn.c and transmit.c. */
#include "worker/io/io.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/uring.h"
#include "worker/io/io_internal.h"
#include "worker/store/order.h"
#include "worker/store/receiving.h"
#include "worker/store/taking.h"

#define LOOP_WAKE_COMPLETIONS 16u
#define LOOP_PAGE 4096u
#define LOOP_CLOCK_COMPLETIONS 8u /* between two looks at the clock, which are 25 ns each */

static void loop_arm_fd(struct rc_io *io, int fd, enum rc_io_op op)
{
    struct io_uring_sqe *sqe = rc_io_sqe(io);
    io_uring_prep_poll_multishot(sqe, fd, POLLIN);
    sqe->len |= IORING_POLL_ADD_MULTI;
    /* Edge triggered: the eventfd is never read, each write is one event. */
    sqe->poll32_events |= (uint32_t)EPOLLET;
    io_uring_sqe_set_data64(sqe, rc_io_user_data(op, 0, 0));
}

static int loop_open_buffers(struct rc_io *io, struct rc_err *err)
{
    const uint32_t count = io->memory->buffer_count;
    io->buffer_count = count;
    io->buffers =
        aligned_alloc(LOOP_PAGE, (count * sizeof(struct io_uring_buf) + LOOP_PAGE - 1) / LOOP_PAGE * LOOP_PAGE);
    if (io->buffers == NULL) {
        return rc_err_set(err, -ENOMEM, "no memory for the entries of %u receive buffers", count);
    }
    io->buffer_memory = rc_io_memory_at(io->memory, io->memory->buffers);
    struct io_uring_buf_reg reg = {
        .ring_addr = (uint64_t)(uintptr_t)io->buffers, .ring_entries = count, .bgid = RC_IO_BUFFER_GROUP};
    io_uring_buf_ring_init(io->buffers);
    const int rc = io_uring_register_buf_ring(&io->ring, &reg, 0);
    if (rc < 0) {
        return rc_err_set(err, rc, "registering %u receive buffers failed: %s", count, strerror(-rc));
    }
    for (uint32_t i = 0; i < count; i++) {
        rc_io_give_buffer(io, i);
    }
    return 0;
}

/* The ring, in memory that can be read when this process is dead, where the kernel can use it. */
static int loop_open_ring(struct rc_io *io, const struct rc_io_options *options, struct rc_err *err)
{
    const struct rc_io_memory_plan plan = {.socket_count = options->direct_descriptors,
                                           .receive_buffers_bytes = options->receive_buffers_bytes};
    io->memory = rc_io_memory_create(options->args->io_fd, &plan, err);
    if (io->memory == NULL) {
        return -errno;
    }
    io->packets = rc_io_memory_at(io->memory, io->memory->packets);
    io->pieces = rc_io_memory_at(io->memory, io->memory->pieces);
    const struct rc_uring_options ring_options = {
        .sq_entries = RC_IO_SQ_ENTRIES,
        .cq_entries = RC_IO_CQ_ENTRIES,
        .direct_descriptors = options->direct_descriptors,
        .memory = rc_io_memory_at(io->memory, io->memory->queues),
        .memory_bytes = io->memory->queues_bytes,
    };
    bool in_memory = false;
    const int rc = rc_uring_open(&io->ring, &ring_options, &in_memory, err);
    if (rc < 0) {
        return rc;
    }
    if (in_memory) {
        rc_io_memory_found(io->memory, &io->ring);
    }
    return loop_open_buffers(io, err);
}

/* How the addresses of peers become known: by a command on the ring, or by accepts that bring them. -ENOMEM. */
static int loop_open_peernames(struct rc_io *io, const struct rc_control *control,
                               const struct rc_uring_features *features)
{
    if (!features->socket_getsockopt) {
        io->accepts = calloc((size_t)RC_LISTENERS_MAX * RC_IO_ACCEPTS_MAX, sizeof(*io->accepts));
        return io->accepts == NULL ? -ENOMEM : 0;
    }
    while (io->peernames_free_count < RC_IO_PEERNAMES_MAX) {
        io->peernames_free[io->peernames_free_count] = (uint16_t)io->peernames_free_count;
        io->peernames_free_count++;
    }
    for (uint32_t i = 0; i < io->listener_count; i++) {
        if (!control->listeners[i].unix_socket) { /* the command wants exactly as many bytes as such an address has */
            io->peername_bytes[i] =
                control->listeners[i].address[0] == '[' ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
        }
    }
    return 0;
}

static void loop_read_clock(struct rc_io *io)
{
    io->now_ns = rc_clock_ns();
    io->now_ds = (uint32_t)((io->now_ns / 1000000u - io->boot_ms) / RC_WHEEL_TICK_MS) + 1;
}

/* What the loop waits for from the beginning. */
static void loop_arm_all(struct rc_io *io)
{
    loop_arm_fd(io, io->bell_fd, RC_OP_BELL);
    loop_arm_fd(io, io->life_fd, RC_OP_LIFE);
    if (io->inbox_fd >= 0) {
        loop_arm_fd(io, io->inbox_fd, RC_OP_INBOX);
    }
    rc_io_arm_accepts(io);
    io->accept_again_in_ds = RC_IO_ACCEPT_AGAIN_DS;
    io->accept_again_ds = io->now_ds + RC_IO_ACCEPT_AGAIN_DS;
}

int rc_io_open(struct rc_io *io, struct rc_truth *truth, struct rc_metrics *metrics,
               const struct rc_io_handlers *handlers, const struct rc_io_options *options, struct rc_err *err)
{
    const struct rc_spawn_args *args = options->args;
    *io = (struct rc_io){
        .truth = truth,
        .metrics = metrics,
        .handlers = *handlers,
        .boot_ms = options->control->boot_ms,
        .slots_max = options->slots_max,
        .bell_fd = args->bell_fd,
        .life_fd = args->life_fd,
        .listener_count = (uint32_t)args->listen_count,
        .parking = options->adopting,
    };
    memcpy(io->listen_fds, args->listen_fds, sizeof(io->listen_fds));
    loop_read_clock(io);
    io->vectors = calloc((size_t)RC_IO_BATCH_MAX * RC_IO_PIECES_MAX, sizeof(*io->vectors));
    io->headers = calloc(RC_IO_BATCH_MAX, sizeof(*io->headers));
    io->staging = malloc((size_t)RC_IO_BATCH_MAX * RC_IO_STAGING_BYTES);
    io->peernames = calloc(RC_IO_PEERNAMES_MAX, sizeof(*io->peernames));
    io->peernames_free = calloc(RC_IO_PEERNAMES_MAX, sizeof(*io->peernames_free));
    if (io->vectors == NULL || io->headers == NULL || io->staging == NULL || io->peernames == NULL ||
        io->peernames_free == NULL || rc_wheel_open(&io->wheel, truth->socket_count, io->now_ds) < 0) {
        return rc_err_set(err, -ENOMEM, "no memory for the index of %u connections", truth->socket_count);
    }
    struct rc_uring_features features;
    int rc = rc_uring_probe(&features, err);
    if (rc < 0) {
        return rc;
    }
    if (loop_open_peernames(io, options->control, &features) < 0 ||
        rc_io_places_open(io, args, options->control, features.fd_install) < 0 || rc_io_connects_open(io) < 0) {
        return rc_err_set(err, -ENOMEM, "no memory for the addresses of new connections");
    }
    rc = loop_open_ring(io, options, err);
    if (rc < 0) {
        return rc;
    }
    char lost[RC_ERR_TEXT_MAX];
    if (rc_uring_lost(&features, lost, sizeof(lost)) > 0) {
        rc_log_info("kernel_features_missing", "without=\"%s\"", lost);
    }
    for (uint32_t i = 0; i < io->listener_count; i++) {
        const uint32_t kind = options->control->listeners[i].kind;
        const bool admin = kind == RC_LISTENER_ADMIN;
        const bool plain = kind == RC_LISTENER_CLIENT;
        io->preface_listener[i] = (options->config->server.proxy_protocol && !admin && !rc_listener_is_link(kind)) ||
                                  (options->config->cluster.advertise.text[0] != '\0' && plain);
        io->accepts_admin |= admin ? 1u << i : 0;
    }
    rc = rc_io_tls_open(io, options->control, options->config, err);
    if (rc < 0) {
        return rc;
    }
    rc = rc_kept_open(io, options);
    if (rc < 0) {
        return rc_err_set(err, rc, "the ring that keeps sockets cannot be mapped: %s", strerror(-rc));
    }
    if (features.accept_dontwait && io->accepts == NULL && io->kept.from == RC_KEEP_ALL && rc_io_slots_open(io) < 0) {
        return rc_err_set(err, -ENOMEM, "no memory for the slots of %u connections", truth->socket_count);
    }
    loop_arm_all(io);
    const int submitted = io_uring_submit(&io->ring);
    if (submitted < 0) {
        return rc_err_set(err, submitted, "the first io_uring submit failed: %s", strerror(-submitted));
    }
    return 0;
}

void rc_io_close(struct rc_io *io)
{
    rc_uring_close(&io->ring);
    rc_kept_close(io);
    rc_io_tls_close(io);
    rc_io_places_close(io);
    rc_io_connects_close(io);
    rc_wheel_close(&io->wheel);
    free(io->buffers);
    free(io->vectors);
    free(io->headers);
    free(io->staging);
    free(io->peernames);
    free(io->peernames_free);
    free(io->accepts);
    free(io->slots_free);
    rc_io_memory_unmap(io->memory);
}

/* A multishot poll that ended (CQ overflow) is armed again: it would be deaf otherwise. */
static void loop_on_fd(struct rc_io *io, const struct io_uring_cqe *cqe, int fd, enum rc_io_op op)
{
    if (!(cqe->flags & IORING_CQE_F_MORE) && cqe->res != -ECANCELED) {
        loop_arm_fd(io, fd, op);
    }
    if (op == RC_OP_LIFE) {
        io->handlers.parent_gone(io->handlers.context);
    } else if (op == RC_OP_INBOX) {
        io->inbox_left = true;
    } else {
        io->handlers.doorbell(io->handlers.context);
    }
}

/* What is of no socket, or of one that may have ended since. False: it is a socket's. */
static bool loop_dispatch_other(struct rc_io *io, const struct io_uring_cqe *cqe, enum rc_io_op op, uint32_t index,
                                uint32_t generation)
{
    switch (op) {
    case RC_OP_ACCEPT:
        rc_io_on_accept(io, index, generation, cqe);
        return true;
    case RC_OP_LISTEN:
        rc_io_on_listen(io, index, cqe);
        return true;
    case RC_OP_ARRIVE:
        rc_io_on_arrive(io, index, generation, cqe->res);
        return true;
    case RC_OP_BELL:
        loop_on_fd(io, cqe, io->bell_fd, op);
        return true;
    case RC_OP_LIFE:
        loop_on_fd(io, cqe, io->life_fd, op);
        return true;
    case RC_OP_PEERNAME:
        rc_io_on_peername(io, index, generation, cqe->res);
        return true;
    case RC_OP_INBOX:
        loop_on_fd(io, cqe, io->inbox_fd, op);
        return true;
    case RC_OP_PLACE:
        rc_io_on_place(io, index, cqe->res);
        return true;
    case RC_OP_CONNECT:
        rc_io_on_connect(io, index, cqe->res);
        return true;
    case RC_OP_KEEP:
        rc_kept_on_put(io, index, generation, cqe->res);
        return true;
    case RC_OP_SEND: /* handled before everything else in rc_io_flush */
    case RC_OP_IGNORE:
        return true;
    case RC_OP_RECEIVE:
    case RC_OP_POLL:
    case RC_OP_POLLOUT:
    case RC_OP_CANCEL:
    case RC_OP_CLOSE:
    case RC_OP_TLS_SEND:
    case RC_OP_INSTALL:
    case RC_OP_SHUTDOWN:
        return false;
    }
    return false;
}

static void loop_dispatch(struct rc_io *io, const struct io_uring_cqe *cqe)
{
    const uint64_t data = cqe->user_data;
    const uint32_t index = (uint32_t)data;
    const uint32_t generation = (uint32_t)(data >> 32) & RC_IO_GENERATION_MASK;
    const enum rc_io_op op = (enum rc_io_op)(data >> 56);
    if (loop_dispatch_other(io, cqe, op, index, generation)) {
        return;
    }
    /* Join waits for every completion, so none can come for an earlier use of the index. */
    RC_ASSERT(index < io->truth->socket_count &&
              (io->truth->sockets[index].generation & RC_IO_GENERATION_MASK) == generation);
    switch (op) {
    case RC_OP_RECEIVE:
        rc_io_on_receive(io, index, cqe);
        return;
    case RC_OP_POLL:
        rc_io_on_poll(io, index, cqe->res);
        return;
    case RC_OP_POLLOUT:
        rc_io_on_pollout(io, index, cqe->res);
        return;
    case RC_OP_CANCEL:
        rc_io_on_cancel(io, index, cqe->res);
        return;
    case RC_OP_TLS_SEND:
        rc_io_tls_on_sent(io, index, cqe->res);
        if (io->truth->sockets[index].state == RC_SOCKET_TERMINATING) {
            rc_io_terminate(io, index); /* it may have waited for this alone */
        }
        return;
    case RC_OP_INSTALL:
        rc_io_on_install(io, index, cqe->res);
        return;
    case RC_OP_SHUTDOWN:
        rc_io_on_shutdown(io, index);
        return;
    default:
        rc_io_on_close(io, index, cqe->res);
        rc_io_arm_accepts(io); /* a full table ended them */
        return;
    }
}

/* Until `current_valid` is 0 again; `head`: of where it is taken out of. Who reads it after a kill sees the stores in this order. */
static void loop_handling(struct rc_io *io, const struct io_uring_cqe *cqe, uint32_t valid, uint32_t head)
{
    struct rc_io_memory *memory = io->memory;
    memory->current = *cqe;
    memory->current_head = head;
    if ((enum rc_io_op)(cqe->user_data >> 56) == RC_OP_RECEIVE && cqe->res > 0) {
        rc_taking_begin(io->truth, (uint32_t)cqe->user_data);
    } else {
        rc_taking_over(io->truth);
    }
    memory->current_valid = valid;
    RC_STORE_ORDER();
}

/* Handles what is in the completion queue now, at most `limit` and hardly longer than until `end_ns`; the number handled. */
static uint32_t loop_collect(struct rc_io *io, uint32_t limit, uint64_t end_ns)
{
    uint32_t handled = 0;
    struct io_uring_cqe *cqe;
    while (handled < limit && io_uring_peek_cqe(&io->ring, &cqe) == 0) {
        if (handled % LOOP_CLOCK_COMPLETIONS == LOOP_CLOCK_COMPLETIONS - 1 && rc_clock_ns() >= end_ns) {
            break; /* the rest is there in the next pass */
        }
        /* Copied and released first: a handler may submit, and needs the room. */
        const struct io_uring_cqe copy = *cqe;
        loop_handling(io, &copy, 1, *io->ring.cq.khead);
        io_uring_cqe_seen(&io->ring, cqe);
        loop_dispatch(io, &copy);
        RC_STORE_ORDER(); /* it is done with */
        io->memory->current_valid = 0;
        rc_receiving_over(io->truth);
        handled++;
    }
    if (RC_UNLIKELY(io_uring_cq_has_overflow(&io->ring))) {
        rc_metric_add(io->metrics, RC_METRIC_CQ_OVERFLOWS, 1);
    }
    return handled;
}

void rc_io_run(struct rc_io *io, uint32_t wait_ms)
{
    int rc;
    rc_kept_flush(io);
    if (wait_ms > 0 && io_uring_cq_ready(&io->ring) == 0) {
        struct __kernel_timespec timeout = {.tv_sec = wait_ms / 1000, .tv_nsec = (long long)(wait_ms % 1000) * 1000000};
        struct io_uring_cqe *cqe;
        rc = io_uring_submit_and_wait_timeout(&io->ring, &cqe, 1, &timeout, NULL);
    } else {
        rc = io_uring_submit_and_get_events(&io->ring);
    }
    RC_ASSERT(rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EBUSY || rc == -EAGAIN);
    loop_read_clock(io);
    const uint64_t end_ns = io->now_ns + RC_IO_COLLECT_NS;
    io->input_left = false;
    memset(io->accepted, 0, sizeof(io->accepted));
    uint32_t handled = loop_collect(io, RC_IO_COLLECT_MAX, end_ns);
    if (io->arrivals_left != 0) {
        rc_io_arrive(io);
        handled += loop_collect(io, RC_IO_COLLECT_MAX, end_ns);
    }
    for (uint32_t i = 0; RC_UNLIKELY(io->inbox_left) && i < RC_IO_INBOX_MAX && rc_io_inbox(io); i++) {
        rc = io_uring_submit_and_get_events(&io->ring);
        RC_ASSERT(rc >= 0 || rc == -EINTR || rc == -EBUSY || rc == -EAGAIN);
        handled += loop_collect(io, RC_IO_COLLECT_MAX, end_ns);
    }
    /* A wake returns about 20 completions although thousands may be ready (measured): when it did, ask for many at once. And it
     * returns with the first buffer of what a socket has: messages that were sent together go on together, since their sends to
     * subscribers are what costs. Apart they stay apart: 32 in flight went out as 22 and 10 for ever. */
    while ((handled >= LOOP_WAKE_COMPLETIONS || io->input_left) && handled < RC_IO_COLLECT_MAX &&
           io_uring_cq_ready(&io->ring) == 0) {
        io->input_left = false;
        struct __kernel_timespec zero = {0};
        struct io_uring_cqe *cqe;
        rc = io_uring_submit_and_wait_timeout(&io->ring, &cqe, RC_IO_COLLECT_MAX - handled, &zero, NULL);
        RC_ASSERT(rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EBUSY || rc == -EAGAIN);
        const uint32_t more = loop_collect(io, RC_IO_COLLECT_MAX - handled, end_ns);
        if (more == 0 || rc_clock_ns() >= end_ns) {
            break;
        }
        handled += more;
    }
}

/* Settles the short sends whose completions are in the queue. They stay there behind others, maybe longer than this batch: the
 * next one must not take them for its own. */
static void loop_settle_sends(struct rc_io *io)
{
    struct io_uring_cqe *cqe;
    unsigned head;
    io_uring_for_each_cqe(&io->ring, head, cqe)
    {
        if ((enum rc_io_op)(cqe->user_data >> 56) == RC_OP_SEND) {
            rc_io_on_send(io, (uint32_t)cqe->user_data, cqe->res);
            /* It may stand in the queue until after the next batch, whose packets are others. */
            cqe->user_data = rc_io_user_data(RC_OP_IGNORE, 0, 0);
        }
    }
}

/* Puts everything in the queue but the sends aside, to make room for what stands behind it. */
static void loop_hold(struct rc_io *io)
{
    struct rc_io_memory *memory = io->memory;
    struct io_uring_cqe *held = rc_io_memory_at(memory, memory->held);
    struct io_uring_cqe *cqe;
    while (io_uring_cq_ready(&io->ring) > 0 && io_uring_peek_cqe(&io->ring, &cqe) == 0) {
        if ((enum rc_io_op)(cqe->user_data >> 56) == RC_OP_SEND) {
            rc_io_on_send(io, (uint32_t)cqe->user_data, cqe->res);
        } else {
            RC_ASSERT(memory->held_count < memory->held_max); /* it has room for all that can be in flight */
            held[memory->held_count++] = *cqe;
        }
        io_uring_cqe_seen(&io->ring, cqe);
    }
}

static void loop_handle_held(struct rc_io *io)
{
    struct rc_io_memory *memory = io->memory;
    const struct io_uring_cqe *held = rc_io_memory_at(memory, memory->held);
    for (uint32_t i = 0; RC_UNLIKELY(i < memory->held_count); i++) {
        const struct io_uring_cqe copy = held[i];
        loop_handling(io, &copy, 2, i);
        memory->held_next = i + 1;
        loop_dispatch(io, &copy);
        RC_STORE_ORDER();
        memory->current_valid = 0;
        rc_receiving_over(io->truth);
    }
    if (RC_UNLIKELY(memory->held_count > 0)) {
        memory->held_count = 0; /* before `held_next`: it is never less than that says */
        RC_STORE_ORDER();
        memory->held_next = 0;
    }
}

void rc_io_flush(struct rc_io *io)
{
    const uint32_t packets = io->packet_count;
    rc_io_sealed(io);
    int rc = io_uring_submit_and_get_events(&io->ring);
    RC_ASSERT(rc >= 0 || rc == -EINTR || rc == -EBUSY || rc == -EAGAIN);
    /* The batch is over only when every send was tried and its completion can be seen: interrupted submits go on, and what
     * stands before the sends in an overflowing queue is put aside. */
    while (RC_UNLIKELY(io_uring_sq_ready(&io->ring) > 0 || io_uring_cq_has_overflow(&io->ring))) {
        if (io_uring_cq_has_overflow(&io->ring)) {
            rc_metric_add(io->metrics, RC_METRIC_CQ_OVERFLOWS, 1);
            io->memory->overflowing = 1;
            RC_STORE_ORDER();
            loop_hold(io);
        }
        rc = io_uring_submit_and_get_events(&io->ring);
        RC_ASSERT(rc >= 0 || rc == -EINTR || rc == -EBUSY || rc == -EAGAIN);
    }
    RC_STORE_ORDER();
    io->memory->overflowing = 0;
    loop_read_clock(io);
    if (packets > 0) {
        /* Short sends first: other completions may change what the packets refer to. */
        loop_settle_sends(io);
        for (uint32_t i = 0; io->tls != NULL && i < packets; i++) {
            rc_io_settle_tls(io, i);
        }
        io->packet_count = 0;
        io->piece_count = 0;
        RC_STORE_ORDER();
        io->memory->packet_count = 0; /* nothing of the batch is open */
        RC_STORE_ORDER();
    }
    loop_handle_held(io);
    (void)loop_collect(io, RC_IO_COLLECT_MAX, io->now_ns + RC_IO_COLLECT_NS);
}

void rc_io_timers(struct rc_io *io)
{
    uint32_t index;
    for (uint32_t i = 0; i < RC_IO_TIMERS_MAX; i++) {
        if ((index = rc_wheel_expire(&io->wheel, io->now_ds)) == RC_WHEEL_NONE) {
            break;
        }
        io->truth->layout->working_socket = index + 1;
        RC_STORE_ORDER();
        io->handlers.timer(io->handlers.context, index);
        RC_STORE_ORDER();
        io->truth->layout->working_socket = 0;
    }
    rc_kept_sweep(io);
    rc_io_renew_accepts(io);
    if (io->accept_retry_ds != 0 && io->now_ds >= io->accept_retry_ds) {
        io->accept_retry_ds = 0;
        rc_io_arm_accepts(io);
    }
}

uint32_t rc_io_sleep_ms(const struct rc_io *io, uint32_t most_ms)
{
    if (io->wheel.now_ds < io->now_ds || (io->inbox_left && io->inbox_again_ds <= io->now_ds &&
                                          io->places_used < RC_IO_PLACES_MAX && !io->inbox_placing)) {
        return 0; /* more timers are due than one pass takes, or more connections wait in the inbox */
    }
    uint32_t ticks = rc_wheel_sleep(&io->wheel, most_ms / RC_WHEEL_TICK_MS);
    const uint32_t dues[] = {io->accept_retry_ds, io->accept_again_ds, io->inbox_again_ds};
    for (size_t i = 0; i < RC_ARRAY_COUNT(dues); i++) {
        if (dues[i] != 0) {
            const uint32_t left = dues[i] > io->now_ds ? dues[i] - io->now_ds : 0;
            ticks = left < ticks ? left : ticks;
        }
    }
    return rc_io_arrivals_ms(io, ticks * RC_WHEEL_TICK_MS);
}

void rc_io_set_timer(struct rc_io *io, uint32_t index, uint32_t deadline_ds)
{
    if (deadline_ds == 0) {
        rc_wheel_clear(&io->wheel, index);
    } else {
        rc_wheel_set(&io->wheel, index, deadline_ds);
    }
}

void rc_io_hasten_timer(struct rc_io *io, uint32_t index, uint32_t deadline_ds)
{
    const uint32_t set_ds = io->wheel.nodes[index].deadline_ds;
    if (set_ds == 0 || set_ds > deadline_ds) {
        rc_wheel_set(&io->wheel, index, deadline_ds);
    }
}
