/*
 * doorbell: waking another process only when it sleeps.
 *
 * The consumer announces sleep in shared memory, re-checks its rings, and only then blocks; a producer rings after a
 * batch of commits. Not waking costs a fence and a load (about 50 ns against 7 us for a wake). The wake itself is an
 * eventfd that the consumer watches by a multishot poll (EPOLLET) and never reads.
 *
 *   producer: commit (release); rc_doorbell_ring: fence seq_cst; if sleeping: write(eventfd);
 *             sleeping = 0 if it still is that sleep
 *   consumer: rc_doorbell_sleep: sleeping = number of this sleep; fence seq_cst; re-check rings; if empty: block;
 *             rc_doorbell_awake: sleeping = 0
 *
 * The two fences make it impossible that the producer sees "awake" and the consumer sees "empty" for the same record.
 * Sleeps are numbered so that a producer can wake first and take the flag down afterwards: were it killed between the
 * two in the other order, the consumer would sleep on while all producers believed it awake.
 *
 * A producer that takes over from a dead one rings once after it attached: the predecessor may have committed without
 * ringing.
 */
#ifndef RC_COMMON_SHM_DOORBELL_H
#define RC_COMMON_SHM_DOORBELL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct rc_doorbell_shared {
    _Atomic uint32_t
        sleeping; /* W: both. Not 0: the consumer is blocked or about to block, in the sleep of this number */
    _Atomic uint32_t sleeps; /* W: consumer. Number of the last sleep, 0 is left out; goes on after a restart */
    _Atomic uint32_t wakes;  /* W: producers. Eventfd writes, for the metric */
    uint8_t pad[116];
};
_Static_assert(sizeof(struct rc_doorbell_shared) == 128, "doorbell layout");

/* Wakes the consumer if it sleeps. Any process that produces for it may call. 1 when a wake was sent, 0 when none was
 * needed, negative errno of write(2) (EAGAIN, a counter that is full, counts as sent). */
int rc_doorbell_ring(struct rc_doorbell_shared *bell, int event_fd);

/* Consumer, before it blocks: after this call it must re-check every source once, and block only when all are empty. */
static inline void rc_doorbell_sleep(struct rc_doorbell_shared *bell)
{
    uint32_t number = atomic_load_explicit(&bell->sleeps, memory_order_relaxed) + 1; /* D0: ours alone */
    number += number == 0;
    atomic_store_explicit(&bell->sleeps, number, memory_order_relaxed);
    /* D1 pairs with D2 and D3 in rc_doorbell_ring: either the producer sees the sleep, or our re-check sees its
     * commit. */
    atomic_store_explicit(&bell->sleeping, number, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

/* Consumer, after it woke or found work in the re-check. */
static inline void rc_doorbell_awake(struct rc_doorbell_shared *bell)
{
    /* D5, relaxed: a producer that still sees the sleep wakes once for nothing. */
    atomic_store_explicit(&bell->sleeping, 0, memory_order_relaxed);
}

#endif
