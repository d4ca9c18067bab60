/* placeholders: what stands for an attachment, and which texts name those that are there. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/records/placeholders.h"

static int check(const char *json, uint32_t count)
{
    return rc_placeholders_check(rc_span_of(json, strlen(json)), count);
}

Test(placeholders, each_attachment_once)
{
    cr_assert_eq(check("[]", 0), 0);
    cr_assert_eq(check("[{\"_placeholder\": true, \"num\": 0}, {\"d\":[{\"num\":1,\"_placeholder\":true}]}]", 2), 0);
    cr_assert_eq(check("[{\"_placeholder\":true,\"num\":1}]", 1), -EBADMSG);
    cr_assert_eq(check("[{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":0}]", 1), -EBADMSG);
    cr_assert_eq(check("[{\"_placeholder\":true,\"num\":-1}]", 1), -EBADMSG);
    cr_assert_eq(check("[{\"_placeholder\":true,\"num\":\"0\"}]", 1), -EBADMSG);
    cr_assert_eq(check("[{\"_placeholder\":true}]", 1), -EBADMSG);
}

Test(placeholders, what_only_looks_like_one)
{
    cr_assert_eq(check("[\"_placeholder\",true,{\"_placeholder\":false,\"num\":7},{\"_placeholder\":\"true\"}]", 0), 0);
    cr_assert_eq(check("[{\"a\":\"{\\\"_placeholder\\\":true}\"}]", 0), 0);
}

Test(placeholders, a_walk_gives_their_numbers)
{
    const char *json = "[{\"_placeholder\":true,\"num\":3},{\"x\":{\"_placeholder\":true,\"num\":2}}]";
    struct rc_placeholders walk;
    uint32_t number;
    rc_placeholders_begin(&walk, rc_span_of(json, strlen(json)));
    cr_assert_eq(rc_placeholders_next(&walk, &number), 1);
    cr_assert_eq(number, 3);
    cr_assert_eq(rc_placeholders_next(&walk, &number), 1);
    cr_assert_eq(number, 2);
    cr_assert_eq(rc_placeholders_next(&walk, &number), 0);
}
