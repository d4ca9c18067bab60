/* base64: see base64.h. */
#include "common/text/base64.h"

#include <errno.h>
#include <stdbool.h>

/* The characters of 0 to 61 are the same in both. */
static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* -1: not of the alphabet. */
static int base64_value(uint8_t character, const char *alphabet)
{
    if (character >= 'A' && character <= 'Z') {
        return character - 'A';
    }
    if (character >= 'a' && character <= 'z') {
        return character - 'a' + 26;
    }
    if (character >= '0' && character <= '9') {
        return character - '0' + 52;
    }
    return character == (uint8_t)alphabet[62] ? 62 : character == (uint8_t)alphabet[63] ? 63 : -1;
}

char rc_base64url_character(uint32_t bits)
{
    return url_safe[bits & 63u];
}

int rc_base64url_value(uint8_t character)
{
    return base64_value(character, url_safe);
}

/* Characters of six bits each, and the bytes that they make. */
struct base64_digits {
    uint8_t *out;
    size_t bytes;
    size_t count;
    uint32_t bits;
};

static void base64_take(struct base64_digits *digits, int value)
{
    digits->bits = digits->bits << 6 | (uint32_t)value;
    switch (digits->count++ % 4) {
    case 1:
        digits->out[digits->bytes++] = (uint8_t)(digits->bits >> 4);
        break;
    case 2:
        digits->out[digits->bytes++] = (uint8_t)(digits->bits >> 2);
        break;
    case 3:
        digits->out[digits->bytes++] = (uint8_t)digits->bits;
        break;
    default:
        break;
    }
}

/* Bits behind the last byte must be 0. */
static int64_t base64_decode_exact(uint8_t *out, const uint8_t *text, size_t count, const char *alphabet)
{
    static const uint32_t behind[4] = {0, 0, 0xf, 0x3};
    struct base64_digits digits = {.out = out};
    for (size_t i = 0; i < count; i++) {
        const int value = base64_value(text[i], alphabet);
        if (value < 0) {
            return -EBADMSG;
        }
        base64_take(&digits, value);
    }
    return count % 4 == 1 || (digits.bits & behind[count % 4]) != 0 ? -EBADMSG : (int64_t)digits.bytes;
}

/* Without the padding at its end. */
static size_t base64_unpadded(const uint8_t *text, size_t count)
{
    if (count > 0 && count % 4 == 0 && text[count - 1] == '=') {
        count -= text[count - 2] == '=' ? 2 : 1;
    }
    return count;
}

int64_t rc_base64_decode(uint8_t *out, const uint8_t *text, size_t count)
{
    struct base64_digits digits = {.out = out};
    size_t padding = 0;
    for (size_t i = 0; i < count; i++) {
        const int value = base64_value(text[i], standard);
        if (value >= 0 && padding == 0) {
            base64_take(&digits, value);
        } else if (text[i] == '=') {
            padding++;
        } else if (text[i] != '\n' && text[i] != '\r') {
            return -EBADMSG;
        }
    }
    const bool whole = padding == 0 || (padding <= 2 && (digits.count + padding) % 4 == 0);
    return digits.count % 4 == 1 || !whole ? -EBADMSG : (int64_t)digits.bytes;
}

int64_t rc_base64_decode_strict(uint8_t *out, const uint8_t *text, size_t count)
{
    return count % 4 != 0 ? -EBADMSG : base64_decode_exact(out, text, base64_unpadded(text, count), standard);
}

/* Backwards, as it grows. */
size_t rc_base64_encode(uint8_t *to, const uint8_t *bytes, size_t count)
{
    const size_t groups = (count + 2) / 3;
    for (size_t i = groups; i-- > 0;) {
        const size_t left = count - 3 * i;
        const uint32_t bits = (uint32_t)bytes[3 * i] << 16 | (left > 1 ? (uint32_t)bytes[3 * i + 1] << 8 : 0u) |
                              (left > 2 ? bytes[3 * i + 2] : 0u);
        to[4 * i + 3] = left > 2 ? (uint8_t)standard[bits & 63] : '=';
        to[4 * i + 2] = left > 1 ? (uint8_t)standard[bits >> 6 & 63] : '=';
        to[4 * i + 1] = (uint8_t)standard[bits >> 12 & 63];
        to[4 * i] = (uint8_t)standard[bits >> 18];
    }
    return RC_BASE64_BYTES(count);
}

int64_t rc_base64url_decode(uint8_t *out, const uint8_t *text, size_t count)
{
    return base64_decode_exact(out, text, count, url_safe);
}

size_t rc_base64url_encode(char *out, const uint8_t *bytes, size_t count)
{
    size_t at = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        bits = bits << 8 | bytes[i];
        out[at++] = rc_base64url_character(bits >> (2 + 2 * (i % 3)));
        if (i % 3 == 2) {
            out[at++] = rc_base64url_character(bits);
        }
    }
    if (count % 3 != 0) {
        out[at++] = rc_base64url_character(bits << (count % 3 == 1 ? 4 : 2));
    }
    return at;
}
