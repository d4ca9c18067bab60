/*
 * ring_record: arbitrary bytes as the memory of a ring that another process has written.
 *
 *   selector (1 byte) | head, tail (2 bytes each, or 8 with selector bit 7) | the data area, repeated to capacity
 *
 * The consumer must end with "empty" or -EBADMSG, give only payloads inside the area and never go back; a producer on
 * the same memory must only write inside the area. ASan watches: the area is allocated in exactly its size.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/shm/ring.h"

#define INPUT_MIN 5u

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

/* The two cursors: plausible ones near interesting places, or any. Returns the bytes of input used. */
static size_t cursors_read(struct rc_ring_shared *shared, uint64_t capacity, const uint8_t *input, size_t bytes)
{
    static const uint64_t bases[] = {0, (UINT64_C(1) << 32) - 4096, (UINT64_C(1) << 63) - 4096, UINT64_MAX - 8191};
    uint64_t head;
    uint64_t tail;
    if ((input[0] & 0x80) != 0 && bytes >= 17) {
        memcpy(&head, input + 1, 8);
        memcpy(&tail, input + 9, 8);
        atomic_store(&shared->head, head);
        atomic_store(&shared->tail, tail);
        return 17;
    }
    uint16_t offset;
    uint16_t used;
    memcpy(&offset, input + 1, 2);
    memcpy(&used, input + 3, 2);
    head = bases[input[0] >> 1 & 3] + (uint64_t)offset % capacity / 8 * 8;
    tail = head + (uint64_t)used % (capacity + 16) / 8 * 8;
    atomic_store(&shared->head, head);
    atomic_store(&shared->tail, tail);
    return 5;
}

static void consume(struct rc_ring *ring, const uint8_t *data)
{
    static uint8_t copy[8192];
    uint64_t before = ring->position;
    for (;;) {
        uint32_t type;
        uint32_t count;
        const void *payload;
        const bool readable = rc_ring_readable(ring);
        const int rc = rc_ring_next(ring, &type, &payload, &count);
        RC_ASSERT((rc != 0) == readable);
        if (rc != 1) {
            RC_ASSERT(ring->position == before);
            break;
        }
        const uint8_t *start = payload;
        RC_ASSERT(type != RC_RING_PADDING && count <= rc_ring_payload_max(ring));
        RC_ASSERT(start >= data + sizeof(struct rc_ring_record_header) && start + count <= data + ring->capacity);
        RC_ASSERT(ring->position > before && ring->position - before <= ring->capacity);
        memcpy(copy, payload, count);
        before = ring->position;
        if ((type & 1) != 0) {
            rc_ring_release(ring);
            rc_ring_room_due(ring);
        }
    }
    rc_ring_release(ring);
    RC_ASSERT(rc_ring_used(ring) <= ring->capacity);
}

static void produce(struct rc_ring *ring, const uint8_t *data, const uint8_t *input, size_t bytes)
{
    for (size_t i = 0; i + 2 <= bytes && i < 64; i += 2) {
        const uint32_t count = (uint32_t)(input[i] | input[i + 1] << 8);
        uint8_t *payload = rc_ring_claim(ring, 1 + input[i], count);
        if (payload == NULL) {
            RC_ASSERT(!rc_ring_want_room(ring, count));
            break;
        }
        RC_ASSERT(payload >= data && payload + count <= data + ring->capacity);
        memset(payload, input[i], count);
        if (input[i] % 5 != 0) {
            rc_ring_commit(ring, count - (input[i + 1] % 3 == 0 && count > 0 ? count / 2 : 0));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
    if (bytes < INPUT_MIN) {
        return 0;
    }
    const uint64_t capacity = (input[0] & 1) != 0 ? 8192 : 4096;
    struct rc_ring_shared shared = {.wants_room = input[0] >> 3 & 1};
    struct rc_ring ring;
    const size_t used = cursors_read(&shared, capacity, input, bytes);
    uint8_t *data = calloc(1, capacity);
    for (size_t at = 0; bytes > used && at < capacity; at += bytes - used) {
        memcpy(data + at, input + used, bytes - used < capacity - at ? bytes - used : capacity - at);
    }
    if (rc_ring_attach_consumer(&ring, &shared, data, capacity) == 0) {
        consume(&ring, data);
    }
    if (rc_ring_attach_producer(&ring, &shared, data, capacity) == 0) {
        produce(&ring, data, input + used, bytes - used);
        RC_ASSERT(rc_ring_attach_consumer(&ring, &shared, data, capacity) == 0);
        consume(&ring, data);
    }
    free(data);
    return 0;
}
