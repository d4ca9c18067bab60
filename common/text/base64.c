/* base64: see base64.h. */
#include "common/text/base64.h"

#include <errno.h>

/* -1: not of the alphabet. */
static int base64_value(uint8_t character)
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
    return character == '+' ? 62 : character == '/' ? 63 : -1;
}

int64_t rc_base64_decode(uint8_t *out, const uint8_t *text, size_t count)
{
    if (count > 0 && count % 4 == 0 && text[count - 1] == '=') {
        count -= text[count - 2] == '=' ? 2 : 1;
    }
    if (count % 4 == 1) {
        return -EBADMSG;
    }
    size_t bytes = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        const int value = base64_value(text[i]);
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
    return (int64_t)bytes;
}

/* Backwards, as it grows. */
size_t rc_base64_write(uint8_t *to, const uint8_t *from, size_t count)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t groups = (count + 2) / 3;
    for (size_t i = groups; i-- > 0;) {
        const size_t left = count - 3 * i;
        const uint32_t bits = (uint32_t)from[3 * i] << 16 | (left > 1 ? (uint32_t)from[3 * i + 1] << 8 : 0u) |
                              (left > 2 ? from[3 * i + 2] : 0u);
        to[4 * i + 3] = left > 2 ? (uint8_t)alphabet[bits & 63] : '=';
        to[4 * i + 2] = left > 1 ? (uint8_t)alphabet[bits >> 6 & 63] : '=';
        to[4 * i + 1] = (uint8_t)alphabet[bits >> 12 & 63];
        to[4 * i] = (uint8_t)alphabet[bits >> 18];
    }
    return 4 * groups;
}
