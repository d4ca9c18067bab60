/* give: clients that go to another worker. See move.h. */
#include "worker/move/move.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/move/state.h"
#include "worker/store/order.h"

#define GIVE_NAMES_BYTES_MAX 32768u /* of the channels of a batch, so that they fit into one word */
#define GIVE_ASKED_MS 10000u
#define GIVE_STOPPING_MS 2000u
#define GIVE_SETTLING_MS 200u /* until the turn at the barrier is over for all; who is not served by then stays */
#define GIVE_SENDING_MS 2000u /* until the other one has made room in its inbox */
#define GIVE_WHERE_MS 2000u   /* until the other one has said whether it came, */
#define GIVE_AGAIN_MS 200u    /* asked again and again */
#define GIVE_HELD_MS 2500u    /* of the other one: well before it goes on without an end (TAKE_TAKING_MS) */

static void give_enter(struct rc_give *give, enum rc_give_phase phase)
{
    give->phase = phase;
    give->since_ms = rc_clock_ms();
}

static uint64_t give_age_ms(const struct rc_give *give)
{
    return rc_clock_ms() - give->since_ms;
}

/* The client of the item, as long as it is who it was. 0: it has ended, or stays. */
static uint32_t give_client(const struct rc_moves *moves, const struct rc_give_item *item)
{
    const struct rc_client *client =
        item->client == 0 ? NULL : rc_truth_named(moves->clients->truth, item->client, item->random);
    return client != NULL && client->socket == item->socket ? item->client : 0;
}

static void give_keep(const struct rc_moves *moves, struct rc_give_item *item)
{
    const struct rc_clients *clients = moves->clients;
    const struct rc_socket *socket = item->socket == RC_SOCKET_NONE ? NULL : &clients->truth->sockets[item->socket];
    if (give_client(moves, item) != 0 && socket != NULL && socket->mode == RC_IO_GIVEN &&
        socket->state == RC_SOCKET_CARRYING) {
        rc_io_keep(clients->io, item->socket); /* else when it is given: rc_moves_given */
    }
    item->client = 0;
}

/* It stays here, and is read again: what it asks for then is answered here only when the relay knows it. */
static void give_stays(struct rc_moves *moves, struct rc_give_item *item)
{
    struct rc_clients *clients = moves->clients;
    const uint32_t client = give_client(moves, item);
    if (item->fd >= 0) {
        close(item->fd);
    }
    if (client != 0) {
        const bool told = clients->truth->layout->move.role == RC_MOVE_GIVES;
        rc_metric_add(clients->metrics, RC_METRIC_CLIENTS_NOT_MOVED, 1);
        if (told) { /* the relay has been told that it goes */
            rc_move_tell_here(moves, client);
        }
        item->stays = told && moves->told_count > 0; /* then with the end: give_say_end */
    }
    item->fd = -1;
    if (!item->stays) {
        give_keep(moves, item);
    }
}

/* --- whom ------------------------------------------------------------------------------------------------------------ */

/* The names of the client's channels behind those that are there. False: there is no room for them. */
static bool give_names(struct rc_moves *moves, uint32_t index)
{
    struct rc_give *give = &moves->give;
    const struct rc_truth *truth = moves->clients->truth;
    uint32_t bytes = give->names_bytes;
    for (uint32_t i = rc_truth_client(truth, index)->subscriptions; i != 0; i = rc_truth_subscription(truth, i)->next) {
        const struct rc_group *group = rc_truth_group(truth, rc_truth_subscription(truth, i)->group);
        const struct rc_span name = rc_truth_channel_name(truth, rc_truth_channel(truth, group->channel));
        if (bytes + 1 + name.count > GIVE_NAMES_BYTES_MAX) {
            return false;
        }
        give->names[bytes] = (uint8_t)name.count;
        memcpy(give->names + bytes + 1, name.bytes, name.count);
        bytes += 1 + (uint32_t)name.count;
    }
    give->names_bytes = bytes;
    return true;
}

/* The next clients that can go, up to `count`, from where the last search ended; those without a socket only if `polling`. */
static void give_choose(struct rc_moves *moves, uint32_t count, bool polling)
{
    struct rc_give *give = &moves->give;
    struct rc_clients *clients = moves->clients;
    const uint32_t high = clients->hub->clients_high;
    uint32_t stayed = 0;
    uint32_t refs = 0;
    give->count = give->names_bytes = 0;
    for (uint32_t tried = 0; tried < high && give->count < count; tried++) {
        give->next = give->next >= high ? 1 : give->next + 1;
        struct rc_client *client = rc_truth_client(clients->truth, give->next);
        if (client->random == 0 || (client->socket == RC_SOCKET_NONE && !polling)) {
            continue;
        }
        const char *hindrance = rc_move_hindrance(moves, give->next);
        const uint32_t its_refs = hindrance == NULL ? rc_move_refs(moves, give->next, NULL) : 0;
        if (hindrance == NULL && (refs + its_refs > RC_MOVE_CLIENTS_MAX || !give_names(moves, give->next))) {
            if (give->count > 0) { /* with the next batch */
                give->next--;
                break;
            }
            hindrance = "it hears too many channels";
        }
        if (hindrance != NULL) {
            give->why = hindrance;
            stayed++;
            continue;
        }
        refs += its_refs;
        give->items[give->count++] = (struct rc_give_item){.random = client->random,
                                                           .channels = rc_move_channels(moves, give->next),
                                                           .client = give->next,
                                                           .socket = client->socket,
                                                           .fd = -1};
    }
    give->stayed = stayed;
}

bool rc_moves_begin(struct rc_moves *moves, uint32_t peer, uint32_t count, bool polling)
{
    struct rc_give *give = &moves->give;
    if (give->names == NULL || give->own == NULL) {
        give->names = give->names == NULL ? malloc(RC_HANDOVER_BYTES_MAX) : give->names;
        give->own = give->own == NULL ? malloc(RC_HANDOVER_BYTES_MAX) : give->own;
    }
    if (give->phase != RC_GIVE_IDLE || moves->take.phase != RC_TAKE_IDLE || give->names == NULL || give->own == NULL ||
        moves->clients->draining || moves->clients->io->parking) {
        return false;
    }
    give_choose(moves, count < RC_MOVE_CLIENTS_MAX ? count : RC_MOVE_CLIENTS_MAX, polling);
    if (give->count == 0) {
        return false;
    }
    give->peer = peer;
    give->moved = 0;
    give->held = give->ordered = give->refused = false;
    give->config_generation = moves->clients->truth->layout->config_generation;
    give->token = rc_hub_random(moves->clients->hub);
    give_enter(give, RC_GIVE_ASKING);
    return true;
}

/* --- steps ----------------------------------------------------------------------------------------------------------- */

/* The rest of the batch stays, and the other one is told that nothing more comes. */
static void give_end(struct rc_moves *moves)
{
    struct rc_give *give = &moves->give;
    for (uint32_t i = 0; i < give->count; i++) {
        if (!give->items[i].stays) {
            give_stays(moves, &give->items[i]);
        }
    }
    give_enter(give, RC_GIVE_ENDING);
}

static void give_stop(struct rc_moves *moves)
{
    struct rc_give *give = &moves->give;
    struct rc_clients *clients = moves->clients;
    give_enter(give, RC_GIVE_STOPPING);
    for (uint32_t i = 0; i < give->count; i++) {
        struct rc_give_item *item = &give->items[i];
        if (give_client(moves, item) == 0 || rc_move_hindrance(moves, item->client) != NULL ||
            rc_move_channels(moves, item->client) != item->channels) {
            item->client = 0;
        } else if (item->socket != RC_SOCKET_NONE) {
            rc_io_give(clients->io, item->socket); /* maybe it is given in this call */
        }
    }
}

void rc_moves_given(struct rc_moves *moves, uint32_t socket, int fd)
{
    struct rc_give *give = &moves->give;
    for (uint32_t i = 0; give->phase == RC_GIVE_STOPPING && i < give->count; i++) {
        struct rc_give_item *item = &give->items[i];
        if (item->socket == socket && give_client(moves, item) != 0) {
            item->fd = fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
            if (item->fd < 0) {
                give_stays(moves, item);
            }
            return;
        }
    }
    rc_io_keep(moves->clients->io, socket); /* it was given up meanwhile */
}

/* Is there a descriptor of each, and nothing that came from them under way? */
static bool give_stopped(struct rc_moves *moves)
{
    struct rc_give *give = &moves->give;
    const bool late = give_age_ms(give) >= GIVE_STOPPING_MS;
    bool stopped = true;
    for (uint32_t i = 0; i < give->count; i++) {
        struct rc_give_item *item = &give->items[i];
        const bool given = item->fd >= 0 || item->socket == RC_SOCKET_NONE;
        if (give_client(moves, item) == 0 || (!given && late)) {
            give_stays(moves, item);
        } else if (!given) {
            stopped = false;
        }
    }
    return stopped;
}

/* What the last bytes of a client have begun may be in its way now. */
static uint32_t give_order_refs(struct rc_moves *moves, struct rc_client_ref *refs)
{
    struct rc_give *give = &moves->give;
    uint32_t count = 0;
    for (uint32_t i = 0; i < give->count; i++) {
        struct rc_give_item *item = &give->items[i];
        const uint32_t client = give_client(moves, item);
        if (client == 0 || rc_truth_client(moves->clients->truth, client)->pending_count > 0 ||
            (item->socket != RC_SOCKET_NONE && moves->clients->truth->sockets[item->socket].input != 0) ||
            rc_move_channels(moves, client) != item->channels ||
            count + rc_move_refs(moves, client, NULL) > RC_MOVE_CLIENTS_MAX) {
            give_stays(moves, item);
        } else {
            count += rc_move_refs(moves, client, &refs[count]);
        }
    }
    return count;
}

/* Everything that they have sent is in the up ring; so is what is told of their channels. The barrier goes behind it. */
static void give_order(struct rc_moves *moves)
{
    struct rc_give *give = &moves->give;
    struct rc_truth_move *kept = &moves->clients->truth->layout->move;
    struct rc_client_ref refs[RC_MOVE_CLIENTS_MAX];
    if (!rc_memberships_told(moves->memberships) && give_age_ms(give) < GIVE_STOPPING_MS) {
        return;
    }
    const bool same = give->config_generation == moves->clients->truth->layout->config_generation;
    const uint32_t count = same && rc_memberships_told(moves->memberships) ? give_order_refs(moves, refs) : 0;
    if (count == 0) {
        give_end(moves);
        return;
    }
    struct rc_envelope_view view = {.head = {.token = give->token,
                                             .target = {.worker = (uint16_t)give->peer},
                                             .data_bytes = count * (uint32_t)sizeof(refs[0])},
                                    .data = (const uint8_t *)refs};
    kept->token = give->token;
    kept->peer = give->peer;
    moves->take.ended_ms = 0; /* those who were to come before are not known any more */
    kept->count = count;
    memcpy(kept->refs, refs, count * sizeof(refs[0]));
    RC_STORE_ORDER();
    kept->role = RC_MOVE_GIVES;
    RC_STORE_ORDER();
    if (rc_uplink_write(moves->clients->uplink, RC_UP_BARRIER, &view) == 0) {
        give->ordered = true;
        rc_log_debug("clients_moving", "to=%u count=%u", give->peer, count);
        give_enter(give, RC_GIVE_ORDERED);
        return;
    }
    kept->role = RC_MOVE_NONE; /* again when there is room */
    if (give_age_ms(give) >= GIVE_STOPPING_MS) {
        give_end(moves);
    }
}

void rc_give_barrier(struct rc_moves *moves, const struct rc_envelope_view *view)
{
    struct rc_give *give = &moves->give;
    if (give->phase != RC_GIVE_ORDERED || view->head.token != give->token) {
        return; /* a predecessor's, whose clients stay */
    }
    if (view->head.code != 0 || give->refused) {
        give_end(moves);
        return;
    }
    moves->clients->uplink->held = true;
    give_enter(give, RC_GIVE_GIVING);
}

/* What its protocol keeps of it. False: it is too much. */
static bool give_own(const struct rc_moves *moves, uint32_t index, struct rc_span *own)
{
    void *context;
    const struct rc_moving_ops *protocol =
        rc_move_protocol(moves, rc_truth_client(moves->clients->truth, index)->encoding, &context);
    *own = (struct rc_span){0};
    if (protocol != NULL) {
        *own = rc_span_of(moves->give.own, protocol->goes(context, index, moves->give.own, RC_HANDOVER_BYTES_MAX));
    }
    return protocol == NULL || own->count > 0;
}

/* The same of its connection, behind that. */
static bool give_tls(const struct rc_moves *moves, uint32_t socket, uint32_t own_bytes, struct rc_span *tls)
{
    uint8_t *out = moves->give.own + own_bytes;
    const uint32_t bytes = rc_io_tls_goes(moves->clients->io, socket, out, RC_HANDOVER_BYTES_MAX - own_bytes);
    *tls = rc_span_of(out, bytes);
    return bytes != UINT32_MAX;
}

/* One client as bytes, over the buffer's names, which are not needed any more. 0: it is too much. */
static uint32_t give_write(const struct rc_moves *moves, uint32_t index)
{
    const struct rc_clients *clients = moves->clients;
    const struct rc_truth *truth = clients->truth;
    const struct rc_client *client = rc_truth_client(truth, index);
    static const struct rc_socket none = {0}; /* it polls */
    const bool polls = client->socket == RC_SOCKET_NONE;
    const struct rc_socket *socket = polls ? &none : &truth->sockets[client->socket];
    uint8_t names[GIVE_NAMES_BYTES_MAX];
    struct rc_replay replays[RC_MOVE_REPLAYS_MAX];
    uint32_t replay_count = 0;
    uint32_t number = 0;
    uint32_t bytes = 0;
    for (uint32_t i = client->subscriptions; i != 0; i = rc_truth_subscription(truth, i)->next, number++) {
        const uint32_t replay = rc_truth_subscription(truth, i)->replay;
        const struct rc_group *group = rc_truth_group(truth, rc_truth_subscription(truth, i)->group);
        const struct rc_span name = rc_truth_channel_name(truth, rc_truth_channel(truth, group->channel));
        RC_ASSERT(bytes + 1 + name.count <= sizeof(names)); /* they are those that were in the word */
        names[bytes] = (uint8_t)name.count;
        memcpy(names + bytes + 1, name.bytes, name.count);
        bytes += 1 + (uint32_t)name.count;
        if (replay != 0) {
            RC_ASSERT(replay_count < RC_MOVE_REPLAYS_MAX); /* rc_move_hindrance */
            replays[replay_count] = *rc_truth_replay(truth, replay);
            replays[replay_count].flags &= RC_REPLAY_BEGINS; /* what it was asked for, and when, ends here */
            replays[replay_count++].subscription = number;
        }
    }
    struct rc_move_state state = {
        .token = moves->give.token,
        .client = {.home = rc_client_ref(clients, index),
                   .opened_ds = truth->opened_ds[index],
                   .active_ds = client->active_ds,
                   .ping_ds = client->ping_ds,
                   .flags = client->flags & RC_CLIENT_PING_DUE,
                   .endpoint = client->endpoint,
                   .encoding = client->encoding},
        .history = rc_span_of(socket->history == 0 ? NULL : rc_heap_at(&truth->heap, socket->history),
                              socket->history == 0 ? 0 : socket->history_bytes),
        .names = rc_span_of(names, bytes),
        .replays = rc_span_of(replays, replay_count * sizeof(*replays)),
        .config_generation = truth->layout->config_generation,
        .inflate_bits = socket->inflate_bits,
        .takeover = (socket->flags & RC_SOCKET_TAKEOVER) != 0,
        .everybody = (client->flags & RC_CLIENT_EVERYBODY) != 0};
    (void)rc_client_user_moves(clients, index, &state.user);
    if (!give_own(moves, index, &state.own) ||
        (!polls && !give_tls(moves, client->socket, (uint32_t)state.own.count, &state.tls))) {
        return 0;
    }
    bytes = rc_move_state_write(moves->give.names, &state);
    bytes = polls && bytes > RC_HANDOVER_BYTES_MAX - sizeof(struct rc_move_word) ? 0 : bytes;
    OPENSSL_cleanse(moves->give.own + state.own.count, state.tls.count);
    if (bytes == 0) {
        OPENSSL_cleanse(moves->give.names, RC_HANDOVER_BYTES_MAX); /* some of it is there, keys of TLS, too */
    }
    return bytes;
}

/* With its connection, or as a word. */
static int give_send(const struct rc_moves *moves, const struct rc_give_item *item, uint32_t bytes)
{
    const struct rc_give *give = &moves->give;
    const struct rc_clients *clients = moves->clients;
    if (item->socket == RC_SOCKET_NONE) {
        return rc_move_say(moves, give->peer, RC_MOVE_CLIENT, give->token, give->names, bytes);
    }
    const struct rc_socket *socket = &clients->truth->sockets[item->socket];
    const struct rc_handover head = {
        .bytes = bytes,
        .sent_bytes = socket->sent_bytes,
        .received_bytes = socket->received_bytes,
        .time_ms = rc_clock_ms(),
        .peer = clients->truth->peers[item->socket],
        .worker = clients->worker,
        .generation =
            atomic_load_explicit(&clients->control->core->workers[clients->worker].generation, memory_order_relaxed),
        .port = socket->port,
        .listener = socket->listener,
        .flags = (uint8_t)(RC_HANDOVER_CLIENT | ((socket->flags & RC_SOCKET_COUNTED) ? RC_HANDOVER_COUNTED : 0u)),
    };
    return rc_handover_send(moves->outbox_fds[give->peer], &head, give->names, item->fd);
}

/* It is the other worker's. */
static void give_went(struct rc_moves *moves, struct rc_give_item *item, uint32_t client)
{
    void *context;
    const struct rc_moving_ops *protocol =
        rc_move_protocol(moves, rc_truth_client(moves->clients->truth, client)->encoding, &context);
    if (protocol != NULL && protocol->went != NULL) {
        protocol->went(context, client, moves->give.peer);
    }
    if (item->fd >= 0) {
        close(item->fd);
    }
    item->fd = -1;
    item->client = 0;
    rc_client_went(moves->clients, client);
    moves->give.moved++;
    moves->give.moved_ms = rc_clock_ms();
    rc_metric_add(moves->clients->metrics, RC_METRIC_CLIENTS_MOVED, 1);
}

static void give_leaves(const struct rc_moves *moves, const struct rc_give_item *item, uint32_t client, bool leaves)
{
    rc_truth_client(moves->clients->truth, client)->moving = leaves;
    if (item->socket != RC_SOCKET_NONE) {
        rc_io_leaves(moves->clients->io, item->socket, leaves);
    }
}

/* 0: it has gone, or stays; -EAGAIN: the other one has no room now. */
static int give_one(struct rc_moves *moves, struct rc_give_item *item)
{
    struct rc_give *give = &moves->give;
    struct rc_clients *clients = moves->clients;
    const uint32_t client = give_client(moves, item);
    const bool same = client != 0 && rc_move_channels(moves, client) == item->channels;
    if (same && item->socket != RC_SOCKET_NONE && rc_io_busy(clients->io, item->socket) &&
        give_age_ms(give) < GIVE_SETTLING_MS) {
        return -EAGAIN; /* its last record leaves */
    }
    const uint32_t bytes = same && rc_move_hindrance(moves, client) == NULL ? give_write(moves, client) : 0;
    if (bytes == 0) {
        give_stays(moves, item);
        return 0;
    }
    give_leaves(moves, item, client, true);
    rc_socket_dies((const uint8_t *)RC_DIES_HERE, sizeof(RC_DIES_HERE));
    const int rc = give_send(moves, item, bytes);
    RC_STORE_ORDER();
    OPENSSL_cleanse(give->names, bytes); /* keys of TLS may be in it */
    if (rc == 0) {
        give_went(moves, item, client);
        return 0;
    }
    give_leaves(moves, item, client, false);
    if (rc != -EAGAIN || give_age_ms(give) >= GIVE_SENDING_MS) {
        give_stays(moves, item);
        return 0;
    }
    return -EAGAIN;
}

/* This one was stopped, or is slow: who goes now may come when the other one does not wait any more. */
static bool give_late(const struct rc_give *give)
{
    return rc_clock_ms() - give->held_ms >= GIVE_HELD_MS;
}

/* At the barrier. True: at once again. */
static bool give_clients(struct rc_moves *moves)
{
    struct rc_give *give = &moves->give;
    if (!give->held) {
        if (give_age_ms(give) >= GIVE_SENDING_MS) { /* it died, or stands still */
            give_end(moves);
            moves->clients->uplink->held = false;
        }
        return false;
    }
    if (rc_hub_pending(moves->clients->hub) && give_age_ms(give) < GIVE_SETTLING_MS && !give_late(give)) {
        return true;
    }
    for (uint32_t i = 0; i < give->count && !give_late(give); i++) {
        if (give->items[i].client != 0 && !give->items[i].stays && give_one(moves, &give->items[i]) == -EAGAIN) {
            return true;
        }
    }
    give_end(moves);
    moves->clients->uplink->held = false;
    return true;
}

static bool give_say_end(struct rc_moves *moves)
{
    struct rc_give *give = &moves->give;
    struct rc_truth_move *kept = &moves->clients->truth->layout->move;
    if (moves->told_count > 0) {
        return false; /* the relay first: what the other one sends back is to find its client */
    }
    for (uint32_t i = 0; i < give->count; i++) {
        give_keep(moves, &give->items[i]);
    }
    give->count = 0;
    if (rc_move_say(moves, give->peer, RC_MOVE_END, give->token, NULL, 0) == -EAGAIN) {
        return true;
    }
    kept->role = RC_MOVE_NONE;
    give_enter(give, RC_GIVE_IDLE);
    if (give->moved > 0) {
        rc_log_info("clients_moved", "to=%u count=%u", give->peer, give->moved);
    }
    return false;
}

/* --- who was just being sent by a killed predecessor ------------------------------------------------------------------ */

/* It is here, or was not told from; nobody else says anything to it. */
static void where_known(struct rc_moves *moves, bool came)
{
    struct rc_give *give = &moves->give;
    struct rc_give_item *item = &give->items[0];
    const uint32_t client = give_client(moves, item);
    if (client != 0 && came) {
        give_went(moves, item, client);
    } else if (client != 0) {
        rc_truth_client(moves->clients->truth, client)->moving = false;
        if (item->socket != RC_SOCKET_NONE) {
            moves->clients->truth->sockets[item->socket].mode = RC_IO_GIVEN;
            rc_hub_writable(moves->clients->hub, item->socket);
        }
    }
    give_end(moves); /* so it stays, and is read when the relay knows it */
    moves->clients->uplink->held = false;
}

/* It may be there, and no word comes: it ends here. */
static void where_unknown(struct rc_moves *moves)
{
    struct rc_clients *clients = moves->clients;
    struct rc_give_item *item = &moves->give.items[0];
    const uint32_t client = give_client(moves, item);
    if (client != 0) {
        rc_truth_client(clients->truth, client)->moving = false;
        if (item->socket != RC_SOCKET_NONE) {
            clients->truth->sockets[item->socket].mode = RC_IO_LEFT; /* its end is not the connection's */
            rc_io_terminate(clients->io, item->socket);
        } else {
            rc_client_end(clients, client);
        }
        rc_log_limited(RC_LOG_WARN, 1, "client_not_moved", "to=%u reason=\"the other worker does not say if it came\"",
                       moves->give.peer);
    }
    item->client = 0;
    give_end(moves);
    clients->uplink->held = false;
}

static bool give_where(struct rc_moves *moves)
{
    struct rc_give *give = &moves->give;
    const uint64_t now_ms = rc_clock_ms();
    const uint32_t client = give_client(moves, &give->items[0]);
    if (client == 0) { /* it has ended */
        where_known(moves, false);
        return true;
    }
    if (give_age_ms(give) >= GIVE_WHERE_MS) {
        where_unknown(moves);
        return true;
    }
    if (give->where_ms != 0 && now_ms - give->where_ms < GIVE_AGAIN_MS) {
        return false;
    }
    const struct rc_client_ref ref = rc_client_ref(moves->clients, client);
    if (rc_move_say(moves, give->peer, RC_MOVE_WHERE, give->token, (const uint8_t *)&ref, sizeof(ref)) == 0) {
        give->where_ms = now_ms;
    }
    return give->where_ms != now_ms;
}

bool rc_give_pass(struct rc_moves *moves)
{
    struct rc_give *give = &moves->give;
    switch (give->phase) {
    case RC_GIVE_IDLE:
        return false;
    case RC_GIVE_ASKING: {
        const int rc = rc_move_say(moves, give->peer, RC_MOVE_ASKS, give->token, give->names, give->names_bytes);
        if (rc == 0) {
            give_enter(give, RC_GIVE_ASKED);
        } else if (rc != -EAGAIN || give_age_ms(give) >= GIVE_ASKED_MS) {
            give->count = 0;
            give_enter(give, RC_GIVE_IDLE);
        }
        return rc == -EAGAIN;
    }
    case RC_GIVE_ASKED:
        if (give_age_ms(give) >= GIVE_ASKED_MS) {
            give_end(moves);
        }
        return false;
    case RC_GIVE_STOPPING:
        if (give_stopped(moves)) {
            give_enter(give, RC_GIVE_ORDERING);
        }
        return give->phase == RC_GIVE_ORDERING;
    case RC_GIVE_ORDERING:
        give_order(moves);
        return give->phase == RC_GIVE_ORDERING;
    case RC_GIVE_ORDERED: /* the relay answers, this one or the next; until then its clients are served, and not read */
        return false;
    case RC_GIVE_GIVING:
        return give_clients(moves);
    case RC_GIVE_WHERE:
        return give_where(moves);
    case RC_GIVE_ENDING:
        return give_say_end(moves);
    }
    return false;
}

void rc_give_heard(struct rc_moves *moves, const struct rc_handover *from, const struct rc_move_word *word)
{
    struct rc_give *give = &moves->give;
    if (from->worker != give->peer || word->token != give->token) {
        return; /* of a batch that was given up */
    }
    if (word->kind == RC_MOVE_CAME || word->kind == RC_MOVE_CAME_NOT) {
        if (give->phase == RC_GIVE_WHERE) {
            where_known(moves, word->kind == RC_MOVE_CAME);
        }
    } else if (word->kind == RC_MOVE_HOLDS) {
        give->held = true; /* maybe before the barrier has come here */
        give->held_ms = from->time_ms;
    } else if (word->kind == RC_MOVE_REFUSES && give->phase == RC_GIVE_ORDERED) {
        give->refused = true; /* it was at its barrier before this one is */
    } else if (word->kind == RC_MOVE_REFUSES && give->phase == RC_GIVE_GIVING && !give->held) {
        give_end(moves); /* another process than the one that was ready */
        moves->clients->uplink->held = false;
    } else if (give->phase != RC_GIVE_ASKED) {
        return;
    } else if (word->kind == RC_MOVE_READY) {
        give_stop(moves);
    } else {
        give->count = 0;
        give_enter(give, RC_GIVE_IDLE);
    }
}

/* Of the client that may have gone: can it wait until that is known? Not with TLS: its keys may be used elsewhere. */
static bool give_asks(struct rc_moves *moves, uint32_t client)
{
    struct rc_client *its = rc_truth_client(moves->clients->truth, client);
    struct rc_socket *socket = rc_truth_socket_of(moves->clients->truth, its);
    if ((its->flags & RC_CLIENT_BROKEN) && socket == NULL) { /* it has gone: it was just being forgotten here */
        struct rc_give_item item = {.client = client, .socket = RC_SOCKET_NONE, .fd = -1};
        its->flags &= (uint16_t)~RC_CLIENT_BROKEN;
        give_went(moves, &item, client);
        return true;
    }
    if (its->flags & RC_CLIENT_BROKEN) {
        return false;
    }
    if (socket != NULL) {
        if ((socket->mode != RC_IO_LEFT && socket->mode != RC_IO_ASKED) || socket->state != RC_SOCKET_CARRYING ||
            moves->clients->truth->tls[its->socket] != 0) {
            return false;
        }
        socket->flags |= RC_SOCKET_BLOCKED; /* nothing is sent */
        RC_STORE_ORDER();
        socket->mode = RC_IO_ASKED;
    }
    moves->give.items[0] =
        (struct rc_give_item){.random = its->random, .client = client, .socket = its->socket, .fd = -1};
    moves->give.count = 1;
    return true;
}

/* A predecessor's batch: who is still here stays; of the one that may have gone (rc_io_leaves) it is asked, or rc_io_adopt ends it. */
void rc_give_rebuild(struct rc_moves *moves)
{
    struct rc_clients *clients = moves->clients;
    const struct rc_truth_move *kept = &clients->truth->layout->move;
    if (kept->role != RC_MOVE_GIVES) {
        return;
    }
    moves->give.peer = kept->peer;
    moves->give.token = kept->token;
    for (uint32_t i = 0; i < kept->count; i++) {
        const uint32_t client = rc_hub_here(clients->hub, &kept->refs[i]);
        if (client != 0 && !rc_truth_client(clients->truth, client)->moving) {
            rc_move_tell_here(moves, client);
        } else if (client != 0 && !give_asks(moves, client) &&
                   rc_truth_client(clients->truth, client)->socket == RC_SOCKET_NONE) {
            rc_client_end(clients, client); /* it may have gone */
        }
    }
    clients->uplink->held = moves->give.count > 0; /* it stands at the barrier still */
    give_enter(&moves->give, moves->give.count > 0 ? RC_GIVE_WHERE : RC_GIVE_ENDING);
}
