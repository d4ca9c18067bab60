/* memory: see memory.h. */
#include "worker/io/memory.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "common/base/check.h"
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
    layout.packets = layout.held + page_up((uint64_t)layout.held_max * sizeof(struct io_uring_cqe));
    layout.pieces = layout.packets + page_up(RC_IO_BATCH_MAX * sizeof(struct rc_packet));
    layout.buffers = layout.pieces + page_up((uint64_t)RC_IO_BATCH_MAX * RC_IO_PIECES_MAX * sizeof(struct rc_piece));
    layout.queues = layout.buffers + (uint64_t)layout.buffer_count * RC_IO_BUFFER_BYTES;
    layout.queues_bytes = rc_uring_memory_bytes(RC_IO_SQ_ENTRIES, RC_IO_CQ_ENTRIES);
    layout.bytes = layout.queues + layout.queues_bytes;
    uint64_t mapped = 0;
    const int rc = rc_segment_size(fd, layout.bytes, err);
    if (rc < 0) {
        errno = -rc;
        return NULL;
    }
    struct rc_io_memory *memory = rc_segment_map(fd, &mapped, err);
    if (memory == NULL) {
        return NULL;
    }
    rc_segment_dump(memory, layout.bytes, false); /* what sockets receive */
    *memory = layout;
    /* IM1 pairs with IM3 in rc_io_memory_attach: nobody sees a half laid out segment. */
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
    memory->sq_head = offset_of(memory, ring->sq.khead);
    memory->sq_flags = offset_of(memory, ring->sq.kflags);
    memory->cqes = offset_of(memory, ring->cq.cqes);
    memory->cq_entries = ring->cq.ring_entries;
    memory->cq_head = offset_of(memory, ring->cq.khead);
}

/* Do so many objects of `size` bytes lie in the segment? */
static bool memory_holds(const struct rc_io_memory *memory, uint64_t offset, uint64_t count, uint64_t size)
{
    return offset >= sizeof(*memory) && offset % 4 == 0 && offset <= memory->bytes &&
           count <= (memory->bytes - offset) / size;
}

static int memory_refuse(struct rc_err *err, const char *why)
{
    return rc_err_set(err, -EBADMSG, "the ring memory of the former process %s", why);
}

static int memory_check(const struct rc_io_memory *memory, uint64_t mapped, struct rc_err *err)
{
    if (mapped < sizeof(*memory)) {
        return memory_refuse(err, "is empty");
    }
    /* IM3 pairs with IM1 in rc_io_memory_create. */
    if (atomic_load_explicit(&memory->ready, memory_order_acquire) != RC_IO_MEMORY_READY ||
        memory->abi != RC_IO_MEMORY_ABI || memory->bytes != mapped) {
        return memory_refuse(err, "is of another layout, or was not laid out");
    }
    if (memory->cq_head == 0) {
        return memory_refuse(err, "has no queues: this kernel keeps them to itself");
    }
    const uint64_t words[] = {memory->cq_head, memory->cq_tail, memory->sq_head, memory->sq_flags};
    bool holds =
        memory_holds(memory, memory->held, memory->held_max, sizeof(struct io_uring_cqe)) &&
        memory_holds(memory, memory->packets, RC_IO_BATCH_MAX, sizeof(struct rc_packet)) &&
        memory_holds(memory, memory->pieces, (uint64_t)RC_IO_BATCH_MAX * RC_IO_PIECES_MAX, sizeof(struct rc_piece)) &&
        memory_holds(memory, memory->buffers, memory->buffer_count, RC_IO_BUFFER_BYTES) &&
        memory_holds(memory, memory->cqes, memory->cq_entries, sizeof(struct io_uring_cqe));
    for (size_t i = 0; i < RC_ARRAY_COUNT(words); i++) {
        holds = holds && memory_holds(memory, words[i], 1, sizeof(uint32_t));
    }
    holds = holds && memory->held_count <= memory->held_max && memory->held_next <= memory->held_count &&
            memory->packet_count <= RC_IO_BATCH_MAX && memory->cq_entries > 0 &&
            (memory->cq_entries & (memory->cq_entries - 1)) == 0;
    return holds ? 0 : memory_refuse(err, "says impossible things");
}

struct rc_io_memory *rc_io_memory_attach(int fd, struct rc_err *err)
{
    uint64_t mapped = 0;
    struct rc_io_memory *memory = rc_segment_map(fd, &mapped, err);
    if (memory == NULL) {
        return NULL;
    }
    rc_segment_dump(memory, mapped, false);
    const int rc = memory_check(memory, mapped, err);
    if (rc < 0) {
        (void)munmap(memory, mapped);
        errno = -rc;
        return NULL;
    }
    return memory;
}

void rc_io_memory_unmap(struct rc_io_memory *memory)
{
    (void)munmap(memory, memory->bytes);
}
