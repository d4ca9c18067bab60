/* supervisor_rig: see supervisor_rig.h. */
#include "tests/support/supervisor_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "acceptor/console/request.h"
#include "common/base/check.h"
#include "common/base/clock.h"

#define WORKERS 2u

void supervisor_rig_write(const struct supervisor_rig *rig, const char *config)
{
    FILE *file = fopen(rig->config_path, "we");
    RC_ASSERT(file != NULL);
    const bool written = fputs(config, file) >= 0;
    const bool closed = fclose(file) == 0;
    RC_ASSERT(written && closed);
}

void supervisor_rig_open(struct supervisor_rig *rig, const char *config)
{
    static struct rc_config_errors errors;
    struct rc_supervisor *supervisor = &rig->supervisor;
    struct rc_broker *broker = &supervisor->broker;
    struct rc_err err = {{0}};
    memset(rig, 0, sizeof(*rig));
    (void)snprintf(rig->config_path, sizeof(rig->config_path), "/tmp/ringcast-supervisor-%d.toml", (int)getpid());
    (void)snprintf(rig->socket_path, sizeof(rig->socket_path), "/tmp/ringcast-supervisor-%d.sock", (int)getpid());
    supervisor_rig_write(rig, config);
    supervisor->settings = rc_settings_new(rig->config_path, false);
    RC_ASSERT(supervisor->settings != NULL && rc_settings_load(supervisor->settings, &errors) == 0);
    supervisor->notify.fd = -1;
    supervisor->now_ms = supervisor->started_ms = rc_clock_ms();
    broker->worker_count = WORKERS;
    RC_ASSERT(rc_segments_create(&broker->segments, &supervisor->settings->config, WORKERS, &err) == 0);
    rc_keyring_open(&supervisor->keyring, broker->segments.keys, NULL, rc_supervisor_metrics(supervisor));
    for (uint32_t i = 0; i < WORKERS; i++) {
        rc_child_init(&broker->workers[i], (int)i, &broker->segments.core->workers[i],
                      &broker->segments.workers[i]->process);
    }
    rc_child_init(&broker->relay, RC_CHILD_RELAY, &broker->segments.core->relay,
                  &broker->segments.relay->report.process);
    for (uint32_t i = 0; i <= WORKERS; i++) {
        struct rc_child *child = rc_broker_child(broker, i);
        child->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        RC_ASSERT(child->bell_fd >= 0);
        child->pid = 1; /* nobody sends it a signal */
        child->ready = true;
    }
    supervisor_rig_acknowledge(rig, SUPERVISOR_RIG_NOBODY);
    rc_supervisor_enter(supervisor, RC_BROKER_RUNNING);
    RC_ASSERT(rc_console_open(&supervisor->console, rig->socket_path, rc_request_handle, supervisor, &err) == 0);
    supervisor->console_open = true;
}

void supervisor_rig_close(struct supervisor_rig *rig)
{
    struct rc_supervisor *supervisor = &rig->supervisor;
    rc_console_close(&supervisor->console);
    for (uint32_t i = 0; i <= WORKERS; i++) {
        (void)close(rc_broker_child(&supervisor->broker, i)->bell_fd);
    }
    rc_keyring_close(&supervisor->keyring);
    rc_segments_close(&supervisor->broker.segments);
    rc_settings_free(supervisor->settings);
    (void)unlink(rig->config_path);
}

void supervisor_rig_acknowledge(struct supervisor_rig *rig, uint32_t behind)
{
    struct rc_broker *broker = &rig->supervisor.broker;
    for (uint32_t i = 0; i <= WORKERS; i++) {
        if (i != behind) {
            atomic_store(&rc_broker_child(broker, i)->process->config_generation,
                         atomic_load(&broker->segments.configs->generation));
        }
    }
}

int supervisor_rig_call(struct supervisor_rig *rig, const char *line)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", rig->socket_path);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    RC_ASSERT(fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
    RC_ASSERT(send(fd, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line));
    return fd;
}

const char *supervisor_rig_answer(struct supervisor_rig *rig, int fd, bool *ended)
{
    static char text[1 << 16];
    size_t bytes = 0;
    ssize_t got;
    /* Twice: a caller is accepted, then its request is there. */
    rc_console_serve(&rig->supervisor.console, rig->supervisor.now_ms);
    rc_console_serve(&rig->supervisor.console, rig->supervisor.now_ms);
    while ((got = recv(fd, text + bytes, sizeof(text) - 1 - bytes, MSG_DONTWAIT)) > 0) {
        bytes += (size_t)got;
    }
    text[bytes] = '\0';
    *ended = got == 0;
    return text;
}
