/*
 * The WebSocket receiver against libwslay, a server's implementation by others: the same messages, the same end.
 *
 * Input: one byte that seeds the cutting of what we are given, then what a client sends. libwslay gets all of it. It
 * differs in what the RFC leaves open, and once in what it does not (a close frame of one byte); each is named below.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#include "common/base/check.h"
#include "worker/ws/receive.h"

#define MESSAGE_BYTES_MAX 5000u

enum ending { OPEN, CLOSED, FAILED };

/* What came out, as one number, and how it ended. */
struct transcript {
    uint64_t hash;
    size_t messages;
    enum ending ending;
    unsigned code;
    bool in_close; /* ours: ended in a close frame, complete or not */
};

static void add(struct transcript *transcript, uint8_t opcode, const uint8_t *bytes, size_t n)
{
    transcript->hash = (transcript->hash ^ (opcode + 1000 * n)) * 0x100000001B3u;
    for (size_t i = 0; i < n; i++) {
        transcript->hash = (transcript->hash ^ bytes[i]) * 0x100000001B3u;
    }
    transcript->messages++;
}

/* --- ours --------------------------------------------------------------------------------------------------------- */

struct buffer {
    uint8_t bytes[MESSAGE_BYTES_MAX];
};

static uint8_t *reserve(void *context, size_t bytes_total, size_t used)
{
    struct buffer *buffer = context;
    RC_ASSERT(used <= bytes_total && bytes_total <= sizeof(buffer->bytes));
    return buffer->bytes;
}

static struct transcript run_ours(const uint8_t *bytes, size_t n, unsigned seed)
{
    static const struct rc_ws_limits limits = {.message_bytes_max = MESSAGE_BYTES_MAX, .require_mask = true};
    static struct buffer buffer;
    const struct rc_ws_buffer_ops ops = {.reserve = reserve, .context = &buffer};
    struct rc_ws_receiver receiver = {0};
    struct transcript transcript = {0};
    uint8_t *copy = malloc(n + 1);
    RC_ASSERT(copy != NULL);
    memcpy(copy, bytes, n);
    for (size_t at = 0; at < n && transcript.ending == OPEN;) {
        seed = seed * 1664525u + 1013904223u;
        size_t piece = 1 + (seed >> 24) % 40;
        piece = piece < n - at ? piece : n - at;
        for (size_t used = 0; used < piece && transcript.ending == OPEN;) {
            struct rc_ws_event event;
            used += rc_ws_receive(&receiver, copy + at + used, piece - used, &limits, &ops, &event);
            if (event.type == RC_WS_EVENT_MESSAGE || event.type == RC_WS_EVENT_PING || event.type == RC_WS_EVENT_PONG) {
                add(&transcript, event.opcode, event.payload, event.bytes);
            } else if (event.type == RC_WS_EVENT_CLOSE) {
                add(&transcript, RC_WS_CLOSE, event.payload, event.bytes);
                transcript.ending = CLOSED;
                transcript.code = event.close_code;
            } else if (event.type == RC_WS_EVENT_ERROR) {
                transcript.ending = FAILED;
                transcript.code = event.close_code;
            }
        }
        at += piece;
    }
    transcript.in_close = (transcript.ending != OPEN || receiver.state == RC_WS_RECEIVER_CONTROL) &&
                          receiver.control_opcode == RC_WS_CLOSE;
    free(copy);
    return transcript;
}

/* --- theirs ------------------------------------------------------------------------------------------------------- */

struct theirs {
    struct transcript transcript;
    const uint8_t *bytes;
    size_t n;
};

static ssize_t on_recv(wslay_event_context_ptr context, uint8_t *out, size_t n, int flags, void *user)
{
    struct theirs *theirs = user;
    (void)flags;
    if (theirs->n == 0) {
        wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    n = n < theirs->n ? n : theirs->n;
    memcpy(out, theirs->bytes, n);
    theirs->bytes += n;
    theirs->n -= n;
    return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr context, const uint8_t *bytes, size_t n, int flags, void *user)
{
    (void)context;
    (void)bytes;
    (void)flags;
    (void)user;
    return (ssize_t)n;
}

static void on_message(wslay_event_context_ptr context, const struct wslay_event_on_msg_recv_arg *message, void *user)
{
    struct theirs *theirs = user;
    (void)context;
    const bool close = message->opcode == WSLAY_CONNECTION_CLOSE;
    if (close && message->msg_length == 1) { /* it is lenient, RFC 6455 5.5.1 is not */
        theirs->transcript.ending = FAILED;
        theirs->transcript.code = RC_WS_CLOSE_PROTOCOL_ERROR;
        return;
    }
    const size_t code_bytes = close && message->msg_length >= 2 ? 2 : 0;
    const uint8_t *const payload = message->msg_length == 0 ? NULL : message->msg + code_bytes;
    add(&theirs->transcript, message->opcode, payload, message->msg_length - code_bytes);
    if (close) {
        theirs->transcript.ending = CLOSED;
        theirs->transcript.code = message->status_code == 0 ? RC_WS_CLOSE_NO_STATUS : message->status_code;
    }
}

static struct transcript run_theirs(const uint8_t *bytes, size_t n)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_recv, .send_callback = on_send, .on_msg_recv_callback = on_message};
    struct theirs theirs = {.bytes = bytes, .n = n};
    wslay_event_context_ptr context;
    RC_ASSERT(wslay_event_context_server_init(&context, &callbacks, &theirs) == 0);
    wslay_event_config_set_max_recv_msg_length(context, MESSAGE_BYTES_MAX);
    const int rc = wslay_event_recv(context);
    if (rc != 0 && theirs.transcript.ending == OPEN) {
        /* A header that can not be: it says so to its caller only. */
        theirs.transcript.ending = FAILED;
        theirs.transcript.code = RC_WS_CLOSE_PROTOCOL_ERROR;
    } else if (theirs.transcript.ending == OPEN && !wslay_event_get_read_enabled(context)) {
        wslay_event_send(context);
        theirs.transcript.ending = FAILED;
        theirs.transcript.code = wslay_event_get_status_code_sent(context);
    }
    wslay_event_context_free(context);
    return theirs.transcript;
}

/* --- both --------------------------------------------------------------------------------------------------------- */

static bool debatable(unsigned code)
{
    return code >= 1012 && code <= 2999;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    const struct transcript ours = run_ours(data + 1, size - 1, data[0]);
    const struct transcript theirs = run_theirs(data + 1, size - 1);
    if (ours.ending == FAILED && theirs.ending == OPEN) {
        /* We did not wait: for the end of a header or text that was wrong already, for the payload of one too long. */
        RC_ASSERT(ours.code == RC_WS_CLOSE_PROTOCOL_ERROR || ours.code == RC_WS_CLOSE_INVALID_PAYLOAD ||
                  ours.code == RC_WS_CLOSE_TOO_BIG);
        RC_ASSERT(ours.messages == theirs.messages && ours.hash == theirs.hash);
        return 0;
    }
    if (ours.ending == OPEN && ours.in_close && theirs.ending == FAILED) {
        /* Here it did not wait: for the rest of a close frame's reason. */
        RC_ASSERT(theirs.code == RC_WS_CLOSE_INVALID_PAYLOAD);
        return 0;
    }
    if (debatable(ours.code) || debatable(theirs.code)) {
        return 0;
    }
    RC_ASSERT(ours.ending == theirs.ending);
    RC_ASSERT(ours.messages == theirs.messages && ours.hash == theirs.hash);
    /* A code that may not be sent and a reason that is not UTF-8: both are right. */
    const bool twice_wrong =
        ours.in_close && ours.code == RC_WS_CLOSE_PROTOCOL_ERROR && theirs.code == RC_WS_CLOSE_INVALID_PAYLOAD;
    RC_ASSERT(ours.code == theirs.code || twice_wrong);
    return 0;
}
