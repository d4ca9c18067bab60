/*
 * loop: see loop.h.
 */
#include "acceptor/watch/loop.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "acceptor/start/banner.h"
#include "acceptor/console/request.h"
#include "acceptor/upgrade/upgrade.h"
#include "acceptor/watch/reload.h"
#include "acceptor/watch/supervisor.h"
#include "acceptor/watch/takeover.h"
#include "acceptor/watch/watch.h"
#include "acceptor/watch/workers.h"
#include "common/base/clock.h"
#include "common/base/fail.h"
#include "common/base/inherited.h"
#include "common/base/log.h"
#include "common/config/log_settings.h"
#include "common/base/procfs.h"
#include "common/records/sid.h"
#include "version.h"

#define LOOP_TICK_MS 1000u
#define LOOP_LATE_MS 1500u        /* a tick this much after the last one says that this process was held up */
#define CLOCK_SET_MS 1000         /* a step of the clock that is told; slewing is slower between two ticks */
#define LOOP_DRAIN_GRACE_MS 5000u /* after the drain's deadline workers are killed */
#define LOOP_RELAY_MS 5000u       /* what the relay gets to end once no worker is left */
#define LOOP_STOP_MS 2000u        /* what children get to end at once */
#define LOOP_EVENTS_MAX 32

/* Events are numbered: children by rc_broker_child, and above all of them: */
enum { EVENT_SIGNAL = 1 << 16, EVENT_CONSOLE, EVENT_BELL };

static void on_signal(struct rc_supervisor *supervisor, uint32_t number)
{
    char reason[32];
    if (number == SIGHUP) {
        rc_reload_ask(supervisor, RC_RELOAD_NOBODY);
    } else if (rc_supervisor_state(supervisor) == RC_BROKER_RUNNING) {
        (void)snprintf(reason, sizeof(reason), "SIG%s", sigabbrev_np((int)number));
        rc_supervisor_drain(supervisor, RC_EXIT_OK, reason);
    } else {
        (void)snprintf(reason, sizeof(reason), "SIG%s again", sigabbrev_np((int)number));
        rc_supervisor_stop(supervisor, RC_EXIT_OK, reason);
    }
}

static void read_signals(struct rc_supervisor *supervisor)
{
    struct signalfd_siginfo info;
    while (read(supervisor->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        on_signal(supervisor, info.ssi_signo);
    }
}

/* A child has stored a word: broker_advance looks at all of them. */
static void answer_bell(struct rc_supervisor *supervisor)
{
    uint64_t rings;
    while (read(supervisor->broker.bell_fd, &rings, sizeof(rings)) < 0 && errno == EINTR) {}
}

static bool all_ready(struct rc_supervisor *supervisor)
{
    for (uint32_t i = 0; i < rc_broker_child_count(&supervisor->broker); i++) {
        const struct rc_child *child = rc_broker_child(&supervisor->broker, i);
        if (rc_broker_use(&supervisor->broker, child) != RC_WORKER_UNUSED && (child->pid == 0 || !child->ready)) {
            return false;
        }
    }
    return true;
}

static void now_running(struct rc_supervisor *supervisor)
{
    const struct rc_broker *broker = &supervisor->broker;
    const struct rc_config *config = &supervisor->settings->config;
    char sids[RC_SID_INSTANCE_BYTES];
    rc_supervisor_enter(supervisor, RC_BROKER_RUNNING);
    rc_sid_instance(sids, config->server.instance_id.text);
    rc_log_info("running",
                "version=%s instance=%s sids=%.*s workers=%u connections_max=%" PRIu64
                " steering=%s control=%s took_ms=%" PRIu64,
                RC_VERSION, config->server.instance_id.text, (int)sizeof(sids), sids, rc_broker_used(broker),
                broker->plan.connections_max, broker->steer.active ? "bpf" : "kernel", supervisor->console.path,
                supervisor->now_ms - supervisor->started_ms);
    for (uint32_t i = 0; i < broker->listen_count; i++) {
        rc_log_info("listening", "address!=%s kind=%s", broker->listens[i].text,
                    rc_listen_kind_name(broker->listens[i].kind));
    }
    rc_reload_warn(supervisor, NULL, 0);
    rc_supervisor_tell_permissions(config);
    rc_sdnotify_send(&supervisor->notify, "READY=1\nMAINPID=%d\nSTATUS=running", (int)getpid());
    if (supervisor->settings->quickstart) {
        rc_banner_print(STDOUT_FILENO, supervisor->settings, broker);
    }
}

static uint32_t workers_alive(const struct rc_supervisor *supervisor)
{
    uint32_t alive = 0;
    for (uint32_t i = 0; i < supervisor->broker.worker_count; i++) {
        alive += supervisor->broker.workers[i].pid != 0 ? 1u : 0u;
    }
    return alive;
}

static void kill_all(struct rc_supervisor *supervisor, bool relay_too, const char *reason)
{
    for (uint32_t i = 0; i < rc_broker_child_count(&supervisor->broker); i++) {
        struct rc_child *child = rc_broker_child(&supervisor->broker, i);
        if (relay_too || child->index != RC_CHILD_RELAY) {
            rc_watch_kill(supervisor, child, reason);
        }
    }
}

/* When the next step of ending is due; UINT64_MAX = only after an event. */
static uint64_t ending_due_ms(const struct rc_supervisor *supervisor)
{
    switch (rc_supervisor_state(supervisor)) {
    case RC_BROKER_STARTING:
    case RC_BROKER_RUNNING:
        return UINT64_MAX;
    case RC_BROKER_DRAINING:
        if (supervisor->relay_stop_ms != 0) {
            return supervisor->relay_stop_ms + LOOP_RELAY_MS;
        }
        return atomic_load_explicit(&rc_broker_core(&supervisor->broker)->drain_deadline_ms, memory_order_relaxed) +
               LOOP_DRAIN_GRACE_MS;
    case RC_BROKER_STOPPING:
        return supervisor->stop_ms + LOOP_STOP_MS;
    }
    return UINT64_MAX;
}

/* Workers first, each in its own time; then the relay, which has delivered what they left. True when everybody is
 * gone. */
static bool end_progress(struct rc_supervisor *supervisor)
{
    struct rc_child *relay = &supervisor->broker.relay;
    const bool overdue = supervisor->now_ms >= ending_due_ms(supervisor);
    if (rc_supervisor_state(supervisor) == RC_BROKER_STOPPING) {
        if (overdue) {
            kill_all(supervisor, true, "it did not stop in time");
        }
    } else if (workers_alive(supervisor) > 0) {
        if (overdue) {
            kill_all(supervisor, false, "it did not drain in time");
        }
        return false;
    }
    if (workers_alive(supervisor) == 0 && relay->pid != 0) {
        if (supervisor->relay_stop_ms == 0) {
            supervisor->relay_stop_ms = supervisor->now_ms;
            (void)kill(relay->pid, SIGTERM);
        } else if (supervisor->now_ms >= supervisor->relay_stop_ms + LOOP_RELAY_MS) {
            rc_watch_kill(supervisor, relay, "it did not end in time");
        }
    }
    return workers_alive(supervisor) == 0 && relay->pid == 0;
}

/* Whoever sets the clock finds it in the log, whose times go by it; so do ends of credentials, which workers look at anew (worker/client/expiry.c). */
static void clock_tick(struct rc_supervisor *supervisor)
{
    const uint64_t ahead_ms = rc_clock_wall_ms() - rc_clock_ms();
    const int64_t by_ms = (int64_t)(ahead_ms - supervisor->wall_ahead_ms);
    if (supervisor->wall_ahead_ms != 0 && (by_ms <= -CLOCK_SET_MS || by_ms >= CLOCK_SET_MS)) {
        rc_log_warn("clock_set", "by_ms=%" PRId64 " effect=\"credentials end by the new time\"", by_ms);
    }
    supervisor->wall_ahead_ms = ahead_ms;
}

/* What workers missed, all together. */
static void keys_tick(struct rc_supervisor *supervisor)
{
    uint32_t missed[RC_CONFIG_IDENTITIES_MAX] = {0};
    for (uint32_t i = 0; i < supervisor->broker.worker_count; i++) {
        struct rc_process *process = supervisor->broker.workers[i].process;
        for (uint32_t row = 0; row < RC_CONFIG_IDENTITIES_MAX; row++) {
            missed[row] += atomic_load_explicit(&process->keys_missed[row], memory_order_relaxed);
        }
    }
    rc_keyring_tick(&supervisor->keyring, missed, supervisor->now_ms);
}

/* What /api/stats says of the last seconds. */
static void take_recent(struct rc_supervisor *supervisor)
{
    const struct rc_segments *segments = &supervisor->broker.segments;
    struct rc_recent_sample *sample = rc_recent_next(&supervisor->recent, supervisor->now_ms);
    sample->cpu_ms = rc_procfs_cpu_ms((uint32_t)getpid());
    for (uint32_t i = 0; i < rc_broker_child_count(&supervisor->broker); i++) {
        sample->cpu_ms += rc_procfs_cpu_ms((uint32_t)rc_broker_child(&supervisor->broker, i)->pid);
    }
    for (uint32_t i = 0; i < segments->worker_count; i++) {
        rc_recent_add(sample, rc_banks_current(&segments->workers[i]->banks));
    }
    rc_recent_tell(&supervisor->recent, rc_supervisor_metrics(supervisor));
}

/* Everything that depends on time or on words in shared memory. True when the broker has ended. */
static bool broker_advance(struct rc_supervisor *supervisor)
{
    rc_watch_progress(supervisor);
    if (rc_supervisor_state(supervisor) == RC_BROKER_STARTING && all_ready(supervisor)) {
        now_running(supervisor);
    }
    rc_reload_progress(supervisor);
    rc_takeover_progress(supervisor);
    rc_workers_progress(supervisor);
    rc_upgrade_progress(supervisor);
    rc_names_progress(supervisor);
    if (supervisor->now_ms - supervisor->tick_ms >= LOOP_TICK_MS) {
        /* Not twice in a row: on a starved machine every tick is late, and a stuck child is to be found there too. */
        const bool late =
            !supervisor->tick_late && supervisor->now_ms - supervisor->tick_ms >= LOOP_TICK_MS + LOOP_LATE_MS;
        supervisor->tick_late = late;
        supervisor->tick_ms = supervisor->now_ms;
        atomic_store_explicit(&supervisor->broker.segments.acceptor->process.heartbeat_ms, supervisor->now_ms,
                              memory_order_relaxed);
        rc_watch_tick(supervisor, late);
        keys_tick(supervisor);
        rc_trace_tick(&supervisor->trace, &supervisor->broker, supervisor->now_ms);
        take_recent(supervisor);
        clock_tick(supervisor);
    }
    rc_log_catch_up();
    rc_sdnotify_beat(&supervisor->notify, supervisor->now_ms);
    return rc_supervisor_state(supervisor) >= RC_BROKER_DRAINING && end_progress(supervisor);
}

static int sleep_ms(const struct rc_supervisor *supervisor)
{
    const uint64_t dues_ms[] = {
        supervisor->tick_ms + LOOP_TICK_MS,
        rc_watch_due_ms(supervisor),
        rc_reload_due_ms(supervisor),
        rc_takeover_due_ms(supervisor),
        rc_workers_due_ms(supervisor),
        rc_upgrade_due_ms(supervisor),
        rc_names_due_ms(supervisor),
        supervisor->notify.watchdog_ms != 0 ? supervisor->notify.watchdog_due_ms : UINT64_MAX,
        rc_console_due_ms(&supervisor->console),
        ending_due_ms(supervisor),
    };
    uint64_t due_ms = UINT64_MAX;
    for (size_t i = 0; i < sizeof(dues_ms) / sizeof(dues_ms[0]); i++) {
        due_ms = dues_ms[i] < due_ms ? dues_ms[i] : due_ms;
    }
    return due_ms > supervisor->now_ms ? (int)(due_ms - supervisor->now_ms) : 1;
}

static void loop_run(struct rc_supervisor *supervisor)
{
    while (!broker_advance(supervisor)) {
        struct epoll_event events[LOOP_EVENTS_MAX];
        const int count = epoll_wait(supervisor->epoll_fd, events, LOOP_EVENTS_MAX, sleep_ms(supervisor));
        supervisor->now_ms = rc_clock_ms();
        bool console_due = supervisor->now_ms >= rc_console_due_ms(&supervisor->console);
        for (int i = 0; i < count; i++) {
            const uint64_t number = events[i].data.u64;
            if (number == EVENT_SIGNAL) {
                read_signals(supervisor);
            } else if (number == EVENT_CONSOLE) {
                console_due = true;
            } else if (number == RC_TAKEOVER_EVENT || number == RC_UPGRADE_EVENT) {
                /* being awake is all it asks for */
            } else if (number == EVENT_BELL) {
                answer_bell(supervisor);
            } else {
                rc_watch_reap(supervisor, (uint32_t)number);
            }
        }
        if (console_due) {
            rc_console_serve(&supervisor->console, supervisor->now_ms);
        }
    }
}

static int watch_fd(struct rc_supervisor *supervisor, int fd, uint64_t number)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = number}};
    return epoll_ctl(supervisor->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static int open_signals(struct rc_supervisor *supervisor, struct rc_err *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGQUIT);
    rc_inherited_signals(NULL, &set);
    supervisor->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    supervisor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (supervisor->signal_fd < 0 || supervisor->epoll_fd < 0 ||
        watch_fd(supervisor, supervisor->signal_fd, EVENT_SIGNAL) != 0) {
        return rc_err_set(err, -errno, "cannot watch signals: %s", strerror(errno));
    }
    return 0;
}

static int open_console(struct rc_supervisor *supervisor, struct rc_err *err)
{
    char path[sizeof(supervisor->console.path)];
    const struct rc_config_server *server = &supervisor->settings->config.server;
    int rc = rc_console_path(path, sizeof(path), server->control_socket.text, server->instance_id.text, err);
    if (rc == 0) {
        rc = rc_console_open(&supervisor->console, path, rc_request_handle, supervisor, err);
    }
    if (rc != 0) {
        return rc;
    }
    supervisor->console_open = true;
    rc = watch_fd(supervisor, supervisor->console.epoll_fd, EVENT_CONSOLE);
    return rc == 0 ? 0 : rc_err_set(err, rc, "cannot watch the control socket: %s", strerror(-rc));
}

static int set_up(struct rc_supervisor *supervisor, struct rc_err *err)
{
    supervisor->epoll_fd = supervisor->signal_fd = -1;
    supervisor->now_ms = supervisor->started_ms = supervisor->tick_ms = rc_clock_ms();
    supervisor->wall_ahead_ms = rc_clock_wall_ms() - rc_clock_ms();
    rc_sdnotify_open(&supervisor->notify);
    int rc = open_signals(supervisor, err);
    if (rc == 0) {
        rc = rc_broker_open(&supervisor->broker, &supervisor->settings->config, err);
    }
    if (rc == 0) {
        struct rc_broker *broker = &supervisor->broker;
        rc_keyring_open(&supervisor->keyring, broker->segments.keys, &broker->identity,
                        rc_supervisor_metrics(supervisor));
        rc = rc_keyring_configure(&supervisor->keyring, 0, &supervisor->settings->config, supervisor->now_ms, err);
        if (rc == 0 && (rc = watch_fd(supervisor, broker->bell_fd, EVENT_BELL)) != 0) {
            rc = rc_err_set(err, rc, "cannot watch the children's bell: %s", strerror(-rc));
        }
        if (rc == 0) {
            rc = open_console(supervisor, err);
        }
        if (rc != 0) {
            rc_keyring_close(&supervisor->keyring);
            rc_broker_close(broker);
        }
    }
    return rc;
}

/* The children that run are this process's, as they were. */
static int watch_children(struct rc_supervisor *supervisor)
{
    int rc = 0;
    for (uint32_t i = 0; i < rc_broker_child_count(&supervisor->broker) && rc == 0; i++) {
        const struct rc_child *child = rc_broker_child(&supervisor->broker, i);
        rc = child->pid != 0 ? watch_fd(supervisor, child->pidfd, i) : 0;
    }
    return rc;
}

/* The program of before has made everything. Until the end of this it can go on where it was. */
static int set_up_again(struct rc_supervisor *supervisor, struct rc_resume *resume, struct rc_err *err)
{
    supervisor->epoll_fd = supervisor->signal_fd = -1;
    supervisor->now_ms = supervisor->tick_ms = rc_clock_ms();
    int rc = rc_fail_here("exec") ? rc_err_set(err, -EINVAL, "it is to fail here") : 0;
    if (rc == 0) {
        rc = rc_resume_read(supervisor, resume, err);
    }
    if (rc == 0) {
        rc = open_signals(supervisor, err);
    }
    if (rc == 0) {
        rc = rc_console_adopt(&supervisor->console, rc_request_handle, supervisor, err);
    }
    if (rc == 0) {
        rc = watch_children(supervisor);
        rc = rc == 0 ? watch_fd(supervisor, supervisor->broker.bell_fd, EVENT_BELL) : rc;
        rc = rc == 0 ? watch_fd(supervisor, supervisor->console.epoll_fd, EVENT_CONSOLE) : rc;
        rc = rc == 0 ? 0 : rc_err_set(err, rc, "cannot watch what the former program left: %s", strerror(-rc));
    }
    if (rc == 0) {
        struct rc_segments *segments = &supervisor->broker.segments;
        rc_segments_count(segments);
        rc_keyring_inherit(&supervisor->keyring, segments->keys, &supervisor->broker.identity,
                           rc_supervisor_metrics(supervisor), &supervisor->settings->config);
        rc = rc_keyring_configure(&supervisor->keyring,
                                  atomic_load_explicit(&segments->configs->generation, memory_order_relaxed),
                                  &supervisor->settings->config, supervisor->now_ms, err);
    }
    if (rc == 0 && rc_fail_here("exec late")) {
        rc = rc_err_set(err, -EINVAL, "it is to fail here");
    }
    supervisor->console_open = rc == 0;
    return rc;
}

static void tear_down(struct rc_supervisor *supervisor)
{
    if (supervisor->console_open) {
        rc_console_close(&supervisor->console);
    }
    rc_names_close(supervisor);
    rc_sdnotify_close(&supervisor->notify);
    if (supervisor->signal_fd >= 0) {
        close(supervisor->signal_fd);
    }
    if (supervisor->epoll_fd >= 0) {
        close(supervisor->epoll_fd);
    }
}

/* With the children that there are. */
static void go_on(struct rc_supervisor *supervisor, struct rc_resume *resume)
{
    const uint64_t since_ms = supervisor->now_ms;
    rc_resume_keep(supervisor, resume);
    rc_log_settings_apply(&supervisor->settings->config.log);
    rc_files_read(&supervisor->settings->files, &supervisor->settings->config);
    supervisor->now_ms = supervisor->tick_ms = rc_clock_ms();
    rc_log_info("acceptor_goes_on", "version=%s pid=%d workers=%u steering=%s took_ms=%" PRIu64, RC_VERSION,
                (int)getpid(), rc_broker_used(&supervisor->broker), supervisor->broker.steer.active ? "bpf" : "kernel",
                supervisor->now_ms - since_ms);
    rc_upgrade_go_on(supervisor, resume->refused);
}

int rc_acceptor_run(struct rc_settings *settings, struct rc_resume *resume)
{
    struct rc_err err;
    struct rc_supervisor *supervisor = calloc(1, sizeof(*supervisor));
    if (supervisor == NULL) {
        rc_log_error("start_failed", "reason=\"no memory\"");
        return RC_EXIT_FAILED;
    }
    supervisor->settings = settings;
    const bool again = resume->state_fd >= 0;
    if (again && set_up_again(supervisor, resume, &err) != 0) {
        rc_resume_back(resume, settings->path, err.text);
        free(supervisor); /* the process ends, and all children with it */
        return RC_EXIT_FAILED;
    }
    if (!again && set_up(supervisor, &err) != 0) {
        rc_log_error("start_failed", "reason=\"%s\"", err.text);
        tear_down(supervisor);
        free(supervisor);
        return RC_EXIT_FAILED;
    }
    struct rc_flight_lines *lines = &supervisor->broker.segments.acceptor->lines;
    rc_log_record(&lines->head, lines->entries, RC_FLIGHT_LINES);
    rc_log_count_dropped(&rc_supervisor_metrics(supervisor)->values[RC_METRIC_LOG_DROPPED]);
    rc_log_count_suppressed(&rc_supervisor_metrics(supervisor)->values[RC_METRIC_LOG_SUPPRESSED]);
    for (uint32_t i = 0; !again && i < rc_broker_child_count(&supervisor->broker); i++) {
        const struct rc_child *child = rc_broker_child(&supervisor->broker, i);
        if (rc_supervisor_state(supervisor) == RC_BROKER_STARTING &&
            rc_broker_use(&supervisor->broker, child) != RC_WORKER_UNUSED) {
            rc_watch_start(supervisor, i);
        }
    }
    supervisor->now_ms = supervisor->tick_ms = rc_clock_ms();
    take_recent(supervisor);
    if (again) {
        go_on(supervisor, resume);
    }
    loop_run(supervisor);
    const int exit_code = supervisor->exit_code;
    rc_upgrade_close(supervisor);
    rc_takeover_close(supervisor);
    rc_log_info("ended", "exit_code=%d uptime_ms=%" PRIu64, exit_code, supervisor->now_ms - supervisor->started_ms);
    rc_request_ended(supervisor);
    rc_log_record(NULL, NULL, 0);
    rc_log_count_dropped(NULL);
    rc_log_count_suppressed(NULL);
    rc_keyring_close(&supervisor->keyring);
    rc_broker_close(&supervisor->broker);
    tear_down(supervisor);
    free(supervisor);
    return exit_code;
}
