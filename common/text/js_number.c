/* js_number: see js_number.h. */
#include "common/text/js_number.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

#define DIGITS_MAX 17
#define DAY_MS 86400000

/* --- numbers --------------------------------------------------------------------------------------------------------- */

/* d.ddd × 10^exponent */
struct decimal {
    char digits[DIGITS_MAX + 1]; /* with NUL */
    int count;
    int exponent;
};

static double decimal_value(const struct decimal *decimal)
{
    char text[DIGITS_MAX + 16];
    (void)snprintf(text, sizeof(text), "%se%d", decimal->digits, decimal->exponent - decimal->count + 1);
    return strtod(text, NULL);
}

/* The nearest decimal of so many digits. */
static void decimal_nearest(struct decimal *decimal, double value, int count)
{
    char text[DIGITS_MAX + 16];
    (void)snprintf(text, sizeof(text), "%.*e", count - 1, value); /* d.ddde±xx, or de±xx */
    int at = 0;
    const char *mark = text;
    for (; *mark != 'e'; mark++) {
        if (*mark != '.') {
            decimal->digits[at++] = *mark;
        }
    }
    decimal->digits[at] = '\0';
    decimal->count = at;
    decimal->exponent = (int)strtol(mark + 1, NULL, 10);
}

/* The next decimal of as many digits above. */
static void decimal_above(struct decimal *decimal)
{
    int at = decimal->count - 1;
    while (at >= 0 && decimal->digits[at] == '9') {
        decimal->digits[at--] = '0';
    }
    if (at >= 0) {
        decimal->digits[at]++;
    } else {
        decimal->digits[0] = '1';
        decimal->exponent++;
    }
}

/*
 * The fewest digits that read back as `value`, and of those the nearest. Whatever can be written with 15 digits or less is what 15
 * digits give, but for subnormal numbers, which have fewer. Of 16 digits the nearest may be too far below a power of two, where
 * numbers are twice as dense, while the next one above is near enough.
 */
static void decimal_shortest(struct decimal *decimal, double value)
{
    for (int count = value < DBL_MIN ? 1 : DBL_DIG; count < DIGITS_MAX; count++) {
        decimal_nearest(decimal, value, count);
        if (decimal_value(decimal) == value) {
            return;
        }
        decimal_above(decimal);
        if (decimal_value(decimal) == value) {
            return;
        }
    }
    decimal_nearest(decimal, value, DIGITS_MAX);
}

static char *put_zeros(char *out, int count)
{
    memset(out, '0', (size_t)(count > 0 ? count : 0));
    return out + (count > 0 ? count : 0);
}

static char *put_digits(char *out, const char *digits, int count)
{
    memcpy(out, digits, (size_t)count);
    return out + count;
}

size_t rc_js_number_write(char *out, double value)
{
    struct decimal decimal;
    char *at = out;
    RC_ASSERT(isfinite(value));
    if (value == 0) {
        *at = '0';
        return 1;
    }
    if (value < 0) {
        *at++ = '-';
        value = -value;
    }
    decimal_shortest(&decimal, value);
    while (decimal.count > 1 && decimal.digits[decimal.count - 1] == '0') {
        decimal.count--;
    }
    /* Number::toString, k = digits, n = where the point is. */
    const int k = decimal.count;
    const int n = decimal.exponent + 1;
    if (k <= n && n <= 21) {
        at = put_zeros(put_digits(at, decimal.digits, k), n - k);
    } else if (0 < n && n < k) {
        at = put_digits(at, decimal.digits, n);
        *at++ = '.';
        at = put_digits(at, decimal.digits + n, k - n);
    } else if (-6 < n && n <= 0) {
        at = put_digits(at, "0.", 2);
        at = put_digits(put_zeros(at, -n), decimal.digits, k);
    } else {
        *at++ = decimal.digits[0];
        if (k > 1) {
            *at++ = '.';
            at = put_digits(at, decimal.digits + 1, k - 1);
        }
        at += snprintf(at, 8, "e%+d", n - 1);
    }
    return (size_t)(at - out);
}

/* --- dates ----------------------------------------------------------------------------------------------------------- */

/* Of days since 1970 in the Gregorian calendar (Howard Hinnant, chrono-compatible low-level date algorithms). */
static void date_civil(int64_t days, int *year, int *month, int *day)
{
    days += 719468; /* since 0000-03-01 */
    const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    const int64_t of_era = days - era * 146097;
    const int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t from_march = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * from_march + 2) / 5 + 1);
    *month = (int)(from_march < 10 ? from_march + 3 : from_march - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2 ? 1 : 0));
}

size_t rc_js_date_write(char *out, double milliseconds)
{
    int64_t ms = (int64_t)milliseconds;
    int64_t days = ms / DAY_MS;
    int year;
    int month;
    int day;
    ms -= days * DAY_MS;
    if (ms < 0) {
        ms += DAY_MS;
        days--;
    }
    date_civil(days, &year, &month, &day);
    const int of_day = (int)ms;
    char text[RC_JS_NUMBER_BYTES_MAX + 64]; /* the compiler does not know how large a year can be */
    int bytes = snprintf(text, sizeof(text), year >= 0 && year <= 9999 ? "%04d" : "%+07d", year);
    bytes += snprintf(text + bytes, sizeof(text) - (size_t)bytes, "-%02d-%02dT%02d:%02d:%02d.%03dZ", month, day,
                      of_day / 3600000, of_day / 60000 % 60, of_day / 1000 % 60, of_day % 1000);
    RC_ASSERT(bytes > 0 && bytes <= (int)RC_JS_NUMBER_BYTES_MAX);
    memcpy(out, text, (size_t)bytes);
    return (size_t)bytes;
}
