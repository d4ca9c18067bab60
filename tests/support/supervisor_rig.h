/*
 * supervisor_rig: the acceptor's supervisor without a loop and without processes: segments, a console and children that the test plays.
 *
 * One rig per test; single thread. Everything that fails here fails the test (RC_ASSERT). The broker is RUNNING with two workers and a
 * relay; its configuration is a file of the test's.
 */
#ifndef RC_TESTS_SUPPORT_SUPERVISOR_RIG_H
#define RC_TESTS_SUPPORT_SUPERVISOR_RIG_H

#include "acceptor/watch/supervisor.h"

struct supervisor_rig {
    struct rc_supervisor supervisor;
    char config_path[64];
    char socket_path[64];
};

void supervisor_rig_open(struct supervisor_rig *rig, const char *config);
void supervisor_rig_close(struct supervisor_rig *rig);

void supervisor_rig_write(const struct supervisor_rig *rig, const char *config);

/* All children run, and have taken over the configuration in force (or `behind`: all but that one have). */
#define SUPERVISOR_RIG_NOBODY UINT32_MAX
void supervisor_rig_acknowledge(struct supervisor_rig *rig, uint32_t behind);

/* A caller of the console: connects and sends the line. The descriptor. */
int supervisor_rig_call(struct supervisor_rig *rig, const char *line);
/* What has come for a caller since, after the console was served. `*ended`: the console has closed it. */
const char *supervisor_rig_answer(struct supervisor_rig *rig, int fd, bool *ended);

#endif
