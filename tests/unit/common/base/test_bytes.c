/* bytes: numbers in both orders, parts that are there and parts that are not. */
#include <criterion/criterion.h>

#include "common/base/bytes.h"

Test(bytes, numbers_are_written_and_read_in_both_orders)
{
    uint8_t out[8];
    for (size_t bytes = 1; bytes <= 8; bytes++) {
        const uint64_t number = UINT64_C(0x0102030405060708) >> (8 * (8 - bytes));
        cr_assert_eq(rc_be_put(out, number, bytes), out + bytes);
        cr_assert_eq(out[0], 1);
        cr_assert_eq(out[bytes - 1], bytes);
        cr_assert_eq(rc_be_get(out, bytes), number);
        uint64_t reversed = 0;
        for (size_t i = 0; i < bytes; i++) {
            reversed |= (uint64_t)out[i] << (8 * i);
        }
        cr_assert_eq(rc_le_get(out, bytes), reversed);
    }
    cr_assert_eq(rc_be_get(out, 0), 0);
}

Test(bytes, what_is_too_short_is_left_as_it_was)
{
    static const uint8_t text[] = {0, 3, 'a', 'b', 'c', 9};
    struct rc_span rest = rc_span_of(text, sizeof(text));
    struct rc_span part;
    uint64_t number;
    cr_assert(rc_bytes_take_counted(&rest, 2, &part));
    cr_assert(rc_span_equal(part, RC_SPAN("abc")));
    cr_assert_not(rc_bytes_take_counted(&rest, 1, &part)); /* nine bytes are not there */
    cr_assert_not(rc_bytes_take_be(&rest, 2, &number));
    cr_assert_not(rc_bytes_take(&rest, SIZE_MAX, &part));
    cr_assert_eq(rest.count, 1);
    cr_assert(rc_bytes_take_le(&rest, 1, &number));
    cr_assert_eq(number, 9);
    cr_assert_eq(rest.count, 0);
}

Test(bytes, nothing_is_a_part_too)
{
    struct rc_span rest = {.bytes = NULL, .count = 0};
    struct rc_span part;
    uint8_t out[2];
    cr_assert(rc_bytes_take(&rest, 0, &part));
    cr_assert_eq(part.count, 0);
    cr_assert_eq(rc_bytes_put(out, part), out);
    cr_assert_eq(rc_bytes_put_counted(out, part, 1), out + 1);
    cr_assert_eq(out[0], 0);
}
