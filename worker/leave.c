/*
 * leave: a worker that has more connections than it should: it gives some to others (worker/move).
 *
 * One whose place is to be empty (common/shm/worker_use.h) gives all, and ends when nobody is here any more. Newcomers are steered to the others; who
 * comes all the same (a kernel without steering) is let in. Who cannot be moved stays until it ends; with SENDING_AWAY such clients are told to
 * come again, and so are all when moves come to nothing.
 *
 * With server.rebalance one that has so much more than the average gives until it has a quarter of that more: in between nothing moves, so that
 * nobody goes to and fro. Connections are what is compared: clients that poll stay, since theirs would not be fewer by their going.
 */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/shm/worker_use.h"
#include "worker/backend/backend_io.h"
#include "worker/worker.h"

#define LEAVE_LOOK_MS 100u
#define LEAVE_TELL_MS 5000u
#define LEAVE_BUSY_MS 20u /* while something is being moved */
/* With SENDING_AWAY: when nobody has gone for so long, those that could are sent away, too. */
#define LEAVE_BARREN_MS 5000u
#define LEAVE_REBALANCE_LOOK_MS 1000u
#define LEAVE_REBALANCE_PACE_MS 50u /* between two batches */
#define LEAVE_REBALANCE_LEAST 16u   /* connections more than the average, below which nothing is moved */

static enum rc_worker_use leave_use(const struct rc_worker *w)
{
    return rc_worker_use(w->control.core, (uint32_t)w->args.index);
}

bool rc_leave_wanted(const struct rc_worker *w)
{
    return leave_use(w) >= RC_WORKER_LEAVING && !w->leave.over;
}

uint32_t rc_leave_sleep_ms(const struct rc_worker *w, uint32_t most_ms)
{
    const uint32_t wait_ms = rc_moves_busy(&w->moves) ? LEAVE_BUSY_MS
                             : w->leave.rebalancing   ? LEAVE_REBALANCE_PACE_MS
                             : rc_leave_wanted(w)     ? LEAVE_LOOK_MS
                                                      : most_ms;
    return most_ms < wait_ms ? most_ms : wait_ms;
}

/* --- to whom --------------------------------------------------------------------------------------------------------- */

/* The worker with the fewest connections but this one, and theirs; *sum: of all that stay, and *count of them. False: there is none. */
static bool leave_peer(const struct rc_worker *w, uint32_t *peer, uint64_t *least, uint64_t *sum, uint32_t *count)
{
    *least = UINT64_MAX;
    *sum = 0;
    *count = 0;
    for (uint32_t i = 0; i < w->control.worker_count; i++) {
        const struct rc_process *process = &w->control.workers[i]->process;
        const uint64_t its = atomic_load_explicit(&process->connections, memory_order_relaxed);
        if (rc_worker_use(w->control.core, i) != RC_WORKER_USED ||
            atomic_load_explicit(&process->state, memory_order_relaxed) != RC_PROCESS_READY) {
            continue;
        }
        *sum += its;
        *count += 1;
        if (i != (uint32_t)w->args.index && its < *least && its < w->control.slots_per_worker) {
            *least = its;
            *peer = i;
        }
    }
    return *least != UINT64_MAX;
}

/* Who is still here, and cannot go. */
static void leave_tell(struct rc_worker *w, uint64_t now_ms)
{
    if (w->clients.connections > 0 && now_ms - w->leave.told_ms >= LEAVE_TELL_MS) {
        w->leave.told_ms = now_ms;
        rc_log_info("connections_stay", "count=%u reason=\"%s\"", w->moves.give.stayed,
                    w->moves.give.why != NULL ? w->moves.give.why : "no other worker is ready");
    }
}

/* No more than the other one has room for. */
static uint32_t leave_batch(uint64_t room)
{
    return room < RC_MOVE_CLIENTS_MAX ? (uint32_t)room : RC_MOVE_CLIENTS_MAX;
}

static void leave_give(struct rc_worker *w, uint64_t now_ms)
{
    uint32_t peer = 0;
    uint64_t least;
    uint64_t sum;
    uint32_t count;
    if (w->moves.give.phase == RC_GIVE_IDLE && w->clients.connections > 0 && !rc_moves_pause(&w->moves, now_ms) &&
        (!leave_peer(w, &peer, &least, &sum, &count) ||
         !rc_moves_begin(&w->moves, peer, leave_batch(w->control.slots_per_worker - least), true))) {
        leave_tell(w, now_ms);
    }
}

/* More than the others by the configured share? */
static void leave_rebalance(struct rc_worker *w, uint64_t now_ms)
{
    const uint32_t percent = w->config->server.rebalance_percent;
    uint32_t peer = 0;
    uint64_t least;
    uint64_t sum;
    uint32_t count;
    w->leave.look_ms = now_ms + (w->leave.rebalancing ? LEAVE_REBALANCE_PACE_MS : LEAVE_REBALANCE_LOOK_MS);
    if (w->moves.give.phase != RC_GIVE_IDLE || rc_moves_pause(&w->moves, now_ms) ||
        !leave_peer(w, &peer, &least, &sum, &count)) {
        return;
    }
    const uint64_t own = w->io.open_count;
    const uint64_t average = sum / count;
    const uint64_t most = average + average * percent / (w->leave.rebalancing ? 400u : 100u);
    const bool wanted = own > most && own - average >= (w->leave.rebalancing ? 1u : LEAVE_REBALANCE_LEAST);
    const uint64_t over = wanted ? own - average : 0;
    const uint64_t room = average > least ? average - least : 0;
    const uint64_t give = over < room ? over : room;
    /* If nobody can go it is over, too: who could is looked for again later. */
    const bool gives = give > 0 && rc_moves_begin(&w->moves, peer, leave_batch(give), false);
    if (gives != w->leave.rebalancing) {
        w->leave.rebalancing = gives;
        rc_log_info(gives ? "rebalancing" : "rebalanced", "connections=%llu average=%llu", (unsigned long long)own,
                    (unsigned long long)average);
    }
}

/* Has no peer a connection here? Those to backends were made here. */
static bool leave_empty(const struct rc_worker *w)
{
    for (uint32_t i = 0; i < w->truth.socket_count; i++) {
        const struct rc_socket *socket = &w->truth.sockets[i];
        if (socket->state != RC_SOCKET_FREE && socket->listener != RC_SOCKET_MADE_HERE) {
            return false;
        }
    }
    return true;
}

bool rc_leave_told(struct rc_worker *w)
{
    return atomic_load_explicit(&w->control.core->relay.running, memory_order_relaxed) == 0 ||
           (rc_memberships_told(&w->memberships) && rc_uplink_settled(&w->uplink));
}

/* Is there anything that others wait for? */
static bool leave_idle(struct rc_worker *w)
{
    return w->clients.connections == 0 && !rc_hub_pending(&w->hub) && !rc_clients_answering(&w->clients) &&
           !rc_pipes_wanted(&w->handovers.pipes) && !rc_batches_busy(w->batches) &&
           !rc_webhooks_busy(&w->pushers.webhooks) && !rc_backends_busy(w->backends) && w->io.places_used == 0 &&
           !rc_moves_busy(&w->moves) && w->pushers.telling_bytes == 0 && rc_leave_told(w);
}

/* Are all that are here to be sent away? Nobody else can go, or batches come to nothing: the others refuse them, or are behind. */
static bool leave_sends_away(struct rc_worker *w, uint64_t now_ms, bool tried)
{
    if (leave_use(w) != RC_WORKER_SENDING_AWAY || w->moves.give.phase != RC_GIVE_IDLE) {
        return false;
    }
    w->leave.away_ms = w->leave.away_ms == 0 ? now_ms : w->leave.away_ms;
    const uint64_t since_ms = w->moves.give.moved_ms > w->leave.away_ms ? w->moves.give.moved_ms : w->leave.away_ms;
    return now_ms - since_ms >= LEAVE_BARREN_MS || (tried && !rc_moves_pause(&w->moves, now_ms));
}

void rc_leave_pass(struct rc_worker *w)
{
    const uint64_t now_ms = rc_clock_ms();
    const bool leaves = rc_leave_wanted(w);
    w->clients.exchanges.draining = w->clients.draining || leaves; /* who asks again comes to another worker */
    if ((!leaves && w->config->server.rebalance_percent == 0) || now_ms < w->leave.look_ms ||
        w->park.phase != RC_PARK_RUNNING || w->clients.draining) {
        w->leave.over = leaves && w->clients.draining && leave_idle(w) && leave_empty(w);
        return;
    }
    if (!leaves) {
        leave_rebalance(w, now_ms);
        w->more |= w->moves.give.phase == RC_GIVE_ASKING;
        return;
    }
    w->leave.look_ms =
        now_ms + (w->moves.give.moved > 0 ? 0 : LEAVE_LOOK_MS); /* as long as some go, the next ones at once */
    bool sends_away = leave_sends_away(w, now_ms, false);
    if (!sends_away) {
        leave_give(w, now_ms);
        w->more |= w->moves.give.phase == RC_GIVE_ASKING;
        sends_away = leave_sends_away(w, now_ms, true);
    }
    if (sends_away) {
        rc_clients_drain(&w->clients);
    }
    w->leave.over = leave_idle(w) && leave_empty(w);
}
