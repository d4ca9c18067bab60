/*
 * broker: everything the acceptor makes before and keeps while children run: segments, listeners, steering,
 * doorbells, the life pipe, and the table of children.
 *
 * One instance, owned by the supervisor, which decides when to start and stop what; this module knows how.
 * rc_broker_open creates everything in the order in which a failure is cheapest, and undoes all of it when one step
 * fails.
 */
#ifndef RC_ACCEPTOR_START_BROKER_H
#define RC_ACCEPTOR_START_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "acceptor/watch/child.h"
#include "acceptor/start/cpus.h"
#include "acceptor/start/identity.h"
#include "acceptor/start/limits.h"
#include "acceptor/start/listen.h"
#include "acceptor/start/program.h"
#include "acceptor/start/segments.h"
#include "acceptor/steer/steer.h"
#include "common/config/config.h"
#include "common/base/err.h"
#include "common/shm/worker_use.h"

struct rc_broker {
    struct rc_identity identity;
    struct rc_cpus cpus;
    struct rc_limits limits;
    struct rc_limits_plan plan;
    bool keeps;  /* workers' sockets, in vaults */
    bool adopts; /* and clients of workers that died can be gone on with */
    struct rc_segments segments;
    uint64_t
        config_since_ms; /* CLOCK_MONOTONIC: who was started before has its configuration from other segments (upgrades); 0: nobody */
    struct rc_steer steer;
    uint32_t listen_count;
    struct rc_listen listens[RC_LISTENERS_MAX];
    int life_read_fd;  /* owned: inherited by children */
    int life_write_fd; /* owned: never inherited; its end of file tells children that the acceptor is gone */
    struct rc_program worker_program;
    struct rc_program relay_program;
    int bell_fd;           /* owned: children ring it when they have stored a word that the acceptor waits for */
    int pass_fd;           /* owned: what a relay leaves to the one that takes its place while both run */
    uint32_t worker_count; /* places for workers (server.max_workers); which are in use is in the core segment */
    /* owned: of each worker, where connections that others hand over to it arrive, and the end they are sent into. Kept over
     * restarts, so that what waits there is its successor's. */
    int inbox_fds[RC_WORKERS_MAX];
    int outbox_fds[RC_WORKERS_MAX];
    /* owned: of each worker's generation, what keeps its sockets (common/base/vault.h); -1 = nothing does */
    int vault_fds[RC_WORKERS_MAX];
    int truth_fds[RC_WORKERS_MAX]; /* owned: of each worker that runs, for a successor */
    /* owned: ring memory by which its truth is read when it is dead, and that of a process which is just adopting it; -1 = none */
    int io_fds[RC_WORKERS_MAX];
    int adopter_io_fds[RC_WORKERS_MAX];
    struct rc_child relay;
    struct rc_child workers[RC_WORKERS_MAX];
};

/* Has nothing. */
void rc_broker_clear(struct rc_broker *broker);
/* The segments are mapped: makes the children, none of which runs, and ties them to their words. */
void rc_broker_wire(struct rc_broker *broker);

/* Makes everything but the children. The caller zeroes nothing. Negative errno with the remedy in `err`. */
int rc_broker_open(struct rc_broker *broker, const struct rc_config *config, struct rc_err *err);
/* Would rc_broker_open refuse, here and now and by this user, before it makes anything: limits, programs, user. 0, or negative with
 * what it would say. */
int rc_broker_foresee(const struct rc_config *config, struct rc_err *err);
/* Closes and frees everything; children must be gone. */
void rc_broker_close(struct rc_broker *broker);

/* Starts a child that is not running, under the generation that the core segment holds. Of one that could not be started nothing is left, but an
 * orphan stays one: it can be tried again. */
int rc_broker_start(struct rc_broker *broker, struct rc_child *child, uint64_t now_ms, struct rc_err *err);

/* A second process of a child that runs, which is to take over from it. */
struct rc_successor {
    pid_t pid; /* 0 = none */
    int pidfd; /* owned, as order_fd and io_fd; -1 = none */
    int order_fd;
    int io_fd;
};
int rc_broker_start_successor(struct rc_broker *broker, struct rc_child *child, struct rc_successor *successor,
                              struct rc_err *err);

/* A child that was buried goes on as the process that stood by for it. */
void rc_broker_enthrone(struct rc_broker *broker, struct rc_child *child, const struct rc_successor *successor,
                        uint64_t now_ms);

/* Tells a child, whether it sleeps in its loop or outside of it: it looks. */
void rc_broker_order(struct rc_broker *broker, struct rc_child *child, enum rc_order order);
/* Are the clients of this child to stay when it dies? Not the relay's, which has none, not where server.adopt_crashed is off, and not on a kernel that
 * cannot (which rc_broker_say_adopting has said): there a crash is a restart, and nothing has failed. */
bool rc_broker_adopts(const struct rc_broker *broker, const struct rc_child *child);
/* Logs what is lost on such a kernel, once server.adopt_crashed asks for it: at the start, or by a reload. */
void rc_broker_say_adopting(const struct rc_broker *broker, bool before, bool now);

/* What workers have to know of the kernel to make a vault, or use one, stands in the core from here on. */
void rc_broker_describe_vaults(struct rc_broker *broker);

/* In place of rc_broker_bury when a worker died whose clients the next process is to go on with: truth, vault and generation stay, and
 * rc_broker_start adopts. `crashed`: it died by its own doing. */
bool rc_broker_can_orphan(const struct rc_broker *broker, const struct rc_child *child);
void rc_broker_orphan(struct rc_broker *broker, struct rc_child *child, bool crashed);
/* The process that adopts needs the dead one's ring memory no more; or it is dead, too. */
void rc_broker_adopted(struct rc_broker *broker, struct rc_child *child);

/* What must happen when a child died, in this order: no new connections, no load, DOWN, a new generation,
 * everybody told. */
void rc_broker_bury(struct rc_broker *broker, struct rc_child *child);

/* Makes a down worker's listeners anew, so that what waits at the old ones moves to the others; or for the first time. */
int rc_broker_move_queue(struct rc_broker *broker, struct rc_child *child, struct rc_err *err);

/* Workers' places that are in use; whether this one is, and from here on (everybody is woken); the listeners of one that is gone. */
uint32_t rc_broker_used(const struct rc_broker *broker);
enum rc_worker_use rc_broker_use(const struct rc_broker *broker, const struct rc_child *child);
void rc_broker_set_use(struct rc_broker *broker, struct rc_child *child, enum rc_worker_use use);
void rc_broker_close_listeners(struct rc_broker *broker, const struct rc_child *child);

/* Wakes one child, or all of them: something in the core or config segment changed. */
void rc_broker_ring(struct rc_broker *broker, struct rc_child *child);
void rc_broker_ring_all(struct rc_broker *broker);

/* Child by number: workers first, the relay last; for loops over all. */
uint32_t rc_broker_child_count(const struct rc_broker *broker);
struct rc_child *rc_broker_child(struct rc_broker *broker, uint32_t number);

struct rc_core *rc_broker_core(const struct rc_broker *broker);

#endif
