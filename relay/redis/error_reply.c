/* error_reply: see error_reply.h. */
#include "relay/redis/error_reply.h"

#include <stddef.h>
#include <string.h>

#include "common/base/check.h"

static const struct {
    const char *code;
    enum rc_redis_error error;
} table[] = {
    {"BUSY", RC_REDIS_ERROR_NOT_NOW},       /* a script or module runs */
    {"OOM", RC_REDIS_ERROR_NOT_NOW},        /* maxmemory */
    {"TRYAGAIN", RC_REDIS_ERROR_NOT_NOW},   /* keys of one command on both sides of a move */
    {"NOREPLICAS", RC_REDIS_ERROR_NOT_NOW}, /* min-replicas-to-write */
    {"NOSCRIPT", RC_REDIS_ERROR_SCRIPT},    /* it started again, or somebody said SCRIPT FLUSH */
    {"LOADING", RC_REDIS_ERROR_DATASET},    /* reads its data at the start, or its master's */
    {"MASTERDOWN", RC_REDIS_ERROR_DATASET}, /* replica-serve-stale-data no */
    {"MISCONF", RC_REDIS_ERROR_UNSAVED},    /* stop-writes-on-bgsave-error: said to PING as well */
    {"CLUSTERDOWN", RC_REDIS_ERROR_DOWN},   {"MOVED", RC_REDIS_ERROR_MOVED},        {"ASK", RC_REDIS_ERROR_ASK},
    {"READONLY", RC_REDIS_ERROR_ROLE}, /* a write to a replica */
    {"NOAUTH", RC_REDIS_ERROR_LOGIN},       {"WRONGPASS", RC_REDIS_ERROR_PASSWORD},
};

enum rc_redis_error rc_redis_error_of(const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ERROR) {
        return RC_REDIS_ERROR_NONE;
    }
    const size_t bytes = strcspn(reply->str, " ");
    for (size_t i = 0; i < RC_ARRAY_COUNT(table); i++) {
        if (strlen(table[i].code) == bytes && memcmp(table[i].code, reply->str, bytes) == 0) {
            return table[i].error;
        }
    }
    return RC_REDIS_ERROR_FINAL;
}

void rc_redis_error_shorten(redisReply *reply)
{
    char *quoted = reply->type == REDIS_REPLY_ERROR ? strstr(reply->str, ", with args") : NULL;
    if (quoted != NULL) {
        *quoted = '\0';
        reply->len = (size_t)(quoted - reply->str);
    }
}

uint64_t rc_redis_error_again_ms(const redisReply *reply, uint32_t *refusals)
{
    if (rc_redis_error_passes(rc_redis_error_of(reply))) {
        return RC_REDIS_AGAIN_MS;
    }
    const uint64_t in_ms = (uint64_t)RC_REDIS_AGAIN_MS << (*refusals < 16 ? *refusals : 16u);
    ++*refusals;
    return in_ms < RC_REDIS_AGAIN_MAX_MS ? in_ms : RC_REDIS_AGAIN_MAX_MS;
}

const char *rc_redis_error_remedy(const redisReply *reply)
{
    static const char wrong_type[] = "WRONGTYPE";
    static const char no_rights[] = "NOPERM";
    const char *text = reply->type == REDIS_REPLY_ERROR ? reply->str : "";
    /* Of a script Redis quotes the error of its command. */
    if (strstr(text, no_rights) != NULL || strstr(text, "ACL failure") != NULL) {
        return "the user of redis.url lacks a right: give it the keys, channels and commands that docs/redis.md names";
    }
    if (strstr(text, wrong_type) != NULL) {
        return "somebody else has written that key: delete it, or give ringcast a redis.prefix of its own";
    }
    return "see what Redis says";
}
