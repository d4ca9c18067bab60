/*
 * limits: what the kernel lets this host do, compared with what the configuration wants.
 *
 * Raises RLIMIT_NOFILE and RLIMIT_MEMLOCK as far as allowed (children inherit both), finds out whether io_uring is
 * there and whether its memory counts against RLIMIT_MEMLOCK, and decides the sizes of every worker's descriptor
 * table. Every shortfall is one message with the exact remedy. rc_limits_plan is pure; the acceptor alone calls,
 * once, before children exist.
 */
#ifndef RC_ACCEPTOR_START_LIMITS_H
#define RC_ACCEPTOR_START_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "acceptor/start/identity.h"
#include "common/config/config.h"
#include "common/base/err.h"
#include "common/base/vault.h"

/* Table slots of each worker that no client may fill: 503 answers for those who come when it is full. A full table
 * would end the multishot accept, and clients would see a bare end of file. */
#define RC_LIMITS_SPARE_SLOTS 64u
/* The kernel's own bound on a ring's table (IORING_MAX_FIXED_FILES). */
#define RC_LIMITS_TABLE_MAX (1u << 20)
/* What a worker's ring is made of (worker/io/io.h) and a relay's (relay/loop.c): their memory may count as locked. */
#define RC_LIMITS_WORKER_SQ_ENTRIES 2048u
#define RC_LIMITS_WORKER_CQ_ENTRIES 32768u
#define RC_LIMITS_WORKER_BUFFER_BYTES 4096u
#define RC_LIMITS_RELAY_BYTES (64u * 1024u)

struct rc_limits {
    uint64_t descriptors;                /* RLIMIT_NOFILE after raising: bounds each ring's table too */
    uint64_t memlock_bytes;              /* RLIMIT_MEMLOCK after raising, UINT64_MAX = unlimited */
    bool memlock_counts;                 /* ring memory of the children's user is counted against it */
    bool vault;                          /* sockets can be kept for when their worker ends (common/base/vault.h) */
    struct io_uring_params vault_params; /* with that: what the kernel says of each */
    bool ring_memory;                    /* what was in a dead worker's ring can be read (worker/io/memory.h) */
    uint32_t backlog;                    /* net.core.somaxconn */
};

struct rc_limits_plan {
    uint32_t slots_per_worker; /* connections that each worker has room for: all that there may be, as others may end */
    uint32_t direct_descriptors; /* slots of each worker's direct descriptor table */
    uint64_t connections_max;    /* of the whole host */
};

/* Raises and reads the limits, and tries a ring as the children's user. What rc_uring_probe fails with when none
 * can be made. */
int rc_limits_read(struct rc_limits *limits, const struct rc_identity *identity, struct rc_err *err);

struct rc_limits_counts {
    uint32_t workers; /* among which connections are divided at the start */
    uint32_t places;  /* for workers, those included */
    uint32_t listeners;
};

/* -EMFILE when max_connections, a minimal table or the acceptor's own descriptors do not fit into the limit: the
 * message names the limit, the value that is needed and the number of workers that would do instead. */
int rc_limits_plan(struct rc_limits_plan *plan, const struct rc_limits *limits, const struct rc_config *config,
                   const struct rc_limits_counts *counts, struct rc_err *err);

/* Bytes that the rings of all children lock when the kernel counts them. */
uint64_t rc_limits_memlock_needed(const struct rc_config *config, uint32_t workers);

/* The most workers, at least 1 and at most `wanted`, whose rings fit into RLIMIT_MEMLOCK. */
uint32_t rc_limits_workers_fitting(const struct rc_limits *limits, const struct rc_config *config, uint32_t wanted);

/* -ENOMEM with the remedy when the rings of all children do not fit into RLIMIT_MEMLOCK. */
int rc_limits_check_memlock(const struct rc_limits *limits, const struct rc_config *config, uint32_t workers,
                            struct rc_err *err);

#endif
