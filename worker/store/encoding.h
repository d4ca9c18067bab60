/*
 * encoding: what the messages of a channel look like on a connection's wire, as one number: a codec (the client's protocol), a
 * framing (how its bytes travel) and a compression window.
 *
 * The number is truth: it stands in connections and groups, and a channel keeps one log for each that has subscribers. What the
 * numbers mean is in worker/proto/codec.h and unit.h. Pure; nothing fails.
 */
#ifndef RC_WORKER_STORE_ENCODING_H
#define RC_WORKER_STORE_ENCODING_H

#include <stdint.h>

enum rc_codec_id { RC_CODEC_JSON, RC_CODEC_BINARY, RC_CODEC_RAW, RC_CODEC_ECHO, RC_CODEC_COUNT };

enum rc_framing_id { RC_FRAMING_WEBSOCKET, RC_FRAMING_COUNT };

#define RC_ENCODING_WINDOWS 5u /* none, 8, 9, 12, 15 bits (worker/http/deflate_offer.h) */
#define RC_ENCODING_COUNT (RC_CODEC_COUNT * RC_FRAMING_COUNT * RC_ENCODING_WINDOWS)
_Static_assert(RC_ENCODING_COUNT <= 32,
               "a set of encodings is a uint32_t: rc_hub.partial_mask, rc_throttle.partial_mask");

static inline enum rc_codec_id rc_encoding_codec(uint8_t encoding)
{
    return (enum rc_codec_id)(encoding / (RC_FRAMING_COUNT * RC_ENCODING_WINDOWS));
}

static inline enum rc_framing_id rc_encoding_framing(uint8_t encoding)
{
    return (enum rc_framing_id)(encoding / RC_ENCODING_WINDOWS % RC_FRAMING_COUNT);
}

/* Bits of the window that messages are compressed with, 0 = not compressed. */
static inline uint8_t rc_encoding_window_bits(uint8_t encoding)
{
    static const uint8_t bits[RC_ENCODING_WINDOWS] = {0, 8, 9, 12, 15};
    return bits[encoding % RC_ENCODING_WINDOWS];
}

/* `window_bits` is 0, 8, 9, 12 or 15. */
static inline uint8_t rc_encoding_of(enum rc_codec_id codec, enum rc_framing_id framing, uint8_t window_bits)
{
    const uint32_t window = window_bits == 0    ? 0
                            : window_bits == 8  ? 1
                            : window_bits == 9  ? 2
                            : window_bits == 12 ? 3
                                                : 4;
    return (uint8_t)(((uint32_t)codec * RC_FRAMING_COUNT + (uint32_t)framing) * RC_ENCODING_WINDOWS + window);
}

#endif
