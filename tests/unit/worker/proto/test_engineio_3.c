/*
 * engineio_3: payloads of Engine.IO 3, of text and of bytes, as engine.io-parser 2.2 writes them; broken ones of every kind; and ours as such.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/proto/codec.h"
#include "worker/proto/engineio.h"

/* Its own copy, of exactly its size: what is read behind its end is seen. */
static struct rc_eio_payload payload_of(struct rc_span text, uint8_t **copy)
{
    *copy = malloc(text.count + (text.count == 0));
    memcpy(*copy, text.bytes, text.count);
    struct rc_eio_payload payload = rc_eio_payload_of(*copy, text.count);
    payload.revision_3 = true;
    return payload;
}

static void expect(struct rc_eio_payload *payload, enum rc_part_kind kind, struct rc_span bytes)
{
    struct rc_eio_packet packet;
    cr_assert_eq(rc_eio_payload_next(payload, &packet), 1);
    cr_assert_eq(packet.kind, kind);
    cr_assert(rc_span_equal(rc_span_of(packet.bytes, packet.count), bytes));
}

Test(engineio_3, takes_text_apart_whose_lengths_are_units_of_utf_16)
{
    uint8_t *copy;
    struct rc_eio_packet packet;
    struct rc_eio_payload payload = payload_of(RC_SPAN("6:4hello1:22:4\xe2\x82\xac"
                                                       "3:4\xf0\x9f\x98\x80"
                                                       "4:b4AQ3:4\xc3\xbc\x1e"),
                                               &copy);
    expect(&payload, RC_PART_TEXT, RC_SPAN("4hello"));
    expect(&payload, RC_PART_TEXT, RC_SPAN("2"));
    expect(&payload, RC_PART_TEXT, RC_SPAN("4\xe2\x82\xac"));
    expect(&payload, RC_PART_TEXT, RC_SPAN("4\xf0\x9f\x98\x80"));
    expect(&payload, RC_PART_TEXT, RC_SPAN("b4AQ"));
    cr_assert(!payload.ended);
    expect(&payload, RC_PART_TEXT, RC_SPAN("4\xc3\xbc\x1e"));
    cr_assert(payload.ended);
    cr_assert_eq(rc_eio_payload_next(&payload, &packet), 0);
    free(copy);
}

Test(engineio_3, takes_bytes_apart_whose_lengths_are_bytes)
{
    uint8_t *copy;
    struct rc_eio_packet packet;
    struct rc_eio_payload payload = payload_of(RC_SPAN("\x00\x06\xff"
                                                       "4hello"
                                                       "\x01\x04\xff\x04\x00\xff\x1e"
                                                       "\x00\x01\x00\xff"
                                                       "4123456\xe2\x82\xac"),
                                               &copy);
    expect(&payload, RC_PART_TEXT, RC_SPAN("4hello"));
    expect(&payload, RC_PART_BINARY, RC_SPAN("\x04\x00\xff\x1e"));
    expect(&payload, RC_PART_TEXT, RC_SPAN("4123456\xe2\x82\xac"));
    cr_assert_eq(rc_eio_payload_next(&payload, &packet), 0);
    free(copy);
}

Test(engineio_3, refuses_what_is_broken)
{
    static const struct rc_span texts[] = {
        RC_SPAN(""),
        RC_SPAN(":4a"),
        RC_SPAN("2"),
        RC_SPAN("2:4"),
        RC_SPAN("0:"),
        RC_SPAN("x:4"),
        RC_SPAN("-1:4"),
        RC_SPAN("99999999999:4"),
        RC_SPAN("2:4\xf0\x9f\x98\x80"),
        RC_SPAN("3:4\xf0\x9f\x98"),
        RC_SPAN("2:4\xff"),
        RC_SPAN("2:4\x80"),
        RC_SPAN("\x00"),
        RC_SPAN("\x01\x02"),
        RC_SPAN("\x00\x02\xff"),
        RC_SPAN("\x00\xff"),
        RC_SPAN("\x01\x00\xff"),
        RC_SPAN("\x01\x0a\xff"),
        RC_SPAN("\x00\x02\xff"
                "4\x80"),
        RC_SPAN("\x02\x01\xff"
                "4"),
        RC_SPAN("\x01\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\xff\x04"),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint8_t *copy;
        struct rc_eio_packet packet;
        struct rc_eio_payload payload = payload_of(texts[i], &copy);
        cr_expect_eq(rc_eio_payload_next(&payload, &packet), -EBADMSG, "%zu", i);
        free(copy);
    }
}

static void written(const char *ours, bool base64, bool in_octets, struct rc_span wanted)
{
    const struct rc_span payload = rc_span_text(ours);
    uint8_t *out = malloc(rc_eio_payload_3_bytes_max(payload));
    bool octets;
    const size_t bytes = rc_eio_payload_3_write(out, payload, base64, &octets);
    cr_assert_leq(bytes, rc_eio_payload_3_bytes_max(payload));
    cr_assert_eq(octets, in_octets);
    cr_assert(rc_span_equal(rc_span_of(out, bytes), wanted), "%s", ours);
    free(out);
}

Test(engineio_3, ours_are_written_as_such)
{
    written("4hello", false, false, RC_SPAN("6:4hello"));
    written("4hello\x1e"
            "3\x1e"
            "4\xe2\x82\xac\xf0\x9f\x98\x80",
            false, false, RC_SPAN("6:4hello1:34:4\xe2\x82\xac\xf0\x9f\x98\x80"));
    /* 04 01 02 03 04 */
    written("4hello\x1e"
            "bBAECAwQ=",
            false, true,
            RC_SPAN("\x00\x06\xff"
                    "4hello"
                    "\x01\x05\xff\x04\x01\x02\x03\x04"));
    written("bBAECAwQ=\x1e"
            "4hello",
            true, false, RC_SPAN("10:b4AQIDBA==6:4hello"));
    written("bBA==", true, false, RC_SPAN("2:b4"));
    written("bBA==\x1e"
            "4\xe2\x82\xac",
            false, true,
            RC_SPAN("\x01\x01\xff\x04"
                    "\x00\x04\xff"
                    "4\xe2\x82\xac"));
}

Test(engineio_3, what_only_begins_like_base64_is_text)
{
    written("4x\x1e"
            "b\x1e"
            "b!\x1e"
            "b?x",
            true, false,
            RC_SPAN("2:4x"
                    "1:b"
                    "2:b!"
                    "3:b?x"));
    written("b!\x1e\x1e"
            "4y",
            false, true,
            RC_SPAN("\x00\x02\xff"
                    "b!"
                    "\x00\x00\xff"
                    "\x00\x02\xff"
                    "4y"));
}

Test(engineio_3, a_binary_message_has_its_type_before_it)
{
    static const char messages[] = "\x02\x00"
                                   "\x00\x02\x00\x00\x00hi"
                                   "\x01\x03\x00\x00\x00\x00\x1e\xff";
    static const uint8_t frames[] = "\x81\x03"
                                    "4hi\x82\x04\x04\x00\x1e\xff";
    const struct rc_event event = {.type = RC_EVENT_MESSAGE, .data = rc_span_of(messages, sizeof(messages) - 1)};
    const uint8_t encoding = rc_encoding_of(RC_CODEC_LINK_3, RC_FRAMING_WEBSOCKET, 15);
    uint8_t out[64];
    const size_t bytes = rc_event_unit_write(encoding, NULL, &event, rc_event_unit_bytes_max(encoding, &event), out);
    cr_assert_eq(bytes, sizeof(frames) - 1);
    cr_assert_arr_eq(out, frames, bytes);
}
