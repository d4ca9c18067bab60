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

Test(base64, in_lines)
{
    takes("AQI=\n", "\1\2", 2);
    takes("AA\r\n==\r\n", "\0", 1);
    takes("\nYW\nJj\nZA", "abcd", 4);
    takes("AQ\nI", "\1\2", 2);
    takes("\r\n", "", 0);
}

Test(base64, anything_else_is_refused)
{
    refuses("A");
    refuses("AAAAA");
    refuses("A===");
    refuses("====");
    refuses("AA=");
    refuses("AA==AA==");
    refuses("AQ I");
    refuses("AQ\tI");
    refuses("AQI=\nAQI=");
    refuses("AA=\n");
    refuses("A\nA\nA\nA\nA\n");
    refuses("\n=\n");
    refuses("__-_");
}

static void url(const char *text, const char *bytes, size_t count)
{
    uint8_t out[64];
    char again[64];
    cr_assert_eq(rc_base64url_decode(out, (const uint8_t *)text, strlen(text)), (int64_t)count, "%s", text);
    cr_assert_arr_eq(out, bytes, count);
    cr_assert_eq(rc_base64url_encode(again, (const uint8_t *)bytes, count), strlen(text));
    cr_assert_arr_eq(again, text, strlen(text));
}

Test(base64, url_safe_both_ways)
{
    url("", "", 0);
    url("AQ", "\1", 1);
    url("AQI", "\1\2", 2);
    url("AQID", "\1\2\3", 3);
    url("AQIDBA", "\1\2\3\4", 4);
    url("__-_", "\xff\xff\xbf", 3);
}

Test(base64, url_safe_bytes_have_one_text)
{
    static const char *const wrong[] = {"A", "AQ==", "AQI=", "AR", "AQJ", "AB", "//+/", "A Q", "AAAAA"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint8_t out[64];
        cr_assert_eq(rc_base64url_decode(out, (const uint8_t *)wrong[i], strlen(wrong[i])), -EBADMSG, "%s", wrong[i]);
    }
    takes("AR", "\1", 1); /* where it does not matter */
}

Test(base64, strict_has_one_text_for_bytes)
{
    static const char *const refused[] = {"AQI", "AA", "AB==", "AQJ=", "A", "AA=A", "====", "__-_", "AQ\nI"};
    uint8_t out[64];
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        cr_expect_eq(rc_base64_decode_strict(out, (const uint8_t *)refused[i], strlen(refused[i])), -EBADMSG, "%s",
                     refused[i]);
    }
    for (size_t count = 0; count <= 40; count++) {
        uint8_t bytes[RC_BASE64_BYTES(40)];
        uint8_t text[RC_BASE64_BYTES(40)];
        for (size_t i = 0; i < count; i++) {
            bytes[i] = (uint8_t)(i * 37 + count);
        }
        cr_assert_eq(rc_base64_encode(text, bytes, count), RC_BASE64_BYTES(count));
        cr_assert_eq(rc_base64_decode_strict(out, text, RC_BASE64_BYTES(count)), (int64_t)count);
        cr_assert_arr_eq(out, bytes, count);
        cr_assert_eq(rc_base64_encode(bytes, bytes, count), RC_BASE64_BYTES(count), "in place");
        cr_assert_arr_eq(bytes, text, RC_BASE64_BYTES(count));
    }
}

Test(base64, url_safe_characters_one_by_one)
{
    for (uint32_t bits = 0; bits < 64; bits++) {
        cr_assert_eq(rc_base64url_value((uint8_t)rc_base64url_character(bits)), (int)bits);
    }
    cr_assert_eq(rc_base64url_value('+'), -1);
    cr_assert_eq(rc_base64url_value(0), -1);
    cr_assert_eq(rc_base64url_value(0xff), -1);
}
