/*
 * unit: parts of every size that changes a WebSocket header, several parts in one unit, compression in place, and that what was
 * reserved is enough.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/text/base64.h"
#include "worker/proto/unit.h"
#include "worker/ws/frame.h"
#include "worker/ws/inflate.h"

static struct rc_metrics metrics;

static uint8_t websocket(uint8_t window_bits)
{
    return rc_encoding_of(RC_CODEC_JSON, RC_FRAMING_WEBSOCKET, window_bits);
}

/* Reads the frame at `at`; what follows it. */
static const uint8_t *frame(const uint8_t *at, size_t room, struct rc_ws_header *header, const uint8_t **payload)
{
    const char *why;
    const int bytes = rc_ws_header_read(at, room, header, &why);
    cr_assert_gt(bytes, 0);
    cr_assert(header->fin && !header->masked);
    *payload = at + bytes;
    return at + bytes + header->payload_bytes;
}

/* The bound of a part may be far above what is written: the head is right all the same, and nothing lies between. */
Test(unit, heads_fit_payloads_of_every_size)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, 70000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        for (size_t bound = i; bound < sizeof(sizes) / sizeof(*sizes); bound++) {
            const size_t room = rc_unit_bytes_max(websocket(0), 1, sizes[bound]);
            uint8_t *out = malloc(room);
            struct rc_unit unit = rc_unit_of(websocket(0), NULL, out);
            memset(rc_unit_part(&unit, sizes[bound]), 'a', sizes[i]);
            rc_unit_part_end(&unit, RC_PART_BINARY, sizes[i]);
            struct rc_ws_header header;
            const uint8_t *payload;
            cr_assert_eq(frame(out, unit.bytes, &header, &payload), out + unit.bytes);
            cr_assert_eq(header.opcode, RC_WS_BINARY);
            cr_assert_eq(header.payload_bytes, sizes[i]);
            cr_assert_leq(unit.bytes, room);
            for (size_t byte = 0; byte < sizes[i]; byte++) {
                cr_assert_eq(payload[byte], 'a');
            }
            free(out);
        }
    }
}

Test(unit, parts_stand_one_behind_the_other)
{
    uint8_t out[256];
    struct rc_unit unit = rc_unit_of(websocket(0), NULL, out);
    cr_assert_leq(rc_unit_bytes_max(websocket(0), 3, 200 + 5), sizeof(out));
    memcpy(rc_unit_part(&unit, 200), "event", 5);
    rc_unit_part_end(&unit, RC_PART_TEXT, 5);
    memcpy(rc_unit_part(&unit, 5), "\x00\x01\x02", 3);
    rc_unit_part_end(&unit, RC_PART_BINARY, 3);
    (void)rc_unit_part(&unit, 0);
    rc_unit_part_end(&unit, RC_PART_PING, 0);
    static const uint8_t expected[] = {0x81, 5, 'e', 'v', 'e', 'n', 't', 0x82, 3, 0, 1, 2, 0x89, 0};
    cr_assert_eq(unit.bytes, sizeof(expected));
    cr_assert_arr_eq(out, expected, sizeof(expected));
}

Test(unit, compresses_each_part_that_is_worth_it)
{
    struct rc_compressor compressor;
    cr_assert_eq(
        rc_compressor_open(&compressor, &(struct rc_deflate_settings){.level = 6, .memory_level = 8}, &metrics), 0);
    compressor.threshold_bytes = 64;
    static uint8_t out[8192];
    static char text[4000];
    memset(text, 'x', sizeof(text));
    struct rc_unit unit = rc_unit_of(websocket(15), &compressor, out);
    memcpy(rc_unit_part(&unit, sizeof(text)), text, sizeof(text));
    rc_unit_part_end(&unit, RC_PART_TEXT, sizeof(text));
    memcpy(rc_unit_part(&unit, 10), "too short!", 10);
    rc_unit_part_end(&unit, RC_PART_TEXT, 10);
    struct rc_ws_header header;
    const uint8_t *payload;
    const uint8_t *second = frame(out, unit.bytes, &header, &payload);
    cr_assert_eq(header.rsv, RC_WS_RSV1);
    cr_assert_lt(header.payload_bytes, 100);
    cr_assert_eq(frame(second, unit.bytes - (size_t)(second - out), &header, &payload), out + unit.bytes);
    cr_assert_eq(header.rsv, 0);
    cr_assert_arr_eq(payload, "too short!", 10);
    rc_compressor_close(&compressor);
}

/* Without a window the compressor is not asked, and without a compressor the window does not count. */
Test(unit, is_plain_without_window_or_compressor)
{
    struct rc_compressor compressor;
    cr_assert_eq(
        rc_compressor_open(&compressor, &(struct rc_deflate_settings){.level = 1, .memory_level = 5}, &metrics), 0);
    static uint8_t out[1024];
    for (int with = 0; with < 2; with++) {
        struct rc_unit unit = with ? rc_unit_of(websocket(0), &compressor, out) : rc_unit_of(websocket(15), NULL, out);
        memset(rc_unit_part(&unit, 500), 'y', 500);
        rc_unit_part_end(&unit, RC_PART_TEXT, 500);
        cr_assert_eq(unit.bytes, 504);
        cr_assert_eq(out[0], 0x81);
    }
    rc_compressor_close(&compressor);
}

/* Polling: each part's head, text as it is, bytes as base64, and never more than was reserved. */
Test(unit, polling_takes_text_and_base64_of_every_length)
{
    const uint8_t encoding = rc_encoding_of(RC_CODEC_ENGINEIO, RC_FRAMING_POLLING, 0);
    uint8_t bytes[200];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(255 - i);
    }
    for (size_t count = 0; count <= sizeof(bytes); count++) {
        for (size_t slack = 0; slack < 200; slack += 67) { /* a bound above what is written moves the payload */
            uint8_t base64[RC_BASE64_BYTES(sizeof(bytes))];
            const size_t base64_bytes = rc_base64_encode(base64, bytes, count);
            const size_t room = rc_unit_bytes_max(encoding, 3, 2 * count + slack + 1);
            uint8_t *out = malloc(room);
            struct rc_unit unit = rc_unit_of(encoding, NULL, out);
            memcpy(rc_unit_part(&unit, count + slack), bytes, count);
            rc_unit_part_end(&unit, RC_PART_BINARY, count);
            memset(rc_unit_part(&unit, count), 'x', count);
            rc_unit_part_end(&unit, RC_PART_TEXT, count);
            *rc_unit_part(&unit, 1) = 0;
            rc_unit_part_end(&unit, RC_PART_BINARY, 1);
            cr_assert_leq(unit.bytes, room);
            cr_assert_eq(unit.bytes, 2 + base64_bytes + 1 + count + 2 + 4);
            cr_assert(out[0] == 0x1e && out[1] == 'b');
            cr_assert(memcmp(out + 2, base64, base64_bytes) == 0);
            cr_assert_eq(out[2 + base64_bytes], 0x1e);
            cr_assert(memcmp(out + unit.bytes - 6,
                             "\x1e"
                             "bAA==",
                             6) == 0);
            free(out);
        }
    }
}

Test(unit, polling_bounds_hold_for_many_parts)
{
    const uint8_t encoding = rc_encoding_of(RC_CODEC_SOCKETIO, RC_FRAMING_POLLING, 0);
    for (uint32_t parts = 1; parts <= 8; parts++) {
        for (size_t each = 0; each < 8; each++) {
            const size_t room = rc_unit_bytes_max(encoding, parts, parts * each);
            uint8_t *out = malloc(room);
            struct rc_unit unit = rc_unit_of(encoding, NULL, out);
            for (uint32_t part = 0; part < parts; part++) {
                memset(rc_unit_part(&unit, each), 7, each);
                rc_unit_part_end(&unit, RC_PART_BINARY, each);
            }
            cr_assert_leq(unit.bytes, room);
            free(out);
        }
    }
}
