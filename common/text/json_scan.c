/*
 * json_scan: see json_scan.h. Bytes are looked at once; inside strings 16 at a time where the CPU has SSE2.
 */
#include "common/text/json_scan.h"

#include "common/base/check.h"
#include "common/text/utf8_char.h"

#include <assert.h>
#include <errno.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static_assert(RC_JSON_DEPTH_MAX <= 64, "the kinds of open containers are kept in the bits of a uint64_t");

/* The place in the text; a copy lives in registers, the cursor keeps it between calls. */
struct scan {
    const uint8_t *at;
    const uint8_t *end;
    bool check_utf8;
};

/* ---------------------------------------------------------------------------------------------------- characters */

static inline void skip_space(struct scan *scan)
{
    while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t')) {
        scan->at++;
    }
}

static inline bool next_is(const struct scan *scan, uint8_t byte)
{
    return scan->at < scan->end && *scan->at == byte;
}

static inline bool next_is_digit(const struct scan *scan)
{
    return scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9';
}

/* The first byte that a string cannot simply hold: quotation mark, backslash, control character, and with `high` any
 * byte from 0x80 on. `end` if there is none. */
static inline const uint8_t *plain_end(const uint8_t *at, const uint8_t *end, bool high)
{
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    const __m128i control = _mm_set1_epi8(0x1f);

    while (end - at >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i stop = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)),
                                    _mm_cmpeq_epi8(_mm_min_epu8(bytes, control), bytes));
        unsigned mask;

        if (high) {
            stop = _mm_or_si128(stop, bytes);
        }
        mask = (unsigned)_mm_movemask_epi8(stop);
        if (mask != 0) {
            return at + __builtin_ctz(mask);
        }
        at += 16;
    }
#endif
    while (at < end && *at != '"' && *at != '\\' && *at >= 0x20 && !(high && *at >= 0x80)) {
        at++;
    }
    return at;
}

/* Length of the well-formed UTF-8 sequence at `at`, 0 if there is none. */
static size_t utf8_sequence(const uint8_t *at, const uint8_t *end)
{
    uint32_t point;

    return rc_utf8_char(at, (size_t)(end - at), &point);
}

/* The value of four hexadecimal digits, or -1. */
static int hex4_read(const uint8_t *at, const uint8_t *end)
{
    int value = 0;

    if (end - at < 4) {
        return -1;
    }
    for (int index = 0; index < 4; index++) {
        int digit;

        if (at[index] >= '0' && at[index] <= '9') {
            digit = at[index] - '0';
        } else if ((at[index] | 0x20) >= 'a' && (at[index] | 0x20) <= 'f') {
            digit = (at[index] | 0x20) - 'a' + 10;
        } else {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

/* -------------------------------------------------------------------------------------------------------- values */

/* After a backslash. */
static int skip_escape(struct scan *scan)
{
    if (scan->at == scan->end) {
        return -EBADMSG;
    }
    switch (*scan->at) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        scan->at++;
        return 0;
    case 'u':
        if (hex4_read(scan->at + 1, scan->end) < 0) {
            return -EBADMSG;
        }
        scan->at += 5;
        return 0;
    default:
        return -EBADMSG;
    }
}

/* At the opening quotation mark. */
static int skip_string(struct scan *scan, bool *escaped)
{
    scan->at++;
    for (;;) {
        scan->at = plain_end(scan->at, scan->end, scan->check_utf8);
        if (scan->at == scan->end) {
            return -EBADMSG;
        }
        if (*scan->at == '"') {
            scan->at++;
            return 0;
        }
        if (*scan->at == '\\') {
            scan->at++;
            *escaped = true;
            if (skip_escape(scan) < 0) {
                return -EBADMSG;
            }
        } else if (*scan->at >= 0x80) {
            size_t bytes = utf8_sequence(scan->at, scan->end);

            if (bytes == 0) {
                return -EILSEQ;
            }
            scan->at += bytes;
        } else {
            return -EBADMSG;
        }
    }
}

static int skip_digits(struct scan *scan)
{
    if (!next_is_digit(scan)) {
        return -EBADMSG;
    }
    while (next_is_digit(scan)) {
        scan->at++;
    }
    return 0;
}

/* RFC 8259 section 6, at the sign or first digit. */
static int skip_number(struct scan *scan)
{
    if (next_is(scan, '-')) {
        scan->at++;
    }
    if (next_is(scan, '0')) {
        scan->at++;
    } else if (skip_digits(scan) < 0) {
        return -EBADMSG;
    }
    if (next_is(scan, '.')) {
        scan->at++;
        if (skip_digits(scan) < 0) {
            return -EBADMSG;
        }
    }
    if (next_is(scan, 'e') || next_is(scan, 'E')) {
        scan->at++;
        if (next_is(scan, '+') || next_is(scan, '-')) {
            scan->at++;
        }
        if (skip_digits(scan) < 0) {
            return -EBADMSG;
        }
    }
    return 0;
}

static int skip_word(struct scan *scan, const char *word)
{
    for (; *word != '\0'; word++) {
        if (!next_is(scan, (uint8_t)*word)) {
            return -EBADMSG;
        }
        scan->at++;
    }
    return 0;
}

static enum rc_json_type type_of(uint8_t first)
{
    switch (first) {
    case '{':
        return RC_JSON_OBJECT;
    case '[':
        return RC_JSON_ARRAY;
    case '"':
        return RC_JSON_STRING;
    case 't':
        return RC_JSON_TRUE;
    case 'f':
        return RC_JSON_FALSE;
    case 'n':
        return RC_JSON_NULL;
    default:
        return first == '-' || (first >= '0' && first <= '9') ? RC_JSON_NUMBER : RC_JSON_NONE;
    }
}

/* Anything that is not a container, at its first byte. */
static int skip_scalar(struct scan *scan, enum rc_json_type type, bool *escaped)
{
    switch (type) {
    case RC_JSON_STRING:
        return skip_string(scan, escaped);
    case RC_JSON_NUMBER:
        return skip_number(scan);
    case RC_JSON_TRUE:
        return skip_word(scan, "true");
    case RC_JSON_FALSE:
        return skip_word(scan, "false");
    case RC_JSON_NULL:
        return skip_word(scan, "null");
    default:
        return -EBADMSG;
    }
}

/* A member's name and its colon, up to the value. */
static int skip_name(struct scan *scan, bool *escaped)
{
    int rc;

    if (!next_is(scan, '"')) {
        return -EBADMSG;
    }
    rc = skip_string(scan, escaped);
    if (rc < 0) {
        return rc;
    }
    skip_space(scan);
    if (!next_is(scan, ':')) {
        return -EBADMSG;
    }
    scan->at++;
    skip_space(scan);
    return 0;
}

/* A container at its opening bracket, to its closing one. Bit 0 of `kinds` tells whether the innermost open container
 * is an object, bit 1 the one around it, and so on; no recursion, so hostile nesting costs no stack. */
static int skip_container(struct scan *scan, unsigned depth_max)
{
    uint64_t kinds = 0;
    unsigned depth = 0;
    bool escaped; /* of strings inside: nobody asks */
    int rc;

    for (;;) {
        enum rc_json_type type = scan->at < scan->end ? type_of(*scan->at) : RC_JSON_NONE;
        bool opened = type == RC_JSON_OBJECT || type == RC_JSON_ARRAY;

        if (opened) {
            if (depth == depth_max) {
                return -EOVERFLOW;
            }
            kinds = kinds << 1 | (type == RC_JSON_OBJECT);
            depth++;
            scan->at++;
        } else {
            rc = skip_scalar(scan, type, &escaped);
            if (rc < 0) {
                return rc;
            }
        }
        skip_space(scan);
        while (next_is(scan, (kinds & 1) != 0 ? '}' : ']')) {
            scan->at++;
            kinds >>= 1;
            if (--depth == 0) {
                return 0;
            }
            opened = false;
            skip_space(scan);
        }
        if (!opened) { /* right after an opening bracket the first element needs no comma */
            if (!next_is(scan, ',')) {
                return -EBADMSG;
            }
            scan->at++;
            skip_space(scan);
        }
        if ((kinds & 1) != 0) {
            rc = skip_name(scan, &escaped);
            if (rc < 0) {
                return rc;
            }
        }
    }
}

/* One value at its first byte. */
static int skip_value(struct scan *scan, unsigned depth_max, struct rc_json_value *value)
{
    const uint8_t *begin = scan->at;
    int rc;

    value->type = scan->at < scan->end ? type_of(*scan->at) : RC_JSON_NONE;
    value->escaped = false;
    if (value->type == RC_JSON_OBJECT || value->type == RC_JSON_ARRAY) {
        rc = skip_container(scan, depth_max);
    } else {
        rc = skip_scalar(scan, value->type, &value->escaped);
    }
    value->raw = rc_span_of(begin, (size_t)(scan->at - begin));
    return rc;
}

int rc_json_scan(struct rc_span text, uint32_t flags, struct rc_json_value *value, size_t *offset)
{
    static const uint8_t nothing[1]; /* so that pointers can be compared when the text is {NULL, 0} */
    const uint8_t *begin = text.count != 0 ? text.bytes : nothing;
    struct scan scan = {.at = begin, .end = begin + text.count, .check_utf8 = (flags & RC_JSON_CHECK_UTF8) != 0};
    int rc;

    skip_space(&scan);
    rc = skip_value(&scan, RC_JSON_DEPTH_MAX, value);
    if (rc == 0) {
        skip_space(&scan);
        if (scan.at != scan.end) {
            rc = -EBADMSG;
        }
    }
    if (offset != NULL) {
        *offset = (size_t)(scan.at - begin);
    }
    return rc;
}

/* ------------------------------------------------------------------------------------------------------- cursors */

static inline struct scan cursor_scan(const struct rc_json_cursor *cursor)
{
    return (struct scan){.at = cursor->at, .end = cursor->end, .check_utf8 = (cursor->flags & RC_JSON_CHECK_UTF8) != 0};
}

/* Keeps the place; anything but 1 (another one was given) is the cursor's last word. */
static inline int cursor_keep(struct rc_json_cursor *cursor, const struct scan *scan, int result)
{
    cursor->at = scan->at;
    if (result != 1) {
        cursor->done = true;
        cursor->error = result;
    }
    return result;
}

static int cursor_begin(struct rc_json_cursor *cursor, struct rc_span text, uint32_t flags, uint8_t opener)
{
    static const uint8_t nothing[1];
    struct scan scan;

    cursor->begin = text.count != 0 ? text.bytes : nothing;
    cursor->at = cursor->begin;
    cursor->end = cursor->begin + text.count;
    cursor->flags = flags;
    cursor->closer = opener == '{' ? '}' : ']';
    cursor->first = true;
    cursor->done = false;
    cursor->error = 0;

    scan = cursor_scan(cursor);
    skip_space(&scan);
    if (!next_is(&scan, opener)) {
        return cursor_keep(cursor, &scan, -EBADMSG);
    }
    scan.at++;
    cursor->at = scan.at;
    return 0;
}

int rc_json_object_begin(struct rc_json_cursor *cursor, struct rc_span text, uint32_t flags)
{
    return cursor_begin(cursor, text, flags, '{');
}

int rc_json_array_begin(struct rc_json_cursor *cursor, struct rc_span text, uint32_t flags)
{
    return cursor_begin(cursor, text, flags, '[');
}

/* Steps over the comma or the closing bracket. 1: a member or element must follow; 0: closed, and nothing follows. */
static int skip_separator(struct rc_json_cursor *cursor, struct scan *scan)
{
    skip_space(scan);
    if (next_is(scan, cursor->closer)) {
        scan->at++;
        skip_space(scan);
        return scan->at == scan->end ? 0 : -EBADMSG;
    }
    if (cursor->first) {
        cursor->first = false;
        return 1;
    }
    if (!next_is(scan, ',')) {
        return -EBADMSG;
    }
    scan->at++;
    skip_space(scan);
    return 1;
}

/* The scan stands at the next member or element. 1; else what the walk returns: there is none. */
static inline int cursor_next(struct rc_json_cursor *cursor, struct scan *scan)
{
    *scan = cursor_scan(cursor);
    if (cursor->done) {
        return cursor->error;
    }
    const int rc = skip_separator(cursor, scan);
    return rc == 1 ? 1 : cursor_keep(cursor, scan, rc);
}

int rc_json_object_next(struct rc_json_cursor *cursor, struct rc_json_value *name, struct rc_json_value *value)
{
    struct scan scan;
    const uint8_t *begin;
    int rc = cursor_next(cursor, &scan);

    if (rc != 1) {
        return rc;
    }
    begin = scan.at;
    name->type = RC_JSON_STRING;
    name->escaped = false;
    if (!next_is(&scan, '"')) {
        return cursor_keep(cursor, &scan, -EBADMSG);
    }
    rc = skip_string(&scan, &name->escaped);
    if (rc < 0) {
        return cursor_keep(cursor, &scan, rc);
    }
    name->raw = rc_span_of(begin, (size_t)(scan.at - begin));

    skip_space(&scan);
    if (!next_is(&scan, ':')) {
        return cursor_keep(cursor, &scan, -EBADMSG);
    }
    scan.at++;
    skip_space(&scan);
    rc = skip_value(&scan, RC_JSON_DEPTH_MAX - 1, value);
    return cursor_keep(cursor, &scan, rc < 0 ? rc : 1);
}

int rc_json_array_next(struct rc_json_cursor *cursor, struct rc_json_value *value)
{
    struct scan scan;
    int rc = cursor_next(cursor, &scan);

    if (rc != 1) {
        return rc;
    }
    rc = skip_value(&scan, RC_JSON_DEPTH_MAX - 1, value);
    return cursor_keep(cursor, &scan, rc < 0 ? rc : 1);
}

enum rc_json_type rc_json_peek(struct rc_span text)
{
    for (size_t index = 0; index < text.count; index++) {
        uint8_t byte = text.bytes[index];

        if (byte != ' ' && byte != '\n' && byte != '\r' && byte != '\t') {
            return type_of(byte);
        }
    }
    return RC_JSON_NONE;
}

/* ------------------------------------------------------------------------------------------- strings and numbers */

/* Writes one code point, at most four bytes, if it fits. Returns its size or 0. */
static size_t put_utf8(uint8_t *out, size_t room, uint32_t point)
{
    if (point < 0x80 && room >= 1) {
        out[0] = (uint8_t)point;
        return 1;
    }
    if (point >= 0x80 && point < 0x800 && room >= 2) {
        out[0] = (uint8_t)(0xc0 | point >> 6);
        out[1] = (uint8_t)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point >= 0x800 && point < 0x10000 && room >= 3) {
        out[0] = (uint8_t)(0xe0 | point >> 12);
        out[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (point & 0x3f));
        return 3;
    }
    if (point >= 0x10000 && room >= 4) {
        out[0] = (uint8_t)(0xf0 | point >> 18);
        out[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
        out[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        out[3] = (uint8_t)(0x80 | (point & 0x3f));
        return 4;
    }
    return 0;
}

/* The code point of a \u escape at its 'u', `*at` moved behind it and behind the low surrogate that belongs to it. */
static int unescape_unicode(const uint8_t **at, const uint8_t *end, uint32_t *point)
{
    int unit = hex4_read(*at + 1, end);

    if (unit < 0) {
        return -EINVAL;
    }
    *at += 5;
    *point = (uint32_t)unit;
    if (unit >= 0xdc00 && unit <= 0xdfff) {
        return -EILSEQ;
    }
    if (unit >= 0xd800 && unit <= 0xdbff) {
        int low = end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u' ? hex4_read(*at + 2, end) : -1;

        if (low < 0xdc00 || low > 0xdfff) {
            return -EILSEQ;
        }
        *at += 6;
        *point = 0x10000 + ((uint32_t)(unit - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
    }
    return 0;
}

int rc_json_unescape(const uint8_t **at, const uint8_t *end, uint32_t *point)
{
    if (*at == end) {
        return -EINVAL;
    }
    switch (**at) {
    case 'u':
        return unescape_unicode(at, end, point);
    case 'b':
        *point = '\b';
        break;
    case 'f':
        *point = '\f';
        break;
    case 'n':
        *point = '\n';
        break;
    case 'r':
        *point = '\r';
        break;
    case 't':
        *point = '\t';
        break;
    default: /* the scanner has let only '"', '\' and '/' through */
        *point = **at;
        break;
    }
    (*at)++;
    return 0;
}

/* `repair`: a surrogate without its other half is U+FFFD. */
static int string_decode(const struct rc_json_value *value, bool repair, uint8_t *scratch, size_t bytes_max,
                         struct rc_span *out)
{
    const uint8_t *at, *end;
    size_t count = 0;

    if (value->type != RC_JSON_STRING || value->raw.count < 2) {
        return -EINVAL;
    }
    at = value->raw.bytes + 1;
    end = value->raw.bytes + value->raw.count - 1;
    if (!value->escaped) {
        if ((size_t)(end - at) > bytes_max) {
            return -EMSGSIZE;
        }
        *out = rc_span_of(at, (size_t)(end - at));
        return 0;
    }
    while (at < end) {
        const uint8_t *backslash = memchr(at, '\\', (size_t)(end - at));
        size_t plain = (size_t)((backslash != NULL ? backslash : end) - at);
        uint32_t point = 0;
        size_t wrote;
        int rc;

        if (plain > bytes_max - count) {
            return -EMSGSIZE;
        }
        memcpy(scratch + count, at, plain);
        count += plain;
        at += plain;
        if (backslash == NULL) {
            break;
        }
        at++;
        rc = rc_json_unescape(&at, end, &point);
        if (rc == -EILSEQ && repair) { /* taken, as one unit */
            point = 0xfffd;
        } else if (rc < 0) {
            return rc;
        }
        wrote = put_utf8(scratch + count, bytes_max - count, point);
        if (wrote == 0) {
            return -EMSGSIZE;
        }
        count += wrote;
    }
    *out = rc_span_of(scratch, count);
    return 0;
}

int rc_json_string_decode(const struct rc_json_value *value, uint8_t *scratch, size_t bytes_max, struct rc_span *out)
{
    return string_decode(value, false, scratch, bytes_max, out);
}

int rc_json_string_repair(const struct rc_json_value *value, uint8_t *scratch, size_t bytes_max, struct rc_span *out)
{
    return string_decode(value, true, scratch, bytes_max, out);
}

bool rc_json_string_is(const struct rc_json_value *value, struct rc_span text)
{
    uint8_t scratch[64];
    struct rc_span decoded;

    RC_ASSERT_HOT(text.count < sizeof(scratch));
    if (!value->escaped) {
        return value->type == RC_JSON_STRING && value->raw.count == text.count + 2 &&
               (text.count == 0 || memcmp(value->raw.bytes + 1, text.bytes, text.count) == 0);
    }
    return rc_json_string_decode(value, scratch, sizeof(scratch), &decoded) == 0 && rc_span_equal(decoded, text);
}

/* The letter of a two-character escape, or 0 when the byte has none and needs \u00XX. */
static uint8_t short_escape(uint8_t byte)
{
    switch (byte) {
    case '"':
    case '\\':
        return byte;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

size_t rc_json_string_encoded_bytes(struct rc_span text)
{
    const uint8_t *at = text.bytes;
    const uint8_t *end = text.count != 0 ? text.bytes + text.count : at;
    size_t count = text.count + 2;

    while (at < end && (at = plain_end(at, end, false)) < end) {
        count += short_escape(*at) != 0 ? 1 : 5;
        at++;
    }
    return count;
}

size_t rc_json_string_encode(uint8_t *out, size_t room, struct rc_span text)
{
    static const uint8_t digits[16] = "0123456789abcdef";
    const uint8_t *at = text.bytes;
    const uint8_t *end = text.count != 0 ? text.bytes + text.count : at;
    uint8_t *begin = out;

    if (room < RC_JSON_STRING_BYTES_MAX(text.count) && room < rc_json_string_encoded_bytes(text)) {
        return 0;
    }
    *out++ = '"';
    while (at < end) {
        const uint8_t *stop = plain_end(at, end, false);
        uint8_t letter;

        memcpy(out, at, (size_t)(stop - at));
        out += stop - at;
        at = stop;
        if (at == end) {
            break;
        }
        letter = short_escape(*at);
        *out++ = '\\';
        if (letter != 0) {
            *out++ = letter;
        } else {
            memcpy(out, "u00", 3);
            out[3] = digits[*at >> 4];
            out[4] = digits[*at & 15];
            out += 5;
        }
        at++;
    }
    *out++ = '"';
    return (size_t)(out - begin);
}

int rc_json_uint64(const struct rc_json_value *value, uint64_t *out)
{
    uint64_t number = 0;

    if (value->type != RC_JSON_NUMBER) {
        return -EINVAL;
    }
    for (size_t index = 0; index < value->raw.count; index++) {
        uint8_t byte = value->raw.bytes[index];

        if (byte < '0' || byte > '9') {
            return -EINVAL;
        }
        if (__builtin_mul_overflow(number, (uint64_t)10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(byte - '0'), &number)) {
            return -ERANGE;
        }
    }
    *out = number;
    return 0;
}

bool rc_json_utf8_valid(struct rc_span text)
{
    const uint8_t *at = text.bytes;
    const uint8_t *end = text.count != 0 ? text.bytes + text.count : at;

    while (at < end) {
        size_t bytes;

        if (end - at >= 8) {
            uint64_t word;

            memcpy(&word, at, sizeof(word));
            if ((word & 0x8080808080808080U) == 0) {
                at += 8;
                continue;
            }
        }
        bytes = utf8_sequence(at, end);
        if (bytes == 0) {
            return false;
        }
        at += bytes;
    }
    return true;
}
