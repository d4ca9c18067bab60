/*
 * json_chars: the characters of a JSON string, one after the other, escapes decoded.
 *
 * For text that a scanner (json_scan.h) has let through and that is UTF-8. Nothing is copied, so that a string may have any length.
 * A surrogate without its other half comes as itself: JavaScript has it for one character, too. Pure; any process may call.
 */
#ifndef RC_COMMON_TEXT_JSON_CHARS_H
#define RC_COMMON_TEXT_JSON_CHARS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/text/json_scan.h"
#include "common/text/utf8_char.h"

struct rc_json_chars {
    const uint8_t *at; /* borrowed */
    const uint8_t *end;
};

/* Those of a string value. */
static inline struct rc_json_chars rc_json_chars_of(const struct rc_json_value *value)
{
    return (struct rc_json_chars){.at = value->raw.bytes + 1, .end = value->raw.bytes + value->raw.count - 1};
}

/* False at the end. */
static inline bool rc_json_chars_next(struct rc_json_chars *chars, uint32_t *point)
{
    if (chars->at == chars->end) {
        return false;
    }
    if (*chars->at == '\\') {
        chars->at++;
        *point = 0xfffd; /* of an escape that is none */
        (void)rc_json_unescape(&chars->at, chars->end, point);
        return true;
    }
    const size_t bytes = rc_utf8_char(chars->at, (size_t)(chars->end - chars->at), point);
    if (bytes == 0) {
        *point = 0xfffd;
    }
    chars->at += bytes > 0 ? bytes : 1;
    return true;
}

#endif
