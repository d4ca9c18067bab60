/* floor_uring: the floor's io_uring loop: direct descriptors, multishot accept, batches of 256 sends that are skipped in
 * the completion queue when they succeed. A ring holds at most as many connections as RLIMIT_NOFILE allows, so above that
 * there are several, filled one after the other; then the loop looks at each in turn. */
#include "bench/floor_core.h"

#include "common/base/check.h"
#include "common/base/clock.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define SLOTS 19900u
#define BUFFERS 256u
#define BUFFER_BYTES 8192u
#define PENDING_NS 1000000ll
/* A multishot accept on a full table drops the connection it has already taken: stop while what one turn can still
 * accept fits. */
#define SLOTS_SPARE 1024u

enum op {
    OP_ACCEPT = 1,
    OP_RECEIVE,
    OP_POLL,
    OP_SEND,
    OP_CLOSE,
    OP_CANCEL,
};

struct one_ring {
    struct io_uring ring;
    struct io_uring_buf_ring *buffers;
    uint8_t *memory;
    uint32_t queued;
    uint32_t open;
    bool dirty; /* true exactly while sends are queued */
    bool full;  /* accepts no more */
};

struct loop {
    struct rc_bench_floor_core *core;
    struct one_ring *rings;
    uint32_t ring_count;
    uint32_t accepting;
    uint32_t waiting; /* the ring to sleep on */
    int listener;
};

static struct io_uring_sqe *sqe_for(struct one_ring *one, enum op op, uint32_t slot)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&one->ring);
    if (sqe == NULL) {
        io_uring_submit(&one->ring);
        one->queued = 0;
        sqe = io_uring_get_sqe(&one->ring);
        RC_ASSERT(sqe != NULL);
    }
    io_uring_sqe_set_data64(sqe, (uint64_t)op << 32 | slot);
    return sqe;
}

static void queue_send(void *at, uint32_t conn, const uint8_t *bytes, uint32_t count)
{
    struct loop *const loop = at;
    struct one_ring *const one = &loop->rings[conn / SLOTS];
    struct io_uring_sqe *const sqe = sqe_for(one, OP_SEND, conn % SLOTS);
    io_uring_prep_send(sqe, (int)(conn % SLOTS), bytes, count, MSG_WAITALL | MSG_DONTWAIT | MSG_NOSIGNAL);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    one->dirty = true;
    if (++one->queued == RC_BENCH_FLOOR_BATCH) {
        io_uring_submit(&one->ring);
        one->queued = 0;
    }
}

static void uring_flush(void *at)
{
    struct loop *const loop = at;
    for (uint32_t i = 0; i < loop->ring_count; i++) {
        if (loop->rings[i].dirty) {
            io_uring_submit(&loop->rings[i].ring);
            loop->rings[i].queued = 0;
            loop->rings[i].dirty = false;
        }
    }
}

static void arm_accept(struct loop *loop, uint32_t index)
{
    struct io_uring_sqe *const sqe = sqe_for(&loop->rings[index], OP_ACCEPT, 0);
    io_uring_prep_multishot_accept_direct(sqe, loop->listener, NULL, NULL, 0);
    io_uring_submit(&loop->rings[index].ring);
    loop->accepting = loop->waiting = index;
}

static void accept_arm(struct loop *loop, struct one_ring *one, uint32_t conn)
{
    const uint32_t slot = conn % SLOTS;
    const uint8_t state = loop->core->conns[conn].state;
    if (state == RC_BENCH_FLOOR_QUIET) {
        struct io_uring_sqe *const sqe = sqe_for(one, OP_POLL, slot);
        io_uring_prep_poll_add(sqe, (int)slot, POLLIN);
        sqe->flags |= IOSQE_FIXED_FILE;
        return;
    }
    struct io_uring_sqe *const sqe = sqe_for(one, OP_RECEIVE, slot);
    if (state == RC_BENCH_FLOOR_TALKING) {
        io_uring_prep_recv_multishot(sqe, (int)slot, NULL, 0, 0);
        loop->waiting = conn / SLOTS;
    } else {
        io_uring_prep_recv(sqe, (int)slot, NULL, BUFFER_BYTES, 0);
    }
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
}

static void uring_received(struct loop *loop, struct one_ring *one, const struct io_uring_cqe *cqe, uint32_t conn)
{
    bool open = cqe->res > 0 || cqe->res == -ENOBUFS;
    if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
        const uint32_t id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        uint8_t *const bytes = one->memory + (size_t)id * BUFFER_BYTES;
        if (open) {
            open = rc_bench_floor_core_take(loop->core, conn, bytes, (uint32_t)cqe->res);
        }
        io_uring_buf_ring_add(one->buffers, bytes, BUFFER_BYTES, (unsigned short)id, io_uring_buf_ring_mask(BUFFERS),
                              0);
        io_uring_buf_ring_advance(one->buffers, 1);
    }
    if (open && (cqe->flags & IORING_CQE_F_MORE) == 0) {
        accept_arm(loop, one, conn);
    } else if (!open && (cqe->flags & IORING_CQE_F_MORE) == 0) {
        rc_bench_floor_core_closed(loop->core, conn);
        one->open--;
        struct io_uring_sqe *const sqe = sqe_for(one, OP_CLOSE, conn % SLOTS);
        io_uring_prep_close_direct(sqe, conn % SLOTS);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    }
}

static void uring_accepted(struct loop *loop, uint32_t index, const struct io_uring_cqe *cqe)
{
    struct one_ring *const one = &loop->rings[index];
    if (cqe->res >= 0) {
        const uint32_t conn = index * SLOTS + (uint32_t)cqe->res;
        rc_bench_floor_core_opened(loop->core, conn);
        accept_arm(loop, one, conn);
        one->open++;
    }
    if (!one->full && one->open >= SLOTS - SLOTS_SPARE && index + 1 < loop->ring_count) {
        one->full = true;
        struct io_uring_sqe *const sqe = sqe_for(one, OP_CANCEL, 0);
        io_uring_prep_cancel64(sqe, (uint64_t)OP_ACCEPT << 32, 0);
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        arm_accept(loop, one->full ? index + 1 : index);
    }
}

static uint32_t uring_serve(struct loop *loop, uint32_t index, bool wait, bool busy)
{
    struct one_ring *const one = &loop->rings[index];
    /* What happens on the other rings of several may wait a little: there, only clients leave. */
    const long long sleep_ns = loop->core->pending > 0 ? PENDING_NS
                               : loop->ring_count > 1  ? 20 * PENDING_NS
                                                       : 100 * PENDING_NS;
    struct __kernel_timespec timeout = {.tv_nsec = wait ? sleep_ns : 0};
    struct io_uring_cqe *cqe;
    io_uring_submit_and_wait_timeout(&one->ring, &cqe, busy || !wait ? 128 : 1, &timeout, NULL);
    one->queued = 0;
    one->dirty = false;
    uint32_t count = 0;
    unsigned head;
    io_uring_for_each_cqe(&one->ring, head, cqe)
    {
        const uint64_t data = io_uring_cqe_get_data64(cqe);
        const uint32_t conn = index * SLOTS + (uint32_t)data;
        switch ((enum op)(data >> 32)) {
        case OP_ACCEPT:
            uring_accepted(loop, index, cqe);
            break;
        case OP_RECEIVE:
            uring_received(loop, one, cqe, conn);
            break;
        case OP_POLL: {
            struct io_uring_sqe *const sqe = sqe_for(one, OP_RECEIVE, (uint32_t)data);
            io_uring_prep_recv(sqe, (int)(uint32_t)data, NULL, BUFFER_BYTES, 0);
            sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
            sqe->buf_group = 0;
            break;
        }
        case OP_SEND: /* cut or failed: the client will miss it and say so */
        case OP_CLOSE:
        case OP_CANCEL:
            break;
        }
        count++;
    }
    io_uring_cq_advance(&one->ring, count);
    uring_flush(loop);
    loop->core->arena_used = 0;
    return count;
}

static void uring_open(struct one_ring *one)
{
    struct io_uring_params params = {
        .flags =
            IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = 8192,
    };
    int rc = io_uring_queue_init_params(1024, &one->ring, &params);
    RC_ASSERT(rc == 0);
    io_uring_register_ring_fd(&one->ring);
    rc = io_uring_register_files_sparse(&one->ring, SLOTS);
    RC_ASSERT(rc == 0);
    one->buffers = io_uring_setup_buf_ring(&one->ring, BUFFERS, 0, 0, &rc);
    one->memory = mmap(NULL, BUFFERS * BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    RC_ASSERT(one->buffers != NULL && one->memory != MAP_FAILED);
    for (uint32_t i = 0; i < BUFFERS; i++) {
        io_uring_buf_ring_add(one->buffers, one->memory + (size_t)i * BUFFER_BYTES, BUFFER_BYTES, (unsigned short)i,
                              io_uring_buf_ring_mask(BUFFERS), (int)i);
    }
    io_uring_buf_ring_advance(one->buffers, BUFFERS);
}

void rc_bench_floor_uring(struct rc_bench_floor_core *core, int listener, uint32_t connections)
{
    struct loop *const loop = calloc(1, sizeof(*loop));
    RC_ASSERT(loop != NULL);
    *loop = (struct loop){.core = core, .listener = listener, .ring_count = connections / (SLOTS - SLOTS_SPARE) + 1};
    core->loop = loop;
    core->send = queue_send;
    core->flush = uring_flush;
    rc_bench_floor_core_init(core, loop->ring_count * SLOTS);
    loop->rings = calloc(loop->ring_count, sizeof(*loop->rings));
    RC_ASSERT(loop->rings != NULL);
    for (uint32_t i = 0; i < loop->ring_count; i++) {
        uring_open(&loop->rings[i]);
    }
    arm_accept(loop, 0);
    bool busy = false;
    for (;;) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < loop->ring_count; i++) {
            count += uring_serve(loop, i, !busy && i == loop->waiting, busy);
        }
        busy = count >= 16;
        if (count == 0 && core->pending > 0) {
            rc_bench_floor_core_send_pending(core);
        }
    }
}
