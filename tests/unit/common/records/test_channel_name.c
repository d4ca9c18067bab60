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
