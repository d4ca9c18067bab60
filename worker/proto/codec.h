/*
 * codec: the client protocols, one row of a table each: bytes of a client become operations, events become bytes.
 *
 * Who wants another protocol writes one file with one `struct rc_codec`, gives it a number in worker/store/encoding.h and a row
 * in codec.c. A codec knows no channel logic, no socket and no framing. Pure code: no allocation, no state beyond the reader.
 * Only a worker calls it. Decoding fails with an error to answer, encoding cannot fail.
 */
#ifndef RC_WORKER_PROTO_CODEC_H
#define RC_WORKER_PROTO_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/check.h"
#include "common/config/config.h"
#include "common/text/json_scan.h"
#include "worker/proto/operation.h"
#include "worker/proto/unit.h"
#include "worker/store/encoding.h"

/* The reason text of a close frame: {"reconnect_ms":1234}, NUL included. */
#define RC_GOODBYE_BYTES_MAX 32u

/* Reads the operations of one complete message. The caller owns it (on its stack); opaque but to codecs. */
struct rc_reader {
    const struct rc_codec *codec;              /* borrowed: static */
    enum rc_part_kind kind;                    /* what the message is */
    bool started;                              /* true exactly when the message's outer shape has been checked */
    bool ended;                                /* true exactly when there is nothing more to say */
    struct rc_span frame;                      /* borrowed: the message */
    struct rc_operation_scratch *scratch;      /* borrowed */
    size_t scratch_used;                       /* bytes taken by the operation last given */
    const struct rc_config_endpoint *endpoint; /* borrowed: the [[endpoint]] it came through; NULL = server.path */
    struct rc_json_cursor elements;            /* JSON batch: the array */
    size_t at;                                 /* binary batch: offset of the next operation's length */
    uint8_t *room;                             /* borrowed: for data that has to be converted; NULL = there is none */
    size_t room_bytes;
};

struct rc_codec {
    const char *name;
    const char *subprotocol; /* Sec-WebSocket-Protocol that chooses it; NULL = none does */
    uint32_t events;         /* RC_EVENT_BIT of each event that it has words for: others are not sent to its clients */
    bool hears_everybody;    /* its clients are in "*" from the start */
    bool hears_user;         /* and in their user's channel */
    bool hears_channels;     /* they may be in channels at all */

    /* The next operation of the reader's message. 1: `*operation` is filled in; 0: the message has ended; -EBADMSG: `*error` is
     * filled in and is to be answered; go on calling, the operations after it are independent. The spans of either live until
     * the next call. A message that is broken as a whole gives one error and no operation: nothing of it is ever half done. */
    int (*decode)(struct rc_reader *reader, struct rc_operation *operation, struct rc_operation_error *error);
    /* Upper bound of what converting the data of a message of so many bytes takes: rc_reader_give_room before decoding. NULL = the
     * data of an operation is always a span of its message. */
    size_t (*room_bytes_max)(size_t message_bytes);

    /* Upper bound of an event's payload in bytes, and how many parts it has. */
    size_t (*event_bytes_max)(const struct rc_event *event, uint32_t *parts);
    /* Writes the event's parts. When it is one part, unit->payload_bytes_max is the bound given above. */
    void (*encode)(const struct rc_event *event, struct rc_unit *unit);

    /* "Are you there?", one part without payload beyond RC_HEARTBEAT_BYTES_MAX. */
    void (*heartbeat)(struct rc_unit *unit);
    /* What a close frame says to who shall come back after `reconnect_ms`; its bytes, no NUL. */
    size_t (*goodbye)(uint8_t out[RC_GOODBYE_BYTES_MAX], uint32_t reconnect_ms);
    /* The protocol's own number for a close code of ours. NULL: they are its own. */
    uint16_t (*close_code)(uint16_t code);
};

#define RC_EVENT_BIT(type) (1u << (type))
#define RC_HEARTBEAT_BYTES_MAX 8u

extern const struct rc_codec rc_codec_json;             /* native.c */
extern const struct rc_codec rc_codec_binary;           /* native.c */
extern const struct rc_codec rc_codec_raw;              /* raw.c */
extern const struct rc_codec rc_codec_echo;             /* echo.c */
extern const struct rc_codec rc_codec_json_delta;       /* native_delta.c */
extern const struct rc_codec rc_codec_binary_delta;     /* native_delta.c */
extern const struct rc_codec rc_codec_pusher;           /* pusher.c */
extern const struct rc_codec rc_codec_engineio;         /* engineio.c */
extern const struct rc_codec rc_codec_socketio;         /* socketio.c */
extern const struct rc_codec rc_codec_socketio_msgpack; /* socketio_msgpack.c */
extern const struct rc_codec rc_codec_link;             /* link.c */
extern const struct rc_codec rc_codec_link_3;           /* link.c */
extern const struct rc_codec rc_codec_sse;              /* sse.c */
extern const struct rc_codec rc_codec_sse_data;         /* sse.c */

extern const struct rc_codec *const rc_codecs[RC_CODEC_COUNT];

static inline const struct rc_codec *rc_codec_of(enum rc_codec_id id)
{
    RC_ASSERT_HOT(id < RC_CODEC_COUNT);
    return rc_codecs[id];
}
static inline const struct rc_codec *rc_encoding_codec_of(uint8_t encoding)
{
    return rc_codec_of(rc_encoding_codec(encoding));
}

/* Has the codec of this encoding words for such an event? */
static inline bool rc_codec_says(uint8_t encoding, enum rc_event_type type)
{
    return (rc_encoding_codec_of(encoding)->events & RC_EVENT_BIT(type)) != 0;
}

/* The subprotocols that choose a codec, NULL-terminated, best first; *count of them. */
const char *const *rc_codec_subprotocols(size_t *count);
/* The codec that a subprotocol chooses; `otherwise` for NULL and for one that chooses none. */
enum rc_codec_id rc_codec_chosen(const char *subprotocol, enum rc_codec_id otherwise);

/* Begins to read a complete message: text (whose UTF-8 has been checked) or binary. Everything is borrowed until the reader is
 * no longer used. */
void rc_reader_begin(struct rc_reader *reader, const struct rc_codec *codec, enum rc_part_kind kind,
                     struct rc_span frame, struct rc_operation_scratch *scratch,
                     const struct rc_config_endpoint *endpoint);
/* Lends a reader room for converted data, which is there until the next message is read. */
static inline void rc_reader_give_room(struct rc_reader *reader, uint8_t *room, size_t bytes)
{
    reader->room = room;
    reader->room_bytes = bytes;
}
static inline int rc_reader_next(struct rc_reader *reader, struct rc_operation *operation,
                                 struct rc_operation_error *error)
{
    return reader->codec->decode(reader, operation, error);
}

/* Room that an event takes as a unit; close, and exact but for the frame's head for messages whose channel_json is given. */
static inline size_t rc_event_unit_bytes_max(uint8_t encoding, const struct rc_event *event)
{
    uint32_t parts = 1;
    const size_t payload = rc_encoding_codec_of(encoding)->event_bytes_max(event, &parts);
    return rc_unit_bytes_max(encoding, parts, payload);
}

/* Writes the event as a unit to `out`, which has room for `bytes_max` as said above; the bytes written. `compressor` may be
 * NULL. */
static inline size_t rc_event_unit_write(uint8_t encoding, struct rc_compressor *compressor,
                                         const struct rc_event *event, size_t bytes_max, uint8_t *out)
{
    struct rc_unit unit = rc_unit_of(encoding, compressor, out);
    unit.payload_bytes_max = bytes_max - unit.framing->head_bytes_large;
    rc_encoding_codec_of(encoding)->encode(event, &unit);
    return unit.bytes;
}

/* For codecs whose connections are WebSockets: a ping frame (RFC 6455 5.5.2). */
void rc_codec_websocket_ping(struct rc_unit *unit);
/* The data of an event for codecs that say nothing else: of arguments the one alone if it is one without an attachment, else their
 * JSON array. */
struct rc_span rc_codec_plain_data(const struct rc_event *event);
/* For those: event_bytes_max and encode. */
size_t rc_codec_verbatim_bytes_max(const struct rc_event *event, uint32_t *parts);
void rc_codec_verbatim_encode(const struct rc_event *event, struct rc_unit *unit);

#endif
