/*
 * json_scan: a strict (RFC 8259), allocation-free scanner over JSON text that lies in memory.
 *
 * It validates and walks text once, front to back, and hands out each value as the span it occupies, so that a value
 * can be carried on byte for byte. Nothing is built, converted or copied unless asked for. The caller owns the cursor
 * and the text; every span points into the text and lives as long as the text does. Any process may use it, on any
 * thread.
 *
 * What is refused: everything outside the grammar of RFC 8259 (comments, trailing commas, leading zeros, a byte order
 * mark, control characters in strings, bad escapes, anything but white space after the value), more than
 * RC_JSON_DEPTH_MAX nested arrays and objects, and, with RC_JSON_CHECK_UTF8, text that is not UTF-8 (RFC 3629). What
 * is left to the caller: members that occur twice (the scanner reports each), the range of numbers, and lone
 * surrogates written as escapes: the grammar allows "\ud800", so values that are only passed on may hold one, while
 * rc_json_string_decode refuses it because no UTF-8 text exists for it.
 *
 * One cursor walks one container. To look into a nested one, begin a new cursor on the value's raw span.
 *
 *     struct rc_json_cursor cursor;
 *     struct rc_json_value name, value;
 *     int got = rc_json_object_begin(&cursor, text, 0);
 *     while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) { ... }
 *     if (got < 0) ...                   // rc_json_offset(&cursor) says where; got == 0: complete, and nothing follows
 *
 * Errors are negative errnos: -EBADMSG not JSON or not the expected container, -EILSEQ not UTF-8, -EOVERFLOW too
 * deep.
 */
#ifndef RC_COMMON_TEXT_JSON_SCAN_H
#define RC_COMMON_TEXT_JSON_SCAN_H

#include "common/base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Arrays and objects inside each other, the outermost counted. */
#define RC_JSON_DEPTH_MAX 64

/* The longest encoding of a string of `count` bytes: every byte as \u00XX, and the quotes. */
#define RC_JSON_STRING_BYTES_MAX(count) (6 * (count) + 2)

enum rc_json_type {
    RC_JSON_NONE = 0, /* no value: what a zeroed rc_json_value says */
    RC_JSON_OBJECT,
    RC_JSON_ARRAY,
    RC_JSON_STRING,
    RC_JSON_NUMBER,
    RC_JSON_TRUE,
    RC_JSON_FALSE,
    RC_JSON_NULL,
};

enum rc_json_flags {
    RC_JSON_CHECK_UTF8 = 1, /* the text has not been checked yet (a WebSocket text message has) */
};

struct rc_json_value {
    struct rc_span raw; /* borrowed from the text: the value without white space around it */
    enum rc_json_type type;
    bool escaped; /* a string that contains at least one backslash */
};

struct rc_json_cursor {
    const uint8_t *begin; /* borrowed: the text */
    const uint8_t *at;
    const uint8_t *end;
    uint32_t flags; /* enum rc_json_flags */
    uint8_t closer; /* '}' or ']' */
    bool first;     /* true exactly until the first member or element was asked for */
    bool done;      /* true exactly when the end or an error has been reported */
    int error;      /* what was reported: 0, or the negative errno that every further call gives */
};

/* Validates text that is exactly one value and tells what and where it is. 0, or an error as above (`value` is then
 * unspecified). `*offset`, unless offset is NULL, becomes the index of the offending byte. */
int rc_json_scan(struct rc_span text, uint32_t flags, struct rc_json_value *value, size_t *offset);

/* Begin to walk text that is exactly one object or array. 0 or an error as above; after an error the cursor may still
 * be asked for rc_json_offset, and _next repeats the error. */
int rc_json_object_begin(struct rc_json_cursor *cursor, struct rc_span text, uint32_t flags);
int rc_json_array_begin(struct rc_json_cursor *cursor, struct rc_span text, uint32_t flags);

/* The next member or element, completely validated. 1: given; 0: the container has ended and only white space followed;
 * negative: error as above. `name` is a string value (with its quotes; compare with rc_json_string_is). */
int rc_json_object_next(struct rc_json_cursor *cursor, struct rc_json_value *name, struct rc_json_value *value);
int rc_json_array_next(struct rc_json_cursor *cursor, struct rc_json_value *value);

/* Index of the byte at which scanning stopped; after an error that of the offending byte (= the text's size where the
 * text is cut off). */
static inline size_t rc_json_offset(const struct rc_json_cursor *cursor)
{
    return (size_t)(cursor->at - cursor->begin);
}

/* The type of the value that text starts with after white space, by its first byte; RC_JSON_NONE when none can start
 * there. Validates nothing. */
enum rc_json_type rc_json_peek(struct rc_span text);

/* A string value's text. Without escapes `*out` is the span between the quotes; otherwise it is unescaped into
 * `scratch` (at most `bytes_max` bytes are written, none of them the value's own) and `*out` points there. 0; -EINVAL not a string; -EMSGSIZE
 * longer than bytes_max once decoded (also when no scratch is needed, so that bytes_max is the limit on the text);
 * -EILSEQ a lone surrogate. \u0000 decodes to a zero byte like any other. */
int rc_json_string_decode(const struct rc_json_value *value, uint8_t *scratch, size_t bytes_max, struct rc_span *out);

/* The same, but a lone surrogate is U+FFFD, as JavaScript's TextEncoder has it. */
int rc_json_string_repair(const struct rc_json_value *value, uint8_t *scratch, size_t bytes_max, struct rc_span *out);

/* The character of an escape that the scanner has let through, `*at` (behind the backslash) moved behind it. 0; -EILSEQ a
 * lone surrogate, which `*point` then is; -EINVAL no escape. */
int rc_json_unescape(const uint8_t **at, const uint8_t *end, uint32_t *point);

/* True when the string value, decoded, is exactly `text`, which must be shorter than 64 bytes. */
bool rc_json_string_is(const struct rc_json_value *value, struct rc_span text);

/* Size of `text` as a JSON string with its quotes. */
size_t rc_json_string_encoded_bytes(struct rc_span text);

/* Writes `text` (UTF-8; not checked again) as a JSON string with its quotes: only `"`, `\` and U+0000 to U+001F are
 * escaped. Returns the size written, which is rc_json_string_encoded_bytes(text), or 0, with nothing written, when that
 * exceeds `room`. */
size_t rc_json_string_encode(uint8_t *out, size_t room, struct rc_span text);

/* A number value written as a plain non-negative integer (no sign, fraction or exponent). 0; -EINVAL not one; -ERANGE
 * does not fit. */
int rc_json_uint64(const struct rc_json_value *value, uint64_t *out);

/* True when the bytes are well-formed UTF-8 (RFC 3629: shortest form, no surrogates, at most U+10FFFF). */
bool rc_json_utf8_valid(struct rc_span text);

#endif
