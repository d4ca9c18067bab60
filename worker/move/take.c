/* take: clients that come from another worker. See move.h. */
#include "worker/move/move.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/move/state.h"
#include "worker/store/order.h"

#define TAKE_HOLDING_MS 8000u /* for the channels to be registered: less than the other one waits */
#define TAKE_SAYING_MS 2000u  /* at the barrier, until there is room for the word in the other one's inbox, */
#define TAKE_TAKING_MS 5000u  /* and then: the other one gives for half of that (GIVE_HELD_MS), so it is stopped */
#define TAKE_STRAYS_MS 2000u  /* what went here for who stayed there is sent back for so long */

static void take_enter(struct rc_take *take, enum rc_take_phase phase)
{
    take->phase = phase;
    take->since_ms = rc_clock_ms();
}

/* Is the process that gives the one that asked? Its successor says the end itself, when there was a barrier. */
static bool take_alone(const struct rc_moves *moves)
{
    const struct rc_take *take = &moves->take;
    const struct rc_life *life = &moves->clients->control->core->workers[take->from];
    const bool changed =
        atomic_load_explicit(&life->generation, memory_order_relaxed) != take->from_generation ||
        (take->phase != RC_TAKE_TAKING && atomic_load_explicit(&life->pid, memory_order_relaxed) != take->from_pid);
    return changed;
}

static void take_know(struct rc_moves *moves, uint32_t from)
{
    const struct rc_life *life = &moves->clients->control->core->workers[from];
    moves->take.from = from;
    moves->take.from_pid = atomic_load_explicit(&life->pid, memory_order_relaxed);
    moves->take.from_generation = atomic_load_explicit(&life->generation, memory_order_relaxed);
}

static void take_let_go(struct rc_moves *moves)
{
    struct rc_take *take = &moves->take;
    for (uint32_t i = 0; i < take->held.count; i++) {
        rc_hub_let_go_channel(moves->clients->hub, take->held.items[i]);
    }
    take->held.count = 0;
}

/* Those that have not come are not here: they stay where they were, or have ended there meanwhile, of which the relay believes only where it sends
 * what is for them. */
static void take_tell_missing(struct rc_moves *moves)
{
    const struct rc_truth_move *kept = &moves->clients->truth->layout->move;
    for (uint32_t i = 0; i < kept->count; i++) {
        if (kept->refs[i].random != 0 && rc_hub_here(moves->clients->hub, &kept->refs[i]) == 0) {
            rc_move_tell(moves, &kept->refs[i], true);
        }
    }
}

static void take_finish(struct rc_moves *moves)
{
    struct rc_take *take = &moves->take;
    take_let_go(moves);
    if (take->phase == RC_TAKE_TAKING) {
        take_tell_missing(moves);
        moves->clients->truth->layout->move.role = RC_MOVE_NONE;
        moves->clients->uplink->held = false;
        take->ended_ms = rc_clock_ms();
        take->settled = !take->late; /* else the other one, which was stopped, says it when it runs */
        if (take->taken > 0) {
            rc_log_info("clients_taken", "from=%u count=%u", take->from, take->taken);
        }
    }
    take_enter(take, RC_TAKE_IDLE);
}

/* --- channels -------------------------------------------------------------------------------------------------------- */

/* False: there is no room for one of them. */
static bool take_hold(struct rc_moves *moves, struct rc_span names)
{
    struct rc_take *take = &moves->take;
    struct rc_hub *hub = moves->clients->hub;
    struct rc_span name;
    while (rc_move_name_next(&names, &name)) {
        const uint32_t channel = rc_hub_channel(hub, name);
        if (channel == 0) {
            return false;
        }
        if (rc_truth_channel(hub->truth, channel)->flags & RC_CHANNEL_HELD) {
            continue; /* several hear it */
        }
        if (rc_index_list_push(&take->held, channel) < 0) {
            rc_hub_release(hub, channel);
            return false;
        }
        rc_hub_hold_channel(hub, channel);
    }
    return names.count == 0;
}

static bool take_held_active(const struct rc_moves *moves)
{
    const struct rc_take *take = &moves->take;
    for (uint32_t i = 0; i < take->held.count; i++) {
        const struct rc_channel *channel = rc_truth_channel(moves->clients->truth, take->held.items[i]);
        if ((channel->flags & (RC_CHANNEL_ACTIVE | RC_CHANNEL_REFUSED)) != RC_CHANNEL_ACTIVE) {
            return false;
        }
    }
    return true;
}

/* For a whole batch, whatever else comes: who finds no place is lost. */
static bool take_room(const struct rc_io *io)
{
    return (uint64_t)io->open_count + io->places_used + RC_MOVE_CLIENTS_MAX <= io->truth->socket_count;
}

static void take_asked(struct rc_moves *moves, const struct rc_handover *from, const struct rc_move_word *word,
                       struct rc_span names)
{
    struct rc_take *take = &moves->take;
    const bool idle = take->phase == RC_TAKE_IDLE && moves->give.phase == RC_GIVE_IDLE && !moves->clients->draining &&
                      !moves->clients->io->parking && from->worker != moves->clients->worker &&
                      take_room(moves->clients->io) &&
                      word->config_generation == moves->clients->truth->layout->config_generation;
    take->token = word->token;
    if (!idle || !take_hold(moves, names)) {
        if (idle) {
            take_let_go(moves);
        }
        (void)rc_move_say(moves, from->worker, RC_MOVE_REFUSES, word->token, NULL,
                          0); /* or it waits in vain, for a while */
        return;
    }
    take_know(moves, from->worker);
    take->ended = take->said = take->late = false;
    take->config_generation = word->config_generation;
    take->taken = 0;
    take_enter(take, RC_TAKE_HOLDING);
}

/* The client came before this word, or never will. Without room for the answer it is asked again. */
static void take_where(const struct rc_moves *moves, const struct rc_handover *from, const struct rc_move_word *word,
                       struct rc_span rest)
{
    struct rc_client_ref ref;
    if (rest.count == sizeof(ref)) {
        memcpy(&ref, rest.bytes, sizeof(ref));
        const bool here = rc_hub_here(moves->clients->hub, &ref) != 0;
        (void)rc_move_say(moves, from->worker, here ? RC_MOVE_CAME : RC_MOVE_CAME_NOT, word->token, NULL, 0);
    }
}

void rc_take_heard(struct rc_moves *moves, const struct rc_handover *from, const struct rc_move_word *word,
                   struct rc_span rest)
{
    struct rc_take *take = &moves->take;
    if (word->kind == RC_MOVE_ASKS && take->phase == RC_TAKE_IDLE) {
        take_asked(moves, from, word, rest);
    } else if (word->kind == RC_MOVE_ASKS) {
        (void)rc_move_say(moves, from->worker, RC_MOVE_REFUSES, word->token, NULL, 0);
    } else if (word->kind == RC_MOVE_WHERE) {
        take_where(moves, from, word, rest);
    } else if (word->kind == RC_MOVE_END && take->phase != RC_TAKE_IDLE && word->token == take->token) {
        take->ended = true;
        moves->clients->truth->layout->move.ended = take->phase == RC_TAKE_TAKING;
    }
}

/* --- at the barrier -------------------------------------------------------------------------------------------------- */

void rc_take_barrier(struct rc_moves *moves, const struct rc_envelope_view *view)
{
    struct rc_take *take = &moves->take;
    struct rc_truth_move *kept = &moves->clients->truth->layout->move;
    const bool mine = take->phase == RC_TAKE_READY && view->head.token == take->token && !take->ended &&
                      take->config_generation == moves->clients->truth->layout->config_generation;
    if (moves->give.phase != RC_GIVE_IDLE && kept->role == RC_MOVE_GIVES) {
        return; /* cannot be: it was refused; who may have been to come stays where it is */
    }
    kept->count = view->head.data_bytes / (uint32_t)sizeof(kept->refs[0]);
    memcpy(kept->refs, view->data, kept->count * sizeof(kept->refs[0]));
    take->ended_ms = rc_clock_ms();
    take->settled = false;
    if (!mine) {
        (void)rc_move_say(moves, view->head.origin.worker, RC_MOVE_REFUSES, view->head.token, NULL, 0);
        return; /* it was given up, or asked of a predecessor: its clients stay, and what comes for them goes back */
    }
    kept->token = take->token;
    kept->peer = take->from;
    kept->ended = 0;
    RC_STORE_ORDER();
    kept->role = RC_MOVE_TAKES;
    moves->clients->uplink->held = true;
    take_enter(take, RC_TAKE_TAKING);
}

/* It is here: nobody looks for it, or for its sockets, in vain. */
static void take_strike(struct rc_moves *moves, uint32_t client)
{
    struct rc_truth_move *kept = &moves->clients->truth->layout->move;
    uint64_t random = rc_truth_client(moves->clients->truth, client)->random;
    uint32_t at = 0;
    do {
        for (uint32_t i = 0; i < kept->count; i++) {
            if (kept->refs[i].random == random) {
                kept->refs[i] = (struct rc_client_ref){0};
            }
        }
    } while (rc_truth_token_next(moves->clients->truth, client, &at, &random));
}

/* What its protocol keeps of it. -EBADMSG, -ENOMEM. */
static int take_own(struct rc_moves *moves, uint32_t client, const struct rc_move_state *state)
{
    void *context;
    const struct rc_moving_ops *protocol = rc_move_protocol(moves, state->client.encoding, &context);
    return protocol == NULL ? 0 : protocol->came(context, client, state->own);
}

/* Into its channels, which are held, and on in the histories in which it was. -ENOMEM, -EBADMSG. */
static int take_channels(struct rc_moves *moves, uint32_t client, const struct rc_move_state *state)
{
    struct rc_hub *hub = moves->clients->hub;
    struct rc_span names = state->names;
    struct rc_span replays = state->replays;
    struct rc_span name;
    struct rc_replay replay;
    for (uint32_t number = 0; rc_move_name_next(&names, &name); number++) {
        const uint32_t channel = rc_hub_channel(hub, name);
        const uint32_t subscription = channel == 0 ? 0 : rc_hub_subscribe(hub, client, channel);
        if (subscription == 0 ||
            (rc_move_replay_next(&replays, number, &replay) && rc_hub_replay_on(hub, subscription, &replay) < 0)) {
            return -ENOMEM;
        }
    }
    if (replays.count > 0) {
        return -EBADMSG; /* it would miss what it waits for, and not know */
    }
    if (state->everybody) {
        rc_hub_everybody_join(hub, client);
    }
    return 0;
}

static int take_history(struct rc_moves *moves, uint32_t index, const struct rc_move_state *state)
{
    if (index == RC_SOCKET_NONE) {
        return 0;
    }
    struct rc_socket *socket = &moves->clients->truth->sockets[index];
    uint32_t capacity = 0;
    socket->inflate_bits = state->inflate_bits;
    socket->flags |= state->takeover ? RC_SOCKET_TAKEOVER : 0u;
    if (state->history.count == 0) {
        return 0;
    }
    const int rc = rc_socket_input_grow(moves->clients, &socket->history, &capacity, state->history.count, 0);
    if (rc == 0) {
        memcpy(rc_heap_at(&moves->clients->truth->heap, socket->history), state->history.bytes, state->history.count);
        socket->history_bytes = (uint16_t)state->history.count;
    }
    return rc;
}

/* Its connection. Negative: it cannot be gone on with. */
static int take_socket(struct rc_moves *moves, const struct rc_handover *from, uint32_t socket, struct rc_span tls)
{
    struct rc_clients *clients = moves->clients;
    const int rc = rc_io_tls_came(clients->io, socket, tls);
    if (rc < 0) {
        return rc;
    }
    rc_socket_came_in(clients, socket);
    if ((from->flags & RC_HANDOVER_COUNTED) &&
        rc_address_limit_count(&clients->addresses, &clients->truth->peers[socket]) == 0) {
        clients->truth->sockets[socket].flags |= RC_SOCKET_COUNTED;
    }
    return 0;
}

/* `socket`: RC_SOCKET_NONE, nothing carries it. Negative: it is not here. *late: it is, but this one does not stand at its barrier any more, and what came in between it has missed. */
static int take_client(struct rc_moves *moves, const struct rc_handover *from, struct rc_span bytes, uint32_t socket,
                       bool *late)
{
    struct rc_clients *clients = moves->clients;
    struct rc_truth *truth = clients->truth;
    struct rc_move_state state;
    int rc = bytes.bytes == NULL ? -EBADMSG : rc_move_state_read(&state, bytes.bytes, (uint32_t)bytes.count);
    if (rc < 0 || state.config_generation != truth->layout->config_generation) {
        return rc < 0 ? rc : -ESTALE;
    }
    if (state.client.endpoint != RC_ENDPOINT_PATH && state.client.endpoint >= clients->config->endpoint_count) {
        return -EBADMSG;
    }
    if ((rc_encoding_framing(state.client.encoding) == RC_FRAMING_POLLING) != (socket == RC_SOCKET_NONE)) {
        return -EBADMSG;
    }
    *late = moves->take.phase != RC_TAKE_TAKING || state.token != moves->take.token;
    rc = socket == RC_SOCKET_NONE ? 0 : take_socket(moves, from, socket, state.tls);
    if (rc < 0) {
        return rc;
    }
    truth->layout->coming.random = state.client.home.random;
    RC_STORE_ORDER();
    const uint32_t client = rc_client_came(clients, socket, &state.client);
    if (client == 0) {
        return -ENOMEM;
    }
    rc = take_own(moves, client, &state);
    take_strike(moves, client);
    rc = rc == 0 ? rc_client_user_came(clients, client, &state.user) : rc;
    rc = rc == 0 ? take_history(moves, socket, &state) : rc;
    rc = rc == 0 ? take_channels(moves, client, &state) : rc;
    rc_hub_worked(clients->hub, 0);
    rc_move_tell_here(moves, client);
    if (rc < 0) {
        rc_client_failed_memory(clients, client);
    } else if (*late) {
        rc_client_goodbye(clients, client, 0); /* whoever is told of its end is */
    }
    return 0;
}

/* It is not here, and has ended where it was. */
static void take_lost(struct rc_moves *moves, struct rc_span bytes)
{
    struct rc_move_state state;
    void *context;
    if (bytes.bytes == NULL || rc_move_state_read(&state, bytes.bytes, (uint32_t)bytes.count) < 0) {
        return;
    }
    const struct rc_moving_ops *protocol = rc_move_protocol(moves, state.client.encoding, &context);
    if (protocol != NULL && protocol->lost != NULL) {
        protocol->lost(context, state.own);
    }
    rc_move_tell(moves, &state.client.home, true); /* it is nowhere */
}

/* False: it is not here. */
static bool take_counted(struct rc_moves *moves, const struct rc_handover *from, struct rc_span bytes, uint32_t socket)
{
    bool late = false;
    const int rc = take_client(moves, from, bytes, socket, &late);
    if (rc == 0 && !late) {
        moves->take.taken++;
        rc_metric_add(moves->clients->metrics, RC_METRIC_CLIENTS_TAKEN, 1);
        return true;
    }
    rc_metric_add(moves->clients->metrics, RC_METRIC_CLIENTS_NOT_TAKEN, 1);
    rc_log_limited(RC_LOG_WARN, 1, "client_not_taken", "from=%u reason=\"%s\"", from->worker,
                   late ? "it came too late" : strerror(-rc));
    return rc == 0; /* late: it was sent away */
}

void rc_moves_placed(struct rc_moves *moves, const struct rc_io_place *place, uint32_t socket)
{
    const struct rc_span bytes = rc_span_of(place->bytes, place->bytes == NULL ? 0 : place->from.bytes);
    if (socket == RC_SOCKET_NONE) {
        rc_metric_add(moves->clients->metrics, RC_METRIC_CLIENTS_NOT_TAKEN, 1);
        rc_log_limited(RC_LOG_WARN, 1, "client_not_taken", "from=%u reason=\"%s\"", place->from.worker,
                       strerror(-place->error));
        take_lost(moves, bytes);
    } else if (!take_counted(moves, &place->from, bytes, socket)) {
        take_lost(moves, bytes);
        rc_socket_linger(moves->clients, socket); /* with nothing to send: it ends */
    }
}

void rc_take_polling(struct rc_moves *moves, const struct rc_handover *from, struct rc_span bytes)
{
    if (!take_counted(moves, from, bytes, RC_SOCKET_NONE)) {
        take_lost(moves, bytes);
    }
}

int rc_moves_stray(struct rc_moves *moves, const struct rc_envelope_view *view)
{
    const struct rc_truth_move *kept = &moves->clients->truth->layout->move;
    const uint64_t random = view->head.target.random;
    const bool again = (view->head.flags & RC_ENVELOPE_STRAY) != 0;
    bool stayed = false;
    if (RC_LIKELY(kept->count == 0) || (again && moves->take.settled && moves->told_count == 0) ||
        (view->head.flags & RC_ENVELOPE_API) || rc_clock_ms() - moves->take.ended_ms > TAKE_STRAYS_MS) {
        return 0;
    }
    for (uint32_t i = 0; i < kept->count; i++) {
        stayed |= random != 0 && kept->refs[i].random == random;
    }
    if (!stayed) {
        return 0;
    }
    struct rc_envelope_view back = *view;
    back.head.flags =
        (uint16_t)((view->head.flags & ~(RC_ENVELOPE_WANT_ANSWER | RC_ENVELOPE_ANSWER | RC_ENVELOPE_REMOTE)) |
                   RC_ENVELOPE_STRAY);
    back.head.sequence = 0;
    back.head.request_id_bytes = 0;
    return rc_uplink_write(moves->clients->uplink, RC_UP_DIRECT, &back) == -EAGAIN ? -ENOSPC : 0;
}

/* --- */

bool rc_take_pass(struct rc_moves *moves)
{
    struct rc_take *take = &moves->take;
    const uint64_t age_ms = rc_clock_ms() - take->since_ms;
    if (take->phase == RC_TAKE_IDLE) {
        return false;
    }
    if (take->phase == RC_TAKE_TAKING && !take->late && age_ms >= (take->said ? TAKE_TAKING_MS : TAKE_SAYING_MS)) {
        take->late = true;
        moves->clients->io->inbox_left = true; /* whoever came before is taken, if it was this one that was stopped */
        rc_log_limited(RC_LOG_WARN, 1, "taking_given_up", "from=%u taken=%u", take->from, take->taken);
    }
    if (take->ended || take->late || take_alone(moves)) {
        if (moves->clients->io->inbox_placing || moves->clients->io->inbox_left) {
            return true;
        }
        take_finish(moves);
        return true;
    }
    if (take->phase == RC_TAKE_TAKING && !take->said) {
        take->said = rc_move_say(moves, take->from, RC_MOVE_HOLDS, take->token, NULL, 0) != -EAGAIN;
        return !take->said;
    }
    if (take->phase == RC_TAKE_HOLDING && take_held_active(moves)) {
        if (rc_move_say(moves, take->from, RC_MOVE_READY, take->token, NULL, 0) == -EAGAIN) {
            return true;
        }
        take_enter(take, RC_TAKE_READY);
    } else if (take->phase == RC_TAKE_HOLDING && age_ms >= TAKE_HOLDING_MS) {
        (void)rc_move_say(moves, take->from, RC_MOVE_REFUSES, take->token, NULL, 0);
        take_finish(moves);
    }
    return false;
}

void rc_take_back(struct rc_moves *moves)
{
    struct rc_truth *truth = moves->clients->truth;
    const struct rc_truth_coming *coming = &truth->layout->coming;
    if (coming->phase != RC_COMING_BEGUN) {
        return;
    }
    for (uint32_t i = 1; coming->random != 0 && i < truth->clients.high; i++) {
        struct rc_client *client = rc_truth_client(truth, i);
        if (client->random == coming->random) {
            client->moving = true; /* nobody is told: it comes again */
            if (client->socket == RC_SOCKET_NONE) {
                rc_client_went(moves->clients, i);
            }
        }
    }
    if (coming->socket != 0 && coming->socket <= truth->socket_count &&
        truth->sockets[coming->socket - 1].state != RC_SOCKET_FREE) {
        truth->sockets[coming->socket - 1].mode = RC_IO_LEFT; /* rc_io_adopt does not go on with it */
    }
}

void rc_take_rebuild(struct rc_moves *moves)
{
    struct rc_truth *truth = moves->clients->truth;
    struct rc_take *take = &moves->take;
    const bool taking = truth->layout->move.role == RC_MOVE_TAKES;
    for (uint32_t i = 1; i < truth->channels.high; i++) {
        struct rc_channel *channel = rc_truth_channel(truth, i);
        if (channel->name != 0 && (channel->flags & RC_CHANNEL_HELD) &&
            (!taking || rc_index_list_push(&take->held, i) < 0)) {
            rc_hub_let_go_channel(moves->clients->hub, i);
        }
    }
    if (taking) {
        take->token = truth->layout->move.token;
        take_know(moves, truth->layout->move.peer);
        take->ended = truth->layout->move.ended != 0;
        take_enter(take, RC_TAKE_TAKING);
        moves->clients->uplink->held = true;
    }
}
