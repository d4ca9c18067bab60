/*
 * reload: see reload.h.
 */
#include "acceptor/watch/reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acceptor/watch/watch.h"
#include "common/base/log.h"
#include "common/config/log_settings.h"

#define RC_RELOAD_WARN_MS 5000u
#define RC_RELOAD_TEXT_MAX 2048

void rc_reload_ask(struct rc_supervisor *supervisor, uint32_t handle)
{
    struct rc_reload *reload = &supervisor->reload;
    reload->wanted = true;
    if (handle != RC_RELOAD_NOBODY && reload->waiter_count < RC_CONSOLE_SESSIONS_MAX) {
        reload->waiters[reload->waiter_count++] = handle;
    }
}

static void waiters_tell(struct rc_supervisor *supervisor, const uint32_t *handles, uint32_t count, const char *text)
{
    for (uint32_t i = 0; i < count; i++) {
        rc_console_write(&supervisor->console, handles[i], text, strlen(text));
    }
}

static void waiters_dismiss(struct rc_supervisor *supervisor, uint32_t *handles, uint32_t *count)
{
    for (uint32_t i = 0; i < *count; i++) {
        rc_console_finish(&supervisor->console, handles[i], supervisor->now_ms);
    }
    *count = 0;
}

static void reload_refuse(struct rc_supervisor *supervisor, const struct rc_config_errors *errors)
{
    struct rc_reload *reload = &supervisor->reload;
    rc_metric_add(rc_supervisor_metrics(supervisor), RC_METRIC_RELOADS_REFUSED, 1);
    waiters_tell(supervisor, reload->waiters, reload->waiter_count, "error\n");
    for (uint32_t i = 0; i < errors->count && i < RC_CONFIG_ERRORS_MAX; i++) {
        rc_log_error("reload_refused", "error=\"%s\"", errors->lines[i].text);
        waiters_tell(supervisor, reload->waiters, reload->waiter_count, errors->lines[i].text);
        waiters_tell(supervisor, reload->waiters, reload->waiter_count, "\n");
    }
    if (errors->count > RC_CONFIG_ERRORS_MAX) {
        rc_log_error("reload_refused", "further_errors=%u", errors->count - RC_CONFIG_ERRORS_MAX);
    }
    waiters_tell(supervisor, reload->waiters, reload->waiter_count, "the configuration in force stays\n");
    waiters_dismiss(supervisor, reload->waiters, &reload->waiter_count);
}

void rc_reload_warn(struct rc_supervisor *supervisor, const uint32_t *handles, uint32_t count)
{
    struct rc_config_errors warnings = {0};
    rc_settings_warnings(&supervisor->settings->config, &supervisor->settings->files, &warnings);
    for (uint32_t i = 0; i < warnings.count && i < RC_CONFIG_ERRORS_MAX; i++) {
        rc_log_warn("config_warning", "note=\"%s\"", warnings.lines[i].text);
        waiters_tell(supervisor, handles, count, "warning: ");
        waiters_tell(supervisor, handles, count, warnings.lines[i].text);
        waiters_tell(supervisor, handles, count, "\n");
    }
    if (warnings.count > RC_CONFIG_ERRORS_MAX) {
        rc_log_warn("config_warning", "further_warnings=%u", warnings.count - RC_CONFIG_ERRORS_MAX);
    }
}

static void reload_apply(struct rc_supervisor *supervisor, const struct rc_config *next, const struct rc_files *files,
                         const struct rc_config_errors *needs_restart)
{
    struct rc_reload *reload = &supervisor->reload;
    char changed[RC_RELOAD_TEXT_MAX];
    char line[RC_RELOAD_TEXT_MAX + 64];
    char names[RC_RELOAD_TEXT_MAX];
    const unsigned count = rc_settings_changed(&supervisor->settings->config, next, changed, sizeof(changed));
    const unsigned renewed = rc_files_changed(&supervisor->settings->files, files, names, RC_RELOAD_TEXT_MAX);
    rc_broker_say_adopting(&supervisor->broker, supervisor->settings->config.server.adopt_crashed,
                           next->server.adopt_crashed);
    supervisor->settings->files = *files;
    rc_settings_accept(supervisor->settings, next, needs_restart->count == 0);
    const uint32_t generation = rc_segments_configure(&supervisor->broker.segments, next);
    rc_log_settings_apply(&next->log);
    rc_broker_ring_all(&supervisor->broker);
    rc_metric_add(rc_supervisor_metrics(supervisor), RC_METRIC_RELOADS, 1);
    rc_log_info("reloaded", "generation=%u changed=%u keys=\"%s\"", generation, count, changed);
    rc_supervisor_tell_permissions(next);
    snprintf(line, sizeof(line), "ok\nconfiguration %u is in force; changed: %s\n", generation,
             count > 0     ? changed
             : renewed > 0 ? "no key"
                           : "nothing");
    waiters_tell(supervisor, reload->waiters, reload->waiter_count, line);
    if (renewed > 0) {
        rc_log_info("files_read_again", "changed=%u files=\"%s\"", renewed, names);
        waiters_tell(supervisor, reload->waiters, reload->waiter_count, "changed files, read again: ");
        waiters_tell(supervisor, reload->waiters, reload->waiter_count, names);
        waiters_tell(supervisor, reload->waiters, reload->waiter_count, "\n");
    }
    rc_reload_warn(supervisor, reload->waiters, reload->waiter_count);
    for (uint32_t i = 0; i < needs_restart->count && i < RC_CONFIG_ERRORS_MAX; i++) {
        rc_log_warn("reload_needs_restart", "key=\"%s\"", needs_restart->lines[i].text);
        waiters_tell(supervisor, reload->waiters, reload->waiter_count, needs_restart->lines[i].text);
        waiters_tell(supervisor, reload->waiters, reload->waiter_count, "\n");
    }
    memcpy(reload->pending_waiters, reload->waiters, sizeof(reload->waiters));
    reload->pending_count = reload->waiter_count;
    reload->waiter_count = 0;
    reload->pending = true;
    reload->warned = false;
    reload->since_ms = supervisor->now_ms;
}

/* A child of another build, or from before an upgrade that made the configuration's memory anew, has its configuration from an acceptor that is
 * gone: it would never take this one over. NULL: there is none. */
static const struct rc_child *child_foreign(struct rc_supervisor *supervisor)
{
    for (uint32_t i = 0; i < rc_broker_child_count(&supervisor->broker); i++) {
        const struct rc_child *child = rc_broker_child(&supervisor->broker, i);
        if (child->pid != 0 && (child->started_ms < supervisor->broker.config_since_ms ||
                                rc_segments_foreign(&supervisor->broker.segments, child->index))) {
            return child;
        }
    }
    return NULL;
}

static void reload_begin(struct rc_supervisor *supervisor)
{
    struct rc_config_errors errors = {0};
    struct rc_config_errors needs_restart = {0};
    supervisor->reload.wanted = false;
    const struct rc_child *foreign = child_foreign(supervisor);
    if (foreign != NULL) {
        rc_config_errors_add(&errors,
                             "%s still runs with the configuration of another version: repeat `ringcast upgrade`",
                             rc_child_name(foreign));
        reload_refuse(supervisor, &errors);
        return;
    }
    struct rc_config *next = malloc(sizeof(*next));
    struct rc_files *files = malloc(sizeof(*files));
    if (next == NULL || files == NULL) {
        rc_config_errors_add(&errors, "no memory for a configuration");
        reload_refuse(supervisor, &errors);
        free(files);
        free(next);
        return;
    }
    rc_sdnotify_reloading(&supervisor->notify);
    struct rc_err err = {{0}};
    int rc = rc_settings_reload(supervisor->settings, next, files, &needs_restart, &errors);
    if (rc == 0) {
        const uint32_t generation =
            atomic_load_explicit(&supervisor->broker.segments.configs->generation, memory_order_relaxed) + 1;
        rc = rc_keyring_configure(&supervisor->keyring, generation, next, supervisor->now_ms, &err);
        if (rc < 0) {
            rc_config_errors_add(&errors, "%s", err.text);
        }
    }
    if (rc == 0) {
        reload_apply(supervisor, next, files, &needs_restart);
    } else {
        reload_refuse(supervisor, &errors);
        rc_sdnotify_send(&supervisor->notify, "READY=1\nSTATUS=running; the last reload was refused");
    }
    free(files);
    free(next);
}

/* A child that has not taken the configuration in force over; NULL when all have. One that is being started
 * counts: it may be reading the copy that a next reload would write. So does one that is dead and whose clients the next process is
 * to go on with: they are by the copy that it had. */
static struct rc_child *child_behind(struct rc_supervisor *supervisor)
{
    const uint32_t generation =
        atomic_load_explicit(&supervisor->broker.segments.configs->generation, memory_order_relaxed);
    for (uint32_t i = 0; i < rc_broker_child_count(&supervisor->broker); i++) {
        struct rc_child *child = rc_broker_child(&supervisor->broker, i);
        /* A2 pairs with the store of config_generation in worker/main.c and relay/main.c: the child has looked at the
         * old copy for the last time. */
        const bool taken = child->ready &&
                           atomic_load_explicit(&child->process->config_generation, memory_order_acquire) == generation;
        if (child->pid != 0 ? !taken : child->orphan != RC_ADOPT_NOBODY) {
            return child;
        }
    }
    return NULL;
}

static void reload_finish(struct rc_supervisor *supervisor)
{
    struct rc_reload *reload = &supervisor->reload;
    reload->pending = false;
    waiters_dismiss(supervisor, reload->pending_waiters, &reload->pending_count);
    rc_sdnotify_send(&supervisor->notify, "READY=1\nSTATUS=running");
}

void rc_reload_progress(struct rc_supervisor *supervisor)
{
    struct rc_reload *reload = &supervisor->reload;
    if (reload->pending) {
        const struct rc_child *late = child_behind(supervisor);
        if (late == NULL) {
            reload_finish(supervisor);
        } else if (!reload->warned && supervisor->now_ms - reload->since_ms >= RC_RELOAD_WARN_MS) {
            char line[160];
            reload->warned = true;
            rc_log_warn("reload_slow", "child=\"%s\" reason=\"it has not taken the new configuration over\"",
                        rc_child_name(late));
            snprintf(line, sizeof(line), "%s has not taken it over yet; further reloads wait for it\n",
                     rc_child_name(late));
            waiters_tell(supervisor, reload->pending_waiters, reload->pending_count, line);
            waiters_dismiss(supervisor, reload->pending_waiters, &reload->pending_count);
        }
    }
    const bool may = supervisor->upgrade.phase == RC_UPGRADE_NONE || supervisor->upgrade.phase == RC_UPGRADE_SETTLING;
    if (reload->wanted && !reload->pending && may && rc_supervisor_state(supervisor) == RC_BROKER_RUNNING) {
        reload_begin(supervisor);
    } else if (reload->wanted && rc_supervisor_state(supervisor) >= RC_BROKER_DRAINING) {
        reload->wanted = false;
        waiters_tell(supervisor, reload->waiters, reload->waiter_count, "error\nthe broker is stopping\n");
        waiters_dismiss(supervisor, reload->waiters, &reload->waiter_count);
    }
}

uint64_t rc_reload_due_ms(const struct rc_supervisor *supervisor)
{
    const struct rc_reload *reload = &supervisor->reload;
    if (!reload->pending) {
        return reload->wanted && rc_supervisor_state(supervisor) == RC_BROKER_RUNNING ? supervisor->now_ms : UINT64_MAX;
    }
    /* Children ring when they have taken it over. */
    return reload->warned ? UINT64_MAX : reload->since_ms + RC_RELOAD_WARN_MS;
}
