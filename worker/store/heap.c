/* heap: see heap.h. Block 0 is never handed out, so that 0 can mean "none". */
#include "worker/store/heap.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/check.h"

#define RC_HEAP_FREE 0x80u
#define RC_HEAP_TRIM_ORDER 10u /* 64 KiB */

static void heap_push(struct rc_heap *heap, uint32_t block, uint32_t order)
{
    heap->orders[block] = (uint8_t)(RC_HEAP_FREE | (order + 1));
    heap->next[block] = heap->free[order];
    heap->previous[block] = 0;
    if (heap->free[order] != 0) {
        heap->previous[heap->free[order]] = block;
    }
    heap->free[order] = block;
}

static void heap_unlink(struct rc_heap *heap, uint32_t block, uint32_t order)
{
    const uint32_t next = heap->next[block];
    const uint32_t previous = heap->previous[block];
    if (next != 0) {
        heap->previous[next] = previous;
    }
    if (previous != 0) {
        heap->next[previous] = next;
    } else {
        heap->free[order] = next;
    }
}

static void *heap_private(uint64_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

int rc_heap_open(struct rc_heap *heap, void *base, uint64_t bytes, uint8_t *sizes, struct rc_err *err)
{
    *heap = (struct rc_heap){.base = base, .sizes = sizes};
    RC_ASSERT(bytes >= RC_HEAP_UNIT);
    uint32_t top = 63u - (uint32_t)__builtin_clzll(bytes / RC_HEAP_UNIT);
    if (top >= RC_HEAP_ORDERS) {
        top = RC_HEAP_ORDERS - 1;
    }
    heap->top = top;
    heap->units = 1u << top;
    heap->bytes = (uint64_t)heap->units * RC_HEAP_UNIT;
    heap->orders = heap_private(heap->units);
    heap->next = heap_private((uint64_t)heap->units * sizeof(uint32_t));
    heap->previous = heap_private((uint64_t)heap->units * sizeof(uint32_t));
    if (heap->orders == NULL || heap->next == NULL || heap->previous == NULL) {
        rc_heap_close(heap);
        return rc_err_set(err, -ENOMEM, "no address space for the bookkeeping of a heap of %llu bytes",
                          (unsigned long long)bytes);
    }
    /* The heap without its first unit: one free block of each order, at unit 2^order. */
    for (uint32_t order = 0; order < top; order++) {
        heap_push(heap, 1u << order, order);
    }
    return 0;
}

void rc_heap_close(struct rc_heap *heap)
{
    if (heap->orders != NULL) {
        munmap(heap->orders, heap->units);
    }
    if (heap->next != NULL) {
        munmap(heap->next, (uint64_t)heap->units * sizeof(uint32_t));
    }
    if (heap->previous != NULL) {
        munmap(heap->previous, (uint64_t)heap->units * sizeof(uint32_t));
    }
    *heap = (struct rc_heap){0};
}

static void heap_hand_out(struct rc_heap *heap, uint32_t block, uint32_t order)
{
    heap->orders[block] = (uint8_t)(order + 1);
    heap->used += (uint64_t)RC_HEAP_UNIT << order;
    heap->touched += (uint64_t)RC_HEAP_UNIT << order;
}

uint32_t rc_heap_alloc(struct rc_heap *heap, uint64_t bytes)
{
    const uint64_t units = (bytes + RC_HEAP_UNIT - 1) / RC_HEAP_UNIT;
    if (units >= heap->units) {
        return 0;
    }
    const uint32_t order = units <= 1 ? 0 : 64u - (uint32_t)__builtin_clzll(units - 1);
    uint32_t from = order;
    while (from < heap->top && heap->free[from] == 0) {
        from++;
    }
    if (from >= heap->top) {
        return 0;
    }
    const uint32_t block = heap->free[from];
    heap_unlink(heap, block, from);
    while (from > order) {
        from--;
        heap_push(heap, block + (1u << from), from);
    }
    heap_hand_out(heap, block, order);
    if (heap->sizes != NULL) {
        heap->sizes[block] = (uint8_t)(order + 1);
    }
    return block;
}

int rc_heap_order(const struct rc_heap *heap, uint32_t block)
{
    if (block == 0 || block >= heap->units || heap->sizes == NULL) {
        return -EBADMSG;
    }
    const uint32_t size = heap->sizes[block];
    /* A block is aligned to its size, and the first unit is in none. */
    return size == 0 || size > heap->top || (block & ((1u << (size - 1)) - 1)) != 0 ? -EBADMSG : (int)size - 1;
}

int rc_heap_claim(struct rc_heap *heap, uint32_t block)
{
    const int order = rc_heap_order(heap, block);
    if (order < 0) {
        return order;
    }
    for (uint32_t from = (uint32_t)order; from < heap->top; from++) {
        uint32_t part = block & ~((1u << from) - 1);
        if (part == 0 || heap->orders[part] != (RC_HEAP_FREE | (from + 1))) {
            continue;
        }
        heap_unlink(heap, part, from);
        heap->orders[part] = 0;
        while (from > (uint32_t)order) { /* the half without it stays free */
            from--;
            const uint32_t upper = part + (1u << from);
            heap_push(heap, block >= upper ? part : upper, from);
            part = block >= upper ? upper : part;
        }
        heap_hand_out(heap, block, (uint32_t)order);
        return 0;
    }
    return -EEXIST;
}

void rc_heap_free(struct rc_heap *heap, uint32_t block)
{
    RC_ASSERT(block > 0 && block < heap->units && heap->orders[block] != 0 && !(heap->orders[block] & RC_HEAP_FREE));
    uint32_t order = heap->orders[block] - 1u;
    heap->used -= (uint64_t)RC_HEAP_UNIT << order;
    heap->orders[block] = 0;
    while (order + 1 < heap->top) {
        const uint32_t buddy = block ^ (1u << order);
        if (heap->orders[buddy] != (RC_HEAP_FREE | (order + 1))) {
            break;
        }
        heap_unlink(heap, buddy, order);
        heap->orders[buddy] = 0;
        block = block < buddy ? block : buddy;
        order++;
        /* Unit 0 is never free, so nothing ever merges with it. */
        RC_ASSERT_HOT(block != 0);
    }
    heap_push(heap, block, order);
}

void rc_heap_take(struct rc_heap *heap, struct rc_heap *other)
{
    RC_ASSERT(heap->base == other->base && heap->bytes == other->bytes);
    const struct rc_heap taken = *other;
    *other = (struct rc_heap){0};
    rc_heap_close(heap);
    *heap = taken;
    heap->touched = heap->bytes; /* nobody knows what was */
}

void rc_heap_trim(struct rc_heap *heap)
{
    if (heap->touched < (uint64_t)RC_HEAP_UNIT << RC_HEAP_TRIM_ORDER) {
        return;
    }
    for (uint32_t order = RC_HEAP_TRIM_ORDER; order < heap->top; order++) {
        for (uint32_t block = heap->free[order]; block != 0; block = heap->next[block]) {
            (void)madvise(rc_heap_at(heap, block), (size_t)RC_HEAP_UNIT << order, MADV_REMOVE);
        }
    }
    heap->touched = 0;
}
