/* Signatures, with the examples of pusher.com/docs/channels, "Authentication and authorization signatures". */
#include "worker/pusher/sign.h"

#include <criterion/criterion.h>
#include <string.h>

#define SECRET RC_SPAN("7ad3773142a6692b25b8")

Test(sign, as_documented)
{
    const struct rc_span channel[] = {RC_SPAN("1234.1234"), RC_SPAN("private-foobar")};
    cr_expect(rc_pusher_signed(SECRET, channel, 2,
                               RC_SPAN("58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4")));
    const struct rc_span presence[] = {RC_SPAN("1234.1234"), RC_SPAN("presence-foobar"),
                                       RC_SPAN("{\"user_id\":10,\"user_info\":{\"name\":\"Mr. Channels\"}}")};
    cr_expect(rc_pusher_signed(SECRET, presence, 3,
                               RC_SPAN("31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80")));
}

Test(sign, one_bit_more_or_less_is_none)
{
    const struct rc_span parts[] = {RC_SPAN("1234.1234"), RC_SPAN("private-foobar")};
    char text[RC_PUSHER_SIGNATURE_BYTES];
    cr_assert(rc_pusher_sign(SECRET, parts, 2, text));
    cr_assert(rc_pusher_signed(SECRET, parts, 2, rc_span_of(text, sizeof(text))));
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] ^= 1;
        cr_assert(!rc_pusher_signed(SECRET, parts, 2, rc_span_of(text, sizeof(text))));
        text[i] ^= 1;
    }
    cr_assert(!rc_pusher_signed(SECRET, parts, 2, rc_span_of(text, sizeof(text) - 1)));
    cr_assert(!rc_pusher_signed(RC_SPAN("7ad3773142a6692b25b9"), parts, 2, rc_span_of(text, sizeof(text))));
    cr_assert(!rc_pusher_signed(SECRET, parts, 1, rc_span_of(text, sizeof(text))));
}
