/*
 * decimal: numbers as decimal digits, where printf would be most of the work.
 *
 * Pure; any process may call; nothing fails.
 */
#ifndef RC_COMMON_TEXT_DECIMAL_H
#define RC_COMMON_TEXT_DECIMAL_H

#include <stdint.h>
#include <string.h>

#define RC_DECIMAL_BYTES_MAX 20u /* of a uint64_t */

/* Writes the digits of `number`, no NUL; returns the place behind them, at most RC_DECIMAL_BYTES_MAX on. */
static inline char *rc_decimal_write(char *out, uint64_t number)
{
    char digits[RC_DECIMAL_BYTES_MAX];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    memcpy(out, digits + at, sizeof(digits) - at);
    return out + (sizeof(digits) - at);
}

#endif
