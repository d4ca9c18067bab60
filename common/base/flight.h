/*
 * flight: a ring of the last records of a process in shared memory, which outlives it: what it said and did before it died.
 *
 * One writer, on one thread, and any number of readers in other processes; nobody waits for anybody. A record has a number; a reader asks
 * for numbers and is told which are there whole: what was overwritten, or is being written, is not. A process that dies in the middle of
 * a record leaves that one out. Everything here comes out of another process's memory when it is read: bytes, never bounds.
 */
#ifndef RC_COMMON_BASE_FLIGHT_H
#define RC_COMMON_BASE_FLIGHT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RC_FLIGHT_WORDS 31u
#define RC_FLIGHT_BYTES (RC_FLIGHT_WORDS * 8u)   /* of a record */
#define RC_FLIGHT_NUMBER_MAX (UINT64_C(1) << 62) /* a thousand million records a second: 146 years */

struct rc_flight_entry {
    _Atomic uint64_t number; /* of the record, from 1; 0 = none, or it is being written */
    _Atomic uint64_t words[RC_FLIGHT_WORDS];
};
_Static_assert(sizeof(struct rc_flight_entry) == 256, "flight entry layout");

/* The head of a ring; its entries follow it in memory. W: the process. */
struct rc_flight {
    _Atomic uint64_t written; /* number of the record written last */
    uint8_t pad[248];
};

#define RC_FLIGHT_RING(name, count)            \
    struct name {                              \
        struct rc_flight head;                 \
        struct rc_flight_entry entries[count]; \
    }

/* Writes the next record: `bytes` of it, cut at RC_FLIGHT_BYTES; the rest of it is zero. `entries` has `count`. */
void rc_flight_put(struct rc_flight *head, struct rc_flight_entry *entries, uint32_t count, const void *record,
                   size_t bytes);
/* The record of that number into `out`; false: it is not there, or not whole. */
bool rc_flight_get(const struct rc_flight_entry *entries, uint32_t count, uint64_t number,
                   uint8_t out[RC_FLIGHT_BYTES]);
/* Number of the last record; 0 = there was none, or what stands there is no number of a record: at most RC_FLIGHT_NUMBER_MAX, so that who counts
 * up to it, or one beyond it, comes to an end whatever was written there. */
static inline uint64_t rc_flight_last(const struct rc_flight *head)
{
    /* FR2 pairs with FR1 in rc_flight_put: the record of that number is there. */
    const uint64_t number = atomic_load_explicit(&head->written, memory_order_acquire);
    return number <= RC_FLIGHT_NUMBER_MAX ? number : 0;
}

#endif
