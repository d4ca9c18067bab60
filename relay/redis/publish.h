/*
 * publish: the link's outboxes: what goes in, what becomes of what was given up, and when they go on.
 *
 * The first part is of the link's face (link.h); the second for the link alone. Part of the link, one thread.
 */
#ifndef RC_RELAY_REDIS_PUBLISH_H
#define RC_RELAY_REDIS_PUBLISH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "relay/redis/handlers.h"

struct rc_redis_link;
struct rc_redis_outbox_ops;

enum rc_redis_publish_flags {
    RC_REDIS_PUBLISH_SHARDED = 1u << 0,  /* SPUBLISH where redis.sharded says so */
    RC_REDIS_PUBLISH_SHARD = 1u << 4,    /* SPUBLISH (rc_redis_foreign_ops.sharded) */
    RC_REDIS_PUBLISH_TO_ONE = 1u << 2,   /* somebody must be there: counted as a failed delivery when nobody is */
    RC_REDIS_PUBLISH_FLEETING = 1u << 1, /* worth nothing later: dropped instead of kept while Redis is away */
    RC_REDIS_PUBLISH_TOLD = 1u << 3,     /* should it be lost, other instances are told: rc_redis_tell_losses */
    RC_REDIS_PUBLISH_YIELDING =
        1u << 5, /* of rc_redis_run: nothing goes to make room for it: -EAGAIN, and it is not counted */
};

/*
 * PUBLISHes `message`, given in parts, on a channel. Kept until Redis has answered: sent again after a reconnect, in order, so
 * that receivers may see one twice (bridges drop such duplicates by their sequence). Bounded by redis.outbox and
 * redis.outbox_max_age; the oldest is dropped and counted. 0, -ENOTCONN (fleeting, and Redis is away), -ENOMEM, -EMSGSIZE.
 */
int rc_redis_publish(struct rc_redis_link *link, struct rc_span channel, const struct rc_span *parts,
                     uint32_t part_count, uint32_t flags);

/* Is such a message larger than all of redis.outbox? Then it is published at no time: rc_redis_publish drops it. */
bool rc_redis_publish_never(const struct rc_redis_link *link, struct rc_span channel, const struct rc_span *parts,
                            uint32_t part_count, uint32_t flags);

/*
 * XADDs an entry of pairs of field and value to a stream, `stream` without prefix, which is cut to about `entries_max`. Kept as a message is: after
 * a reconnect it may stand there twice. The same flags and results.
 */
int rc_redis_append(struct rc_redis_link *link, struct rc_span stream, uint32_t entries_max,
                    const struct rc_span *fields, uint32_t field_count, uint32_t flags);
#define RC_REDIS_FIELDS_MAX 8u /* of an entry: names and values */

/* What was given up (outbox full, too old, refused by Redis) is told to the other instances when they can hear it, before what is left in
 * the outbox goes out, and at most once in RC_REDIS_LOSSES_MS. */
#define RC_REDIS_LOSSES_MS 1000u

void rc_redis_tell_losses(struct rc_redis_link *link, const struct rc_redis_loss_ops *ops);
/* PUBLISHes a message before everything that waits. Inside of `announce` only. 0, -ENOMEM or -EMSGSIZE. */
int rc_redis_announce(struct rc_redis_link *link, struct rc_span channel, struct rc_span message);

/* --- for the link --- */

/* What the link's outboxes tell. */
struct rc_redis_outbox_ops rc_redis_outbox_ops_of(struct rc_redis_link *link);
/* A predecessor's outbox died with it: whose messages were in it nobody knows, only how many. */
void rc_redis_outboxes_inherit(struct rc_redis_link *link);
/* Drops what waited too long. */
void rc_redis_outboxes_expire(struct rc_redis_link *link, uint64_t now_ms);
/* Sends what may be sent, before it what was lost. Once a turn. */
void rc_redis_outboxes_pump(struct rc_redis_link *link, uint64_t now_ms);
/* True when nothing waits for an answer of Redis, or it is away. */
bool rc_redis_outboxes_drained(const struct rc_redis_link *link);

#endif
