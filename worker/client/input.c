/*
 * input: bytes of a connection on their way to HTTP or WebSocket, and what happens to them while reading is paused.
 *
 * Bytes are handled in the receive buffer where possible. What cannot be handled yet (an incomplete request head, or anything
 * while the client is not read) is copied out and parked, so that no shared buffer is held.
 */
#include "worker/client/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/store/named.h"
#include "worker/ws/frame.h"
#include "worker/ws/receive.h"
#include "worker/ws/utf8.h"

#define INPUT_BEHIND_CALL_MAX 16384u /* bytes of pipelined requests before a connection is not read until its answer */

struct input_context {
    struct rc_sessions *sessions;
    uint32_t socket;
};

static uint8_t *input_reserve(void *opaque, size_t bytes_total, size_t used)
{
    const struct input_context *context = opaque;
    struct rc_input *input = rc_session_input(context->sessions, context->socket);
    if (input == NULL) {
        return NULL;
    }
    if (bytes_total > input->message_capacity &&
        rc_session_input_grow(context->sessions, &input->message, &input->message_capacity, bytes_total, used) < 0) {
        return NULL;
    }
    return rc_heap_at(&context->sessions->truth->heap, input->message);
}

static bool input_goes_on(const struct rc_socket *socket)
{
    return socket->state == RC_SOCKET_CARRYING;
}

/* Carries a message out. False: it needs room in the up ring, or a subscription before it to be registered, and waits for it; the
 * client is not read meanwhile. */
static bool input_message(struct rc_sessions *sessions, uint32_t index, uint8_t opcode, const uint8_t *bytes,
                          size_t count, uint32_t done)
{
    struct rc_socket *socket = &sessions->truth->sockets[index];
    if (rc_session_message(sessions, socket->client, opcode, bytes, count, &done) ||
        !rc_session_is_open(sessions, socket)) {
        return true;
    }
    const bool for_uplink = !(rc_truth_client(sessions->truth, socket->client)->flags & RC_CLIENT_WAITS_SUBSCRIBE);
    struct rc_input *input = rc_session_input(sessions, index);
    if (input == NULL) {
        rc_session_failed_memory(sessions, index);
        return false;
    }
    const bool kept = input->message != 0 && bytes == rc_heap_at(&sessions->truth->heap, input->message);
    if (!kept) {
        if (count > input->message_capacity &&
            rc_session_input_grow(sessions, &input->message, &input->message_capacity, count, 0) < 0) {
            rc_session_failed_memory(sessions, index);
            return false;
        }
        if (count > 0) {
            memcpy(rc_heap_at(&sessions->truth->heap, input->message), bytes, count);
        }
    }
    input->waiting_opcode = opcode;
    input->waiting_bytes = (uint32_t)count;
    input->waiting_done = done;
    if (for_uplink) {
        rc_waiters_add(&sessions->uplink->waiters, index);
    }
    rc_metric_add(sessions->metrics, RC_METRIC_READ_PAUSES, 1);
    rc_io_pause(sessions->io, index);
    return false;
}

/* Replies pile up: the client is not read until they have left. */
static bool input_must_wait(struct rc_sessions *sessions, uint32_t index)
{
    struct rc_socket *socket = &sessions->truth->sockets[index];
    if (rc_hub_unsent_on(sessions->hub, index) <= sessions->config->limits.max_reply_bytes) {
        return false;
    }
    socket->flags |= RC_SOCKET_WAITS_REPLIES;
    rc_metric_add(sessions->metrics, RC_METRIC_READ_PAUSES, 1);
    rc_io_pause(sessions->io, index);
    return true;
}

static void input_control(struct rc_sessions *sessions, uint32_t index, const struct rc_ws_event *event)
{
    const struct rc_socket *socket = &sessions->truth->sockets[index];
    const uint32_t client_index = socket->client;
    struct rc_client *client = rc_truth_client(sessions->truth, client_index);
    switch (event->type) {
    case RC_WS_EVENT_PING:
        if (rc_hub_reply_frame(sessions->hub, client_index, RC_WS_PONG, event->payload, (uint32_t)event->bytes) < 0) {
            rc_client_failed_memory(sessions, client_index);
        }
        return;
    case RC_WS_EVENT_PONG:
        rc_metric_add(sessions->metrics, RC_METRIC_PONGS, 1);
        if (client->flags & RC_CLIENT_PING_DUE) {
            client->flags &= (uint16_t)~RC_CLIENT_PING_DUE;
            client->ping_ds = rc_session_next_ping(sessions, sessions->config->limits.ping_interval_ms);
            rc_session_schedule(sessions, index);
        }
        return;
    case RC_WS_EVENT_CLOSE:
        client->flags |= RC_CLIENT_CLOSE_RECEIVED;
        if (client->state == RC_CLIENT_OPEN) {
            rc_hub_close_client(sessions->hub, client_index, event->close_code, NULL, 0, true);
            rc_session_flushed(sessions, client_index);
        } else if (client->flags & RC_CLIENT_CLOSE_SENT) {
            rc_session_flushed(sessions, client_index);
        }
        return;
    case RC_WS_EVENT_ERROR:
        rc_metric_add(sessions->metrics, RC_METRIC_PROTOCOL_ERRORS, 1);
        if (client->state == RC_CLIENT_OPEN) {
            rc_named_log_client("protocol_error", sessions->truth, client_index, event->reason, " code=%u",
                                event->close_code);
            rc_session_close(sessions, client_index, event->close_code, event->reason, true);
            if (socket->client == client_index) {
                rc_session_linger(sessions, index); /* nothing that still comes means anything */
            }
        }
        return;
    case RC_WS_EVENT_NONE:
    case RC_WS_EVENT_MESSAGE:
        return;
    }
}

static uint8_t *inflate_reserve(void *context, size_t bytes_total, size_t used)
{
    struct rc_sessions *sessions = context;
    (void)used;
    if (bytes_total > sessions->inflated_capacity) {
        uint8_t *larger = realloc(sessions->inflated, bytes_total);
        if (larger == NULL) {
            return NULL;
        }
        sessions->inflated = larger;
        sessions->inflated_capacity = bytes_total;
    }
    return sessions->inflated;
}

/* What the next message may refer back to. -ENOMEM: without it the client's messages could not be read any more. */
static int inflate_remember(struct rc_sessions *sessions, struct rc_socket *socket, const uint8_t *bytes, size_t count)
{
    if (!(socket->flags & RC_SOCKET_TAKEOVER) || count == 0) {
        return 0;
    }
    const size_t need = rc_inflate_history_bytes(socket->history_bytes, count, socket->inflate_bits);
    uint32_t capacity =
        socket->history == 0 ? 0 : (uint32_t)rc_heap_block_bytes(&sessions->truth->heap, socket->history);
    if (need > capacity &&
        rc_session_input_grow(sessions, &socket->history, &capacity, need, socket->history_bytes) < 0) {
        return -ENOMEM;
    }
    socket->history_bytes = (uint16_t)rc_inflate_remember(rc_heap_at(&sessions->truth->heap, socket->history),
                                                          socket->history_bytes, socket->inflate_bits, bytes, count);
    return 0;
}

/* RFC 7692 7.2.2. Puts the inflated message in the place of the compressed one; false: the connection was failed. */
static bool input_inflate(struct rc_sessions *sessions, uint32_t index, struct rc_ws_event *event)
{
    struct rc_socket *socket = &sessions->truth->sockets[index];
    const struct rc_ws_buffer_ops buffer = {.reserve = inflate_reserve, .context = sessions};
    const struct rc_span history = rc_span_of(
        socket->history == 0 ? NULL : rc_heap_at(&sessions->truth->heap, socket->history), socket->history_bytes);
    uint8_t *bytes;
    size_t count;
    int rc = rc_inflate(&sessions->inflater, event->payload, event->bytes, history,
                        sessions->config->limits.max_message_size_bytes, &buffer, &bytes, &count);
    if (rc == 0 && event->opcode == RC_WS_TEXT) {
        uint8_t utf8 = 0;
        rc = rc_utf8_feed(&utf8, bytes, count) < 0 || !rc_utf8_complete(utf8) ? -EILSEQ : 0;
    }
    if (rc == 0) {
        rc = inflate_remember(sessions, socket, bytes, count);
    }
    if (rc == 0) {
        rc_metric_add(sessions->metrics, RC_METRIC_INFLATED, 1);
        event->payload = bytes;
        event->bytes = count;
        return true;
    }
    const struct rc_ws_event failure = {.type = RC_WS_EVENT_ERROR,
                                        .close_code = rc == -EMSGSIZE ? RC_WS_CLOSE_TOO_BIG
                                                      : rc == -ENOMEM ? RC_WS_CLOSE_INTERNAL_ERROR
                                                                      : RC_WS_CLOSE_INVALID_PAYLOAD,
                                        .reason = rc == -EMSGSIZE ? "message too big when inflated"
                                                  : rc == -EILSEQ ? "invalid UTF-8 in text"
                                                  : rc == -ENOMEM ? "out of memory"
                                                                  : "not a deflate stream"};
    input_control(sessions, index, &failure);
    return false;
}

void rc_session_frames(struct rc_sessions *sessions, uint32_t index, uint8_t *bytes, uint32_t count)
{
    struct rc_socket *socket = &sessions->truth->sockets[index];
    const struct rc_config_limits *config = &sessions->config->limits;
    const struct rc_ws_limits limits = {.message_bytes_max = config->max_message_size_bytes,
                                        .frames_per_message_max = config->max_frames_per_message,
                                        .deflate = socket->inflate_bits > 0,
                                        .require_mask = true};
    struct input_context context = {.sessions = sessions, .socket = index};
    const struct rc_ws_buffer_ops buffer = {.reserve = input_reserve, .context = &context};
    struct rc_ws_receiver receiver = {0};
    if (socket->input != 0) {
        receiver = rc_truth_input(sessions->truth, socket->input)->receiver;
    }
    while (count > 0 && input_goes_on(socket)) {
        if (rc_session_is_open(sessions, socket) &&
            (rc_session_waits(sessions, socket) || input_must_wait(sessions, index))) {
            if (rc_session_park(sessions, index, bytes, count) < 0) {
                rc_session_failed_memory(sessions, index);
            }
            break;
        }
        struct rc_ws_event event;
        const size_t used = rc_ws_receive(&receiver, bytes, count, &limits, &buffer, &event);
        RC_ASSERT(used <= count);
        bytes += used;
        count -= (uint32_t)used;
        if (event.type == RC_WS_EVENT_MESSAGE) {
            rc_metric_add(sessions->metrics, RC_METRIC_FRAMES_IN, 1);
            rc_truth_client(sessions->truth, socket->client)->active_ds = sessions->io->now_ds;
            if (rc_session_is_open(sessions, socket) && rc_session_within_rate(sessions, index, event.bytes) &&
                (!event.compressed || input_inflate(sessions, index, &event))) {
                (void)input_message(sessions, index, event.opcode, event.payload, event.bytes, 0);
            }
        } else if (event.type != RC_WS_EVENT_NONE) {
            input_control(sessions, index, &event);
        }
    }
    if (!input_goes_on(socket)) {
        return; /* linger or gone: the input object went, or goes, with the connection */
    }
    if (!rc_ws_receiver_idle(&receiver) && rc_session_input(sessions, index) == NULL) {
        rc_session_failed_memory(sessions, index);
        return;
    }
    if (socket->input != 0) {
        rc_truth_input(sessions->truth, socket->input)->receiver = receiver;
    }
    rc_session_input_settle(sessions, index);
}

/* HTTP: whole requests are answered from the receive buffer; what is incomplete, or behind a call that waits for its answer, is
 * parked. Without bytes: looks at what is parked once more. */
static void input_http(struct rc_sessions *sessions, uint32_t index, uint8_t *bytes, uint32_t count)
{
    struct rc_socket *socket = &sessions->truth->sockets[index];
    const bool parked = socket->input != 0 && rc_truth_input(sessions->truth, socket->input)->parked_bytes > 0;
    if (parked) {
        if (count > 0 && rc_session_park(sessions, index, bytes, count) < 0) {
            rc_session_failed_memory(sessions, index);
            return;
        }
        const struct rc_input *input = rc_truth_input(sessions->truth, socket->input);
        bytes = rc_heap_at(&sessions->truth->heap, input->parked);
        count = input->parked_bytes;
    }
    const uint32_t used = rc_session_requests(sessions, index, bytes, count);
    if (socket->state == RC_SOCKET_HTTP) {
        if (parked) {
            rc_session_unpark(sessions, index, used);
        } else if (used < count && rc_session_park(sessions, index, bytes + used, count - used) < 0) {
            rc_session_failed_memory(sessions, index);
            return;
        }
        if (socket->exchange != 0 && socket->input != 0 &&
            rc_truth_input(sessions->truth, socket->input)->parked_bytes > INPUT_BEHIND_CALL_MAX) {
            rc_metric_add(sessions->metrics, RC_METRIC_READ_PAUSES, 1);
            rc_io_pause(sessions->io, index);
        }
        return;
    }
    if (!rc_session_is_open(sessions, socket)) {
        return;
    }
    /* Upgraded: what came with the request is the WebSocket's first bytes. */
    if (!parked) {
        rc_session_frames(sessions, index, bytes + used, count - used);
        return;
    }
    rc_session_unpark(sessions, index, used);
    rc_session_resume(sessions, index);
}

void rc_session_received(void *context, uint32_t index, uint8_t *bytes, uint32_t count)
{
    struct rc_sessions *sessions = context;
    struct rc_socket *socket = &sessions->truth->sockets[index];
    if (socket->state == RC_SOCKET_HTTP) {
        input_http(sessions, index, bytes, count);
    } else if (rc_session_waits(sessions, socket)) {
        if (rc_session_park(sessions, index, bytes, count) < 0) {
            rc_session_failed_memory(sessions, index);
        }
    } else if (input_goes_on(socket)) {
        rc_session_frames(sessions, index, bytes, count);
    }
    /* LINGER: read and thrown away, so that the peer gets our answer and no reset. */
}

void rc_session_resume(void *context, uint32_t index)
{
    struct rc_sessions *sessions = context;
    struct rc_socket *socket = &sessions->truth->sockets[index];
    if (socket->state == RC_SOCKET_HTTP) {
        rc_exchanges_room(&sessions->exchanges, index);
        input_http(sessions, index, NULL, 0);
        if (socket->state == RC_SOCKET_HTTP && socket->exchange == 0 && !(socket->flags & RC_SOCKET_WAITS_REPLIES)) {
            rc_io_resume(sessions->io, index);
        }
        return;
    }
    if (socket->input != 0 && rc_truth_input(sessions->truth, socket->input)->waiting_opcode != 0) {
        struct rc_input *input = rc_truth_input(sessions->truth, socket->input);
        const uint8_t opcode = input->waiting_opcode;
        input->waiting_opcode = 0;
        if (!input_message(sessions, index, opcode, rc_heap_at(&sessions->truth->heap, input->message),
                           input->waiting_bytes, input->waiting_done) ||
            !input_goes_on(socket)) {
            return;
        }
        rc_session_input_settle(sessions, index);
    }
    if (socket->input != 0 && rc_truth_input(sessions->truth, socket->input)->parked_bytes > 0) {
        /* The block is taken out first: handling it may park what is left in a new one. */
        struct rc_input *input = rc_truth_input(sessions->truth, socket->input);
        uint32_t block = input->parked;
        const uint32_t count = input->parked_bytes;
        input->parked = input->parked_capacity = input->parked_bytes = input->parked_scanned = 0;
        rc_session_frames(sessions, index, rc_heap_at(&sessions->truth->heap, block), count);
        rc_session_input_free(sessions, &block);
    }
    if (input_goes_on(socket) && !rc_session_waits(sessions, socket)) {
        rc_io_resume(sessions->io, index);
    }
}

void rc_session_replies_drained(void *context, uint32_t index)
{
    struct rc_sessions *sessions = context;
    struct rc_socket *socket = &sessions->truth->sockets[index];
    if ((socket->flags & RC_SOCKET_WAITS_REPLIES) &&
        rc_hub_unsent_on(sessions->hub, index) <= sessions->config->limits.max_reply_bytes / 2) {
        socket->flags &= (uint16_t)~RC_SOCKET_WAITS_REPLIES;
        if (!rc_session_waits(sessions, socket)) {
            rc_session_resume(sessions, index);
        }
    }
}

void rc_session_joined(void *context, uint32_t client_index)
{
    struct rc_sessions *sessions = context;
    const uint32_t index = rc_truth_client(sessions->truth, client_index)->socket;
    const struct rc_socket *socket = index == RC_SOCKET_NONE ? NULL : &sessions->truth->sockets[index];
    if (socket != NULL && input_goes_on(socket) && !rc_session_waits(sessions, socket)) {
        rc_session_resume(sessions, index);
    }
}

void rc_session_subscribed(void *context, uint32_t client_index)
{
    struct rc_sessions *sessions = context;
    struct rc_client *client = rc_truth_client(sessions->truth, client_index);
    const struct rc_socket *socket = rc_truth_socket_of(sessions->truth, client);
    client->flags &= (uint16_t)~RC_CLIENT_WAITS_SUBSCRIBE;
    /* Goes on with those that waited for room, in this pass of the loop: the channel is just being settled. */
    if (socket != NULL && input_goes_on(socket)) {
        rc_waiters_add(&sessions->uplink->waiters, client->socket);
    }
}

void rc_sessions_uplink_room(struct rc_sessions *sessions)
{
    struct rc_uplink *uplink = sessions->uplink;
    bool goes_on = true;
    for (uint32_t tries = uplink->waiters.count; goes_on && tries > 0;
         tries--) { /* who has more to send is last again */
        const uint64_t position = uplink->up.position;
        const uint32_t index = rc_uplink_serve(uplink);
        if (index == RC_WAITERS_NOBODY) {
            break;
        }
        const struct rc_socket *socket = &sessions->truth->sockets[index];
        if (!rc_session_waits(sessions, socket) && (input_goes_on(socket) || socket->state == RC_SOCKET_HTTP)) {
            rc_session_resume(sessions, index);
        }
        goes_on = rc_uplink_served(uplink, index, position);
    }
}
