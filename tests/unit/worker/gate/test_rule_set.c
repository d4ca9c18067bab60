/* What rows set on a connection, merged member by member. */
#include "worker/gate/rule_set.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static uint8_t out[RC_RULE_SET_MAX];
static size_t bytes;

static void expect(const char *before, const char *members, const char *merged)
{
    cr_assert_eq(rc_rule_set_merged(rc_span_text(before), rc_span_text(members), out, &bytes), 0, "%s", members);
    cr_expect(rc_span_equal(rc_span_of(out, bytes), rc_span_text(merged)), "%.*s", (int)bytes, (const char *)out);
}

Test(rule_set, the_latter_of_one_name_counts)
{
    expect("", "{\"a\":1}", "{\"a\":1}");
    expect("", "{}", "");
    expect("{\"a\":1}", "{}", "{\"a\":1}");
    expect("{\"a\":1,\"b\":[2]}", "{\"a\":null}", "{\"b\":[2],\"a\":null}");
    expect("{\"a\":1}", "{\"\\u0061\":2}", "{\"\\u0061\":2}");
    expect("{\"x\":0}", "{\"a\":1,\"a\":2}", "{\"x\":0,\"a\":2}");
}

Test(rule_set, it_is_bounded)
{
    char members[1100] = "{";
    for (int i = 0; i < 16; i++) {
        (void)snprintf(members + strlen(members), 32, "%s\"m%d\":1", i > 0 ? "," : "", i);
    }
    (void)strcat(members, "}");
    cr_expect_eq(rc_rule_set_merged(rc_span_text(""), rc_span_text(members), out, &bytes), 0);
    cr_expect_eq(rc_rule_set_merged(rc_span_text("{\"n\":1}"), rc_span_text(members), out, &bytes), -E2BIG);
    cr_expect_eq(rc_rule_set_merged(rc_span_text("{\"m3\":2}"), rc_span_text(members), out, &bytes), 0);
    (void)snprintf(members, sizeof(members), "{\"a\":\"%*d\"}", (int)RC_RULE_SET_MAX - 8, 1);
    cr_expect_eq(rc_rule_set_merged(rc_span_text(""), rc_span_text(members), out, &bytes), 0, "just so much");
    cr_expect_eq(bytes, RC_RULE_SET_MAX);
    (void)snprintf(members, sizeof(members), "{\"a\":\"%*d\"}", (int)RC_RULE_SET_MAX - 7, 1);
    cr_expect_eq(rc_rule_set_merged(rc_span_text(""), rc_span_text(members), out, &bytes), -E2BIG);
    cr_expect_eq(rc_rule_set_merged(rc_span_text(""), RC_SPAN("[1]"), out, &bytes), -EBADMSG);
}
