/* blocks: see blocks.h. */
#include "relay/history/blocks.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/check.h"

#define MARK_FREE 0x80u

static uint32_t block_units(uint32_t order)
{
    return UINT32_C(1) << order;
}

/* Of the blocks that begin at `unit` and end at `end` or before. Units in a row are always the same blocks, those of this order one behind
 * the other: what is left when the first or last ones of a block go, too. */
static uint32_t largest_order(uint32_t unit, uint32_t end)
{
    uint32_t order = 0;
    while (order + 2 < RC_BLOCK_ORDERS && (unit & (block_units(order + 1) - 1)) == 0 &&
           block_units(order + 1) <= end - unit) {
        order++;
    }
    return order;
}

static void free_put(struct rc_blocks *blocks, uint32_t unit, uint32_t order)
{
    blocks->marks[unit] = (uint8_t)(MARK_FREE | (order + 1));
    blocks->previous[unit] = 0;
    blocks->next[unit] = blocks->free[order];
    if (blocks->free[order] != 0) {
        blocks->previous[blocks->free[order] - 1] = unit + 1;
    }
    blocks->free[order] = unit + 1;
}

static void free_remove(struct rc_blocks *blocks, uint32_t unit, uint32_t order)
{
    if (blocks->previous[unit] != 0) {
        blocks->next[blocks->previous[unit] - 1] = blocks->next[unit];
    } else {
        RC_ASSERT(blocks->free[order] == unit + 1);
        blocks->free[order] = blocks->next[unit];
    }
    if (blocks->next[unit] != 0) {
        blocks->previous[blocks->next[unit] - 1] = blocks->previous[unit];
    }
    blocks->marks[unit] = 0;
}

int rc_blocks_open(struct rc_blocks *blocks, uint32_t unit_count)
{
    RC_ASSERT(unit_count < UINT32_C(1) << (RC_BLOCK_ORDERS - 1));
    *blocks = (struct rc_blocks){.unit_count = unit_count};
    if (unit_count == 0) {
        return 0;
    }
    blocks->marks = calloc(unit_count, sizeof(*blocks->marks));
    blocks->next = calloc(unit_count, sizeof(*blocks->next));
    blocks->previous = calloc(unit_count, sizeof(*blocks->previous));
    if (blocks->marks == NULL || blocks->next == NULL || blocks->previous == NULL) {
        rc_blocks_close(blocks);
        return -ENOMEM;
    }
    for (uint32_t unit = 0; unit < unit_count;) {
        const uint32_t order = largest_order(unit, unit_count);
        free_put(blocks, unit, order);
        unit += block_units(order);
    }
    return 0;
}

void rc_blocks_close(struct rc_blocks *blocks)
{
    free(blocks->marks);
    free(blocks->next);
    free(blocks->previous);
    *blocks = (struct rc_blocks){0};
}

uint32_t rc_blocks_order(uint64_t bytes, uint64_t unit)
{
    uint32_t order = 0;
    while (order < RC_BLOCK_ORDERS && unit << order < bytes) {
        order++;
    }
    return order;
}

/* Makes a smaller block of the free one at `unit`: the halves that `wanted` is not in stay free. */
static void block_split(struct rc_blocks *blocks, uint32_t unit, uint32_t order, uint32_t wanted, uint32_t wanted_order)
{
    free_remove(blocks, unit, order);
    while (order > wanted_order) {
        order--;
        const uint32_t upper = unit + block_units(order);
        if (wanted >= upper) {
            free_put(blocks, unit, order);
            unit = upper;
        } else {
            free_put(blocks, upper, order);
        }
    }
    RC_ASSERT(unit == wanted);
    blocks->marks[unit] = (uint8_t)(order + 1);
    blocks->used_units += block_units(order);
}

uint32_t rc_blocks_alloc(struct rc_blocks *blocks, uint32_t order)
{
    for (uint32_t larger = order; larger < RC_BLOCK_ORDERS; larger++) {
        if (blocks->free[larger] != 0) {
            const uint32_t unit = blocks->free[larger] - 1;
            block_split(blocks, unit, larger, unit, order);
            return unit;
        }
    }
    return RC_BLOCK_NONE;
}

void rc_blocks_free(struct rc_blocks *blocks, uint32_t unit)
{
    RC_ASSERT(unit < blocks->unit_count && blocks->marks[unit] != 0 && !(blocks->marks[unit] & MARK_FREE));
    uint32_t order = blocks->marks[unit] - 1u;
    blocks->used_units -= block_units(order);
    blocks->marks[unit] = 0;
    while (order + 1 < RC_BLOCK_ORDERS) {
        const uint32_t other = unit ^ block_units(order);
        if (other >= blocks->unit_count || blocks->marks[other] != (MARK_FREE | (order + 1))) {
            break;
        }
        free_remove(blocks, other, order);
        unit &= ~block_units(order);
        order++;
    }
    free_put(blocks, unit, order);
}

void rc_blocks_free_units(struct rc_blocks *blocks, uint32_t unit, uint32_t count)
{
    for (uint32_t at = unit; at < unit + count;) {
        RC_ASSERT(at < blocks->unit_count && blocks->marks[at] != 0 && !(blocks->marks[at] & MARK_FREE));
        const uint32_t units = block_units(blocks->marks[at] - 1u);
        rc_blocks_free(blocks, at);
        at += units;
    }
}

bool rc_blocks_take(struct rc_blocks *blocks, uint32_t unit, uint32_t order)
{
    if (order >= RC_BLOCK_ORDERS - 1 || unit >= blocks->unit_count || (unit & (block_units(order) - 1)) != 0 ||
        block_units(order) > blocks->unit_count - unit) {
        return false;
    }
    for (uint32_t larger = order; larger < RC_BLOCK_ORDERS - 1; larger++) {
        const uint32_t start = unit & ~(block_units(larger) - 1);
        if (blocks->marks[start] == (MARK_FREE | (larger + 1))) {
            block_split(blocks, start, larger, unit, order);
            return true;
        }
    }
    return false;
}

bool rc_blocks_take_units(struct rc_blocks *blocks, uint32_t unit, uint32_t count)
{
    if (unit >= blocks->unit_count || count == 0 || count > blocks->unit_count - unit) {
        return false;
    }
    for (uint32_t at = unit; at < unit + count;) {
        const uint32_t order = largest_order(at, unit + count);
        if (!rc_blocks_take(blocks, at, order)) {
            if (at > unit) {
                rc_blocks_free_units(blocks, unit, at - unit);
            }
            return false;
        }
        at += block_units(order);
    }
    return true;
}

void rc_blocks_keep_units(struct rc_blocks *blocks, uint32_t unit, uint32_t count, uint32_t kept, uint32_t kept_count)
{
    RC_ASSERT(kept >= unit && kept_count > 0 && kept + kept_count <= unit + count);
    rc_blocks_free_units(blocks, unit, count);
    const bool taken = rc_blocks_take_units(blocks, kept, kept_count);
    RC_ASSERT(taken); /* they were free for this moment */
}
