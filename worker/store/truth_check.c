/* truth_check: see truth_check.h. */
#include "worker/store/truth_check.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/config/backend.h"
#include "worker/store/pusher_members.h"
#include "worker/store/truth_check_channels.h"
#include "worker/store/truth_check_links.h"

#define WATCH_EVERY 50u /* so many times as long as it took until the next look */

/* --- clients --------------------------------------------------------------------------------------------------------- */

static int check_output(struct rc_truth_found *found, uint32_t index, const char *of, uint32_t number)
{
    if (index == 0) {
        return 0;
    }
    RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_outputs, index, of, number));
    const struct rc_output *output = rc_truth_output(found->truth, index);
    RC_FOUND_MUST(found, output->cut_sent <= output->cut_bytes, "%s %u has sent %u of %u bytes of a cut frame", of,
                  number, output->cut_sent, output->cut_bytes);
    RC_FOUND_MUST(found,
                  output->replies_sent <= output->replies_bytes && output->replies_frames <= output->replies_bytes &&
                      output->replies_bytes <= output->replies_capacity,
                  "%s %u has sent %u of %u bytes of replies, frames from %u on, in room for %u", of, number,
                  output->replies_sent, output->replies_bytes, output->replies_frames, output->replies_capacity);
    RC_FOUND_MUST(
        found, output->close_bytes <= sizeof(output->close_frame) && output->close_sent <= output->close_bytes,
        "%s %u has sent %u of %u bytes of its close frame", of, number, output->close_sent, output->close_bytes);
    RC_FOUND_TRY(rc_truth_found_block(found, output->cut_block, output->cut_bytes, RC_TRUTH_BYTES_OUTPUTS, of, number));
    return rc_truth_found_block(found, output->replies, output->replies_capacity, RC_TRUTH_BYTES_OUTPUTS, of, number);
}

/* It is at some place of its group's log, if it is not where everybody is. */
static int check_cursor(struct rc_truth_found *found, uint32_t c, uint32_t index)
{
    const struct rc_subscription *its = rc_truth_subscription(found->truth, index);
    const struct rc_group *group = rc_truth_group(found->truth, its->group);
    if (!(its->flags & RC_SUBSCRIPTION_CURSOR)) {
        return 0;
    }
    RC_FOUND_MUST(found, group->log != 0, "subscription %u of client %u is behind in no log", index, c);
    const struct rc_channel_log *log = rc_truth_log(found->truth, group->log);
    RC_FOUND_MUST(found, its->cursor >= log->base && its->cursor <= log->head,
                  "subscription %u of client %u is at %llu of %llu to %llu", index, c, (unsigned long long)its->cursor,
                  (unsigned long long)log->base, (unsigned long long)log->head);
    return 0;
}

/* It gets messages of its channel's history first. */
static int check_replay(struct rc_truth_found *found, uint32_t c, uint32_t index)
{
    const struct rc_subscription *its = rc_truth_subscription(found->truth, index);
    RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_replays, its->replay, "subscription", index));
    RC_FOUND_MUST(found, rc_truth_replay(found->truth, its->replay)->subscription == index,
                  "replay %u of subscription %u is subscription %u's", its->replay, index,
                  rc_truth_replay(found->truth, its->replay)->subscription);
    RC_FOUND_MUST(found, (its->flags & RC_SUBSCRIPTION_CURSOR) && its->cursor == RC_CURSOR_IN_HISTORY,
                  "subscription %u of client %u is in the history and at %llu", index, c,
                  (unsigned long long)its->cursor);
    RC_FOUND_MUST(found, rc_truth_client(found->truth, c)->in_history, "client %u is in a history and does not say so",
                  c);
    return 0;
}

/* A subscription of the client, in its list or (`everybody`) for "*". */
static int check_subscription(struct rc_truth_found *found, uint32_t c, uint32_t index, bool everybody)
{
    const struct rc_truth *truth = found->truth;
    RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_subscriptions, index, "client", c));
    const struct rc_subscription *its = rc_truth_subscription(truth, index);
    const bool behind = (its->flags & RC_SUBSCRIPTION_CURSOR) != 0;
    RC_FOUND_MUST(found, its->client == c, "subscription %u of client %u is client %u's", index, c, its->client);
    RC_FOUND_MUST(found, rc_truth_was_found(found, RC_TRUTH_POOL_groups, its->group),
                  "subscription %u of client %u is in group %u, which no channel has", index, c, its->group);
    const struct rc_group *group = rc_truth_group(truth, its->group);
    RC_FOUND_MUST(found,
                  (group->channel == found->everybody) == everybody &&
                      everybody == ((its->flags & RC_SUBSCRIPTION_EVERYBODY) != 0),
                  "subscription %u of client %u is in channel %u with the flags %x", index, c, group->channel,
                  its->flags);
    RC_FOUND_MUST(found,
                  rc_encoding_of_client(group->encoding) == rc_truth_client(truth, c)->encoding &&
                      !(everybody && rc_encoding_is_delta(group->encoding)),
                  "subscription %u of client %u is in encoding %u", index, c, group->encoding);
    RC_FOUND_MUST(found, behind || !everybody, "subscription %u of client %u is for \"*\" and not behind", index, c);
    RC_FOUND_MUST(found, behind || !(its->flags & RC_SUBSCRIPTION_LATEST),
                  "subscription %u of client %u gets the latest and is not behind", index, c);
    RC_FOUND_TRY(its->replay != 0 ? check_replay(found, c, index) : check_cursor(found, c, index));
    found->groups[its->group].members++;
    found->groups[its->group].behind += behind;
    return 0;
}

static int check_subscriptions(struct rc_truth_found *found, uint32_t c)
{
    const struct rc_truth *truth = found->truth;
    const struct rc_client *client = rc_truth_client(truth, c);
    uint32_t count = 0;
    uint32_t cursors = 0;
    bool cut = client->cut == 0 || client->cut == RC_CUT_DIRECT;
    for (uint32_t i = client->subscriptions; i != 0; i = rc_truth_subscription(truth, i)->next) {
        RC_FOUND_TRY(check_subscription(found, c, i, false));
        const bool behind = (rc_truth_subscription(truth, i)->flags & RC_SUBSCRIPTION_CURSOR) != 0;
        cursors += behind;
        cut = cut || (client->cut == i && behind);
        count++;
    }
    if (client->everybody != 0) {
        RC_FOUND_MUST(found, client->flags & RC_CLIENT_EVERYBODY, "client %u is behind in \"*\" and does not hear it",
                      c);
        RC_FOUND_TRY(check_subscription(found, c, client->everybody, true));
        cursors++;
        cut = cut || client->cut == client->everybody;
    }
    RC_FOUND_MUST(found, cut, "client %u is in the middle of subscription %u, which is not its or not behind", c,
                  client->cut);
    RC_FOUND_MUST(found, client->cut != RC_CUT_DIRECT || client->direct_log != 0,
                  "client %u is in the middle of a direct message and has none", c);
    RC_FOUND_MUST(found, count == client->subscription_count && cursors == client->cursor_count,
                  "client %u has %u subscriptions, %u of them behind, and counts %u and %u", c, count, cursors,
                  client->subscription_count, client->cursor_count);
    RC_FOUND_MUST(found, found->pending[c] == client->pending_count,
                  "client %u has %u requests that wait, and counts %u", c, found->pending[c], client->pending_count);
    return 0;
}

static int check_user(struct rc_truth_found *found, uint32_t c)
{
    const uint32_t index = rc_truth_client(found->truth, c)->user;
    if (index == 0) {
        return 0;
    }
    RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_users, index, "client", c));
    const struct rc_user *user = rc_truth_user(found->truth, index);
    const struct {
        uint32_t block;
        uint32_t bytes;
    } blocks[] = {{user->attributes, user->attributes_bytes},
                  {user->set, user->set_bytes},
                  {user->request, user->request_bytes},
                  {user->token, user->token_bytes},
                  {user->session_key, user->session_key_bytes}};
    for (size_t i = 0; i < RC_ARRAY_COUNT(blocks); i++) {
        RC_FOUND_TRY(rc_truth_found_block(found, blocks[i].block, blocks[i].bytes, RC_TRUTH_BYTES_INPUTS, "client", c));
    }
    RC_FOUND_MUST(found, user->session != 0 || (user->session_next | user->session_previous) == 0,
                  "client %u is beside others in no session", c);
    return 0;
}

/* Of the same session as its user says, and linked from its other side. */
static bool is_beside(const struct rc_truth_found *found, uint32_t c, uint32_t other, bool next)
{
    const struct rc_truth *truth = found->truth;
    const uint32_t user = rc_truth_found_is_client(found, other) ? rc_truth_client(truth, other)->user : 0;
    if (!rc_truth_was_found(found, RC_TRUTH_POOL_users, user)) {
        return false;
    }
    const struct rc_user *its = rc_truth_user(truth, user);
    return its->session == rc_truth_user(truth, rc_truth_client(truth, c)->user)->session &&
           (next ? its->session_previous : its->session_next) == c + 1;
}

/* Those who are connected with the same session name each other. */
static int check_sessions(struct rc_truth_found *found)
{
    for (uint32_t c = 1; c < found->highs[RC_TRUTH_POOL_clients]; c++) {
        const uint32_t index =
            rc_truth_client(found->truth, c)->random == 0 ? 0 : rc_truth_client(found->truth, c)->user;
        const struct rc_user *user = index == 0 ? NULL : rc_truth_user(found->truth, index);
        if (user != NULL && user->session != 0) {
            RC_FOUND_MUST(found,
                          (user->session_next == 0 || is_beside(found, c, user->session_next - 1, true)) &&
                              (user->session_previous == 0 || is_beside(found, c, user->session_previous - 1, false)),
                          "client %u is of session %u beside clients %u and %u, which do not know", c, user->session,
                          user->session_previous, user->session_next);
        }
    }
    return 0;
}

/* Every entry of the list of namespaces ends where the next one begins. */
static int check_namespaces(struct rc_truth_found *found, uint32_t c, const struct rc_engine *engine)
{
    const uint8_t *list = engine->namespaces == 0 ? NULL : rc_heap_at(&found->truth->heap, engine->namespaces);
    uint32_t at = 0;
    while (at + RC_NSP_ENTRY_HEAD <= engine->namespaces_bytes) {
        at += RC_NSP_ENTRY_HEAD + list[at + 1];
    }
    RC_FOUND_MUST(found, at == engine->namespaces_bytes, "the namespaces of client %u end at %u of %u bytes", c, at,
                  engine->namespaces_bytes);
    return 0;
}

static int check_pusher(struct rc_truth_found *found, uint32_t c)
{
    const struct rc_pusher *pusher = rc_truth_pusher(found->truth, c);
    RC_FOUND_TRY(rc_truth_found_block(found, pusher->members, 0, RC_TRUTH_BYTES_INPUTS, "client", c));
    RC_FOUND_MUST(found, rc_pusher_members_whole(found->truth, c),
                  "who client %u is in its presence channels does not end where it says", c);
    return 0;
}

static int check_engine(struct rc_truth_found *found, uint32_t c)
{
    const struct rc_engine *engine = &found->truth->engines[c];
    if (rc_encoding_is_pusher(rc_truth_client(found->truth, c)->encoding)) {
        return check_pusher(found, c);
    }
    if (!rc_encoding_is_engine(rc_truth_client(found->truth, c)->encoding) ||
        !(engine->flags & (RC_ENGINE_SESSION | RC_ENGINE_PROBE))) {
        return 0; /* others never touch theirs */
    }
    RC_FOUND_TRY(
        rc_truth_found_block(found, engine->namespaces, engine->namespaces_bytes, RC_TRUTH_BYTES_INPUTS, "client", c));
    RC_FOUND_TRY(check_namespaces(found, c, engine));
    RC_FOUND_TRY(rc_truth_found_block(found, engine->packet, 0, RC_TRUTH_BYTES_INPUTS, "client", c));
    RC_FOUND_TRY(rc_truth_found_block(found, engine->auth, 0, RC_TRUTH_BYTES_INPUTS, "client", c));
    RC_FOUND_MUST(found,
                  engine->other == 0 || (rc_truth_found_is_client(found, engine->other) &&
                                         found->truth->engines[engine->other].other == c),
                  "client %u is upgraded with client %u, which does not know", c, engine->other);
    return 0;
}

/* The place that its id names; of a session sids are made of it. */
static int check_home(struct rc_truth_found *found, uint32_t c)
{
    const struct rc_client *client = rc_truth_client(found->truth, c);
    const struct rc_home *home = &found->truth->homes[c];
    RC_FOUND_MUST(found,
                  !client->guest || (home->worker < RC_WORKERS_MAX &&
                                     (!rc_encoding_is_engine(client->encoding) || home->slot <= RC_SID_SLOT_MAX)),
                  "client %u came from worker %u, slot %u", c, home->worker, home->slot);
    return 0;
}

static int check_client(struct rc_truth_found *found, uint32_t c)
{
    const struct rc_truth *truth = found->truth;
    const struct rc_client *client = rc_truth_client(truth, c);
    RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_clients, c, "client", c));
    RC_FOUND_MUST(found, client->state == RC_CLIENT_OPEN || client->state == RC_CLIENT_CLOSING,
                  "client %u is in state %u", c, client->state);
    RC_FOUND_MUST(found, client->encoding < RC_ENCODING_COUNT, "client %u has encoding %u", c, client->encoding);
    RC_FOUND_MUST(found,
                  client->socket == RC_SOCKET_NONE ||
                      (client->socket < truth->socket_count && truth->sockets[client->socket].client == c),
                  "client %u is carried by socket %u, which does not know", c, client->socket);
    RC_FOUND_MUST(found, client->endpoint < RC_CONFIG_ENDPOINTS_MAX || client->endpoint == RC_ENDPOINT_PATH,
                  "client %u is of end point %u", c, client->endpoint);
    RC_FOUND_TRY(check_home(found, c));
    found->clients_high = c;
    RC_FOUND_TRY(check_output(found, client->output, "client", c));
    RC_FOUND_MUST(found,
                  !(client->flags & RC_CLIENT_CLOSE_QUEUED) || (client->flags & RC_CLIENT_CLOSE_SENT) ||
                      (client->output != 0 && rc_truth_output(truth, client->output)->close_bytes > 0),
                  "client %u is to get a close frame and has none", c);
    if (client->direct_log != 0) {
        RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_logs, client->direct_log, "client", c));
        RC_FOUND_TRY(rc_truth_check_log(found, client->direct_log, true, c));
    }
    RC_FOUND_TRY(check_user(found, c));
    RC_FOUND_TRY(check_engine(found, c));
    return check_subscriptions(found, c);
}

static int check_clients(struct rc_truth_found *found)
{
    for (uint32_t c = 1; c < found->highs[RC_TRUTH_POOL_clients]; c++) {
        if (rc_truth_client(found->truth, c)->random != 0) {
            RC_FOUND_TRY(check_client(found, c));
        }
    }
    return 0;
}

/* Those of a client in a list whose beginning is index: each is one of the same client, and none is named twice. */
static int check_replays(struct rc_truth_found *found)
{
    const struct rc_truth *truth = found->truth;
    uint32_t left = 0;
    for (uint32_t i = 1; i < found->highs[RC_TRUTH_POOL_replays]; i++) {
        const struct rc_replay *its = rc_truth_replay(truth, i);
        if (!rc_truth_was_found(found, RC_TRUTH_POOL_replays, i) || its->subscription == 0) {
            continue;
        }
        const uint32_t next = its->next_of_client;
        const uint32_t client = rc_truth_subscription(truth, its->subscription)->client;
        left += next == 0;
        if (next == 0) {
            continue;
        }
        RC_FOUND_MUST(found,
                      rc_truth_was_found(found, RC_TRUTH_POOL_replays, next) &&
                          rc_truth_replay(truth, next)->subscription != 0 &&
                          rc_truth_subscription(truth, rc_truth_replay(truth, next)->subscription)->client == client,
                      "replay %u of client %u is before %u, which is not its", i, client, next);
        RC_FOUND_MUST(found, (found->named[next / 8] & (1u << (next % 8))) == 0, "replay %u is behind two others",
                      next);
        found->named[next / 8] |= (uint8_t)(1u << (next % 8));
    }
    for (uint32_t c = 1; c < found->highs[RC_TRUTH_POOL_clients]; c++) {
        left -= rc_truth_client(truth, c)->random != 0 && rc_truth_client(truth, c)->in_history;
    }
    RC_FOUND_MUST(found, left == 0, "clients that are in histories are %d too few", (int)left);
    return 0;
}

/* Each subscription has a place of its own in its group's vector, and none is beyond its end. */
static int check_places(struct rc_truth_found *found)
{
    uint32_t first = 0;
    for (uint32_t g = 1; g < found->highs[RC_TRUTH_POOL_groups]; g++) {
        found->groups[g].first = first;
        first += found->groups[g].members;
    }
    for (uint32_t i = 1; i < found->highs[RC_TRUTH_POOL_subscriptions]; i++) {
        if (!rc_truth_was_found(found, RC_TRUTH_POOL_subscriptions, i)) {
            continue;
        }
        const struct rc_subscription *its = rc_truth_subscription(found->truth, i);
        RC_FOUND_MUST(found, its->member < found->groups[its->group].members, "subscription %u is member %u of %u", i,
                      its->member, found->groups[its->group].members);
        const uint32_t place = found->groups[its->group].first + its->member;
        RC_FOUND_MUST(found, (found->places[place / 8] & (1u << (place % 8))) == 0,
                      "subscription %u is member %u of group %u, as another one", i, its->member, its->group);
        found->places[place / 8] |= (uint8_t)(1u << (place % 8));
    }
    return 0;
}

/* --- sockets --------------------------------------------------------------------------------------------------------- */

static int check_input(struct rc_truth_found *found, uint32_t s)
{
    const uint32_t index = found->truth->sockets[s].input;
    if (index == 0) {
        return 0;
    }
    RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_inputs, index, "socket", s));
    const struct rc_input *input = rc_truth_input(found->truth, index);
    const struct rc_ws_receiver *receiver = &input->receiver;
    RC_FOUND_MUST(found,
                  input->parked_bytes <= input->parked_capacity && input->parked_scanned / 2 <= input->parked_capacity,
                  "socket %u has %u parked bytes, %u of them looked at, in room for %u", s, input->parked_bytes,
                  input->parked_scanned / 2, input->parked_capacity);
    RC_FOUND_MUST(found, input->request_bytes <= input->parked_bytes && input->request <= RC_REQUEST_ONCE,
                  "socket %u has %u parked bytes, of which %u are a request in state %u", s, input->parked_bytes,
                  input->request_bytes, input->request);
    RC_FOUND_MUST(found, input->waiting_opcode == 0 || input->waiting_bytes <= input->message_capacity,
                  "socket %u has a message of %u bytes in room for %u", s, input->waiting_bytes,
                  input->message_capacity);
    RC_FOUND_MUST(found,
                  receiver->state <= RC_WS_RECEIVER_CLOSED && receiver->phase < 4 &&
                      receiver->control_bytes <= sizeof(receiver->control) &&
                      receiver->header_bytes <= sizeof(receiver->header),
                  "socket %u receives in state %u, phase %u, with %u control and %u header bytes", s, receiver->state,
                  receiver->phase, receiver->control_bytes, receiver->header_bytes);
    RC_FOUND_MUST(found, !rc_ws_receiver_uses_buffer(receiver) || receiver->message_bytes <= input->message_capacity,
                  "socket %u has received %llu bytes of a message in room for %u", s,
                  (unsigned long long)receiver->message_bytes, input->message_capacity);
    RC_FOUND_TRY(
        rc_truth_found_block(found, input->message, input->message_capacity, RC_TRUTH_BYTES_INPUTS, "socket", s));
    return rc_truth_found_block(found, input->parked, input->parked_capacity, RC_TRUTH_BYTES_INPUTS, "socket", s);
}

static int check_socket(struct rc_truth_found *found, uint32_t s)
{
    const struct rc_socket *socket = &found->truth->sockets[s];
    RC_FOUND_MUST(found, socket->state <= RC_SOCKET_CLOSED, "socket %u is in state %u", s, socket->state);
    if (socket->state == RC_SOCKET_FREE || socket->state >= RC_SOCKET_TERMINATING) {
        RC_FOUND_MUST(found, (socket->client | socket->output | socket->input) == 0,
                      "socket %u has ended, and has client %u, output %u, input %u", s, socket->client, socket->output,
                      socket->input);
        return 0;
    }
    RC_FOUND_MUST(found,
                  socket->client == 0 || (rc_truth_found_is_client(found, socket->client) &&
                                          rc_truth_client(found->truth, socket->client)->socket == s),
                  "socket %u carries client %u, which does not know", s, socket->client);
    RC_FOUND_MUST(found,
                  socket->client != 0 ? socket->state == RC_SOCKET_CARRYING || socket->state == RC_SOCKET_LINGER
                                      : socket->state != RC_SOCKET_CARRYING,
                  "socket %u is in state %u with client %u", s, socket->state, socket->client);
    RC_FOUND_MUST(found, socket->client == 0 || socket->output == 0, "socket %u carries client %u and has answers", s,
                  socket->client);
    RC_FOUND_MUST(found,
                  !(socket->flags & RC_SOCKET_PIPE) || socket->pipe == (RC_SOCKET_NONE & ~RC_PIPE_NEAR) ||
                      (socket->pipe & ~RC_PIPE_NEAR) < found->truth->socket_count,
                  "socket %u is joined with socket %u", s, socket->pipe & ~RC_PIPE_NEAR);
    RC_FOUND_TRY(check_output(found, socket->output, "socket", s));
    RC_FOUND_TRY(check_input(found, s));
    return socket->client == 0 ? 0
                               : rc_truth_found_block(found, socket->history, socket->history_bytes,
                                                      RC_TRUTH_BYTES_INPUTS, "socket", s);
}

/* --- what clients are asked ------------------------------------------------------------------------------------------ */

static int check_emit(struct rc_truth_found *found, uint32_t e)
{
    const struct rc_truth *truth = found->truth;
    RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_emits, e, "emit", e));
    const struct rc_emit *emit = rc_truth_emit(truth, e);
    RC_FOUND_MUST(found, emit->asker_bytes <= RC_EMIT_ASKER_MAX, "emit %u has an asker of %u bytes", e,
                  emit->asker_bytes);
    uint32_t previous = 0;
    uint32_t count = 0;
    for (uint32_t i = emit->first; i != 0; i = rc_truth_ack(truth, i)->next_of_emit) {
        RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_acks, i, "emit", e));
        const struct rc_ack *ack = rc_truth_ack(truth, i);
        RC_FOUND_MUST(found, ack->emit == e && ack->previous_of_emit == previous,
                      "ack %u of emit %u is emit %u's, behind %u", i, e, ack->emit, ack->previous_of_emit);
        RC_FOUND_MUST(found, rc_truth_found_is_client(found, ack->client), "ack %u is client %u's, who is not there", i,
                      ack->client);
        previous = i;
        count++;
    }
    RC_FOUND_MUST(found, count == emit->waiting, "emit %u waits for %u, and counts %u", e, count, emit->waiting);
    return 0;
}

static int check_acks_of_clients(struct rc_truth_found *found)
{
    for (uint32_t i = 1; i < found->highs[RC_TRUTH_POOL_acks]; i++) {
        if (!rc_truth_was_found(found, RC_TRUTH_POOL_acks, i)) {
            continue;
        }
        const struct rc_ack *ack = rc_truth_ack(found->truth, i);
        const uint32_t next = ack->next_of_client;
        const uint32_t previous = ack->previous_of_client;
        RC_FOUND_MUST(found,
                      next == 0 || (rc_truth_was_found(found, RC_TRUTH_POOL_acks, next) &&
                                    rc_truth_ack(found->truth, next)->previous_of_client == i &&
                                    rc_truth_ack(found->truth, next)->client == ack->client),
                      "ack %u of client %u is before %u, which does not know", i, ack->client, next);
        RC_FOUND_MUST(found,
                      previous == 0 || (rc_truth_was_found(found, RC_TRUTH_POOL_acks, previous) &&
                                        rc_truth_ack(found->truth, previous)->next_of_client == i),
                      "ack %u of client %u is behind %u, which does not know", i, ack->client, previous);
    }
    return 0;
}

static int check_emits(struct rc_truth_found *found)
{
    for (uint32_t e = 1; e < found->highs[RC_TRUTH_POOL_emits]; e++) {
        if (rc_truth_emit(found->truth, e)->id != 0) {
            RC_FOUND_TRY(check_emit(found, e));
        }
    }
    return check_acks_of_clients(found);
}

/* --- who may come back ------------------------------------------------------------------------------------------------ */

static int check_recoverables(struct rc_truth_found *found)
{
    for (uint32_t i = 1; i < found->highs[RC_TRUTH_POOL_recoverables]; i++) {
        const struct rc_recoverable *one = rc_truth_recoverable(found->truth, i);
        if (one->random == 0) {
            continue;
        }
        RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_recoverables, i, "recoverable", i));
        RC_FOUND_MUST(found, (one->flags & RC_RECOVERABLE_GONE) || rc_truth_found_is_client(found, one->client),
                      "recoverable %u is client %u's, who is not there", i, one->client);
        RC_FOUND_TRY(rc_truth_found_block(found, one->nsp, one->nsp_bytes, RC_TRUTH_BYTES_INPUTS, "recoverable", i));
        RC_FOUND_TRY(
            rc_truth_found_block(found, one->record, one->record_bytes, RC_TRUTH_BYTES_INPUTS, "recoverable", i));
    }
    return 0;
}

/* --- what backends are asked ------------------------------------------------------------------------------------------ */

/* Clients of hooks may have gone. */
static int check_hooks(struct rc_truth_found *found)
{
    for (uint32_t i = 1; i < found->highs[RC_TRUTH_POOL_hooks]; i++) {
        const struct rc_hook *hook = rc_truth_hook(found->truth, i);
        if (hook->attempt == 0) {
            continue;
        }
        RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_hooks, i, "hook", i));
        RC_FOUND_MUST(found, hook->client == 0 || hook->client < found->highs[RC_TRUTH_POOL_clients],
                      "hook %u is of client %u, which never was", i, hook->client);
        RC_FOUND_MUST(found,
                      hook->nsp_bytes <= RC_NSP_MAX && hook->id_bytes <= sizeof(hook->id) &&
                          hook->kind < RC_BACKEND_CALL_KINDS && memchr(hook->call, 0, sizeof(hook->call)) != NULL,
                      "hook %u has a namespace of %u bytes, an id of %u, kind %u", i, hook->nsp_bytes, hook->id_bytes,
                      hook->kind);
        RC_FOUND_TRY(rc_truth_found_block(found, hook->request, hook->request_bytes, RC_TRUTH_BYTES_INPUTS, "hook", i));
        RC_FOUND_TRY(rc_truth_found_block(found, hook->reply, hook->reply_bytes, RC_TRUTH_BYTES_INPUTS, "hook", i));
    }
    for (uint32_t i = 1; i < found->highs[RC_TRUTH_POOL_tellings]; i++) {
        const struct rc_telling *telling = rc_truth_telling(found->truth, i);
        if (telling->number == 0) {
            continue;
        }
        RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_tellings, i, "telling", i));
        RC_FOUND_MUST(found, telling->text != 0, "telling %u says nothing", i);
        RC_FOUND_MUST(found, telling->kind == RC_TELLING_WEBHOOK || telling->kind == RC_TELLING_DISCONNECT,
                      "telling %u is of kind %u", i, telling->kind);
        RC_FOUND_TRY(rc_truth_found_block(found, telling->text, telling->bytes, RC_TRUTH_BYTES_INPUTS, "telling", i));
    }
    return 0;
}

static int check_tls_bytes(struct rc_truth_found *found, uint32_t s, uint32_t block, uint32_t sent)
{
    if (block == 0) {
        return 0;
    }
    RC_FOUND_TRY(
        rc_truth_found_block(found, block, sizeof(struct rc_truth_block), RC_TRUTH_BYTES_TLS, "TLS of socket", s));
    const struct rc_truth_block *its = rc_heap_at(&found->truth->heap, block);
    RC_FOUND_MUST(found, its->count <= rc_heap_block_bytes(&found->heap, block) - sizeof(*its) && sent <= its->count,
                  "TLS of socket %u has %u bytes, %u of them sent, which its block has not", s, its->count, sent);
    return 0;
}

/* TLS connections behind their handshake. */
static int check_tls(struct rc_truth_found *found)
{
    const struct rc_truth *truth = found->truth;
    for (uint32_t s = 0; s < truth->socket_count; s++) {
        if (truth->tls[s] == 0) {
            continue;
        }
        RC_FOUND_TRY(rc_truth_found_block(found, truth->tls[s], sizeof(struct rc_truth_tls), RC_TRUTH_BYTES_TLS,
                                          "TLS of socket", s));
        const struct rc_truth_tls *its = rc_heap_at(&truth->heap, truth->tls[s]);
        RC_FOUND_TRY(check_tls_bytes(found, s, its->identity, 0));
        RC_FOUND_TRY(check_tls_bytes(found, s, its->part, 0));
        RC_FOUND_TRY(check_tls_bytes(found, s, its->unread, 0));
        RC_FOUND_TRY(check_tls_bytes(found, s, its->out, its->out_sent));
    }
    return 0;
}

/* --- clients that move ------------------------------------------------------------------------------------------------- */

/* The list of the last barrier, and with whom. */
static int check_move(struct rc_truth_found *found)
{
    const struct rc_truth_move *move = &found->truth->layout->move;
    RC_FOUND_MUST(found,
                  move->role <= RC_MOVE_TAKES && move->count <= RC_MOVE_CLIENTS_MAX &&
                      (move->role == RC_MOVE_NONE || move->peer < RC_WORKERS_MAX),
                  "%u clients move in role %u with worker %u", move->count, move->role, move->peer);
    return 0;
}

/* --- the whole ------------------------------------------------------------------------------------------------------- */

static int check_all(struct rc_truth_found *found)
{
    const struct rc_truth_hub *hub = &found->truth->layout->hub;
    RC_FOUND_MUST(found, (hub->moving.log | hub->fragile_log | hub->fragile_output) == 0,
                  "log %u or %u or output %u was being changed", hub->moving.log, hub->fragile_log,
                  hub->fragile_output);
    RC_FOUND_MUST(found, hub->in_turn == 0 || found->truth->cut, "turn %u is running", hub->turn);
    RC_FOUND_TRY(rc_truth_check_channels(found));
    RC_FOUND_TRY(check_move(found));
    RC_FOUND_TRY(check_clients(found));
    RC_FOUND_TRY(check_sessions(found));
    RC_FOUND_TRY(check_replays(found));
    RC_FOUND_TRY(rc_truth_check_counts(found));
    RC_FOUND_TRY(check_places(found));
    for (uint32_t s = 0; s < found->truth->socket_count; s++) {
        RC_FOUND_TRY(check_socket(found, s));
    }
    RC_FOUND_TRY(check_recoverables(found));
    RC_FOUND_TRY(check_hooks(found));
    RC_FOUND_TRY(rc_truth_check_links(found));
    RC_FOUND_TRY(check_tls(found));
    return check_emits(found);
}

int rc_truth_check(const struct rc_truth *truth, struct rc_truth_found *found, struct rc_err *err)
{
    const int rc = rc_truth_found_open(found, truth, err);
    return rc < 0 ? rc : check_all(found);
}

int rc_truth_check_own(const struct rc_truth *truth, struct rc_err *err)
{
    static const char *const names[RC_TRUTH_POOL_COUNT] = {
#define POOL(name, type) [RC_TRUTH_POOL_##name] = #name,
        RC_TRUTH_POOLS(POOL)
#undef POOL
    };
    const uint32_t made[RC_TRUTH_POOL_COUNT] = {
#define POOL(name, type) [RC_TRUTH_POOL_##name] = truth->name.used,
        RC_TRUTH_POOLS(POOL)
#undef POOL
    };
    struct rc_truth_found found;
    int rc = rc_truth_check(truth, &found, err);
    for (uint32_t i = 0; rc == 0 && i < RC_TRUTH_POOL_COUNT; i++) {
        if (made[i] != found.counts[i]) {
            rc = rc_err_set(err, -EBADMSG, "%u %s are made, and %u are named", made[i], names[i], found.counts[i]);
        }
    }
    if (rc == 0 && truth->heap.used != found.heap.used) {
        rc = rc_err_set(err, -EBADMSG, "%llu bytes of the heap are handed out, and %llu are named",
                        (unsigned long long)truth->heap.used, (unsigned long long)found.heap.used);
    }
    rc_truth_found_close(&found);
    return rc;
}

void rc_truth_account(struct rc_truth *truth, struct rc_truth_found *found)
{
    for (uint32_t i = 0; i < RC_TRUTH_POOL_COUNT; i++) {
        rc_pool_adopt(rc_truth_pool(truth, (enum rc_truth_pool_id)i), found->used[i]);
    }
    rc_heap_take(&truth->heap, &found->heap);
}

#ifdef RC_DEBUG
void rc_truth_watch(struct rc_truth_watch *watch, const struct rc_truth *truth)
{
    const uint64_t began_ns = rc_clock_ns();
    if (began_ns < watch->next_ns) {
        return;
    }
    struct rc_err err = {0};
    const int rc = rc_truth_check_own(truth, &err);
    if (rc == -EBADMSG) {
        rc_log_error("truth_wrong", "reason=\"%s\"", err.text);
    }
    RC_ASSERT(rc != -EBADMSG);
    const uint64_t now_ns = rc_clock_ns();
    watch->next_ns = now_ns + WATCH_EVERY * (now_ns - began_ns);
}
#endif
