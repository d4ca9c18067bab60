/* hiredis_buffers: see hiredis_buffers.h. */
#include "relay/redis/hiredis_buffers.h"

#include <hiredis/sds.h>
#include <sys/types.h>

#define DISCARD_BYTES 1024u         /* taken of the input before the rest moves to its front, as hiredis does */
#define KEPT_BYTES_MAX (256u << 10) /* of the output buffer when there is nothing in it */

void rc_redis_discard_taken(redisReader *reader)
{
    if (reader->pos == reader->len) {
        sdsclear(reader->buf);
    } else if (reader->pos >= DISCARD_BYTES) {
        sdsrange(reader->buf, (ssize_t)reader->pos, -1);
    } else {
        return;
    }
    reader->pos = 0;
    reader->len = sdslen(reader->buf);
}

void rc_redis_discard_sent(redisContext *redis, size_t bytes)
{
    if (bytes < sdslen(redis->obuf)) {
        sdsrange(redis->obuf, (ssize_t)bytes, -1);
        return;
    }
    sds empty = sdsalloc(redis->obuf) > KEPT_BYTES_MAX ? sdsempty() : NULL;
    if (empty != NULL) {
        sdsfree(redis->obuf);
        redis->obuf = empty;
    } else {
        sdsclear(redis->obuf);
    }
}
