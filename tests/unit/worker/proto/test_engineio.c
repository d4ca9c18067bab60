/*
 * engineio: payloads of several packets, base64 of every length and of every broken kind, and what the server says by itself.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/proto/codec.h"
#include "common/text/base64.h"
#include "worker/proto/engineio.h"

/* A payload is changed in place: each test has its own copy, of exactly its size. */
static struct rc_eio_payload payload_of(const char *text, size_t count, uint8_t **copy)
{
    *copy = malloc(count + 1);
    memcpy(*copy, text, count);
    return rc_eio_payload_of(*copy, count);
}

static void expect(struct rc_eio_payload *payload, enum rc_part_kind kind, const char *bytes, size_t count)
{
    struct rc_eio_packet packet;
    cr_assert_eq(rc_eio_payload_next(payload, &packet), 1);
    cr_assert_eq(packet.kind, kind);
    cr_assert_eq(packet.count, count);
    cr_assert(count == 0 || memcmp(packet.bytes, bytes, count) == 0);
}

Test(engineio, takes_a_payload_apart)
{
    static const char text[] = "4hello\x1e"
                               "2\x1e"
                               "bAQIDBA==\x1e"
                               "b\x1e"
                               "4\xe2\x82\xac";
    uint8_t *copy;
    struct rc_eio_payload payload = payload_of(text, sizeof(text) - 1, &copy);
    struct rc_eio_packet packet;
    expect(&payload, RC_PART_TEXT, "4hello", 6);
    expect(&payload, RC_PART_TEXT, "2", 1);
    expect(&payload, RC_PART_BINARY, "\x01\x02\x03\x04", 4);
    expect(&payload, RC_PART_BINARY, "", 0);
    expect(&payload, RC_PART_TEXT, "4\xe2\x82\xac", 4);
    cr_assert_eq(rc_eio_payload_next(&payload, &packet), 0);
    cr_assert_eq(rc_eio_payload_next(&payload, &packet), 0);
    free(copy);
}

Test(engineio, refuses_broken_packets)
{
    static const char *const texts[] = {"",
                                        "\x1e",
                                        "4a\x1e",
                                        ("\x1e"
                                         "4a"),
                                        "b@@",
                                        "bAAAAA",
                                        "b=",
                                        "bAA=A",
                                        "bA===",
                                        "4\xff",
                                        "4\xe2\x82",
                                        "bAAA=AAAA",
                                        "bAAA=\nAAAA",
                                        "bAAAA\nA\n",
                                        "bAA\n=",
                                        "bAA ==",
                                        "b\nAA\r=\n==\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        uint8_t *copy;
        struct rc_eio_payload payload = payload_of(texts[i], strlen(texts[i]), &copy);
        struct rc_eio_packet packet;
        int rc;
        while ((rc = rc_eio_payload_next(&payload, &packet)) == 1) {}
        cr_assert_eq(rc, -EBADMSG, "%s", texts[i]);
        free(copy);
    }
}

Test(engineio, base64_of_every_length_comes_back)
{
    uint8_t bytes[300];
    uint8_t text[RC_BASE64_BYTES(sizeof(bytes))];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 7 + 250);
    }
    for (size_t count = 0; count < sizeof(bytes); count++) {
        const size_t written = rc_base64_encode(text, bytes, count);
        cr_assert_eq(written, RC_BASE64_BYTES(count));
        size_t bare = written; /* without padding */
        while (bare > 0 && text[bare - 1] == '=') {
            bare--;
        }
        uint8_t copy[sizeof(text)];
        memcpy(copy, text, bare);
        cr_assert_eq(rc_base64_decode(text, text, written), (int64_t)count);
        cr_assert(memcmp(text, bytes, count) == 0);
        cr_assert_eq(rc_base64_decode(copy, copy, bare), (int64_t)count);
        cr_assert(memcmp(copy, bytes, count) == 0);
    }
}

Test(engineio, says_open_and_errors)
{
    char out[256];
    const struct rc_eio_open open = {.sid = RC_SPAN("abc"),
                                     .upgrades_websocket = true,
                                     .ping_interval_ms = 25000,
                                     .ping_timeout_ms = 20000,
                                     .payload_bytes_max = 1000000};
    const char *wanted = "0{\"sid\":\"abc\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,\"pingTimeout\":20000,"
                         "\"maxPayload\":1000000}";
    cr_assert_eq(rc_eio_open_write(out, sizeof(out), &open), strlen(wanted));
    cr_assert_arr_eq(out, wanted, strlen(wanted));
    cr_assert_eq(rc_eio_open_write(out, strlen(wanted), &open), 0, "no room for all of it");
    for (int error = RC_EIO_UNKNOWN_TRANSPORT; error <= RC_EIO_UNSUPPORTED_VERSION; error++) {
        cr_assert_gt(rc_eio_error_write(out, RC_EIO_ERROR_BYTES_MAX, (enum rc_eio_error)error), 0);
        cr_assert_not_null(rc_eio_error_message((enum rc_eio_error)error));
    }
}

Test(engineio, messages_are_packets)
{
    const uint8_t encoding = rc_encoding_of(RC_CODEC_ENGINEIO, RC_FRAMING_POLLING, 0);
    struct rc_event event = {.type = RC_EVENT_MESSAGE, .channel = RC_SPAN("c"), .data = RC_SPAN("[1]")};
    uint8_t out[64];
    size_t bytes = rc_event_unit_write(encoding, NULL, &event, rc_event_unit_bytes_max(encoding, &event), out);
    cr_assert(rc_span_equal(rc_span_of(out, bytes), RC_SPAN("\x1e"
                                                            "4[1]")));
    event.data_kind = RC_DATA_BINARY;
    event.data = RC_SPAN("\x01\x02\x03\x04");
    bytes = rc_event_unit_write(encoding, NULL, &event, rc_event_unit_bytes_max(encoding, &event), out);
    cr_assert(rc_span_equal(rc_span_of(out, bytes), RC_SPAN("\x1e"
                                                            "bAQIDBA==")));
    event.data_kind = RC_DATA_ARGS; /* one argument is itself, several are an array, broken ones are none */
    event.data = RC_SPAN("\x05\0\0\0\0\0\0\0[ 7 ]");
    bytes = rc_event_unit_write(encoding, NULL, &event, rc_event_unit_bytes_max(encoding, &event), out);
    cr_assert(rc_span_equal(rc_span_of(out, bytes), RC_SPAN("\x1e"
                                                            "47")));
    event.data = RC_SPAN("\x05\0\0\0\0\0\0\0[7,8]");
    bytes = rc_event_unit_write(encoding, NULL, &event, rc_event_unit_bytes_max(encoding, &event), out);
    cr_assert(rc_span_equal(rc_span_of(out, bytes), RC_SPAN("\x1e"
                                                            "4[7,8]")));
    event.data = RC_SPAN("");
    const size_t room = rc_event_unit_bytes_max(encoding, &event);
    bytes = rc_event_unit_write(encoding, NULL, &event, room, out);
    cr_assert_leq(bytes, room);
    cr_assert(rc_span_equal(rc_span_of(out, bytes), RC_SPAN("\x1e"
                                                            "4[]")));
}
