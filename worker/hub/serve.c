/*
 * serve: what one connection gets in its turn.
 *
 * In one send: the rest of a cut unit, its replies, then [position, target) of all its logs merged in the order in which the
 * hub took them, then its close frame. Where a log ends was settled when the turn began, so that nothing of it overtakes what came
 * between into another one. Positions are moved on when the send is queued and put right when it turns out short (settle.c).
 */
#include "worker/hub/turn.h"

#include <stdlib.h>

#include "common/base/check.h"

/* A log that has something for the connection being served. */
struct serve_source {
    const struct rc_channel_log *log;
    uint64_t position;
    uint64_t end;
    uint32_t frame;        /* of `position` */
    uint32_t subscription; /* 0 = "*" without a cursor, or the direct log */
    enum rc_piece_kind kind;
};

/* One connection's packet while it is put together. */
struct serve_packet {
    struct rc_hub *hub;
    struct rc_slot *slot;
    uint32_t slot_index;
    struct rc_packet *packet;
    uint32_t frames;
    bool more; /* not everything fitted */
};

/* Whose place cannot be remembered would lose messages without a word: the connection ends instead. */
static void serve_everybody_behind(struct rc_hub *hub, uint32_t slot_index, uint64_t position)
{
    if (rc_hub_everybody_behind(hub, slot_index, position) < 0) {
        rc_hub_break(hub, slot_index);
    }
}

/* Moves a position on in what the truth remembers. */
static void serve_advance(struct serve_packet *p, const struct serve_source *source, uint64_t position)
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
            serve_everybody_behind(hub, p->slot_index, position);
        }
    } else if (caught_up) {
        rc_hub_clear_cursor(hub, source->subscription);
    } else {
        rc_hub_set_cursor(hub, source->subscription, position);
    }
}

static bool serve_make_source(struct rc_hub *hub, uint32_t index, struct serve_source *source)
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
    *source = (struct serve_source){
        .log = log, .position = position, .end = end, .subscription = index, .kind = RC_PIECE_LOG};
    if (RC_UNLIKELY(subscription->flags & RC_SUBSCRIPTION_LATEST)) {
        rc_hub_conflate_mark(hub, subscription->group, log);
        source->kind = RC_PIECE_LATEST;
    }
    return true;
}

/* "*": membership is implicit, only who is behind has a subscription with a cursor. */
static bool serve_everybody_source(struct rc_hub *hub, uint32_t slot_index, struct serve_source *source)
{
    const struct rc_slot *slot = &hub->truth->slots[slot_index];
    if (!(slot->flags & RC_SLOT_EVERYBODY)) {
        return false;
    }
    if (slot->everybody != 0) {
        if (serve_make_source(hub, slot->everybody, source)) {
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
    *source = (struct serve_source){.log = log, .position = log->served, .end = end, .kind = RC_PIECE_LOG};
    return true;
}

/* What a subscription (0: "*") has for the connection. `held`: only if its place is not remembered already. Inline, since it is on
 * the way of every delivery. */
static inline __attribute__((always_inline)) bool serve_source_of(struct rc_hub *hub, uint32_t slot_index,
                                                                  uint32_t index, bool held,
                                                                  struct serve_source *source)
{
    if (index == 0) {
        return !(held && hub->truth->slots[slot_index].everybody != 0) &&
               serve_everybody_source(hub, slot_index, source);
    }
    return !(held && (rc_truth_subscription(hub->truth, index)->flags & RC_SUBSCRIPTION_CURSOR)) &&
           serve_make_source(hub, index, source);
}

/* Everything that has something for the connection, in hub->sources. `held`: only what would move on without it. */
static uint32_t serve_collect(struct serve_packet *p, bool held)
{
    struct rc_hub *hub = p->hub;
    const struct rc_slot *slot = p->slot;
    const uint32_t slot_index = p->slot_index;
    const uint32_t needed = slot->subscription_count + 2u;
    if (needed > hub->sources_max) {
        struct serve_source *more = realloc(hub->sources, (size_t)needed * 2 * sizeof(*more));
        RC_ASSERT(more != NULL); /* max_channels entries of a few dozen bytes, once */
        hub->sources = more;
        hub->sources_max = needed * 2;
    }
    struct serve_source *sources = hub->sources;
    uint32_t count = 0;
    if (slot->direct_log != 0 && !held) {
        const struct rc_channel_log *log = rc_truth_log(hub->truth, slot->direct_log);
        const uint64_t end = rc_turn_end(hub, log);
        if (log->base < end) {
            sources[count++] =
                (struct serve_source){.log = log, .position = log->base, .end = end, .kind = RC_PIECE_DIRECT};
        }
        p->more |= end < log->head; /* came while the turn was under way */
    }
    if (serve_source_of(hub, slot_index, 0, held, &sources[count])) {
        count++;
    }
    for (uint32_t index = slot->subscriptions; index != 0; index = rc_truth_subscription(hub->truth, index)->next) {
        if (serve_source_of(hub, slot_index, index, held, &sources[count])) {
            count++;
        }
    }
    return count;
}

static void serve_add(struct serve_packet *p, const struct serve_source *source, uint64_t from, uint64_t to)
{
    rc_io_packet_add(p->hub->io, p->packet, source->kind, rc_channel_log_at(source->log, &p->hub->truth->heap, from),
                     (uint32_t)(to - from), source->subscription, from);
}

/* One source alone: one contiguous piece, cut at a frame's end if it is too long for one send. */
static void serve_fill_one(struct serve_packet *p, struct serve_source *source)
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
    serve_add(p, source, source->position, to);
    p->frames += frames;
    p->more |= to < source->end;
    serve_advance(p, source, to);
}

/* Without a cursor, a source that does not get its turn would move on with everybody else. */
static void serve_keep_places(struct serve_packet *p, const struct serve_source *sources, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (sources[i].position < sources[i].end) {
            serve_advance(p, &sources[i], sources[i].position);
        }
    }
    p->more = true;
}

static bool serve_superseded(const struct serve_packet *p, const struct serve_source *source)
{
    return (rc_channel_log_frame(source->log, &p->hub->truth->heap, source->frame)->flags & RC_FRAME_SUPERSEDED) != 0;
}

/* Passes superseded frames over. False: the next one is not. */
static bool serve_pass_over(struct serve_packet *p, struct serve_source *source)
{
    const uint32_t first = source->frame;
    while (source->position < source->end && serve_superseded(p, source)) {
        source->frame++;
        source->position = rc_channel_log_frame_position(source->log, &p->hub->truth->heap, source->frame);
    }
    if (source->frame == first) {
        return false;
    }
    p->hub->conflated += source->frame - first;
    serve_advance(p, source, source->position);
    return true;
}

/* Several sources, or frames that leave somebody out: runs of frames in the order in which they were taken. */
static void serve_fill_merged(struct serve_packet *p, struct serve_source *sources, uint32_t count)
{
    const struct rc_heap *heap = &p->hub->truth->heap;
    const bool excluded = (p->slot->flags & RC_SLOT_EXCLUDED) != 0;
    for (uint32_t i = 0; i < count; i++) {
        sources[i].frame = rc_channel_log_find(sources[i].log, heap, sources[i].position);
    }
    for (;;) {
        /* The source whose next frame is the oldest, and the number at which another one's turn comes. */
        struct serve_source *next = NULL;
        uint64_t lowest = UINT64_MAX;
        uint64_t limit = UINT64_MAX;
        for (uint32_t i = 0; i < count; i++) {
            if (sources[i].position < sources[i].end) {
                const uint64_t order = rc_channel_log_frame(sources[i].log, heap, sources[i].frame)->order;
                if (next == NULL || order < lowest) {
                    limit = next == NULL ? UINT64_MAX : lowest;
                    lowest = order;
                    next = &sources[i];
                } else if (order < limit) {
                    limit = order;
                }
            }
        }
        if (next == NULL) {
            return;
        }
        if (rc_io_packet_full(p->packet)) {
            serve_keep_places(p, sources, count);
            return;
        }
        if (RC_UNLIKELY(next->kind == RC_PIECE_LATEST) && serve_pass_over(p, next)) {
            continue;
        }
        const uint64_t from = next->position;
        uint64_t to = from;
        bool skip = false;
        while (to < next->end && (to == from || rc_channel_log_frame(next->log, heap, next->frame)->order < limit) &&
               (to == from || p->packet->bytes + (to - from) < p->packet->bytes_max) &&
               (next->kind != RC_PIECE_LATEST || !serve_superseded(p, next))) {
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
            serve_add(p, next, from, to);
        }
        if (skip) {
            next->frame++;
            to = rc_channel_log_frame_position(next->log, heap, next->frame);
        }
        next->position = to;
        serve_advance(p, next, to);
    }
}

/* The rest of the unit that is cut on the wire comes before everything else. */
static void serve_fill_cut(struct serve_packet *p)
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
        struct serve_source source = {.kind = RC_PIECE_DIRECT};
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
        serve_add(p, &source, source.position, end);
        slot->cut = 0;
        serve_advance(p, &source, end);
        p->frames++;
    }
}

static void serve_fill_replies(struct serve_packet *p)
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
static void serve_fill_close(struct serve_packet *p)
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

/* The close frame has left, or begun to: nothing else may. */
static bool serve_closing(const struct rc_hub *hub, const struct rc_slot *slot)
{
    return (slot->flags & RC_SLOT_CLOSE_SENT) ||
           (slot->private != 0 && rc_truth_private(hub->truth, slot->private)->close_sent > 0);
}

static void serve_commit(struct serve_packet *p)
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

/* A connection that is caught up everywhere has passed what it was excluded from once a turn that began later is over: in the second
 * one after. The third makes up for the number that the count of turns leaves out when it starts again. */
static void serve_forget_exclusions(const struct rc_hub *hub, struct rc_slot *slot)
{
    if (slot->cursor_count == 0 && hub->turn - slot->excluded_turn >= 3) {
        slot->flags &= ~(uint32_t)RC_SLOT_EXCLUDED;
    }
}

/* Is only the log of `only` to be looked at? */
static inline bool serve_narrow(const struct rc_slot *slot, enum rc_turn_scope scope)
{
    return scope == RC_TURN_CRITICAL || (scope == RC_TURN_ALONE && slot->cursor_count == 0 && slot->direct_log == 0);
}

/* Nothing may be sent, but the connection must remember where it stood in the logs that move on now. */
static __attribute__((noinline)) void serve_hold(struct serve_packet *p, enum rc_turn_scope scope, uint32_t only)
{
    if (serve_narrow(p->slot, scope)) {
        struct serve_source source;
        if (serve_source_of(p->hub, p->slot_index, only, true, &source)) {
            serve_keep_places(p, &source, 1);
        }
    } else {
        const uint32_t count = serve_collect(p, true);
        serve_keep_places(p, p->hub->sources, count);
    }
}

/* Inline, as above. */
static inline __attribute__((always_inline)) void serve_fill(struct serve_packet *p, struct serve_source *sources,
                                                             uint32_t count)
{
    if (count == 1 && !(p->slot->flags & RC_SLOT_EXCLUDED) && sources->kind != RC_PIECE_LATEST) {
        serve_fill_one(p, sources);
    } else if (count > 0) {
        serve_fill_merged(p, sources, count);
    }
}

void rc_turn_serve(struct rc_hub *hub, uint32_t slot_index, enum rc_turn_scope scope, uint32_t only)
{
    struct rc_slot *slot = &hub->truth->slots[slot_index];
    struct serve_packet p = {.hub = hub, .slot = slot, .slot_index = slot_index};
    if (scope != RC_TURN_CRITICAL) {
        hub->io->conns[slot_index].turn = hub->turn;
    }
    if (rc_turn_mute(slot)) {
        return;
    }
    if (rc_io_busy(hub->io, slot_index)) {
        rc_turn_block(hub, slot); /* a TLS record is still leaving; writable comes behind it */
    }
    const bool closing = serve_closing(hub, slot);
    if (slot->flags & (RC_SLOT_BLOCKED | RC_SLOT_WAITS_JOIN)) {
        if (!closing) {
            serve_hold(&p, scope, only);
        }
        return;
    }
    p.packet = rc_io_packet_begin(hub->io, slot_index);
    if (closing) {
        serve_fill_close(&p);
        rc_io_packet_commit(hub->io, p.packet);
        return;
    }
    if (slot->cut != 0 || slot->private != 0) {
        serve_fill_cut(&p);
        serve_fill_replies(&p); /* `subscribed` goes before what it promises */
    }
    if (RC_UNLIKELY(slot->flags & RC_SLOT_EXCLUDED)) {
        serve_forget_exclusions(hub, slot);
    }
    if (serve_narrow(slot, scope)) {
        struct serve_source source;
        if (serve_source_of(hub, slot_index, only, false, &source)) {
            serve_fill(&p, &source, 1);
        }
    } else {
        const uint32_t count = serve_collect(&p, false);
        serve_fill(&p, hub->sources, count);
    }
    if (scope != RC_TURN_CRITICAL) {
        serve_fill_close(&p); /* after everything else, which only its turn brings */
    }
    serve_commit(&p);
}
