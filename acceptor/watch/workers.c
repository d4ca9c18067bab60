/* workers: see workers.h. */
#include "acceptor/watch/workers.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "acceptor/upgrade/upgrade.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/shm/worker_use.h"

#define WORKERS_ANSWER_MS 30000u /* then whoever waits is told how far it is */

__attribute__((format(printf, 2, 3))) static void workers_note(struct rc_workers *workers, const char *format, ...)
{
    const size_t room = sizeof(workers->text) - workers->text_bytes;
    va_list list;
    va_start(list, format);
    const int bytes = vsnprintf(workers->text + workers->text_bytes, room, format, list);
    va_end(list);
    if (bytes > 0 && (size_t)bytes < room) { /* else this line is left out */
        workers->text_bytes += (uint32_t)bytes;
    }
    workers->text[workers->text_bytes] = '\0';
}

static void workers_refuse(struct rc_supervisor *supervisor, uint32_t handle, const char *text)
{
    rc_console_write(&supervisor->console, handle, text, strlen(text));
    rc_console_finish(&supervisor->console, handle, supervisor->now_ms);
}

static enum rc_worker_use use_of(const struct rc_supervisor *supervisor, uint32_t worker)
{
    return rc_worker_use(rc_broker_core(&supervisor->broker), worker);
}

/* Those that stay: neither unused nor leaving. */
static uint32_t workers_staying(const struct rc_supervisor *supervisor)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < supervisor->broker.worker_count; i++) {
        count += use_of(supervisor, i) == RC_WORKER_USED;
    }
    return count;
}

static uint64_t connections_of(const struct rc_child *child)
{
    return atomic_load_explicit(&child->process->connections, memory_order_relaxed);
}

static const char *state_of(const struct rc_supervisor *supervisor, const struct rc_child *child)
{
    return rc_broker_use(&supervisor->broker, child) >= RC_WORKER_LEAVING ? "leaving"
           : child->pid != 0 && child->ready                              ? "ready"
                                                                          : "starting";
}

/* A line for each place in use. */
static void workers_table(const struct rc_supervisor *supervisor, struct rc_workers *to)
{
    const struct rc_broker *broker = &supervisor->broker;
    workers_note(to, "%u of %u places for workers are in use\n", rc_broker_used(broker), broker->worker_count);
    for (uint32_t i = 0; i < broker->worker_count; i++) {
        const struct rc_child *child = &broker->workers[i];
        if (use_of(supervisor, i) != RC_WORKER_UNUSED) {
            const uint32_t cpu = atomic_load_explicit(&child->life->cpu, memory_order_relaxed);
            workers_note(to, "%-10s %-8s pid %-8d %" PRIu64 " connections", rc_child_name(child),
                         state_of(supervisor, child), (int)child->pid, connections_of(child));
            workers_note(to, cpu == UINT32_MAX ? "\n" : ", cpu %u\n", cpu);
        }
    }
}

/* --- more and fewer -------------------------------------------------------------------------------------------------- */

void rc_workers_not_added(struct rc_supervisor *supervisor, struct rc_child *child, const char *why)
{
    child->added = false;
    child->restart_due_ms = 0;
    rc_log_error("worker_not_added", "child=\"%s\" reason=\"%s\"", rc_child_name(child), why);
    workers_note(&supervisor->workers, "%s could not be started: %s\n", rc_child_name(child), why);
    rc_broker_close_listeners(&supervisor->broker, child);
    rc_broker_set_use(&supervisor->broker, child, RC_WORKER_UNUSED);
}

static void worker_add(struct rc_supervisor *supervisor, uint32_t number)
{
    struct rc_child *child = &supervisor->broker.workers[number];
    struct rc_err err = {0};
    if (use_of(supervisor, number) != RC_WORKER_UNUSED) { /* it stays after all */
        rc_broker_set_use(&supervisor->broker, child, RC_WORKER_USED);
        return;
    }
    const struct rc_config *config = rc_segments_config(&supervisor->broker.segments);
    int rc = rc_limits_check_memlock(&supervisor->broker.limits, config, rc_broker_used(&supervisor->broker) + 1, &err);
    if (rc == 0) {
        rc = rc_broker_move_queue(&supervisor->broker, child, &err); /* there is none: they are made */
    }
    if (rc < 0) {
        rc_workers_not_added(supervisor, child, err.text);
        return;
    }
    child->added = true;
    child->ended[0] = '\0';
    child->restart = (struct rc_restart){0};
    rc_broker_set_use(&supervisor->broker, child, RC_WORKER_USED);
    rc_log_info("worker_added", "child=\"%s\"", rc_child_name(child));
    child->restart_due_ms = supervisor->now_ms; /* watch starts it */
}

/* The lowest free numbers, those that are still leaving first. Who sends its clients away answers everybody 503 by now: its place is free when its
 * process has ended. */
static void workers_more(struct rc_supervisor *supervisor, uint32_t count)
{
    static const enum rc_worker_use order[] = {RC_WORKER_LEAVING, RC_WORKER_UNUSED};
    for (size_t kind = 0; kind < RC_ARRAY_COUNT(order); kind++) {
        for (uint32_t i = 0; i < supervisor->broker.worker_count && count > 0; i++) {
            if (use_of(supervisor, i) == order[kind]) {
                worker_add(supervisor, i);
                count--;
            }
        }
    }
    for (uint32_t i = 0; i < supervisor->broker.worker_count && count > 0; i++) {
        if (use_of(supervisor, i) == RC_WORKER_SENDING_AWAY) {
            workers_note(&supervisor->workers, "%s is sending its clients away: try again when it has ended\n",
                         rc_child_name(&supervisor->broker.workers[i]));
            count--;
        }
    }
}

static void workers_fewer(struct rc_supervisor *supervisor, uint32_t count)
{
    for (uint32_t i = supervisor->broker.worker_count; i-- > 0 && count > 0;) {
        struct rc_child *child = &supervisor->broker.workers[i];
        if (use_of(supervisor, i) == RC_WORKER_USED) {
            rc_log_info("worker_leaves", "child=\"%s\" connections=%" PRIu64, rc_child_name(child),
                        connections_of(child));
            rc_steer_set_live(&supervisor->broker.steer, i, false);
            rc_broker_set_use(&supervisor->broker, child, RC_WORKER_LEAVING);
            count--;
        }
    }
}

static void send_away(struct rc_supervisor *supervisor)
{
    for (uint32_t i = 0; i < supervisor->broker.worker_count; i++) {
        if (use_of(supervisor, i) == RC_WORKER_LEAVING) {
            rc_broker_set_use(&supervisor->broker, &supervisor->broker.workers[i], RC_WORKER_SENDING_AWAY);
        }
    }
}

bool rc_workers_ended(struct rc_supervisor *supervisor, struct rc_child *child, int status)
{
    const enum rc_worker_use use = rc_broker_use(&supervisor->broker, child);
    if (rc_supervisor_state(supervisor) != RC_BROKER_RUNNING || child->orphan != RC_ADOPT_NOBODY) {
        return false;
    }
    if (child->added) {
        char why[96];
        (void)snprintf(why, sizeof(why), "it ended before it was ready (%s %d): its own log line says why",
                       WIFSIGNALED(status) ? "signal" : "exit code",
                       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        rc_workers_not_added(supervisor, child, why);
        return true;
    }
    if (use != RC_WORKER_LEAVING && use != RC_WORKER_SENDING_AWAY) {
        return false;
    }
    rc_log_info("worker_removed", "child=\"%s\"", rc_child_name(child));
    rc_broker_close_listeners(&supervisor->broker, child);
    rc_broker_set_use(&supervisor->broker, child, RC_WORKER_UNUSED);
    return true;
}

/* --- who asked ------------------------------------------------------------------------------------------------------- */

bool rc_workers_changing(const struct rc_supervisor *supervisor)
{
    for (uint32_t i = 0; i < supervisor->broker.worker_count; i++) {
        if (use_of(supervisor, i) >= RC_WORKER_LEAVING || supervisor->broker.workers[i].added) {
            return true;
        }
    }
    return false;
}

static void workers_answer(struct rc_supervisor *supervisor, bool well)
{
    struct rc_workers *workers = &supervisor->workers;
    workers_table(supervisor, workers);
    workers->waits = false;
    rc_console_write(&supervisor->console, workers->handle, well ? "ok\n" : "error\n", well ? 3 : 6);
    workers_refuse(supervisor, workers->handle, workers->text);
}

/* What keeps them, as far as it is known here; each tells more in its log. */
static void note_leaving(struct rc_supervisor *supervisor)
{
    for (uint32_t i = 0; i < supervisor->broker.worker_count; i++) {
        const struct rc_child *child = &supervisor->broker.workers[i];
        if (use_of(supervisor, i) >= RC_WORKER_LEAVING) {
            workers_note(&supervisor->workers,
                         "%s still has %" PRIu64
                         " connections, and ends when they have: what cannot be moved is in its "
                         "log line connections_stay; `ringcast workers N --drain` sends them away\n",
                         rc_child_name(child), connections_of(child));
        }
    }
}

void rc_workers_progress(struct rc_supervisor *supervisor)
{
    struct rc_workers *workers = &supervisor->workers;
    if (!workers->waits) {
        return;
    }
    if (!rc_workers_changing(supervisor)) {
        workers_answer(supervisor, workers->text_bytes == 0);
    } else if (supervisor->now_ms >= workers->due_ms || rc_supervisor_state(supervisor) != RC_BROKER_RUNNING) {
        note_leaving(supervisor);
        workers_answer(supervisor, false);
    }
}

uint64_t rc_workers_due_ms(const struct rc_supervisor *supervisor)
{
    return supervisor->workers.waits ? supervisor->workers.due_ms : UINT64_MAX;
}

static bool workers_busy(struct rc_supervisor *supervisor, uint32_t handle)
{
    const char *why = supervisor->workers.waits                              ? "somebody else is changing it: try again"
                      : supervisor->takeover.phase != RC_TAKEOVER_NONE       ? "a hand-over is running: try again"
                      : rc_upgrade_runs(supervisor)                          ? "an upgrade is running: try again"
                      : rc_supervisor_state(supervisor) != RC_BROKER_RUNNING ? "the broker does not run"
                                                                             : NULL;
    char text[128];
    if (why != NULL) {
        (void)snprintf(text, sizeof(text), "error\n%s\n", why);
        workers_refuse(supervisor, handle, text);
    }
    return why != NULL;
}

static void workers_begin(struct rc_supervisor *supervisor, uint32_t handle)
{
    supervisor->workers = (struct rc_workers){.waits = true,
                                              .handle = handle,
                                              .since_ms = supervisor->now_ms,
                                              .due_ms = supervisor->now_ms + WORKERS_ANSWER_MS};
}

void rc_workers_ask(struct rc_supervisor *supervisor, uint32_t handle, const char *text)
{
    char *end;
    const unsigned long wanted = strtoul(text, &end, 10);
    if (text[0] == '\0') {
        struct rc_workers shown = {0};
        workers_table(supervisor, &shown);
        rc_console_write(&supervisor->console, handle, "ok\n", 3);
        workers_refuse(supervisor, handle, shown.text);
        return;
    }
    const bool drain = strcmp(end, " drain") == 0;
    if (text[0] < '0' || text[0] > '9' || (*end != '\0' && !drain) || wanted < 1 ||
        wanted > supervisor->broker.worker_count) {
        char line[160];
        (void)snprintf(line, sizeof(line),
                       "error\nthere can be 1 to %u workers: server.max_workers, after a restart, makes more room\n",
                       supervisor->broker.worker_count);
        workers_refuse(supervisor, handle, line);
        return;
    }
    if (workers_busy(supervisor, handle)) {
        return;
    }
    workers_begin(supervisor, handle);
    const uint32_t staying = workers_staying(supervisor);
    if (wanted > staying) {
        workers_more(supervisor, (uint32_t)wanted - staying);
    } else {
        workers_fewer(supervisor, staying - (uint32_t)wanted);
    }
    if (drain) {
        send_away(supervisor);
    }
    rc_workers_progress(supervisor);
}
