/*
 * Inflating a message in one go, output bounded while it is made.
 */
#include "worker/ws/inflate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/base/check.h"

#define WINDOW_BITS 15         /* a larger window than the client's inflates the same */
#define PIECE_BYTES (1u << 30) /* of input or output in one call: zlib counts in 32 bits */
#define FIRST_BYTES 512u
/* z_stream.data_type after inflate (zlib.h): just behind a block's end, and that many bits of the last byte unused. */
#define BLOCK_END 128
#define UNUSED_BITS 31

static void *inflate_alloc(void *context, uInt items, uInt bytes)
{
    struct rc_inflater *inflater = context;
    inflater->allocations++;
    inflater->memory_bytes += (size_t)items * bytes;
    return calloc(items, bytes);
}

static void inflate_free(void *context, void *memory)
{
    (void)context;
    free(memory);
}

int rc_inflater_open(struct rc_inflater *inflater)
{
    *inflater = (struct rc_inflater){0};
    z_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        return -ENOMEM;
    }
    stream->zalloc = inflate_alloc;
    stream->zfree = inflate_free;
    stream->opaque = inflater;
    if (inflateInit2(stream, -WINDOW_BITS) != Z_OK) {
        free(stream);
        return -ENOMEM;
    }
    /* zlib makes its window when it is first needed: now, rather than on the message path. */
    if (inflateSetDictionary(stream, (const Bytef *)"", 1) != Z_OK) {
        (void)inflateEnd(stream);
        free(stream);
        return -ENOMEM;
    }
    inflater->stream = stream;
    return 0;
}

void rc_inflater_close(struct rc_inflater *inflater)
{
    if (inflater->stream != NULL) {
        (void)inflateEnd(inflater->stream);
        free(inflater->stream);
    }
    *inflater = (struct rc_inflater){0};
}

/* Where the output of one message goes. */
struct output {
    const struct rc_ws_buffer_ops *buffer; /* borrowed */
    uint8_t *start;                        /* the buffer's; borrowed */
    uint64_t bytes_max;
    size_t capacity;
    size_t bytes;
};

/* Makes room for more: doubled, and all that is allowed in the end. 0, -ENOMEM. */
static int output_grow(struct output *output, size_t wanted)
{
    uint64_t capacity = output->capacity < FIRST_BYTES ? FIRST_BYTES : 2 * (uint64_t)output->capacity;
    if (capacity < wanted) {
        capacity = wanted;
    }
    if (capacity > output->bytes_max) {
        capacity = output->bytes_max;
    }
    uint8_t *start = output->buffer->reserve(output->buffer->context, (size_t)capacity, output->bytes);
    if (start == NULL) {
        return -ENOMEM;
    }
    output->start = start;
    output->capacity = (size_t)capacity;
    return 0;
}

/* How a run of inflate ended. */
enum { FED, STREAM_END };

/*
 * Inflates until the input given is used up, or a block that says it is the last has ended. FED, STREAM_END, or the
 * error.
 */
static int inflate_feed(z_stream *stream, struct output *output)
{
    for (;;) {
        uint8_t excess = 0;
        const bool full = output->bytes == output->bytes_max;
        if (!full && output->bytes == output->capacity && output_grow(output, 0) < 0) {
            return -ENOMEM;
        }
        const size_t room = full ? 1 : output->capacity - output->bytes;
        stream->next_out = full ? &excess : output->start + output->bytes;
        stream->avail_out = (uInt)(room < PIECE_BYTES ? room : PIECE_BYTES);
        const uInt given = stream->avail_out;
        const int rc = inflate(stream, Z_SYNC_FLUSH);
        const size_t made = given - stream->avail_out;
        if (made > 0 && full) {
            return -EMSGSIZE;
        }
        output->bytes += made;
        if (rc == Z_STREAM_END) {
            return STREAM_END;
        }
        /* Z_BUF_ERROR: nothing to do, which is no error when the input is at its end. */
        if (rc != Z_OK && rc != Z_BUF_ERROR) {
            return rc == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
        }
        if (stream->avail_out != 0) {
            return FED;
        }
    }
}

/*
 * A part of the message, through as many deflate streams as it is made of: BFINAL does not end a message, and what
 * follows begins in a byte of its own (RFC 7692 7.2.3.4) with the window as it is. Keeping the window is zlib's own
 * affair here: putting it back by hand would cost 32 KiB of copying for every two bytes that say BFINAL.
 * *at_end: the part ended with such a stream.
 */
static int feed_part(z_stream *stream, struct output *output, const uint8_t *in, size_t n, bool *at_end)
{
    *at_end = false;
    while (n > 0) {
        const uInt piece = (uInt)(n < PIECE_BYTES ? n : PIECE_BYTES);
        stream->next_in = (Bytef *)(uintptr_t)in;
        stream->avail_in = piece;
        const int rc = inflate_feed(stream, output);
        if (rc < 0) {
            return rc;
        }
        const uInt used = piece - stream->avail_in;
        RC_ASSERT(used > 0 && (rc == STREAM_END || used == piece));
        in += used;
        n -= used;
        *at_end = rc == STREAM_END;
        if (rc == STREAM_END) {
            RC_ASSERT(inflateResetKeep(stream) == Z_OK);
        }
    }
    return 0;
}

int rc_inflate(struct rc_inflater *inflater, const uint8_t *in, size_t n, struct rc_span history, uint64_t bytes_max,
               const struct rc_ws_buffer_ops *buffer, uint8_t **out, size_t *out_bytes)
{
    static const uint8_t tail[] = {0x00, 0x00, 0xFF, 0xFF}; /* RFC 7692 7.2.2 */
    z_stream *stream = inflater->stream;
    struct output output = {.buffer = buffer, .bytes_max = bytes_max};
    bool at_end = false;

    RC_ASSERT(bytes_max > 0);
    /* Small messages inflate to four times their size more often than to more; never NULL, also for nothing. */
    const uint64_t guess = n < SIZE_MAX / 4 ? 4 * (uint64_t)n : n;
    if (output_grow(&output, (size_t)(guess < bytes_max ? guess : bytes_max)) < 0) {
        return -ENOMEM;
    }
    RC_ASSERT(inflateReset(stream) == Z_OK);
    if (history.count > 0) {
        RC_ASSERT(history.count <= (size_t)1 << WINDOW_BITS);
        RC_ASSERT(inflateSetDictionary(stream, history.bytes, (uInt)history.count) == Z_OK);
    }
    int rc = feed_part(stream, &output, in, n, &at_end);
    /* A message of no bytes or one that ends with a final block lacks the byte that the tail completes, and says what
     * it says all the same: other servers take it. */
    if (rc == 0 && n > 0 && !at_end) {
        rc = feed_part(stream, &output, tail, sizeof(tail), &at_end);
        if (rc == 0 && (at_end || !(stream->data_type & BLOCK_END) || (stream->data_type & UNUSED_BITS) != 0)) {
            rc = -EBADMSG;
        }
    }
    *out = output.start;
    *out_bytes = output.bytes;
    return rc;
}

size_t rc_inflate_remember(uint8_t *window, size_t used, unsigned window_bits, const uint8_t *out, size_t out_bytes)
{
    const size_t most = (size_t)1 << window_bits;
    if (out_bytes >= most) {
        memcpy(window, out + (out_bytes - most), most);
        return most;
    }
    if (used > most - out_bytes) {
        const size_t keep = most - out_bytes;
        memmove(window, window + (used - keep), keep);
        used = keep;
    }
    if (out_bytes > 0) {
        memcpy(window + used, out, out_bytes);
    }
    return used + out_bytes;
}
