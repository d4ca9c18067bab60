/* js_number: what JavaScript engines print, seen there. */
#include <criterion/criterion.h>
#include <float.h>
#include <string.h>

#include "common/text/js_number.h"

static void expect_number(double value, const char *text)
{
    char out[RC_JS_NUMBER_BYTES_MAX];
    const size_t bytes = rc_js_number_write(out, value);
    cr_assert(bytes == strlen(text) && memcmp(out, text, bytes) == 0, "%.*s is not %s", (int)bytes, out, text);
}

Test(js_number, numbers_are_written_as_javascript_does)
{
    expect_number(0.0, "0");
    expect_number(-0.0, "0");
    expect_number(1.0, "1");
    expect_number(-1.5, "-1.5");
    expect_number(0.1, "0.1");
    expect_number(0.1 + 0.2, "0.30000000000000004");
    expect_number(123456789012345680000.0, "123456789012345680000");
    expect_number(1e21, "1e+21");
    expect_number(1.5e300, "1.5e+300");
    expect_number(1e300, "1e+300");
    expect_number(0.000001, "0.000001");
    expect_number(0.0000015, "0.0000015");
    expect_number(1e-7, "1e-7");
    expect_number(-1.25e-9, "-1.25e-9");
    expect_number(DBL_MAX, "1.7976931348623157e+308");
    expect_number(DBL_MIN, "2.2250738585072014e-308");
    expect_number(5e-324, "5e-324");
    expect_number(1.5e-323, "1.5e-323");
    expect_number(9007199254740991.0, "9007199254740991");
    expect_number(-12345678901234567000.0, "-12345678901234567000");
    expect_number((double)1.1f, "1.100000023841858");
}

/* Below a power of two numbers are twice as dense: the nearest decimal of 16 digits is not always one that reads back. */
Test(js_number, powers_of_two_take_the_fewest_digits)
{
    expect_number(5.6843418860808015e-14, "5.684341886080802e-14");
    expect_number(9.007199254740992e15, "9007199254740992");
    expect_number(2.0 / 9007199254740992.0, "2.220446049250313e-16");
    expect_number(0x1p-1022, "2.2250738585072014e-308");
    expect_number(0x1p-1074, "5e-324");
}

static void expect_date(double milliseconds, const char *text)
{
    char out[RC_JS_NUMBER_BYTES_MAX];
    const size_t bytes = rc_js_date_write(out, milliseconds);
    cr_assert(bytes == strlen(text) && memcmp(out, text, bytes) == 0, "%.*s is not %s", (int)bytes, out, text);
}

Test(js_number, dates_are_written_as_toISOString_does)
{
    expect_date(0, "1970-01-01T00:00:00.000Z");
    expect_date(-1, "1969-12-31T23:59:59.999Z");
    expect_date(951782400000, "2000-02-29T00:00:00.000Z");
    expect_date(1709210096789, "2024-02-29T12:34:56.789Z");
    expect_date(-2203891200000, "1900-03-01T00:00:00.000Z");
    expect_date(253402300799999, "9999-12-31T23:59:59.999Z");
    expect_date(253402300800000, "+010000-01-01T00:00:00.000Z");
    expect_date(-62167219200000, "0000-01-01T00:00:00.000Z");
    expect_date(-62167219200001, "-000001-12-31T23:59:59.999Z");
    expect_date(8.64e15, "+275760-09-13T00:00:00.000Z");
    expect_date(-8.64e15, "-271821-04-20T00:00:00.000Z");
}
