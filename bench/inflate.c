/* inflate: see inflate.h. */
#include "bench/inflate.h"

#include "common/base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#define ROOM_FIRST 4096u

bool rc_bench_inflate_agreed(struct rc_span head)
{
    static const char name[] = "sec-websocket-extensions:";
    const char *line = (const char *)head.bytes, *const end = line + head.count;
    while (line < end) {
        const char *const next = memchr(line, '\n', (size_t)(end - line));
        const size_t bytes = (size_t)((next != NULL ? next : end) - line);
        if (bytes > sizeof(name) && strncasecmp(line, name, sizeof(name) - 1) == 0) {
            return memmem(line, bytes, "permessage-deflate", 18) != NULL &&
                   memmem(line, bytes, "server_no_context_takeover", 26) != NULL;
        }
        line += bytes + 1;
    }
    return false;
}

/* Inflates one piece, growing the room; -EMSGSIZE, -EPROTO or 0. */
static int inflate_feed(struct rc_bench_inflate *own, const uint8_t *bytes, size_t count, uint32_t bytes_max)
{
    z_stream *const stream = own->stream;
    stream->next_in = (Bytef *)(uintptr_t)bytes;
    stream->avail_in = (uInt)count;
    for (;;) {
        if (stream->total_out == own->room) {
            if (own->room >= bytes_max) {
                return -EMSGSIZE;
            }
            own->room = own->room == 0 ? ROOM_FIRST : own->room * 2;
            own->room = own->room > bytes_max ? bytes_max : own->room;
            own->bytes = realloc(own->bytes, own->room);
            RC_ASSERT(own->bytes != NULL);
        }
        stream->next_out = own->bytes + stream->total_out;
        stream->avail_out = own->room - (uInt)stream->total_out;
        const int done = inflate(stream, Z_SYNC_FLUSH);
        if (done != Z_OK && done != Z_BUF_ERROR && done != Z_STREAM_END) {
            return -EPROTO;
        }
        if (stream->avail_out > 0) {
            return stream->avail_in == 0 || done == Z_STREAM_END ? 0 : -EPROTO;
        }
    }
}

int rc_bench_inflate(struct rc_bench_inflate *own, struct rc_span compressed, uint32_t bytes_max, struct rc_span *text)
{
    static const uint8_t tail[] = {0x00, 0x00, 0xff, 0xff}; /* which a sender leaves away: RFC 7692 section 7.2.2 */
    if (own->stream == NULL) {
        own->stream = calloc(1, sizeof(*own->stream));
        RC_ASSERT(own->stream != NULL);
        const int made = inflateInit2(own->stream, -MAX_WBITS);
        RC_ASSERT(made == Z_OK);
    }
    inflateReset(own->stream);
    int rc = inflate_feed(own, compressed.bytes, compressed.count, bytes_max);
    if (rc == 0) {
        rc = inflate_feed(own, tail, sizeof(tail), bytes_max);
    }
    *text = rc_span_of(own->bytes, own->stream->total_out);
    return rc;
}

void rc_bench_inflate_free(struct rc_bench_inflate *own)
{
    if (own->stream != NULL) {
        inflateEnd(own->stream);
    }
    free(own->stream);
    free(own->bytes);
    *own = (struct rc_bench_inflate){0};
}
