/*
 * ws_client: the client's half of RFC 6455, as little of it as a load generator needs.
 *
 * Requests all carry the same Sec-WebSocket-Key (the RFC's own example), so that the one right Sec-WebSocket-Accept is a
 * constant and every answer can be checked completely at the price of a search. Frames to the server are masked with a
 * zero key unless asked otherwise: valid on the wire, and free here. Pure functions; the caller owns all memory.
 */
#ifndef RC_BENCH_WS_CLIENT_H
#define RC_BENCH_WS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 6455 section 1.3's example pair. */
#define RC_BENCH_WS_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define RC_BENCH_WS_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define RC_BENCH_WS_HEADER_BYTES_MAX 14u /* towards the server: 2 + 8 length + 4 mask key */

enum rc_bench_ws_opcode {
    RC_BENCH_WS_CONTINUATION = 0,
    RC_BENCH_WS_TEXT = 1,
    RC_BENCH_WS_BINARY = 2,
    RC_BENCH_WS_CLOSE = 8,
    RC_BENCH_WS_PING = 9,
    RC_BENCH_WS_PONG = 10,
};

struct rc_bench_ws_frame {
    uint64_t payload_bytes;
    uint8_t header_bytes;
    uint8_t opcode;
    bool last;       /* FIN */
    bool compressed; /* RSV1 of the first frame of a message: permessage-deflate */
};

/* Writes the upgrade request; `subprotocol`, `extra` (whole header lines) and `host` as given, the first two may be NULL.
 * Returns its size, or 0 when `room` is too small. */
size_t rc_bench_ws_request(char *out, size_t room, const char *host, const char *path, const char *subprotocol,
                           const char *extra);

/* Judges what has come of the answer. > 0: complete and right, the size of its head; 0: more to come; -EPROTO: not the
 * answer to our request. `*status` becomes the HTTP status once it is there, else 0. */
int rc_bench_ws_answer(const char *text, size_t bytes, unsigned *status);

/* Reads the header of a frame from the server. > 0: its size; 0: more to come; -EPROTO: RSV2 and RSV3, RSV1 on a continuation or control
 * frame, a masked frame, an unknown opcode, a fragmented or long control frame, or a length above `payload_bytes_max`. */
int rc_bench_ws_parse(const uint8_t *bytes, size_t count, uint64_t payload_bytes_max, struct rc_bench_ws_frame *frame);

/* Size of the header of a client frame. */
static inline size_t rc_bench_ws_header_bytes(size_t payload_bytes)
{
    return 6u + (payload_bytes < 126 ? 0u : payload_bytes <= UINT16_MAX ? 2u : 8u);
}

/* Writes the header of a masked, final frame. Returns its size, rc_bench_ws_header_bytes(payload_bytes). */
size_t rc_bench_ws_header(uint8_t *out, enum rc_bench_ws_opcode opcode, size_t payload_bytes, uint32_t key);

/* Masks in place; `key` in memory order, as rc_bench_ws_header wrote it. Zero changes nothing. */
void rc_bench_ws_mask(uint8_t *bytes, size_t count, uint32_t key);

#endif
