/*
 * blocks: which units of the history segment are in use: blocks of 2^order units, aligned to their size (a buddy allocator).
 *
 * Index, private to the relay: what is in use is known by what names it (common/shm/history.h), so that a successor takes each named
 * block (rc_blocks_take) and the rest is free. Owned by the store; one thread. Nothing allocates after the opening; memory that was never
 * touched costs nothing.
 */
#ifndef RC_RELAY_HISTORY_BLOCKS_H
#define RC_RELAY_HISTORY_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#define RC_BLOCK_ORDERS 32u
#define RC_BLOCK_NONE UINT32_MAX

struct rc_blocks {
    uint8_t *marks;     /* owner: of each unit: 0 = inside a block, else its order + 1, and whether it is free */
    uint32_t *next;     /* owner: free blocks of an order, unit + 1; 0 = end */
    uint32_t *previous; /* owner */
    uint32_t free[RC_BLOCK_ORDERS];
    uint32_t unit_count;
    uint32_t used_units;
};

/* All units are free. 0 or -ENOMEM. */
int rc_blocks_open(struct rc_blocks *blocks, uint32_t unit_count);
void rc_blocks_close(struct rc_blocks *blocks);

/* The order of the smallest block of so many bytes, of units of `unit` bytes; RC_BLOCK_ORDERS: there is none so large. */
uint32_t rc_blocks_order(uint64_t bytes, uint64_t unit);

/* The first unit of a block, or RC_BLOCK_NONE. */
uint32_t rc_blocks_alloc(struct rc_blocks *blocks, uint32_t order);
/* Programmer error: it is not the first one of a block in use. */
void rc_blocks_free(struct rc_blocks *blocks, uint32_t unit);
/* Units in a row that are in use, as rc_blocks_take_units took them, or as a block. */
void rc_blocks_free_units(struct rc_blocks *blocks, uint32_t unit, uint32_t count);
/* Of those only these are in use any more. */
void rc_blocks_keep_units(struct rc_blocks *blocks, uint32_t unit, uint32_t count, uint32_t kept, uint32_t kept_count);
/* Units that are in use already, however many: as rc_blocks_take of the blocks that they are. False: nothing was taken. */
bool rc_blocks_take_units(struct rc_blocks *blocks, uint32_t unit, uint32_t count);
/* A block that is in use already. False: it cannot be: beyond the end, not aligned, or a part of it is taken. */
bool rc_blocks_take(struct rc_blocks *blocks, uint32_t unit, uint32_t order);

#endif
