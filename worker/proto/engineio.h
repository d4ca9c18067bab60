/*
 * engineio: packets of Engine.IO (engine.io-protocol v4; of v3 what clients of a link need): their types, payloads of several, and what the server says by itself.
 *
 * Pure code: nothing allocates, only a worker calls it. What is read is a peer's: every byte is checked.
 */
#ifndef RC_WORKER_PROTO_ENGINEIO_H
#define RC_WORKER_PROTO_ENGINEIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "worker/proto/unit.h"

/* First character of a text packet. */
enum rc_eio_type {
    RC_EIO_OPEN = '0',
    RC_EIO_CLOSE = '1',
    RC_EIO_PING = '2',
    RC_EIO_PONG = '3',
    RC_EIO_MESSAGE = '4',
    RC_EIO_UPGRADE = '5',
    RC_EIO_NOOP = '6',
};

#define RC_EIO_3_MESSAGE 4    /* of Engine.IO 3: the first byte of a binary message */
#define RC_EIO_SEPARATOR 0x1e /* between the packets of a payload */

/* One packet; its bytes may be changed. A text packet begins with its type; a binary one is a message and has none. */
struct rc_eio_packet {
    enum rc_part_kind kind;
    uint8_t *bytes;
    size_t count;
};

/* What is left of a payload. */
struct rc_eio_payload {
    uint8_t *at; /* borrowed */
    uint8_t *end;
    bool ended;
    bool revision_3; /* of Engine.IO 3: packets have their length before them */
};

static inline struct rc_eio_payload rc_eio_payload_of(uint8_t *bytes, size_t count)
{
    return (struct rc_eio_payload){.at = bytes, .end = bytes + count};
}

/* The next packet; base64 becomes bytes where it stands. 1; 0: there is no more; -EBADMSG: an empty packet, text that is not UTF-8, or
 * base64 that is none. */
int rc_eio_payload_next(struct rc_eio_payload *payload, struct rc_eio_packet *packet);

/*
 * Payloads of Engine.IO 3, engineio_3.c. Of text: "6:4hello" and so on, the length in UTF-16 units; or of bytes: 0 (text) or 1, the
 * length's digits as numbers, 255 and the packet. A binary packet there begins with its type as a number, and text may be
 * "b4" and base64: both stay as they are. 1, 0 and -EBADMSG as above.
 */
int rc_eio_payload_next_3(struct rc_eio_payload *payload, struct rc_eio_packet *packet);
/* The same packets, of a payload of ours (type, bytes as above, base64 of binary ones), as one of Engine.IO 3 in `out`, which has room for
 * rc_eio_payload_3_bytes_max. `base64`: of text, whatever there is; *octets: it is of bytes. */
size_t rc_eio_payload_3_write(uint8_t *out, struct rc_span payload, bool base64, bool *octets);
size_t rc_eio_payload_3_bytes_max(struct rc_span payload);

struct rc_eio_open {
    struct rc_span sid;
    bool upgrades_websocket;
    uint64_t ping_interval_ms;
    uint64_t ping_timeout_ms;
    uint64_t payload_bytes_max;
};

/* "0{…}", no NUL; its bytes, or 0 when `capacity` is too small. */
size_t rc_eio_open_write(char *out, size_t capacity, const struct rc_eio_open *open);

/* Codes of refused requests, as engine.io's. */
enum rc_eio_error {
    RC_EIO_UNKNOWN_TRANSPORT,
    RC_EIO_UNKNOWN_SID,
    RC_EIO_BAD_HANDSHAKE_METHOD,
    RC_EIO_BAD_REQUEST,
    RC_EIO_FORBIDDEN,
    RC_EIO_UNSUPPORTED_VERSION,
};

#define RC_EIO_ERROR_BYTES_MAX 64u

const char *rc_eio_error_message(enum rc_eio_error error);
/* {"code":0,"message":"Transport unknown"}, no NUL; its bytes. */
size_t rc_eio_error_write(char *out, size_t capacity, enum rc_eio_error error);

/* For codecs over Engine.IO: "are you there?" as a packet, and nothing for who is sent away (there is no place for it). */
void rc_eio_heartbeat(struct rc_unit *unit);
size_t rc_eio_goodbye(uint8_t *out, uint32_t reconnect_ms);

#endif
