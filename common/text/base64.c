/* base64: see base64.h. */
#include "common/text/base64.h"

#include <errno.h>
#include <stdbool.h>

/* What stands for 62 and 63. */
static const char standard[] = "+/";
static const char url_safe[] = "-_";

/* -1: not of the alphabet. */
static int base64_value(uint8_t character, const char *last)
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
    return character == (uint8_t)last[0] ? 62 : character == (uint8_t)last[1] ? 63 : -1;
}

/* `strict`: bits behind the last byte must be 0. */
static int64_t text_decode(uint8_t *out, const uint8_t *text, size_t count, const char *last, bool strict)
{
    static const uint32_t behind[4] = {0, 0, 0xf, 0x3};
    if (count % 4 == 1) {
        return -EBADMSG;
    }
    size_t bytes = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        const int value = base64_value(text[i], last);
        if (value < 0) {
            return -EBADMSG;
        }
        bits = bits << 6 | (uint32_t)value;
        switch (i % 4) {
        case 1:
            out[bytes++] = (uint8_t)(bits >> 4);
            break;
        case 2:
            out[bytes++] = (uint8_t)(bits >> 2);
            break;
        case 3:
            out[bytes++] = (uint8_t)bits;
            break;
        default:
            break;
        }
    }
    return strict && (bits & behind[count % 4]) != 0 ? -EBADMSG : (int64_t)bytes;
}

int64_t rc_base64_decode(uint8_t *out, const uint8_t *text, size_t count)
{
    if (count > 0 && count % 4 == 0 && text[count - 1] == '=') {
        count -= text[count - 2] == '=' ? 2 : 1;
    }
    return text_decode(out, text, count, standard, false);
}

int64_t rc_base64url_decode(uint8_t *out, const uint8_t *text, size_t count)
{
    return text_decode(out, text, count, url_safe, true);
}

size_t rc_base64url_encode(char *out, const uint8_t *bytes, size_t count)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t at = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        bits = bits << 8 | bytes[i];
        out[at++] = alphabet[bits >> (2 + 2 * (i % 3)) & 0x3f];
        if (i % 3 == 2) {
            out[at++] = alphabet[bits & 0x3f];
        }
    }
    if (count % 3 != 0) {
        out[at++] = alphabet[bits << (count % 3 == 1 ? 4 : 2) & 0x3f];
    }
    return at;
}
