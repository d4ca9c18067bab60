/*
 * request: see request.h.
 */
#include "acceptor/console/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acceptor/upgrade/upgrade.h"
#include "acceptor/watch/reload.h"
#include "acceptor/watch/takeover.h"
#include "acceptor/watch/workers.h"
#include "acceptor/console/postmortem.h"
#include "acceptor/console/status.h"
#include "common/base/log.h"
#include "common/shm/handover.h"
#include "version.h"

static void request_answer(struct rc_supervisor *supervisor, uint32_t handle, const char *text)
{
    rc_console_write(&supervisor->console, handle, text, strlen(text));
}

static void answer_report(struct rc_supervisor *supervisor, uint32_t handle, bool json, bool postmortem)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out == NULL) {
        request_answer(supervisor, handle, "error\nno memory\n");
        return;
    }
    fputs("ok\n", out);
    if (postmortem) {
        rc_postmortem_print(out, &supervisor->broker.segments, supervisor->broker.worker_count, json);
    } else if (json) {
        rc_status_print_json(out, supervisor);
    } else {
        rc_status_print_table(out, supervisor);
    }
    if (fclose(out) == 0) {
        rc_console_write(&supervisor->console, handle, text, bytes);
    } else {
        request_answer(supervisor, handle, "error\nno memory\n");
    }
    free(text);
}

static void answer_stop(struct rc_supervisor *supervisor, uint32_t handle, bool now)
{
    char line[128];
    if (now) {
        rc_supervisor_stop(supervisor, RC_EXIT_OK, "ringcast stop --now");
        snprintf(line, sizeof(line), "ok\nstopping\n");
    } else {
        rc_supervisor_drain(supervisor, RC_EXIT_OK, "ringcast stop");
        snprintf(line, sizeof(line), "ok\nclients are sent away, for %" PRIu64 " s at most\n",
                 rc_segments_config(&supervisor->broker.segments)->server.drain_timeout_ms / 1000u);
    }
    request_answer(supervisor, handle, line);
    if (supervisor->stop_waiter_count < RC_CONSOLE_SESSIONS_MAX) {
        supervisor->stop_waiters[supervisor->stop_waiter_count++] = handle;
    } else {
        rc_console_finish(&supervisor->console, handle, supervisor->now_ms);
    }
}

#define API_SILENT_MS 1500u /* a worker moves at least once a second: one that did not may hang, which is found later */

/* The next worker that is there for newcomers, one that moves if there is one; NULL: none is. */
static const struct rc_child *next_worker(struct rc_supervisor *supervisor)
{
    struct rc_broker *broker = &supervisor->broker;
    const struct rc_child *silent = NULL;
    for (uint32_t i = 0; i < broker->worker_count; i++) {
        const struct rc_child *child = &broker->workers[supervisor->api_worker++ % broker->worker_count];
        if (child->pid != 0 && child->ready && !child->stuck && rc_child_state(child) == RC_PROCESS_READY &&
            rc_broker_use(broker, child) == RC_WORKER_USED) {
            const uint64_t beat_ms = atomic_load_explicit(&child->process->heartbeat_ms, memory_order_relaxed);
            if (beat_ms + API_SILENT_MS >= supervisor->now_ms) {
                return child;
            }
            silent = child;
        }
    }
    return silent;
}

/* The caller's connection goes to a worker, as one that another worker hands over. */
static void answer_api(struct rc_supervisor *supervisor, uint32_t handle)
{
    const struct rc_child *worker = next_worker(supervisor);
    if (worker == NULL) {
        request_answer(supervisor, handle, "error\nno worker is there to answer now: try again\n");
        rc_console_finish(&supervisor->console, handle, supervisor->now_ms);
        return;
    }
    request_answer(supervisor, handle, "ok\n");
    const int fd = rc_console_take(&supervisor->console, handle);
    if (fd < 0) { /* the caller is gone, or does not read: it sees the end of its connection */
        rc_console_finish(&supervisor->console, handle, supervisor->now_ms);
        return;
    }
    const struct rc_handover head = {.time_ms = supervisor->now_ms,
                                     .worker = (uint32_t)worker->index,
                                     .listener = RC_LISTENER_CONSOLE,
                                     .flags = RC_HANDOVER_HERE};
    const int rc = rc_handover_send(supervisor->broker.outbox_fds[worker->index], &head, NULL, fd);
    if (rc < 0) {
        rc_log_warn("console_not_handed_over", "worker=%d error=\"%s\"", worker->index, strerror(-rc));
    }
    close(fd);
}

/* "begin WORDS", "read N", "end N". */
static void answer_trace(struct rc_supervisor *supervisor, uint32_t handle, const char *words)
{
    struct rc_trace *trace = &supervisor->trace;
    struct rc_broker *broker = &supervisor->broker;
    struct rc_err err = {{0}};
    char *text = NULL;
    size_t bytes = 0;
    uint32_t serial = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out == NULL) {
        request_answer(supervisor, handle, "error\nno memory\n");
        return;
    }
    if (strncmp(words, "begin ", 6) == 0) {
        if (rc_trace_begin(trace, broker, words + 6, supervisor->now_ms, &serial, &err) < 0) {
            (void)fprintf(out, "error\n%s\n", err.text);
        } else {
            (void)fprintf(out, "ok\n%u\n", serial);
        }
    } else if (sscanf(words, "read %" SCNu32, &serial) == 1) {
        (void)fputs("ok\n", out);
        if (rc_trace_read(trace, broker, serial, supervisor->now_ms, out) < 0) {
            rewind(out);
            (void)fputs("error\nthis trace has ended\n", out);
        }
    } else if (sscanf(words, "end %" SCNu32, &serial) == 1) {
        rc_trace_end(trace, broker, serial);
        (void)fputs("ok\n", out);
    } else {
        (void)fputs("error\na trace is begun, read or ended\n", out);
    }
    if (fclose(out) == 0) {
        rc_console_write(&supervisor->console, handle, text, bytes);
    }
    free(text);
}

void rc_request_handle(void *context, uint32_t handle, const char *request)
{
    struct rc_supervisor *supervisor = context;
    if (strcmp(request, "reload") == 0) {
        rc_reload_ask(supervisor, handle);
        return;
    }
    if (strncmp(request, "handover ", 9) == 0) {
        rc_takeover_ask(supervisor, handle, request + 9);
        return;
    }
    if (strncmp(request, "workers", 7) == 0 && (request[7] == ' ' || request[7] == '\0')) {
        rc_workers_ask(supervisor, handle, request[7] == ' ' ? request + 8 : "");
        return;
    }
    if (strncmp(request, "upgrade ", 8) == 0) {
        rc_upgrade_ask(supervisor, handle, request + 8);
        return;
    }
    if (strncmp(request, "park ", 5) == 0) {
        rc_takeover_ask_park(supervisor, handle, request + 5);
        return;
    }
    if (strcmp(request, "api") == 0) {
        answer_api(supervisor, handle);
        return;
    }
    if (strcmp(request, "stop") == 0 || strcmp(request, "stop now") == 0) {
        answer_stop(supervisor, handle, strcmp(request, "stop now") == 0);
        return;
    }
    if (strncmp(request, "trace ", 6) == 0) {
        answer_trace(supervisor, handle, request + 6);
    } else if (strcmp(request, "status") == 0 || strcmp(request, "status json") == 0) {
        answer_report(supervisor, handle, strcmp(request, "status json") == 0, false);
    } else if (strcmp(request, "postmortem") == 0 || strcmp(request, "postmortem json") == 0) {
        answer_report(supervisor, handle, strcmp(request, "postmortem json") == 0, true);
    } else if (strcmp(request, "version") == 0) {
        request_answer(supervisor, handle, "ok\n" RC_VERSION "\n");
    } else {
        request_answer(supervisor, handle, "error\nthis broker (version " RC_VERSION ") does not know that request\n");
    }
    rc_console_finish(&supervisor->console, handle, supervisor->now_ms);
}

void rc_request_ended(struct rc_supervisor *supervisor)
{
    for (uint32_t i = 0; i < supervisor->stop_waiter_count; i++) {
        request_answer(supervisor, supervisor->stop_waiters[i], "ended\n");
        rc_console_finish(&supervisor->console, supervisor->stop_waiters[i], supervisor->now_ms);
    }
    supervisor->stop_waiter_count = 0;
}
