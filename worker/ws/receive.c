/*
 * The receiver's state machine: header, then payload of a data or control frame, then the next header.
 */
#include "worker/ws/receive.h"

#include <string.h>

#include "common/base/check.h"
#include "worker/ws/mask.h"
#include "worker/ws/utf8.h"

/* What a buffer grows to beyond twice the bytes that arrived. */
#define GROWTH_BYTES 4096u

static void receive_fail(struct rc_ws_receiver *receiver, struct rc_ws_event *event, uint16_t close_code,
                         const char *reason)
{
    receiver->state = RC_WS_RECEIVER_CLOSED;
    event->type = RC_WS_EVENT_ERROR;
    event->close_code = close_code;
    event->reason = reason;
}

/* A data frame's header: may it come here, and is it within the limits? NULL, or what is wrong with `*code` set. */
static const char *open_data_frame(struct rc_ws_receiver *receiver, const struct rc_ws_header *header,
                                   const struct rc_ws_limits *limits, uint16_t *code)
{
    *code = RC_WS_CLOSE_PROTOCOL_ERROR;
    if (header->opcode == RC_WS_CONTINUATION) {
        if (receiver->frames == 0) {
            return "continuation frame without a message to continue";
        }
        if (header->rsv & RC_WS_RSV1) {
            return "RSV1 set on a continuation frame";
        }
    } else {
        if (receiver->frames != 0) {
            return "new message inside a fragmented one";
        }
        if ((header->rsv & RC_WS_RSV1) && !limits->deflate) {
            return "RSV1 set without a negotiated extension";
        }
        receiver->opcode = header->opcode;
        receiver->compressed = header->rsv & RC_WS_RSV1 ? 1 : 0;
        receiver->utf8 = 0;
        receiver->message_bytes = 0;
        receiver->buffer_bytes = 0;
    }
    if (limits->frames_per_message_max != 0 && receiver->frames >= limits->frames_per_message_max) {
        *code = RC_WS_CLOSE_POLICY_VIOLATION;
        return "message in too many fragments";
    }
    if (header->payload_bytes > limits->message_bytes_max ||
        receiver->message_bytes > limits->message_bytes_max - header->payload_bytes) {
        *code = RC_WS_CLOSE_TOO_BIG;
        return "message too big";
    }
    if (receiver->frames != UINT32_MAX) {
        receiver->frames++;
    }
    receiver->state = RC_WS_RECEIVER_PAYLOAD;
    receiver->fin = header->fin;
    return NULL;
}

static bool open_frame(struct rc_ws_receiver *receiver, const struct rc_ws_header *header,
                       const struct rc_ws_limits *limits, struct rc_ws_event *event)
{
    uint16_t code = RC_WS_CLOSE_PROTOCOL_ERROR;
    const char *wrong = NULL;

    if (header->rsv & (RC_WS_RSV2 | RC_WS_RSV3)) {
        wrong = "RSV2 or RSV3 set";
    } else if (header->masked != limits->require_mask) {
        wrong = header->masked ? "masked frame from a server" : "frame not masked";
    } else if (!(header->opcode & 0x8)) {
        wrong = open_data_frame(receiver, header, limits, &code);
    } else if (header->rsv & RC_WS_RSV1) {
        wrong = "RSV1 set on a control frame";
    } else {
        receiver->state = RC_WS_RECEIVER_CONTROL;
        receiver->control_opcode = header->opcode;
        receiver->control_bytes = 0;
    }
    if (wrong != NULL) {
        receive_fail(receiver, event, code, wrong);
        return false;
    }
    receiver->frame_bytes_left = header->payload_bytes;
    receiver->key = header->key;
    receiver->phase = 0;
    return true;
}

/*
 * Reads a frame's header, which may have begun in an earlier call. Returns the bytes consumed; the state moves on when
 * the header is complete, and event is set when it is wrong.
 */
static size_t take_header(struct rc_ws_receiver *receiver, const uint8_t *bytes, size_t n,
                          const struct rc_ws_limits *limits, struct rc_ws_event *event)
{
    struct rc_ws_header header;
    const char *why = NULL;
    size_t held = receiver->header_bytes;
    const uint8_t *in = bytes;
    size_t in_bytes = n;

    if (RC_UNLIKELY(held != 0)) {
        size_t room = sizeof(receiver->header) - held;
        size_t more = n < room ? n : room;
        memcpy(receiver->header + held, bytes, more);
        in = receiver->header;
        in_bytes = held + more;
    }
    int header_bytes = rc_ws_header_read(in, in_bytes, &header, &why);
    if (RC_UNLIKELY(header_bytes < 0)) {
        receive_fail(receiver, event, RC_WS_CLOSE_PROTOCOL_ERROR, why);
        return n;
    }
    if (RC_UNLIKELY(header_bytes == 0)) {
        /* 14 bytes always make a header, so all of `bytes` was looked at and fits. */
        if (held == 0) {
            memcpy(receiver->header, bytes, n);
        }
        receiver->header_bytes = (uint8_t)(held + n);
        return n;
    }
    receiver->header_bytes = 0;
    return open_frame(receiver, &header, limits, event) ? (size_t)header_bytes - held : n;
}

/*
 * Appends to the message's buffer and returns its start, or NULL. A claimed length only ever makes the buffer smaller
 * than its geometric growth, so what a peer can make us hold is bounded by what it sent.
 */
static uint8_t *receive_append(struct rc_ws_receiver *receiver, const uint8_t *bytes, size_t n,
                               const struct rc_ws_limits *limits, const struct rc_ws_buffer_ops *buffer)
{
    uint64_t needed = receiver->message_bytes + n;

    if (needed > receiver->buffer_bytes) {
        uint64_t wanted = 2 * needed + GROWTH_BYTES;
        uint64_t bound = limits->message_bytes_max;
        if (receiver->fin && receiver->message_bytes + receiver->frame_bytes_left < bound) {
            bound = receiver->message_bytes + receiver->frame_bytes_left;
        }
        receiver->buffer_bytes = wanted < bound ? wanted : bound;
    }
    uint8_t *start = buffer->reserve(buffer->context, receiver->buffer_bytes, receiver->message_bytes);
    if (start != NULL && n != 0) {
        memcpy(start + receiver->message_bytes, bytes, n);
    }
    receiver->message_bytes = needed;
    return start;
}

static void receive_deliver(struct rc_ws_receiver *receiver, uint8_t *payload, size_t bytes, struct rc_ws_event *event)
{
    if (!rc_utf8_complete(receiver->utf8)) {
        receive_fail(receiver, event, RC_WS_CLOSE_INVALID_PAYLOAD, "text ends inside a code point");
        return;
    }
    event->type = RC_WS_EVENT_MESSAGE;
    event->opcode = receiver->opcode;
    event->compressed = receiver->compressed;
    event->payload = payload;
    event->bytes = bytes;
    receiver->frames = 0;
    receiver->message_bytes = 0;
    receiver->buffer_bytes = 0;
}

/* Takes what there is of a data frame's payload. Returns the bytes consumed. */
static size_t take_payload(struct rc_ws_receiver *receiver, uint8_t *bytes, size_t n, const struct rc_ws_limits *limits,
                           const struct rc_ws_buffer_ops *buffer, struct rc_ws_event *event)
{
    size_t take = n < receiver->frame_bytes_left ? n : (size_t)receiver->frame_bytes_left;
    bool frame_complete = take == receiver->frame_bytes_left;
    bool message_complete = frame_complete && receiver->fin;

    if (receiver->key != 0) {
        rc_ws_mask(bytes, take, receiver->key, receiver->phase);
    }
    if (receiver->opcode == RC_WS_TEXT && !receiver->compressed && rc_utf8_feed(&receiver->utf8, bytes, take) < 0) {
        receive_fail(receiver, event, RC_WS_CLOSE_INVALID_PAYLOAD, "text is not UTF-8");
        return n;
    }

    if (RC_LIKELY(message_complete && receiver->message_bytes == 0)) {
        receiver->state = RC_WS_RECEIVER_HEADER;
        receive_deliver(receiver, bytes, take, event);
    } else if (take != 0 || message_complete) {
        uint8_t *start = receive_append(receiver, bytes, take, limits, buffer);
        if (start == NULL) {
            receive_fail(receiver, event, RC_WS_CLOSE_INTERNAL_ERROR, "out of memory for the message");
            return n;
        }
        if (frame_complete) {
            receiver->state = RC_WS_RECEIVER_HEADER;
        }
        if (message_complete) {
            receive_deliver(receiver, start, receiver->message_bytes, event);
        }
    } else if (frame_complete) {
        receiver->state = RC_WS_RECEIVER_HEADER;
    }
    receiver->frame_bytes_left -= take;
    receiver->phase = (uint8_t)((receiver->phase + take) & 3);
    return take;
}

/* A complete close frame's payload: code and reason (RFC 6455 5.5.1, 7.4). */
static void close_event(struct rc_ws_receiver *receiver, uint8_t *payload, size_t bytes, struct rc_ws_event *event)
{
    if (bytes == 0) {
        event->close_code = RC_WS_CLOSE_NO_STATUS;
    } else if (bytes == 1) {
        receive_fail(receiver, event, RC_WS_CLOSE_PROTOCOL_ERROR, "close frame with half a code");
        return;
    } else {
        event->close_code = (uint16_t)(payload[0] << 8 | payload[1]);
        if (!rc_ws_close_code_valid_received(event->close_code)) {
            receive_fail(receiver, event, RC_WS_CLOSE_PROTOCOL_ERROR, "close code that must not be sent");
            return;
        }
        if (!rc_utf8_valid(payload + 2, bytes - 2)) {
            receive_fail(receiver, event, RC_WS_CLOSE_INVALID_PAYLOAD, "close reason is not UTF-8");
            return;
        }
        payload += 2;
        bytes -= 2;
    }
    receiver->state = RC_WS_RECEIVER_CLOSED;
    event->type = RC_WS_EVENT_CLOSE;
    event->opcode = RC_WS_CLOSE;
    event->payload = payload;
    event->bytes = bytes;
}

/* Takes what there is of a control frame's payload, kept here until it is complete. Returns the bytes consumed. */
static size_t take_control(struct rc_ws_receiver *receiver, uint8_t *bytes, size_t n, struct rc_ws_event *event)
{
    size_t take = n < receiver->frame_bytes_left ? n : (size_t)receiver->frame_bytes_left;
    uint8_t *payload = bytes;

    RC_ASSERT_HOT(receiver->control_bytes + receiver->frame_bytes_left <= RC_WS_CONTROL_PAYLOAD_MAX);
    if (receiver->key != 0) {
        rc_ws_mask(bytes, take, receiver->key, receiver->phase);
    }
    if (receiver->control_bytes != 0 || take < receiver->frame_bytes_left) {
        memcpy(receiver->control + receiver->control_bytes, bytes, take);
        payload = receiver->control;
    }
    receiver->control_bytes = (uint8_t)(receiver->control_bytes + take);
    receiver->frame_bytes_left -= take;
    receiver->phase = (uint8_t)((receiver->phase + take) & 3);
    if (receiver->frame_bytes_left != 0) {
        return take;
    }

    receiver->state = RC_WS_RECEIVER_HEADER;
    if (receiver->control_opcode == RC_WS_CLOSE) {
        close_event(receiver, payload, receiver->control_bytes, event);
        return take;
    }
    event->type = receiver->control_opcode == RC_WS_PING ? RC_WS_EVENT_PING : RC_WS_EVENT_PONG;
    event->opcode = receiver->control_opcode;
    event->payload = payload;
    event->bytes = receiver->control_bytes;
    return take;
}

size_t rc_ws_receive(struct rc_ws_receiver *receiver, uint8_t *bytes, size_t n, const struct rc_ws_limits *limits,
                     const struct rc_ws_buffer_ops *buffer, struct rc_ws_event *event)
{
    size_t used = 0;

    *event = (struct rc_ws_event){.type = RC_WS_EVENT_NONE};
    while (used < n && event->type == RC_WS_EVENT_NONE) {
        if (receiver->state == RC_WS_RECEIVER_CLOSED) {
            return n;
        }
        if (receiver->state == RC_WS_RECEIVER_HEADER) {
            used += take_header(receiver, bytes + used, n - used, limits, event);
        }
        /* Not "else": a header completes an empty frame, also as the last of the bytes. */
        if (receiver->state == RC_WS_RECEIVER_PAYLOAD) {
            used += take_payload(receiver, bytes + used, n - used, limits, buffer, event);
        } else if (receiver->state == RC_WS_RECEIVER_CONTROL) {
            used += take_control(receiver, bytes + used, n - used, event);
        }
    }
    return used;
}
