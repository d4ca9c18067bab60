/* pool: see pool.h. */
#include "worker/store/pool.h"

#include <string.h>

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
