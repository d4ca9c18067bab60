/* relay_change: see relay_change.h. */
#include "acceptor/upgrade/relay_change.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"

#define CHANGE_STANDBY_MS 15000u /* as for any child's start; a Redis that does not answer is given up before */
#define CHANGE_PARK_MS 5000u     /* more than a relay tries */
#define CHANGE_ADOPT_MS 15000u
#define CHANGE_START_MS 20000u
#define CHANGE_LOOK_MS 2u

static void change_enter(struct rc_supervisor *supervisor, enum rc_upgrade_phase phase, uint64_t in_ms)
{
    supervisor->upgrade.phase = phase;
    supervisor->upgrade.due_ms = supervisor->now_ms + in_ms;
}

static int change_watch(const struct rc_supervisor *supervisor, int operation, int fd, uint64_t number)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = number}};
    return epoll_ctl(supervisor->epoll_fd, operation, fd, &event) == 0 ? 0 : -errno;
}

static void change_forget(struct rc_successor *successor)
{
    if (successor->pidfd >= 0) {
        close(successor->pidfd); /* epoll forgets it */
    }
    if (successor->order_fd >= 0) {
        close(successor->order_fd);
    }
    *successor = (struct rc_successor){.pidfd = -1, .order_fd = -1, .io_fd = -1};
}

static bool change_gone(pid_t pid)
{
    const pid_t rc = waitpid(pid, NULL, WNOHANG);
    return rc == pid || (rc < 0 && errno == ECHILD);
}

static void change_undo(struct rc_supervisor *supervisor)
{
    if (supervisor->upgrade.relay.pid != 0) {
        (void)kill(supervisor->upgrade.relay.pid, SIGKILL);
    }
    change_enter(supervisor, RC_UPGRADE_RELAY_UNDOING, CHANGE_LOOK_MS);
}

static void change_order(struct rc_supervisor *supervisor, enum rc_order order)
{
    const struct rc_successor *successor = &supervisor->upgrade.relay;
    rc_broker_order(&supervisor->broker, &supervisor->broker.relay, order);
    if (successor->pid != 0) {
        (void)rc_doorbell_wake(successor->order_fd);
    }
}

enum rc_relay_change rc_relay_change_begin(struct rc_supervisor *supervisor, struct rc_err *err)
{
    struct rc_child *child = &supervisor->broker.relay;
    struct rc_successor *successor = &supervisor->upgrade.relay;
    *successor = (struct rc_successor){.pidfd = -1, .order_fd = -1, .io_fd = -1};
    if (child->pid == 0) {
        change_enter(supervisor, RC_UPGRADE_RELAY_STARTING, CHANGE_START_MS); /* the next one is of this build */
        return RC_RELAY_CHANGE_RUNS;
    }
    if (rc_broker_start_successor(&supervisor->broker, child, successor, err) != 0) {
        return RC_RELAY_CHANGE_FAILED;
    }
    const int rc = change_watch(supervisor, EPOLL_CTL_ADD, successor->pidfd, RC_UPGRADE_EVENT);
    if (rc != 0) {
        rc_err_set(err, rc, "cannot watch a relay: %s", strerror(-rc));
        (void)kill(successor->pid, SIGKILL);
        while (waitpid(successor->pid, NULL, 0) < 0 && errno == EINTR) {}
        change_forget(successor);
        return RC_RELAY_CHANGE_FAILED;
    }
    change_enter(supervisor, RC_UPGRADE_RELAY_STANDBY, CHANGE_STANDBY_MS);
    return RC_RELAY_CHANGE_RUNS;
}

/* Says once why it is given up. */
static enum rc_relay_change change_fail(struct rc_supervisor *supervisor, const char *why)
{
    rc_log_warn("relay_not_changed", "reason=\"%s\"", why);
    change_undo(supervisor);
    return RC_RELAY_CHANGE_RUNS;
}

static enum rc_relay_change change_undoing(struct rc_supervisor *supervisor, struct rc_err *err)
{
    struct rc_successor *successor = &supervisor->upgrade.relay;
    if (successor->pid != 0 && !change_gone(successor->pid)) {
        supervisor->upgrade.due_ms = supervisor->now_ms + CHANGE_LOOK_MS;
        return RC_RELAY_CHANGE_RUNS;
    }
    successor->pid = 0;
    change_forget(successor);
    const struct rc_child *child = &supervisor->broker.relay;
    if (child->pid != 0 && rc_child_state(child) == RC_PROCESS_DRAINED) {
        (void)kill(child->pid,
                   SIGKILL); /* it routes no more, and only hands on what Redis says: watch starts another one */
    }
    change_order(supervisor, RC_ORDER_RUN);
    (void)rc_err_set(err, -ECANCELED, "the relay was not changed: its log line relay_not_changed says why");
    return RC_RELAY_CHANGE_FAILED;
}

/* The former one has ended, or touches nothing any more that both have. As after a crash: a new generation, which the new one waits for. */
static void change_done(struct rc_supervisor *supervisor, struct rc_child *child, bool asked)
{
    struct rc_upgrade *upgrade = &supervisor->upgrade;
    struct rc_successor *successor = &upgrade->relay;
    const pid_t old = child->pid;
    rc_broker_bury(&supervisor->broker, child);
    rc_broker_enthrone(&supervisor->broker, child, successor, supervisor->now_ms);
    (void)change_watch(supervisor, EPOLL_CTL_MOD, child->pidfd, rc_broker_child_count(&supervisor->broker) - 1);
    rc_log_info("relay_changed", "pid=%d predecessor=%d asked=%s stood_still_us=%" PRIu64, (int)child->pid, (int)old,
                asked ? "yes" : "no", asked ? (rc_clock_ns() - upgrade->ordered_ns) / 1000u : 0);
    *successor = (struct rc_successor){.pidfd = -1, .order_fd = -1, .io_fd = -1};
    change_enter(supervisor, RC_UPGRADE_RELAY_STARTING, CHANGE_START_MS);
}

enum rc_relay_change rc_relay_change_progress(struct rc_supervisor *supervisor, struct rc_err *err)
{
    struct rc_upgrade *upgrade = &supervisor->upgrade;
    struct rc_child *child = &supervisor->broker.relay;
    const bool late = supervisor->now_ms >= upgrade->due_ms;
    if (upgrade->phase == RC_UPGRADE_RELAY_UNDOING) {
        return change_undoing(supervisor, err);
    }
    if (upgrade->phase == RC_UPGRADE_RELAY_STARTING) {
        if (upgrade->relay_leaves != 0 && change_gone(upgrade->relay_leaves)) {
            upgrade->relay_leaves = 0;
        }
        if (child->pid != 0 && child->ready && upgrade->relay_leaves == 0) {
            return RC_RELAY_CHANGE_DONE;
        }
        if (late && upgrade->relay_leaves != 0) {
            (void)kill(upgrade->relay_leaves, SIGKILL);
        }
        if (late) {
            (void)rc_err_set(err, -ETIMEDOUT, "the new relay does not become ready");
            return RC_RELAY_CHANGE_FAILED;
        }
        return RC_RELAY_CHANGE_RUNS;
    }
    if (rc_supervisor_state(supervisor) != RC_BROKER_RUNNING) {
        return change_fail(supervisor, "the broker is stopping");
    }
    if (change_gone(upgrade->relay.pid)) {
        upgrade->relay.pid = 0;
        return change_fail(supervisor, "the new relay has ended: its own log line says why");
    }
    if (late) {
        return change_fail(supervisor, upgrade->phase == RC_UPGRADE_RELAY_STANDBY ? "the new relay is not ready in time"
                                       : upgrade->phase == RC_UPGRADE_RELAY_PARKING
                                           ? "the old relay does not stand still"
                                           : "the old relay does not end");
    }
    if (upgrade->phase == RC_UPGRADE_RELAY_STANDBY) {
        /* RC1 pairs with RS1 in relay/standby.c. */
        if (atomic_load_explicit(&child->process->successor_state, memory_order_acquire) == RC_PROCESS_STANDBY) {
            upgrade->ordered_ns = rc_clock_ns();
            change_enter(supervisor, RC_UPGRADE_RELAY_PARKING, CHANGE_PARK_MS);
            change_order(supervisor, RC_ORDER_PARK);
        }
    } else if (upgrade->phase == RC_UPGRADE_RELAY_PARKING && rc_child_state(child) == RC_PROCESS_PARKED) {
        change_enter(supervisor, RC_UPGRADE_RELAY_ADOPTING, CHANGE_ADOPT_MS);
        change_order(supervisor, RC_ORDER_ADOPT);
    } else if (upgrade->phase == RC_UPGRADE_RELAY_ADOPTING && rc_child_state(child) == RC_PROCESS_DRAINED) {
        upgrade->relay_leaves = child->pid;
        change_done(supervisor, child, true);
    }
    return RC_RELAY_CHANGE_RUNS;
}

bool rc_relay_change_ended(struct rc_supervisor *supervisor, struct rc_child *child, int status)
{
    struct rc_upgrade *upgrade = &supervisor->upgrade;
    struct rc_successor *successor = &upgrade->relay;
    if (upgrade->phase < RC_UPGRADE_RELAY_STANDBY || upgrade->phase > RC_UPGRADE_RELAY_ADOPTING ||
        child->index != RC_CHILD_RELAY || successor->pid == 0) {
        return false;
    }
    if (atomic_load_explicit(&child->process->successor_state, memory_order_relaxed) == RC_PROCESS_STARTING) {
        /* It has not read the generation that it would wait for the end of: it goes, and watch starts another one. */
        (void)change_fail(supervisor, "the former relay has died while the new one was being started");
        return false;
    }
    change_done(supervisor, child, WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return true;
}

void rc_relay_change_close(struct rc_supervisor *supervisor)
{
    struct rc_successor *successor = &supervisor->upgrade.relay;
    if (supervisor->upgrade.phase >= RC_UPGRADE_RELAY_STANDBY &&
        supervisor->upgrade.phase <= RC_UPGRADE_RELAY_UNDOING && successor->pid != 0) {
        (void)kill(successor->pid, SIGKILL);
        while (waitpid(successor->pid, NULL, 0) < 0 && errno == EINTR) {}
        change_forget(successor);
    }
    if (supervisor->upgrade.relay_leaves != 0) {
        (void)kill(supervisor->upgrade.relay_leaves, SIGKILL);
        while (waitpid(supervisor->upgrade.relay_leaves, NULL, 0) < 0 && errno == EINTR) {}
        supervisor->upgrade.relay_leaves = 0;
    }
}
