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
 *
 * And from one that is dead (worker/adopt/crash.h): nothing is waited for, and its word READY says that the dead one's ring memory is of no use
 * any more. Killed before or behind that, it leaves the next one what that needs.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fail.h"
#include "common/base/log.h"
#include "worker/adopt/rebuild.h"
#include "worker/link/link_io.h"
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
    const struct rc_adopt adopt = {.truth = &w->truth, .hub = &w->hub, .clients = &w->clients, .engines = &w->engines};
    rc = rc == 0 ? rc_adopt_rebuild(&adopt, err) : rc;
    if (rc == 0) {
        rc_pipes_rebuild(&w->handovers.pipes);
    }
    return rc;
}

/* For tests: what differs from what the kernel counts, or does not fit together, was not right in the truth, or was not rebuilt so. */
static void succeed_verify(struct rc_worker *w)
{
    struct rc_err err = {0};
    uint32_t looked = 0;
    if (!w->config->debug.adopt_verify) {
        return;
    }
    const uint32_t different = rc_io_verify(&w->io, &looked);
    const bool damaged = rc_truth_check_own(&w->truth, &err) < 0;
    if (damaged) {
        rc_log_error("adopted_damaged", "reason=\"%s\"", err.text);
        rc_metric_add(w->metrics, RC_METRIC_ADOPT_DIFFERENCES, 1);
    }
    rc_log_info("adopted_verified", "sockets=%u different=%u damaged=%s", looked, different, damaged ? "yes" : "no");
}

/* All say in the truth what is to be done next: not before it is this process's. */
static void succeed_goes_on(struct rc_worker *w)
{
    rc_engines_taken(&w->engines);
    rc_moves_rebuild(&w->moves); /* behind that: it may end a session, whose requests are forgotten by now */
    rc_links_rebuild(w->links);
    rc_pushers_rebuild(&w->pushers);
    rc_batches_taken(w->batches);
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
    rc_banks_inherit(&w->control.own->banks); /* its predecessor stands still, and counts no more */
    if (rc_fail_here("adopting hangs")) {
        struct pollfd life = {.fd = w->args.life_fd};
        (void)poll(&life, 1, -1);
    }
    const int rc = rc_fail_here("adopting") ? rc_err_set(err, -EINVAL, "it is to fail here") : succeed_rebuild(w, err);
    if (rc < 0) {
        return rc;
    }
    const uint64_t rebuilt_ns = rc_clock_ns();
    w->owns = true;
    rc_banks_take(&w->control.own->banks);
    rc_worker_record(w);
    w->state = RC_PROCESS_READY;
    rc_worker_alive(w); /* what its predecessor said of connections holds until they are taken */
    /* SC1, the point of no return: who dies behind it leaves nothing for the predecessor. Told when it serves. */
    atomic_store_explicit(&w->process->successor_state, RC_PROCESS_READY, memory_order_release);
    uint32_t lost = 0;
    succeed_goes_on(w);
    const uint32_t adopted = rc_io_adopt(&w->io, &lost);
    succeed_verify(w);
    rc_clients_taken(&w->clients);
    rc_io_go_on(&w->io);
    rc_hub_took_over(&w->hub);
    w->more = true;
    rc_worker_beat(w);
    rc_worker_tell_acceptor(w);
    rc_log_info("worker_took_over", "sockets=%u ended=%u rebuilt_us=%" PRIu64 " adopted_us=%" PRIu64, adopted, lost,
                (rebuilt_ns - since_ns) / 1000u, (rc_clock_ns() - rebuilt_ns) / 1000u);
    return 0;
}

static void adopt_sockets(struct rc_worker *w, uint64_t since_ns)
{
    uint32_t lost = 0;
    const uint32_t adopted = rc_io_adopt(&w->io, &lost);
    succeed_verify(w);
    rc_clients_taken(&w->clients);
    rc_crash_wake(&w->clients, &w->engines);
    rc_io_go_on(&w->io);
    rc_hub_took_over(&w->hub);
    lost += w->crash.repaired.clients;
    rc_metric_add(w->metrics, RC_METRIC_ADOPTED, adopted);
    rc_metric_add(w->metrics, RC_METRIC_NOT_ADOPTED, lost);
    rc_log_info("worker_adopted",
                "sockets=%u ended=%u quarantined=%u unsent=%u unread=%u logs_given_up=%u took_us=%" PRIu64, adopted,
                lost, w->crash.poisoned, w->crash.unsent, w->crash.unread, w->crash.repaired.logs,
                (rc_clock_ns() - since_ns) / 1000u);
}

int rc_worker_adopt(struct rc_worker *w, struct rc_err *err)
{
    const uint64_t since_ns = rc_clock_ns();
    succeed_say(w, RC_PROCESS_ADOPTING);
    const int rc = succeed_rebuild(w, err);
    if (rc < 0) {
        return rc;
    }
    succeed_goes_on(w);
    rc_crash_settle(&w->crash, &w->clients);
    rc_crash_close(&w->crash);
    /* SC1, also with TK3 in acceptor/start/broker.c: the truth says all. */
    atomic_store_explicit(&w->process->successor_state, RC_PROCESS_READY, memory_order_release);
    adopt_sockets(w, since_ns);
    w->more = true;
    w->state = RC_PROCESS_READY;
    rc_worker_beat(w);
    /* SC2 pairs with A1 in acceptor/watch/child.h: all clients are there. */
    atomic_store_explicit(&w->process->state, RC_PROCESS_READY, memory_order_release);
    rc_worker_tell_acceptor(w);
    return 0;
}
