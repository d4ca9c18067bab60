/*
 * heap: buddy allocator over a stretch of the truth segment, for what has no fixed size: log blocks, replies, input, names.
 *
 * The worker owns it. Blocks are powers of two from 64 bytes on, named by a block number (offset / 64; 0 = none). How large a
 * block is, is truth (a byte for each unit, beside the heap); which ones are free is index: private memory, rebuilt by a successor from
 * the blocks that somebody names (rc_heap_claim). Fails only when no block is free; budgets per purpose are the
 * callers'. Pages of large blocks go back to the system by rc_heap_trim when the heap is empty.
 */
#ifndef RC_WORKER_STORE_HEAP_H
#define RC_WORKER_STORE_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "worker/store/order.h"

#define RC_HEAP_UNIT 64u
#define RC_HEAP_ORDERS 27 /* 64 B .. 4 GiB */

struct rc_heap {
    uint8_t *base;   /* borrowed */
    uint64_t bytes;  /* power of two */
    uint32_t units;  /* bytes / RC_HEAP_UNIT */
    uint32_t top;    /* order of the whole heap */
    uint8_t *orders; /* owned: per unit: order + 1 of the used block that starts here, 0x80 | order + 1 of a free one */
    uint32_t *next;  /* owned: per unit: free list links */
    uint32_t *previous;
    uint32_t free[RC_HEAP_ORDERS]; /* first free block of each order, 0 = none */
    uint64_t used;                 /* bytes in blocks handed out */
    uint8_t *sizes;   /* borrowed: per unit: order + 1 of the block that was handed out there last; NULL = not kept */
    uint64_t touched; /* bytes handed out since the last trim: how much memory a trim could give back at most */
};

/* Bytes that `sizes` of a heap of so many bytes has. */
static inline uint64_t rc_heap_sizes_bytes(uint64_t bytes)
{
    return bytes / RC_HEAP_UNIT;
}

/* `bytes` is rounded down to a power of two. Everything is free. `sizes`: rc_heap_sizes_bytes, or NULL: there is no successor. -ENOMEM when
 * the private bookkeeping cannot be reserved. */
int rc_heap_open(struct rc_heap *heap, void *base, uint64_t bytes, uint8_t *sizes, struct rc_err *err);
void rc_heap_close(struct rc_heap *heap);

/* A block of at least `bytes`; its number, or 0 when there is none. */
uint32_t rc_heap_alloc(struct rc_heap *heap, uint64_t bytes);
void rc_heap_free(struct rc_heap *heap, uint32_t block);
/* The same of the block that *link names, which is 0 before it is free. */
static inline void rc_heap_give(struct rc_heap *heap, uint32_t *link)
{
    const uint32_t block = *link;
    *link = 0;
    RC_STORE_ORDER();
    rc_heap_free(heap, block);
}

/* Order of the block of that number as a predecessor handed it out, by `sizes`; -EBADMSG: there was none, or it cannot be. */
int rc_heap_order(const struct rc_heap *heap, uint32_t block);
/* Takes exactly this block, which a predecessor handed out. -EBADMSG: there is none of that number; -EEXIST: part of it is another
 * one's already. */
int rc_heap_claim(struct rc_heap *heap, uint32_t block);
/* What is free and what is not becomes what it is in another one's view of the same heap, which is used up by that. */
void rc_heap_take(struct rc_heap *heap, struct rc_heap *other);

static inline void *rc_heap_at(const struct rc_heap *heap, uint32_t block)
{
    return heap->base + (uint64_t)block * RC_HEAP_UNIT;
}

/* Usable bytes of a block in use. */
static inline uint64_t rc_heap_block_bytes(const struct rc_heap *heap, uint32_t block)
{
    return (uint64_t)RC_HEAP_UNIT << ((heap->orders[block] & 0x7fu) - 1u);
}

/* Gives the pages of free blocks of at least 64 KiB back to the system. For quiet moments: one system call per block. */
void rc_heap_trim(struct rc_heap *heap);

#endif
