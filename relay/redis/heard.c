/* heard: see heard.h. */
#include "relay/redis/heard.h"

struct rc_span rc_redis_text_of(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS ? rc_span_of(reply->str, reply->len)
                                                                                  : (struct rc_span){0};
}

bool rc_redis_heard_of(struct rc_redis_heard *heard, const redisReply *push)
{
    if (push->elements < 3) {
        return false;
    }
    const struct rc_span kind = rc_redis_text_of(push->element[0]);
    const struct rc_span first = rc_redis_text_of(push->element[1]);
    const struct rc_span second = rc_redis_text_of(push->element[2]);
    if (rc_span_equal(kind, RC_SPAN("message")) || rc_span_equal(kind, RC_SPAN("smessage"))) {
        *heard = (struct rc_redis_heard){.channel = first, .body = second};
        return true;
    }
    if (rc_span_equal(kind, RC_SPAN("pmessage")) && push->elements >= 4) {
        *heard = (struct rc_redis_heard){
            .pattern = true, .by = first, .channel = second, .body = rc_redis_text_of(push->element[3])};
        return true;
    }
    return false;
}
