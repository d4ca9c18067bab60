/*
 * unit: what one event becomes on the wire: one or several parts (frames, packets) that stay together and in order.
 *
 * A codec writes the parts' payload; how a part is wrapped, and whether it is compressed, is the framing's and the window's
 * matter, so that a codec is written once for every carrier. A unit is written straight to where it stays (a channel's log, a
 * connection's replies) and costs one dispatch per event and encoding, none per subscriber. Owned by the caller, on its stack.
 * Nothing allocates but the compressor's scratch; nothing fails: what cannot be compressed leaves as it is.
 */
#ifndef RC_WORKER_PROTO_UNIT_H
#define RC_WORKER_PROTO_UNIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/metrics/metrics.h"
#include "worker/store/encoding.h"
#include "worker/ws/deflate.h"

enum rc_part_kind {
    RC_PART_TEXT,   /* UTF-8 */
    RC_PART_BINARY, /* any bytes */
    RC_PART_PING,   /* RFC 6455 5.5.2: nobody's message */
};

/* What compresses the parts of a worker's units: one for all. */
struct rc_compressor {
    struct rc_deflater deflater;
    uint8_t *scratch; /* owned: a compressed payload */
    size_t scratch_bytes;
    size_t threshold_bytes;     /* shorter payloads are not compressed */
    struct rc_metrics *metrics; /* borrowed */
};

/* -EINVAL: settings that are out of range. */
int rc_compressor_open(struct rc_compressor *compressor, const struct rc_deflate_settings *settings,
                       struct rc_metrics *metrics);
void rc_compressor_close(struct rc_compressor *compressor);

#define RC_CLOSE_BYTES_MAX 127u /* of what rc_framing.close_write writes */

/* What wraps the payload of a part: its head. */
struct rc_framing {
    uint8_t head_bytes_small;  /* payloads up to 125 bytes */
    uint8_t head_bytes_medium; /* up to 65,535 */
    uint8_t head_bytes_large;
    bool text; /* it carries text alone: binary parts become base64 (RFC 4648 4) behind their head */
    /* `mark` is what compression adds to the head (RFC 7692 6), or 0. The bytes written: what the three above say. */
    size_t (*head_write)(uint8_t *out, enum rc_part_kind kind, uint8_t mark, uint64_t payload_bytes);
    /* The last that a client is told, `code` of common/records/codes.def and why; the bytes written. NULL: no socket carries such clients. */
    size_t (*close_write)(uint8_t out[RC_CLOSE_BYTES_MAX], uint16_t code, const char *reason, size_t reason_bytes);
};

extern const struct rc_framing rc_framings[RC_FRAMING_COUNT];

static inline size_t rc_framing_head_bytes(const struct rc_framing *framing, size_t payload_bytes)
{
    return payload_bytes <= 125          ? framing->head_bytes_small
           : payload_bytes <= UINT16_MAX ? framing->head_bytes_medium
                                         : framing->head_bytes_large;
}

struct rc_unit {
    uint8_t *out;                     /* borrowed */
    size_t bytes;                     /* of the parts that are whole */
    size_t payload;                   /* offset of the running part's payload */
    size_t payload_bytes_max;         /* of a unit of one part: what was reserved for it */
    const struct rc_framing *framing; /* borrowed: static */
    struct rc_compressor *compressor; /* borrowed; NULL = parts are not compressed */
    uint8_t window_bits;
};

/* A unit at `out`. `compressor` may be NULL: not compressed, whatever the encoding says. */
static inline struct rc_unit rc_unit_of(uint8_t encoding, struct rc_compressor *compressor, uint8_t *out)
{
    const uint8_t window_bits = rc_encoding_window_bits(encoding);
    return (struct rc_unit){.out = out,
                            .framing = &rc_framings[rc_encoding_framing(encoding)],
                            .window_bits = window_bits,
                            .compressor = window_bits == 0 ? NULL : compressor};
}

/* Room that `parts` parts of together `payload_bytes` take at most. */
static inline size_t rc_unit_bytes_max(uint8_t encoding, uint32_t parts, size_t payload_bytes)
{
    const struct rc_framing *framing = &rc_framings[rc_encoding_framing(encoding)];
    const size_t bytes = parts * framing->head_bytes_large + payload_bytes;
    return framing->text ? bytes + payload_bytes / 3 + 4u * parts : bytes;
}

/* Begins a part whose payload has at most `bytes_max` bytes: where it is to be written. A head's size depends on the payload's: it
 * is guessed from the bound, and put right at the end in the rare case that it was wrong. */
static inline uint8_t *rc_unit_part(struct rc_unit *unit, size_t bytes_max)
{
    unit->payload = unit->bytes + rc_framing_head_bytes(unit->framing, bytes_max);
    return unit->out + unit->payload;
}
/* The part is whole: `bytes` of payload were written. */
void rc_unit_part_end(struct rc_unit *unit, enum rc_part_kind kind, size_t bytes);
/* The number under which a framing sends a kind of part, for those that read it back: the WebSocket opcode. */
uint8_t rc_part_opcode(enum rc_part_kind kind);

#endif
