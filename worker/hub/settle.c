/* settle: what became of a turn's sends: positions are put back where they left short, and go on when there is room. See hub.h. */
#include "worker/hub/turn.h"

#include <errno.h>

#include "common/base/log.h"
#include "worker/store/named.h"

/* True when the position is inside a frame. */
static bool settle_inside(const struct rc_hub *hub, const struct rc_channel_log *log, uint64_t position)
{
    return rc_channel_log_frame_position(log, &hub->truth->heap,
                                         rc_channel_log_find(log, &hub->truth->heap, position)) != position;
}

/* Where the client stands in a log since its packet was put together; `index` 0 is "*". */
static uint64_t settle_position(const struct rc_hub *hub, const struct rc_client *client, uint32_t index)
{
    const struct rc_truth *truth = hub->truth;
    const uint32_t its = index == 0 ? client->everybody : index;
    const struct rc_subscription *subscription = its == 0 ? NULL : rc_truth_subscription(truth, its);
    if (subscription != NULL && (subscription->flags & RC_SUBSCRIPTION_CURSOR)) {
        return subscription->cursor;
    }
    const uint32_t group = index == 0 ? hub->everybody_groups[client->encoding] : subscription->group;
    return rc_turn_end(hub, rc_truth_log(truth, rc_truth_group(truth, group)->log));
}

void rc_turn_count_passed(struct rc_hub *hub)
{
    if (RC_UNLIKELY(hub->conflated + hub->missed > 0)) {
        rc_metric_add(hub->metrics, RC_METRIC_SLOW_CONFLATED, hub->conflated);
        rc_metric_add(hub->metrics, RC_METRIC_VOLATILE_DROPPED, hub->missed);
        rc_metric_add(hub->metrics, RC_METRIC_FAILED_DELIVERIES, hub->conflated + hub->missed);
        hub->conflated = 0;
        hub->missed = 0;
    }
}

/* Frames of [from, to) that were passed over will be looked at once more: they do not count yet. */
static void settle_unpass(struct rc_hub *hub, const struct rc_channel_log *log, uint64_t from, uint64_t to,
                          const struct rc_client *client, bool latest)
{
    const struct rc_heap *heap = &hub->truth->heap;
    const uint32_t end = rc_channel_log_find(log, heap, to);
    for (uint32_t i = rc_channel_log_find(log, heap, from) + 1; i < end; i++) {
        if (latest && (rc_channel_log_frame(log, heap, i)->flags & RC_FRAME_SUPERSEDED)) {
            hub->conflated--;
        } else if (rc_channel_log_frame_position(log, heap, i) < log->served && rc_turn_misses(log, heap, i, client)) {
            hub->missed--;
        }
    }
}

/* Puts one piece back of which only `sent` bytes left. */
static int settle_put_back(struct rc_hub *hub, uint32_t client_index, const struct rc_piece *piece, uint32_t sent)
{
    struct rc_truth *truth = hub->truth;
    struct rc_client *client = rc_truth_client(truth, client_index);
    struct rc_output *output = client->output != 0 ? rc_truth_output(truth, client->output) : NULL;
    const uint64_t position = piece->position + sent;
    switch ((enum rc_piece_kind)piece->kind) {
    case RC_PIECE_CUT:
        output->cut_sent = (uint32_t)position;
        return 0;
    case RC_PIECE_REPLIES:
        output->replies_sent = (uint32_t)position;
        return 0;
    case RC_PIECE_CLOSE:
        output->close_sent = (uint8_t)position;
        client->flags &= (uint16_t)~RC_CLIENT_CLOSE_SENT;
        return 0;
    case RC_PIECE_DIRECT: {
        struct rc_channel_log *log = rc_truth_log(truth, client->direct_log);
        if (position <=
            log->base) { /* equal: of a predecessor it may have been put back, and nothing said of the cut */
            log->base = position;
            if (settle_inside(hub, log, position)) {
                client->cut = RC_CUT_DIRECT;
            }
        }
        return 0;
    }
    case RC_PIECE_LATEST:
    case RC_PIECE_LOG: {
        uint32_t index = piece->source;
        const uint64_t before = settle_position(hub, client, index);
        client->flags |= RC_CLIENT_LATE;
        if (index == 0) {
            if (client->everybody != 0 && rc_truth_subscription(truth, client->everybody)->cursor < position) {
                return 0; /* an earlier piece was put back already */
            }
            if (rc_hub_everybody_behind(hub, client_index, position) < 0) {
                return -ENOMEM;
            }
            index = client->everybody;
        } else {
            const struct rc_subscription *subscription = rc_truth_subscription(truth, index);
            if ((subscription->flags & RC_SUBSCRIPTION_CURSOR) && subscription->cursor < position) {
                return 0;
            }
            rc_hub_set_cursor(hub, index, position);
        }
        const struct rc_group *group = rc_truth_group(truth, rc_truth_subscription(truth, index)->group);
        const struct rc_channel_log *log = rc_truth_log(truth, group->log);
        const bool latest = piece->kind == RC_PIECE_LATEST;
        if (latest || log->has_volatile) {
            settle_unpass(hub, log, position, before, client, latest);
        }
        if (latest) {
            rc_truth_subscription(truth, index)->flags |= RC_SUBSCRIPTION_LATEST;
        }
        /* Also when nothing left: the wire may have stood inside this frame before. */
        if (settle_inside(hub, log, position)) {
            client->cut = index;
        }
        return 0;
    }
    case RC_PIECE_ANSWER:
        break; /* no client's */
    }
    return 0;
}

/* Puts back what did not leave; the pieces before it did. */
static int settle_packet(struct rc_hub *hub, uint32_t client, const struct rc_packet *packet,
                         const struct rc_piece *pieces, uint32_t sent)
{
    int rc = 0;
    for (uint32_t i = 0; i < packet->count && rc == 0; i++) {
        if (sent >= pieces[i].count) {
            sent -= pieces[i].count;
            continue;
        }
        rc = settle_put_back(hub, client, &pieces[i], sent);
        sent = 0;
    }
    return rc;
}

void rc_hub_put_back(struct rc_hub *hub, const struct rc_packet *packet, const struct rc_piece *pieces, uint32_t sent)
{
    if (packet->socket >= hub->truth->socket_count) {
        return;
    }
    const struct rc_socket *socket = &hub->truth->sockets[packet->socket];
    if (socket->generation != packet->generation || !rc_turn_socket_lives(socket)) {
        return;
    }
    if (socket->client == 0) {
        struct rc_output *output = socket->output == 0 ? NULL : rc_truth_output(hub->truth, socket->output);
        if (output != NULL && packet->count == 1 && pieces->kind == RC_PIECE_ANSWER &&
            pieces->position + sent <= output->replies_bytes) {
            output->replies_sent = (uint32_t)pieces->position + sent;
        }
    } else if (!rc_turn_mute(rc_truth_client(hub->truth, socket->client)) &&
               settle_packet(hub, socket->client, packet, pieces, sent) < 0) {
        rc_hub_break(hub, socket->client);
    }
}

void rc_hub_short_send(struct rc_hub *hub, const struct rc_packet *packet, const struct rc_piece *pieces, uint32_t sent,
                       int error)
{
    struct rc_socket *socket = &hub->truth->sockets[packet->socket];
    if (socket->generation != packet->generation || !rc_turn_socket_lives(socket)) {
        return;
    }
    if (error < 0) {
        rc_metric_add(hub->metrics, RC_METRIC_RESETS, 1);
        if (socket->client != 0 && !rc_turn_mute(rc_truth_client(hub->truth, socket->client))) {
            /* Nothing of it left, should the client go on without this socket; if there is no memory for that it ends. */
            if (settle_packet(hub, socket->client, packet, pieces, 0) < 0) {
                rc_hub_break(hub, socket->client);
            }
        }
        rc_io_terminate(hub->io, packet->socket);
        return;
    }
    if (socket->client == 0) {
        RC_ASSERT(packet->count == 1 && pieces->kind == RC_PIECE_ANSWER);
        rc_truth_output(hub->truth, socket->output)->replies_sent = (uint32_t)pieces->position + sent;
    } else if (rc_turn_mute(rc_truth_client(hub->truth, socket->client))) {
        return;
    } else if (settle_packet(hub, socket->client, packet, pieces, sent) < 0) {
        rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        rc_named_log_client("memory_disconnected", hub->truth, socket->client, "no memory for its place in a channel",
                            "");
        rc_io_terminate(hub->io, packet->socket);
        return;
    }
    rc_turn_block(hub, socket);
    rc_io_want_writable(hub->io, packet->socket);
}

void rc_hub_writable(struct rc_hub *hub, uint32_t socket_index)
{
    struct rc_socket *socket = &hub->truth->sockets[socket_index];
    socket->flags &= (uint16_t)~RC_SOCKET_BLOCKED;
    rc_hub_touch_socket(hub, socket_index);
    if (socket->client != 0) {
        rc_hub_output_settle(hub, socket->client);
    } else {
        rc_hub_answers_settle(hub, socket_index);
    }
}
