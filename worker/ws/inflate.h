/*
 * Inflating the messages of permessage-deflate (RFC 7692 7.2.2).
 *
 * A worker owns one inflater for all its connections; nothing of zlib lives between two messages. A client that keeps
 * its window from message to message (context takeover) is served from a history: the last 2^window_bits bytes it
 * sent, inflated, in memory of the caller (the worker's truth, so that a successor process can go on). That bounds a
 * connection's memory by 2^window_bits bytes, 0 before its first compressed message and for clients without takeover,
 * against 7 KiB + 2^window_bits bytes of private memory for a z_stream each. It costs copying the history in and out:
 * measured 0.1 µs a message at 4 KiB, 0.1 to 0.7 µs at 32 KiB (a message of 4 KiB takes 9 to 10 µs to inflate either way).
 *
 * Nothing is allocated after rc_inflater_open. Everything a peer may send ends in a result.
 */
#ifndef RC_WORKER_WS_INFLATE_H
#define RC_WORKER_WS_INFLATE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "worker/ws/receive.h"

struct rc_inflater {
    void *stream;         /* z_stream, owner */
    size_t memory_bytes;  /* of it, about 40 KiB, and ... */
    uint64_t allocations; /* ... how often zlib asked for memory: constant after rc_inflater_open */
};

/* 0 or -ENOMEM. It must not move while open. */
int rc_inflater_open(struct rc_inflater *inflater);
void rc_inflater_close(struct rc_inflater *inflater);

/*
 * Inflates a whole message's payload. `history`: what the client's window holds (empty without context takeover).
 * The output goes to a buffer of `buffer` (worker/ws/receive.h; not the one that holds `in`), which is asked for more
 * as output comes and never for more than `bytes_max` (not 0). `*out` is its start, never NULL after success; *out_bytes what
 * was made. 0, or
 *   -EMSGSIZE  there is more than `bytes_max`: stopped there (close 1009)
 *   -EBADMSG   not a deflate stream, or one that does not end where the message does (close 1007)
 *   -ENOMEM    `buffer` gave none (close 1011)
 * Text is the caller's to check with rc_utf8_valid.
 */
int rc_inflate(struct rc_inflater *inflater, const uint8_t *in, size_t n, struct rc_span history, uint64_t bytes_max,
               const struct rc_ws_buffer_ops *buffer, uint8_t **out, size_t *out_bytes);

/* Bytes that the history takes after a message of `out_bytes`, so that its memory can grow as it is used. */
static inline size_t rc_inflate_history_bytes(size_t used, size_t out_bytes, unsigned window_bits)
{
    const size_t most = (size_t)1 << window_bits;
    return out_bytes >= most || used >= most - out_bytes ? most : used + out_bytes;
}

/*
 * Appends an inflated message to the history in `window`, which has room for
 * rc_inflate_history_bytes(used, out_bytes, window_bits), and drops what the client can not refer to any more. Returns
 * the bytes in it.
 */
size_t rc_inflate_remember(uint8_t *window, size_t used, unsigned window_bits, const uint8_t *out, size_t out_bytes);

#endif
