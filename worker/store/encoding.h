/*
 * encoding: what the messages of a channel look like on a connection's wire, as one number: a codec (the client's protocol), a
 * framing (how its bytes travel) and a compression window.
 *
 * The number is truth: it stands in connections and groups, and a channel keeps one log for each that has subscribers. What the
 * numbers mean is in worker/proto/codec.h and unit.h. Pure; nothing fails.
 */
#ifndef RC_WORKER_STORE_ENCODING_H
#define RC_WORKER_STORE_ENCODING_H

#include <stdbool.h>
#include <stdint.h>

enum rc_codec_id {
    RC_CODEC_JSON,
    RC_CODEC_BINARY,
    RC_CODEC_RAW,
    RC_CODEC_ECHO,
    RC_CODEC_PUSHER,
    RC_CODEC_JSON_DELTA, /* of groups alone, whose clients speak JSON or BINARY: messages as deltas */
    RC_CODEC_BINARY_DELTA,
    RC_CODEC_ENGINEIO, /* from here on those of Engine.IO */
    RC_CODEC_SOCKETIO,
    RC_CODEC_SOCKETIO_MSGPACK,
    RC_CODEC_LINK,   /* what is said is the application's business: messages as they are */
    RC_CODEC_LINK_3, /* the same for clients of Engine.IO 3 */
    RC_CODEC_SSE,    /* from here on those of server-sent events */
    RC_CODEC_SSE_DATA,
    RC_CODEC_COUNT,
};

enum rc_framing_id { RC_FRAMING_WEBSOCKET, RC_FRAMING_POLLING, RC_FRAMING_STREAM, RC_FRAMING_COUNT };

#define RC_ENCODING_WINDOWS 5u /* none, 8, 9, 12, 15 bits (worker/http/deflate_offer.h) */

/* Every codec in WebSocket frames with each window; those of Engine.IO also in polling payloads, which are not compressed here; but those of
 * Engine.IO 3 without a window, and those of server-sent events as a stream alone, which nobody compresses. */
#define RC_ENCODING_OF_ENGINE (RC_ENCODING_WINDOWS + 1u)
#define RC_ENCODING_ENGINE_FIRST (RC_CODEC_ENGINEIO * RC_ENCODING_WINDOWS)
#define RC_ENCODING_LINK_3_FIRST \
    (RC_ENCODING_ENGINE_FIRST + (RC_CODEC_LINK_3 - RC_CODEC_ENGINEIO) * RC_ENCODING_OF_ENGINE)
#define RC_ENCODING_STREAM_FIRST (RC_ENCODING_LINK_3_FIRST + 2u)
#define RC_ENCODING_COUNT (RC_ENCODING_STREAM_FIRST + (RC_CODEC_COUNT - RC_CODEC_SSE))
_Static_assert(RC_ENCODING_COUNT <= 64,
               "a set of encodings is a uint64_t: rc_truth_hub.partial_mask, rc_throttle.partial_mask");

struct rc_encoding_row {
    uint8_t codec;       /* enum rc_codec_id */
    uint8_t framing;     /* enum rc_framing_id */
    uint8_t window_bits; /* that messages are compressed with, 0 = not compressed */
    uint8_t pad;
};
extern const struct rc_encoding_row rc_encodings[RC_ENCODING_COUNT];

/* Does its client speak Engine.IO? */
static inline bool rc_encoding_is_engine(uint8_t encoding)
{
    return encoding >= RC_ENCODING_ENGINE_FIRST && encoding < RC_ENCODING_STREAM_FIRST;
}

/* Is what its client says an application's business, at the other end of a link? */
static inline bool rc_codec_is_link(enum rc_codec_id codec)
{
    return codec == RC_CODEC_LINK || codec == RC_CODEC_LINK_3;
}

/* Does its client speak the Pusher Channels protocol? */
static inline bool rc_encoding_is_pusher(uint8_t encoding)
{
    return encoding >= RC_CODEC_PUSHER * RC_ENCODING_WINDOWS && encoding < (RC_CODEC_PUSHER + 1) * RC_ENCODING_WINDOWS;
}

/* Does its client only listen, to the body of an HTTP answer? */
static inline bool rc_encoding_is_stream(uint8_t encoding)
{
    return encoding >= RC_ENCODING_STREAM_FIRST;
}

static inline enum rc_codec_id rc_encoding_codec(uint8_t encoding)
{
    return (enum rc_codec_id)rc_encodings[encoding].codec;
}

static inline enum rc_framing_id rc_encoding_framing(uint8_t encoding)
{
    return (enum rc_framing_id)rc_encodings[encoding].framing;
}

static inline uint8_t rc_encoding_window_bits(uint8_t encoding)
{
    return rc_encodings[encoding].window_bits;
}

#define RC_ENCODING_DELTA_STEP ((RC_CODEC_JSON_DELTA - RC_CODEC_JSON) * RC_ENCODING_WINDOWS)
_Static_assert(RC_CODEC_BINARY_DELTA - RC_CODEC_BINARY == RC_CODEC_JSON_DELTA - RC_CODEC_JSON, "the same distance");

/* Is it that of a group whose members get deltas? */
static inline bool rc_encoding_is_delta(uint8_t encoding)
{
    return encoding >= RC_CODEC_JSON_DELTA * RC_ENCODING_WINDOWS && encoding < RC_ENCODING_ENGINE_FIRST;
}

/* What clients of this encoding get deltas in; the same encoding: they get none. */
static inline uint8_t rc_encoding_delta(uint8_t encoding)
{
    return encoding <= RC_CODEC_BINARY * RC_ENCODING_WINDOWS + RC_ENCODING_WINDOWS - 1
               ? (uint8_t)(encoding + RC_ENCODING_DELTA_STEP)
               : encoding;
}

/* The encoding of the clients whose group it is. */
static inline uint8_t rc_encoding_of_client(uint8_t encoding)
{
    return rc_encoding_is_delta(encoding) ? (uint8_t)(encoding - RC_ENCODING_DELTA_STEP) : encoding;
}

/* `window_bits` is 0, 8, 9, 12 or 15; polling: of codecs of Engine.IO, and 0. Codecs of server-sent events have one, whatever is said,
 * and that of Engine.IO 3 has no windows. */
static inline uint8_t rc_encoding_of(enum rc_codec_id codec, enum rc_framing_id framing, uint8_t window_bits)
{
    const uint32_t variant = framing == RC_FRAMING_POLLING ? RC_ENCODING_WINDOWS
                             : window_bits == 0            ? 0
                             : window_bits == 8            ? 1
                             : window_bits == 9            ? 2
                             : window_bits == 12           ? 3
                                                           : 4;
    return (uint8_t)(codec < RC_CODEC_ENGINEIO  ? (uint32_t)codec * RC_ENCODING_WINDOWS + variant
                     : codec == RC_CODEC_LINK_3 ? RC_ENCODING_LINK_3_FIRST + (framing == RC_FRAMING_POLLING)
                     : codec < RC_CODEC_SSE
                         ? RC_ENCODING_ENGINE_FIRST + ((uint32_t)codec - RC_CODEC_ENGINEIO) * RC_ENCODING_OF_ENGINE +
                               variant
                         : RC_ENCODING_STREAM_FIRST + ((uint32_t)codec - RC_CODEC_SSE));
}

#endif
