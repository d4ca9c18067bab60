/*
 * utf8_char: one character of UTF-8 at a time, for short texts (names, log values). Streams have worker/ws/utf8.
 *
 * Pure; any process may call; nothing fails.
 */
#ifndef RC_COMMON_TEXT_UTF8_CHAR_H
#define RC_COMMON_TEXT_UTF8_CHAR_H

#include <stddef.h>
#include <stdint.h>

/* Bytes (1 to 4) of the well-formed character at the start of `bytes` (RFC 3629: no overlong forms, no surrogates, at
 * most U+10FFFF) with its code point in *code; 0 when `count` is 0 or the bytes are not well-formed. */
static inline size_t rc_utf8_char(const uint8_t *bytes, size_t count, uint32_t *code)
{
    if (count == 0) {
        return 0;
    }
    const uint32_t first = bytes[0];
    if (first < 0x80) {
        *code = first;
        return 1;
    }
    size_t length;
    uint32_t value;
    uint32_t least;
    if (first >= 0xc2 && first <= 0xdf) {
        length = 2;
        value = first & 0x1f;
        least = 0x80;
    } else if ((first & 0xf0) == 0xe0) {
        length = 3;
        value = first & 0x0f;
        least = 0x800;
    } else if (first >= 0xf0 && first <= 0xf4) {
        length = 4;
        value = first & 0x07;
        least = 0x10000;
    } else {
        return 0;
    }
    if (count < length) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return 0;
        }
        value = value << 6 | (bytes[i] & 0x3fu);
    }
    if (value < least || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) {
        return 0;
    }
    *code = value;
    return length;
}

#endif
