/* resume: see resume.h. */
#include "acceptor/upgrade/resume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "acceptor/start/carry.h"
#include "acceptor/upgrade/image.h"
#include "acceptor/upgrade/state.h"
#include "common/base/log.h"

/* Of this build: those that lie beside it, or, for a program that is executed again, those that it held before. */
static int resume_programs(struct rc_broker *broker, struct rc_resume *resume, struct rc_err *err)
{
    struct rc_program *worker = &broker->worker_program;
    struct rc_program *relay = &broker->relay_program;
    resume->old_programs[0] = resume->old_programs[1] = -1;
    if (resume->refused != NULL) {
        (void)snprintf(worker->path, sizeof(worker->path), "ringcast-worker");
        (void)snprintf(relay->path, sizeof(relay->path), "ringcast-relay");
        return worker->fd >= 0 && relay->fd >= 0 ? 0
                                                 : rc_err_set(err, -EBADMSG, "the programs of this build are missing");
    }
    resume->old_programs[0] = worker->fd;
    resume->old_programs[1] = relay->fd;
    const int rc = rc_program_open(worker, "ringcast-worker", err);
    return rc == 0 ? rc_program_open(relay, "ringcast-relay", err) : rc;
}

/* What is in force is what runs, not what the file says by now: that is for the next reload. */
static int resume_config(struct rc_supervisor *supervisor, bool foreign, struct rc_err *err)
{
    struct rc_settings *settings = supervisor->settings;
    struct rc_segments *segments = &supervisor->broker.segments;
    struct rc_config_errors errors = {0};
    if (!foreign) {
        settings->config = *rc_segments_config(segments);
        return 0;
    }
    const int rc = rc_settings_carry(settings, segments->core->instance_id, &errors);
    if (rc != 0) {
        return rc_err_set(err, rc, "the configuration in force: %.400s", errors.lines[0].text);
    }
    rc_segments_fill(segments, &settings->config);
    return 0;
}

static int resume_broker(struct rc_supervisor *supervisor, struct rc_resume *resume, struct rc_err *err)
{
    struct rc_broker *broker = &supervisor->broker;
    int rc = rc_segments_adopt(&broker->segments, err);
    if (rc >= 0) {
        rc_broker_wire(broker);
        resume->foreign = rc == 1;
        if (resume->foreign) {
            broker->config_since_ms = rc_clock_ms();
        }
        rc = resume_config(supervisor, resume->foreign, err);
    }
    if (rc == 0) {
        rc = resume_programs(broker, resume, err);
    }
    if (rc == 0) {
        rc = rc_identity_resolve(&broker->identity, supervisor->settings->config.server.user.text, err);
    }
    if (rc == 0) {
        rc = rc_cpus_read(&broker->cpus, err);
    }
    if (rc == 0) {
        rc = rc_limits_read(&broker->limits, &broker->identity, err);
    }
    if (rc == 0 && broker->keeps && !broker->limits.vault) {
        rc = rc_err_set(err, -ENOTSUP, "sockets cannot be kept any more: workers could not be handed over");
    }
    if (rc == 0) {
        rc_broker_describe_vaults(broker); /* a former build said it with the first one that was made */
        rc = rc_steer_adopt(&broker->steer, broker->listens, broker->listen_count, broker->worker_count, err);
    }
    return rc;
}

int rc_resume_read(struct rc_supervisor *supervisor, struct rc_resume *resume, struct rc_err *err)
{
    struct rc_state state;
    int rc = rc_state_load(&state, resume->state_fd, err);
    if (rc != 0) {
        return rc;
    }
    rc = rc_image_read(supervisor, &state, err);
    rc_state_close(&state);
    return rc == 0 ? resume_broker(supervisor, resume, err) : rc;
}

static void held_close(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void rc_resume_keep(struct rc_supervisor *supervisor, struct rc_resume *resume)
{
    struct rc_err err = {{0}};
    if (resume->refused == NULL && rc_steer_renew(&supervisor->broker.steer, true, &err) != 0) {
        rc_log_warn("steering", "mode=bpf reason=\"%s\" effect=\"the program of the former build goes on\"", err.text);
    }
    rc_segments_settle(&supervisor->broker.segments);
    held_close(&resume->old_programs[0]);
    held_close(&resume->old_programs[1]);
    held_close(&resume->fallback_fd);
    held_close(&resume->state_fd);
}

void rc_resume_back(const struct rc_resume *resume, const char *config, const char *why)
{
    struct rc_state state;
    struct rc_err err = {{0}};
    char state_text[16];
    static char run[] = "run";
    static char program[] = "ringcast";
    static char state_word[] = "--state-fd";
    static char refused_word[] = "--refused";
    static char config_word[] = "--config";
    char *argv[] = {program,      run,
                    state_word,   state_text,
                    refused_word, (char *)(uintptr_t)why,
                    config_word,  (char *)(uintptr_t)config,
                    NULL};
    (void)snprintf(state_text, sizeof(state_text), "%d", resume->state_fd);
    if (config == NULL) {
        argv[6] = NULL;
    }
    rc_log_error("upgrade_goes_back", "reason=\"%s\"", why);
    rc_log_catch_up();
    if (resume->fallback_fd < 0 || rc_state_load(&state, resume->state_fd, &err) != 0) {
        return;
    }
    if (rc_image_hold(&state, true) == 0 && fcntl(resume->state_fd, F_SETFD, 0) == 0) {
        (void)execveat(resume->fallback_fd, "", argv, environ, AT_EMPTY_PATH);
    }
    rc_log_error("upgrade_cannot_go_back", "reason=\"%s\"", strerror(errno));
    rc_state_close(&state);
}
