/*
 * child: what the acceptor knows of one child process.
 *
 * Owned by the broker, one per worker and one for the relay. The shared half (struct rc_process) is what everybody
 * sees; this is the acceptor's private half. The stuck detector is pure but for the shared words that it reads.
 */
#ifndef RC_ACCEPTOR_WATCH_CHILD_H
#define RC_ACCEPTOR_WATCH_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "acceptor/watch/restart.h"
#include "common/shm/layout.h"
#include "common/shm/spawn_args.h"

#define RC_CHILD_RELAY (-1)
#define RC_CHILD_ENDED_BYTES 48

struct rc_child {
    int index; /* worker index or RC_CHILD_RELAY */
    char name[16];
    struct rc_life *life;             /* borrowed: in the core segment */
    struct rc_process *process;       /* borrowed: in its report; its word, while it runs */
    const struct rc_verdict *verdict; /* borrowed: in the relay's report; NULL for the relay itself */
    int bell_fd;                      /* owned: rung by everybody who produces for it, kept over restarts */
    uint64_t rung;                    /* its sleep that the acceptor rang last (doorbell.h) */
    int order_fd;                     /* owned: of the process that runs; -1 = none */
    pid_t pid;                        /* 0 = not running */
    int pidfd;                        /* owned, -1 = not running */
    uint64_t started_ms;
    uint64_t restart_due_ms; /* start it again then; 0 = no restart pending */
    uint32_t restarts;
    char ended
        [RC_CHILD_ENDED_BYTES]; /* what its last process died of: "signal 11 (SEGV)"; "" = none did, or it ended as it was told to */
    bool added;     /* worker: its place came into use while the broker ran, and its first process is not ready yet */
    bool ready;     /* its state has been READY since it was started */
    bool stuck;     /* its heartbeat is older than server.stuck_timeout */
    bool behind;    /* the relay reports that it had to drop messages for it */
    bool killed;    /* SIGKILL was sent to it */
    bool unwatched; /* epoll has not taken its pidfd: the tick looks whether it has ended */
    enum rc_adopt_from
        orphan; /* worker: its process is dead, and the next one goes on with its clients; or is adopting them */
    uint64_t orphaned_ms;      /* when its process died, or who was adopting */
    uint32_t adoptions_failed; /* processes that have died of that, one after the other */
    bool unadoptable;          /* two processes have written its truth */
    bool had_vault;            /* its last process had one: that none can be made need not stay so */
    uint64_t no_vault_ms;      /* since when there has been too little to make one; 0 = there is enough */
    uint64_t
        vault_refused; /* what its process has offered (rc_process.vault_offer) and could not be taken; 0 = nothing */
    bool listeners_replaced; /* its queue went to the others during a long back-off */
    uint32_t load_ticks;     /* ticks that its steering load has differed by the same amount */
    int64_t load_difference;
    struct rc_restart restart;
};

enum rc_child_beat { RC_CHILD_BEATS, RC_CHILD_STUCK, RC_CHILD_RECOVERED, RC_CHILD_LOST };

void rc_child_init(struct rc_child *child, int index, struct rc_life *life, struct rc_process *process);

/* "worker 3" or "relay", as people read it. */
const char *rc_child_name(const struct rc_child *child);

static inline uint32_t rc_child_state(const struct rc_child *child)
{
    /* A1 pairs with the last store before READY in worker/main.c and relay/main.c: what the child wrote before it. */
    return atomic_load_explicit(&child->process->state, memory_order_acquire);
}

/*
 * Compares the heartbeat with the clock. Says once when the child becomes stuck and once when it recovers; LOST every
 * time once the heartbeat is older than `kill_ms` (0 = never). Children that are not READY yet or any more are not
 * judged.
 */
enum rc_child_beat rc_child_check(struct rc_child *child, uint64_t now_ms, uint64_t stuck_ms, uint64_t kill_ms);

/* What a load should be corrected by: the difference between the steering load and the worker's own number once it
 * has stayed the same for RC_CHILD_LOAD_TICKS calls (a connection on its way differs for a moment only), else 0. */
#define RC_CHILD_LOAD_TICKS 3u
int64_t rc_child_load_correction(struct rc_child *child, uint64_t load, uint64_t connections);

#endif
