/*
 * Frame headers and close frames.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/ws/frame.h"
#include "worker/ws/utf8.h"

/* Reads from memory that ends where the bytes do, so that a sanitizer sees a byte too much. */
static int read_exact(const uint8_t *bytes, size_t n, struct rc_ws_header *out)
{
    const char *why = NULL;
    uint8_t *copy = malloc(n == 0 ? 1 : n);
    memcpy(copy, bytes, n);
    int outcome = rc_ws_header_read(copy, n, out, &why);
    cr_assert_eq(outcome < 0, why != NULL);
    free(copy);
    return outcome;
}

Test(ws_frame, written_headers_are_shortest_and_read_back)
{
    static const struct {
        uint64_t payload;
        size_t bytes;
    } vectors[] = {{0, 2},     {1, 2},      {125, 2},         {126, 4},         {127, 4},       {255, 4},
                   {65535, 4}, {65536, 10}, {UINT32_MAX, 10}, {1ull << 32, 10}, {INT64_MAX, 10}};
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        uint8_t bytes[RC_WS_HEADER_BYTES_MAX] = {0};
        struct rc_ws_header header;
        size_t n = rc_ws_header_write(bytes, i % 2 == 0, RC_WS_BINARY, RC_WS_RSV1, vectors[i].payload);
        cr_assert_eq(n, vectors[i].bytes);
        cr_assert_eq(n, rc_ws_header_bytes(vectors[i].payload));
        for (size_t have = 0; have < n; have++) {
            cr_assert_eq(read_exact(bytes, have, &header), 0, "payload %zu, first %zu", (size_t)vectors[i].payload,
                         have);
        }
        cr_assert_eq(read_exact(bytes, n, &header), (int)n);
        cr_assert_eq(header.payload_bytes, vectors[i].payload);
        cr_assert_eq(header.fin, i % 2 == 0);
        cr_assert_eq(header.opcode, RC_WS_BINARY);
        cr_assert_eq(header.rsv, RC_WS_RSV1);
        cr_assert_not(header.masked);
        cr_assert_eq(header.key, 0);
    }
}

Test(ws_frame, masked_headers_carry_the_key_as_it_lies_in_memory)
{
    uint8_t bytes[] = {0x81, 0xFE, 0x01, 0x00, 1, 2, 3, 4};
    struct rc_ws_header header;
    cr_assert_eq(read_exact(bytes, 7, &header), 0);
    cr_assert_eq(read_exact(bytes, 8, &header), 8);
    cr_assert(header.masked);
    cr_assert_eq(header.payload_bytes, 256);
    cr_assert_arr_eq((uint8_t *)&header.key, bytes + 4, 4);
}

/* Each with the number of bytes that prove it. */
Test(ws_frame, broken_headers_are_refused_at_the_byte_that_proves_it)
{
    static const struct {
        const char *name;
        uint8_t bytes[10];
        size_t needed;
    } vectors[] = {
        {"opcode 3", {0x83, 0x80}, 1},
        {"opcode 7", {0x87, 0x80}, 1},
        {"opcode 11", {0x8B, 0x80}, 1},
        {"opcode 15", {0x8F, 0x80}, 1},
        {"fragmented ping", {0x09, 0x80}, 1},
        {"fragmented close", {0x08, 0x80}, 1},
        {"ping of 126", {0x89, 0xFE, 0, 126}, 2},
        {"pong of 64 bit", {0x8A, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0}, 2},
        {"16 bits for 125", {0x82, 0xFE, 0, 125}, 4},
        {"16 bits for 0", {0x82, 0x7E, 0, 0}, 4},
        {"64 bits for 65535", {0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF}, 8},
        {"64 bits for 0", {0x82, 0x7F, 0, 0, 0, 0, 0, 0, 0, 0}, 8},
        {"top bit", {0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0}, 3},
    };
    struct rc_ws_header header;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        for (size_t n = 0; n < vectors[i].needed; n++) {
            cr_expect_eq(read_exact(vectors[i].bytes, n, &header), 0, "%s, first %zu", vectors[i].name, n);
        }
        for (size_t n = vectors[i].needed; n <= 10; n++) {
            cr_expect_eq(read_exact(vectors[i].bytes, n, &header), -EPROTO, "%s, first %zu", vectors[i].name, n);
        }
    }
}

Test(ws_frame, close_codes_that_a_peer_may_send)
{
    static const uint16_t valid[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011,
                                     1012, 1013, 1014, 3000, 3999, 4000, 4499, 4500, 4999};
    static const uint16_t invalid[] = {0,    1,    999,  1004, 1005, 1006,  1015, 1016,
                                       1100, 2000, 2999, 5000, 9999, 32768, 65535};
    for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++) {
        cr_expect(rc_ws_close_code_valid_received(valid[i]), "%u", valid[i]);
    }
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        cr_expect_not(rc_ws_close_code_valid_received(invalid[i]), "%u", invalid[i]);
    }
}

Test(ws_frame, close_frames)
{
    uint8_t out[RC_WS_CLOSE_FRAME_BYTES_MAX];
    cr_assert_eq(rc_ws_close_write(out, RC_WS_CLOSE_NO_STATUS, "unused", 6), 2);
    cr_assert_arr_eq(out, "\x88\x00", 2);
    cr_assert_eq(rc_ws_close_write(out, 1000, NULL, 5), 4);
    cr_assert_arr_eq(out, "\x88\x02\x03\xE8", 4);
    cr_assert_eq(rc_ws_close_write(out, 1012, "later", 5), 9);
    cr_assert_arr_eq(out, "\x88\x07\x03\xF4later", 9);
}

Test(ws_frame, close_reasons_are_cut_between_code_points)
{
    static const char *const points[] = {"x", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    for (size_t p = 0; p < 4; p++) {
        for (size_t before = 0; before < 8; before++) {
            char reason[400];
            size_t n = before, length = strlen(points[p]);
            memset(reason, 'r', before);
            for (; n + length <= 300; n += length) {
                memcpy(reason + n, points[p], length);
            }
            uint8_t *out = malloc(RC_WS_CLOSE_FRAME_BYTES_MAX);
            size_t bytes = rc_ws_close_write(out, 4000, reason, n);
            cr_assert_leq(bytes, RC_WS_CLOSE_FRAME_BYTES_MAX);
            cr_assert_gt(bytes, RC_WS_CLOSE_FRAME_BYTES_MAX - length);
            cr_assert_eq(out[1], bytes - 2);
            cr_assert(rc_utf8_valid(out + 4, bytes - 4));
            free(out);
        }
    }
}
