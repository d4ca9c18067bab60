/* What may be the name of a channel. */
#include "common/records/channel_name.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

Test(channel_name, is_utf8_without_control_characters)
{
    static const struct {
        const char *name;
        size_t bytes;
        int rc;
    } cases[] = {
        {"a", 1, 0},
        {"prices:BTC", 10, 0},
        {"*", 1, 0},
        {" ", 1, 0},
        {"größe", 7, 0},
        {"日本", 6, 0},
        {"\xf0\x9f\x98\x80", 4, 0},
        {"\xf4\x8f\xbf\xbf", 4, 0},
        {"\xc2\xa0", 2, 0},
        {"~", 1, 0},
        {"", 0, -EINVAL},
        {"a\0b", 3, -EINVAL},
        {"a\nb", 3, -EINVAL},
        {"\x1f", 1, -EINVAL},
        {"\x7f", 1, -EINVAL},
        {"\xc2\x80", 2, -EINVAL},
        {"\xc2\x9f", 2, -EINVAL},
        {"\x80", 1, -EINVAL},
        {"\xff", 1, -EINVAL},
        {"\xc0\xaf", 2, -EINVAL},
        {"\xc1\xbf", 2, -EINVAL},
        {"\xe0\x80\xaf", 3, -EINVAL},
        {"\xed\xa0\x80", 3, -EINVAL},
        {"\xf4\x90\x80\x80", 4, -EINVAL},
        {"\xf5\x80\x80\x80", 4, -EINVAL},
        {"\xf0\x8f\xbf\xbf", 4, -EINVAL},
        {"a\xc3", 2, -EINVAL},
        {"\xe2\x82", 2, -EINVAL},
        {"\xf0\x9f\x98", 3, -EINVAL},
        {"\xe2\x28\xa1", 3, -EINVAL},
        {"\xf0\x9f\x98\x28", 4, -EINVAL},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        char *const name = malloc(cases[i].bytes > 0 ? cases[i].bytes : 1);
        memcpy(name, cases[i].name, cases[i].bytes);
        cr_expect_eq(rc_channel_name_check(name, cases[i].bytes, 255), cases[i].rc, "case %zu", i);
        free(name);
    }
}

Test(channel_name, is_bounded)
{
    char name[300];
    memset(name, 'x', sizeof(name));
    cr_expect_eq(rc_channel_name_check(name, 255, 255), 0);
    cr_expect_eq(rc_channel_name_check(name, 256, 255), -ENAMETOOLONG);
    cr_expect_eq(rc_channel_name_check(name, 9, 8), -ENAMETOOLONG);
}

Test(channel_name, a_room_of_a_namespace_is_a_channel)
{
    static const struct {
        const char *channel;
        const char *nsp;
        const char *room;
        bool named;
    } cases[] = {
        {"chat", "/", "chat", false},
        {"*", "/", "*", false},
        {"/#", "/", "", true},
        {"/admin#", "/admin", "", true},
        {"/admin#a", "/admin", "a", true},
        {"/admin#a#b", "/admin", "a#b", true},
        {"/admin", "/", "/admin", false},
        {"a/b#c", "/", "a/b#c", false},
        {"", "/", "", false},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        struct rc_span nsp;
        struct rc_span room;
        cr_assert_eq(rc_channel_split(rc_span_text(cases[i].channel), &nsp, &room), cases[i].named);
        cr_assert(rc_span_equal(nsp, rc_span_text(cases[i].nsp)), "%s", cases[i].channel);
        cr_assert(rc_span_equal(room, rc_span_text(cases[i].room)), "%s", cases[i].channel);
        char text[16];
        const size_t bytes = rc_channel_of_room(text, sizeof(text), nsp, room);
        if (cases[i].channel[0] != '\0') {
            cr_assert(rc_span_equal(rc_span_of(text, bytes), rc_span_text(cases[i].channel)), "%s", cases[i].channel);
        }
    }
    char text[8];
    cr_assert_eq(rc_channel_of_room(text, sizeof(text), RC_SPAN("/admin"), RC_SPAN("ab")), 0);
    cr_assert_eq(rc_channel_of_room(text, sizeof(text), RC_SPAN("/admin"), RC_SPAN("a")), 8);
}
