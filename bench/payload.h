/*
 * payload: what the load generator sends, so that every delivery can be checked.
 *
 * A payload is exactly as long as asked for, printable ASCII without quotes or backslashes (it travels inside JSON
 * unescaped), and says who sent it, which number it has and when it was due:
 *
 *     offset  0   6 hex digits   stream, what the sequence counts within
 *             6   8 hex digits   sequence, from 0
 *            14  12 hex digits   scheduled send time, ns since the run's time base
 *            26   6 hex digits   check of the three
 *            32   padding        a fixed pattern that starts at a place given by the sequence, or the levels of an order book,
 *                                behind BOOK_MARK, of which each number changes four out of 64
 *
 * The padding is compared byte for byte, so a corrupted, cut or mixed-up payload is always seen. Pure functions.
 */
#ifndef RC_BENCH_PAYLOAD_H
#define RC_BENCH_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RC_BENCH_PAYLOAD_BYTES_MIN 32u
#define RC_BENCH_PAYLOAD_BYTES_MAX (16u << 20)
#define RC_BENCH_STREAM_MAX ((1u << 24) - 1)
#define RC_BENCH_TIME_NS_MAX ((UINT64_C(1) << 48) - 1)

struct rc_bench_payload {
    uint32_t stream;
    uint32_t sequence;
    uint64_t scheduled_ns; /* since the run's time base, below 2^48 (78 hours) */
    bool book;             /* its padding is a book */
};

/* Writes exactly `bytes` (RC_BENCH_PAYLOAD_BYTES_MIN..MAX) characters, no terminator. */
void rc_bench_payload_write(char *out, size_t bytes, const struct rc_bench_payload *payload);

/* True when `text` is exactly a payload of `bytes` as written above; `payload` is then filled in. */
bool rc_bench_payload_read(const char *text, size_t text_bytes, size_t bytes, struct rc_bench_payload *payload);

#endif
