/*
 * error_reply: what an error of Redis means for who gets it: the one table of error codes (the first word of the reply) for all of
 * relay/redis.
 *
 * Pure. Sources: Redis' own shared objects (server.c, "createSharedObjects"), the Redis Cluster specification, redis.io on ACL, Sentinel
 * and replication. A code that the table does not have is final: proxies make up their own.
 */
#ifndef RC_RELAY_REDIS_ERROR_REPLY_H
#define RC_RELAY_REDIS_ERROR_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

/* In this order: all those that pass, then those that stay. */
enum rc_redis_error {
    RC_REDIS_ERROR_NONE,     /* no error */
    RC_REDIS_ERROR_NOT_NOW,  /* the same command is taken later: BUSY, OOM … */
    RC_REDIS_ERROR_SCRIPT,   /* the same, when it has been told the script: NOSCRIPT */
    RC_REDIS_ERROR_DATASET,  /* the same, but never an answer to SUBSCRIBE: LOADING, MASTERDOWN */
    RC_REDIS_ERROR_UNSAVED,  /* the same; who only publishes, subscribes and pings goes on: MISCONF */
    RC_REDIS_ERROR_DOWN,     /* the Cluster has nobody for the slot now; its map may have changed */
    RC_REDIS_ERROR_MOVED,    /* another node has the slot */
    RC_REDIS_ERROR_ASK,      /* another node may have the key */
    RC_REDIS_ERROR_ROLE,     /* the server is no master (any more): this connection is of no use */
    RC_REDIS_ERROR_LOGIN,    /* not logged in (any more): this connection is of no use */
    RC_REDIS_ERROR_PASSWORD, /* user or password are wrong */
    RC_REDIS_ERROR_FINAL,    /* it stays so: no rights, a command that does not exist, anything else */
};

enum rc_redis_error rc_redis_error_of(const redisReply *reply);

/*
 * Takes off an error's text what the server quotes of the command. Servers that do not know a command answer "ERR unknown command `HELLO`,
 * with args beginning with: `3`, `AUTH`, ..." (Redis' server.c, "rejectCommandUnknown"), and what follows is the password, or channels
 * that hold users' ids. Before the text is kept, shown or logged anywhere.
 */
void rc_redis_error_shorten(redisReply *reply);

/* When what was answered so, or with something else than an answer, is asked for again: soon, when it passes; of what stays so ever more seldom, up to
 * RC_REDIS_AGAIN_MAX_MS. *refusals: how often in a row, the caller's, who sets it to 0 when Redis answers. */
#define RC_REDIS_AGAIN_MS 250u
#define RC_REDIS_AGAIN_MAX_MS 10000u
uint64_t rc_redis_error_again_ms(const redisReply *reply, uint32_t *refusals);
/* What helps, for the log. */
const char *rc_redis_error_remedy(const redisReply *reply);

/* Is it worth sending the same again, here or elsewhere? */
static inline bool rc_redis_error_passes(enum rc_redis_error error)
{
    return error != RC_REDIS_ERROR_NONE && error < RC_REDIS_ERROR_PASSWORD;
}

/* Does it say that nothing good will come over this connection any more? */
static inline bool rc_redis_error_ends(enum rc_redis_error error)
{
    return error == RC_REDIS_ERROR_ROLE || error == RC_REDIS_ERROR_LOGIN;
}

#endif
