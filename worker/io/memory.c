/* memory: see memory.h. */
#include "worker/io/memory.h"

#include <sys/mman.h>

#include "common/base/uring.h"
#include "common/shm/segment.h"
#include "worker/io/io.h"

#define MEMORY_PAGE 4096u
#define MEMORY_BUFFERS_MAX 32768u /* what a buffer ring takes */

/*
 * Completions that can stand in an overflowing queue at most: of each socket one of each kind that is in flight (enum rc_io_inflight), and as
 * many more of multishot receives as there are buffers; of accepts one for each socket; polls of a few descriptors, and what is waited for
 * while sockets are made.
 */
#define MEMORY_HELD_OF_SOCKET 9u
#define MEMORY_HELD_OTHERS 65536u

_Static_assert(sizeof(struct rc_io_memory) <= MEMORY_PAGE, "the head is a page");

static uint64_t page_up(uint64_t bytes)
{
    return (bytes + MEMORY_PAGE - 1) & ~(uint64_t)(MEMORY_PAGE - 1);
}

static uint32_t buffers_of(uint64_t bytes)
{
    uint32_t count = 1;
    while ((uint64_t)count * RC_IO_BUFFER_BYTES < bytes && count < MEMORY_BUFFERS_MAX) {
        count *= 2;
    }
    return count;
}

struct rc_io_memory *rc_io_memory_create(int fd, const struct rc_io_memory_plan *plan, struct rc_err *err)
{
    struct rc_io_memory layout = {.abi = RC_IO_MEMORY_ABI, .buffer_count = buffers_of(plan->receive_buffers_bytes)};
    layout.held_max = plan->socket_count * MEMORY_HELD_OF_SOCKET + layout.buffer_count + MEMORY_HELD_OTHERS;
    layout.held = MEMORY_PAGE;
    layout.entries = layout.held + page_up((uint64_t)layout.held_max * sizeof(struct io_uring_cqe));
    layout.buffers = layout.entries + page_up(layout.buffer_count * sizeof(struct io_uring_buf));
    layout.queues = layout.buffers + (uint64_t)layout.buffer_count * RC_IO_BUFFER_BYTES;
    layout.queues_bytes = rc_uring_memory_bytes(RC_IO_SQ_ENTRIES, RC_IO_CQ_ENTRIES);
    layout.bytes = layout.queues + layout.queues_bytes;
    uint64_t mapped = 0;
    if (rc_segment_size(fd, layout.bytes, err) < 0) {
        return NULL;
    }
    struct rc_io_memory *memory = rc_segment_map(fd, &mapped, err);
    if (memory == NULL) {
        return NULL;
    }
    rc_segment_dump(memory, layout.bytes, false); /* what sockets receive */
    *memory = layout;
    /* IM1 pairs with nothing yet: who will read it after its process sees no half laid out segment. */
    atomic_store_explicit(&memory->ready, RC_IO_MEMORY_READY, memory_order_release);
    return memory;
}

static uint64_t offset_of(const struct rc_io_memory *memory, const void *place)
{
    return (uint64_t)((const uint8_t *)place - (const uint8_t *)memory);
}

void rc_io_memory_found(struct rc_io_memory *memory, const struct io_uring *ring)
{
    memory->cq_tail = offset_of(memory, ring->cq.ktail);
    memory->cqes = offset_of(memory, ring->cq.cqes);
    memory->cq_entries = ring->cq.ring_entries;
    memory->cq_head = offset_of(memory, ring->cq.khead);
}

void rc_io_memory_unmap(struct rc_io_memory *memory)
{
    (void)munmap(memory, memory->bytes);
}
