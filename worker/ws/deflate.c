/*
 * Compressing messages, each from an empty window.
 *
 * About window_bits = 8: zlib refuses it for raw deflate (a window of 256 cannot hold its longest match with lookahead).
 * But its window of 512 finds matches at most 512 - 262 = 250 bytes back (MAX_DIST in deflate.h), so that what it makes
 * with 9 bits is also a stream for 8. That is the implementation's property, not its promise: hence
 * rc_deflate_serves_256.
 */
#include "worker/ws/deflate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/base/check.h"

#define ZLIB_BITS_MIN 9u
#define MEMORY_LEVEL_BELOW_BITS 6u /* see deflate_stream */
#define TAIL_BYTES 4u              /* 00 00 FF FF of Z_SYNC_FLUSH */

static void *deflate_alloc(void *context, uInt items, uInt bytes)
{
    struct rc_deflater *deflater = context;
    deflater->allocations++;
    deflater->memory_bytes += (size_t)items * bytes;
    return calloc(items, bytes);
}

static void deflate_free(void *context, void *memory)
{
    (void)context;
    free(memory);
}

int rc_deflater_open(struct rc_deflater *deflater, const struct rc_deflate_settings *settings)
{
    if (settings->level < 1 || settings->level > 9 || settings->memory_level < 1 || settings->memory_level > 9) {
        return -EINVAL;
    }
    *deflater = (struct rc_deflater){.settings = *settings};
    return 0;
}

void rc_deflater_close(struct rc_deflater *deflater)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(deflater->streams); i++) {
        if (deflater->streams[i] != NULL) {
            (void)deflateEnd(deflater->streams[i]);
            free(deflater->streams[i]);
        }
    }
    *deflater = (struct rc_deflater){.settings = deflater->settings};
}

/* The state for a window size, with nothing in its window; NULL without memory. */
static z_stream *deflate_stream(struct rc_deflater *deflater, unsigned window_bits)
{
    const unsigned bits = window_bits < ZLIB_BITS_MIN ? ZLIB_BITS_MIN : window_bits;
    void **place = &deflater->streams[bits - ZLIB_BITS_MIN];
    if (*place != NULL) {
        RC_ASSERT(deflateReset(*place) == Z_OK);
        return *place;
    }
    z_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        return NULL;
    }
    stream->zalloc = deflate_alloc;
    stream->zfree = deflate_free;
    stream->opaque = deflater;
    /* zlib goes through its whole hash table each time that it has filled its window: a large table with a window of 512
     * bytes makes a message of 64 KiB three times as expensive (1.8 ms against 0.6). */
    const unsigned level_max = bits - MEMORY_LEVEL_BELOW_BITS;
    const unsigned memory_level = deflater->settings.memory_level;
    if (deflateInit2(stream, deflater->settings.level, Z_DEFLATED, -(int)bits,
                     (int)(memory_level < level_max ? memory_level : level_max), Z_DEFAULT_STRATEGY) != Z_OK) {
        free(stream);
        return NULL;
    }
    *place = stream;
    return stream;
}

int64_t rc_deflate(struct rc_deflater *deflater, unsigned window_bits, const uint8_t *in, size_t n, uint8_t *out,
                   size_t capacity)
{
    RC_ASSERT(window_bits >= RC_DEFLATE_WINDOW_BITS_MIN && window_bits <= RC_DEFLATE_WINDOW_BITS_MAX);
    RC_ASSERT(capacity >= rc_deflate_bound(n));
    if (n < 2 || n > RC_DEFLATE_MESSAGE_BYTES_MAX) {
        return 0;
    }
    z_stream *stream = deflate_stream(deflater, window_bits);
    if (stream == NULL) {
        return -ENOMEM;
    }
    /* Room for n - 1 bytes and the tail, and one byte that must stay free: full means that there was more to come. */
    stream->next_in = (Bytef *)(uintptr_t)in;
    stream->avail_in = (uInt)n;
    stream->next_out = out;
    stream->avail_out = (uInt)(n - 1 + TAIL_BYTES + 1);
    const int rc = deflate(stream, Z_SYNC_FLUSH);
    RC_ASSERT(rc == Z_OK || rc == Z_BUF_ERROR);
    if (stream->avail_in != 0 || stream->avail_out == 0) {
        return 0;
    }
    const size_t made = (size_t)(stream->next_out - out);
    RC_ASSERT(made > TAIL_BYTES && memcmp(out + made - TAIL_BYTES, "\x00\x00\xff\xff", TAIL_BYTES) == 0);
    return (int64_t)(made - TAIL_BYTES);
}

static void put_u32(uint8_t *out, uint32_t value, bool little_endian)
{
    for (unsigned i = 0; i < 4; i++) {
        out[i] = (uint8_t)(value >> 8 * (little_endian ? i : 3 - i));
    }
}

int64_t rc_deflate_whole(struct rc_deflater *deflater, enum rc_deflate_wrap wrap, const uint8_t *in, size_t n,
                         uint8_t *out, size_t capacity)
{
    /* RFC 1950 2.2: window of 32 KiB, no dictionary, "fastest"; RFC 1952 2.3: no name, no time, of no system. */
    static const uint8_t zlib_head[] = {0x78, 0x01};
    static const uint8_t gzip_head[] = {0x1f, 0x8b, Z_DEFLATED, 0, 0, 0, 0, 0, 0, 255};
    const bool gzip = wrap == RC_DEFLATE_GZIP;
    const size_t head = gzip ? sizeof(gzip_head) : sizeof(zlib_head);
    const size_t tail = gzip ? 8 : 4; /* CRC-32 and size; or Adler-32 */
    RC_ASSERT(capacity >= n);
    if (n <= head + tail + 1 || n > RC_DEFLATE_MESSAGE_BYTES_MAX) {
        return 0;
    }
    z_stream *stream = deflate_stream(deflater, RC_DEFLATE_WINDOW_BITS_MAX);
    if (stream == NULL) {
        return -ENOMEM;
    }
    memcpy(out, gzip ? gzip_head : zlib_head, head);
    stream->next_in = (Bytef *)(uintptr_t)in;
    stream->avail_in = (uInt)n;
    stream->next_out = out + head;
    stream->avail_out = (uInt)(n - head - tail - 1);
    if (deflate(stream, Z_FINISH) != Z_STREAM_END) {
        return 0; /* there is more than fits */
    }
    uint8_t *at = stream->next_out;
    if (gzip) {
        put_u32(at, (uint32_t)crc32(0, in, (uInt)n), true);
        put_u32(at + 4, (uint32_t)n, true);
    } else {
        put_u32(at, (uint32_t)adler32(1, in, (uInt)n), false);
    }
    return (int64_t)((size_t)(at - out) + tail);
}

/* Does `in` inflate to `expected` in a window of 256 bytes? One byte at a time: within a call zlib would look further
 * back, into its output. */
static bool inflates_in_256(const uint8_t *in, size_t n, const uint8_t *expected, size_t expected_bytes)
{
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)in, .avail_in = (uInt)n};
    if (inflateInit2(&stream, -8) != Z_OK) {
        return false;
    }
    size_t made = 0;
    while (made < expected_bytes) {
        uint8_t byte = 0;
        stream.next_out = &byte;
        stream.avail_out = 1;
        if (inflate(&stream, Z_SYNC_FLUSH) != Z_OK || stream.avail_out != 0 || byte != expected[made]) {
            break;
        }
        made++;
    }
    (void)inflateEnd(&stream);
    return made == expected_bytes;
}

bool rc_deflate_serves_256(void)
{
    enum { SAMPLE_BYTES = 6000 };
    static const struct rc_deflate_settings settings = {.level = 9, .memory_level = 8};
    struct rc_deflater deflater;
    uint8_t sample[SAMPLE_BYTES];
    uint8_t packed[SAMPLE_BYTES + 4];

    /* Noise that comes again at every distance from 200 to 320: tempting for a matcher that may look that far. */
    uint32_t noise = 1;
    for (size_t i = 0, distance = 0; i < sizeof(sample); i++) {
        noise = noise * 1664525u + 1013904223u;
        if (i % 8 == 0) {
            distance = 200 + i / 8 % 121;
        }
        sample[i] = i >= distance && i / 8 % 3 != 0 ? sample[i - distance] : (uint8_t)(noise >> 24);
    }
    if (rc_deflater_open(&deflater, &settings) != 0) {
        return false;
    }
    const int64_t n = rc_deflate(&deflater, 8, sample, sizeof(sample), packed, sizeof(packed));
    const bool serves = n > 0 && inflates_in_256(packed, (size_t)n, sample, sizeof(sample));
    rc_deflater_close(&deflater);
    return serves;
}
