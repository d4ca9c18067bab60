/*
 * ring: see ring.h.
 *
 * Who may touch what: the producer owns `tail` and every byte of the data area from tail to head + capacity; the
 * consumer owns `head` and reads the bytes from head to tail. A byte changes hands only through one of the two
 * cursors:
 *
 *   R1 tail store (release) in commit     -> R2 tail load (acquire) in refresh_tail: the record before its visibility
 *   R3 head store (release) in release_to -> R4 head load (acquire) in refresh_head: the last read before the reuse
 *   R5 wants_room store, fence R6         -> fence R7, R8 wants_room load: one of the two sees the other's store
 *
 * One fixed order inside a commit makes death harmless: padding header, record header, payload, then the tail. What
 * lies beyond the tail when a producer dies is rubbish that its successor overwrites.
 */
#include "common/shm/ring.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"

#define RING_CAPACITY_MIN 4096u
/* No ring lives to see it: at 100 GB/s it takes four years. So positions never wrap, and plain comparison is right. */
#define RING_POSITION_MAX (UINT64_MAX / 4 * 3)

static uint64_t ring_offset(const struct rc_ring *ring, uint64_t position)
{
    return position & (ring->capacity - 1);
}

static struct rc_ring_record_header header_read(const struct rc_ring *ring, uint64_t position)
{
    struct rc_ring_record_header header;
    memcpy(&header, ring->data + ring_offset(ring, position), sizeof(header));
    return header;
}

static void header_write(struct rc_ring *ring, uint64_t position, uint32_t type, uint32_t bytes)
{
    const struct rc_ring_record_header header = {.bytes = bytes, .type = type};
    memcpy(ring->data + ring_offset(ring, position), &header, sizeof(header));
}

/* Checks what the ring is said to be, and reads both cursors. The head first: the peer may be running, and a head read after the tail
 * could be beyond it. */
static int ring_attach(struct rc_ring *ring, struct rc_ring_shared *shared, void *data, uint64_t capacity,
                       uint64_t *tail, uint64_t *head)
{
    if (capacity < RING_CAPACITY_MIN || (capacity & (capacity - 1)) != 0 ||
        capacity / 2 - sizeof(struct rc_ring_record_header) > UINT32_MAX) {
        return -EINVAL;
    }
    *ring = (struct rc_ring){.shared = shared, .data = data, .capacity = capacity};
    /* R4a and R2a: a successor sees everything that its predecessor and the peer have published. */
    *head = atomic_load_explicit(&shared->head, memory_order_acquire); /* R4a */
    *tail = atomic_load_explicit(&shared->tail, memory_order_acquire); /* R2a */
    if (*tail > RING_POSITION_MAX || *head > *tail || *tail - *head > capacity ||
        ((*tail | *head) & (RC_RING_ALIGN - 1)) != 0) {
        return -EBADMSG;
    }
    return 0;
}

int rc_ring_attach_producer(struct rc_ring *ring, struct rc_ring_shared *shared, void *data, uint64_t capacity)
{
    uint64_t tail;
    uint64_t head;
    const int rc = ring_attach(ring, shared, data, capacity, &tail, &head);
    if (rc == 0) {
        ring->position = tail;
        ring->peer = head;
    }
    return rc;
}

int rc_ring_attach_consumer(struct rc_ring *ring, struct rc_ring_shared *shared, void *data, uint64_t capacity)
{
    uint64_t tail;
    uint64_t head;
    const int rc = ring_attach(ring, shared, data, capacity, &tail, &head);
    if (rc != 0) {
        return rc;
    }
    ring->position = ring->released = head;
    ring->peer = tail;
    if (tail != 0) {
        /* A predecessor may have died between clearing the producer's request (R8) and waking it: ask again in its
         * name. One wake too many is the price. R5a, same partner as R5; no fence, because the next rc_ring_room_due
         * is our own. */
        atomic_store_explicit(&shared->wants_room, 1, memory_order_relaxed);
    }
    return 0;
}

/* Takes over the consumer's head. A head that is impossible (the memory belongs to another process) is not believed:
 * the old one stays, so that the ring looks full and nothing unread is overwritten. */
static void refresh_head(struct rc_ring *ring)
{
    /* R4 pairs with R3 in rc_ring_release_to: the consumer has finished reading what lies below this head. */
    const uint64_t head = atomic_load_explicit(&ring->shared->head, memory_order_acquire);
    if (ring->position - head <= ring->capacity) {
        ring->peer = head;
    }
}

/* Bytes of filler that a record of `record_bytes` needs in front at the producer's position: 0, or the rest of the
 * area. */
static uint64_t padding_before(const struct rc_ring *ring, uint64_t record_bytes)
{
    const uint64_t rest = ring->capacity - ring_offset(ring, ring->position);
    return record_bytes <= rest ? 0 : rest;
}

static bool has_room(const struct rc_ring *ring, uint64_t bytes)
{
    return ring->position - ring->peer + bytes <= ring->capacity;
}

void *rc_ring_claim(struct rc_ring *ring, uint32_t type, uint32_t payload_bytes)
{
    RC_ASSERT(type != RC_RING_PADDING);
    ring->claimed = 0;
    if (RC_UNLIKELY(payload_bytes > rc_ring_payload_max(ring))) {
        return NULL;
    }
    const uint64_t record_bytes = rc_ring_record_bytes(payload_bytes);
    const uint64_t padding = padding_before(ring, record_bytes);
    if (!has_room(ring, padding + record_bytes)) {
        refresh_head(ring);
        if (!has_room(ring, padding + record_bytes)) {
            return NULL;
        }
    }
    const uint64_t start = ring->position + padding;
    if (padding != 0) {
        header_write(ring, ring->position, RC_RING_PADDING, (uint32_t)(padding - sizeof(struct rc_ring_record_header)));
    }
    header_write(ring, start, type, payload_bytes);
    ring->claimed = start + record_bytes;
    return ring->data + ring_offset(ring, start) + sizeof(struct rc_ring_record_header);
}

void rc_ring_commit(struct rc_ring *ring, uint32_t payload_bytes)
{
    RC_ASSERT(ring->claimed != 0);
    /* No record crosses the end of the area, so one that ends beyond it was claimed behind a padding. */
    const uint64_t rest = ring->capacity - ring_offset(ring, ring->position);
    const uint64_t start = ring->claimed - ring->position > rest ? ring->position + rest : ring->position;
    const uint64_t end = start + rc_ring_record_bytes(payload_bytes);
    RC_ASSERT(end - start <= ring->claimed - start);
    memcpy(ring->data + ring_offset(ring, start) + offsetof(struct rc_ring_record_header, bytes), &payload_bytes,
           sizeof(payload_bytes));
    ring->position = end;
    ring->claimed = 0;
    /* R1 pairs with R2 in refresh_tail: padding, header and payload are visible before the tail that covers them. */
    atomic_store_explicit(&ring->shared->tail, end, memory_order_release);
}

bool rc_ring_want_room(struct rc_ring *ring, uint32_t payload_bytes)
{
    if (payload_bytes > rc_ring_payload_max(ring)) {
        return false;
    }
    const uint64_t record_bytes = rc_ring_record_bytes(payload_bytes);
    const uint64_t bytes = padding_before(ring, record_bytes) + record_bytes;
    /* R5 with fence R6 pairs with fence R7 and load R8 in rc_ring_room_due: of "we store the request, then read the
     * head" and "it stores the head, then reads the request" at least one reader sees the other's store. */
    atomic_store_explicit(&ring->shared->wants_room, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* R6 pairs with R7 */
    refresh_head(ring);
    if (!has_room(ring, bytes)) {
        return false;
    }
    /* R9 takes the request back; a consumer that saw it already wakes us once for nothing. */
    atomic_store_explicit(&ring->shared->wants_room, 0, memory_order_relaxed);
    return true;
}

/* Takes over the producer's tail; false when it is impossible. */
static bool refresh_tail(struct rc_ring *ring)
{
    /* R2 pairs with R1 in rc_ring_commit: every record below this tail is complete. */
    const uint64_t tail = atomic_load_explicit(&ring->shared->tail, memory_order_acquire);
    if (tail - ring->position > ring->capacity || (tail & (RC_RING_ALIGN - 1)) != 0) {
        return false;
    }
    ring->peer = tail;
    return true;
}

int rc_ring_next(struct rc_ring *ring, uint32_t *type, const void **payload, uint32_t *bytes)
{
    if (ring->position == ring->peer) {
        if (!refresh_tail(ring)) {
            return -EBADMSG;
        }
        if (ring->position == ring->peer) {
            return 0;
        }
    }
    /* Headers are copied once and then believed in the copy only: the producer's process could change them under us. */
    uint64_t position = ring->position;
    struct rc_ring_record_header header = header_read(ring, position);
    uint64_t rest = ring->capacity - ring_offset(ring, position);
    if (header.type == RC_RING_PADDING) {
        /* It reaches exactly to the end, is shorter than the record that did not fit, and that record was committed
         * with it. */
        if (header.bytes + sizeof(header) != rest || rest >= ring->capacity / 2 || ring->peer - position <= rest) {
            return -EBADMSG;
        }
        position += rest;
        rest = ring->capacity;
        header = header_read(ring, position);
        if (header.type == RC_RING_PADDING) {
            return -EBADMSG;
        }
    }
    const uint64_t record_bytes = rc_ring_record_bytes(header.bytes);
    if (header.bytes > rc_ring_payload_max(ring) || record_bytes > rest || record_bytes > ring->peer - position) {
        return -EBADMSG;
    }
    *type = header.type;
    *payload = ring->data + ring_offset(ring, position) + sizeof(header);
    *bytes = header.bytes;
    ring->position = position + record_bytes;
    return 1;
}

void rc_ring_release(struct rc_ring *ring)
{
    rc_ring_release_to(ring, ring->position);
}

void rc_ring_release_to(struct rc_ring *ring, uint64_t position)
{
    RC_ASSERT(position <= ring->position);
    /* By our own memory: a head that somebody else wrote would stop the ring for ever. Never backwards, and no store at all
     * when nothing changes (the producer reads this line). */
    if (position > ring->released) {
        ring->released = position;
        /* R3 pairs with R4 in refresh_head: our reads of the records are done before the producer overwrites them. */
        atomic_store_explicit(&ring->shared->head, position, memory_order_release);
    }
}

bool rc_ring_room_due(struct rc_ring *ring)
{
    atomic_thread_fence(memory_order_seq_cst); /* R7 pairs with R6: it orders R3 before R8, see R5 */
    /* R8 pairs with R5. */
    if (atomic_load_explicit(&ring->shared->wants_room, memory_order_relaxed) == 0) {
        return false;
    }
    if (atomic_load_explicit(&ring->shared->head, memory_order_relaxed) != ring->released) {
        /* Somebody else wrote it, and the producer, who does not believe it, may wait for a release that is long done. R3a, as
         * R3. */
        atomic_store_explicit(&ring->shared->head, ring->released, memory_order_release);
    }
    if (rc_ring_used(ring) > ring->capacity / 2) {
        return false; /* the request stays; a later release answers it */
    }
    /* R10: only the consumer that took the request down wakes; relaxed, because the wake itself orders what follows. */
    return atomic_exchange_explicit(&ring->shared->wants_room, 0, memory_order_relaxed) != 0;
}

uint64_t rc_ring_used(const struct rc_ring *ring)
{
    /* A picture that may be old by the time it is used. */
    const uint64_t head = atomic_load_explicit(&ring->shared->head, memory_order_acquire); /* R4b */
    const uint64_t tail = atomic_load_explicit(&ring->shared->tail, memory_order_acquire); /* R2b */
    const uint64_t used = tail - head;
    return used <= ring->capacity ? used : ring->capacity;
}

bool rc_ring_readable(struct rc_ring *ring)
{
    if (ring->position == ring->peer) {
        /* An impossible tail counts as readable: rc_ring_next then says what is wrong with it. */
        return !refresh_tail(ring) || ring->position != ring->peer;
    }
    return true;
}
