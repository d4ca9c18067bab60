/* Redis's patterns, and what their stars stood for. */
#include "common/text/glob.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* "-": no match; else what the stars stood for, each with "|". */
static const char *match(const char *pattern, const char *text)
{
    static char out[256];
    struct rc_glob_match found;
    if (!rc_glob_match(rc_span_text(pattern), rc_span_text(text), &found)) {
        return "-";
    }
    out[0] = '\0';
    for (uint32_t i = 0; i < found.count; i++) {
        const size_t used = strlen(out);
        (void)snprintf(out + used, sizeof(out) - used, "%.*s|", (int)found.stars[i].count,
                       (const char *)found.stars[i].bytes);
    }
    cr_assert_eq(found.count, rc_glob_stars(rc_span_text(pattern)));
    return out;
}

Test(glob, stars_take_as_little_as_they_can_from_the_left)
{
    cr_assert_str_eq(match("*", "private-orders.1"), "private-orders.1|");
    cr_assert_str_eq(match("*", ""), "|");
    cr_assert_str_eq(match("orders.*", "orders.7"), "7|");
    cr_assert_str_eq(match("*.*", "a.b.c"), "a|b.c|");
    cr_assert_str_eq(match("*:*:x", "a:b:c:x"), "a|b:c|");
    cr_assert_str_eq(match("a**b", "aXb"), "|X|");
    cr_assert_str_eq(match("*ab", "aab"), "a|");
    cr_assert_str_eq(match("a*", "b"), "-");
    cr_assert_str_eq(match("*a", "ab"), "-");
    cr_assert_str_eq(match("", ""), "");
    cr_assert_str_eq(match("", "a"), "-");
    cr_assert_str_eq(match("abc", "abc"), "");
}

Test(glob, bytes_sets_and_escapes)
{
    cr_assert_str_eq(match("h?llo*", "hello!"), "!|");
    cr_assert_str_eq(match("h[ae]llo", "hallo"), "");
    cr_assert_str_eq(match("h[^e]llo", "hello"), "-");
    cr_assert_str_eq(match("h[^e]llo", "hxllo"), "");
    cr_assert_str_eq(match("[a-c][z-x]", "by"), "");
    cr_assert_str_eq(match("[a-c]", "d"), "-");
    cr_assert_str_eq(match("\\*", "*"), "");
    cr_assert_str_eq(match("\\*", "x"), "-");
    cr_assert_str_eq(match("[\\]]", "]"), "");
    cr_assert_str_eq(match("[ab", "b"), "", "one that is not closed");
    cr_assert_str_eq(match("a\\", "a\\"), "");
}

Test(glob, many_stars_are_no_trouble)
{
    char text[2000];
    struct rc_glob_match found;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    cr_assert_not(rc_glob_match(RC_SPAN("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b"), rc_span_text(text), &found));
    cr_assert(rc_glob_match(RC_SPAN("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*"), rc_span_text(text), &found));
    cr_assert_eq(found.count, RC_GLOB_STARS_MAX);
}
