/* resp: see resp.h. */
#include "relay/redis/resp.h"

#include <string.h>

#include "common/text/decimal.h"

/* --- writing --------------------------------------------------------------------------------------------------------- */

static uint32_t digits_of(size_t value)
{
    uint32_t digits = 1;
    while (value >= 10) {
        value /= 10;
        digits++;
    }
    return digits;
}

size_t rc_redis_format_bytes(uint32_t argc, const struct rc_span *argv)
{
    size_t bytes = 1 + digits_of(argc) + 2;
    for (uint32_t i = 0; i < argc; i++) {
        bytes += 1 + digits_of(argv[i].count) + 2 + argv[i].count + 2;
    }
    return bytes;
}

char *rc_redis_format_head(char *out, char mark, size_t value)
{
    *out++ = mark;
    out = rc_decimal_write(out, value);
    *out++ = '\r';
    *out++ = '\n';
    return out;
}

void rc_redis_format(char *out, uint32_t argc, const struct rc_span *argv)
{
    out = rc_redis_format_head(out, '*', argc);
    for (uint32_t i = 0; i < argc; i++) {
        out = rc_redis_format_head(out, '$', argv[i].count);
        if (argv[i].count > 0) {
            memcpy(out, argv[i].bytes, argv[i].count);
        }
        out += argv[i].count;
        *out++ = '\r';
        *out++ = '\n';
    }
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

#define DIGITS_MAX 18u /* no overflow, and far beyond what Redis says in these places */

bool rc_redis_reply_is(const redisReply *reply, const char *text)
{
    return reply != NULL && (reply->type == REDIS_REPLY_STATUS || reply->type == REDIS_REPLY_STRING) &&
           reply->len == strlen(text) && strncasecmp(reply->str, text, reply->len) == 0;
}

/* A line of a mark, which was looked at, and an integer without sign; *at goes behind it. */
static enum rc_resp_result take_line(struct rc_span bytes, size_t *at, uint64_t *out)
{
    size_t i = *at + 1;
    const size_t first = i;
    uint64_t value = 0;
    while (i < bytes.count && bytes.bytes[i] >= '0' && bytes.bytes[i] <= '9' && i - first < DIGITS_MAX) {
        value = value * 10 + (uint64_t)(bytes.bytes[i++] - '0');
    }
    if (i == bytes.count) {
        return RC_RESP_SHORT;
    }
    if (i == first || bytes.bytes[i] != '\r' || (bytes.bytes[first] == '0' && i > first + 1)) {
        return RC_RESP_OTHER;
    }
    if (i + 1 == bytes.count) {
        return RC_RESP_SHORT;
    }
    if (bytes.bytes[i + 1] != '\n') {
        return RC_RESP_OTHER;
    }
    *out = value;
    *at = i + 2;
    return RC_RESP_TAKEN;
}

static enum rc_resp_result take_integer(redisReply *reply, struct rc_span bytes, size_t *at)
{
    uint64_t value = 0;
    const enum rc_resp_result result = take_line(bytes, at, &value);
    *reply = (redisReply){.type = REDIS_REPLY_INTEGER, .integer = (long long)value};
    return result;
}

static enum rc_resp_result take_bulk(redisReply *reply, struct rc_span bytes, size_t *at)
{
    uint64_t count = 0;
    const enum rc_resp_result result = take_line(bytes, at, &count);
    if (result != RC_RESP_TAKEN) {
        return result;
    }
    if (count > bytes.count - *at || bytes.count - *at - count < 2) {
        return RC_RESP_SHORT;
    }
    const uint8_t *text = bytes.bytes + *at;
    if (text[count] != '\r' || text[count + 1] != '\n') {
        return RC_RESP_OTHER;
    }
    /* hiredis's type wants a pointer to change; nobody who gets a reply writes there. */
    *reply = (redisReply){.type = REDIS_REPLY_STRING, .len = (size_t)count, .str = (char *)(uintptr_t)text};
    *at += (size_t)count + 2;
    return RC_RESP_TAKEN;
}

static enum rc_resp_result take_list(struct rc_resp *resp, struct rc_span bytes, size_t *at)
{
    uint64_t count = 0;
    const int type = bytes.bytes[0] == '>' ? REDIS_REPLY_PUSH : REDIS_REPLY_ARRAY;
    enum rc_resp_result result = take_line(bytes, at, &count);
    if (result == RC_RESP_TAKEN && (count == 0 || count > RC_RESP_ELEMENTS_MAX)) {
        return RC_RESP_OTHER;
    }
    for (uint64_t i = 0; result == RC_RESP_TAKEN && i < count; i++) {
        const char mark = *at < bytes.count ? (char)bytes.bytes[*at] : '\0';
        resp->list[i] = &resp->elements[i];
        result = *at == bytes.count ? RC_RESP_SHORT
                 : mark == '$'      ? take_bulk(&resp->elements[i], bytes, at)
                 : mark == ':'      ? take_integer(&resp->elements[i], bytes, at)
                                    : RC_RESP_OTHER;
    }
    resp->whole = (redisReply){.type = type, .elements = (size_t)count, .element = resp->list};
    return result;
}

enum rc_resp_result rc_resp_take(struct rc_resp *resp, struct rc_span bytes, bool arrays, size_t *used)
{
    *used = 0;
    if (bytes.count == 0) {
        return RC_RESP_SHORT;
    }
    switch (bytes.bytes[0]) {
    case ':':
        return take_integer(&resp->whole, bytes, used);
    case '>':
        return take_list(resp, bytes, used);
    case '*':
        return arrays ? take_list(resp, bytes, used) : RC_RESP_OTHER;
    default:
        return RC_RESP_OTHER;
    }
}
