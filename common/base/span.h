/*
 * span: a borrowed run of bytes.
 *
 * A span owns nothing; whoever fills one in says whose bytes they are and how long they stay. {NULL, 0} and any other
 * span of count 0 mean the same: nothing there. Any process may use it; nothing can fail.
 */
#ifndef RC_COMMON_BASE_SPAN_H
#define RC_COMMON_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rc_span {
    const uint8_t *bytes; /* borrowed; may be NULL when count is 0 */
    size_t count;         /* bytes */
};

/* A span over a string literal, without its terminator. */
#define RC_SPAN(literal) ((struct rc_span){.bytes = (const uint8_t *)("" literal), .count = sizeof(literal) - 1})

static inline struct rc_span rc_span_of(const void *bytes, size_t count)
{
    return (struct rc_span){.bytes = bytes, .count = count};
}

/* A span over a C string, without its terminator; NULL gives the empty span. */
static inline struct rc_span rc_span_text(const char *text)
{
    return (struct rc_span){.bytes = (const uint8_t *)text, .count = text != NULL ? strlen(text) : 0};
}

static inline bool rc_span_equal(struct rc_span a, struct rc_span b)
{
    return a.count == b.count && (a.count == 0 || memcmp(a.bytes, b.bytes, a.count) == 0);
}

static inline bool rc_span_starts_with(struct rc_span span, struct rc_span prefix)
{
    return span.count >= prefix.count && (prefix.count == 0 || memcmp(span.bytes, prefix.bytes, prefix.count) == 0);
}

#endif
