/* members: what is found, and which objects are none. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/identity/members.h"

static struct rc_member wanted[2];

static int take(const char *text)
{
    wanted[0].name = RC_SPAN("a");
    wanted[1].name = RC_SPAN("b");
    return rc_members_take(rc_span_text(text), wanted, 2);
}

Test(members, found_by_name)
{
    cr_assert_eq(take("{\"x\":0,\"b\":[1, 2] , \"\\u0061\":\"t\"}"), 0);
    cr_assert_eq(wanted[0].value.type, RC_JSON_STRING);
    cr_assert(rc_span_equal(wanted[1].value.raw, RC_SPAN("[1, 2]")));
    cr_assert_eq(take("{}"), 0);
    cr_assert_eq(wanted[0].value.type, RC_JSON_NONE);
    cr_assert_eq(wanted[1].value.type, RC_JSON_NONE);
}

Test(members, wrong_objects)
{
    cr_assert_eq(take("{\"x\":1,\"x\":1}"), -EEXIST);
    cr_assert_eq(take("{\"\\u0078\":1,\"x\":1}"), -EEXIST);
    cr_assert_eq(take("[1]"), -EBADMSG);
    cr_assert_eq(take("{\"a\":1"), -EBADMSG);
    cr_assert_eq(take("{\"a\":\"\xff\"}"), -EILSEQ);
    cr_assert_eq(take("{\"\\ud800\":1}"), -EILSEQ);
}

Test(members, bounds)
{
    static char text[16384];
    strcpy(text, "{");
    for (int i = 0; i < 128; i++) {
        (void)snprintf(text + strlen(text), 32, "%s\"%d\":1", i > 0 ? "," : "", i);
    }
    const size_t bytes = strlen(text);
    strcpy(text + bytes, "}");
    cr_assert_eq(take(text), 0);
    strcpy(text + bytes, ",\"a\":1}");
    cr_assert_eq(take(text), -EMSGSIZE);
    strcpy(text, "{\"\\n");
    memset(text + 4, 'x', 7000);
    strcpy(text + 7004, "\":1}");
    cr_assert_eq(take(text), -EMSGSIZE);
}
