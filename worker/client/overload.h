/*
 * overload: takes the samples of worker/gate/pressure, and does what follows: stops accepting, has newcomers refused, tells the
 * steering program and the log. And without any pressure has newcomers come a few at a time while others are served.
 *
 * Owned by the worker's main(), which calls it around each pass of the loop; above io and clients. What cannot be read (no
 * /proc) is not known, and never a cause.
 */
#ifndef RC_WORKER_CLIENT_OVERLOAD_H
#define RC_WORKER_CLIENT_OVERLOAD_H

#include <stdint.h>

#include "common/config/config.h"
#include "common/metrics/metrics.h"
#include "worker/gate/pressure.h"
#include "worker/io/io.h"
#include "worker/client/client.h"

struct rc_overload {
    struct rc_pressure pressure;
    struct rc_pressure_limits limits;
    struct rc_io *io;           /* borrowed */
    struct rc_clients *clients; /* borrowed */
    struct rc_metrics *metrics; /* borrowed */
    uint64_t pass_ns;           /* when the pass began */
    uint64_t longest_ns;        /* of the passes since the last sample */
    uint64_t sampled_ns;
    uint64_t read_ns;   /* when memory was read */
    uint64_t delivered; /* RC_METRIC_DELIVERIES as of the last sample */
    uint64_t served_ns; /* when it was last seen to have grown */
    uint64_t memory_bytes;
    uint64_t available_bytes;
    uint64_t page_bytes;
    int statm_fd;   /* owned; -1 = cannot be read */
    int meminfo_fd; /* owned; -1 = cannot be read */
};

void rc_overload_open(struct rc_overload *overload, struct rc_io *io, struct rc_clients *clients,
                      struct rc_metrics *metrics, const struct rc_config *config);
void rc_overload_close(struct rc_overload *overload);
void rc_overload_reconfigure(struct rc_overload *overload, const struct rc_config *config);

/* The loop has woken up; io's clock is fresh. */
static inline void rc_overload_pass_begins(struct rc_overload *overload)
{
    overload->pass_ns = overload->io->now_ns;
}
/* It is about to sleep. Takes a sample if it is time to. */
void rc_overload_pass_ends(struct rc_overload *overload);
/* How long the loop may sleep, at most `most_ms`: overload is looked at until it is over. */
static inline uint32_t rc_overload_sleep_ms(const struct rc_overload *overload, uint32_t most_ms)
{
    return overload->pressure.level != RC_PRESSURE_NONE && most_ms > RC_PRESSURE_SAMPLE_MS ? RC_PRESSURE_SAMPLE_MS
                                                                                           : most_ms;
}

#endif
