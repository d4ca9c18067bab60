/*
 * resp: the Redis serialization protocol (redis.io, "Redis serialization protocol specification"): commands that go out, and the
 * replies that come by the thousand.
 *
 * hiredis reads everything, but makes objects of it, a dozen allocations for each message of pub/sub. Two forms are nearly all that a
 * busy relay hears, the integer that answers PUBLISH and the push of a few strings that is a message: they are read here where they
 * lie in hiredis's buffer. What has another form, or is not right, is left to hiredis, which then says what is wrong.
 *
 * Pure; nothing here touches a socket. Bytes from Redis are never asserted.
 */
#ifndef RC_RELAY_REDIS_RESP_H
#define RC_RELAY_REDIS_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "common/base/span.h"

/* Bytes of a command in RESP, and the command. */
size_t rc_redis_format_bytes(uint32_t argc, const struct rc_span *argv);
void rc_redis_format(char *out, uint32_t argc, const struct rc_span *argv);
/* The line before an array ('*') or a bulk string ('$'); returns the place behind it, at most 24 bytes on. */
char *rc_redis_format_head(char *out, char mark, size_t value);

/* Is the reply a string (simple or bulk) of just this text? */
bool rc_redis_reply_is(const redisReply *reply, const char *text);

#define RC_RESP_ELEMENTS_MAX 4u /* a message by pattern: "pmessage", pattern, channel, body */

/* A reply that was read where it lies: `whole`, whose strings point into the bytes that were read and have NO NUL behind them. */
struct rc_resp {
    redisReply whole;
    redisReply elements[RC_RESP_ELEMENTS_MAX];
    redisReply *list[RC_RESP_ELEMENTS_MAX];
};

enum rc_resp_result {
    RC_RESP_TAKEN,
    RC_RESP_SHORT, /* so far one of the forms, but not all of it is there */
    RC_RESP_OTHER, /* hiredis's to read */
};

/* Reads one reply off the front of `bytes`: an integer, or a push (with `arrays` also an array: RESP2's messages) of 1 to
 * RC_RESP_ELEMENTS_MAX bulk strings and integers. *used are its bytes when it is TAKEN. `resp` must not move. */
enum rc_resp_result rc_resp_take(struct rc_resp *resp, struct rc_span bytes, bool arrays, size_t *used);

#endif
