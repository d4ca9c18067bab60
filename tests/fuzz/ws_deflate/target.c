/*
 * permessage-deflate: what a client sends inflates as zlib alone would inflate it, within the limit; and what we
 * compress comes back, in the window that was promised.
 *
 * Input: a byte that picks the limit and the window, one for the length of the history, then the payload of a message.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/base/check.h"
#include "worker/ws/deflate.h"
#include "worker/ws/inflate.h"

#define REFERENCE_BYTES (1u << 20)

struct buffer {
    uint8_t *bytes;
    size_t capacity;
    uint64_t bytes_max;
};

static uint8_t *reserve(void *context, size_t bytes_total, size_t used)
{
    struct buffer *buffer = context;
    RC_ASSERT(bytes_total <= buffer->bytes_max && used <= buffer->capacity && used <= bytes_total);
    uint8_t *moved = malloc(bytes_total);
    RC_ASSERT(moved != NULL);
    if (used != 0) {
        memcpy(moved, buffer->bytes, used);
    }
    free(buffer->bytes);
    buffer->bytes = moved;
    buffer->capacity = bytes_total;
    return moved;
}

/* The plain way: a new zlib state for the message, as much output as there is room for. Only for messages without a
 * final block. -1 = corrupt, -2 = a final block, -3 = too long; else the bytes of output. */
static long reference(const uint8_t *in, size_t n, const uint8_t *history, size_t history_bytes, uint8_t *out)
{
    z_stream stream = {0};
    uint8_t *whole = malloc(n + 4);
    RC_ASSERT(whole != NULL && inflateInit2(&stream, -15) == Z_OK);
    memcpy(whole, in, n);
    memcpy(whole + n, "\x00\x00\xff\xff", 4);
    if (history_bytes > 0) {
        RC_ASSERT(inflateSetDictionary(&stream, history, (uInt)history_bytes) == Z_OK);
    }
    stream.next_in = whole;
    stream.avail_in = (uInt)n + 4;
    stream.next_out = out;
    stream.avail_out = REFERENCE_BYTES;
    const int rc = inflate(&stream, Z_SYNC_FLUSH);
    long result = (long)(REFERENCE_BYTES - stream.avail_out);
    if (rc == Z_STREAM_END) {
        result = -2;
    } else if (rc != Z_OK) {
        result = -1;
    } else if (stream.avail_out == 0) {
        result = -3;
    } else if (stream.avail_in != 0 || !(stream.data_type & 128) || (stream.data_type & 31) != 0) {
        result = -1;
    }
    inflateEnd(&stream);
    free(whole);
    return result;
}

static void check_inflate(struct rc_inflater *inflater, const uint8_t *in, size_t n, struct rc_span history,
                          uint64_t bytes_max, unsigned window_bits)
{
    static uint8_t expected[REFERENCE_BYTES];
    struct buffer buffer = {.bytes_max = bytes_max};
    const struct rc_ws_buffer_ops ops = {.reserve = reserve, .context = &buffer};
    uint8_t *out = NULL;
    size_t out_bytes = 0;
    const uint64_t allocations = inflater->allocations;
    const int rc = rc_inflate(inflater, in, n, history, bytes_max, &ops, &out, &out_bytes);
    RC_ASSERT(inflater->allocations == allocations);
    RC_ASSERT(out_bytes <= bytes_max && out != NULL);
    const long wanted = n == 0 ? 0 : reference(in, n, history.bytes, history.count, expected);
    if (wanted >= 0 && (uint64_t)wanted <= bytes_max) {
        RC_ASSERT(rc == 0 && out_bytes == (size_t)wanted && memcmp(out, expected, out_bytes) == 0);
    } else if (wanted >= 0 || (wanted == -3 && bytes_max < REFERENCE_BYTES)) {
        RC_ASSERT(rc == -EMSGSIZE);
    } else if (wanted == -1) {
        RC_ASSERT(rc == -EBADMSG || rc == -EMSGSIZE); /* whichever comes first */
    }
    if (rc == 0) {
        const size_t room = rc_inflate_history_bytes(history.count, out_bytes, window_bits);
        if (history.count <= (size_t)1 << window_bits) {
            uint8_t *window = malloc(room + history.count + 1);
            RC_ASSERT(window != NULL);
            if (history.count > 0) {
                memcpy(window, history.bytes, history.count);
            }
            const size_t used = rc_inflate_remember(window, history.count, window_bits, out, out_bytes);
            RC_ASSERT(used == room);
            const size_t from_out = used < out_bytes ? used : out_bytes;
            RC_ASSERT(memcmp(window + used - from_out, out + out_bytes - from_out, from_out) == 0);
            free(window);
        }
    }
    free(buffer.bytes);
}

static void check_deflate(struct rc_inflater *inflater, struct rc_deflater *deflater, const uint8_t *in, size_t n,
                          unsigned window_bits)
{
    uint8_t *packed = malloc(rc_deflate_bound(n));
    RC_ASSERT(packed != NULL);
    const int64_t packed_bytes = rc_deflate(deflater, window_bits, in, n, packed, rc_deflate_bound(n));
    RC_ASSERT(packed_bytes >= 0 && (packed_bytes == 0 || (size_t)packed_bytes < n));
    if (packed_bytes > 0) {
        struct buffer buffer = {.bytes_max = n};
        const struct rc_ws_buffer_ops ops = {.reserve = reserve, .context = &buffer};
        uint8_t *out;
        size_t out_bytes;
        RC_ASSERT(rc_inflate(inflater, packed, (size_t)packed_bytes, (struct rc_span){0}, n, &ops, &out, &out_bytes) ==
                  0);
        RC_ASSERT(out_bytes == n && memcmp(out, in, n) == 0);
        free(buffer.bytes);
    }
    free(packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rc_inflater inflater;
    static struct rc_deflater deflater;
    static uint8_t history[256];
    if (inflater.stream == NULL) {
        RC_ASSERT(rc_inflater_open(&inflater) == 0);
        RC_ASSERT(rc_deflater_open(&deflater, &(struct rc_deflate_settings){.level = 6, .memory_level = 5}) == 0);
        for (size_t i = 0; i < sizeof(history); i++) {
            history[i] = (uint8_t)('a' + i % 26);
        }
    }
    if (size < 2) {
        return 0;
    }
    static const uint64_t limits[] = {1, 100, 4096, 1u << 19};
    const unsigned window_bits = 8 + (data[0] >> 2) % 8;
    check_inflate(&inflater, data + 2, size - 2, rc_span_of(history, data[1]), limits[data[0] & 3], window_bits);
    check_deflate(&inflater, &deflater, data + 2, size - 2, window_bits);
    return 0;
}
