/* json_number: reading, order and multiples of numbers of any length. */
#include "common/text/json_number.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

static struct rc_json_number number(const char *text)
{
    return rc_json_number_read(rc_span_text(text));
}

static int order(const char *a, const char *b)
{
    const struct rc_json_number left = number(a);
    const struct rc_json_number right = number(b);
    const int rc = rc_json_number_compare(&left, &right);
    return (rc > 0) - (rc < 0);
}

/* From the least to the greatest; what is equal stands in one line. */
static const char *const lines[][5] = {
    {"-1e1000000000000000000"},
    {"-12345678901234567890123"},
    {"-12345678901234567890122"},
    {"-10.5", "-1.05e1", "-105e-1"},
    {"-1", "-1.0", "-0.1e1", "-10E-1"},
    {"-0.001"},
    {"0", "-0", "0.0", "0e5", "-0.000e-7"},
    {"1e-400", "0.1e-399"},
    {"0.0999999999999999999999"},
    {"0.1", "1e-1", "0.10", "100e-3"},
    {"1", "1.0", "1e0", "10e-1", "1E+0"},
    {"1.00000000000000000000000001"},
    {"9007199254740992", "9007199254740992.0"},
    {"9007199254740993"},
    {"1e400", "10e399"},
    {"1e999999999999999998"},
};

Test(json_number, order_is_that_of_the_values)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(lines); i++) {
        for (size_t j = 0; j < RC_ARRAY_COUNT(lines); j++) {
            for (size_t a = 0; a < 5 && lines[i][a] != NULL; a++) {
                for (size_t b = 0; b < 5 && lines[j][b] != NULL; b++) {
                    cr_expect_eq(order(lines[i][a], lines[j][b]), (i > j) - (i < j), "%s, %s", lines[i][a],
                                 lines[j][b]);
                }
            }
        }
    }
}

static int hashes_order(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a;
    const uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

Test(json_number, equal_numbers_have_one_hash)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(lines); i++) {
        const struct rc_json_number first = number(lines[i][0]);
        for (size_t a = 1; a < 5 && lines[i][a] != NULL; a++) {
            const struct rc_json_number other = number(lines[i][a]);
            cr_expect_eq(rc_json_number_hash(&first), rc_json_number_hash(&other), "%s", lines[i][a]);
        }
    }
}

Test(json_number, hashes_of_small_numbers_differ)
{
    static uint64_t hashes[20000];
    for (unsigned i = 0; i < RC_ARRAY_COUNT(hashes); i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "%u", i);
        const struct rc_json_number its = number(text);
        hashes[i] = rc_json_number_hash(&its);
    }
    qsort(hashes, RC_ARRAY_COUNT(hashes), sizeof(hashes[0]), hashes_order);
    for (unsigned i = 1; i < RC_ARRAY_COUNT(hashes); i++) {
        cr_assert_neq(hashes[i - 1], hashes[i]);
    }
}

Test(json_number, integers_are_told_by_their_value)
{
    static const char *const integers[] = {"0",   "-0.0",   "1.0",    "-5",
                                           "1e2", "1.25e2", "120e-1", "1e999999999999999999999"};
    static const char *const others[] = {
        "0.5", "1e-1", "1.25e1", "-0.0001", "12345678901234567890.1", "1e-99999999999999"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(integers); i++) {
        const struct rc_json_number its = number(integers[i]);
        cr_expect(rc_json_number_integer(&its), "%s", integers[i]);
    }
    for (size_t i = 0; i < RC_ARRAY_COUNT(others); i++) {
        const struct rc_json_number its = number(others[i]);
        cr_expect_not(rc_json_number_integer(&its), "%s", others[i]);
    }
}

Test(json_number, multiples_are_exact)
{
    static const struct {
        const char *number;
        const char *divisor;
        bool multiple;
    } cases[] = {
        {"10", "2", true},
        {"7", "2", false},
        {"0", "3", true},
        {"4.5", "1.5", true},
        {"0.0075", "0.0001", true},
        {"0.00751", "0.0001", false},
        {"0.3", "0.1", true},
        {"19.99", "0.01", true},
        {"1e308", "0.5", true},
        {"-9", "3", true},
        {"1e400", "7", false},
        {"35e100", "7", true},
        {"123456789012345678901234567890", "10", true},
        {"123456789012345678901234567891", "10", false},
        {"1.5", "1", false},
        {"1e-5", "1e-4", false},
        {"1e3", "1000", true},
        {"999999999999999999", "999999999999999999", true},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        const struct rc_json_number its = number(cases[i].number);
        const struct rc_json_number divisor = number(cases[i].divisor);
        cr_expect_eq(rc_json_number_multiple(&its, &divisor), cases[i].multiple, "%s of %s", cases[i].number,
                     cases[i].divisor);
    }
}

Test(json_number, divisors_are_above_zero_and_short)
{
    uint64_t digits = 0;
    struct rc_json_number its = number("0.0250");
    cr_expect(rc_json_number_divisor(&its, &digits));
    cr_expect_eq(digits, 25u);
    static const char *const bad[] = {"0", "-1", "1234567890123456789"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(bad); i++) {
        its = number(bad[i]);
        cr_expect_not(rc_json_number_divisor(&its, &digits), "%s", bad[i]);
    }
}
