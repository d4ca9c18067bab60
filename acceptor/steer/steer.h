/*
 * steer: choosing the worker of a new connection by a BPF program (steer.bpf.c), or leaving it to the kernel.
 *
 * One program instance per TCP listener (each has its own map of sockets), one map of loads for all. What is kept of them is
 * descriptors of maps alone: the kernel holds a program that is attached. Owned by the supervisor. When the program cannot be loaded (no CAP_BPF, old kernel) everything still works: the kernel's hash
 * spreads connections, and net.ipv4.tcp_migrate_req decides what becomes of those queued at a closed listener.
 */
#ifndef RC_ACCEPTOR_STEER_STEER_H
#define RC_ACCEPTOR_STEER_STEER_H

#include <stdbool.h>
#include <stdint.h>

#include "acceptor/start/listen.h"
#include "acceptor/steer/steer_map.h"
#include "common/base/err.h"
#include "common/shm/spawn_args.h"

struct rc_steer {
    bool active;                 /* true exactly when the program decides */
    uint32_t workers;            /* live entries of the map */
    int map_fd;                  /* owned; -1 = none. Inherited by workers */
    int reasons_fd;              /* owned; -1 = none */
    struct rc_steer_worker *map; /* owned mapping of RC_WORKERS_MAX entries, or NULL */
    const uint64_t *reasons;     /* owned mapping of RC_STEER_REASONS counters, or NULL */
    uint32_t group_count;
    int sockets_fds[RC_LISTENERS_MAX];                 /* owned: the map of each group's sockets; -1 = none */
    const struct rc_listen *listens[RC_LISTENERS_MAX]; /* borrowed: the listener of each group */
};

/* Loads one program per TCP listener and attaches it. Negative errno with the reason and what is lost; the
 * instance is usable (inactive) then too. */
int rc_steer_open(struct rc_steer *steer, const struct rc_listen *listens, uint32_t count, uint32_t workers,
                  struct rc_err *err);
void rc_steer_close(struct rc_steer *steer);

/* Has nothing. */
void rc_steer_clear(struct rc_steer *steer);
/* Goes on with the maps that another program of ours has made, whose descriptors are in `steer`, which is clear else; what is attached
 * stays. -EBADMSG, or as mmap. */
int rc_steer_adopt(struct rc_steer *steer, const struct rc_listen *listens, uint32_t count, uint32_t workers,
                   struct rc_err *err);
/* Loads the program of this build over the same maps and, if `attach`, puts it in the place of the one that is attached. Negative: that
 * one stays. */
int rc_steer_renew(struct rc_steer *steer, bool attach, struct rc_err *err);

/* Tells the program about a worker's sockets, at start and after they were replaced. */
int rc_steer_sockets(struct rc_steer *steer, uint32_t worker, struct rc_err *err);

/* Whether a worker may be selected. Nothing in an inactive instance. */
void rc_steer_set_live(struct rc_steer *steer, uint32_t worker, bool live);
bool rc_steer_is_live(const struct rc_steer *steer, uint32_t worker);

/* The worker died: its connections are gone. */
void rc_steer_reset_load(struct rc_steer *steer, uint32_t worker);
uint64_t rc_steer_load(const struct rc_steer *steer, uint32_t worker);
/* Adds a correction: what the load is above (or below) the worker's true number. */
void rc_steer_correct_load(struct rc_steer *steer, uint32_t worker, int64_t difference);

/* A counter over all listeners. */
uint64_t rc_steer_count(const struct rc_steer *steer, enum rc_steer_reason reason);
const char *rc_steer_reason_name(enum rc_steer_reason reason);

/* net.ipv4.tcp_migrate_req of this network namespace. */
bool rc_steer_kernel_migrates(void);

#endif
