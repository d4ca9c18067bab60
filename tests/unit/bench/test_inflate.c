/* Compressed messages: agreed upon, inflated, each for itself. */
#include "bench/inflate.h"

#include "common/base/check.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* As a server does it: raw deflate, flushed, the last four bytes left away. */
static size_t deflated(const char *text, size_t bytes, uint8_t *out, size_t room)
{
    z_stream stream = {0};
    cr_assert_eq(deflateInit2(&stream, 1, Z_DEFLATED, -15, 5, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)text;
    stream.avail_in = (uInt)bytes;
    stream.next_out = out;
    stream.avail_out = (uInt)room;
    cr_assert_eq(deflate(&stream, Z_SYNC_FLUSH), Z_OK);
    const size_t count = room - stream.avail_out;
    deflateEnd(&stream);
    cr_assert_eq(memcmp(out + count - 4, "\0\0\xff\xff", 4), 0);
    return count - 4;
}

Test(bench_inflate, messages_of_all_sizes_one_after_the_other)
{
    static const size_t sizes[] = {0, 1, 125, 4095, 4096, 4097, 8192, 300000, 3, 65536};
    static char text[300000];
    static uint8_t packed[400000];
    struct rc_bench_inflate inflate = {0};
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (char)('a' + (i * i / 7) % 26);
    }
    for (size_t i = 0; i < RC_ARRAY_COUNT(sizes); i++) {
        struct rc_span found;
        const size_t count = deflated(text, sizes[i], packed, sizeof(packed));
        cr_assert_eq(rc_bench_inflate(&inflate, rc_span_of(packed, count), 1 << 20, &found), 0, "%zu bytes", sizes[i]);
        cr_assert_eq(found.count, sizes[i]);
        cr_assert(sizes[i] == 0 || memcmp(found.bytes, text, sizes[i]) == 0);
    }
    rc_bench_inflate_free(&inflate);
}

Test(bench_inflate, garbage_and_bombs_are_refused_and_do_no_harm_to_the_next)
{
    static char zeros[100000];
    static uint8_t packed[2000];
    struct rc_bench_inflate inflate = {0};
    struct rc_span found;
    cr_assert_eq(rc_bench_inflate(&inflate, RC_SPAN("\xff\xff\xff\xff"), 1 << 20, &found), -EPROTO);
    const size_t count = deflated(zeros, sizeof(zeros), packed, sizeof(packed));
    cr_assert_eq(rc_bench_inflate(&inflate, rc_span_of(packed, count), 50000, &found), -EMSGSIZE);
    const size_t good = deflated("hello", 5, packed, sizeof(packed));
    cr_assert_eq(rc_bench_inflate(&inflate, rc_span_of(packed, good), 50000, &found), 0);
    cr_assert(found.count == 5 && memcmp(found.bytes, "hello", 5) == 0);
    rc_bench_inflate_free(&inflate);
}

Test(bench_inflate, agreement_is_what_was_offered)
{
    static const struct {
        const char *head;
        bool agreed;
    } heads[] = {
        {"HTTP/1.1 101 x\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n", true},
        {"HTTP/1.1 101 x\r\nA: b\r\nsec-websocket-extensions:permessage-deflate;server_no_context_takeover\r\n\r\n",
         true},
        {"HTTP/1.1 101 x\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", false},
        {"HTTP/1.1 101 x\r\nServer: permessage-deflate; server_no_context_takeover\r\n\r\n", false},
        {"HTTP/1.1 101 x\r\n\r\n", false},
        {"", false},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(heads); i++) {
        cr_assert_eq(rc_bench_inflate_agreed(rc_span_text(heads[i].head)), heads[i].agreed, "%s", heads[i].head);
    }
}
