/* encoding: see encoding.h. */
#include "worker/store/encoding.h"

/* A codec in WebSocket frames, with each window. */
#define WEBSOCKET(codec)                                                                                           \
    {codec, RC_FRAMING_WEBSOCKET, 0, 0}, {codec, RC_FRAMING_WEBSOCKET, 8, 0}, {codec, RC_FRAMING_WEBSOCKET, 9, 0}, \
        {codec, RC_FRAMING_WEBSOCKET, 12, 0},                                                                      \
    {                                                                                                              \
        codec, RC_FRAMING_WEBSOCKET, 15, 0                                                                         \
    }

const struct rc_encoding_row rc_encodings[RC_ENCODING_COUNT] = {
    WEBSOCKET(RC_CODEC_JSON),
    WEBSOCKET(RC_CODEC_BINARY),
    WEBSOCKET(RC_CODEC_RAW),
    WEBSOCKET(RC_CODEC_ECHO),
    WEBSOCKET(RC_CODEC_PUSHER),
    WEBSOCKET(RC_CODEC_JSON_DELTA),
    WEBSOCKET(RC_CODEC_BINARY_DELTA),
    WEBSOCKET(RC_CODEC_ENGINEIO),
    {RC_CODEC_ENGINEIO, RC_FRAMING_POLLING, 0, 0},
    WEBSOCKET(RC_CODEC_SOCKETIO),
    {RC_CODEC_SOCKETIO, RC_FRAMING_POLLING, 0, 0},
    WEBSOCKET(RC_CODEC_SOCKETIO_MSGPACK),
    {RC_CODEC_SOCKETIO_MSGPACK, RC_FRAMING_POLLING, 0, 0},
    WEBSOCKET(RC_CODEC_LINK),
    {RC_CODEC_LINK, RC_FRAMING_POLLING, 0, 0},
    {RC_CODEC_LINK_3, RC_FRAMING_WEBSOCKET, 0, 0},
    {RC_CODEC_LINK_3, RC_FRAMING_POLLING, 0, 0},
    {RC_CODEC_SSE, RC_FRAMING_STREAM, 0, 0},
    {RC_CODEC_SSE_DATA, RC_FRAMING_STREAM, 0, 0},
};
