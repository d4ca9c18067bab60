/* Numbers in hexadecimal digits, as printf has them. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/text/hex.h"

Test(hex, as_printf_writes_it)
{
    for (unsigned bits = 0; bits < 64; bits++) {
        const uint64_t at = UINT64_C(1) << bits;
        const uint64_t numbers[] = {at - 1, at, at + 1, at | 0x5a, at * 3, ~at};
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
            char text[RC_HEX_BYTES_MAX + 1];
            char expected[RC_HEX_BYTES_MAX + 1];
            *rc_hex_write(text, numbers[i]) = '\0';
            (void)snprintf(expected, sizeof(expected), "%llx", (unsigned long long)numbers[i]);
            cr_assert_str_eq(text, expected);
        }
    }
}
