/*
 * bytes: numbers and counted parts in byte strings.
 *
 * The readers take from the front of a span that comes from outside and never pass its end: false, and the span as it was, where
 * it is too short. The writers trust their caller with the room. Any process may use it; nothing is allocated.
 */
#ifndef RC_COMMON_BASE_BYTES_H
#define RC_COMMON_BASE_BYTES_H

#include <string.h>

#include "common/base/span.h"

/* A number of `bytes` bytes (0 to 8), the most significant first. */
static inline uint64_t rc_be_get(const uint8_t *in, size_t bytes)
{
    uint64_t number = 0;
    for (size_t i = 0; i < bytes; i++) {
        number = number << 8 | in[i];
    }
    return number;
}

/* The least significant `bytes` bytes of a number, the most significant first. Returns where the next goes. */
static inline uint8_t *rc_be_put(uint8_t *out, uint64_t number, size_t bytes)
{
    for (size_t i = bytes; i > 0; i--) {
        out[i - 1] = (uint8_t)number;
        number >>= 8;
    }
    return out + bytes;
}

/* A number of `bytes` bytes (0 to 8), the least significant first. */
static inline uint64_t rc_le_get(const uint8_t *in, size_t bytes)
{
    uint64_t number = 0;
    for (size_t i = bytes; i > 0; i--) {
        number = number << 8 | in[i - 1];
    }
    return number;
}

/* Takes `count` bytes off the front of `rest`. */
static inline bool rc_bytes_take(struct rc_span *rest, size_t count, struct rc_span *part)
{
    if (rest->count < count) {
        return false;
    }
    *part = rc_span_of(rest->bytes, count);
    if (count > 0) { /* the bytes of an empty span may be NULL */
        *rest = rc_span_of(rest->bytes + count, rest->count - count);
    }
    return true;
}

static inline bool rc_bytes_take_be(struct rc_span *rest, size_t bytes, uint64_t *number)
{
    struct rc_span part;
    if (!rc_bytes_take(rest, bytes, &part)) {
        return false;
    }
    *number = rc_be_get(part.bytes, bytes);
    return true;
}

static inline bool rc_bytes_take_le(struct rc_span *rest, size_t bytes, uint64_t *number)
{
    struct rc_span part;
    if (!rc_bytes_take(rest, bytes, &part)) {
        return false;
    }
    *number = rc_le_get(part.bytes, bytes);
    return true;
}

/* A count of `bytes` bytes, the most significant first, and so many bytes behind it. */
static inline bool rc_bytes_take_counted(struct rc_span *rest, size_t bytes, struct rc_span *part)
{
    struct rc_span behind = *rest;
    uint64_t count;
    if (!rc_bytes_take_be(&behind, bytes, &count) || !rc_bytes_take(&behind, (size_t)count, part)) {
        return false;
    }
    *rest = behind;
    return true;
}

/* Returns where the next goes. */
static inline uint8_t *rc_bytes_put(uint8_t *out, struct rc_span part)
{
    if (part.count > 0) { /* the bytes of a zero count may be NULL */
        memcpy(out, part.bytes, part.count);
    }
    return out + part.count;
}

/* The count in `bytes` bytes, the most significant first, and the part behind it. */
static inline uint8_t *rc_bytes_put_counted(uint8_t *out, struct rc_span part, size_t bytes)
{
    return rc_bytes_put(rc_be_put(out, part.count, bytes), part);
}

#endif
