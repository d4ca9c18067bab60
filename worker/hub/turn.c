/*
 * turn: serving everybody who has something to get, once.
 *
 * When a turn begins, every log with news notes its head as `target`; everybody who is caught up stands at `served`. Each
 * connection is visited once and gets, in one send: the rest of a cut unit, its replies, then [position, target) of all its logs
 * merged by the relay's sequence, then its close frame. After the turn `served` is `target`. What is appended meanwhile is the
 * next turn's. Positions are moved on when the send is queued and put right when it turns out short.
 */
#include "worker/hub/turn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"

/* A log that has something for the connection being served. */
struct turn_source {
    const struct rc_channel_log *log;
    uint64_t position;
    uint64_t end;
    uint32_t frame;        /* of `position` */
    uint32_t subscription; /* 0 = "*" without a cursor, or the direct log */
    enum rc_piece_kind kind;
};

/* One connection's packet while it is put together. */
struct turn_packet {
    struct rc_hub *hub;
    struct rc_slot *slot;
    uint32_t slot_index;
    struct rc_packet *packet;
    uint32_t frames;
    bool more; /* not everything fitted */
};

void rc_hub_set_cursor(struct rc_hub *hub, uint32_t index, uint64_t position)
{
    struct rc_subscription *subscription = rc_truth_subscription(hub->truth, index);
    subscription->cursor = position;
    if (!(subscription->flags & RC_SUBSCRIPTION_CURSOR)) {
        subscription->flags |= RC_SUBSCRIPTION_CURSOR;
        rc_truth_group(hub->truth, subscription->group)->behind++;
        hub->truth->slots[subscription->slot].cursor_count++;
        rc_metric_add(hub->metrics, RC_METRIC_BEHIND, 1);
    }
}

void rc_hub_clear_cursor(struct rc_hub *hub, uint32_t index)
{
    struct rc_subscription *subscription = rc_truth_subscription(hub->truth, index);
    if (subscription->flags & RC_SUBSCRIPTION_CURSOR) {
        subscription->flags &= ~(uint32_t)(RC_SUBSCRIPTION_CURSOR | RC_SUBSCRIPTION_LATEST);
        struct rc_group *group = rc_truth_group(hub->truth, subscription->group);
        group->behind--;
        hub->truth->slots[subscription->slot].cursor_count--;
        rc_metric_sub(hub->metrics, RC_METRIC_BEHIND, 1);
        if (group->behind == 0 && group->log != 0) {
            if (!hub->in_turn) {
                rc_hub_log_release(hub, subscription->group);
            } else {
                /* Pieces of it may be queued: the end of the turn releases it. Forgotten, it goes with its next news. */
                (void)rc_index_list_push(&hub->turn_groups, subscription->group);
            }
        }
    }
}

void rc_hub_log_free(struct rc_hub *hub, uint32_t *index)
{
    struct rc_channel_log *log = rc_truth_log(hub->truth, *index);
    hub->log_bytes -= rc_channel_log_bytes(log, &hub->truth->heap);
    rc_metric_set(hub->metrics, RC_METRIC_LOG_BYTES, hub->log_bytes);
    rc_channel_log_clear(log, &hub->truth->heap);
    rc_pool_free(&hub->truth->logs, *index);
    *index = 0;
}

void rc_hub_break(struct rc_hub *hub, uint32_t slot_index)
{
    rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
    hub->truth->slots[slot_index].flags |= RC_SLOT_BROKEN;
    const int rc = rc_index_list_push(&hub->broken, slot_index);
    RC_ASSERT(rc == 0); /* no memory to end a connection */
}

void rc_hub_log_release(struct rc_hub *hub, uint32_t group_index)
{
    struct rc_truth *truth = hub->truth;
    struct rc_group *group = rc_truth_group(truth, group_index);
    if (group->log == 0 || group->behind > 0) {
        return;
    }
    const struct rc_channel_log *log = rc_truth_log(truth, group->log);
    const bool unheard = hub->members[group_index].count == 0 && group->channel != hub->everybody;
    if (log->head != log->served && !unheard) {
        return;
    }
    /* Logs in the lists of dirty groups are looked up through their group, so that a freed one is noticed there. */
    rc_hub_log_free(hub, &group->log);
}

/* Whose place cannot be remembered would lose messages without a word: the connection ends instead. */
static void turn_everybody_behind(struct rc_hub *hub, uint32_t slot_index, uint64_t position)
{
    if (rc_hub_everybody_behind(hub, slot_index, position) < 0) {
        rc_hub_break(hub, slot_index);
    }
}

/* Moves a position on in what the truth remembers. */
static void turn_advance(struct turn_packet *p, const struct turn_source *source, uint64_t position)
{
    struct rc_hub *hub = p->hub;
    if (source->kind == RC_PIECE_DIRECT) {
        rc_truth_log(hub->truth, p->slot->direct_log)->base = position;
        return;
    }
    const bool caught_up = position == rc_turn_end(hub, source->log);
    if (source->subscription == 0) {
        if (caught_up) {
            rc_hub_everybody_caught_up(hub, p->slot_index);
        } else {
            turn_everybody_behind(hub, p->slot_index, position);
        }
    } else if (caught_up) {
        rc_hub_clear_cursor(hub, source->subscription);
    } else {
        rc_hub_set_cursor(hub, source->subscription, position);
    }
}

static bool turn_make_source(struct rc_hub *hub, uint32_t index, struct turn_source *source)
{
    const struct rc_truth *truth = hub->truth;
    struct rc_subscription *subscription = rc_truth_subscription(truth, index);
    const struct rc_group *group = rc_truth_group(truth, subscription->group);
    if (group->log == 0) {
        return false;
    }
    struct rc_channel_log *log = rc_truth_log(truth, group->log);
    const uint64_t end = rc_turn_end(hub, log);
    uint64_t position = log->served;
    if (subscription->flags & RC_SUBSCRIPTION_CURSOR) {
        position = subscription->cursor;
    }
    if (position >= end) {
        if (position == end && (subscription->flags & RC_SUBSCRIPTION_CURSOR) &&
            !(subscription->flags & RC_SUBSCRIPTION_EVERYBODY)) {
            rc_hub_clear_cursor(hub,
                                index); /* it subscribed in the middle of a turn, and the others have come so far */
        }
        return false;
    }
    *source =
        (struct turn_source){.log = log, .position = position, .end = end, .subscription = index, .kind = RC_PIECE_LOG};
    if (RC_UNLIKELY(subscription->flags & RC_SUBSCRIPTION_LATEST)) {
        rc_hub_conflate_mark(hub, subscription->group, log);
        source->kind = RC_PIECE_LATEST;
    }
    return true;
}

/* "*": membership is implicit, only who is behind has a subscription with a cursor. */
static bool turn_everybody_source(struct rc_hub *hub, uint32_t slot_index, struct turn_source *source)
{
    const struct rc_slot *slot = &hub->truth->slots[slot_index];
    if (!(slot->flags & RC_SLOT_EVERYBODY)) {
        return false;
    }
    if (slot->everybody != 0) {
        if (turn_make_source(hub, slot->everybody, source)) {
            source->subscription = 0;
            return true;
        }
        const struct rc_subscription *behind = rc_truth_subscription(hub->truth, slot->everybody);
        const struct rc_group *its = rc_truth_group(hub->truth, behind->group);
        if (its->log != 0 && behind->cursor == rc_turn_end(hub, rc_truth_log(hub->truth, its->log))) {
            rc_hub_everybody_caught_up(hub, slot_index);
        }
        return false;
    }
    const struct rc_group *group = rc_truth_group(hub->truth, hub->everybody_groups[slot->encoding]);
    if (group->log == 0) {
        return false;
    }
    const struct rc_channel_log *log = rc_truth_log(hub->truth, group->log);
    const uint64_t end = rc_turn_end(hub, log);
    if (log->served >= end) {
        return false;
    }
    *source = (struct turn_source){.log = log, .position = log->served, .end = end, .kind = RC_PIECE_LOG};
    return true;
}

/* Everything that has something for the connection, in hub->sources. */
static uint32_t turn_collect(struct rc_hub *hub, uint32_t slot_index)
{
    const struct rc_slot *slot = &hub->truth->slots[slot_index];
    const uint32_t needed = slot->subscription_count + 2u;
    if (needed > hub->sources_max) {
        struct turn_source *more = realloc(hub->sources, (size_t)needed * 2 * sizeof(*more));
        RC_ASSERT(more != NULL); /* max_channels entries of a few dozen bytes, once */
        hub->sources = more;
        hub->sources_max = needed * 2;
    }
    struct turn_source *sources = hub->sources;
    uint32_t count = 0;
    if (slot->direct_log != 0) {
        const struct rc_channel_log *log = rc_truth_log(hub->truth, slot->direct_log);
        if (log->base < log->head) {
            sources[count++] =
                (struct turn_source){.log = log, .position = log->base, .end = log->head, .kind = RC_PIECE_DIRECT};
        }
    }
    if (turn_everybody_source(hub, slot_index, &sources[count])) {
        count++;
    }
    for (uint32_t index = slot->subscriptions; index != 0; index = rc_truth_subscription(hub->truth, index)->next) {
        if (turn_make_source(hub, index, &sources[count])) {
            count++;
        }
    }
    return count;
}

static void turn_add(struct turn_packet *p, const struct turn_source *source, uint64_t from, uint64_t to)
{
    rc_io_packet_add(p->hub->io, p->packet, source->kind, rc_channel_log_at(source->log, &p->hub->truth->heap, from),
                     (uint32_t)(to - from), source->subscription, from);
}

/* One source alone: one contiguous piece, cut at a frame's end if it is too long for one send. */
static void turn_fill_one(struct turn_packet *p, struct turn_source *source)
{
    const struct rc_heap *heap = &p->hub->truth->heap;
    uint64_t to = source->end;
    uint32_t frames = p->hub->turn_single_frames;
    if (source->position != source->log->served || source->log->turn != p->hub->turn || frames == 0) {
        const uint32_t first = rc_channel_log_find(source->log, heap, source->position);
        uint32_t last = rc_channel_log_find(source->log, heap, to);
        frames = last - first;
    }
    if (to - source->position > p->packet->bytes_max) {
        const uint32_t first = rc_channel_log_find(source->log, heap, source->position);
        uint32_t last = rc_channel_log_find(source->log, heap, source->position + p->packet->bytes_max);
        last = last > first ? last : first + 1;
        to = rc_channel_log_frame_position(source->log, heap, last);
        frames = last - first;
    }
    turn_add(p, source, source->position, to);
    p->frames += frames;
    p->more |= to < source->end;
    turn_advance(p, source, to);
}

/* The packet is full: without a cursor, a source that has not had its turn would move on with everybody else. */
static void turn_keep_places(struct turn_packet *p, const struct turn_source *sources, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (sources[i].position < sources[i].end) {
            turn_advance(p, &sources[i], sources[i].position);
        }
    }
    p->more = true;
}

static bool turn_superseded(const struct turn_packet *p, const struct turn_source *source)
{
    return (rc_channel_log_frame(source->log, &p->hub->truth->heap, source->frame)->flags & RC_FRAME_SUPERSEDED) != 0;
}

/* Passes superseded frames over. False: the next one is not. */
static bool turn_pass_over(struct turn_packet *p, struct turn_source *source)
{
    const uint32_t first = source->frame;
    while (source->position < source->end && turn_superseded(p, source)) {
        source->frame++;
        source->position = rc_channel_log_frame_position(source->log, &p->hub->truth->heap, source->frame);
    }
    if (source->frame == first) {
        return false;
    }
    p->hub->conflated += source->frame - first;
    turn_advance(p, source, source->position);
    return true;
}

/* Several sources, or frames that leave somebody out: runs of frames in the order of their sequence. */
static void turn_fill_merged(struct turn_packet *p, struct turn_source *sources, uint32_t count)
{
    const struct rc_heap *heap = &p->hub->truth->heap;
    const bool excluded = (p->slot->flags & RC_SLOT_EXCLUDED) != 0;
    for (uint32_t i = 0; i < count; i++) {
        sources[i].frame = rc_channel_log_find(sources[i].log, heap, sources[i].position);
    }
    for (;;) {
        /* The source whose next frame is the oldest, and the sequence at which another one's turn comes. */
        struct turn_source *next = NULL;
        uint64_t lowest = UINT64_MAX;
        uint64_t limit = UINT64_MAX;
        for (uint32_t i = 0; i < count; i++) {
            if (sources[i].position < sources[i].end) {
                const uint64_t sequence = rc_channel_log_frame(sources[i].log, heap, sources[i].frame)->sequence;
                if (next == NULL || sequence < lowest) {
                    limit = next == NULL ? UINT64_MAX : lowest;
                    lowest = sequence;
                    next = &sources[i];
                } else if (sequence < limit) {
                    limit = sequence;
                }
            }
        }
        if (next == NULL) {
            return;
        }
        if (rc_io_packet_full(p->packet)) {
            turn_keep_places(p, sources, count);
            return;
        }
        if (RC_UNLIKELY(next->kind == RC_PIECE_LATEST) && turn_pass_over(p, next)) {
            continue;
        }
        const uint64_t from = next->position;
        uint64_t to = from;
        bool skip = false;
        while (to < next->end && (to == from || rc_channel_log_frame(next->log, heap, next->frame)->sequence < limit) &&
               (to == from || p->packet->bytes + (to - from) < p->packet->bytes_max) &&
               (next->kind != RC_PIECE_LATEST || !turn_superseded(p, next))) {
            if (excluded && (rc_channel_log_frame(next->log, heap, next->frame)->flags & RC_FRAME_EXCLUDES) &&
                rc_channel_log_excluded(next->log, heap, rc_channel_log_frame_position(next->log, heap, next->frame),
                                        p->slot_index, p->slot->generation)) {
                skip = true;
                break;
            }
            next->frame++;
            to = rc_channel_log_frame_position(next->log, heap, next->frame);
            p->frames++;
        }
        if (to > from) {
            turn_add(p, next, from, to);
        }
        if (skip) {
            next->frame++;
            to = rc_channel_log_frame_position(next->log, heap, next->frame);
        }
        next->position = to;
        turn_advance(p, next, to);
    }
}

/* The rest of the unit that is cut on the wire comes before everything else. */
static void turn_fill_cut(struct turn_packet *p)
{
    struct rc_hub *hub = p->hub;
    struct rc_slot *slot = p->slot;
    const struct rc_heap *heap = &hub->truth->heap;
    if (slot->private != 0) {
        struct rc_private *private = rc_truth_private(hub->truth, slot->private);
        if (private->cut_sent < private->cut_bytes) {
            rc_io_packet_add(hub->io, p->packet, RC_PIECE_CUT,
                             (uint8_t *)rc_heap_at(heap, private->cut_block) + private->cut_sent,
                             private->cut_bytes - private->cut_sent, 0, private->cut_sent);
            private->cut_sent = private->cut_bytes;
        }
    }
    if (slot->cut != 0) {
        struct turn_source source = {.kind = RC_PIECE_DIRECT};
        if (slot->cut == RC_CUT_DIRECT) {
            source.log = rc_truth_log(hub->truth, slot->direct_log);
            source.position = source.log->base;
        } else {
            const struct rc_subscription *subscription = rc_truth_subscription(hub->truth, slot->cut);
            source.kind = subscription->flags & RC_SUBSCRIPTION_LATEST ? RC_PIECE_LATEST : RC_PIECE_LOG;
            source.subscription = slot->cut == slot->everybody ? 0 : slot->cut;
            source.log = rc_truth_log(hub->truth, rc_truth_group(hub->truth, subscription->group)->log);
            source.position = subscription->cursor;
        }
        const uint32_t frame = rc_channel_log_find(source.log, heap, source.position);
        const uint64_t end = rc_channel_log_frame_position(source.log, heap, frame + 1);
        turn_add(p, &source, source.position, end);
        slot->cut = 0;
        turn_advance(p, &source, end);
        p->frames++;
    }
}

static void turn_fill_replies(struct turn_packet *p)
{
    struct rc_slot *slot = p->slot;
    if (slot->private == 0) {
        return;
    }
    struct rc_private *private = rc_truth_private(p->hub->truth, slot->private);
    if (private->replies_sent < private->replies_bytes) {
        rc_io_packet_add(p->hub->io, p->packet, RC_PIECE_REPLIES,
                         (uint8_t *)rc_heap_at(&p->hub->truth->heap, private->replies) + private->replies_sent,
                         private->replies_bytes - private->replies_sent, 0, private->replies_sent);
        private->replies_sent = private->replies_bytes;
    }
}

/* The close frame goes last, and nothing after it. */
static void turn_fill_close(struct turn_packet *p)
{
    struct rc_slot *slot = p->slot;
    if (!(slot->flags & RC_SLOT_CLOSE_QUEUED) || (slot->flags & RC_SLOT_CLOSE_SENT)) {
        return;
    }
    if (p->more || rc_io_packet_full(p->packet)) {
        p->more = true;
        return;
    }
    const struct rc_private *private = rc_truth_private(p->hub->truth, slot->private);
    rc_io_packet_add(p->hub->io, p->packet, RC_PIECE_CLOSE, private->close_frame + private->close_sent,
                     (uint32_t) private->close_bytes - private->close_sent, 0, private->close_sent);
    slot->flags |= RC_SLOT_CLOSE_SENT;
}

/* A blocked connection gets nothing, but must remember where it stood in the logs that move on now. */
static void turn_hold(struct rc_hub *hub, uint32_t slot_index)
{
    const struct rc_truth *truth = hub->truth;
    const struct rc_slot *slot = &truth->slots[slot_index];
    struct turn_source source;
    if (slot->everybody == 0 && turn_everybody_source(hub, slot_index, &source)) {
        turn_everybody_behind(hub, slot_index, source.position);
    }
    for (uint32_t index = slot->subscriptions; index != 0; index = rc_truth_subscription(truth, index)->next) {
        if (!(rc_truth_subscription(truth, index)->flags & RC_SUBSCRIPTION_CURSOR) &&
            turn_make_source(hub, index, &source)) {
            rc_hub_set_cursor(hub, index, source.position);
        }
    }
}

/* The close frame has left, or begun to: nothing else may. */
static bool turn_closing(const struct rc_hub *hub, const struct rc_slot *slot)
{
    return (slot->flags & RC_SLOT_CLOSE_SENT) ||
           (slot->private != 0 && rc_truth_private(hub->truth, slot->private)->close_sent > 0);
}

static void turn_commit(struct turn_packet *p)
{
    struct rc_hub *hub = p->hub;
    if (p->more) {
        rc_hub_touch(hub, p->slot_index); /* the next round */
    }
    if (p->frames > 0) {
        rc_metric_add(hub->metrics, RC_METRIC_DELIVERIES, p->frames);
        rc_metric_observe(hub->metrics, RC_HISTOGRAM_FRAMES_PER_SEND, p->frames);
    }
    rc_io_packet_commit(hub->io, p->packet);
}

/* `only` is the one subscription that can have news, or 0 when there may be several sources. */
static void turn_serve(struct rc_hub *hub, uint32_t slot_index, uint32_t only)
{
    struct rc_slot *slot = &hub->truth->slots[slot_index];
    hub->io->conns[slot_index].turn = hub->turn;
    if (rc_turn_mute(slot)) {
        return;
    }
    if (rc_io_busy(hub->io, slot_index)) {
        rc_turn_block(hub, slot); /* a TLS record is still leaving; writable comes behind it */
    }
    const bool closing = turn_closing(hub, slot);
    if (slot->flags & (RC_SLOT_BLOCKED | RC_SLOT_WAITS_JOIN)) {
        if (!closing) {
            turn_hold(hub, slot_index);
        }
        return;
    }
    struct turn_packet p = {
        .hub = hub, .slot = slot, .slot_index = slot_index, .packet = rc_io_packet_begin(hub->io, slot_index)};
    if (closing) {
        turn_fill_close(&p);
        rc_io_packet_commit(hub->io, p.packet);
        return;
    }
    if (slot->cut != 0 || slot->private != 0) {
        turn_fill_cut(&p);
        turn_fill_replies(&p);
    }
    if (only != 0 && slot->cursor_count == 0 && slot->direct_log == 0 && !(slot->flags & RC_SLOT_EXCLUDED) &&
        p.packet->count == 0) {
        struct turn_source source;
        if (turn_make_source(hub, only, &source)) {
            turn_fill_one(&p, &source);
        }
    } else {
        const uint32_t count = turn_collect(hub, slot_index);
        if (count == 1 && !(slot->flags & RC_SLOT_EXCLUDED) && hub->sources[0].kind != RC_PIECE_LATEST) {
            turn_fill_one(&p, &hub->sources[0]);
        } else if (count > 0) {
            turn_fill_merged(&p, hub->sources, count);
        }
    }
    turn_fill_close(&p);
    turn_commit(&p);
}

/* One log of a critical channel to one connection, alone: what else there is for it comes with its turn. `subscription` 0: "*". */
static void turn_serve_critical(struct rc_hub *hub, uint32_t slot_index, uint32_t subscription)
{
    struct rc_slot *slot = &hub->truth->slots[slot_index];
    struct turn_source source;
    if (rc_turn_mute(slot) || turn_closing(hub, slot)) {
        return;
    }
    if (rc_io_busy(hub->io, slot_index)) {
        rc_turn_block(hub, slot);
    }
    if (slot->flags & RC_SLOT_BLOCKED) {
        if (subscription == 0 && slot->everybody == 0 && turn_everybody_source(hub, slot_index, &source)) {
            turn_everybody_behind(hub, slot_index, source.position);
        } else if (subscription != 0 &&
                   !(rc_truth_subscription(hub->truth, subscription)->flags & RC_SUBSCRIPTION_CURSOR) &&
                   turn_make_source(hub, subscription, &source)) {
            rc_hub_set_cursor(hub, subscription, source.position);
        }
        return;
    }
    struct turn_packet p = {
        .hub = hub, .slot = slot, .slot_index = slot_index, .packet = rc_io_packet_begin(hub->io, slot_index)};
    turn_fill_cut(&p);
    turn_fill_replies(&p); /* `subscribed` goes before what it promises */
    const bool news = subscription == 0 ? turn_everybody_source(hub, slot_index, &source)
                                        : turn_make_source(hub, subscription, &source);
    if (news && source.kind == RC_PIECE_LOG && !(slot->flags & RC_SLOT_EXCLUDED)) {
        turn_fill_one(&p, &source);
    } else if (news) {
        turn_fill_merged(&p, &source, 1);
    }
    turn_commit(&p);
}

/* Sends the batch, settles it, and lets the rest of the worker live between two rounds. */
static void turn_flush(struct rc_hub *hub)
{
    const uint32_t count = hub->io->packet_count;
    rc_io_flush(hub->io);
    if (hub->conflated > 0) {
        rc_metric_add(hub->metrics, RC_METRIC_SLOW_CONFLATED, hub->conflated);
        rc_metric_add(hub->metrics, RC_METRIC_FAILED_DELIVERIES, hub->conflated);
        hub->conflated = 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct rc_packet *packet = &hub->io->packets[i];
        struct rc_slot *slot = &hub->truth->slots[packet->slot];
        if (slot->generation != packet->generation || rc_turn_mute(slot)) {
            continue;
        }
        if (slot->direct_log != 0 &&
            rc_truth_log(hub->truth, slot->direct_log)->base == rc_truth_log(hub->truth, slot->direct_log)->head) {
            rc_hub_log_free(hub, &slot->direct_log);
        }
        if (slot->flags & RC_SLOT_WAITS_REPLIES) {
            hub->handlers.replies_drained(hub->handlers.context, packet->slot);
        }
        if (slot->private != 0 && rc_io_busy(hub->io, packet->slot)) {
            rc_turn_block(hub, slot); /* its last TLS record is still leaving; writable settles it */
            continue;
        }
        rc_hub_private_settle(hub, packet->slot);
    }
    hub->handlers.round(hub->handlers.context);
}

/* Everybody who hears a critical group. A connection stands in it once: no mark is needed that it was served. */
static void turn_serve_critical_group(struct rc_hub *hub, uint32_t group_index)
{
    const struct rc_truth *truth = hub->truth;
    const struct rc_group *group = rc_truth_group(truth, group_index);
    struct rc_members *members = &hub->members[group_index];
    const bool everybody = group->channel == hub->everybody;
    const uint8_t encoding = group->encoding;
    for (uint32_t i = everybody ? hub->slots_high : members->count; i-- > 0;) {
        if (rc_io_batch_full(hub->io)) {
            turn_flush(hub);
        }
        if (everybody) {
            if ((truth->slots[i].flags & RC_SLOT_EVERYBODY) && truth->slots[i].encoding == encoding) {
                turn_serve_critical(hub, i, 0);
            }
        } else if (i < members->count) {
            const uint32_t index = rc_members_items(members)[i];
            turn_serve_critical(hub, rc_truth_subscription(truth, index)->slot, index);
        }
    }
    if (hub->io->packet_count > 0) {
        turn_flush(hub);
    }
}

/* The first `count` messages of `times` have been sent. */
static void turn_observe(struct rc_hub *hub, struct rc_hub_times *times, uint32_t count)
{
    const uint64_t now_ns = count > 0 ? rc_clock_ns() : 0;
    for (uint32_t i = 0; i < count; i++) {
        rc_metric_observe(hub->metrics, RC_HISTOGRAM_PUBLISH_TO_SEND,
                          now_ns > times->ns[i] ? now_ns - times->ns[i] : 0);
    }
    times->count -= count;
    memmove(times->ns, times->ns + count, times->count * sizeof(times->ns[0]));
}

/*
 * Critical channels that have news, at the beginning of a turn and between its rounds: each is served to its end, alone, so that
 * nobody stands in the middle of its log when the turn goes on. What comes meanwhile waits for the next round.
 */
static void turn_critical(struct rc_hub *hub)
{
    const struct rc_truth *truth = hub->truth;
    if (hub->dirty_critical.count == 0) {
        return;
    }
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
            log->turn = hub->turn;
            log->target = log->head;
            turn_serve_critical_group(hub, index);
            if (group->log != 0 && rc_truth_log(truth, group->log)->turn == hub->turn) {
                log = rc_truth_log(truth, group->log);
                log->served = log->target;
                log->turn = 0;
                rc_hub_log_release(hub, index);
            }
        }
    }
    hub->turn_critical.count = 0;
    hub->turn_single_frames = single_frames;
    turn_observe(hub, &hub->critical_times, times);
}

/* The end of a round: what is critical and came meanwhile goes before the rest. */
static void turn_round(struct rc_hub *hub)
{
    turn_flush(hub);
    turn_critical(hub);
}

static void turn_serve_full(struct rc_hub *hub, uint32_t slot_index)
{
    if (rc_io_batch_full(hub->io)) {
        turn_round(hub);
    }
    turn_serve(hub, slot_index, 0);
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
        const uint32_t slot = rc_truth_subscription(truth, index)->slot;
        if (hub->io->conns[slot].turn != hub->turn) {
            turn_serve(hub, slot, alone ? index : 0);
        }
    }
}

static void turn_serve_everybody(struct rc_hub *hub, uint8_t encoding)
{
    struct rc_truth *truth = hub->truth;
    for (uint32_t slot = hub->slots_high; slot-- > 0;) {
        if ((truth->slots[slot].flags & RC_SLOT_EVERYBODY) && truth->slots[slot].encoding == encoding &&
            hub->io->conns[slot].turn != hub->turn) {
            turn_serve_full(hub, slot);
        }
    }
}

static void turn_begin(struct rc_hub *hub)
{
    struct rc_truth *truth = hub->truth;
    hub->turn = hub->turn == UINT32_MAX ? 1 : hub->turn + 1;
    hub->in_turn = true;
    const struct rc_index_list groups = hub->turn_groups;
    hub->turn_groups = hub->dirty_groups;
    hub->dirty_groups = groups;
    hub->dirty_groups.count = 0;
    const struct rc_index_list slots = hub->turn_slots;
    hub->turn_slots = hub->dirty_slots;
    hub->dirty_slots = slots;
    hub->dirty_slots.count = 0;
    hub->turn_single_frames = 0;
    for (uint32_t i = 0; i < hub->turn_groups.count; i++) {
        const struct rc_group *group = rc_truth_group(truth, hub->turn_groups.items[i]);
        if (group->log != 0) {
            struct rc_channel_log *log = rc_truth_log(truth, group->log);
            log->turn = hub->turn;
            log->target = log->head;
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
}

/* Before anything is queued that may point into what goes with them. */
static void turn_end_broken(struct rc_hub *hub)
{
    while (hub->broken.count > 0) {
        const uint32_t slot_index = hub->broken.items[--hub->broken.count];
        struct rc_slot *slot = &hub->truth->slots[slot_index];
        if (slot->flags & RC_SLOT_BROKEN) {
            slot->flags &= ~(uint32_t)RC_SLOT_BROKEN;
            if (!rc_turn_mute(slot)) {
                rc_io_terminate(hub->io, slot_index);
            }
        }
    }
}

void rc_hub_turn(struct rc_hub *hub)
{
    const uint64_t began_ns = rc_clock_ns();
    struct rc_truth *truth = hub->truth;
    turn_end_broken(hub);
    turn_begin(hub);
    turn_critical(hub);
    for (uint32_t i = 0; i < hub->turn_slots.count; i++) {
        const uint32_t slot = hub->turn_slots.items[i];
        truth->slots[slot].flags &= ~(uint32_t)RC_SLOT_DIRTY;
        if (hub->io->conns[slot].turn != hub->turn) {
            turn_serve_full(hub, slot);
        }
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
    rc_metric_add(hub->metrics, RC_METRIC_TURNS, 1);
    rc_metric_observe(hub->metrics, RC_HISTOGRAM_TURN, rc_clock_ns() - began_ns);
}
