/*
 * The server's side of receiving WebSocket frames (RFC 6455 5 to 8): bytes in, messages and control frames out.
 *
 * A receiver belongs to the connection's worker and holds no pointer, so that it can live in memory which a successor
 * process maps elsewhere. An idle connection needs none: when rc_ws_receiver_idle() says so, the caller may drop the
 * receiver and start from a zeroed one when bytes arrive. A zeroed receiver is a new one. Nothing is allocated here;
 * the buffer in which a message that comes in pieces is put together is the caller's, got through a callback.
 *
 * Whatever a peer sends ends in an event; every violation of the RFC is an ERROR with the close code to answer.
 *
 *            header complete            payload complete, FIN
 *   HEADER ───────────────▶ PAYLOAD ─────────────────────────▶ HEADER (MESSAGE)
 *     │ ▲                      │ payload complete, no FIN
 *     │ └──────────────────────┘
 *     │ control header      ┌──▶ HEADER (PING, PONG)
 *     └───────▶ CONTROL ────┤
 *                           └──▶ CLOSED (CLOSE);   any error ──▶ CLOSED (ERROR)
 *
 * CLOSED swallows what still comes and reports nothing.
 */
#ifndef RC_WORKER_WS_RECEIVE_H
#define RC_WORKER_WS_RECEIVE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/ws/frame.h"

enum rc_ws_receiver_state {
    RC_WS_RECEIVER_HEADER = 0,
    RC_WS_RECEIVER_PAYLOAD = 1,
    RC_WS_RECEIVER_CONTROL = 2,
    RC_WS_RECEIVER_CLOSED = 3,
};

/*
 * Shared-memory layout: fixed-width members, no pointers. Written and read by the owning worker only (and by its
 * successor).
 *
 *   0                  8               16             24       28    32       41           55    64             189
 *   │ frame_bytes_left │ message_bytes │ buffer_bytes │ frames │ key │ 9 × u8 │ header[14] │ pad │ control[125] │ pad
 */
struct rc_ws_receiver {
    uint64_t frame_bytes_left; /* PAYLOAD, CONTROL: payload bytes of the current frame that have not arrived */
    uint64_t message_bytes;    /* bytes of the current message in the accumulation buffer */
    uint64_t buffer_bytes;     /* what was last asked of `reserve` for this message; 0 = no buffer in use */
    uint32_t frames;           /* data frames of the current message so far; 0 exactly when no message is open */
    uint32_t key;              /* masking key of the current frame, in memory order */
    uint8_t state;             /* enum rc_ws_receiver_state */
    uint8_t opcode;            /* of the current message: TEXT or BINARY */
    uint8_t control_opcode;    /* CONTROL: CLOSE, PING or PONG */
    uint8_t control_bytes;     /* CONTROL: payload bytes in `control` */
    uint8_t phase;             /* position in the masking key, 0-3 */
    uint8_t utf8;              /* validator's state of the current text */
    uint8_t fin;               /* PAYLOAD: the current frame is its message's last */
    uint8_t compressed;        /* the current message's first frame had RSV1 */
    uint8_t header_bytes;      /* HEADER: bytes of an incomplete header in `header` */
    uint8_t header[RC_WS_HEADER_BYTES_MAX];
    uint8_t padding[9];
    uint8_t control[RC_WS_CONTROL_PAYLOAD_MAX]; /* CONTROL: payload so far, when it did not arrive in one piece */
    uint8_t control_padding[3];
};

static_assert(offsetof(struct rc_ws_receiver, state) == 32, "receiver's fields are where the picture says");
static_assert(offsetof(struct rc_ws_receiver, control) == 64, "receiver's head is one cache line");
static_assert(sizeof(struct rc_ws_receiver) == 192, "receiver's size is part of the shared layout");

struct rc_ws_limits {
    uint64_t message_bytes_max;      /* of a message as sent (compressed ones: before inflating), over all its frames */
    uint32_t frames_per_message_max; /* data frames of one message; 0 = no limit */
    bool deflate;                    /* permessage-deflate was negotiated: RSV1 allowed on a message's first frame */
    bool require_mask;               /* true for a server */
};

enum rc_ws_event_type {
    RC_WS_EVENT_NONE = 0, /* everything was consumed; more bytes are needed */
    RC_WS_EVENT_MESSAGE,  /* opcode, compressed, payload */
    RC_WS_EVENT_PING,     /* payload: answer it in a pong */
    RC_WS_EVENT_PONG,     /* payload */
    RC_WS_EVENT_CLOSE,    /* close_code (1005 when the frame had none), payload = the peer's reason, valid UTF-8 */
    RC_WS_EVENT_ERROR,    /* close_code to answer, reason = why (static English text) */
};

/*
 * `payload` points into the bytes given to rc_ws_receive, into the accumulation buffer, or into the receiver; it is
 * valid, and may be written to, until the next call for this receiver. It is never NULL in events that have one, also
 * when `bytes` is 0.
 */
struct rc_ws_event {
    enum rc_ws_event_type type;
    uint16_t close_code;
    uint8_t opcode;
    bool compressed;
    uint8_t *payload;
    size_t bytes;
    const char *reason;
};

/*
 * The accumulation buffer of one connection. `reserve` returns contiguous memory of at least `bytes_total` bytes
 * whose first `used` bytes are what the buffer held before, or NULL when there is none (the receiver then fails with
 * 1011). It is called for every piece that is appended, mostly with the same `bytes_total` as before: then it returns
 * the buffer it has. `used` is 0 exactly at a message's first piece. `bytes_total` never exceeds message_bytes_max
 * nor 2 × (bytes that really arrived) + 4 KiB, whatever length a header claims. After a MESSAGE whose payload is in
 * the buffer, after CLOSE and after ERROR the receiver needs the buffer no more.
 */
struct rc_ws_buffer_ops {
    uint8_t *(*reserve)(void *context, size_t bytes_total, size_t used);
    void *context; /* borrowed */
};

/*
 * Takes bytes from the connection, in place (payloads are unmasked where they lie), until an event or their end.
 * Returns the bytes consumed, all `n` when the event is NONE; the caller goes on with the rest. At most one event per
 * call, always written to `*event`. A frame that lies wholly in `bytes` and is a whole message is delivered there,
 * without a copy and without the buffer. Text is checked as it arrives, unless it is compressed: what comes out of
 * inflating is the caller's to check with rc_utf8_feed.
 */
size_t rc_ws_receive(struct rc_ws_receiver *receiver, uint8_t *bytes, size_t n, const struct rc_ws_limits *limits,
                     const struct rc_ws_buffer_ops *buffer, struct rc_ws_event *event);

/* True when a zeroed receiver is equivalent: between messages, no part of a header held, not closed. */
static inline bool rc_ws_receiver_idle(const struct rc_ws_receiver *receiver)
{
    return receiver->state == RC_WS_RECEIVER_HEADER && receiver->header_bytes == 0 && receiver->frames == 0;
}

/* True while a message is partly in the accumulation buffer, so that the caller must keep it. */
static inline bool rc_ws_receiver_uses_buffer(const struct rc_ws_receiver *receiver)
{
    return receiver->state != RC_WS_RECEIVER_CLOSED && receiver->buffer_bytes != 0;
}

#endif
