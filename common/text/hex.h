/*
 * hex: numbers as hexadecimal digits, where printf would be most of the work.
 *
 * Pure; any process may call; nothing fails.
 */
#ifndef RC_COMMON_TEXT_HEX_H
#define RC_COMMON_TEXT_HEX_H

#include <stdint.h>

#define RC_HEX_BYTES_MAX 16u /* of a uint64_t */

/* Writes the digits of `number`, lower case, without leading zeros or a NUL; returns the place behind them, at most RC_HEX_BYTES_MAX on. */
static inline char *rc_hex_write(char *out, uint64_t number)
{
    uint32_t digits = 1;
    while (digits < RC_HEX_BYTES_MAX && number >> (4 * digits) != 0) {
        digits++;
    }
    for (uint32_t i = digits; i > 0; i--) {
        *out++ = "0123456789abcdef"[number >> (4 * (i - 1)) & 15u];
    }
    return out;
}

#endif
