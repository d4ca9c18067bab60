/*
 * Compressing messages for permessage-deflate (RFC 7692 7.2.1), always from an empty window; and bodies of HTTP answers, with the
 * same states.
 *
 * Since no message refers to an earlier one (which is allowed whatever was agreed upon, see worker/http/deflate_offer.h), one
 * compressed payload serves every client with the same window bits, and a connection costs nothing. A worker owns one deflater: a zlib state for each window size in use, made at its first message and
 * reset for every further one. After that first message nothing is allocated. Bytes a peer sent do not come here;
 * what can fail is memory, at the first message of a window size.
 *
 * Memory of a state: 2^(window_bits + 2) + 2^(memory_level + 9) bytes and 6 KiB; 15 and 8: 262 KiB, 15 and 5: 150 KiB.
 * Measured on JSON of 128 B, 512 B, 4 KiB and 64 KiB with a window of 15 bits, in microseconds: level 1 and memory level
 * 5: 3.1, 4.5, 13, 216; level 6 and memory level 8: 3.7, 5.6, 23, 800, for 5 to 10 % fewer bytes. A message of 128 bytes pays
 * 3 µs to save 35 bytes: hence the threshold.
 */
#ifndef RC_WORKER_WS_DEFLATE_H
#define RC_WORKER_WS_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 7692 7.1.2. zlib's raw deflate has no window of 256 bytes: 8 is produced by its window of 512, see deflate.c. */
#define RC_DEFLATE_WINDOW_BITS_MIN 8u
#define RC_DEFLATE_WINDOW_BITS_MAX 15u
#define RC_DEFLATE_MESSAGE_BYTES_MAX (UINT32_C(1) << 30) /* longer ones are not compressed */

struct rc_deflate_settings {
    uint8_t level;        /* 1 (fast) to 9 (small) */
    uint8_t memory_level; /* 1 to 9: hash table of 2^(memory_level + 8) bytes; less for small windows */
};

struct rc_deflater {
    struct rc_deflate_settings settings;
    /* [i]: window of i + 9 bits; z_stream, owner; NULL until used. */
    void *streams[RC_DEFLATE_WINDOW_BITS_MAX - RC_DEFLATE_WINDOW_BITS_MIN];
    size_t memory_bytes;  /* of all states, and ... */
    uint64_t allocations; /* ... how often zlib asked for memory: constant once every window size was used */
};

/* An empty deflater. It must not move while it has states. 0, or -EINVAL for settings out of range. */
int rc_deflater_open(struct rc_deflater *deflater, const struct rc_deflate_settings *settings);
void rc_deflater_close(struct rc_deflater *deflater);

/* The room that rc_deflate asks for, so that a payload which would not become smaller is noticed early. */
static inline size_t rc_deflate_bound(size_t bytes)
{
    return bytes + 4;
}

/* Is a message of this size to be compressed at all? Below some hundred bytes it gains less than it costs. */
static inline bool rc_deflate_wanted(size_t bytes, size_t threshold_bytes)
{
    return bytes >= threshold_bytes && bytes > 2 && bytes <= RC_DEFLATE_MESSAGE_BYTES_MAX;
}

/*
 * Compresses a message's payload with a window of `window_bits` (8 to 15) into `out` of at least
 * rc_deflate_bound(n) bytes. Returns the bytes of the payload to send with RSV1 (the final 00 00 FF FF taken off),
 * always fewer than `n`; 0 when it did not become smaller (then send it as it is: RFC 7692 6.1 allows that for every
 * message); or -ENOMEM.
 */
int64_t rc_deflate(struct rc_deflater *deflater, unsigned window_bits, const uint8_t *in, size_t n, uint8_t *out,
                   size_t capacity);

/* What a compressed body is wrapped in. */
enum rc_deflate_wrap {
    RC_DEFLATE_ZLIB, /* RFC 1950: Content-Encoding "deflate" */
    RC_DEFLATE_GZIP, /* RFC 1952 */
};
/* Compresses a body whole, with a window of 15 bits, into `out` of at least `n` bytes. Returns its bytes, always fewer than `n`; 0 when
 * it does not become smaller; or -ENOMEM. */
int64_t rc_deflate_whole(struct rc_deflater *deflater, enum rc_deflate_wrap wrap, const uint8_t *in, size_t n,
                         uint8_t *out, size_t capacity);

/*
 * Whether what this zlib makes for window_bits = 8 really never refers back further than 256 bytes. Tried out once,
 * for a few microseconds: ask at start. Without it offers that demand 8 must be declined.
 */
bool rc_deflate_serves_256(void);

#endif
