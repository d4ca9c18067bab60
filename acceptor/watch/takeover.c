/*
 * takeover: see takeover.h.
 */
#include "acceptor/watch/takeover.h"
#include "acceptor/start/vaults.h"
#include "acceptor/watch/workers.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"

#define TAKEOVER_STANDBY_MS 15000u /* as for any child's start */
#define TAKEOVER_PARK_MS 4000u     /* more than a worker tries (worker/park.c): it says by itself why it does not */
#define TAKEOVER_ADOPT_MS 10000u
#define TAKEOVER_GO_ON_MS 5000u
#define TAKEOVER_ENDING_MS 5000u
#define TAKEOVER_NOBODY UINT32_MAX /* instead of a console handle */
#define TAKEOVER_LOOK_MS 2u        /* at a process that was killed */

static struct rc_child *its_worker(struct rc_supervisor *supervisor)
{
    return &supervisor->broker.workers[supervisor->takeover.worker];
}

static void order_give(struct rc_supervisor *supervisor, struct rc_child *child, enum rc_order order)
{
    rc_broker_order(&supervisor->broker, child, order);
    if (supervisor->takeover.successor.pid != 0) {
        (void)rc_doorbell_wake(supervisor->takeover.successor.order_fd);
    }
}

static void takeover_enter(struct rc_supervisor *supervisor, enum rc_takeover_phase phase, uint64_t in_ms)
{
    supervisor->takeover.phase = phase;
    supervisor->takeover.due_ms = supervisor->now_ms + in_ms;
}

__attribute__((format(printf, 2, 3))) static void takeover_note(struct rc_takeover *takeover, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    const int bytes =
        vsnprintf(takeover->text + takeover->text_bytes, sizeof(takeover->text) - takeover->text_bytes, format, list);
    va_end(list);
    if (bytes > 0 && (size_t)bytes < sizeof(takeover->text) - takeover->text_bytes) {
        takeover->text_bytes += (uint32_t)bytes;
    }
}

static void takeover_refuse(struct rc_supervisor *supervisor, uint32_t handle, const char *text)
{
    rc_console_write(&supervisor->console, handle, text, strlen(text));
    rc_console_finish(&supervisor->console, handle, supervisor->now_ms);
}

static void takeover_end(struct rc_supervisor *supervisor, bool well)
{
    struct rc_takeover *takeover = &supervisor->takeover;
    takeover->phase = RC_TAKEOVER_NONE;
    takeover->well = well;
    takeover->text[takeover->text_bytes] = '\0';
    rc_console_write(&supervisor->console, takeover->handle, well ? "ok\n" : "error\n", well ? 3 : 6);
    takeover_refuse(supervisor, takeover->handle, takeover->text);
}

static void successor_close(struct rc_successor *successor)
{
    if (successor->pidfd >= 0) {
        close(successor->pidfd); /* epoll forgets it */
    }
    if (successor->order_fd >= 0) {
        close(successor->order_fd);
    }
    if (successor->io_fd >= 0) {
        close(successor->io_fd);
    }
    *successor = (struct rc_successor){.pidfd = -1, .order_fd = -1, .io_fd = -1};
}

/* Is it gone, and reaped? */
static bool process_gone(pid_t pid)
{
    const pid_t rc = waitpid(pid, NULL, WNOHANG);
    return rc == pid || (rc < 0 && errno == ECHILD);
}

static int takeover_watch(const struct rc_supervisor *supervisor, int operation, int fd, uint64_t number)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = number}};
    return epoll_ctl(supervisor->epoll_fd, operation, fd, &event) == 0 ? 0 : -errno;
}

/* Before the point of no return: the successor goes, then the worker goes on. */
static void takeover_undo(struct rc_supervisor *supervisor)
{
    struct rc_successor *successor = &supervisor->takeover.successor;
    if (successor->pid != 0) {
        (void)kill(successor->pid, SIGKILL);
    }
    takeover_enter(supervisor, RC_TAKEOVER_UNDOING, TAKEOVER_LOOK_MS);
}

static bool takeover_may(struct rc_supervisor *supervisor, struct rc_child *child)
{
    struct rc_takeover *takeover = &supervisor->takeover;
    if (rc_supervisor_state(supervisor) != RC_BROKER_RUNNING || child->pid == 0 ||
        rc_child_state(child) != RC_PROCESS_READY) {
        takeover_note(takeover, "%s does not run now\n", rc_child_name(child));
        return false;
    }
    if (!takeover->only_park && !rc_vaults_whole(supervisor->broker.vault_fds[child->index], child)) {
        takeover_note(takeover,
                      "connections are not kept (server.keep, the kernel, or memory was short): %s cannot be handed "
                      "over\n",
                      rc_child_name(child));
        return false;
    }
    if (!takeover->only_park && supervisor->reload.pending) {
        takeover_note(takeover, "the configuration is being read again: try again\n");
        return false;
    }
    return true;
}

/* The next worker's turn. */
static void takeover_begin(struct rc_supervisor *supervisor)
{
    struct rc_takeover *takeover = &supervisor->takeover;
    struct rc_child *child = its_worker(supervisor);
    struct rc_err err = {0};
    takeover->began_ns = rc_clock_ns();
    takeover->ending_ms = 0;
    takeover->ending_told = false;
    if (!takeover_may(supervisor, child)) {
        takeover_end(supervisor, false);
        return;
    }
    takeover->pid = child->pid;
    if (takeover->only_park) {
        takeover_enter(supervisor, RC_TAKEOVER_PARKING, TAKEOVER_PARK_MS);
        order_give(supervisor, child, RC_ORDER_PARK);
        return;
    }
    int rc = rc_broker_start_successor(&supervisor->broker, child, &takeover->successor, &err);
    if (rc == 0) {
        rc = takeover_watch(supervisor, EPOLL_CTL_ADD, takeover->successor.pidfd, RC_TAKEOVER_EVENT);
        if (rc != 0) {
            (void)rc_err_set(&err, rc, "cannot watch it: %s", strerror(-rc));
            takeover_note(takeover, "%s: %s\n", rc_child_name(child), err.text);
            takeover_undo(supervisor);
            return;
        }
    }
    if (rc != 0) {
        takeover_note(takeover, "a successor of %s could not be started: %s\n", rc_child_name(child), err.text);
        takeover_end(supervisor, false);
        return;
    }
    takeover_enter(supervisor, RC_TAKEOVER_STANDBY, TAKEOVER_STANDBY_MS);
}

static void takeover_start(struct rc_supervisor *supervisor, uint32_t handle, uint32_t first, uint32_t last,
                           bool only_park)
{
    supervisor->takeover = (struct rc_takeover){.handle = handle,
                                                .worker = first,
                                                .last = last,
                                                .only_park = only_park,
                                                .successor = {.pidfd = -1, .order_fd = -1, .io_fd = -1}};
    takeover_begin(supervisor);
}

/* The first worker from this place on; there is one in the first place. */
static uint32_t worker_from(const struct rc_supervisor *supervisor, uint32_t place)
{
    while (place < supervisor->broker.worker_count &&
           rc_broker_use(&supervisor->broker, &supervisor->broker.workers[place]) == RC_WORKER_UNUSED) {
        place++;
    }
    return place;
}

static bool takeover_which(struct rc_supervisor *supervisor, uint32_t handle, const char *text, uint32_t *worker)
{
    char *end;
    const unsigned long number = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || number >= supervisor->broker.worker_count ||
        rc_broker_use(&supervisor->broker, &supervisor->broker.workers[number]) == RC_WORKER_UNUSED) {
        takeover_refuse(supervisor, handle, "error\nthere is no such worker\n");
        return false;
    }
    *worker = (uint32_t)number;
    return true;
}

static bool takeover_busy(struct rc_supervisor *supervisor, uint32_t handle)
{
    if (rc_workers_changing(supervisor)) {
        takeover_refuse(supervisor, handle, "error\nthe number of workers is being changed: try again\n");
        return true;
    }
    if (supervisor->takeover.phase == RC_TAKEOVER_NONE && supervisor->upgrade.phase == RC_UPGRADE_NONE) {
        return false;
    }
    takeover_refuse(supervisor, handle, "error\nanother hand-over is running: try again\n");
    return true;
}

void rc_takeover_ask(struct rc_supervisor *supervisor, uint32_t handle, const char *text)
{
    uint32_t worker = 0;
    const bool all = strcmp(text, "all") == 0;
    if (!takeover_busy(supervisor, handle) && (all || takeover_which(supervisor, handle, text, &worker))) {
        takeover_start(supervisor, handle, worker, all ? supervisor->broker.worker_count - 1 : worker, false);
    }
}

void rc_takeover_upgrade(struct rc_supervisor *supervisor)
{
    takeover_start(supervisor, TAKEOVER_NOBODY, 0, supervisor->broker.worker_count - 1, false);
}

void rc_takeover_ask_park(struct rc_supervisor *supervisor, uint32_t handle, const char *text)
{
    uint32_t worker = 0;
    if (!takeover_busy(supervisor, handle) && takeover_which(supervisor, handle, text, &worker)) {
        takeover_start(supervisor, handle, worker, worker, true);
    }
}

/* The successor is the worker from here on; the predecessor, which stands still for ever, is killed. */
static void takeover_change(struct rc_supervisor *supervisor, struct rc_child *child)
{
    struct rc_takeover *takeover = &supervisor->takeover;
    struct rc_successor *successor = &takeover->successor;
    int *io_fd = &supervisor->broker.io_fds[child->index];
    const struct rc_successor old = {
        .pid = child->pid, .pidfd = child->pidfd, .order_fd = child->order_fd, .io_fd = *io_fd};
    takeover->taken_ns = rc_clock_ns();
    (void)kill(old.pid, SIGKILL);
    child->pid = successor->pid;
    child->pidfd = successor->pidfd;
    child->order_fd = successor->order_fd;
    *io_fd = successor->io_fd;
    child->started_ms = supervisor->now_ms;
    child->killed = child->stuck = false; /* that was the predecessor */
    atomic_store_explicit(&child->life->pid, (uint32_t)child->pid, memory_order_relaxed);
    /* Both are in the set already: a change of what they are called cannot fail. */
    (void)takeover_watch(supervisor, EPOLL_CTL_MOD, child->pidfd, (uint64_t)child->index);
    (void)takeover_watch(supervisor, EPOLL_CTL_MOD, old.pidfd, RC_TAKEOVER_EVENT);
    *successor = old;
    rc_log_info(
        "worker_handed_over", "child=\"%s\" pid=%d predecessor=%d parked_us=%" PRIu64 " stood_still_us=%" PRIu64,
        rc_child_name(child), (int)child->pid, (int)old.pid, (takeover->parked_ns - takeover->ordered_ns) / 1000u,
        (takeover->taken_ns - takeover->parked_ns) / 1000u);
    takeover_enter(supervisor, RC_TAKEOVER_LEAVING, TAKEOVER_LOOK_MS);
}

static void takeover_next(struct rc_supervisor *supervisor)
{
    struct rc_takeover *takeover = &supervisor->takeover;
    struct rc_child *child = its_worker(supervisor);
    takeover_note(takeover, "%s was handed over: pid %d, %" PRIu64 " connections, still for %" PRIu64 " us\n",
                  rc_child_name(child), (int)child->pid,
                  atomic_load_explicit(&child->process->connections, memory_order_relaxed),
                  (takeover->taken_ns - takeover->ordered_ns) / 1000u);
    rc_metric_add(rc_supervisor_metrics(supervisor), RC_METRIC_TAKEOVERS, 1);
    successor_close(&takeover->successor);
    /* TK4 pairs with PK1 in worker/park.c. Not before the predecessor is gone: it must never read this. */
    atomic_store_explicit(&child->life->order, RC_ORDER_RUN, memory_order_release);
    takeover->worker = worker_from(supervisor, takeover->worker + 1);
    if (takeover->worker > takeover->last) {
        takeover->worker = takeover->last;
        takeover_end(supervisor, true);
        return;
    }
    takeover_begin(supervisor);
}

/* Has the successor, which is gone, taken over before? Then what the predecessor knows is not so any more. */
static bool was_taken_over(const struct rc_supervisor *supervisor, const struct rc_child *child)
{
    /* TK2. Where only parking was asked for, the word is of a hand-over before. */
    return !supervisor->takeover.only_park &&
           atomic_load_explicit(&child->process->successor_state, memory_order_acquire) == RC_PROCESS_READY;
}

/* A process that was killed is gone at once, but for one that the kernel does not let go (a disk that does not answer): that is said, and the
 * worker does not wait for ever. */
static void ending_wait(struct rc_supervisor *supervisor, struct rc_child *child)
{
    struct rc_takeover *takeover = &supervisor->takeover;
    takeover->due_ms = supervisor->now_ms + TAKEOVER_LOOK_MS;
    if (takeover->ending_ms == 0) {
        takeover->ending_ms = supervisor->now_ms;
    } else if (supervisor->now_ms - takeover->ending_ms >= TAKEOVER_ENDING_MS && !takeover->ending_told) {
        takeover->ending_told = true;
        rc_log_error("process_does_not_end", "child=\"%s\" pid=%d", rc_child_name(child), (int)takeover->successor.pid);
    }
}

/* Steps of a process that was killed: the worker goes on only when the successor is gone. */
static void takeover_step_ending(struct rc_supervisor *supervisor, struct rc_child *child)
{
    struct rc_takeover *takeover = &supervisor->takeover;
    if (takeover->successor.pid != 0 && !process_gone(takeover->successor.pid)) {
        ending_wait(supervisor, child);
    } else if (takeover->phase == RC_TAKEOVER_LEAVING) {
        takeover_next(supervisor);
    } else {
        if (child->pid == takeover->pid && was_taken_over(supervisor, child)) {
            /* What the truth says goes on in the successor's ring memory: whoever adopts reads that one. */
            int *io_fd = &supervisor->broker.io_fds[child->index];
            const int predecessors = *io_fd;
            *io_fd = takeover->successor.io_fd;
            takeover->successor.io_fd = predecessors;
        }
        successor_close(&takeover->successor);
        rc_metric_add(rc_supervisor_metrics(supervisor), RC_METRIC_TAKEOVERS_FAILED, 1);
        rc_log_warn("worker_not_handed_over", "child=\"%s\"", rc_child_name(child));
        if (child->pid == takeover->pid && was_taken_over(supervisor, child)) {
            (void)kill(child->pid, SIGKILL); /* as if both were one: watch answers its end */
            takeover_note(takeover, "%s ended when it had just been handed over\n", rc_child_name(child));
        } else if (child->pid == takeover->pid) {
            order_give(supervisor, child, RC_ORDER_RUN);
            if (rc_child_state(child) == RC_PROCESS_PARKED) {
                takeover_enter(supervisor, RC_TAKEOVER_GOING_ON, TAKEOVER_GO_ON_MS);
                return;
            }
            takeover_note(takeover, "it goes on with its clients\n");
        }
        takeover_end(supervisor, false);
    }
}

static void takeover_step_parking(struct rc_supervisor *supervisor, struct rc_child *child, bool late)
{
    struct rc_takeover *takeover = &supervisor->takeover;
    if (rc_child_state(child) == RC_PROCESS_PARKED) {
        takeover->parked_ns = rc_clock_ns();
        const bool back = takeover->only_park;
        takeover_enter(supervisor, back ? RC_TAKEOVER_GOING_ON : RC_TAKEOVER_ADOPTING,
                       back ? TAKEOVER_GO_ON_MS : TAKEOVER_ADOPT_MS);
        order_give(supervisor, child, back ? RC_ORDER_RUN : RC_ORDER_ADOPT);
    } else if (late) {
        takeover_note(takeover, "%s cannot stand still now: its log line worker_not_parked says why\n",
                      rc_child_name(child));
        takeover_undo(supervisor);
    }
}

static void takeover_step(struct rc_supervisor *supervisor, struct rc_child *child)
{
    struct rc_takeover *takeover = &supervisor->takeover;
    const bool late = supervisor->now_ms >= takeover->due_ms;
    /* TK2 pairs with SC1 in worker/succeed.c. */
    const uint32_t other = atomic_load_explicit(&child->process->successor_state, memory_order_acquire);
    switch (takeover->phase) {
    case RC_TAKEOVER_STANDBY:
        if (other == RC_PROCESS_STANDBY) {
            takeover->ordered_ns = rc_clock_ns();
            takeover_enter(supervisor, RC_TAKEOVER_PARKING, TAKEOVER_PARK_MS);
            order_give(supervisor, child, RC_ORDER_PARK);
        } else if (late) {
            takeover_note(takeover, "the successor of %s is not ready in time\n", rc_child_name(child));
            takeover_undo(supervisor);
        }
        return;
    case RC_TAKEOVER_PARKING:
        takeover_step_parking(supervisor, child, late);
        return;
    case RC_TAKEOVER_ADOPTING:
        if (other == RC_PROCESS_READY) {
            takeover_change(supervisor, child);
        } else if (late) {
            takeover_note(takeover, "the successor of %s takes too long\n", rc_child_name(child));
            takeover_undo(supervisor);
        }
        return;
    case RC_TAKEOVER_GOING_ON:
        if (rc_child_state(child) != RC_PROCESS_PARKED && !takeover->only_park) {
            takeover_note(takeover, "it goes on with its clients\n");
            takeover_end(supervisor, false);
        } else if (rc_child_state(child) != RC_PROCESS_PARKED) {
            takeover_note(takeover, "%s stood still, after %" PRIu64 " us, and went on %" PRIu64 " us later\n",
                          rc_child_name(child), (takeover->parked_ns - takeover->began_ns) / 1000u,
                          (rc_clock_ns() - takeover->parked_ns) / 1000u);
            takeover_end(supervisor, true);
        } else if (late) {
            /* Nobody judges the heartbeat of who stands still (rc_child_check), and its clients wait. */
            takeover_note(takeover, "%s does not go on, and is killed\n", rc_child_name(child));
            child->killed = true;
            rc_log_error("child_killed", "child=\"%s\" pid=%d reason=\"it does not go on\"", rc_child_name(child),
                         (int)child->pid);
            (void)kill(child->pid, SIGKILL);
            takeover_end(supervisor, false);
        }
        return;
    case RC_TAKEOVER_NONE:
    case RC_TAKEOVER_LEAVING:
    case RC_TAKEOVER_UNDOING:
        return;
    }
}

/* The successor has died by itself. One that had taken over is the worker: takeover_step_ending. */
static void successor_died(struct rc_supervisor *supervisor, struct rc_child *child)
{
    struct rc_takeover *takeover = &supervisor->takeover;
    if (!was_taken_over(supervisor, child)) {
        takeover_note(takeover, "the successor of %s has ended: its own log line says why\n", rc_child_name(child));
    }
    takeover->successor.pid = 0;
    takeover_undo(supervisor);
}

void rc_takeover_progress(struct rc_supervisor *supervisor)
{
    struct rc_takeover *takeover = &supervisor->takeover;
    if (takeover->phase == RC_TAKEOVER_NONE) {
        return;
    }
    struct rc_child *child = its_worker(supervisor);
    if (takeover->phase == RC_TAKEOVER_LEAVING || takeover->phase == RC_TAKEOVER_UNDOING) {
        takeover_step_ending(supervisor, child);
    } else if (child->pid != takeover->pid) {
        takeover_note(takeover, "%s has died\n", rc_child_name(child));
        takeover_undo(supervisor);
    } else if (takeover->successor.pid != 0 && process_gone(takeover->successor.pid)) {
        successor_died(supervisor, child);
    } else if (rc_supervisor_state(supervisor) != RC_BROKER_RUNNING && takeover->phase != RC_TAKEOVER_ADOPTING) {
        takeover_note(takeover, "the broker is stopping\n");
        takeover_undo(supervisor);
    } else {
        takeover_step(supervisor, child);
    }
}

static void successor_kill(struct rc_successor *successor)
{
    (void)kill(successor->pid, SIGKILL);
    while (waitpid(successor->pid, NULL, 0) < 0 && errno == EINTR) {}
    successor->pid = 0;
}

void rc_takeover_child_ended(struct rc_supervisor *supervisor, struct rc_child *child)
{
    struct rc_takeover *takeover = &supervisor->takeover;
    if (takeover->phase != RC_TAKEOVER_NONE && child == its_worker(supervisor)) {
        if (takeover->successor.pid != 0) {
            successor_kill(&takeover->successor); /* or the predecessor, which was killed already */
        }
        /* Whose ring memory tells of the truth is not known when the other one has begun to write. Asked when that can write no more. */
        child->unadoptable |= takeover->phase != RC_TAKEOVER_LEAVING && was_taken_over(supervisor, child);
    }
}

uint64_t rc_takeover_due_ms(const struct rc_supervisor *supervisor)
{
    return supervisor->takeover.phase == RC_TAKEOVER_NONE ? UINT64_MAX : supervisor->takeover.due_ms;
}

void rc_takeover_close(struct rc_supervisor *supervisor)
{
    struct rc_takeover *takeover = &supervisor->takeover;
    if (takeover->phase != RC_TAKEOVER_NONE && takeover->successor.pid != 0) {
        successor_kill(&takeover->successor);
        successor_close(&takeover->successor);
    }
}
