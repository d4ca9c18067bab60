/* may: can a client go to another worker now? See move.h. */
#include "worker/move/move.h"

#include "common/base/check.h"
#include "worker/move/state.h"

/* Of its connection. */
static const char *may_socket(const struct rc_moves *moves, const struct rc_client *client)
{
    const struct rc_clients *clients = moves->clients;
    const struct rc_socket *socket = &clients->truth->sockets[client->socket];
    const uint16_t waits = RC_SOCKET_WAITS | RC_SOCKET_BLOCKED | RC_SOCKET_DIRTY | RC_SOCKET_PIPE;
    return socket->state != RC_SOCKET_CARRYING              ? "it is ending"
           : socket->flags & RC_SOCKET_PEER_ENDED           ? "it is ending"
           : !rc_io_tls_may_go(clients->io, client->socket) ? "its TLS is this process's alone (TLS 1.2)"
           : !rc_io_can_give(clients->io, client->socket)   ? "the kernel makes no descriptor of it (before Linux 6.8)"
           : socket->input != 0                             ? "it is in the middle of a message"
           : socket->flags & waits                          ? "it does not read, or is not read"
           : rc_io_busy(clients->io, client->socket)        ? "it is behind"
                                                            : NULL;
}

/* Of how many of its channels does it wait for more of the history? Those it goes on with where it goes (rc_hub_replay_on). */
static uint32_t may_replays(const struct rc_truth *truth, const struct rc_client *client)
{
    uint32_t count = 0;
    for (uint32_t i = client->in_history ? client->subscriptions : 0; i != 0;
         i = rc_truth_subscription(truth, i)->next) {
        count += rc_truth_subscription(truth, i)->replay != 0;
    }
    return count;
}

/* Has it got all that came for it, or, if it polls, can all of it go with it? */
static const char *may_read(const struct rc_moves *moves, uint32_t index)
{
    const struct rc_truth *truth = moves->clients->truth;
    const struct rc_client *client = rc_truth_client(truth, index);
    const bool polls = client->socket == RC_SOCKET_NONE;
    const uint32_t replays = may_replays(truth, client);
    if (replays > (polls ? 0 : RC_MOVE_REPLAYS_MAX)) {
        return "it is behind";
    }
    if (client->cut != 0 || (!polls && (client->cursor_count > replays || client->output != 0 ||
                                        client->direct_log != 0 || client->everybody != 0))) {
        return "it is behind";
    }
    if (polls && !rc_hub_may_recode(moves->clients->hub, index)) {
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

const struct rc_moving_ops *rc_move_protocol(const struct rc_moves *moves, uint8_t encoding, void **context)
{
    struct rc_clients *clients = moves->clients;
    const bool engine = rc_encoding_is_engine(encoding);
    *context = engine ? clients->engine.context : clients->pusher.context;
    return engine ? &clients->engine.moving : rc_encoding_is_pusher(encoding) ? &clients->pusher.moving : NULL;
}

/* Does its protocol keep it here? */
static const char *may_protocol(const struct rc_moves *moves, uint32_t index)
{
    const struct rc_clients *clients = moves->clients;
    const uint8_t encoding = rc_truth_client(clients->truth, index)->encoding;
    const struct rc_engine_ops *engine = &clients->engine;
    void *context;
    const struct rc_moving_ops *protocol = rc_move_protocol(moves, encoding, &context);
    const char *hindrance = engine->moving.hindrance == NULL ? NULL : engine->moving.hindrance(engine->context, index);
    return hindrance != NULL || protocol == NULL || protocol == &engine->moving ? hindrance
                                                                                : protocol->hindrance(context, index);
}

/* Of its channels' names, as they are in the message. */
static uint64_t may_names_bytes(const struct rc_truth *truth, const struct rc_client *client)
{
    uint64_t bytes = 0;
    for (uint32_t i = client->subscriptions; i != 0; i = rc_truth_subscription(truth, i)->next) {
        const struct rc_group *group = rc_truth_group(truth, rc_truth_subscription(truth, i)->group);
        bytes += 1 + rc_truth_channel_name(truth, rc_truth_channel(truth, group->channel)).count;
    }
    return bytes;
}

/* Has a message to the other worker room for it, and for what it has not got if it polls? That is asked before anything is taken out of the logs for it:
 * a batch of such a client would come to nothing, again and again. What its TLS keeps is not much beside this. */
static const char *may_fit(const struct rc_moves *moves, uint32_t index, const struct rc_client_user_state *user)
{
    const struct rc_truth *truth = moves->clients->truth;
    const struct rc_client *client = rc_truth_client(truth, index);
    const bool polls = client->socket == RC_SOCKET_NONE;
    void *context;
    const struct rc_moving_ops *protocol = rc_move_protocol(moves, client->encoding, &context);
    const uint64_t bytes = RC_MOVE_STATE_BYTES_MIN + (uint64_t)user->id.count + user->attributes.count +
                           user->set.count + user->request.count + user->token.count + may_names_bytes(truth, client) +
                           may_replays(truth, client) * sizeof(struct rc_replay) +
                           (polls ? sizeof(struct rc_move_word) : truth->sockets[client->socket].history_bytes) +
                           (protocol == NULL || protocol->bytes == NULL ? 0 : protocol->bytes(context, index));
    return bytes > RC_HANDOVER_BYTES_MAX                                                        ? "it is too large"
           : polls && bytes + rc_hub_unread(moves->clients->hub, index) > RC_HANDOVER_BYTES_MAX ? "it is behind"
                                                                                                : NULL;
}

const char *rc_move_hindrance(const struct rc_moves *moves, uint32_t index)
{
    const struct rc_clients *clients = moves->clients;
    const struct rc_client *client = rc_truth_client(clients->truth, index);
    struct rc_client_user_state user;
    const uint16_t ends =
        RC_CLIENT_CLOSE_QUEUED | RC_CLIENT_CLOSE_SENT | RC_CLIENT_CUT_OFF | RC_CLIENT_BROKEN | RC_CLIENT_CLOSE_RECEIVED;
    const bool listens =
        rc_encoding_is_stream(client->encoding); /* what RC_CLIENT_CLOSE_RECEIVED says of it is something else */
    const bool polls = client->socket == RC_SOCKET_NONE;
    if (polls && !rc_encoding_is_engine(client->encoding)) {
        return "it is being let in";
    }
    if (client->state != RC_CLIENT_OPEN || client->told_gone ||
        (client->flags & (listens ? ends & (uint16_t)~RC_CLIENT_CLOSE_RECEIVED : ends))) {
        return "it is ending";
    }
    if (client->must_say || may_waits(clients, index)) {
        return "something that it asked for is not answered yet";
    }
    if (client->replay_due || (client->flags & (RC_CLIENT_DIRTY | RC_CLIENT_READY))) {
        return "it is behind";
    }
    if (!rc_client_user_moves(clients, index, &user)) {
        return "it belongs to a session in Redis";
    }
    const char *hindrance = may_fit(moves, index, &user);
    hindrance = hindrance != NULL || polls ? hindrance : may_socket(moves, client);
    hindrance = hindrance != NULL ? hindrance : may_read(moves, index);
    hindrance = hindrance != NULL ? hindrance : may_protocol(moves, index);
    return hindrance;
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
