/* upgrade: see upgrade.h. */
#include "acceptor/upgrade/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acceptor/upgrade/check.h"
#include "acceptor/upgrade/image.h"
#include "acceptor/upgrade/relay_change.h"
#include "acceptor/watch/takeover.h"
#include "acceptor/watch/workers.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "version.h"

#define UPGRADE_CHECK_MS 30000u
#define UPGRADE_SETTLE_MS 10000u
#define UPGRADE_LOOK_MS 10u

__attribute__((format(printf, 2, 3))) static void upgrade_note(struct rc_upgrade *upgrade, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    const int bytes =
        vsnprintf(upgrade->text + upgrade->text_bytes, sizeof(upgrade->text) - upgrade->text_bytes, format, list);
    va_end(list);
    if (bytes > 0 && (size_t)bytes < sizeof(upgrade->text) - upgrade->text_bytes) {
        upgrade->text_bytes += (uint32_t)bytes;
    }
    upgrade->text[upgrade->text_bytes] = '\0';
}

static void fd_close(int *fd)
{
    if (*fd >= 0) {
        close(*fd); /* epoll forgets it */
        *fd = -1;
    }
}

static void upgrade_enter(struct rc_supervisor *supervisor, enum rc_upgrade_phase phase, uint64_t in_ms)
{
    supervisor->upgrade.phase = phase;
    supervisor->upgrade.due_ms = supervisor->now_ms + in_ms;
}

static void upgrade_tell(struct rc_supervisor *supervisor, uint32_t handle, const char *text)
{
    rc_console_write(&supervisor->console, handle, text, strlen(text));
    rc_console_finish(&supervisor->console, handle, supervisor->now_ms);
}

static void check_end(struct rc_upgrade *upgrade)
{
    if (upgrade->check_pid != 0) {
        (void)kill(upgrade->check_pid, SIGKILL);
        while (waitpid(upgrade->check_pid, NULL, 0) < 0 && errno == EINTR) {}
        upgrade->check_pid = 0;
    }
    fd_close(&upgrade->check_pidfd);
    fd_close(&upgrade->check_fd);
}

static void upgrade_end(struct rc_supervisor *supervisor, bool well)
{
    struct rc_upgrade *upgrade = &supervisor->upgrade;
    check_end(upgrade);
    fd_close(&upgrade->program_fd);
    upgrade->phase = RC_UPGRADE_NONE;
    if (well) {
        rc_log_info("upgraded", "version=%s took_ms=%" PRIu64, RC_VERSION, supervisor->now_ms - upgrade->began_ms);
    } else {
        rc_log_warn("not_upgraded", "version=%s", RC_VERSION);
    }
    rc_metric_add(rc_supervisor_metrics(supervisor), well ? RC_METRIC_UPGRADES : RC_METRIC_UPGRADES_FAILED, 1);
    if (rc_supervisor_state(supervisor) == RC_BROKER_RUNNING) {
        rc_sdnotify_send(&supervisor->notify, "READY=1\nSTATUS=running%s", well ? "" : "; the last upgrade failed");
    }
    rc_console_write(&supervisor->console, upgrade->handle, well ? "ok\n" : "error\n", well ? 3 : 6);
    upgrade_tell(supervisor, upgrade->handle, upgrade->text);
}

bool rc_upgrade_runs(const struct rc_supervisor *supervisor)
{
    return supervisor->upgrade.phase != RC_UPGRADE_NONE;
}

/* --- checking -------------------------------------------------------------------------------------------------------- */

/* The new program: a state is written for it, which it gets with all that is in it. */
struct departure {
    struct rc_state state;
    int state_fd;
    char state_text[16];
    char fallback_text[16];
    char *argv[12];
};

static void departure_close(struct departure *departure)
{
    rc_state_close(&departure->state);
    fd_close(&departure->state_fd);
}

static int departure_open(struct rc_supervisor *supervisor, struct departure *departure, struct rc_err *err)
{
    departure->state_fd = -1;
    rc_state_open(&departure->state);
    rc_image_write(supervisor, &departure->state);
    departure->state_fd = rc_state_save(&departure->state, err);
    if (departure->state_fd < 0) {
        const int rc = departure->state_fd;
        departure_close(departure);
        return rc;
    }
    return 0;
}

/* "ringcast COMMAND --config FILE --state-fd N --fallback-fd N"; the fallback is left out when it is -1. */
static void departure_words(const struct rc_supervisor *supervisor, struct departure *departure, char *command,
                            int fallback_fd)
{
    static char program[] = "ringcast";
    static char config[] = "--config";
    static char state[] = "--state-fd";
    static char fallback[] = "--fallback-fd";
    size_t at = 0;
    (void)snprintf(departure->state_text, sizeof(departure->state_text), "%d", departure->state_fd);
    (void)snprintf(departure->fallback_text, sizeof(departure->fallback_text), "%d", fallback_fd);
    departure->argv[at++] = program;
    departure->argv[at++] = command;
    if (supervisor->settings->path != NULL) {
        departure->argv[at++] = config;
        departure->argv[at++] = (char *)(uintptr_t)supervisor->settings->path;
    }
    departure->argv[at++] = state;
    departure->argv[at++] = departure->state_text;
    if (fallback_fd >= 0) {
        departure->argv[at++] = fallback;
        departure->argv[at++] = departure->fallback_text;
    }
    departure->argv[at] = NULL;
}

__attribute__((noreturn)) static void check_child(const struct departure *departure, int program_fd, int out,
                                                  pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(out, STDOUT_FILENO) < 0 || rc_image_hold(&departure->state, true) != 0 ||
        fcntl(departure->state_fd, F_SETFD, 0) != 0) {
        _exit(1);
    }
    (void)execveat(program_fd, "", departure->argv, environ, AT_EMPTY_PATH);
    (void)dprintf(STDOUT_FILENO, "the new program cannot be executed: %s\n", strerror(errno));
    _exit(1);
}

static int check_begin(struct rc_supervisor *supervisor, struct rc_err *err)
{
    static char command[] = "upgrade-check";
    struct rc_upgrade *upgrade = &supervisor->upgrade;
    struct departure departure;
    int out[2];
    int rc = departure_open(supervisor, &departure, err);
    if (rc != 0) {
        return rc;
    }
    departure_words(supervisor, &departure, command, -1);
    if (pipe2(out, O_CLOEXEC) != 0) {
        rc = rc_err_set(err, -errno, "cannot make a pipe: %s", strerror(errno));
        departure_close(&departure);
        return rc;
    }
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid == 0) {
        check_child(&departure, upgrade->program_fd, out[1], parent);
    }
    rc = pid < 0 ? rc_err_set(err, -errno, "cannot fork: %s", strerror(errno)) : 0;
    close(out[1]);
    departure_close(&departure);
    if (rc != 0) {
        close(out[0]);
        return rc;
    }
    upgrade->check_pid = pid;
    upgrade->check_fd = out[0];
    upgrade->check_pidfd = pidfd_open(pid, 0);
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = RC_UPGRADE_EVENT}};
    if (fcntl(out[0], F_SETFL, O_NONBLOCK) != 0 || upgrade->check_pidfd < 0 ||
        epoll_ctl(supervisor->epoll_fd, EPOLL_CTL_ADD, upgrade->check_pidfd, &event) != 0) {
        rc = rc_err_set(err, -errno, "cannot watch the new program: %s", strerror(errno));
        check_end(upgrade);
    }
    return rc;
}

static void check_read(struct rc_upgrade *upgrade)
{
    char text[1024];
    ssize_t got;
    while ((got = read(upgrade->check_fd, text, sizeof(text))) > 0 || (got < 0 && errno == EINTR)) {
        if (got > 0) {
            upgrade_note(upgrade, "%.*s", (int)got, text);
        }
    }
}

static void check_progress(struct rc_supervisor *supervisor)
{
    struct rc_upgrade *upgrade = &supervisor->upgrade;
    int status = 0;
    check_read(upgrade);
    if (waitpid(upgrade->check_pid, &status, WNOHANG) == upgrade->check_pid) {
        upgrade->check_pid = 0;
        check_read(upgrade);
        check_end(upgrade);
        const bool ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (ended && strstr(upgrade->text, RC_UPGRADE_CHECKED) != NULL) {
            upgrade_enter(supervisor, RC_UPGRADE_SETTLING, UPGRADE_SETTLE_MS);
            return;
        }
        if (ended) {
            upgrade_note(upgrade, "it is no ringcast, or one that does not know upgrades\n");
        } else if (!WIFEXITED(status)) {
            upgrade_note(upgrade, "the new program ended by signal %d\n", WTERMSIG(status));
        }
    } else if (supervisor->now_ms < upgrade->due_ms) {
        return;
    } else {
        upgrade_note(upgrade, "the new program does not say within %u s whether it can go on\n",
                     UPGRADE_CHECK_MS / 1000u);
    }
    upgrade_note(upgrade, "nothing has changed\n");
    upgrade_end(supervisor, false);
}

void rc_upgrade_ask(struct rc_supervisor *supervisor, uint32_t handle, const char *folder)
{
    struct rc_upgrade *upgrade = &supervisor->upgrade;
    char path[PATH_MAX];
    struct rc_err err = {{0}};
    if (rc_upgrade_runs(supervisor) || supervisor->takeover.phase != RC_TAKEOVER_NONE ||
        rc_workers_changing(supervisor) || rc_supervisor_state(supervisor) != RC_BROKER_RUNNING) {
        upgrade_tell(supervisor, handle,
                     rc_supervisor_state(supervisor) == RC_BROKER_RUNNING
                         ? "error\nan upgrade or a hand-over is running: try again\n"
                         : "error\nthe broker does not run yet, or is stopping\n");
        return;
    }
    *upgrade = (struct rc_upgrade){.handle = handle,
                                   .began_ms = supervisor->now_ms,
                                   .program_fd = -1,
                                   .check_pidfd = -1,
                                   .check_fd = -1,
                                   .relay = {.pidfd = -1, .order_fd = -1, .io_fd = -1}};
    if (folder[0] != '/' || (size_t)snprintf(path, sizeof(path), "%s/ringcast", folder) >= sizeof(path)) {
        upgrade_note(upgrade, "%s: the folder is to be named from the root\n", folder);
        upgrade_end(supervisor, false);
        return;
    }
    upgrade->program_fd = open(path, O_PATH | O_CLOEXEC);
    if (upgrade->program_fd < 0 || access(path, X_OK) != 0) {
        upgrade_note(upgrade, "%s: %s\nnothing has changed\n", path, strerror(errno));
        upgrade_end(supervisor, false);
        return;
    }
    rc_log_info("upgrade_begins", "program=\"%s\" version=%s", path, RC_VERSION);
    upgrade_enter(supervisor, RC_UPGRADE_CHECKING, UPGRADE_CHECK_MS);
    if (check_begin(supervisor, &err) != 0) {
        upgrade_note(upgrade, "%s\nnothing has changed\n", err.text);
        upgrade_end(supervisor, false);
    }
}

/* --- going over ------------------------------------------------------------------------------------------------------ */

/* Returns only when the new program could not be executed: then everything is as it was. */
static int upgrade_exec(struct rc_supervisor *supervisor, struct rc_err *err)
{
    static char command[] = "run";
    struct departure departure;
    struct rc_upgrade *upgrade = &supervisor->upgrade;
    const int fallback_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    if (fallback_fd < 0) {
        return rc_err_set(err, -errno, "cannot hold this program: %s", strerror(errno));
    }
    int rc = departure_open(supervisor, &departure, err);
    if (rc != 0) {
        close(fallback_fd);
        return rc;
    }
    departure_words(supervisor, &departure, command, fallback_fd);
    rc_trace_end(&supervisor->trace, &supervisor->broker, supervisor->trace.serial); /* who reads it is told so */
    rc_keyring_cancel(&supervisor->keyring); /* they would be nobody's children any more */
    rc_sdnotify_reloading(&supervisor->notify);
    rc_log_info("upgrade_exec", "pid=%d", (int)getpid());
    rc_log_catch_up();
    if (rc_image_hold(&departure.state, true) == 0 && fcntl(departure.state_fd, F_SETFD, 0) == 0 &&
        fcntl(fallback_fd, F_SETFD, 0) == 0) {
        (void)execveat(upgrade->program_fd, "", departure.argv, environ, AT_EMPTY_PATH);
    }
    rc = rc_err_set(err, -errno, "the new program cannot be executed: %s", strerror(errno));
    (void)rc_image_hold(&departure.state, false);
    close(fallback_fd);
    departure_close(&departure);
    return rc;
}

/* A child that is to be handed over must be there, and no reload may be half done. */
static bool upgrade_settled(struct rc_supervisor *supervisor)
{
    bool settled = !supervisor->reload.pending && !supervisor->reload.wanted;
    for (uint32_t i = 0; i < rc_broker_child_count(&supervisor->broker); i++) {
        const struct rc_child *child = rc_broker_child(&supervisor->broker, i);
        const bool wanted = rc_broker_use(&supervisor->broker, child) != RC_WORKER_UNUSED;
        settled &= !wanted || (child->pid != 0 && child->ready);
    }
    return settled;
}

static void settling_progress(struct rc_supervisor *supervisor)
{
    struct rc_upgrade *upgrade = &supervisor->upgrade;
    struct rc_err err = {{0}};
    if (upgrade_settled(supervisor)) {
        (void)upgrade_exec(supervisor, &err);
        upgrade_note(upgrade, "%s\nnothing has changed\n", err.text);
        upgrade_end(supervisor, false);
    } else if (supervisor->now_ms >= upgrade->due_ms) {
        upgrade_note(upgrade,
                     "a reload does not end, or a child does not become ready: try again\nnothing has changed\n");
        upgrade_end(supervisor, false);
    }
}

static void relay_progress(struct rc_supervisor *supervisor, enum rc_relay_change change, const struct rc_err *err)
{
    struct rc_upgrade *upgrade = &supervisor->upgrade;
    switch (change) {
    case RC_RELAY_CHANGE_RUNS:
        return;
    case RC_RELAY_CHANGE_FAILED:
        upgrade_note(upgrade, "relay: %s\nit goes on; the upgrade is not complete: repeat it\n", err->text);
        upgrade_end(supervisor, false);
        return;
    case RC_RELAY_CHANGE_DONE:
        upgrade_note(upgrade, "relay was changed: pid %d\n", (int)supervisor->broker.relay.pid);
        upgrade_enter(supervisor, RC_UPGRADE_WORKERS, UPGRADE_LOOK_MS);
        rc_takeover_upgrade(supervisor);
        return;
    }
}

void rc_upgrade_go_on(struct rc_supervisor *supervisor, const char *refused)
{
    struct rc_upgrade *upgrade = &supervisor->upgrade;
    struct rc_err err = {{0}};
    upgrade->program_fd = upgrade->check_pidfd = upgrade->check_fd = -1;
    if (refused != NULL) {
        upgrade_note(upgrade, "the new program could not go on: %s\nthe old one does, and nothing has changed\n",
                     refused);
        upgrade_end(supervisor, false);
        return;
    }
    upgrade_note(upgrade, "acceptor was changed: version %s\n", RC_VERSION);
    relay_progress(supervisor, rc_relay_change_begin(supervisor, &err), &err);
}

static void workers_progress(struct rc_supervisor *supervisor)
{
    struct rc_upgrade *upgrade = &supervisor->upgrade;
    const struct rc_takeover *takeover = &supervisor->takeover;
    if (takeover->phase != RC_TAKEOVER_NONE) {
        return;
    }
    upgrade_note(upgrade, "%s", takeover->text);
    if (!takeover->well) {
        upgrade_note(
            upgrade,
            "the upgrade is not complete: workers that were not handed over go on with the old program; repeat it\n");
    }
    upgrade_end(supervisor, takeover->well);
}

void rc_upgrade_progress(struct rc_supervisor *supervisor)
{
    struct rc_upgrade *upgrade = &supervisor->upgrade;
    struct rc_err err = {{0}};
    switch (upgrade->phase) {
    case RC_UPGRADE_NONE:
        return;
    case RC_UPGRADE_CHECKING:
    case RC_UPGRADE_SETTLING:
        if (rc_supervisor_state(supervisor) != RC_BROKER_RUNNING) {
            upgrade_note(upgrade, "the broker is stopping\n");
            upgrade_end(supervisor, false);
        } else if (upgrade->phase == RC_UPGRADE_CHECKING) {
            check_progress(supervisor);
        } else {
            settling_progress(supervisor);
        }
        return;
    case RC_UPGRADE_RELAY_STANDBY:
    case RC_UPGRADE_RELAY_PARKING:
    case RC_UPGRADE_RELAY_ADOPTING:
    case RC_UPGRADE_RELAY_UNDOING:
    case RC_UPGRADE_RELAY_STARTING:
        relay_progress(supervisor, rc_relay_change_progress(supervisor, &err), &err);
        return;
    case RC_UPGRADE_WORKERS:
        workers_progress(supervisor);
        return;
    }
}

uint64_t rc_upgrade_due_ms(const struct rc_supervisor *supervisor)
{
    switch (supervisor->upgrade.phase) {
    case RC_UPGRADE_NONE:
    case RC_UPGRADE_WORKERS: /* what the takeover is woken for */
        return UINT64_MAX;
    case RC_UPGRADE_CHECKING:
    case RC_UPGRADE_SETTLING:
        return supervisor->now_ms + UPGRADE_LOOK_MS; /* a pipe that is full holds the new program up */
    case RC_UPGRADE_RELAY_STARTING:                  /* nobody rings when the former relay ends */
        return supervisor->upgrade.relay_leaves != 0 ? supervisor->now_ms + UPGRADE_LOOK_MS
                                                     : supervisor->upgrade.due_ms;
    default:
        return supervisor->upgrade.due_ms;
    }
}

void rc_upgrade_close(struct rc_supervisor *supervisor)
{
    rc_relay_change_close(supervisor);
    if (rc_upgrade_runs(supervisor)) {
        check_end(&supervisor->upgrade);
        fd_close(&supervisor->upgrade.program_fd);
    }
}
