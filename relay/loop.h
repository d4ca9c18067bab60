/*
 * loop: the relay's one io_uring, its clock and its sleep.
 *
 *   heartbeat → timers → turn → more? again : announce sleep → pending? again : wait (for the next timer, a second at most) →
 *   watched descriptors
 *
 * Knows nothing of rings or channels: what there is to do comes by callbacks that main wires. Owned by main; the thread that
 * opens it is the one that runs it (SINGLE_ISSUER).
 */
#ifndef RC_RELAY_LOOP_H
#define RC_RELAY_LOOP_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/shm/layout.h"
#include "relay/timer.h"

#define RC_RELAY_WATCHES_MAX 512u /* a Cluster has two connections for each of its nodes */

struct rc_relay_loop_ops {
    /* Does a bounded piece of work. True: there is more to do at once. */
    bool (*turn)(void *context);
    /* The sleep is announced: true when there is work after all. */
    bool (*pending)(void *context);
    /* What was ready has been handled: who waits for what came of it need not wait for the next turn. NULL: nobody does. */
    void (*reaped)(void *context);
    void *context; /* borrowed */
};

/* `events` are those of poll(2) that happened. */
typedef void rc_relay_ready(void *context, uint32_t events);

struct rc_relay_watch {
    int fd;              /* borrowed; -1 = free */
    uint32_t generation; /* of this place: completions of its former users are told apart by it */
    uint32_t events;
    rc_relay_ready *ready; /* NULL: waking up is all there is to it */
    void *context;         /* borrowed */
};

struct rc_relay_loop {
    struct io_uring ring;
    struct rc_timers timers; /* of everything that lives on this loop; run before each turn, and it sleeps no longer */
    struct rc_process *process; /* borrowed: in the relay's report: state, heartbeat and bell */
    struct rc_relay_loop_ops ops;
    struct rc_relay_watch watches[RC_RELAY_WATCHES_MAX];
    uint32_t watch_count; /* places in use or free again */
    uint64_t reaped_ms;   /* when completions were looked at last */
    uint32_t state;       /* enum rc_process_state, said again and again */
    bool stopping;        /* true exactly when rc_relay_loop_stop was called */
};

/* Makes the ring. 0, or a negative errno with the reason and the remedy in `err`. */
int rc_relay_loop_open(struct rc_relay_loop *loop, struct rc_process *process, const struct rc_relay_loop_ops *ops,
                       struct rc_err *err);
/* Goes on for another process than the one that it was opened for, with another task. */
void rc_relay_loop_become(struct rc_relay_loop *loop, struct rc_process *process, const struct rc_relay_loop_ops *ops);
/* READY is said from the start; another state from here on. */
void rc_relay_loop_say(struct rc_relay_loop *loop, enum rc_process_state state);
void rc_relay_loop_close(struct rc_relay_loop *loop);

/* Watches a descriptor for POLLIN (and its end) until the loop is closed, edge-triggered if `edge` (then it need not be read).
 * 0, -ENOSPC, or the negative errno of the ring. */
int rc_relay_loop_watch(struct rc_relay_loop *loop, int fd, bool edge, rc_relay_ready *ready, void *context);

/* The same for any poll(2) events, EPOLLET among them. A handle, or negative errno. */
int rc_relay_loop_poll(struct rc_relay_loop *loop, int fd, uint32_t events, rc_relay_ready *ready, void *context);
/* Ends a watch: `ready` is not called any more. Before the descriptor is closed. */
void rc_relay_loop_unpoll(struct rc_relay_loop *loop, int handle);

/* Runs until rc_relay_loop_stop. 0, or the negative errno that makes going on impossible, with `err`. */
int rc_relay_loop_run(struct rc_relay_loop *loop, struct rc_err *err);

/* From a callback: return from rc_relay_loop_run after this turn. */
void rc_relay_loop_stop(struct rc_relay_loop *loop);

#endif
