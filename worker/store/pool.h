/*
 * pool: fixed-size objects in a reserved stretch of the truth segment, named by index; index 0 means "none".
 *
 * The worker owns it. Free objects form a list through their first four bytes (index: rebuilt by a successor from what is
 * linked, rc_pool_adopt). Memory is touched only as far as the highest index ever used, which is truth. Allocation fails only at
 * the reserved maximum.
 *
 * An object is linked when it is whole, and taken out of its list before it is given back: whoever dies in between leaves one that
 * nobody names, and that is a free one.
 */
#ifndef RC_WORKER_STORE_POOL_H
#define RC_WORKER_STORE_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/check.h"
#include "worker/store/order.h"

struct rc_pool {
    uint8_t *base; /* borrowed: object i is at base + i * object_bytes */
    uint32_t object_bytes;
    uint32_t count_max; /* usable indexes are 1 .. count_max - 1 */
    uint32_t high;      /* first index never used */
    uint32_t free;      /* head of the free list, 0 = empty */
    uint32_t used;      /* objects in use */
    uint32_t dumped;    /* core dumps hold the objects below this one; UINT32_MAX = all */
    uint32_t *kept;     /* borrowed: where a successor reads `high`; NULL = there is none */
};

static inline void rc_pool_init(struct rc_pool *pool, void *base, uint32_t object_bytes, uint32_t count_max)
{
    *pool = (struct rc_pool){
        .base = base, .object_bytes = object_bytes, .count_max = count_max, .high = 1, .dumped = UINT32_MAX};
}

/* `base` is the beginning of a page and the pool's rest of its last page is nobody else's: core dumps leave out what was never used. */
void rc_pool_dump_used(struct rc_pool *pool);

static inline void *rc_pool_at(const struct rc_pool *pool, uint32_t index)
{
    RC_ASSERT_HOT(index > 0 && index < pool->high);
    return pool->base + (size_t)index * pool->object_bytes;
}

/* A zeroed object's index, or 0 when the pool is exhausted. */
uint32_t rc_pool_alloc(struct rc_pool *pool);
void rc_pool_free(struct rc_pool *pool, uint32_t index);
/* The same of the one that *link names, which is 0 before it is free. */
static inline void rc_pool_give(struct rc_pool *pool, uint32_t *link)
{
    const uint32_t index = *link;
    *link = 0;
    RC_STORE_ORDER();
    rc_pool_free(pool, index);
}

/* Which objects below `high` are in use is known, a bit each in `used` (bit i & 7 of byte i / 8): all others are free from here on. */
void rc_pool_adopt(struct rc_pool *pool, const uint8_t *used);

#endif
