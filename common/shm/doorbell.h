/*
 * doorbell: waking another process only when it sleeps.
 *
 * The consumer announces sleep in shared memory, re-checks its rings, and only then blocks; a producer rings after a
 * batch of commits. Not waking costs a fence and a load (about 50 ns against 7 us for a wake). The wake itself is an
 * eventfd that the consumer watches by a multishot poll (EPOLLET) and never reads.
 *
 *   producer: commit (release); rc_doorbell_ring: fence seq_cst; if sleeping in a sleep that it did not ring yet:
 *             write(eventfd); remember the sleep
 *   consumer: rc_doorbell_sleep: sleeping = number of this sleep; fence seq_cst; re-check rings; if empty: block;
 *             rc_doorbell_awake: sleeping = 0
 *
 * The two fences make it impossible that the producer sees "awake" and the consumer sees "empty" for the same record.
 * Only the consumer writes here, so that no process can keep another from being woken: sleeps are numbered, and each
 * producer remembers in its own memory which one it rang last. Of several producers each may ring the same sleep once.
 *
 * A producer that takes over from a dead one rings once after it attached: the predecessor may have committed without
 * ringing. What it rang died with it: one wake too many at most.
 */
#ifndef RC_COMMON_SHM_DOORBELL_H
#define RC_COMMON_SHM_DOORBELL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* W: consumer. */
struct rc_doorbell_shared {
    _Atomic uint64_t sleeping; /* not 0: it is blocked or about to block, in the sleep of this number */
    _Atomic uint64_t sleeps;   /* number of the last sleep, first is 1; goes on after a restart, so none comes twice */
    uint8_t pad[112];
};
_Static_assert(sizeof(struct rc_doorbell_shared) == 128, "doorbell layout");

/* Wakes the consumer if it sleeps and this producer has not rung this sleep. `*rung` is the producer's own memory for
 * this bell, 0 at first. 1 when a wake was sent, 0 when none was needed, negative errno of write(2) (EAGAIN, a counter
 * that is full, counts as sent). */
int rc_doorbell_ring(const struct rc_doorbell_shared *bell, int event_fd, uint64_t *rung);

/* Wakes whoever watches the eventfd, without asking whether it sleeps: for what happens seldom. 0 or negative errno of write(2);
 * EAGAIN (a counter that is full) counts as sent. */
int rc_doorbell_wake(int event_fd);

/* Consumer, before it blocks: after this call it must re-check every source once, and block only when all are empty. */
static inline void rc_doorbell_sleep(struct rc_doorbell_shared *bell)
{
    const uint64_t number = atomic_load_explicit(&bell->sleeps, memory_order_relaxed) + 1; /* D0: ours alone */
    atomic_store_explicit(&bell->sleeps, number, memory_order_relaxed);
    /* D1 with fence D4 pairs with D2 and D3 in rc_doorbell_ring: either the producer sees the sleep, or our re-check
     * sees its commit. */
    atomic_store_explicit(&bell->sleeping, number, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* D4 pairs with D2 */
}

/* Consumer, after it woke or found work in the re-check. */
static inline void rc_doorbell_awake(struct rc_doorbell_shared *bell)
{
    /* D5, relaxed: a producer that still sees the sleep wakes once for nothing. */
    atomic_store_explicit(&bell->sleeping, 0, memory_order_relaxed);
}

#endif
