/*
 * websocket: frames of a connection that carries a client, and messages out of them. See websocket.h.
 */
#include "worker/carrier/websocket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/store/named.h"
#include "worker/store/receiving.h"
#include "worker/ws/frame.h"
#include "worker/ws/receive.h"
#include "worker/ws/utf8.h"

struct frames_context {
    struct rc_clients *clients;
    uint32_t socket;
};

static uint8_t *frames_reserve(void *opaque, size_t bytes_total, size_t used)
{
    const struct frames_context *context = opaque;
    struct rc_input *input = rc_socket_input(context->clients, context->socket);
    if (input == NULL) {
        return NULL;
    }
    if (bytes_total > input->message_capacity &&
        rc_socket_input_grow(context->clients, &input->message, &input->message_capacity, bytes_total, used) < 0) {
        return NULL;
    }
    return rc_heap_at(&context->clients->truth->heap, input->message);
}

static void frame_control(struct rc_clients *clients, uint32_t index, const struct rc_ws_event *event)
{
    const struct rc_socket *socket = &clients->truth->sockets[index];
    const uint32_t client_index = socket->client;
    struct rc_client *client = rc_truth_client(clients->truth, client_index);
    switch (event->type) {
    case RC_WS_EVENT_PING:
        if (rc_hub_reply_frame(clients->hub, client_index, RC_WS_PONG, event->payload, (uint32_t)event->bytes) < 0) {
            rc_client_failed_memory(clients, client_index);
        }
        return;
    case RC_WS_EVENT_PONG:
        rc_metric_add(clients->metrics, RC_METRIC_PONGS, 1);
        if (client->flags & RC_CLIENT_PING_DUE) {
            client->flags &= (uint16_t)~RC_CLIENT_PING_DUE;
            client->ping_ds = rc_client_next_ping(clients, clients->config->limits.ping_interval_ms);
            rc_socket_schedule(clients, index);
        }
        return;
    case RC_WS_EVENT_CLOSE:
        client->flags |= RC_CLIENT_CLOSE_RECEIVED;
        if (client->state == RC_CLIENT_OPEN) {
            rc_hub_close_client(clients->hub, client_index, event->close_code, NULL, 0, true);
            rc_client_flushed(clients, client_index);
        } else if (client->flags & RC_CLIENT_CLOSE_SENT) {
            rc_client_flushed(clients, client_index);
        }
        return;
    case RC_WS_EVENT_ERROR:
        rc_metric_add(clients->metrics, RC_METRIC_PROTOCOL_ERRORS, 1);
        if (client->state == RC_CLIENT_OPEN) {
            rc_named_log_client("protocol_error", clients->truth, client_index, event->reason, " code=%u",
                                event->close_code);
            rc_client_close(clients, client_index, event->close_code, event->reason, true);
            if (socket->client == client_index) {
                rc_socket_linger(clients, index); /* nothing that still comes means anything */
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
    struct rc_websockets *websockets = context;
    (void)used;
    if (bytes_total > websockets->inflated_capacity) {
        uint8_t *larger = realloc(websockets->inflated, bytes_total);
        if (larger == NULL) {
            return NULL;
        }
        websockets->inflated = larger;
        websockets->inflated_capacity = bytes_total;
    }
    return websockets->inflated;
}

/* What the next message may refer back to. -ENOMEM: without it the client's messages could not be read any more. */
static int inflate_remember(struct rc_clients *clients, struct rc_socket *socket, const uint8_t *bytes, size_t count)
{
    if (!(socket->flags & RC_SOCKET_TAKEOVER) || count == 0) {
        return 0;
    }
    const size_t need = rc_inflate_history_bytes(socket->history_bytes, count, socket->inflate_bits);
    uint32_t capacity =
        socket->history == 0 ? 0 : (uint32_t)rc_heap_block_bytes(&clients->truth->heap, socket->history);
    if (need > capacity &&
        rc_socket_input_grow(clients, &socket->history, &capacity, need, socket->history_bytes) < 0) {
        return -ENOMEM;
    }
    socket->history_bytes = (uint16_t)rc_inflate_remember(rc_heap_at(&clients->truth->heap, socket->history),
                                                          socket->history_bytes, socket->inflate_bits, bytes, count);
    return 0;
}

/* How large a message of what the socket carries may be, inflated or not. */
static uint64_t message_bytes_max(const struct rc_clients *clients, const struct rc_socket *socket)
{
    return rc_encoding_is_engine(rc_truth_client(clients->truth, socket->client)->encoding)
               ? clients->config->socketio.max_payload_bytes
               : clients->config->limits.max_message_size_bytes;
}

/* RFC 7692 7.2.2. Puts the inflated message in the place of the compressed one; false: the connection was failed. */
static bool message_inflate(struct rc_websockets *websockets, uint32_t index, struct rc_ws_event *event)
{
    struct rc_clients *clients = websockets->clients;
    struct rc_socket *socket = &clients->truth->sockets[index];
    const struct rc_ws_buffer_ops buffer = {.reserve = inflate_reserve, .context = websockets};
    const struct rc_span history = rc_span_of(
        socket->history == 0 ? NULL : rc_heap_at(&clients->truth->heap, socket->history), socket->history_bytes);
    uint8_t *bytes;
    size_t count;
    int rc = rc_inflate(&websockets->inflater, event->payload, event->bytes, history,
                        message_bytes_max(clients, socket), &buffer, &bytes, &count);
    if (rc == 0 && event->opcode == RC_WS_TEXT) {
        uint8_t utf8 = 0;
        rc = rc_utf8_feed(&utf8, bytes, count) < 0 || !rc_utf8_complete(utf8) ? -EILSEQ : 0;
    }
    if (rc == 0) {
        rc = inflate_remember(clients, socket, bytes, count);
    }
    if (rc == 0) {
        rc_metric_add(clients->metrics, RC_METRIC_INFLATED, 1);
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
    frame_control(clients, index, &failure);
    return false;
}

/* A message is whole. Where it ends inside of another frame, or leaves something for the next one, it cannot be repeated. */
static void frames_message_begins(struct rc_clients *clients, const struct rc_socket *socket,
                                  const struct rc_ws_receiver *receiver, uint32_t end)
{
    if (!rc_ws_receiver_idle(receiver) || (socket->flags & RC_SOCKET_TAKEOVER)) {
        rc_receiving_end(clients->truth);
    }
    rc_receiving_message(clients->truth, end);
}

static void frames_received(void *context, uint32_t index, uint8_t *bytes, uint32_t count)
{
    struct rc_websockets *websockets = context;
    struct rc_clients *clients = websockets->clients;
    struct rc_socket *socket = &clients->truth->sockets[index];
    const struct rc_config_limits *config = &clients->config->limits;
    const struct rc_ws_limits limits = {.message_bytes_max = message_bytes_max(clients, socket),
                                        .frames_per_message_max = config->max_frames_per_message,
                                        .deflate = socket->inflate_bits > 0,
                                        .require_mask = true};
    struct frames_context reserving = {.clients = clients, .socket = index};
    const struct rc_ws_buffer_ops buffer = {.reserve = frames_reserve, .context = &reserving};
    struct rc_ws_receiver receiver = {0};
    uint32_t done = 0; /* of the first message */
    if (socket->input != 0) {
        struct rc_input *input = rc_truth_input(clients->truth, socket->input);
        receiver = input->receiver;
        done = input->waiting_done;
        rc_receiving_begin(clients->truth, index, bytes, count, done);
        input->waiting_done = 0;
    } else {
        rc_receiving_begin(clients->truth, index, bytes, count, 0);
    }
    const uint8_t *const first = bytes;
    const uint32_t serial = clients->truth->layout->receiving.serial;
    const bool known = rc_receiving_is_known(clients->truth, index);
    while (count > 0 && rc_socket_carries(socket)) {
        if (rc_socket_is_open(clients, socket) &&
            (rc_socket_waits(clients, socket) || rc_socket_must_wait(clients, index))) {
            if (rc_socket_park(clients, index, bytes, count) < 0) {
                rc_socket_failed_memory(clients, index);
            } else if (done != 0) { /* nothing of this is a message that waits */
                rc_truth_input(clients->truth, socket->input)->waiting_done = done;
            }
            break;
        }
        struct rc_ws_event event;
        if (known && bytes != first && rc_ws_receiver_idle(&receiver) && !(socket->flags & RC_SOCKET_TAKEOVER)) {
            rc_receiving_known_again(clients->truth, index, serial, (uint32_t)(bytes - first));
        }
        const size_t used = rc_ws_receive(&receiver, bytes, count, &limits, &buffer, &event);
        RC_ASSERT(used <= count);
        bytes += used;
        count -= (uint32_t)used;
        if (event.type == RC_WS_EVENT_MESSAGE) {
            frames_message_begins(clients, socket, &receiver, (uint32_t)(bytes - first));
            rc_metric_add(clients->metrics, RC_METRIC_FRAMES_IN, 1);
            rc_truth_client(clients->truth, socket->client)->active_ds = clients->io->now_ds;
            bool over = true;
            if (rc_socket_is_open(clients, socket) && rc_socket_within_rate(clients, index, event.bytes) &&
                (!event.compressed || message_inflate(websockets, index, &event))) {
                over = rc_socket_message(clients, index, event.opcode, event.payload, event.bytes, done);
            }
            done = 0;
            if (over) { /* else all is known until what comes behind it is parked */
                rc_receiving_handled(clients->truth);
            }
        } else if (event.type != RC_WS_EVENT_NONE) {
            rc_receiving_end(clients->truth);
            frame_control(clients, index, &event);
        }
    }
    if (!rc_socket_carries(socket)) {
        rc_receiving_end(clients->truth);
        return; /* linger or gone: the input object went, or goes, with the connection */
    }
    if (!rc_ws_receiver_idle(&receiver) && rc_socket_input(clients, index) == NULL) {
        rc_socket_failed_memory(clients, index);
        return;
    }
    if (socket->input != 0) {
        rc_truth_input(clients->truth, socket->input)->receiver = receiver;
    }
    rc_socket_input_settle(clients, index);
}

int rc_websockets_open(struct rc_websockets *websockets, struct rc_clients *clients)
{
    *websockets = (struct rc_websockets){.clients = clients, .deflate_serves_256 = rc_deflate_serves_256()};
    clients->carrier = (struct rc_carrier_ops){.context = websockets, .received = frames_received};
    clients->routes.upgrade_context = websockets;
    clients->routes.upgrade = rc_websocket_upgrade;
    return rc_inflater_open(&websockets->inflater);
}

void rc_websockets_close(struct rc_websockets *websockets)
{
    rc_inflater_close(&websockets->inflater);
    free(websockets->inflated);
}
