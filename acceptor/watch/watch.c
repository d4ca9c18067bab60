/*
 * watch: see watch.h.
 */
#include "acceptor/watch/last_words.h"
#include "acceptor/watch/watch.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "acceptor/start/vaults.h"
#include "acceptor/upgrade/relay_change.h"
#include "acceptor/watch/takeover.h"
#include "acceptor/watch/workers.h"
#include "common/base/log.h"

#define RC_WATCH_ADOPTIONS_MAX 3u       /* that fail one after the other */
#define RC_WATCH_ADOPTED_WELL_MS 10000u /* who crashes sooner has adopted what made it crash */
#define RC_WATCH_ADOPTER_MS 5000u       /* nobody could be started for its clients for so long: they are given up */
#define RC_WATCH_ADOPTER_AGAIN_MS 250u  /* they wait: no longer than that for the next try */
#define RC_WATCH_MOVE_QUEUE_MS 1000u    /* a longer back-off than this does not keep waiting clients */

static void schedule_restart(struct rc_supervisor *supervisor, struct rc_child *child, const char *how,
                             uint64_t delay_ms);

/* What `ringcast status` says of it, whether it is started again or not. NULL: it ended as it was told to. */
static void note_end(struct rc_child *child, const char *how)
{
    (void)snprintf(child->ended, sizeof(child->ended), "%.*s", (int)sizeof(child->ended) - 1, how != NULL ? how : "");
}

/* Its clients end with what is kept of it. `wanted`: they were to stay, and the kernel could have. */
static void give_clients_up(struct rc_supervisor *supervisor, struct rc_child *child, bool wanted)
{
    if (wanted) {
        rc_metric_add(rc_supervisor_metrics(supervisor), RC_METRIC_ADOPTIONS_FAILED, 1);
        rc_log_warn("clients_lost", "child=\"%s\" attempts=%u", rc_child_name(child), child->adoptions_failed);
    }
    child->adoptions_failed = 0;
    rc_broker_bury(&supervisor->broker, child);
}

/* Once more, the later the more often it was tried; sooner where clients wait. */
static void start_again(struct rc_supervisor *supervisor, struct rc_child *child, const char *how)
{
    const uint64_t delay_ms = rc_restart_after_failure(&child->restart, child->started_ms, supervisor->now_ms);
    const bool soon = child->orphan != RC_ADOPT_NOBODY && delay_ms > RC_WATCH_ADOPTER_AGAIN_MS;
    schedule_restart(supervisor, child, how, soon ? RC_WATCH_ADOPTER_AGAIN_MS : delay_ms);
}

/* Descriptors, memory or processes that are short may be there a moment later: what is kept of a dead worker stays whole. True: it has been too
 * long, and its place is not used any more. */
static bool adopter_not_started(struct rc_supervisor *supervisor, struct rc_child *child)
{
    if (child->orphan == RC_ADOPT_NOBODY || supervisor->now_ms - child->orphaned_ms < RC_WATCH_ADOPTER_MS) {
        return false;
    }
    give_clients_up(supervisor, child, true);
    return rc_workers_ended(supervisor, child, 0);
}

void rc_watch_start(struct rc_supervisor *supervisor, uint32_t number)
{
    struct rc_child *child = rc_broker_child(&supervisor->broker, number);
    struct rc_err err;
    const int rc = rc_broker_start(&supervisor->broker, child, supervisor->now_ms, &err);
    if (rc == 0) {
        struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = number}};
        child->unwatched = epoll_ctl(supervisor->epoll_fd, EPOLL_CTL_ADD, child->pidfd, &event) != 0;
        if (child->unwatched) {
            rc_log_warn("child_unwatched", "child=\"%s\" reason=\"%s\" effect=\"its end is noticed within a second\"",
                        rc_child_name(child), strerror(errno));
        }
        rc_log_debug("child_started", "child=\"%s\" pid=%d", rc_child_name(child), (int)child->pid);
        return;
    }
    rc_log_error("child_start_failed", "child=\"%s\" reason=\"%s\"", rc_child_name(child), err.text);
    if (rc_supervisor_state(supervisor) == RC_BROKER_STARTING) {
        rc_supervisor_stop(supervisor, RC_EXIT_FAILED, "a child could not be started");
    } else if (child->added) {
        rc_workers_not_added(supervisor, child, err.text);
    } else if (!adopter_not_started(supervisor, child)) {
        note_end(child, "start failed");
        start_again(supervisor, child, "start failed");
    }
}

/* Whether a dead child gets a successor in the state that the broker is in. */
static bool restart_wanted(const struct rc_supervisor *supervisor, const struct rc_child *child)
{
    if (rc_broker_use(&supervisor->broker, child) == RC_WORKER_UNUSED) {
        return false;
    }
    switch (rc_supervisor_state(supervisor)) {
    case RC_BROKER_RUNNING:
        return true;
    case RC_BROKER_DRAINING:
        /* Workers that drain still need the relay: what was accepted is to be delivered. */
        if (child->index == RC_CHILD_RELAY && supervisor->relay_stop_ms == 0) {
            for (uint32_t i = 0; i < supervisor->broker.worker_count; i++) {
                if (supervisor->broker.workers[i].pid != 0) {
                    return true;
                }
            }
        }
        return false;
    case RC_BROKER_STARTING:
    case RC_BROKER_STOPPING:
        return false;
    }
    return false;
}

static bool another_worker_ready(const struct rc_supervisor *supervisor, const struct rc_child *child)
{
    for (uint32_t i = 0; i < supervisor->broker.worker_count; i++) {
        const struct rc_child *other = &supervisor->broker.workers[i];
        if (other != child && other->pid != 0 && other->ready && !other->stuck) {
            return true;
        }
    }
    return false;
}

/* A long back-off: what waits at the dead worker's listener goes to the others, if the kernel will move it. */
static void move_queue(struct rc_supervisor *supervisor, struct rc_child *child)
{
    struct rc_err err;
    if (child->index == RC_CHILD_RELAY || !another_worker_ready(supervisor, child) ||
        (!supervisor->broker.steer.active && !rc_steer_kernel_migrates())) {
        return;
    }
    if (rc_broker_move_queue(&supervisor->broker, child, &err) != 0) {
        rc_log_warn("queue_not_moved", "index=%d reason=\"%s\"", child->index, err.text);
    }
}

static void schedule_restart(struct rc_supervisor *supervisor, struct rc_child *child, const char *how,
                             uint64_t delay_ms)
{
    child->restart_due_ms = supervisor->now_ms + delay_ms;
    child->restarts++;
    rc_metric_add(rc_supervisor_metrics(supervisor),
                  child->index == RC_CHILD_RELAY ? RC_METRIC_RELAY_RESTARTS : RC_METRIC_WORKER_RESTARTS, 1);
    rc_log_warn("child_restart", "child=\"%s\" after=\"%s\" delay_ms=%" PRIu64, rc_child_name(child), how, delay_ms);
    if (delay_ms > RC_WATCH_MOVE_QUEUE_MS) {
        move_queue(supervisor, child);
    }
}

static void restart_after_crash(struct rc_supervisor *supervisor, struct rc_child *child, const char *how)
{
    uint64_t delay_ms = 0;
    if (rc_restart_after_crash(&child->restart, child->started_ms, supervisor->now_ms, &delay_ms)) {
        /* Its clients wait for the next one, while more and more is published for them; adoption_wanted sees to it that it does not crash over and
         * over. */
        schedule_restart(supervisor, child, how, child->orphan != RC_ADOPT_NOBODY ? 0 : delay_ms);
        return;
    }
    rc_log_error("child_given_up", "child=\"%s\" crashes=%u within_s=%u last=\"%s\"", rc_child_name(child),
                 RC_RESTART_CRASHES_MAX, RC_RESTART_WINDOW_MS / 1000u, how);
    rc_supervisor_drain(supervisor, RC_EXIT_FAILED, "a child crashed too often");
}

static void describe_exit(int status, char *text, size_t capacity)
{
    if (WIFSIGNALED(status)) {
        snprintf(text, capacity, "signal %d (%s)%s", WTERMSIG(status), sigabbrev_np(WTERMSIG(status)),
                 WCOREDUMP(status) ? ", core dumped" : "");
    } else {
        snprintf(text, capacity, "exit code %d", WEXITSTATUS(status));
    }
}

/* It had not enough to start with, as if it could not have been started at all. */
static bool was_short(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == RC_EXIT_CHILD_SHORT;
}

/* A worker is dead, and is not buried yet. Is the next one to go on with its clients? */
static bool adoption_wanted(const struct rc_supervisor *supervisor, struct rc_child *child, int status, bool worked,
                            bool crashed)
{
    if (rc_supervisor_state(supervisor) != RC_BROKER_RUNNING || !worked ||
        !rc_broker_can_orphan(&supervisor->broker, child)) {
        return false;
    }
    const bool adopting = child->orphan != RC_ADOPT_NOBODY;
    if (adopting && was_short(status)) {
        return supervisor->now_ms - child->orphaned_ms < RC_WATCH_ADOPTER_MS;
    }
    const bool failed = adopting || (crashed && supervisor->now_ms - child->started_ms < RC_WATCH_ADOPTED_WELL_MS);
    child->adoptions_failed = failed ? child->adoptions_failed + 1 : 0;
    /* Who ends by itself says that it cannot be gone on with. */
    return WIFSIGNALED(status) && !child->unadoptable && child->adoptions_failed < RC_WATCH_ADOPTIONS_MAX;
}

/* Its clients stay, and it is an orphan, or they go. */
static void leave_clients(struct rc_supervisor *supervisor, struct rc_child *child, int status, bool worked)
{
    const bool crashed = child->killed || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL;
    if (adoption_wanted(supervisor, child, status, worked, crashed)) {
        const bool again = child->orphan != RC_ADOPT_NOBODY && was_short(status); /* of whom nothing is to be said */
        rc_broker_orphan(&supervisor->broker, child, again ? child->orphan == RC_ADOPT_CRASHED : crashed);
        child->orphaned_ms = again ? child->orphaned_ms : supervisor->now_ms;
        return;
    }
    const bool meant = WIFEXITED(status) && WEXITSTATUS(status) == 0; /* with all that it had moved or ended */
    give_clients_up(supervisor, child,
                    worked && !meant && rc_supervisor_state(supervisor) == RC_BROKER_RUNNING &&
                        rc_broker_adopts(&supervisor->broker, child));
}

static void after_death(struct rc_supervisor *supervisor, struct rc_child *child, pid_t pid, int status, bool was_ready)
{
    char how[96];
    describe_exit(status, how, sizeof(how));
    const enum rc_broker_state state = rc_supervisor_state(supervisor);
    const bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (state >= RC_BROKER_DRAINING && (clean || state == RC_BROKER_STOPPING || supervisor->relay_stop_ms != 0)) {
        note_end(child, NULL);
        rc_log_info("child_ended", "child=\"%s\" pid=%d how=\"%s\"", rc_child_name(child), (int)pid, how);
    } else {
        note_end(child, how);
        rc_log_error("child_died", "child=\"%s\" pid=%d how=\"%s\" killed_as_stuck=%s", rc_child_name(child), (int)pid,
                     how, child->killed ? "yes" : "no");
        rc_last_words_log(child->index == RC_CHILD_RELAY ? &supervisor->broker.segments.relay->report
                                                         : supervisor->broker.segments.workers[child->index],
                          rc_child_name(child));
    }
    if (state == RC_BROKER_STARTING) {
        rc_log_error("start_failed", "reason=\"%s ended before it was ready (%s); its own line above says why\"",
                     rc_child_name(child), how);
        rc_supervisor_stop(supervisor, RC_EXIT_FAILED, "a child could not start");
    } else if (state == RC_BROKER_RUNNING && !was_ready && WIFEXITED(status) &&
               WEXITSTATUS(status) == RC_EXIT_CHILD_REFUSED) {
        rc_log_error("child_given_up", "child=\"%s\" reason=\"it refused to start; its own line above says why\"",
                     rc_child_name(child));
        rc_supervisor_drain(supervisor, RC_EXIT_FAILED, "a child refused to start");
    } else if (restart_wanted(supervisor, child) && was_short(status)) {
        start_again(supervisor, child, how);
    } else if (restart_wanted(supervisor, child) && was_ready && !child->killed && WIFSIGNALED(status) &&
               WTERMSIG(status) == SIGKILL) {
        schedule_restart(supervisor, child, how, rc_restart_after_kill(&child->restart, supervisor->now_ms));
    } else if (restart_wanted(supervisor, child)) {
        restart_after_crash(supervisor, child, how);
    }
}

void rc_watch_reap(struct rc_supervisor *supervisor, uint32_t number)
{
    struct rc_child *child = rc_broker_child(&supervisor->broker, number);
    int status = 0;
    if (child->pid == 0) {
        return;
    }
    const pid_t pid = waitpid(child->pid, &status, WNOHANG);
    if (pid != child->pid) {
        return;
    }
    if (rc_relay_change_ended(supervisor, child, status)) {
        return;
    }
    const bool adopting = child->orphan != RC_ADOPT_NOBODY;
    /* Who adopts was started because another one was: that it cannot is no reason to give up. */
    const bool worked = adopting || child->ready || rc_child_state(child) >= RC_PROCESS_READY;
    rc_takeover_child_ended(supervisor, child);
    leave_clients(supervisor, child, status, worked);
    if (rc_workers_ended(supervisor, child, status)) {
        return;
    }
    after_death(supervisor, child, pid, status, worked);
}

/* Whether new connections may go to a worker. */
static void update_live(struct rc_supervisor *supervisor, const struct rc_child *child)
{
    if (child->index != RC_CHILD_RELAY) {
        const bool live = child->pid != 0 && child->ready && !child->stuck && !child->behind &&
                          rc_broker_use(&supervisor->broker, child) == RC_WORKER_USED &&
                          rc_supervisor_state(supervisor) <= RC_BROKER_RUNNING;
        rc_steer_set_live(&supervisor->broker.steer, (uint32_t)child->index, live);
    }
}

static void became_ready(struct rc_supervisor *supervisor, struct rc_child *child)
{
    child->ready = true;
    child->added = false;
    if (child->orphan != RC_ADOPT_NOBODY) {
        rc_broker_adopted(&supervisor->broker, child);
        rc_metric_add(rc_supervisor_metrics(supervisor), RC_METRIC_ADOPTIONS, 1);
    }
    update_live(supervisor, child);
    rc_log_info("child_ready", "child=\"%s\" pid=%d generation=%u took_ms=%" PRIu64, rc_child_name(child),
                (int)child->pid, atomic_load_explicit(&child->life->generation, memory_order_relaxed),
                supervisor->now_ms - child->started_ms);
    /* The others look at once for what a new one needs of them (a relay: every worker's interests). */
    rc_broker_ring_all(&supervisor->broker);
}

static void start_overdue(struct rc_supervisor *supervisor, struct rc_child *child)
{
    if (rc_supervisor_state(supervisor) == RC_BROKER_STARTING) {
        rc_log_error("start_failed", "reason=\"%s is not ready after %u ms\"", rc_child_name(child), RC_WATCH_START_MS);
        rc_supervisor_stop(supervisor, RC_EXIT_FAILED, "a child does not become ready");
    } else {
        rc_watch_kill(supervisor, child, "not ready in time");
    }
}

void rc_watch_progress(struct rc_supervisor *supervisor)
{
    for (uint32_t i = 0; i < rc_broker_child_count(&supervisor->broker); i++) {
        struct rc_child *child = rc_broker_child(&supervisor->broker, i);
        if (child->pid == 0) {
            if ((child->restart_due_ms != 0 || child->orphan != RC_ADOPT_NOBODY) &&
                !restart_wanted(supervisor, child)) {
                child->restart_due_ms = 0;
                if (child->orphan != RC_ADOPT_NOBODY) {
                    rc_broker_bury(&supervisor->broker, child); /* nobody comes for its clients any more */
                }
            } else if (child->restart_due_ms != 0 && supervisor->now_ms >= child->restart_due_ms) {
                rc_watch_start(supervisor, i);
            }
        } else if (!child->ready) {
            if (rc_child_state(child) >= RC_PROCESS_READY) {
                became_ready(supervisor, child);
            } else if (supervisor->now_ms - child->started_ms >= RC_WATCH_START_MS && !child->killed) {
                start_overdue(supervisor, child);
            }
        }
    }
}

void rc_watch_kill(struct rc_supervisor *supervisor, struct rc_child *child, const char *reason)
{
    (void)supervisor;
    if (child->pid == 0 || child->killed) {
        return;
    }
    child->killed = true;
    rc_log_error("child_killed", "child=\"%s\" pid=%d reason=\"%s\"", rc_child_name(child), (int)child->pid, reason);
    (void)kill(child->pid, SIGKILL);
}

static void check_beat(struct rc_supervisor *supervisor, struct rc_child *child)
{
    const struct rc_config_server *server = &rc_segments_config(&supervisor->broker.segments)->server;
    const enum rc_child_beat beat =
        rc_child_check(child, supervisor->now_ms, server->stuck_timeout_ms, server->stuck_kill_timeout_ms);
    if (beat == RC_CHILD_BEATS) {
        return;
    }
    update_live(supervisor, child);
    if (beat == RC_CHILD_STUCK) {
        rc_metric_add(rc_supervisor_metrics(supervisor), RC_METRIC_STUCK_CHILDREN, 1);
        rc_log_warn("child_stuck", "child=\"%s\" pid=%d silent_ms=%" PRIu64, rc_child_name(child), (int)child->pid,
                    supervisor->now_ms - atomic_load_explicit(&child->process->heartbeat_ms, memory_order_relaxed));
    } else if (beat == RC_CHILD_RECOVERED) {
        rc_log_info("child_recovered", "child=\"%s\" pid=%d", rc_child_name(child), (int)child->pid);
    } else {
        rc_watch_kill(supervisor, child, "stuck");
    }
}

/* The relay reports a worker that cannot keep up: others take the new connections until it has caught up. One whose rings
 * are damaged is deaf or dumb: it is replaced. */
static void check_report(struct rc_supervisor *supervisor, struct rc_child *child)
{
    if (child->verdict == NULL) {
        return;
    }
    const uint64_t lost = RC_VERDICT_LOST << 32 | atomic_load_explicit(&child->life->generation, memory_order_relaxed);
    /* The relay said so of this generation: neither of a former one, nor by rubbish. Relaxed: the word says it all. */
    if (atomic_load_explicit(&child->verdict->lost, memory_order_relaxed) == lost) {
        child->unadoptable = true;
        rc_watch_kill(supervisor, child, "its rings are damaged");
        return;
    }
    const bool behind = atomic_load_explicit(&child->verdict->behind, memory_order_relaxed) == 1;
    if (behind == child->behind) {
        return;
    }
    child->behind = behind;
    update_live(supervisor, child);
    if (behind) {
        rc_metric_add(rc_supervisor_metrics(supervisor), RC_METRIC_STUCK_CHILDREN, 1);
        rc_log_warn("child_behind", "child=\"%s\" pid=%d reason=\"the relay drops messages for it\"",
                    rc_child_name(child), (int)child->pid);
    } else {
        rc_log_info("child_caught_up", "child=\"%s\" pid=%d", rc_child_name(child), (int)child->pid);
    }
}

/* What BPF counted and never became a connection (a SYN without more) is taken off again. */
static void correct_load(struct rc_supervisor *supervisor, struct rc_child *child)
{
    if (!supervisor->broker.steer.active || child->index == RC_CHILD_RELAY || !child->ready || child->stuck) {
        return;
    }
    const uint32_t worker = (uint32_t)child->index;
    const uint64_t load = rc_steer_load(&supervisor->broker.steer, worker);
    const uint64_t connections = atomic_load_explicit(&child->process->connections, memory_order_relaxed);
    const int64_t difference = rc_child_load_correction(child, load, connections);
    if (difference != 0) {
        rc_steer_correct_load(&supervisor->broker.steer, worker, difference);
        rc_log_debug("load_corrected", "index=%u load=%" PRIu64 " connections=%" PRIu64, worker, load, connections);
    }
}

void rc_watch_tick(struct rc_supervisor *supervisor, bool late)
{
    for (uint32_t i = 0; i < rc_broker_child_count(&supervisor->broker); i++) {
        struct rc_child *child = rc_broker_child(&supervisor->broker, i);
        if (child->unwatched) {
            rc_watch_reap(supervisor, i);
        }
        if (!late && child->pid != 0) {
            check_beat(supervisor, child);
            check_report(supervisor, child);
            if (child->index != RC_CHILD_RELAY && supervisor->broker.keeps) {
                rc_vaults_take(&supervisor->broker.vault_fds[child->index], child);
            }
            correct_load(supervisor, child);
            update_live(supervisor, child); /* again: workers have the page of loads writable */
        }
    }
}

uint64_t rc_watch_due_ms(const struct rc_supervisor *supervisor)
{
    uint64_t due_ms = UINT64_MAX;
    for (uint32_t i = 0; i <= supervisor->broker.worker_count; i++) {
        const struct rc_child *child =
            i < supervisor->broker.worker_count ? &supervisor->broker.workers[i] : &supervisor->broker.relay;
        uint64_t child_due_ms = UINT64_MAX;
        if (child->pid == 0 && child->restart_due_ms != 0) {
            child_due_ms = child->restart_due_ms;
        } else if (child->pid != 0 && !child->ready && !child->killed) {
            child_due_ms = child->started_ms + RC_WATCH_START_MS; /* it rings before that */
        }
        due_ms = child_due_ms < due_ms ? child_due_ms : due_ms;
    }
    return due_ms;
}
