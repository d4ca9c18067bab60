/*
 * succeed: a worker that takes over from one that runs: its truth, its sockets, its rings, its report.
 *
 *   STANDBY: what is shared is mapped, nothing of it written ─ADOPT─▶ ADOPTING: truth attached, rooms opened, index rebuilt
 *       │                                                                │
 *       └─ not wanted: it ends                                           ├─ refused: it ends, and the predecessor goes on
 *                                                                        ▼
 *                       the point of no return: its word is READY, and the predecessor will never run again
 *                                                                        ▼
 *                                            sockets out of the vault, polls, accepts: the loop
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fail.h"
#include "common/base/log.h"
#include "worker/adopt/rebuild.h"
#include "worker/worker.h"

#define SUCCEED_LOOK_MS 1000u /* at what else may end it, while it stands by */

static void succeed_say(struct rc_worker *w, enum rc_process_state state)
{
    /* SC1 pairs with TK2 in acceptor/watch/takeover.c: what was written before it is there. */
    atomic_store_explicit(&w->process->successor_state, (uint32_t)state, memory_order_release);
    rc_worker_tell_acceptor(w);
}

/* True when it is its turn; false: it is not wanted any more. */
static bool succeed_wait(struct rc_worker *w)
{
    struct pollfd fds[] = {{.fd = w->args.order_fd, .events = POLLIN}, {.fd = w->args.life_fd, .events = POLLIN}};
    const struct rc_life *life = &w->control.core->workers[w->args.index];
    while ((fds[1].revents & POLLHUP) == 0 && rc_control_state(&w->control) < RC_BROKER_DRAINING) {
        uint64_t rings;
        /* PK3 pairs with TK1 in acceptor/start/broker.c, which saw PK2: the truth stands as the predecessor left it. */
        if (atomic_load_explicit(&life->order, memory_order_acquire) == RC_ORDER_ADOPT) {
            return true;
        }
        if (poll(fds, 2, SUCCEED_LOOK_MS) > 0 && (fds[0].revents & POLLIN) != 0) {
            (void)!read(w->args.order_fd, &rings, sizeof(rings));
        }
    }
    return false;
}

static int succeed_rebuild(struct rc_worker *w, struct rc_err *err)
{
    int rc = rc_worker_open(w, err);
    if (rc == 0 && w->truth.layout->config_generation != w->config_generation) {
        rc = rc_err_set(err, -EAGAIN, "the configuration was read again meanwhile");
    }
    const struct rc_adopt adopt = {.truth = &w->truth, .hub = &w->hub, .clients = &w->clients, .engines = &w->engines};
    rc = rc == 0 ? rc_adopt_rebuild(&adopt, err) : rc;
    if (rc == 0) {
        rc_pipes_rebuild(&w->handovers.pipes);
    }
    return rc;
}

int rc_worker_succeed(struct rc_worker *w, struct rc_err *err)
{
    if (rc_fail_here("standby")) {
        return rc_err_set(err, -EINVAL, "it is to fail here");
    }
    succeed_say(w, RC_PROCESS_STANDBY);
    if (!succeed_wait(w)) {
        return rc_err_set(err, -ECANCELED, "it is not wanted any more");
    }
    const uint64_t since_ns = rc_clock_ns();
    succeed_say(w, RC_PROCESS_ADOPTING);
    const int rc = rc_fail_here("adopting") ? rc_err_set(err, -EINVAL, "it is to fail here") : succeed_rebuild(w, err);
    if (rc < 0) {
        return rc;
    }
    const uint64_t rebuilt_ns = rc_clock_ns();
    w->owns = true;
    w->state = RC_PROCESS_READY;
    rc_worker_alive(w); /* what its predecessor said of connections holds until they are taken */
    /* SC1, the point of no return: who dies behind it leaves nothing for the predecessor. Told when it serves. */
    atomic_store_explicit(&w->process->successor_state, RC_PROCESS_READY, memory_order_release);
    const uint32_t adopted = rc_io_adopt(&w->io);
    rc_io_go_on(&w->io);
    w->more = true;
    rc_worker_beat(w);
    rc_worker_tell_acceptor(w);
    rc_log_info("worker_took_over", "sockets=%u rebuilt_us=%" PRIu64 " adopted_us=%" PRIu64, adopted,
                (rebuilt_ns - since_ns) / 1000u, (rc_clock_ns() - rebuilt_ns) / 1000u);
    return 0;
}
