/* loop: see loop.h. */
#include "relay/loop.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/clock.h"
#include "common/doorbell.h"
#include "common/uring.h"

#define SQ_ENTRIES 64u
#define CQ_ENTRIES 256u

/* A heartbeat at least every second. */
#define WAIT_MS_MAX 1000u

/* A busy relay looks at its descriptors this often: a look is a system call (DEFER_TASKRUN). */
#define REAP_INTERVAL_MS 5u

int rc_relay_loop_open(struct rc_relay_loop *loop, struct rc_process *process, const struct rc_relay_loop_ops *ops,
                       struct rc_err *err)
{
    *loop = (struct rc_relay_loop){.process = process, .ops = *ops};
    const struct rc_uring_options options = {.sq_entries = SQ_ENTRIES, .cq_entries = CQ_ENTRIES};
    return rc_uring_open(&loop->ring, &options, NULL, err);
}

void rc_relay_loop_close(struct rc_relay_loop *loop)
{
    rc_uring_close(&loop->ring);
}

static int arm(struct rc_relay_loop *loop, uint32_t index)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);
    if (sqe == NULL) {
        const int result = io_uring_submit(&loop->ring);
        sqe = io_uring_get_sqe(&loop->ring);
        if (sqe == NULL) {
            return result < 0 ? result : -EBUSY;
        }
    }
    io_uring_prep_poll_multishot(sqe, loop->watches[index].fd, loop->watches[index].events);
    io_uring_sqe_set_data64(sqe, index);
    return 0;
}

int rc_relay_loop_watch(struct rc_relay_loop *loop, int fd, bool edge, rc_relay_ready *ready, void *context)
{
    if (loop->watch_count == RC_RELAY_WATCHES_MAX) {
        return -ENOSPC;
    }
    const uint32_t index = loop->watch_count++;
    loop->watches[index] = (struct rc_relay_watch){
        .fd = fd, .events = POLLIN | (edge ? (uint32_t)EPOLLET : 0), .ready = ready, .context = context};
    return arm(loop, index);
}

/* Takes all completions. A multishot poll ends when the completion queue overflowed or on an error: it is armed again. */
static int reap(struct rc_relay_loop *loop)
{
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&loop->ring, &cqe) == 0) {
        const uint64_t index = io_uring_cqe_get_data64(cqe);
        const int result = cqe->res;
        const bool armed = (cqe->flags & IORING_CQE_F_MORE) != 0;
        io_uring_cqe_seen(&loop->ring, cqe);
        if (index >= loop->watch_count) {
            continue;
        }
        if (result < 0 && result != -ECANCELED && result != -EINTR) {
            return result;
        }
        if (!armed) {
            const int rearmed = arm(loop, (uint32_t)index);
            if (rearmed < 0) {
                return rearmed;
            }
        }
        const struct rc_relay_watch *watch = &loop->watches[index];
        if (result > 0 && watch->ready != NULL) {
            watch->ready(watch->context, (uint32_t)result);
        }
    }
    loop->reaped_ms = rc_clock_ms();
    return 0;
}

static int sleep_until_rung(struct rc_relay_loop *loop)
{
    int result = 0;
    rc_doorbell_sleep(&loop->process->bell);
    if (!loop->ops.pending(loop->ops.context)) {
        struct __kernel_timespec timeout = {.tv_sec = WAIT_MS_MAX / 1000, .tv_nsec = (WAIT_MS_MAX % 1000) * 1000000};
        struct io_uring_cqe *cqe;
        result = io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, &timeout, NULL);
        rc_doorbell_awake(&loop->process->bell);
        if (result == -ETIME || result == -EINTR || result == -EAGAIN || result == -EBUSY) {
            result = 0; /* nothing happened, or completions have to be taken first */
        }
        return result < 0 ? result : reap(loop);
    }
    rc_doorbell_awake(&loop->process->bell);
    return 0;
}

int rc_relay_loop_run(struct rc_relay_loop *loop, struct rc_err *err)
{
    while (!loop->stopping) {
        const uint64_t now_ms = rc_clock_ms();
        atomic_store_explicit(&loop->process->heartbeat_ms, now_ms, memory_order_relaxed);
        int result = 0;
        if (!loop->ops.turn(loop->ops.context) && !loop->stopping) {
            result = sleep_until_rung(loop);
        }
        if (result == 0 && now_ms - loop->reaped_ms >= REAP_INTERVAL_MS && now_ms > loop->reaped_ms) {
            result = io_uring_submit_and_get_events(&loop->ring);
            result = result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY ? result : reap(loop);
        }
        if (result < 0) {
            return rc_err_set(err, result, "relay loop: io_uring: %s", strerror(-result));
        }
    }
    return 0;
}

void rc_relay_loop_stop(struct rc_relay_loop *loop)
{
    loop->stopping = true;
}
