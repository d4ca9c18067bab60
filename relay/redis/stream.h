/*
 * stream: reads one Redis stream to its end and on, by a blocking connection of its own.
 *
 *   ready ──▶ newest id (first time) ──▶ XREAD BLOCK ──▶ entries ──▶ XREAD …
 *         └─▶ is the last one that was read still there? (after a loss, and behind a full batch) ──▶ XREAD from it
 *
 * The first connection begins behind what is there, which is told where a relay before this one has read it (it may have read less); every
 * later one goes on where the last one stopped, so that nothing is missed while Redis keeps it. When the entry that was read last is gone,
 * others may be gone that were not read (the stream was cut, or Redis lost its data): ops.missed says so, then what is left is read. In a
 * Cluster it reads from the master of the stream's slot.
 *
 * XREAD blocks for RC_REDIS_STREAM_BLOCK_MS, for the connection's pings wait behind it.
 *
 * Owned by whoever opens it (bridge/adapter), driven by the link; one thread. Its memory must not move and outlives the link.
 */
#ifndef RC_RELAY_REDIS_STREAM_H
#define RC_RELAY_REDIS_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "relay/redis/conn.h"
#include "relay/redis/handlers.h"
#include "relay/timer.h"

#define RC_REDIS_STREAM_BLOCK_MS 500u
#define RC_REDIS_STREAM_BATCH 100u     /* entries of one XREAD */
#define RC_REDIS_STREAM_ID_MAX 44u     /* bytes of an id and its NUL: two numbers of 20 digits */
#define RC_REDIS_STREAM_VALUES_MAX 32u /* fields and values of an entry; one with more is passed over */

struct rc_redis_link;

struct rc_redis_stream_ops {
    /* An entry: fields and values in turn, which live during the call. */
    void (*entry)(void *context, const struct rc_span *values, uint32_t value_count);
    /* Entries may have gone that were never read. */
    void (*missed)(void *context);
    void *context; /* borrowed */
};

struct rc_redis_stream {
    struct rc_redis_link *link; /* borrowed */
    struct rc_redis_stream_ops ops;
    struct rc_redis_conn conn;
    char key[RC_REDIS_NAME_MAX]; /* with prefix */
    uint32_t key_bytes;
    char last[RC_REDIS_STREAM_ID_MAX]; /* id of the entry that was read last; "" = none is known */
    bool unsure;                       /* true exactly when it has to be seen whether `last` is still there */
    uint32_t refusals;                 /* in a row */
    struct rc_timer again;
};

/* Right behind rc_redis_link_open; `name` is without prefix. One stream of a link. */
void rc_redis_stream_open(struct rc_redis_stream *stream, struct rc_redis_link *link, struct rc_span name,
                          const struct rc_redis_stream_ops *ops);

/* Was the entry `id` (digits, a dash, digits; fewer than RC_REDIS_STREAM_ID_MAX) read, or one behind it? */
bool rc_redis_stream_has(const struct rc_redis_stream *stream, struct rc_span id);

/* --- for the link --- */

/* Connects to who has the stream now, sends. Once a turn. */
void rc_redis_stream_turn(struct rc_redis_stream *stream);
void rc_redis_stream_close(struct rc_redis_stream *stream);

/* The entries in an answer to XREAD or XREADGROUP of one stream: a map from its key (RESP3), or an array of pairs. NULL: it is none. */
const redisReply *rc_redis_stream_entries(const redisReply *reply);

#endif
