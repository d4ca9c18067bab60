/*
 * segments: the shared memory of the broker, from the acceptor's side.
 *
 * Makes all segments of common/shm/layout.h, fills what the acceptor writes, and marks them ready last. One instance, owned
 * by the supervisor; children map the inherited descriptors by themselves. What the acceptor reads in a report or a port is
 * a child's word: numbers, never bounds.
 */
#ifndef RC_ACCEPTOR_START_SEGMENTS_H
#define RC_ACCEPTOR_START_SEGMENTS_H

#include "acceptor/start/segment_pair.h"
#include "common/config/config.h"
#include "common/base/err.h"
#include "common/identity/key_board.h"
#include "common/shm/history.h"
#include "common/shm/layout.h"
#include "common/shm/spawn_args.h"
#include "common/shm/tallies.h"

#define RC_SEGMENTS_SHARED 8u
#define RC_SEGMENTS_MAX (RC_SEGMENTS_SHARED + 2 * RC_WORKERS_MAX)

struct rc_segments {
    uint32_t worker_count;
    uint64_t ring_bytes; /* of each port */
    uint64_t overflow_bytes;
    uint64_t history_bytes;  /* limits.history_memory */
    uint64_t recovery_bytes; /* behind `keep` in its segment; 0 = nothing is kept of Socket.IO clients that are lost */
    struct rc_segment core_segment;
    struct rc_segment config_segment;
    struct rc_segment keys_segment;
    struct rc_segment acceptor_segment;
    struct rc_segment relay_segment;
    struct rc_segment keep_segment;
    struct rc_segment limits_segment; /* all workers write it */
    struct rc_segment history_segment;
    struct rc_segment worker_segments[RC_WORKERS_MAX];
    struct rc_segment port_segments[RC_WORKERS_MAX];
    /* Of the build of before, until rc_segments_settle: where that one has its configuration and keys. */
    struct rc_segment former_config_segment;
    struct rc_segment former_keys_segment;
    /* The same memory. */
    struct rc_core *core;
    struct rc_config_segment *configs;
    struct rc_key_board *keys;
    struct rc_report *acceptor;
    struct rc_metrics *metrics; /* in `acceptor`: what this program counts */
    struct rc_relay_report *relay;
    struct rc_relay_keep *keep;
    struct rc_limits_segment *limits;
    struct rc_history_segment *history;
    struct rc_report *workers[RC_WORKERS_MAX];
    struct rc_port *ports[RC_WORKERS_MAX];
};

/* Creates and fills everything but listeners and sizes, which the caller writes before rc_segments_publish. */
int rc_segments_create(struct rc_segments *segments, const struct rc_config *config, uint32_t workers,
                       struct rc_err *err);

/* Has nothing. */
void rc_segments_clear(struct rc_segments *segments);
/* Each by a number that stays the same: core, config, keys, acceptor's report, relay's, keep, limits, history, then report and port of each
 * worker. */
struct rc_segment *rc_segments_at(struct rc_segments *segments, uint32_t index);
/* Goes on with the segments of another program, whose descriptors, number of workers and sizes are in `segments`: maps them. Nothing is
 * written there. 1: that program is of another build, configuration and keys are new, empty segments, and rc_segments_fill is next.
 * -EBADMSG: they are not what this program shares; rc_segments_close tidies up. */
int rc_segments_adopt(struct rc_segments *segments, struct rc_err *err);
/* The configuration that is in force there, as this build has it, under the same generation. */
void rc_segments_fill(struct rc_segments *segments, const struct rc_config *config);
/* This program counts from where the former one stopped. Others do not see it yet. */
void rc_segments_count(struct rc_segments *segments);
/* It goes on with this program: others see what it counts, and what only the former one needed is closed. */
void rc_segments_settle(struct rc_segments *segments);
/* Is a child's process of another build? Of one that was never started: no. */
bool rc_segments_foreign(const struct rc_segments *segments, int index);

/* Stores the ready words: from here on children may attach. */
void rc_segments_publish(struct rc_segments *segments);

/* Before a child's start, worker index or -1 for the relay: writes anew what its segments must begin with, in case its
 * predecessor damaged it. */
void rc_segments_renew(struct rc_segments *segments, int index);

/* Names to a child what it maps; the rest of `args` is the caller's. */
void rc_segments_args(const struct rc_segments *segments, struct rc_spawn_args *args);

/* Writes the configuration copy that is not in force and puts it in force. Only when every child acknowledged the
 * last one. */
uint32_t rc_segments_configure(struct rc_segments *segments, const struct rc_config *config);

/* The configuration in force. */
const struct rc_config *rc_segments_config(const struct rc_segments *segments);

void rc_segments_close(struct rc_segments *segments);

#endif
