/*
 * ring: single-producer single-consumer ring of variable-length records in shared memory.
 *
 * One process produces, one consumes; each attaches its own `struct rc_ring` (private: cached cursors) to the same
 * `struct rc_ring_shared`. Positions are bytes since the ring was made and never wrap (uint64_t); the place in the
 * data area is position & (capacity - 1). A record never crosses the end of the area: the producer fills the rest
 * with one padding record.
 *
 *   shared:   | header: tail (producer's line) | head (consumer's line) | flags |
 *   data:     | length type payload.. | length type payload.. | PADDING | <- capacity, a power of two
 *
 * Neither side ever blocks. Each may die at any instruction: the tail is stored last with release, so that a
 * half-written record does not exist for the consumer, and a successor of either side goes on at the committed
 * positions (attach reads them). The consumer validates every length and type (the memory belongs to another
 * process): a bad one is -EBADMSG.
 */
#ifndef RC_COMMON_SHM_RING_H
#define RC_COMMON_SHM_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RC_RING_ALIGN 8u
#define RC_RING_PADDING 0u /* record type of the filler at the wrap; callers' types start at 1 */

/* What both processes see. The two cursors are 128 bytes apart: adjacent-line prefetch would share them otherwise. */
struct rc_ring_shared {
    _Atomic uint64_t tail; /* written by producer: bytes committed */
    _Atomic uint64_t
        noted; /* written by producer, for its successor: what it says is the producer's affair; 0 = nothing */
    uint8_t pad0[112];
    _Atomic uint64_t head; /* written by consumer: bytes released */
    uint8_t pad1[120];
    _Atomic uint32_t wants_room; /* set by producer that found the ring full, cleared by the consumer that wakes it */
    uint8_t pad2[124];
};
_Static_assert(sizeof(struct rc_ring_shared) == 384, "ring header layout");

struct rc_ring_record_header {
    uint32_t bytes; /* payload bytes, without this header and alignment */
    uint32_t type;  /* never RC_RING_PADDING for a caller's record */
};
_Static_assert(sizeof(struct rc_ring_record_header) == 8, "ring record header layout");

/* One side's private view. */
struct rc_ring {
    struct rc_ring_shared *shared; /* borrowed: mapped for the life of the process */
    uint8_t *data;                 /* borrowed */
    uint64_t capacity;
    uint64_t position; /* producer: next byte to write; consumer: next byte to read (not yet released) */
    uint64_t peer;     /* producer: cached head; consumer: cached tail */
    uint64_t claimed;  /* producer: end of the claimed record, 0 when none */
    uint64_t released; /* consumer: what the shared head is to be, whatever another process made of it */
};

/* Bytes a record of `payload` bytes takes in the ring. */
static inline uint64_t rc_ring_record_bytes(uint64_t payload)
{
    return (payload + sizeof(struct rc_ring_record_header) + RC_RING_ALIGN - 1) & ~(uint64_t)(RC_RING_ALIGN - 1);
}

/* The largest payload: half the ring, so that a record fits whatever the position. */
static inline uint64_t rc_ring_payload_max(const struct rc_ring *ring)
{
    return ring->capacity / 2 - sizeof(struct rc_ring_record_header);
}

/* Attach as producer (continues at the committed tail) or consumer (continues at the released head; what its
 * predecessor had read but not released comes again). `capacity` is a power of two >= 4096. -EINVAL for a bad
 * capacity, -EBADMSG when the shared positions are impossible. A producer that succeeds a dead one rings the
 * consumer's doorbell once (doorbell.h). */
int rc_ring_attach_producer(struct rc_ring *ring, struct rc_ring_shared *shared, void *data, uint64_t capacity);
int rc_ring_attach_consumer(struct rc_ring *ring, struct rc_ring_shared *shared, void *data, uint64_t capacity);

/* Producer: room for one record; the caller fills the payload and then commits. NULL when there is no room (the
 * caller decides: wait, overflow, drop) and always when payload_bytes > rc_ring_payload_max. Only one record is
 * claimed at a time; a claim that is not committed is simply forgotten. */
void *rc_ring_claim(struct rc_ring *ring, uint32_t type, uint32_t payload_bytes);
/* Makes the claimed record visible. `payload_bytes` may be smaller than claimed. */
void rc_ring_commit(struct rc_ring *ring, uint32_t payload_bytes);
/* Producer without room: ask to be woken at half empty. True when there is room after all (re-checked: try again). A
 * record that needs more than half the ring may have to ask again after the wake. */
bool rc_ring_want_room(struct rc_ring *ring, uint32_t payload_bytes);

/* Consumer: the next record, in place: 1 and its type, payload and bytes set, 0 when empty, -EBADMSG when the memory
 * is corrupt (and then for ever: the record is not passed over). The pointer stays valid until the record is
 * released. */
int rc_ring_next(struct rc_ring *ring, uint32_t *type, const void **payload, uint32_t *bytes);
/* Consumer: gives everything read so far (up to ring->position) back to the producer. */
void rc_ring_release(struct rc_ring *ring);
/* Consumer: gives back up to `position`, a value that ring->position had after an rc_ring_next, for a consumer that
 * finishes records later than it reads them. A position already given back changes nothing. */
void rc_ring_release_to(struct rc_ring *ring, uint64_t position);
/* Consumer, after each release: true when the producer asked for room and at least half is free now; the caller then
 * wakes the producer. Clears the request. Also true once for the successor of a consumer that may have died between
 * clearing and waking. */
bool rc_ring_room_due(struct rc_ring *ring);

/* Either side: bytes committed and not released. */
uint64_t rc_ring_used(const struct rc_ring *ring);
/* Consumer: whether a record is readable (re-reads the shared tail). */
bool rc_ring_readable(struct rc_ring *ring);

#endif
