/*
 * WebSocket frame headers and close frames (RFC 6455 5.2, 5.5, 7.4): reading, writing, and the numbers on the wire.
 *
 * Pure functions over caller-owned memory, any process. Reading may fail on what a peer sent; writing can not fail.
 * What a frame means in its message is worker/ws/receive.h's matter.
 */
#ifndef RC_WORKER_WS_FRAME_H
#define RC_WORKER_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 6455 5.2. 3-7 and 11-15 are reserved. */
enum rc_ws_opcode {
    RC_WS_CONTINUATION = 0x0,
    RC_WS_TEXT = 0x1,
    RC_WS_BINARY = 0x2,
    RC_WS_CLOSE = 0x8,
    RC_WS_PING = 0x9,
    RC_WS_PONG = 0xA,
};

/* The reserved bits as they stand in a header's first byte; RSV1 marks a compressed message (RFC 7692 6). */
#define RC_WS_RSV1 0x40u
#define RC_WS_RSV2 0x20u
#define RC_WS_RSV3 0x10u

/* RFC 6455 7.4.1 and IANA's registry; the application's own (4000-4999) stand in common/records/codes.def. */
enum rc_ws_close_code {
    RC_WS_CLOSE_NORMAL = 1000,
    RC_WS_CLOSE_GOING_AWAY = 1001,
    RC_WS_CLOSE_PROTOCOL_ERROR = 1002,
    RC_WS_CLOSE_UNSUPPORTED_DATA = 1003,
    RC_WS_CLOSE_NO_STATUS = 1005, /* never on the wire: a close frame without a code */
    RC_WS_CLOSE_ABNORMAL = 1006,  /* never on the wire: no close frame at all */
    RC_WS_CLOSE_INVALID_PAYLOAD = 1007,
    RC_WS_CLOSE_POLICY_VIOLATION = 1008,
    RC_WS_CLOSE_TOO_BIG = 1009,
    RC_WS_CLOSE_MANDATORY_EXTENSION = 1010,
    RC_WS_CLOSE_INTERNAL_ERROR = 1011,
    RC_WS_CLOSE_SERVICE_RESTART = 1012,
    RC_WS_CLOSE_TRY_AGAIN_LATER = 1013,
    RC_WS_CLOSE_BAD_GATEWAY = 1014,
    RC_WS_CLOSE_TLS_FAILED = 1015, /* never on the wire */
};

#define RC_WS_HEADER_BYTES_MAX 14u        /* 2 + 8 length + 4 masking key */
#define RC_WS_SERVER_HEADER_BYTES_MAX 10u /* without the key */
#define RC_WS_CONTROL_PAYLOAD_MAX 125u    /* RFC 6455 5.5 */
#define RC_WS_CLOSE_REASON_BYTES_MAX 123u
#define RC_WS_CLOSE_FRAME_BYTES_MAX 127u

/* A frame's header as read; key is in memory order, as rc_ws_mask takes it, and 0 when the frame is not masked. */
struct rc_ws_header {
    uint64_t payload_bytes;
    uint32_t key;
    uint8_t opcode;
    uint8_t rsv; /* RC_WS_RSV1 | RC_WS_RSV2 | RC_WS_RSV3, in place */
    bool fin;
    bool masked;
};

/* Bytes of an unmasked header for this payload: 2, 4 or 10. */
static inline size_t rc_ws_header_bytes(uint64_t payload_bytes)
{
    return payload_bytes <= 125 ? 2 : payload_bytes <= UINT16_MAX ? 4 : 10;
}

/*
 * Writes an unmasked (server's) header in the shortest form and returns its bytes. `out` has room for
 * RC_WS_SERVER_HEADER_BYTES_MAX, or for rc_ws_header_bytes(payload_bytes). `rsv` is 0 or RC_WS_RSV1.
 */
size_t rc_ws_header_write(uint8_t *out, bool fin, uint8_t opcode, uint8_t rsv, uint64_t payload_bytes);

/*
 * Reads the header at the start of `in`. Returns its bytes (2 to 14), 0 when `n` bytes are too few to know, or
 * -EPROTO with `*why` (an English sentence, static) for what no header may be: reserved opcode, length not in its
 * shortest form or with the top bit set, control frame that is fragmented or longer than 125. Reserved bits and the
 * masking bit are reported; the receiver judges them. Errors are found at the first byte that proves them, so the
 * outcome does not depend on how the bytes were cut.
 */
int rc_ws_header_read(const uint8_t *in, size_t n, struct rc_ws_header *out, const char **why);

/* May a peer send this code in a close frame? 1000-1003, 1007-1014, 3000-4999. */
bool rc_ws_close_code_valid_received(uint16_t code);

/*
 * Writes a whole unmasked close frame and returns its bytes (at most RC_WS_CLOSE_FRAME_BYTES_MAX, which `out` must
 * hold). RC_WS_CLOSE_NO_STATUS writes an empty one. `reason` (UTF-8, may be NULL) is cut at a code point's boundary
 * to 123 bytes.
 */
size_t rc_ws_close_write(uint8_t *out, uint16_t code, const char *reason, size_t reason_bytes);

#endif
