/*
 * hiredis_buffers: what conn does with hiredis's buffers itself, because it reads replies and writes commands past hiredis.
 *
 * Used by conn alone. Nothing fails.
 */
#ifndef RC_RELAY_REDIS_HIREDIS_BUFFERS_H
#define RC_RELAY_REDIS_HIREDIS_BUFFERS_H

#include <stddef.h>

#include <hiredis/hiredis.h>

/* Makes room in the input buffer, which hiredis does only when it reads a reply itself. */
void rc_redis_discard_taken(redisReader *reader);

/* These bytes of the output buffer were sent. redisBufferWrite frees it each time that all of it was: here it stays for the next command,
 * unless it is large. */
void rc_redis_discard_sent(redisContext *redis, size_t bytes);

#endif
