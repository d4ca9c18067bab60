/* shared_deliver: see shared_deliver.h. */
#include "relay/cluster/shared_deliver.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/records/channel_name.h"
#include "common/records/sid.h"

/* A room that is one socket has no history that others could want. */
static bool is_socket(struct rc_span name)
{
    struct rc_span nsp;
    struct rc_span room;
    struct rc_sid sid;
    (void)rc_channel_split(name, &nsp, &room);
    return rc_sid_read(&sid, room);
}

const struct rc_config_namespace *rc_shared_policy(const struct rc_shared *shared, struct rc_span name)
{
    const struct rc_config_namespace *policy = !shared->open || (name.count == 1 && name.bytes[0] == '*')
                                                   ? NULL
                                                   : rc_history_policy(shared->setup.history, name);
    return policy != NULL && policy->history_scope == RC_HISTORY_SCOPE_CLUSTER && !is_socket(name) ? policy : NULL;
}

void rc_shared_tick_soon(struct rc_shared *shared)
{
    if (!shared->timer.set) {
        rc_timer_set(shared->setup.timers, &shared->timer, rc_clock_ms() + RC_SHARED_TICK_MS, shared->tick, shared);
    }
}

bool rc_shared_listens(const struct rc_shared *shared, struct rc_span name)
{
    return rc_router_wanted(shared->setup.router, name) || rc_router_held(shared->setup.router, name);
}

void rc_shared_gap(struct rc_shared *shared, const struct rc_shared_channel *channel, uint64_t epoch, uint64_t last)
{
    rc_router_gap_behind(shared->setup.router, rc_shared_name(channel),
                         (struct rc_gap_behind){.epoch = epoch, .offset = last});
}

/* --- own messages that wait ------------------------------------------------------------------------------------------ */

struct rc_shared_pending *rc_shared_pending_of(const struct rc_shared_channel *channel, uint64_t sequence)
{
    struct rc_shared_pending *pending = NULL;
    TAILQ_FOREACH(pending, &channel->pendings, of_channel)
    {
        if (pending->sequence >= sequence) {
            return pending->sequence == sequence ? pending : NULL;
        }
    }
    return NULL;
}

struct rc_shared_pending *rc_shared_pending_add(struct rc_shared *shared, struct rc_shared_channel *channel,
                                                const struct rc_envelope_view *view)
{
    const uint64_t bytes = rc_envelope_bytes(&view->head);
    struct rc_shared_pending *pending = malloc(sizeof(*pending) + bytes);
    if (pending == NULL) {
        return NULL;
    }
    *pending = (struct rc_shared_pending){
        .channel = channel, .time_ms = rc_clock_ms(), .sequence = view->head.sequence, .known = channel->epoch};
    rc_envelope_write(pending->record, view);
    const int rc = rc_envelope_read(&pending->view, pending->record, (uint32_t)bytes);
    RC_ASSERT(rc == 0); /* it was one */
    TAILQ_INSERT_TAIL(&channel->pendings, pending, of_channel);
    TAILQ_INSERT_TAIL(&shared->pendings, pending, of_all);
    rc_metric_add(shared->metrics, RC_METRIC_HISTORY_SHARED_WAITING, 1);
    return pending;
}

void rc_shared_pending_drop(struct rc_shared *shared, struct rc_shared_pending *pending)
{
    TAILQ_REMOVE(&pending->channel->pendings, pending, of_channel);
    TAILQ_REMOVE(&shared->pendings, pending, of_all);
    rc_metric_sub(shared->metrics, RC_METRIC_HISTORY_SHARED_WAITING, 1);
    free(pending);
}

/* Delivered, answered and gone. */
static void pending_place(struct rc_shared *shared, struct rc_shared_pending *pending, struct rc_router_placed placed)
{
    placed.view = &pending->view;
    placed.own = true;
    placed.answers = pending->answers;
    placed.worker = pending->worker;
    placed.generation = pending->generation;
    rc_router_place(shared->setup.router, &placed);
    rc_shared_pending_drop(shared, pending);
}

void rc_shared_copy(const struct rc_shared *shared, struct rc_shared_channel *channel, bool followed)
{
    if (channel->epoch == 0) {
        const struct rc_history_state state =
            rc_history_shared(shared->setup.history, channel->hash, rc_shared_name(channel));
        channel->epoch = state.last != 0 || followed ? state.epoch : 0;
        channel->last = state.last;
        channel->proof = 0;
    }
}

void rc_shared_settle_apart(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    struct rc_shared_pending *pending = TAILQ_FIRST(&channel->pendings);
    for (; pending != NULL && pending->answered; pending = TAILQ_FIRST(&channel->pendings)) {
        pending_place(shared, pending,
                      (struct rc_router_placed){.keep = RC_ROUTER_KEEP_NOT,
                                                .epoch = pending->offset != 0 ? pending->epoch : 0,
                                                .offset = pending->offset,
                                                .fans = true});
    }
}

void rc_shared_settle_behind(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    struct rc_shared_pending *pending = TAILQ_FIRST(&channel->pendings);
    while (pending != NULL) {
        struct rc_shared_pending *next = TAILQ_NEXT(pending, of_channel);
        if (pending->answered &&
            (pending->offset == 0 || pending->epoch != channel->epoch || pending->offset <= channel->last)) {
            pending_place(shared, pending,
                          (struct rc_router_placed){.keep = RC_ROUTER_KEEP_NOT,
                                                    .epoch = pending->offset != 0 ? pending->epoch : 0,
                                                    .offset = pending->offset,
                                                    .fans = false});
        }
        pending = next;
    }
}

void rc_shared_settle_alone(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    struct rc_shared_pending *pending = TAILQ_FIRST(&channel->pendings);
    if (pending != NULL && !channel->local) {
        channel->local = true;
        rc_shared_gap(shared, channel, 0, 0);
    }
    if (pending != NULL && channel->alone_left == 0) {
        channel->alone_first = pending->sequence; /* what is before it came by its echo, however late its answer is */
    }
    for (; pending != NULL; pending = TAILQ_FIRST(&channel->pendings)) {
        channel->alone_sequence = pending->sequence;
        if (pending->answered) {
            rc_shared_alone_until(channel, pending->epoch, pending->bound);
        }
        channel->alone_left += pending->flying;
        rc_metric_add(shared->metrics, RC_METRIC_HISTORY_ALONE_WAITING, pending->flying);
        rc_metric_add(shared->metrics, RC_METRIC_HISTORY_SHARED_ALONE, 1);
        pending_place(shared, pending,
                      (struct rc_router_placed){.keep = RC_ROUTER_KEEP_HERE, .time_ms = rc_clock_ms(), .fans = true});
    }
}

/* --- messages from Redis --------------------------------------------------------------------------------------------- */

static uint64_t proof_of(struct rc_span instance, uint64_t boot, uint64_t sequence)
{
    char proof[RC_SHARED_PROOF_MAX];
    return rc_hash(proof, rc_shared_proof(proof, instance, boot, sequence));
}

static bool message_is_of(struct rc_shared *shared, const struct rc_shared_channel *channel, enum rc_wire_result read,
                          struct rc_envelope_view *view)
{
    if (read != RC_WIRE_GOOD || rc_wire_selects(shared->setup.wire)) {
        return false;
    }
    view->channel = channel->name;
    view->head.channel_bytes = channel->name_bytes;
    return true;
}

bool rc_shared_message_read(struct rc_shared *shared, const struct rc_shared_channel *channel, struct rc_span message,
                            struct rc_envelope_view *view)
{
    return message_is_of(shared, channel, rc_wire_read_kept(shared->setup.wire, message, "history", view), view);
}

bool rc_shared_message_read_again(struct rc_shared *shared, const struct rc_shared_channel *channel,
                                  struct rc_span message, struct rc_envelope_view *view)
{
    return message_is_of(shared, channel, rc_wire_read_again(shared->setup.wire, message, "history", view), view);
}

/* Is the copy's message of that offset another one? `arguments`: they are compared, too, though they may be written in several ways that are
 * the same. */
static bool copy_differs(struct rc_shared *shared, const struct rc_shared_channel *channel, uint64_t offset,
                         struct rc_span message, bool arguments)
{
    const struct rc_history *history = shared->setup.history;
    struct rc_history_cursor cursor = {.slot = rc_history_find(history, channel->hash, rc_shared_name(channel)),
                                       .epoch = channel->epoch,
                                       .offset = offset};
    struct rc_history_message kept;
    struct rc_envelope_view view;
    uint8_t *buffer = malloc(history->values_bytes_max);
    const bool both = buffer != NULL &&
                      rc_history_read(&history->view, &cursor, buffer, history->values_bytes_max, &kept) == 1 &&
                      rc_shared_message_read(shared, channel, message, &view);
    const bool exact = both && (arguments || (view.head.flags & RC_ENVELOPE_ARGS) == 0);
    const bool differs = (exact && !rc_span_equal(kept.data, rc_span_of(view.data, view.head.data_bytes))) ||
                         (both && (!rc_span_equal(kept.key, rc_span_of(view.key, view.head.key_bytes)) ||
                                   !rc_span_equal(kept.event, rc_span_of(view.event, view.head.event_bytes))));
    free(buffer);
    return differs;
}

bool rc_shared_differs(struct rc_shared *shared, const struct rc_shared_channel *channel, struct rc_span message)
{
    return copy_differs(shared, channel, channel->last, message, false);
}

bool rc_shared_displaces(struct rc_shared *shared, const struct rc_shared_channel *channel,
                         const struct rc_placed *placed)
{
    struct rc_envelope_view view;
    uint64_t sequence = 0;
    if (rc_placed_own(shared->setup.wire, placed, &sequence)) {
        return rc_shared_pending_of(channel, sequence) != NULL; /* what was delivered waits no more */
    }
    if (placed->offset == channel->last && channel->proof != 0 &&
        rc_shared_message_read(shared, channel, placed->message, &view)) {
        const struct rc_wire *wire = shared->setup.wire;
        return proof_of(rc_span_of(wire->from, wire->from_bytes), wire->boot, wire->sequence) != channel->proof;
    }
    return copy_differs(shared, channel, placed->offset, placed->message, true); /* what differs is looked at closely */
}

void rc_shared_take(struct rc_shared *shared, struct rc_shared_channel *channel,
                    const struct rc_shared_arrival *arrival)
{
    struct rc_shared_pending *pending = arrival->own ? rc_shared_pending_of(channel, arrival->sequence) : NULL;
    struct rc_router_placed placed = {.keep = RC_ROUTER_KEEP_AT,
                                      .epoch = arrival->epoch,
                                      .offset = arrival->offset,
                                      .time_ms = arrival->time_ms,
                                      .fans = arrival->fans || pending != NULL};
    struct rc_envelope_view view;
    channel->epoch = arrival->epoch;
    channel->last = arrival->offset;
    channel->empty = false;
    if (pending != NULL) {
        channel->proof = proof_of(rc_span_text(shared->sender.instance), shared->sender.boot, arrival->sequence);
        pending_place(shared, pending, placed);
        return;
    }
    if (!rc_shared_message_read(shared, channel, arrival->message, &view)) {
        channel->proof = 0;
        rc_shared_gap(shared, channel, channel->epoch, channel->last); /* there is a message that nobody can read */
        return;
    }
    const struct rc_wire *wire = shared->setup.wire;
    channel->proof = proof_of(rc_span_of(wire->from, wire->from_bytes), wire->boot, wire->sequence);
    if (arrival->own && arrival->sequence <= channel->alone_sequence) {
        placed.fans = false; /* subscribers have it already */
    }
    placed.view = &view;
    rc_router_place(shared->setup.router, &placed);
}

void rc_shared_take_here(struct rc_shared *shared, const struct rc_shared_channel *channel,
                         const struct rc_shared_arrival *arrival)
{
    struct rc_envelope_view view;
    if (rc_shared_message_read(shared, channel, arrival->message, &view)) {
        const struct rc_router_placed placed = {
            .view = &view, .keep = RC_ROUTER_KEEP_HERE, .time_ms = arrival->time_ms, .fans = true};
        rc_router_place(shared->setup.router, &placed);
    }
}

/* --- messages that are held ------------------------------------------------------------------------------------------ */

void rc_shared_hold(struct rc_shared *shared, struct rc_shared_channel *channel, const struct rc_placed *placed,
                    struct rc_span text)
{
    if (channel->heard == 0) {
        channel->heard_epoch = placed->epoch;
        channel->heard = placed->offset;
    }
    const bool room = shared->held_bytes + text.count <= RC_SHARED_HELD_BYTES && text.count <= UINT32_MAX;
    struct rc_shared_held *held = room ? malloc(sizeof(*held) + text.count) : NULL;
    if (held == NULL) {
        channel->again = true;
        return;
    }
    held->bytes = (uint32_t)text.count;
    held->fetches = 0;
    held->time_ms = rc_clock_ms();
    memcpy(held->text, text.bytes, text.count);
    shared->held_bytes += text.count;
    if (TAILQ_EMPTY(&channel->helds)) {
        channel->held_ms = held->time_ms;
        TAILQ_INSERT_TAIL(&shared->holding, channel, in_holding); /* none of the others waits since later */
    }
    TAILQ_INSERT_TAIL(&channel->helds, held, next);
}

void rc_shared_holding_move(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    TAILQ_REMOVE(&shared->holding, channel, in_holding);
    struct rc_shared_channel *before = TAILQ_LAST(&shared->holding, rc_shared_channels);
    while (before != NULL && before->held_ms > channel->held_ms) {
        before = TAILQ_PREV(before, rc_shared_channels, in_holding);
    }
    if (before != NULL) {
        TAILQ_INSERT_AFTER(&shared->holding, before, channel, in_holding);
    } else {
        TAILQ_INSERT_HEAD(&shared->holding, channel, in_holding);
    }
}

void rc_shared_held_drop(struct rc_shared *shared, struct rc_shared_channel *channel, struct rc_shared_held *held)
{
    TAILQ_REMOVE(&channel->helds, held, next);
    if (TAILQ_EMPTY(&channel->helds)) {
        TAILQ_REMOVE(&shared->holding, channel, in_holding);
    }
    shared->held_bytes -= held->bytes;
    free(held);
}

void rc_shared_held_drop_all(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    for (struct rc_shared_held *held = TAILQ_FIRST(&channel->helds); held != NULL;
         held = TAILQ_FIRST(&channel->helds)) {
        rc_shared_held_drop(shared, channel, held);
    }
    channel->heard = channel->heard_epoch = 0;
}

/* --- who waits ------------------------------------------------------------------------------------------------------- */

struct rc_shared_waiters *rc_shared_waiters_of(struct rc_shared *shared, const struct rc_shared_waiter *waiter)
{
    return waiter->fills ? &shared->fillers : waiter->bytes == 0 ? &shared->waiters : &shared->askers;
}

void rc_shared_tell_early(struct rc_shared *shared, struct rc_shared_channel *channel, bool everywhere)
{
    if (!everywhere && !channel->followed && !rc_shared_is_alone(channel)) {
        rc_shared_copy(shared, channel, false);
        channel->early = channel->epoch != 0;
    }
}

void rc_shared_waiter_answer(struct rc_shared *shared, struct rc_shared_waiter *waiter, bool confirmed)
{
    struct rc_shared_channel *channel = waiter->channel;
    const struct rc_interest_request request = {.worker = waiter->worker,
                                                .token = waiter->token,
                                                .hash = channel->hash,
                                                .name = channel->name,
                                                .name_bytes = channel->name_bytes};
    const bool everywhere = confirmed && (waiter->confirmed || channel->followed);
    struct rc_envelope_view asked;
    TAILQ_REMOVE(waiter->fills ? &channel->fillers : &channel->waiters, waiter, of_channel);
    TAILQ_REMOVE(rc_shared_waiters_of(shared, waiter), waiter, of_all);
    shared->waiter_count--;
    if (waiter->bytes == 0) {
        rc_shared_tell_early(shared, channel, everywhere);
        rc_router_interest_done(shared->setup.router, &request, everywhere ? 0 : RC_ENVELOPE_SCOPE_LOCAL, 0);
    } else if (rc_envelope_read(&asked, waiter->record, waiter->bytes) == 0) {
        rc_router_asked(shared->setup.router, waiter->worker, waiter->generation, &asked);
    }
    free(waiter);
}

void rc_shared_answer_waiters(struct rc_shared *shared, struct rc_shared_channel *channel, bool confirmed)
{
    for (struct rc_shared_waiter *waiter = TAILQ_FIRST(&channel->waiters); waiter != NULL;
         waiter = TAILQ_FIRST(&channel->waiters)) {
        rc_shared_waiter_answer(shared, waiter, confirmed);
    }
}

void rc_shared_refill_begin(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    if (channel->state == RC_SHARED_LIVE && !channel->refilling && !channel->refill_queued &&
        !TAILQ_EMPTY(&channel->fillers)) {
        channel->refill_queued = true;
        TAILQ_INSERT_TAIL(&shared->refill, channel, in_refill);
        rc_shared_tick_soon(shared); /* and goes out in it: who answers others may be in the midst of the channel */
    }
}

void rc_shared_refill_unqueue(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    if (channel->refill_queued) {
        channel->refill_queued = false;
        TAILQ_REMOVE(&shared->refill, channel, in_refill);
    }
}

void rc_shared_refill_end(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    rc_shared_refill_unqueue(shared, channel);
    channel->refill_tries = 0;
    channel->refill_bytes = 0;
    channel->refill_lost = false;
    for (struct rc_shared_waiter *waiter = TAILQ_FIRST(&channel->fillers); waiter != NULL;
         waiter = TAILQ_FIRST(&channel->fillers)) {
        rc_shared_waiter_answer(shared, waiter, true);
    }
}

void rc_shared_release(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    if (channel->followed || channel->early || channel->state != RC_SHARED_APART || channel->flying > 0 ||
        !TAILQ_EMPTY(&channel->waiters) || !TAILQ_EMPTY(&channel->fillers) || channel->refilling ||
        channel->refill_queued || channel->fetching || channel->queued || channel->echo_due || channel->alone_listed ||
        !TAILQ_EMPTY(&channel->pendings)) {
        return;
    }
    rc_shared_held_drop_all(shared, channel);
    if (channel->quiet_listed) {
        TAILQ_REMOVE(&shared->quiet, channel, in_quiet);
    }
    rc_shared_table_drop(&shared->table, channel);
    rc_metric_set(shared->metrics, RC_METRIC_HISTORY_SHARED_CHANNELS, shared->table.map.count);
}
