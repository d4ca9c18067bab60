/*
 * unit: parts of every size that changes a WebSocket header, several parts in one unit, compression in place, and that what was
 * reserved is enough.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

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
