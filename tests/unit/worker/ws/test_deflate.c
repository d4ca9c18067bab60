/*
 * Compressing and inflating messages, against the vectors of RFC 7692, against zlib itself, and against limits.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/base/check.h"
#include "worker/ws/deflate.h"
#include "worker/ws/inflate.h"

static const struct rc_deflate_settings settings = {.level = 6, .memory_level = 8};

/* A buffer that is exactly as large as asked for, so that a sanitizer sees a byte too much. */
struct buffer {
    uint8_t *bytes;
    size_t capacity;
    size_t refuse_above; /* 0 = never */
    size_t largest;
};

static uint8_t *reserve(void *context, size_t bytes_total, size_t used)
{
    struct buffer *buffer = context;
    if (buffer->refuse_above != 0 && bytes_total > buffer->refuse_above) {
        return NULL;
    }
    cr_assert_leq(used, buffer->capacity);
    uint8_t *moved = malloc(bytes_total == 0 ? 1 : bytes_total);
    cr_assert_not_null(moved);
    if (used != 0) {
        memcpy(moved, buffer->bytes, used);
    }
    free(buffer->bytes);
    buffer->bytes = moved;
    buffer->capacity = bytes_total;
    buffer->largest = bytes_total > buffer->largest ? bytes_total : buffer->largest;
    return moved;
}

struct inflated {
    int rc;
    uint8_t *bytes;
    size_t count;
    struct buffer buffer;
};

/* Inflates from memory that ends where the message does. */
static struct inflated inflate_one(struct rc_inflater *inflater, const void *in, size_t n, struct rc_span history,
                                   uint64_t bytes_max)
{
    struct inflated result = {0};
    const struct rc_ws_buffer_ops ops = {.reserve = reserve, .context = &result.buffer};
    uint8_t *copy = malloc(n == 0 ? 1 : n);
    memcpy(copy, in, n);
    result.rc = rc_inflate(inflater, copy, n, history, bytes_max, &ops, &result.bytes, &result.count);
    free(copy);
    cr_assert_leq(result.buffer.largest, bytes_max);
    return result;
}

static void expect_text(struct rc_inflater *inflater, const void *in, size_t n, const char *text)
{
    struct inflated result = inflate_one(inflater, in, n, (struct rc_span){0}, 1000);
    cr_assert_eq(result.rc, 0, "%d for \"%s\"", result.rc, text);
    cr_assert_not_null(result.bytes);
    cr_assert_eq(result.count, strlen(text), "%zu", result.count);
    cr_assert(memcmp(result.bytes, text, result.count) == 0);
    free(result.buffer.bytes);
}

static void expect_error(struct rc_inflater *inflater, const void *in, size_t n, int rc)
{
    struct inflated result = inflate_one(inflater, in, n, (struct rc_span){0}, 1000);
    cr_expect_eq(result.rc, rc, "%d", result.rc);
    free(result.buffer.bytes);
}

static uint32_t noise_state = 1;
static uint8_t noise(void)
{
    noise_state = noise_state * 1664525u + 1013904223u;
    return (uint8_t)(noise_state >> 24);
}

/* Bytes of some sort: 0 = noise, 1 = text with repeats near and far, 2 = one byte. */
static uint8_t *sample(size_t n, int sort)
{
    uint8_t *bytes = malloc(n == 0 ? 1 : n);
    for (size_t i = 0; i < n; i++) {
        size_t back = 1 + (size_t)noise() * (i % 7 == 0 ? 130 : 1);
        bytes[i] = sort == 0                 ? noise()
                   : sort == 2               ? 'a'
                   : i > back && i % 11 != 0 ? bytes[i - back]
                                             : (uint8_t)('a' + noise() % 26);
    }
    return bytes;
}

Test(ws_deflate, the_examples_of_rfc_7692_inflate)
{
    struct rc_inflater inflater;
    cr_assert_eq(rc_inflater_open(&inflater), 0);
    static const uint8_t fixed[] = {0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00};                          /* 7.2.3.1 */
    static const uint8_t stored[] = {0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00}; /* 7.2.3.3 */
    static const uint8_t final[] = {0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00};                    /* 7.2.3.4 */
    static const uint8_t two_blocks[] = {0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff,
                                         0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00}; /* 7.2.3.5 */
    expect_text(&inflater, fixed, sizeof(fixed), "Hello");
    expect_text(&inflater, stored, sizeof(stored), "Hello");
    expect_text(&inflater, final, sizeof(final), "Hello");
    expect_text(&inflater, two_blocks, sizeof(two_blocks), "Hello");
    expect_text(&inflater, "\x00", 1, ""); /* 7.2.3.6 */
    rc_inflater_close(&inflater);
}

Test(ws_deflate, the_window_goes_on_from_message_to_message_when_it_is_remembered)
{
    static const uint8_t first[] = {0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00};
    static const uint8_t second[] = {0xf2, 0x00, 0x11, 0x00, 0x00}; /* 7.2.3.2: "Hello" as a reference to the first */
    struct rc_inflater inflater;
    uint8_t window[256];
    cr_assert_eq(rc_inflater_open(&inflater), 0);
    struct inflated one = inflate_one(&inflater, first, sizeof(first), (struct rc_span){0}, 1000);
    size_t used = rc_inflate_remember(window, 0, 8, one.bytes, one.count);
    cr_assert_eq(used, 5u);
    struct inflated two = inflate_one(&inflater, second, sizeof(second), rc_span_of(window, used), 1000);
    cr_assert_eq(two.rc, 0);
    cr_assert(two.count == 5 && memcmp(two.bytes, "Hello", 5) == 0);
    struct inflated forgot = inflate_one(&inflater, second, sizeof(second), (struct rc_span){0}, 1000);
    cr_assert_eq(forgot.rc, -EBADMSG);
    free(one.buffer.bytes);
    free(two.buffer.bytes);
    free(forgot.buffer.bytes);
    rc_inflater_close(&inflater);
}

Test(ws_deflate, final_blocks_end_no_message)
{
    struct rc_inflater inflater;
    cr_assert_eq(rc_inflater_open(&inflater), 0);
    static const uint8_t twice[] = {0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf3,
                                    0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00};
    static const uint8_t then_open[] = {0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00,
                                        0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00};
    static const uint8_t unpadded[] = {0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00};
    static const uint8_t back_over_the_end[] = {0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf2, 0x00, 0x11, 0x00, 0x00};
    expect_text(&inflater, twice, sizeof(twice), "HelloHello");
    expect_text(&inflater, then_open, sizeof(then_open), "HelloHello");
    expect_text(&inflater, unpadded, sizeof(unpadded), "Hello");
    expect_text(&inflater, back_over_the_end, sizeof(back_over_the_end), "HelloHello");
    expect_text(&inflater, "", 0, "");
    rc_inflater_close(&inflater);
}

Test(ws_deflate, what_is_no_stream_or_does_not_end_with_the_message_is_an_error)
{
    struct rc_inflater inflater;
    cr_assert_eq(rc_inflater_open(&inflater), 0);
    static const uint8_t hello[] = {0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00};
    expect_error(&inflater, "\x06", 1, -EBADMSG); /* BTYPE 11 */
    expect_error(&inflater, "\xff\xff\xff\xff", 4, -EBADMSG);
    expect_error(&inflater, "\x00\x05\x00\x05\x00Hello", 10, -EBADMSG); /* lengths that do not agree */
    expect_error(&inflater, "\x02\x00\x11\x00\x00", 5, -EBADMSG);       /* refers to before the start */
    expect_error(&inflater, "\x00\x00", 2, -EBADMSG);                   /* one byte too many */
    expect_error(&inflater, "\x00\x00\x00\xff\xff", 5, -EBADMSG); /* the tail not taken off, and nothing behind it */
    for (size_t n = 1; n < sizeof(hello); n++) {
        expect_error(&inflater, hello, n, -EBADMSG);
    }
    /* It is as good as new after that. */
    expect_text(&inflater, hello, sizeof(hello), "Hello");
    rc_inflater_close(&inflater);
}

Test(ws_deflate, a_bomb_stops_at_the_limit)
{
    enum { BOMB_BYTES = 100 * 1000 * 1000 };
    struct rc_inflater inflater;
    struct rc_deflater deflater;
    uint8_t *zeros = calloc(1, BOMB_BYTES);
    uint8_t *packed = malloc(rc_deflate_bound(BOMB_BYTES));
    cr_assert_eq(rc_inflater_open(&inflater), 0);
    cr_assert_eq(rc_deflater_open(&deflater, &settings), 0);
    int64_t n = rc_deflate(&deflater, 15, zeros, BOMB_BYTES, packed, rc_deflate_bound(BOMB_BYTES));
    cr_assert(n > 0 && n < BOMB_BYTES / 900);
    struct inflated result = inflate_one(&inflater, packed, (size_t)n, (struct rc_span){0}, 65536);
    cr_assert_eq(result.rc, -EMSGSIZE);
    cr_assert_eq(result.count, 65536u, "%zu", result.count);
    cr_assert_leq(result.buffer.largest, 65536u);
    free(result.buffer.bytes);
    free(zeros);
    free(packed);
    rc_deflater_close(&deflater);
    rc_inflater_close(&inflater);
}

Test(ws_deflate, exactly_the_limit_is_allowed_and_one_byte_more_is_not)
{
    struct rc_inflater inflater;
    struct rc_deflater deflater;
    cr_assert_eq(rc_inflater_open(&inflater), 0);
    cr_assert_eq(rc_deflater_open(&deflater, &settings), 0);
    static const size_t sizes[] = {3, 511, 512, 513, 1024, 4096, 65536, 100000};
    for (size_t i = 0; i < RC_ARRAY_COUNT(sizes); i++) {
        uint8_t *bytes = sample(sizes[i], 2), *packed = malloc(rc_deflate_bound(sizes[i]));
        int64_t n = rc_deflate(&deflater, 15, bytes, sizes[i], packed, rc_deflate_bound(sizes[i]));
        if (n == 0) { /* three bytes do not get smaller: a stored block instead */
            uint8_t stored[] = {0x00, 0x03, 0x00, 0xfc, 0xff, 'a', 'a', 'a', 0x00};
            n = sizeof(stored);
            packed = realloc(packed, sizeof(stored));
            memcpy(packed, stored, sizeof(stored));
        }
        struct inflated fits = inflate_one(&inflater, packed, (size_t)n, (struct rc_span){0}, sizes[i]);
        struct inflated not = inflate_one(&inflater, packed, (size_t)n, (struct rc_span){0}, sizes[i] - 1);
        cr_assert_eq(fits.rc, 0, "%zu: %d", sizes[i], fits.rc);
        cr_assert_eq(fits.count, sizes[i]);
        cr_assert_eq(not .rc, -EMSGSIZE, "%zu: %d", sizes[i], not .rc);
        free(fits.buffer.bytes);
        free(not .buffer.bytes);
        free(bytes);
        free(packed);
    }
    rc_deflater_close(&deflater);
    rc_inflater_close(&inflater);
}

Test(ws_deflate, no_memory_for_the_output_is_an_error_of_its_own)
{
    struct rc_inflater inflater;
    struct rc_deflater deflater;
    cr_assert_eq(rc_inflater_open(&inflater), 0);
    cr_assert_eq(rc_deflater_open(&deflater, &settings), 0);
    uint8_t *bytes = sample(100000, 2), *packed = malloc(rc_deflate_bound(100000)), *out;
    int64_t n = rc_deflate(&deflater, 15, bytes, 100000, packed, rc_deflate_bound(100000));
    size_t count;
    for (size_t most = 1; most < 100000; most *= 4) {
        struct buffer buffer = {.refuse_above = most};
        const struct rc_ws_buffer_ops ops = {.reserve = reserve, .context = &buffer};
        cr_assert_eq(rc_inflate(&inflater, packed, (size_t)n, (struct rc_span){0}, 200000, &ops, &out, &count),
                     -ENOMEM);
        free(buffer.bytes);
    }
    free(bytes);
    free(packed);
    rc_deflater_close(&deflater);
    rc_inflater_close(&inflater);
}

/* A client's compressor, keeping its window; and zlib's own inflater for what we make. */
static size_t client_deflate(z_stream *stream, const uint8_t *in, size_t n, uint8_t *out, size_t capacity)
{
    stream->next_in = (Bytef *)(uintptr_t)in;
    stream->avail_in = (uInt)n;
    stream->next_out = out;
    stream->avail_out = (uInt)capacity;
    cr_assert_eq(deflate(stream, Z_SYNC_FLUSH), Z_OK);
    cr_assert_neq(stream->avail_out, 0u);
    return capacity - stream->avail_out - 4;
}

Test(ws_deflate, a_client_with_context_takeover_is_understood_in_every_window_and_nothing_is_allocated)
{
    struct rc_inflater inflater;
    cr_assert_eq(rc_inflater_open(&inflater), 0);
    const uint64_t allocations = inflater.allocations;
    for (unsigned bits = 9; bits <= 15; bits++) {
        z_stream client = {0};
        cr_assert_eq(deflateInit2(&client, 6, Z_DEFLATED, -(int)bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
        uint8_t *window = NULL;
        size_t used = 0;
        for (int message = 0; message < 60; message++) {
            const size_t n = message % 5 == 4 ? 40000 : (size_t)noise() * 20;
            uint8_t *bytes = sample(n, message % 4 == 3 ? 0 : 1), *packed = malloc(n + n / 8 + 100);
            const size_t packed_bytes = n == 0 ? 0 : client_deflate(&client, bytes, n, packed, n + n / 8 + 100);
            struct inflated result = inflate_one(&inflater, packed, packed_bytes, rc_span_of(window, used), 1u << 20);
            cr_assert_eq(result.rc, 0);
            cr_assert_eq(result.count, n);
            cr_assert(memcmp(result.bytes, bytes, n) == 0);
            const size_t wanted = rc_inflate_history_bytes(used, n, bits);
            cr_assert_leq(wanted, (size_t)1 << bits);
            window = realloc(window, wanted == 0 ? 1 : wanted);
            used = rc_inflate_remember(window, used, bits, result.bytes, result.count);
            cr_assert_eq(used, wanted);
            free(result.buffer.bytes);
            free(bytes);
            free(packed);
        }
        free(window);
        deflateEnd(&client);
    }
    cr_assert_eq(inflater.allocations, allocations, "zlib allocated on the message path");
    rc_inflater_close(&inflater);
}

/* Inflates with a window of exactly `bits`, a byte at a time so that no more than the window can be referred to. */
static bool zlib_inflates(const uint8_t *in, size_t n, unsigned bits, const uint8_t *expected, size_t expected_bytes)
{
    z_stream stream = {0};
    uint8_t *with_tail = malloc(n + 4);
    memcpy(with_tail, in, n);
    memcpy(with_tail + n, "\x00\x00\xff\xff", 4);
    stream.next_in = with_tail;
    stream.avail_in = (uInt)(n + 4);
    cr_assert_eq(inflateInit2(&stream, -(int)bits), Z_OK);
    size_t made = 0;
    for (;;) {
        uint8_t byte;
        stream.next_out = &byte;
        stream.avail_out = 1;
        int rc = inflate(&stream, Z_SYNC_FLUSH);
        if (stream.avail_out == 0) {
            if (made == expected_bytes || byte != expected[made++]) {
                break;
            }
            continue;
        }
        inflateEnd(&stream);
        free(with_tail);
        return made == expected_bytes && stream.avail_in == 0 && (rc == Z_OK || rc == Z_BUF_ERROR);
    }
    inflateEnd(&stream);
    free(with_tail);
    return false;
}

Test(ws_deflate, what_is_made_fits_the_window_that_was_promised)
{
    static const size_t sizes[] = {2, 3, 10, 100, 249, 250, 251, 256, 257, 300, 512, 1000, 5000, 40000, 100000};
    struct rc_deflater deflater;
    cr_assert_eq(rc_deflater_open(&deflater, &settings), 0);
    cr_assert(rc_deflate_serves_256());
    for (unsigned bits = 8; bits <= 15; bits++) {
        for (size_t i = 0; i < RC_ARRAY_COUNT(sizes); i++) {
            for (int sort = 0; sort < 3; sort++) {
                uint8_t *bytes = sample(sizes[i], sort), *packed = malloc(rc_deflate_bound(sizes[i]));
                int64_t n = rc_deflate(&deflater, bits, bytes, sizes[i], packed, rc_deflate_bound(sizes[i]));
                cr_assert_geq(n, 0);
                cr_assert_lt(n, (int64_t)sizes[i]);
                cr_assert(sort == 0 || sizes[i] < 300 || n > 0, "%zu bytes of sort %d became no smaller", sizes[i],
                          sort);
                if (n > 0) {
                    cr_assert(zlib_inflates(packed, (size_t)n, bits, bytes, sizes[i]), "%u bits, %zu bytes, sort %d",
                              bits, sizes[i], sort);
                }
                free(bytes);
                free(packed);
            }
        }
    }
    rc_deflater_close(&deflater);
}

Test(ws_deflate, each_message_stands_for_itself_and_states_are_reused)
{
    struct rc_deflater deflater;
    cr_assert_eq(rc_deflater_open(&deflater, &settings), 0);
    uint8_t *bytes = sample(3000, 1), first[3004], again[3004];
    int64_t n = rc_deflate(&deflater, 12, bytes, 3000, first, sizeof(first));
    uint8_t *other = sample(2000, 0);
    const uint64_t allocations = deflater.allocations;
    for (int i = 0; i < 100; i++) {
        rc_deflate(&deflater, 12, other, 2000, again, sizeof(again));
    }
    cr_assert_eq(rc_deflate(&deflater, 12, bytes, 3000, again, sizeof(again)), n);
    cr_assert(memcmp(first, again, (size_t)n) == 0);
    cr_assert_eq(deflater.allocations, allocations);
    free(bytes);
    free(other);
    rc_deflater_close(&deflater);
}

/* As a client would: "deflate" is zlib's format (15), gzip its own (15 + 16). */
static void expect_whole(const uint8_t *packed, size_t n, int window_bits, const uint8_t *bytes, size_t count)
{
    uint8_t *out = malloc(count + 1);
    z_stream stream = {
        .next_in = (Bytef *)(uintptr_t)packed, .avail_in = (uInt)n, .next_out = out, .avail_out = (uInt)(count + 1)};
    cr_assert_eq(inflateInit2(&stream, window_bits), Z_OK);
    cr_assert_eq(inflate(&stream, Z_FINISH), Z_STREAM_END, "checksums are looked at");
    cr_assert_eq(stream.avail_in, 0);
    cr_assert_eq(stream.total_out, count);
    cr_assert(memcmp(out, bytes, count) == 0);
    (void)inflateEnd(&stream);
    free(out);
}

Test(ws_deflate, a_body_is_compressed_whole_as_clients_read_it)
{
    static const size_t sizes[] = {1, 18, 19, 20, 60, 1024, 5000, 70000, 300000};
    struct rc_deflater deflater;
    cr_assert_eq(rc_deflater_open(&deflater, &(struct rc_deflate_settings){.level = 1, .memory_level = 5}), 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (int sort = 0; sort < 3; sort++) {
            uint8_t *bytes = sample(sizes[i], sort);
            uint8_t *packed = malloc(sizes[i]);
            for (int gzip = 0; gzip < 2; gzip++) {
                const int64_t n = rc_deflate_whole(&deflater, gzip ? RC_DEFLATE_GZIP : RC_DEFLATE_ZLIB, bytes, sizes[i],
                                                   packed, sizes[i]);
                cr_assert(n >= 0 && (size_t)n < sizes[i]);
                cr_assert(n > 0 || sort == 0 || sizes[i] <= 60, "%zu bytes of sort %d become smaller", sizes[i], sort);
                cr_assert(n == 0 || sort != 0, "noise does not");
                if (n > 0) {
                    expect_whole(packed, (size_t)n, gzip ? 31 : 15, bytes, sizes[i]);
                }
            }
            free(packed);
            free(bytes);
        }
    }
    const uint64_t allocations = deflater.allocations;
    uint8_t *bytes = sample(3000, 1);
    uint8_t packed[3004];
    cr_assert_gt(rc_deflate(&deflater, 15, bytes, 3000, packed, sizeof(packed)), 0);
    cr_assert_gt(rc_deflate_whole(&deflater, RC_DEFLATE_GZIP, bytes, 3000, packed, sizeof(packed)), 0);
    cr_assert_eq(deflater.allocations, allocations, "one state serves messages and bodies");
    free(bytes);
    rc_deflater_close(&deflater);
}

Test(ws_deflate, thresholds_and_settings_are_judged)
{
    struct rc_deflater deflater;
    cr_assert_not(rc_deflate_wanted(0, 0));
    cr_assert_not(rc_deflate_wanted(2, 0));
    cr_assert(rc_deflate_wanted(3, 0));
    cr_assert_not(rc_deflate_wanted(255, 256));
    cr_assert(rc_deflate_wanted(256, 256));
    cr_assert_not(rc_deflate_wanted((size_t)RC_DEFLATE_MESSAGE_BYTES_MAX + 1, 256));
    cr_assert_eq(rc_deflater_open(&deflater, &(struct rc_deflate_settings){.level = 0, .memory_level = 8}), -EINVAL);
    cr_assert_eq(rc_deflater_open(&deflater, &(struct rc_deflate_settings){.level = 6, .memory_level = 10}), -EINVAL);
}

Test(ws_deflate, a_history_keeps_the_last_bytes)
{
    uint8_t window[256], bytes[1000];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    }
    for (size_t first = 0; first <= 600; first += 37) {
        for (size_t second = 0; second <= 400; second += 41) {
            size_t used = rc_inflate_remember(window, 0, 8, bytes, first);
            cr_assert_eq(used, first < 256 ? first : 256);
            used = rc_inflate_remember(window, used, 8, bytes + first, second);
            cr_assert_eq(used, first + second < 256 ? first + second : 256);
            cr_assert(memcmp(window, bytes + first + second - used, used) == 0, "%zu %zu", first, second);
        }
    }
}
