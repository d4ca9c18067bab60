/* Who somebody is in a channel, as it travels. */
#include "common/records/member.h"

#include <criterion/criterion.h>
#include <string.h>

Test(member, is_read_as_it_was_written)
{
    static uint8_t out[RC_MEMBER_BYTES_MAX];
    static uint8_t large[RC_MEMBER_INFO_MAX + 1];
    struct rc_span user;
    struct rc_span info;
    size_t bytes = rc_member_write(out, RC_SPAN("42"), RC_SPAN("{\"a\":1}"));
    cr_assert(rc_member_read(rc_span_of(out, bytes), &user, &info));
    cr_assert(rc_span_equal(user, RC_SPAN("42")) && rc_span_equal(info, RC_SPAN("{\"a\":1}")));
    bytes = rc_member_write(out, RC_SPAN("42"), rc_span_of(large, sizeof(large)));
    cr_assert(rc_member_read(rc_span_of(out, bytes), &user, &info));
    cr_assert_eq(info.count, 0, "what is too large is left out");
    bytes = rc_member_write(out, (struct rc_span){0}, (struct rc_span){0});
    cr_assert(rc_member_read(rc_span_of(out, bytes), &user, &info));
    cr_assert_eq(user.count, 0, "the anonymous together");
    bytes = rc_member_write(out, rc_span_of(large, UINT8_MAX), rc_span_of(large, RC_MEMBER_INFO_MAX));
    cr_assert_eq(bytes, RC_MEMBER_BYTES_MAX);
    cr_assert(rc_member_read(rc_span_of(out, bytes), &user, &info));
    cr_assert(user.count == UINT8_MAX && info.count == RC_MEMBER_INFO_MAX);
}

Test(member, what_makes_no_sense)
{
    struct rc_span user;
    struct rc_span info;
    static uint8_t bytes[RC_MEMBER_BYTES_MAX + 1] = {2, 'a'};
    cr_assert(!rc_member_read(rc_span_of(bytes, 0), &user, &info));
    cr_assert(!rc_member_read(rc_span_of(bytes, 2), &user, &info), "a part of a user");
    cr_assert(!rc_member_read(rc_span_of(bytes, sizeof(bytes)), &user, &info));
}
