/* may: can a client go to another worker now? See move.h. */
#include "worker/move/move.h"

#include "common/base/check.h"

/* Of its connection. */
static const char *may_socket(const struct rc_moves *moves, const struct rc_client *client)
{
    const struct rc_clients *clients = moves->clients;
    const struct rc_socket *socket = &clients->truth->sockets[client->socket];
    const uint16_t waits = RC_SOCKET_WAITS | RC_SOCKET_BLOCKED | RC_SOCKET_DIRTY | RC_SOCKET_PIPE;
    return socket->state != RC_SOCKET_CARRYING            ? "it is ending"
           : socket->flags & RC_SOCKET_PEER_ENDED         ? "it is ending"
           : rc_io_is_tls(clients->io, client->socket)    ? "it has TLS"
           : !rc_io_can_give(clients->io, client->socket) ? "the kernel makes no descriptor of it (before Linux 6.8)"
           : socket->input != 0                           ? "it is in the middle of a message"
           : socket->flags & waits                        ? "it does not read, or is not read"
                                                          : NULL;
}

/* Has it got all that came for it? */
static const char *may_read(const struct rc_moves *moves, const struct rc_client *client)
{
    const struct rc_truth *truth = moves->clients->truth;
    if (client->cursor_count > 0 || client->output != 0 || client->direct_log != 0 || client->cut != 0 ||
        client->everybody != 0) {
        return "it is behind";
    }
    for (uint32_t i = client->subscriptions; i != 0; i = rc_truth_subscription(truth, i)->next) {
        const struct rc_group *group = rc_truth_group(truth, rc_truth_subscription(truth, i)->group);
        const struct rc_channel *channel = rc_truth_channel(truth, group->channel);
        const struct rc_channel_log *log = group->log == 0 ? NULL : rc_truth_log(truth, group->log);
        if ((log != NULL && log->head != log->served) || group->owes_gap) {
            return "it is behind";
        }
        if (channel->flags & (RC_CHANNEL_HERE | RC_CHANNEL_REFUSED)) {
            return "one of its channels is this worker's alone";
        }
        if (moves->clients->config->namespaces[channel->namespace].min_interval_ms > 0) {
            return "it hears a channel with min_interval"; /* what is held back there is sent by each worker's own clock */
        }
        if (rc_encoding_is_delta(group->encoding)) {
            return "it gets deltas";
        }
    }
    return NULL;
}

/* Does somebody answer it something? */
static bool may_waits(const struct rc_clients *clients, uint32_t index)
{
    const struct rc_client *client = rc_truth_client(clients->truth, index);
    const struct rc_asks *asks = clients->asks;
    bool asked = client->pending_count > 0 || (client->flags & RC_CLIENT_WAITS) != 0 ||
                 (clients->decisions != NULL && clients->decisions[index] != NULL) ||
                 (clients->refreshes != NULL && clients->refreshes[index] != NULL);
    for (uint32_t at = asks->first; at != 0 && !asked; at = asks->items[at - 1].next) {
        asked = asks->items[at - 1].client.random == client->random;
    }
    return asked;
}

const char *rc_move_hindrance(const struct rc_moves *moves, uint32_t index)
{
    const struct rc_clients *clients = moves->clients;
    const struct rc_client *client = rc_truth_client(clients->truth, index);
    struct rc_client_user_state user;
    const uint16_t ends =
        RC_CLIENT_CLOSE_QUEUED | RC_CLIENT_CLOSE_SENT | RC_CLIENT_CUT_OFF | RC_CLIENT_BROKEN | RC_CLIENT_CLOSE_RECEIVED;
    const uint8_t encoding = client->encoding;
    if (rc_encoding_is_engine(encoding) || rc_encoding_is_pusher(encoding) || rc_encoding_is_stream(encoding)) {
        return "it speaks Socket.IO, Pusher or server-sent events";
    }
    if (client->state != RC_CLIENT_OPEN || (client->flags & ends) || client->told_gone ||
        client->socket == RC_SOCKET_NONE) {
        return "it is ending";
    }
    if (client->must_say || may_waits(clients, index)) {
        return "something that it asked for is not answered yet";
    }
    if (client->in_history || client->replay_due || (client->flags & (RC_CLIENT_DIRTY | RC_CLIENT_READY))) {
        return "it is behind";
    }
    if (!rc_client_user_moves(clients, index, &user)) {
        return "it belongs to a session in Redis";
    }
    const char *hindrance = may_socket(moves, client);
    return hindrance != NULL ? hindrance : may_read(moves, client);
}

uint64_t rc_move_channels(const struct rc_moves *moves, uint32_t index)
{
    const struct rc_truth *truth = moves->clients->truth;
    uint64_t sum = 0;
    for (uint32_t i = rc_truth_client(truth, index)->subscriptions; i != 0; i = rc_truth_subscription(truth, i)->next) {
        const struct rc_group *group = rc_truth_group(truth, rc_truth_subscription(truth, i)->group);
        sum += rc_truth_channel(truth, group->channel)->hash; /* in any order */
    }
    return sum;
}
