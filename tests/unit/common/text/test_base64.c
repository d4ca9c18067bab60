/* base64: what is taken, what is refused, in place and elsewhere. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/text/base64.h"

static void takes(const char *text, const char *bytes, size_t count)
{
    uint8_t out[64];
    uint8_t place[64];
    const size_t length = strlen(text);
    cr_assert_eq(rc_base64_decode(out, (const uint8_t *)text, length), (int64_t)count, "%s", text);
    cr_assert_arr_eq(out, bytes, count);
    memcpy(place, text, length);
    cr_assert_eq(rc_base64_decode(place, place, length), (int64_t)count);
    cr_assert_arr_eq(place, bytes, count);
}

static void refuses(const char *text)
{
    uint8_t out[64];
    cr_assert_eq(rc_base64_decode(out, (const uint8_t *)text, strlen(text)), -EBADMSG, "%s", text);
}

Test(base64, with_and_without_padding)
{
    takes("", "", 0);
    takes("AA==", "\0", 1);
    takes("AQI=", "\1\2", 2);
    takes("AQI", "\1\2", 2);
    takes("YWJj", "abc", 3);
    takes("YWJjZA", "abcd", 4);
    takes("//+/", "\xff\xff\xbf", 3);
}

Test(base64, anything_else_is_refused)
{
    refuses("A");
    refuses("AAAAA");
    refuses("A===");
    refuses("====");
    refuses("AA=");
    refuses("AA==AA==");
    refuses("AQ\nI");
    refuses("__-_");
}
