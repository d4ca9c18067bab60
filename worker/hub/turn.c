/*
 * turn: serving everybody who has something to get, once.
 *
 * When a turn begins, every log with news notes its head as `target`; everybody who is caught up stands at `served`. Each
 * connection is visited once (deliver.c) and gets [position, target) of all its logs. After the turn `served` is `target`. What is
 * appended meanwhile is the next turn's.
 */
#include "worker/hub/turn.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/store/named.h"

/* What a client's socket was given in the round has left, or was put back. */
static void turn_flushed(struct rc_hub *hub, struct rc_socket *socket, uint32_t socket_index)
{
    const uint32_t client_index = socket->client;
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    if (rc_turn_mute(client)) {
        return;
    }
    if (client->direct_log != 0 &&
        rc_truth_log(hub->truth, client->direct_log)->base == rc_truth_log(hub->truth, client->direct_log)->head) {
        rc_hub_log_free(hub, &client->direct_log);
    }
    if (socket->flags & RC_SOCKET_WAITS_REPLIES) {
        hub->handlers.replies_drained(hub->handlers.context, socket_index);
        if (socket->client != client_index) {
            return; /* reading on, it ended */
        }
    }
    if (client->output != 0 && rc_io_busy(hub->io, socket_index)) {
        rc_turn_block(hub, socket); /* its last TLS record is still leaving; writable settles it */
        return;
    }
    rc_hub_output_settle(hub, client_index);
}

/* Sends the batch, settles it, and lets the rest of the worker live between two rounds. */
static void turn_flush(struct rc_hub *hub)
{
    const uint32_t count = hub->io->packet_count;
    rc_io_flush(hub->io);
    rc_turn_count_passed(hub);
    for (uint32_t i = 0; i < count; i++) {
        const struct rc_packet *packet = &hub->io->packets[i];
        struct rc_socket *socket = &hub->truth->sockets[packet->socket];
        if (socket->generation != packet->generation || !rc_turn_socket_lives(socket)) {
            continue;
        }
        if (socket->client != 0) {
            const struct rc_client *client = rc_truth_client(hub->truth, socket->client);
            if ((client->output | client->direct_log) != 0 || (socket->flags & RC_SOCKET_WAITS_REPLIES)) {
                turn_flushed(hub, socket, packet->socket);
            }
            continue;
        }
        if (socket->flags & RC_SOCKET_WAITS_REPLIES) {
            hub->handlers.replies_drained(hub->handlers.context, packet->socket);
        }
        if (socket->output != 0 && rc_io_busy(hub->io, packet->socket)) {
            rc_turn_block(hub, socket);
            continue;
        }
        rc_hub_answers_settle(hub, packet->socket);
    }
    hub->handlers.round(hub->handlers.context);
    rc_hub_end_marked(hub); /* by what came down in it */
}

static bool turn_hears(const struct rc_truth *truth, uint32_t client_index, uint8_t encoding)
{
    const struct rc_client *client = rc_truth_client(truth, client_index);
    return (client->flags & RC_CLIENT_EVERYBODY) && client->encoding == encoding;
}

/* Everybody who hears a critical group. A client stands in it once, and rc_members_remove keeps who has been served apart from who has
 * not: no mark is needed that it was. */
static void turn_serve_critical_group(struct rc_hub *hub, uint32_t group_index)
{
    const struct rc_truth *truth = hub->truth;
    const struct rc_group *group = rc_truth_group(truth, group_index);
    struct rc_members *members = &hub->members[group_index];
    const bool everybody = group->channel == hub->everybody;
    const uint8_t encoding = group->encoding;
    struct rc_truth_hub *kept = hub->kept;
    hub->serving = everybody ? NULL : members;
    while (kept->unserved > 0) {
        if (rc_io_batch_full(hub->io)) {
            turn_flush(hub); /* before the member is looked up: clients leave in it */
            continue;
        }
        const uint32_t i = kept->unserved - 1;
        if (!everybody) {
            const uint32_t index = rc_members_items(members)[i];
            rc_turn_serve(hub, rc_truth_subscription(truth, index)->client, RC_TURN_CRITICAL, index);
        } else if (turn_hears(truth, i + 1, encoding)) {
            rc_turn_serve(hub, i + 1, RC_TURN_CRITICAL, 0);
        }
        RC_STORE_ORDER(); /* it has its packet, or its place is remembered */
        kept->unserved = i;
    }
    if (hub->io->packet_count > 0) {
        turn_flush(hub);
    }
    hub->serving = NULL;
}

/* Before the log says that it is the turn's: who of its members was served is said by their places, and not by the turn's marks. */
static void turn_critical_begins(struct rc_hub *hub, uint32_t group_index)
{
    const bool everybody = rc_truth_group(hub->truth, group_index)->channel == hub->everybody;
    hub->kept->unserved = everybody ? hub->clients_high : hub->members[group_index].count;
    RC_STORE_ORDER();
    hub->kept->critical = group_index;
    RC_STORE_ORDER();
}

/* The first `count` messages of `times` have been sent. */
static void turn_observe(struct rc_hub *hub, struct rc_hub_times *times, uint32_t count)
{
    if (count == 0) {
        return;
    }
    const uint64_t now_ns = rc_clock_ns();
    for (uint32_t i = 0; i < count; i++) {
        rc_metric_observe(hub->metrics, RC_HISTOGRAM_PUBLISH_TO_SEND,
                          now_ns > times->ns[i] ? now_ns - times->ns[i] : 0);
    }
    times->count -= count;
    if (times->count > 0) {
        memmove(times->ns, times->ns + count, times->count * sizeof(times->ns[0]));
    }
}

/*
 * Critical channels that have news, at the beginning of a turn and between its rounds: each is served to its end, alone, so that
 * nobody stands in the middle of its log when the turn goes on. What comes meanwhile waits for the next round.
 */
static __attribute__((noinline)) void turn_critical_groups(struct rc_hub *hub)
{
    const struct rc_truth *truth = hub->truth;
    RC_ASSERT(hub->io->packet_count == 0 && hub->turn_critical.count == 0);
    const struct rc_index_list groups = hub->turn_critical;
    const uint32_t single_frames = hub->turn_single_frames;
    const uint32_t times = hub->critical_times.count;
    hub->turn_critical = hub->dirty_critical;
    hub->dirty_critical = groups;
    hub->turn_single_frames = 0;
    for (uint32_t i = 0; i < hub->turn_critical.count; i++) {
        const uint32_t index = hub->turn_critical.items[i];
        const struct rc_group *group = rc_truth_group(truth, index);
        struct rc_channel_log *log = group->log == 0 ? NULL : rc_truth_log(truth, group->log);
        if (log != NULL && log->turn == hub->turn) {
            /* It was not critical when the turn began. */
            const int rc = rc_index_list_push(&hub->dirty_groups, index);
            RC_ASSERT(rc == 0);
        } else if (log != NULL) {
            log->target = log->head;
            turn_critical_begins(hub, index);
            log->turn = hub->turn; /* the mark says that it is this turn's end */
            turn_serve_critical_group(hub, index);
            if (group->log != 0 && rc_truth_log(truth, group->log)->turn == hub->turn) {
                log = rc_truth_log(truth, group->log);
                log->served = log->target;
                RC_STORE_ORDER();
                log->turn = 0;
                rc_hub_log_release(hub, index);
            }
            RC_STORE_ORDER();
            hub->kept->critical = 0;
        }
    }
    hub->turn_critical.count = 0;
    hub->turn_single_frames = single_frames;
    turn_observe(hub, &hub->critical_times, times);
}

/* Most turns have none: that is not worth a call. */
static inline void turn_critical(struct rc_hub *hub)
{
    if (RC_UNLIKELY(hub->dirty_critical.count > 0)) {
        turn_critical_groups(hub);
    }
}

/* The end of a round: what is critical and came meanwhile goes before the rest. */
static void turn_round(struct rc_hub *hub)
{
    turn_flush(hub);
    turn_critical(hub);
}

static void turn_serve_full(struct rc_hub *hub, uint32_t client_index)
{
    if (rc_io_batch_full(hub->io)) {
        turn_round(hub);
    }
    rc_turn_serve(hub, client_index, RC_TURN_ALL, 0);
}

/* Everybody in one group. Backwards, so that leaving members do not make others be missed; see rc_members. */
static void turn_serve_members(struct rc_hub *hub, uint32_t group_index, bool alone)
{
    struct rc_truth *truth = hub->truth;
    struct rc_members *members = &hub->members[group_index];
    for (uint32_t i = members->count; i-- > 0;) {
        if (rc_io_batch_full(hub->io)) {
            turn_round(hub); /* before the member is looked up: clients leave in it */
        }
        if (i >= members->count) {
            continue;
        }
        const uint32_t *items = rc_members_items(members);
        if (i >= 4) {
            __builtin_prefetch(rc_truth_subscription(truth, items[i - 4]));
        }
        const uint32_t index = items[i];
        const uint32_t client = rc_truth_subscription(truth, index)->client;
        if (rc_truth_client(truth, client)->turn != hub->turn) {
            rc_turn_serve(hub, client, alone ? RC_TURN_ALONE : RC_TURN_ALL, index);
        }
    }
}

static void turn_serve_everybody(struct rc_hub *hub, uint8_t encoding)
{
    struct rc_truth *truth = hub->truth;
    for (uint32_t client = hub->clients_high; client > 0; client--) {
        if (turn_hears(truth, client, encoding) && rc_truth_client(truth, client)->turn != hub->turn) {
            turn_serve_full(hub, client);
        }
    }
}

/* What is dirty is the turn's, whose own list is used again for what becomes dirty meanwhile. */
static inline void turn_take(struct rc_index_list *turn, struct rc_index_list *dirty)
{
    turn->count = 0;
    if (dirty->count > 0) {
        const struct rc_index_list taken = *dirty;
        *dirty = *turn;
        *turn = taken;
    }
}

static void turn_begin(struct rc_hub *hub)
{
    struct rc_truth *truth = hub->truth;
    hub->turn = hub->turn == UINT32_MAX ? 1 : hub->turn + 1;
    hub->in_turn = true;
    hub->kept->turn = hub->turn;
    RC_STORE_ORDER(); /* what was of this number before it is old: nobody takes it for this turn's */
    hub->kept->in_turn = 1;
    turn_take(&hub->turn_groups, &hub->dirty_groups);
    turn_take(&hub->turn_clients, &hub->dirty_clients);
    turn_take(&hub->turn_sockets, &hub->dirty_sockets);
    hub->turn_single_frames = 0;
    for (uint32_t i = 0; i < hub->turn_groups.count; i++) {
        const struct rc_group *group = rc_truth_group(truth, hub->turn_groups.items[i]);
        if (group->log != 0) {
            struct rc_channel_log *log = rc_truth_log(truth, group->log);
            log->target = log->head;
            RC_STORE_ORDER(); /* as above */
            log->turn = hub->turn;
            if (hub->turn_groups.count == 1) {
                hub->turn_single_frames = log->frames - rc_channel_log_find(log, &truth->heap, log->served);
            }
        }
    }
    hub->turn_times = hub->times.count;
}

static void turn_finish(struct rc_hub *hub)
{
    struct rc_truth *truth = hub->truth;
    turn_observe(hub, &hub->times, hub->turn_times);
    hub->in_turn = false;
    for (uint32_t i = 0; i < hub->turn_groups.count; i++) {
        const uint32_t index = hub->turn_groups.items[i];
        const struct rc_group *group = rc_truth_group(truth, index);
        if (group->log != 0) {
            struct rc_channel_log *log = rc_truth_log(truth, group->log);
            if (log->turn == hub->turn) {
                log->served = log->target;
            }
            rc_hub_log_release(hub, index);
        }
    }
    hub->turn_groups.count = 0;
    RC_STORE_ORDER(); /* until then everybody stands where the turn's marks say */
    hub->kept->in_turn = 0;
}

void rc_hub_turn(struct rc_hub *hub)
{
    const uint64_t began_ns = rc_clock_ns();
    struct rc_truth *truth = hub->truth;
    rc_hub_end_marked(hub);
    if (RC_UNLIKELY(hub->replays_due.count > 0)) {
        rc_hub_replay(hub);
    }
    turn_begin(hub);
    turn_critical(hub);
    for (uint32_t i = 0; i < hub->turn_clients.count; i++) {
        const uint32_t index = hub->turn_clients.items[i];
        struct rc_client *client = rc_truth_client(truth, index);
        client->flags &= (uint16_t)~RC_CLIENT_DIRTY;
        if (client->turn != hub->turn) {
            turn_serve_full(hub, index);
        }
    }
    for (uint32_t i = 0; i < hub->turn_sockets.count; i++) {
        const uint32_t index = hub->turn_sockets.items[i];
        truth->sockets[index].flags &= (uint16_t)~RC_SOCKET_DIRTY;
        if (rc_io_batch_full(hub->io)) {
            turn_round(hub);
        }
        rc_turn_serve_socket(hub, index);
    }
    for (uint32_t i = 0; i < hub->turn_groups.count; i++) {
        const uint32_t index = hub->turn_groups.items[i];
        const struct rc_group *group = rc_truth_group(truth, index);
        if (group->log == 0 || rc_truth_log(truth, group->log)->turn != hub->turn) {
            continue;
        }
        if (group->channel == hub->everybody) {
            turn_serve_everybody(hub, group->encoding);
        } else {
            turn_serve_members(hub, index, hub->turn_groups.count == 1);
        }
    }
    if (hub->io->packet_count > 0) {
        turn_round(hub);
    }
    turn_finish(hub);
    if (RC_UNLIKELY(hub->tracing)) {
        rc_hub_trace_sent(hub);
    }
    rc_metric_add(hub->metrics, RC_METRIC_TURNS, 1);
    rc_metric_observe(hub->metrics, RC_HISTOGRAM_TURN, rc_clock_ns() - began_ns);
}
