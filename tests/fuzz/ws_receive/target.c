/*
 * The WebSocket receiver: however the bytes are cut, the events are the same, and what its header promises holds.
 *
 * Input: one byte of settings, one that seeds the cutting, then what a peer sends.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/ws/receive.h"
#include "worker/ws/utf8.h"

struct buffer {
    uint8_t *bytes;
    size_t capacity;
    size_t received; /* everything given to the receiver so far */
    const struct rc_ws_limits *limits;
    bool stingy;
};

/* Everything that events say, as one number. */
struct transcript {
    uint64_t hash;
    size_t events;
};

static void add(struct transcript *transcript, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        transcript->hash = (transcript->hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001B3u;
    }
}

static uint8_t *reserve(void *context, size_t bytes_total, size_t used)
{
    struct buffer *buffer = context;
    RC_ASSERT(used <= bytes_total);
    RC_ASSERT(bytes_total <= buffer->limits->message_bytes_max);
    RC_ASSERT(bytes_total <= 2 * buffer->received + 4096);
    RC_ASSERT(used == 0 || used <= buffer->capacity);
    if (buffer->stingy && bytes_total > 64) {
        return NULL;
    }
    if (bytes_total > buffer->capacity) {
        uint8_t *moved = malloc(bytes_total);
        RC_ASSERT(moved != NULL);
        if (used != 0) {
            memcpy(moved, buffer->bytes, used);
        }
        free(buffer->bytes);
        buffer->bytes = moved;
        buffer->capacity = bytes_total;
    }
    return buffer->bytes;
}

static void check_event(const struct rc_ws_event *event, const struct rc_ws_limits *limits)
{
    switch (event->type) {
    case RC_WS_EVENT_MESSAGE:
        RC_ASSERT(event->bytes <= limits->message_bytes_max);
        RC_ASSERT(event->opcode == RC_WS_TEXT || event->opcode == RC_WS_BINARY);
        RC_ASSERT(!event->compressed || limits->deflate);
        RC_ASSERT(event->opcode != RC_WS_TEXT || event->compressed || rc_utf8_valid(event->payload, event->bytes));
        break;
    case RC_WS_EVENT_PING:
    case RC_WS_EVENT_PONG:
        RC_ASSERT(event->bytes <= RC_WS_CONTROL_PAYLOAD_MAX);
        break;
    case RC_WS_EVENT_CLOSE:
        RC_ASSERT(event->bytes <= RC_WS_CLOSE_REASON_BYTES_MAX);
        RC_ASSERT(event->close_code == RC_WS_CLOSE_NO_STATUS || rc_ws_close_code_valid_received(event->close_code));
        RC_ASSERT(rc_utf8_valid(event->payload, event->bytes));
        break;
    case RC_WS_EVENT_ERROR:
        RC_ASSERT(event->reason != NULL && event->close_code >= 1002 && event->close_code <= 1011);
        return;
    case RC_WS_EVENT_NONE:
        return;
    }
    RC_ASSERT(event->payload != NULL);
}

static void note(struct transcript *transcript, const struct rc_ws_event *event)
{
    uint64_t fields[4] = {event->type, event->opcode, event->close_code, event->bytes};
    add(transcript, fields, sizeof(fields));
    add(transcript, event->payload, event->bytes);
    if (event->reason != NULL) {
        add(transcript, event->reason, strlen(event->reason));
    }
    transcript->events++;
}

/* Feeds the bytes in pieces of 1 to `piece_max`, each in memory of its own. */
static struct transcript run(const uint8_t *bytes, size_t n, size_t piece_max, unsigned seed,
                             const struct rc_ws_limits *limits, bool stingy)
{
    struct rc_ws_receiver receiver = {0};
    struct buffer buffer = {.limits = limits, .stingy = stingy};
    const struct rc_ws_buffer_ops ops = {.reserve = reserve, .context = &buffer};
    struct transcript transcript = {.hash = 0xCBF29CE484222325u};
    bool over = false;

    for (size_t given = 0; given < n;) {
        size_t piece_bytes = 1 + (size_t)rand_r(&seed) % piece_max, at = 0;
        if (piece_bytes > n - given) {
            piece_bytes = n - given;
        }
        uint8_t *piece = malloc(piece_bytes);
        RC_ASSERT(piece != NULL);
        memcpy(piece, bytes + given, piece_bytes);
        given += piece_bytes;
        buffer.received = given;
        while (at < piece_bytes) {
            struct rc_ws_event event;
            size_t used = rc_ws_receive(&receiver, piece + at, piece_bytes - at, limits, &ops, &event);
            RC_ASSERT(used != 0 && used <= piece_bytes - at);
            at += used;
            RC_ASSERT(event.type != RC_WS_EVENT_NONE || at == piece_bytes);
            RC_ASSERT(!over || event.type == RC_WS_EVENT_NONE);
            check_event(&event, limits);
            if (event.type != RC_WS_EVENT_NONE) {
                note(&transcript, &event);
            }
            over = over || event.type == RC_WS_EVENT_ERROR || event.type == RC_WS_EVENT_CLOSE;
            RC_ASSERT(!over || !rc_ws_receiver_idle(&receiver));
            if (rc_ws_receiver_idle(&receiver)) {
                memset(&receiver, 0, sizeof(receiver));
            }
            if (!rc_ws_receiver_uses_buffer(&receiver)) {
                free(buffer.bytes);
                buffer.bytes = NULL;
                buffer.capacity = 0;
            }
        }
        free(piece);
    }
    free(buffer.bytes);
    return transcript;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3) {
        return 0;
    }
    const struct rc_ws_limits limits = {
        .message_bytes_max = data[0] & 0x10   ? 200
                             : data[0] & 0x20 ? 1u << 20
                                              : UINT64_MAX >> 1,
        .frames_per_message_max = data[0] & 0x04 ? 4 : 0,
        .deflate = data[0] & 0x01,
        .require_mask = !(data[0] & 0x02),
    };
    bool stingy = data[0] & 0x08;
    const uint8_t *bytes = data + 2;
    size_t n = size - 2;
    struct transcript whole = run(bytes, n, n, data[1], &limits, false);
    struct transcript cut = run(bytes, n, 1 + data[1] % 16, data[1], &limits, false);
    struct transcript bytewise = run(bytes, n, 1, 0, &limits, false);
    RC_ASSERT(whole.events == cut.events && whole.hash == cut.hash);
    RC_ASSERT(whole.events == bytewise.events && whole.hash == bytewise.hash);
    /* How much is buffered depends on the cutting, so where memory ends does too: it only must not break anything. */
    if (stingy) {
        run(bytes, n, 1 + data[1] % 64, data[1], &limits, true);
    }
    return 0;
}
