/*
 * breaker: whether a backend that fails is still to be asked ([[backend]] breaker = "5/10s").
 *
 *   CLOSED ──5 failures in a row, or half of 20 in 10 s──▶ OPEN ──a second──▶ one call: HALF ──answered──▶ CLOSED
 *                                                           ▲◀───────────────failed──────────┘
 *
 * Pure state, times are the caller's (milliseconds that only grow). One thread.
 */
#ifndef RC_WORKER_BACKEND_BREAKER_H
#define RC_WORKER_BACKEND_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define RC_BREAKER_PROBE_MS 1000u

enum rc_breaker_state { RC_BREAKER_CLOSED, RC_BREAKER_OPEN, RC_BREAKER_HALF };

struct rc_breaker {
    uint32_t failures_max; /* in a row; 0 = it never opens */
    uint64_t within_ms;
    enum rc_breaker_state state;
    uint32_t in_a_row;
    uint32_t calls; /* that ended in the window that began at `since_ms` */
    uint32_t failed;
    uint64_t since_ms;
    uint64_t probe_ms; /* OPEN: when one is let through. HALF: when that one is given up */
};

void rc_breaker_open(struct rc_breaker *breaker, uint32_t failures_max, uint64_t within_ms);

/* May a call be made now? *probe: it is the one that decides (and was counted as such). */
bool rc_breaker_allows(struct rc_breaker *breaker, uint64_t now_ms, bool *probe);

/* A call has ended. True: it was closed and is not any more, or is again. */
bool rc_breaker_note(struct rc_breaker *breaker, uint64_t now_ms, bool failed, bool probe);

#endif
