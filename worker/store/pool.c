/* pool: see pool.h. */
#include "worker/store/pool.h"

#include <string.h>

#include "common/shm/segment.h"

#define POOL_PAGE 4096u
#define POOL_DUMP_STEP (256u << 10) /* bytes: seldom enough that nobody measures the system call */

static uint64_t pool_pages(const struct rc_pool *pool, uint32_t count)
{
    return ((uint64_t)count * pool->object_bytes + POOL_PAGE - 1) & ~(uint64_t)(POOL_PAGE - 1);
}

static void pool_dump_more(struct rc_pool *pool)
{
    const uint64_t from = pool_pages(pool, pool->dumped);
    const uint64_t left = pool_pages(pool, pool->count_max) - from;
    const uint64_t bytes = left < POOL_DUMP_STEP ? left : POOL_DUMP_STEP;
    rc_segment_dump(pool->base + from, bytes, true);
    const uint64_t whole = (from + bytes) / pool->object_bytes; /* objects that begin and end in it */
    pool->dumped = whole < pool->count_max ? (uint32_t)whole : pool->count_max;
}

void rc_pool_dump_used(struct rc_pool *pool)
{
    RC_ASSERT((uintptr_t)pool->base % POOL_PAGE == 0 && pool->object_bytes <= POOL_PAGE);
    rc_segment_dump(pool->base, pool_pages(pool, pool->count_max), false);
    pool->dumped = 0;
    while (pool->high > 1 && pool->dumped < pool->high) { /* a predecessor used them */
        pool_dump_more(pool);
    }
}

uint32_t rc_pool_alloc(struct rc_pool *pool)
{
    uint32_t index = pool->free;
    if (index != 0) {
        void *object = rc_pool_at(pool, index);
        memcpy(&pool->free, object, sizeof(pool->free));
        memset(object, 0, pool->object_bytes);
    } else {
        if (pool->high >= pool->count_max) {
            return 0;
        }
        index = pool->high++;
        if (pool->kept != NULL) {
            *pool->kept = pool->high;
            RC_STORE_ORDER(); /* before something is in it: what is below is not taken for zero */
        }
        if (RC_UNLIKELY(index >= pool->dumped)) {
            pool_dump_more(pool);
        }
        /* Fresh memfd pages are zero; a successor process never re-uses an index above the high mark. */
    }
    pool->used++;
    return index;
}

void rc_pool_free(struct rc_pool *pool, uint32_t index)
{
    void *object = rc_pool_at(pool, index);
    RC_ASSERT(pool->used > 0);
    memcpy(object, &pool->free, sizeof(pool->free));
    pool->free = index;
    pool->used--;
}

void rc_pool_adopt(struct rc_pool *pool, const uint8_t *used)
{
    pool->free = 0;
    pool->used = 0;
    for (uint32_t i = pool->high; i-- > 1;) {
        if (used[i / 8] & (1u << (i % 8))) {
            pool->used++;
        } else {
            memcpy(rc_pool_at(pool, i), &pool->free, sizeof(pool->free));
            pool->free = i;
        }
    }
}
