/* loop: see loop.h. */
#include "relay/loop.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/base/clock.h"
#include "common/shm/doorbell.h"
#include "common/base/uring.h"

#define SQ_ENTRIES 64u
#define CQ_ENTRIES 256u

/* A heartbeat at least every second. */
#define WAIT_MS_MAX 1000u

/* A busy relay looks at its descriptors (Redis) this often: a look is a system call (DEFER_TASKRUN), and a thousand of them a
 * second are nothing, while 5 ms would be most of what a message between hosts may take. */
#define REAP_INTERVAL_MS 1u

int rc_relay_loop_open(struct rc_relay_loop *loop, struct rc_process *process, const struct rc_relay_loop_ops *ops,
                       struct rc_err *err)
{
    *loop = (struct rc_relay_loop){.process = process, .ops = *ops, .state = RC_PROCESS_READY};
    const struct rc_uring_options options = {.sq_entries = SQ_ENTRIES, .cq_entries = CQ_ENTRIES};
    return rc_uring_open(&loop->ring, &options, NULL, err);
}

void rc_relay_loop_become(struct rc_relay_loop *loop, struct rc_process *process, const struct rc_relay_loop_ops *ops)
{
    loop->process = process;
    loop->ops = *ops;
    loop->stopping = false;
}

void rc_relay_loop_say(struct rc_relay_loop *loop, enum rc_process_state state)
{
    loop->state = state;
    /* RL1 pairs with A1 in acceptor/watch/child.h: what was written before it is there. */
    atomic_store_explicit(&loop->process->state, state, memory_order_release);
}

void rc_relay_loop_close(struct rc_relay_loop *loop)
{
    rc_uring_close(&loop->ring);
}

static struct io_uring_sqe *take_sqe(struct rc_relay_loop *loop)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);
    if (sqe == NULL) {
        (void)io_uring_submit(&loop->ring);
        sqe = io_uring_get_sqe(&loop->ring);
    }
    return sqe;
}

static uint64_t tag_of(const struct rc_relay_loop *loop, uint32_t index)
{
    return (uint64_t)loop->watches[index].generation << 32 | index;
}

static int loop_arm(struct rc_relay_loop *loop, uint32_t index)
{
    struct io_uring_sqe *sqe = take_sqe(loop);
    if (sqe == NULL) {
        return -EBUSY;
    }
    io_uring_prep_poll_multishot(sqe, loop->watches[index].fd, loop->watches[index].events);
    io_uring_sqe_set_data64(sqe, tag_of(loop, index));
    return 0;
}

int rc_relay_loop_poll(struct rc_relay_loop *loop, int fd, uint32_t events, rc_relay_ready *ready, void *context)
{
    uint32_t index = 0;
    while (index < loop->watch_count && loop->watches[index].fd >= 0) {
        index++;
    }
    if (index == RC_RELAY_WATCHES_MAX) {
        return -ENOSPC;
    }
    if (index == loop->watch_count) {
        loop->watch_count++;
    }
    struct rc_relay_watch *watch = &loop->watches[index];
    const uint32_t generation = watch->generation;
    *watch = (struct rc_relay_watch){
        .fd = fd, .generation = generation, .events = events, .ready = ready, .context = context};
    const int rc = loop_arm(loop, index);
    if (rc < 0) {
        watch->fd = -1;
        return rc;
    }
    return (int)index;
}

void rc_relay_loop_unpoll(struct rc_relay_loop *loop, int handle)
{
    struct rc_relay_watch *watch = &loop->watches[handle];
    struct io_uring_sqe *sqe = take_sqe(loop);
    if (sqe != NULL) {
        io_uring_prep_poll_remove(sqe, tag_of(loop, (uint32_t)handle));
        io_uring_sqe_set_data64(sqe, UINT64_MAX); /* nobody's */
        /* At once: the poll holds the file open, and its peer would not see it closed. */
        (void)io_uring_submit(&loop->ring);
    }
    watch->fd = -1;
    watch->generation++;
    watch->ready = NULL;
}

int rc_relay_loop_watch(struct rc_relay_loop *loop, int fd, bool edge, rc_relay_ready *ready, void *context)
{
    const int handle = rc_relay_loop_poll(loop, fd, POLLIN | (edge ? (uint32_t)EPOLLET : 0), ready, context);
    return handle < 0 ? handle : 0;
}

/* Takes all completions. A multishot poll ends when the completion queue overflowed or on an error: it is armed again. */
static int loop_reap(struct rc_relay_loop *loop)
{
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&loop->ring, &cqe) == 0) {
        const uint64_t tag = io_uring_cqe_get_data64(cqe);
        const uint32_t index = (uint32_t)tag;
        const int rc = cqe->res;
        const bool armed = (cqe->flags & IORING_CQE_F_MORE) != 0;
        io_uring_cqe_seen(&loop->ring, cqe);
        if (index >= loop->watch_count || loop->watches[index].fd < 0 || tag_of(loop, index) != tag) {
            continue;
        }
        if (rc < 0 && rc != -ECANCELED && rc != -EINTR) {
            return rc;
        }
        if (!armed) {
            const int rearmed = loop_arm(loop, index);
            if (rearmed < 0) {
                return rearmed;
            }
        }
        const struct rc_relay_watch *watch = &loop->watches[index];
        if (rc > 0 && watch->ready != NULL) {
            watch->ready(watch->context, (uint32_t)rc);
        }
    }
    if (loop->ops.reaped != NULL) {
        loop->ops.reaped(loop->ops.context);
    }
    loop->reaped_ms = rc_clock_ms();
    return 0;
}

static uint64_t wait_of(const struct rc_relay_loop *loop)
{
    const uint64_t due_ms = rc_timers_due_ms(&loop->timers);
    const uint64_t now_ms = rc_clock_ms();
    const uint64_t wait_ms = due_ms > now_ms ? due_ms - now_ms : 0;
    return wait_ms < WAIT_MS_MAX ? wait_ms : WAIT_MS_MAX;
}

static int sleep_until_rung(struct rc_relay_loop *loop)
{
    int rc = 0;
    rc_doorbell_sleep(&loop->process->bell);
    const uint64_t wait_ms = wait_of(loop);
    if (wait_ms > 0 && !loop->ops.pending(loop->ops.context)) {
        struct __kernel_timespec timeout = {.tv_sec = (int64_t)(wait_ms / 1000),
                                            .tv_nsec = (int64_t)(wait_ms % 1000 * 1000000)};
        struct io_uring_cqe *cqe;
        rc = io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, &timeout, NULL);
        rc_doorbell_awake(&loop->process->bell);
        if (rc == -ETIME || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY) {
            rc = 0; /* nothing happened, or completions have to be taken first */
        }
        return rc < 0 ? rc : loop_reap(loop);
    }
    rc_doorbell_awake(&loop->process->bell);
    return 0;
}

int rc_relay_loop_run(struct rc_relay_loop *loop, struct rc_err *err)
{
    while (!loop->stopping) {
        const uint64_t now_ms = rc_clock_ms();
        atomic_store_explicit(&loop->process->heartbeat_ms, now_ms, memory_order_relaxed);
        /* Again and again: a stray write must not make the relay look as if it did not run. */
        atomic_store_explicit(&loop->process->state, loop->state, memory_order_release); /* RL1 */
        int rc = 0;
        rc_timers_run(&loop->timers, now_ms);
        if (!loop->ops.turn(loop->ops.context) && !loop->stopping) {
            rc = sleep_until_rung(loop);
        }
        if (rc == 0 && now_ms - loop->reaped_ms >= REAP_INTERVAL_MS && now_ms > loop->reaped_ms) {
            rc = io_uring_submit_and_get_events(&loop->ring);
            rc = rc < 0 && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY ? rc : loop_reap(loop);
        }
        if (rc < 0) {
            return rc_err_set(err, rc, "relay loop: io_uring: %s", strerror(-rc));
        }
    }
    return 0;
}

void rc_relay_loop_stop(struct rc_relay_loop *loop)
{
    loop->stopping = true;
}
