/* The load generator's half of RFC 6455. */
#include "bench/ws_client.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define GOOD                                                                            \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Accept: " RC_BENCH_WS_ACCEPT "\r\n\r\n"

Test(bench_ws_client, request_is_complete)
{
    char out[1024];
    const size_t bytes = rc_bench_ws_request(out, sizeof(out), "host:1", "/ws?a=b", "ringcast.v1", "Cookie: c\r\n");
    cr_assert(bytes > 0);
    cr_assert(strncmp(out, "GET /ws?a=b HTTP/1.1\r\nHost: host:1\r\n", 36) == 0);
    cr_assert_not_null(strstr(out, "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
    cr_assert_not_null(strstr(out, "\r\nSec-WebSocket-Protocol: ringcast.v1\r\nCookie: c\r\n\r\n"));
    cr_assert_eq(rc_bench_ws_request(out, 50, "host:1", "/ws", NULL, NULL), 0);
}

Test(bench_ws_client, answer_at_every_split)
{
    unsigned status;
    for (size_t bytes = 0; bytes < sizeof(GOOD) - 1; bytes++) {
        cr_assert_eq(rc_bench_ws_answer(GOOD, bytes, &status), 0, "at %zu", bytes);
    }
    cr_assert_eq(rc_bench_ws_answer(GOOD "\x81\x00", sizeof(GOOD) + 1, &status), (int)sizeof(GOOD) - 1);
    cr_assert_eq(status, 101);
}

Test(bench_ws_client, wrong_answers)
{
    static const char *const texts[] = {
        "HTTP/1.1 404 Not Found\r\n\r\n",
        "HTTP/1.1 10x\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    };
    unsigned status;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cr_assert_eq(rc_bench_ws_answer(texts[i], strlen(texts[i]), &status), -EPROTO, "%s", texts[i]);
    }
    rc_bench_ws_answer(texts[0], strlen(texts[0]), &status);
    cr_assert_eq(status, 404);
}

Test(bench_ws_client, frame_headers_of_all_lengths)
{
    static const struct {
        uint8_t bytes[10];
        size_t count;
        uint64_t payload;
    } good[] = {
        {{0x81, 0}, 2, 0},
        {{0x81, 125}, 2, 125},
        {{0x82, 126, 0x01, 0x00}, 4, 256},
        {{0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}, 10, 65536},
        {{0x89, 3}, 2, 3},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct rc_bench_ws_frame frame;
        for (size_t count = 0; count < good[i].count; count++) {
            cr_assert_eq(rc_bench_ws_parse(good[i].bytes, count, 1 << 20, &frame), 0);
        }
        cr_assert_eq(rc_bench_ws_parse(good[i].bytes, good[i].count, 1 << 20, &frame), (int)good[i].count);
        cr_assert_eq(frame.payload_bytes, good[i].payload);
        cr_assert(frame.last);
    }
}

Test(bench_ws_client, forbidden_frames)
{
    static const uint8_t bad[][10] = {
        {0xa1, 0},    /* reserved bit */
        {0x91, 0},    /* the other */
        {0xc0, 0},    /* compressed, but no first frame */
        {0xc9, 0},    /* a compressed ping */
        {0x81, 0x80}, /* masked */
        {0x83, 0},    /* unknown opcodes */
        {0x8b, 0},
        {0x09, 0},                              /* fragmented ping */
        {0x89, 126, 0, 126},                    /* long ping */
        {0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0}, /* above the limit */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct rc_bench_ws_frame frame;
        cr_assert_eq(rc_bench_ws_parse(bad[i], 10, 1 << 20, &frame), -EPROTO, "%zu", i);
    }
}

Test(bench_ws_client, client_frames_unmask_to_what_was_sent)
{
    static const size_t sizes[] = {0, 1, 5, 125, 126, 127, 1000, 65535, 65536, 70001};
    static uint8_t frame[80000];
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (uint32_t key = 0; key < 2; key++) {
            const uint32_t mask = key * 0xa1b2c3d4u;
            const size_t header = rc_bench_ws_header(frame, RC_BENCH_WS_TEXT, sizes[i], mask);
            cr_assert_eq(header, rc_bench_ws_header_bytes(sizes[i]));
            cr_assert(frame[0] == 0x81 && (frame[1] & 0x80) != 0);
            memset(frame + header, 'x', sizes[i]);
            rc_bench_ws_mask(frame + header, sizes[i], mask);
            for (size_t at = 0; at < sizes[i]; at++) {
                cr_assert_eq(frame[header + at] ^ frame[header - 4 + at % 4], 'x');
            }
        }
    }
}
