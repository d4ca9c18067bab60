/* Messages of a link: what is refused of them, and what each leaves as in both framings. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "worker/proto/codec.h"
#include "worker/proto/link.h"

/* A text, an empty one, bytes, no bytes. */
static const uint8_t packet[] = "\x04\x00"
                                "\x00\x02\x00\x00\x00hi"
                                "\x00\x00\x00\x00\x00"
                                "\x01\x03\x00\x00\x00\x00\x1e\xff"
                                "\x01\x00\x00\x00\x00";
#define PACKET rc_span_of(packet, sizeof(packet) - 1)

Test(link, messages_are_checked_whole)
{
    cr_assert_eq(rc_link_messages_check(PACKET), PACKET.count);
    for (size_t cut = 0; cut < PACKET.count; cut++) {
        cr_assert_eq(rc_link_messages_check(rc_span_of(packet, cut)), 0, "%zu", cut);
    }
    cr_assert_eq(rc_link_messages_check(rc_span_of(packet, sizeof(packet))), PACKET.count,
                 "what follows is not theirs");
    cr_assert_eq(rc_link_messages_check(RC_SPAN("\x00\x00")), 0, "none at all");
    cr_assert_eq(rc_link_messages_check(RC_SPAN("\x01\x00\x02\x00\x00\x00\x00")), 0, "of no kind");
    cr_assert_eq(rc_link_messages_check(RC_SPAN("\x01\x00\x00\x01\x00\x00\x00\xff")), 0, "no UTF-8");
}

Test(link, messages_come_out_in_order)
{
    struct rc_link_messages messages = rc_link_messages_of(PACKET);
    enum rc_part_kind kind;
    struct rc_span message;
    static const struct {
        enum rc_part_kind kind;
        const char *bytes;
        size_t count;
    } wanted[] = {
        {RC_PART_TEXT, "hi", 2}, {RC_PART_TEXT, "", 0}, {RC_PART_BINARY, "\x00\x1e\xff", 3}, {RC_PART_BINARY, "", 0}};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        cr_assert(rc_link_messages_next(&messages, &kind, &message));
        cr_assert_eq(kind, wanted[i].kind);
        cr_assert(rc_span_equal(message, rc_span_of(wanted[i].bytes, wanted[i].count)));
    }
    cr_assert_not(rc_link_messages_next(&messages, &kind, &message));
}

static size_t encode(enum rc_framing_id framing, uint8_t *out, size_t room)
{
    const uint8_t encoding = rc_encoding_of(RC_CODEC_LINK, framing, 0);
    const struct rc_event event = {.type = RC_EVENT_DIRECT, .data = PACKET};
    const size_t most = rc_event_unit_bytes_max(encoding, &event);
    cr_assert_leq(most, room);
    const size_t bytes = rc_event_unit_write(encoding, NULL, &event, most, out);
    cr_assert_leq(bytes, most);
    return bytes;
}

Test(link, messages_leave_as_those_of_engineio)
{
    uint8_t out[256];
    static const uint8_t frames[] = "\x81\x03"
                                    "4hi\x81\x01"
                                    "4\x82\x03\x00\x1e\xff\x82\x00";
    static const uint8_t payload[] = "\x1e"
                                     "4hi\x1e"
                                     "4\x1e"
                                     "bAB7/\x1e"
                                     "b";
    cr_assert_eq(encode(RC_FRAMING_WEBSOCKET, out, sizeof(out)), sizeof(frames) - 1);
    cr_assert_arr_eq(out, frames, sizeof(frames) - 1);
    cr_assert_eq(encode(RC_FRAMING_POLLING, out, sizeof(out)), sizeof(payload) - 1);
    cr_assert_arr_eq(out, payload, sizeof(payload) - 1);
}

Test(link, only_texts_tear)
{
    cr_assert_not(rc_link_messages_tear(PACKET), "bytes with U+001E do not");
    cr_assert_not(rc_link_messages_tear(RC_SPAN("\x01\x00\x00\x1e\x00\x00\x00"
                                                "123456789012345678901234567890")),
                  "nor does a length");
    cr_assert(rc_link_messages_tear(RC_SPAN("\x02\x00"
                                            "\x01\x01\x00\x00\x00\x1e"
                                            "\x00\x02\x00\x00\x00x\x1e")));
    cr_assert(rc_link_text_tears(RC_SPAN("\x1e")));
    cr_assert_not(rc_link_text_tears((struct rc_span){0}));
}

Test(link, numbers_are_little_endian)
{
    uint8_t out[RC_LINK_MESSAGE_HEAD_BYTES];
    uint8_t number[8];
    rc_link_message_head(out, RC_PART_BINARY, 0x04030201);
    cr_assert_arr_eq(out, "\x01\x01\x02\x03\x04", sizeof(out));
    rc_link_put_u64(number, UINT64_C(0x0807060504030201));
    cr_assert_arr_eq(number, "\x01\x02\x03\x04\x05\x06\x07\x08", sizeof(number));
    cr_assert_eq(rc_link_u64(number), UINT64_C(0x0807060504030201));
}
