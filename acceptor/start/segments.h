/*
 * segments: the shared memory of the broker, from the acceptor's side.
 *
 * Makes the control segment and one port segment per worker, fills what the acceptor writes, and marks them ready
 * last. One instance, owned by the supervisor; children map the inherited descriptors by themselves. Layout:
 * common/shm/layout.h.
 */
#ifndef RC_ACCEPTOR_START_SEGMENTS_H
#define RC_ACCEPTOR_START_SEGMENTS_H

#include "common/config/config.h"
#include "common/base/err.h"
#include "common/shm/layout.h"

struct rc_segments {
    int control_fd;             /* owned, -1 = none */
    struct rc_control *control; /* owned mapping */
    uint32_t worker_count;
    uint64_t port_bytes;                   /* of each port segment */
    int port_fds[RC_WORKERS_MAX];          /* owned, -1 = none */
    struct rc_port *ports[RC_WORKERS_MAX]; /* owned mappings */
};

/* Creates and fills everything but listeners and sizes, which the caller writes before rc_segments_publish. */
int rc_segments_create(struct rc_segments *segments, const struct rc_config *config, uint32_t workers,
                       struct rc_err *err);

/* Stores the ready word: from here on children may attach. */
void rc_segments_publish(struct rc_segments *segments);

/* Writes the configuration copy that is not in force and puts it in force. Only when every child acknowledged the
 * last one. */
uint32_t rc_segments_configure(struct rc_segments *segments, const struct rc_config *config);

/* The configuration in force. */
const struct rc_config *rc_segments_config(const struct rc_segments *segments);

void rc_segments_close(struct rc_segments *segments);

#endif
