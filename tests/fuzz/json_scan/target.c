/*
 * json_scan: any text, against jansson: both must agree on what is JSON, and find the same values in it. Also the
 * scanner against itself: walking finds what scanning finds, strings survive decoding and encoding, checking UTF-8 or
 * not makes no other difference.
 *
 * Where jansson is known to differ: it refuses lone surrogates (we pass them on, and refuse to decode them), numbers
 * too big for a double, and zero bytes in names; it allows more depth, and overlooks a zero byte behind a number.
 */
#include "common/base/check.h"
#include "common/text/json_scan.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct rc_span span, struct rc_span area)
{
    return span.count == 0 || (span.bytes >= area.bytes && span.bytes + span.count <= area.bytes + area.count);
}

/* Walks the outermost container. The result of the walk, and where it ended. */
static int walk(struct rc_span text, uint32_t flags, size_t *offset)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name, value;
    bool array = rc_json_peek(text) == RC_JSON_ARRAY;
    int got = array ? rc_json_array_begin(&cursor, text, flags) : rc_json_object_begin(&cursor, text, flags);

    while (got >= 0 &&
           (got = array ? rc_json_array_next(&cursor, &value) : rc_json_object_next(&cursor, &name, &value)) == 1) {
        RC_ASSERT(inside(value.raw, text) && value.raw.count != 0);
        RC_ASSERT(array || (inside(name.raw, text) && name.raw.count >= 2));
    }
    *offset = rc_json_offset(&cursor);
    return got;
}

/* Decodes a string, and if that can be done encodes it and decodes it again. The length or a negative errno. */
static int decode(const struct rc_json_value *value, uint8_t *scratch)
{
    size_t room = RC_JSON_STRING_BYTES_MAX(value->raw.count);
    uint8_t *encoded = malloc(room), *again = malloc(value->raw.count);
    struct rc_json_value second;
    struct rc_span text, text_again;
    int result = rc_json_string_decode(value, scratch, value->raw.count, &text);

    RC_ASSERT(encoded != NULL && again != NULL);
    if (result == 0) {
        struct rc_span out = rc_span_of(encoded, rc_json_string_encode(encoded, room, text));

        RC_ASSERT(out.count == rc_json_string_encoded_bytes(text));
        RC_ASSERT(rc_json_string_encode(encoded, out.count - 1, text) == 0);
        RC_ASSERT(rc_json_scan(out, 0, &second, NULL) == 0 && second.raw.count == out.count);
        RC_ASSERT(rc_json_string_decode(&second, again, value->raw.count, &text_again) == 0);
        RC_ASSERT(rc_span_equal(text, text_again));
        RC_ASSERT(text.count == 0 || rc_json_string_decode(value, again, text.count - 1, &text_again) == -EMSGSIZE);
        if (text.bytes != scratch && text.count != 0) {
            memcpy(scratch, text.bytes, text.count);
        }
        result = (int)text.count;
    }
    free(encoded);
    free(again);
    return result;
}

/* The same value as jansson read. `scratch` holds any string of the text. */
static void compare(const struct rc_json_value *value, json_t *other, uint8_t *scratch)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name, member;
    size_t count = 0;
    uint64_t number;

    switch (value->type) {
    case RC_JSON_OBJECT:
        RC_ASSERT(json_is_object(other));
        RC_ASSERT(rc_json_object_begin(&cursor, value->raw, 0) == 0);
        while (rc_json_object_next(&cursor, &name, &member) == 1) {
            int length = decode(&name, scratch);

            RC_ASSERT(length >= 0);
            scratch[length] = '\0';
            compare(&member, json_object_get(other, (const char *)scratch), scratch);
            count++;
        }
        RC_ASSERT(count == json_object_size(other));
        break;
    case RC_JSON_ARRAY:
        RC_ASSERT(json_is_array(other));
        RC_ASSERT(rc_json_array_begin(&cursor, value->raw, 0) == 0);
        while (rc_json_array_next(&cursor, &member) == 1) {
            compare(&member, json_array_get(other, count++), scratch);
        }
        RC_ASSERT(count == json_array_size(other));
        break;
    case RC_JSON_STRING:
        RC_ASSERT(json_is_string(other));
        RC_ASSERT(decode(value, scratch) == (int)json_string_length(other));
        RC_ASSERT(memcmp(scratch, json_string_value(other), json_string_length(other)) == 0);
        break;
    case RC_JSON_NUMBER:
        RC_ASSERT(json_is_number(other));
        if (json_is_integer(other) && rc_json_uint64(value, &number) == 0) {
            RC_ASSERT(number == (uint64_t)json_integer_value(other));
        }
        break;
    case RC_JSON_TRUE:
        RC_ASSERT(json_is_true(other));
        break;
    case RC_JSON_FALSE:
        RC_ASSERT(json_is_false(other));
        break;
    case RC_JSON_NULL:
        RC_ASSERT(json_is_null(other));
        break;
    case RC_JSON_NONE:
        RC_ASSERT(false);
        break;
    }
}

static bool may_hold_surrogate(struct rc_span text)
{
    for (size_t index = 0; index + 2 < text.count; index++) {
        if (text.bytes[index] == '\\' && text.bytes[index + 1] == 'u' && (text.bytes[index + 2] | 0x20) == 'd') {
            return true;
        }
    }
    return false;
}

static void compare_with_jansson(struct rc_span text, int result, const struct rc_json_value *value)
{
    size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES;
    json_error_t error;
    json_t *other;
    uint8_t *scratch;

    if (result == -EOVERFLOW) {
        return;
    }
    if (text.count != 0 && memchr(text.bytes, '\0', text.count) != NULL) {
        RC_ASSERT(result < 0);
        return;
    }
    other = json_loadb((const char *)text.bytes, text.count, flags, &error);
    if (other == NULL && result == 0) {
        enum json_error_code code = json_error_code(&error);

        RC_ASSERT(code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
                  code == json_error_duplicate_key || may_hold_surrogate(text));
        return;
    }
    RC_ASSERT((other != NULL) == (result == 0));
    if (other == NULL) {
        return;
    }
    scratch = malloc(text.count + 1);
    RC_ASSERT(scratch != NULL);
    compare(value, other, scratch);
    free(scratch);
    json_decref(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rc_span text = rc_span_of(data, size);
    enum rc_json_type type = rc_json_peek(text);
    bool utf8 = rc_json_utf8_valid(text);
    struct rc_json_value value;
    size_t offset, walk_offset;
    int unchecked = rc_json_scan(text, 0, &value, &offset);
    int checked;

    RC_ASSERT(offset <= size && (unchecked < 0 || (inside(value.raw, text) && value.type == type)));
    if (type == RC_JSON_ARRAY || type == RC_JSON_OBJECT) {
        RC_ASSERT(walk(text, 0, &walk_offset) == unchecked && walk_offset == offset);
    } else {
        RC_ASSERT(walk(text, 0, &walk_offset) < 0);
    }

    checked = rc_json_scan(text, RC_JSON_CHECK_UTF8, &value, &offset);
    RC_ASSERT(offset <= size);
    if (type == RC_JSON_ARRAY || type == RC_JSON_OBJECT) {
        RC_ASSERT(walk(text, RC_JSON_CHECK_UTF8, &walk_offset) == checked && walk_offset == offset);
    }
    RC_ASSERT(utf8 ? checked == unchecked : checked < 0);
    RC_ASSERT(unchecked == 0 || checked < 0);
    compare_with_jansson(text, checked, &value);
    return 0;
}
