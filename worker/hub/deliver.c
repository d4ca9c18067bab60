/*
 * deliver: what one client gets in its turn.
 *
 * In one send: the rest of a cut unit, its replies, then [position, target) of all its logs merged in the order in which the
 * hub took them, then its close frame. Where a log ends was settled when the turn began, so that nothing of it overtakes what came
 * between into another one. Positions are moved on when the send is queued and put right when it turns out short (settle.c).
 */
#include "worker/hub/turn.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

/* A log that has something for the connection being served. */
struct deliver_source {
    const struct rc_channel_log *log;
    uint64_t position;
    uint64_t end;
    uint64_t missed;       /* volatile frames before it came when the client could take nothing */
    uint32_t frame;        /* of `position` */
    uint32_t subscription; /* 0 = "*" without a cursor, or the direct log */
    enum rc_piece_kind kind;
    uint8_t took; /* its place in what is taken (rc_truth_took), and 1; 0 = it has none */
};
_Static_assert(RC_TOOK_MAX <= UINT8_MAX, "counted in a byte");

/* One connection's packet while it is put together. */
struct deliver_packet {
    struct rc_hub *hub;
    struct rc_client *client;
    uint32_t client_index;
    struct rc_packet *packet;
    struct rc_hub_taken *taken; /* where the bytes go in place of a send; NULL = into the packet */
    uint32_t frames;
    bool more; /* not everything fitted */
};

/* Whose place cannot be remembered would lose messages without a word: the connection ends instead. */
static void deliver_everybody_behind(struct rc_hub *hub, uint32_t client_index, uint64_t position)
{
    if (rc_hub_everybody_behind(hub, client_index, position) < 0) {
        rc_hub_break(hub, client_index);
    }
}

static void deliver_stand(struct rc_hub *hub, uint32_t client_index, const struct rc_channel_log *log,
                          uint32_t subscription, uint64_t position)
{
    const bool caught_up = position == rc_turn_end(hub, log);
    if (subscription == 0) {
        if (caught_up) {
            rc_hub_everybody_caught_up(hub, client_index);
        } else {
            deliver_everybody_behind(hub, client_index, position);
        }
    } else if (caught_up) {
        rc_hub_clear_cursor(hub, subscription);
    } else {
        rc_hub_set_cursor(hub, subscription, position);
    }
}

/* Where it stands when it has got what is taken: nothing in the truth moves before. */
static __attribute__((noinline)) void deliver_note(struct rc_hub *hub, struct deliver_source *source, uint64_t position)
{
    struct rc_truth_took *took = &hub->truth->layout->took;
    uint32_t place = source->took;
    if (place == 0) {
        RC_ASSERT(took->count < RC_TOOK_MAX); /* deliver_took_full */
        place = ++took->count;
        source->took = (uint8_t)place;
    }
    took->places[place - 1] =
        (struct rc_truth_took_place){.position = position, .subscription = source->subscription, .kind = source->kind};
}

/* Moves a position on in what the truth remembers. */
static void deliver_advance(struct deliver_packet *p, struct deliver_source *source, uint64_t position)
{
    struct rc_hub *hub = p->hub;
    if (RC_UNLIKELY(p->taken != NULL)) {
        deliver_note(hub, source, position);
    } else if (source->kind == RC_PIECE_DIRECT) {
        rc_truth_log(hub->truth, p->client->direct_log)->base = position;
    } else {
        deliver_stand(hub, p->client_index, source->log, source->subscription, position);
    }
}

/* There is more for it than it is given. */
static void deliver_late(const struct deliver_packet *p)
{
    if (p->taken != NULL) {
        p->hub->truth->layout->took.late = 1;
    } else {
        p->client->flags |= RC_CLIENT_LATE;
    }
}

static bool deliver_make_source(struct rc_hub *hub, uint32_t index, struct deliver_source *source)
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
        /* It subscribed in the middle of a turn, and the others have come so far. It stands there without a cursor only when it has the
         * turn's mark: before, that would say that it was not served yet. */
        hub->caught_up |= position == end && (subscription->flags & RC_SUBSCRIPTION_CURSOR);
        return false;
    }
    *source = (struct deliver_source){
        .log = log, .position = position, .end = end, .subscription = index, .kind = RC_PIECE_LOG};
    if (RC_UNLIKELY(log->has_volatile && position < log->served) &&
        (rc_truth_client(truth, subscription->client)->flags & RC_CLIENT_LATE)) {
        source->missed = log->served;
    }
    if (RC_UNLIKELY(subscription->flags & RC_SUBSCRIPTION_LATEST)) {
        rc_hub_conflate_mark(hub, subscription->group, log);
        source->kind = RC_PIECE_LATEST;
    }
    return true;
}

/* "*": membership is implicit, only who is behind has a subscription with a cursor. */
static bool deliver_everybody_source(struct rc_hub *hub, uint32_t client_index, struct deliver_source *source)
{
    const struct rc_client *client = rc_truth_client(hub->truth, client_index);
    if (!(client->flags & RC_CLIENT_EVERYBODY)) {
        return false;
    }
    if (client->everybody != 0) {
        if (deliver_make_source(hub, client->everybody, source)) {
            source->subscription = 0;
            return true;
        }
        return false;
    }
    const struct rc_group *group = rc_truth_group(hub->truth, hub->everybody_groups[client->encoding]);
    if (group->log == 0) {
        return false;
    }
    const struct rc_channel_log *log = rc_truth_log(hub->truth, group->log);
    const uint64_t end = rc_turn_end(hub, log);
    if (log->served >= end) {
        return false;
    }
    *source = (struct deliver_source){.log = log, .position = log->served, .end = end, .kind = RC_PIECE_LOG};
    return true;
}

/* What a subscription (0: "*") has for the connection. `held`: only if its place is not remembered already. Inline, since it is on
 * the way of every delivery. */
static inline __attribute__((always_inline)) bool deliver_source_of(struct rc_hub *hub, uint32_t client_index,
                                                                    uint32_t index, bool held,
                                                                    struct deliver_source *source)
{
    if (index == 0) {
        return !(held && rc_truth_client(hub->truth, client_index)->everybody != 0) &&
               deliver_everybody_source(hub, client_index, source);
    }
    return !(held && (rc_truth_subscription(hub->truth, index)->flags & RC_SUBSCRIPTION_CURSOR)) &&
           deliver_make_source(hub, index, source);
}

/* Everything that has something for the connection, in hub->sources. `held`: only what would move on without it. */
static uint32_t deliver_collect(struct deliver_packet *p, bool held)
{
    struct rc_hub *hub = p->hub;
    const struct rc_client *client = p->client;
    const uint32_t client_index = p->client_index;
    const uint32_t needed = client->subscription_count + 2u;
    if (needed > hub->sources_max) {
        struct deliver_source *more = realloc(hub->sources, (size_t)needed * 2 * sizeof(*more));
        RC_ASSERT(more != NULL); /* max_channels entries of a few dozen bytes, once */
        hub->sources = more;
        hub->sources_max = needed * 2;
    }
    struct deliver_source *sources = hub->sources;
    uint32_t count = 0;
    if (client->direct_log != 0 && !held) {
        const struct rc_channel_log *log = rc_truth_log(hub->truth, client->direct_log);
        const uint64_t end = rc_turn_end(hub, log);
        if (log->base < end) {
            sources[count++] =
                (struct deliver_source){.log = log, .position = log->base, .end = end, .kind = RC_PIECE_DIRECT};
        }
        p->more |= end < log->head; /* came while the turn was under way */
    }
    if (deliver_source_of(hub, client_index, 0, held, &sources[count])) {
        count++;
    }
    for (uint32_t index = client->subscriptions; index != 0; index = rc_truth_subscription(hub->truth, index)->next) {
        if (deliver_source_of(hub, client_index, index, held, &sources[count])) {
            count++;
        }
    }
    return count;
}

/* Copies a piece out: it is nobody's to put back. */
static __attribute__((noinline)) void deliver_take(const struct deliver_packet *p, const uint8_t *bytes, uint32_t count)
{
    struct rc_hub_taken *taken = p->taken;
    if (taken->count + count > taken->capacity) {
        size_t capacity = taken->capacity == 0 ? RC_HUB_OUTPUT_MIN : taken->capacity;
        while (capacity < taken->count + count) {
            capacity *= 2;
        }
        uint8_t *larger = realloc(taken->bytes, capacity);
        RC_ASSERT(larger != NULL); /* one buffer of a worker, of two sends at most */
        taken->bytes = larger;
        taken->capacity = capacity;
    }
    memcpy(taken->bytes + taken->count, bytes, count);
    taken->count += count;
    p->packet->bytes += count;
}

static inline void deliver_piece(const struct deliver_packet *p, enum rc_piece_kind kind, const uint8_t *bytes,
                                 uint32_t count, uint32_t source, uint64_t position)
{
    if (RC_UNLIKELY(p->taken != NULL)) {
        deliver_take(p, bytes, count);
    } else {
        rc_io_packet_add(p->hub->io, p->packet, kind, bytes, count, source, position);
    }
}

static void deliver_add(struct deliver_packet *p, const struct deliver_source *source, uint64_t from, uint64_t to)
{
    deliver_piece(p, source->kind, rc_channel_log_at(source->log, &p->hub->truth->heap, from), (uint32_t)(to - from),
                  source->subscription, from);
}

/* One source alone: one contiguous piece, cut at a frame's end if it is too long for one send. */
static void deliver_fill_one(struct deliver_packet *p, struct deliver_source *source)
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
    deliver_add(p, source, source->position, to);
    p->frames += frames;
    if (to < source->end) {
        p->more = true;
        deliver_late(p);
    }
    deliver_advance(p, source, to);
}

/* Without a cursor, a source that does not get its turn would move on with everybody else. Whoever takes does so between two turns: there all that
 * have something have one. */
static void deliver_keep_places(struct deliver_packet *p, struct deliver_source *sources, uint32_t count)
{
    for (uint32_t i = 0; i < count && p->taken == NULL; i++) {
        if (sources[i].position < sources[i].end) {
            deliver_advance(p, &sources[i], sources[i].position);
        }
    }
    p->more = true;
}

static bool deliver_superseded(const struct deliver_packet *p, const struct deliver_source *source)
{
    return source->kind == RC_PIECE_LATEST &&
           (rc_channel_log_frame(source->log, &p->hub->truth->heap, source->frame)->flags & RC_FRAME_SUPERSEDED) != 0;
}

static bool deliver_missed(const struct deliver_packet *p, const struct deliver_source *source)
{
    const struct rc_heap *heap = &p->hub->truth->heap;
    return source->missed > 0 && rc_channel_log_frame_position(source->log, heap, source->frame) < source->missed &&
           rc_turn_misses(source->log, heap, source->frame, p->client);
}

/* Has the source frames that are not for this client, beside those that exclude it? */
static inline bool deliver_sieves(const struct deliver_source *source)
{
    return source->kind == RC_PIECE_LATEST || source->missed > 0;
}

/* Passes over what is superseded, or was missed. False: the next one is neither. */
static bool deliver_pass_over(struct deliver_packet *p, struct deliver_source *source)
{
    const uint32_t first = source->frame;
    while (source->position < source->end) {
        if (deliver_superseded(p, source)) {
            p->hub->conflated++;
        } else if (deliver_missed(p, source)) {
            p->hub->missed++;
        } else {
            break;
        }
        source->frame++;
        source->position = rc_channel_log_frame_position(source->log, &p->hub->truth->heap, source->frame);
    }
    if (source->frame == first) {
        return false;
    }
    deliver_advance(p, source, source->position);
    return true;
}

/* As deliver_keep_places, of a client that can be given nothing now: what is volatile it misses, so that a stream of that alone keeps no log. */
static void deliver_hold_places(struct deliver_packet *p, struct deliver_source *sources, uint32_t count)
{
    struct rc_hub *hub = p->hub;
    const struct rc_heap *heap = &hub->truth->heap;
    const uint64_t before = hub->missed;
    for (uint32_t i = 0; i < count; i++) {
        struct deliver_source *source = &sources[i];
        if (RC_UNLIKELY(source->log->has_volatile)) {
            source->frame = rc_channel_log_find(source->log, heap, source->position);
            source->missed = source->end;
            (void)deliver_pass_over(p, source);
        }
        if (source->position < source->end) {
            p->client->flags |= RC_CLIENT_LATE;
        }
    }
    if (hub->missed > before) { /* nothing of it is put back, and there may be no batch to count it */
        rc_metric_add(hub->metrics, RC_METRIC_VOLATILE_DROPPED, hub->missed - before);
        rc_metric_add(hub->metrics, RC_METRIC_FAILED_DELIVERIES, hub->missed - before);
        hub->missed = before;
    }
    deliver_keep_places(p, sources, count);
}

/* What is taken at once is of so many logs: the rest is for the next time. */
static bool deliver_took_full(const struct deliver_packet *p, const struct deliver_source *source)
{
    return p->taken != NULL && source->took == 0 && p->hub->truth->layout->took.count == RC_TOOK_MAX;
}

/* Several sources, or frames that leave somebody out: runs of frames in the order in which they were taken. */
static void deliver_fill_merged(struct deliver_packet *p, struct deliver_source *sources, uint32_t count)
{
    const struct rc_heap *heap = &p->hub->truth->heap;
    const bool excluded = (p->client->flags & RC_CLIENT_EXCLUDED) != 0;
    for (uint32_t i = 0; i < count; i++) {
        sources[i].frame = rc_channel_log_find(sources[i].log, heap, sources[i].position);
    }
    for (;;) {
        /* The source whose next frame is the oldest, and the number at which another one's turn comes. */
        struct deliver_source *next = NULL;
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
        if (rc_io_packet_full(p->packet) || deliver_took_full(p, next)) {
            deliver_keep_places(p, sources, count);
            if (p->client->cursor_count > 0) { /* direct messages have no cursor */
                deliver_late(p);
            }
            return;
        }
        const bool sieves = RC_UNLIKELY(deliver_sieves(next));
        if (sieves && deliver_pass_over(p, next)) {
            continue;
        }
        const uint64_t from = next->position;
        uint64_t to = from;
        bool skip = false;
        while (to < next->end && (to == from || rc_channel_log_frame(next->log, heap, next->frame)->order < limit) &&
               (to == from || p->packet->bytes + (to - from) < p->packet->bytes_max) &&
               (!sieves || (!deliver_superseded(p, next) && !deliver_missed(p, next)))) {
            if (excluded && (rc_channel_log_frame(next->log, heap, next->frame)->flags & RC_FRAME_EXCLUDES) &&
                rc_channel_log_excluded(next->log, heap, rc_channel_log_frame_position(next->log, heap, next->frame),
                                        p->client->random)) {
                skip = true;
                break;
            }
            next->frame++;
            to = rc_channel_log_frame_position(next->log, heap, next->frame);
            p->frames++;
        }
        if (to > from) {
            deliver_add(p, next, from, to);
        }
        if (skip) {
            next->frame++;
            to = rc_channel_log_frame_position(next->log, heap, next->frame);
        }
        next->position = to;
        deliver_advance(p, next, to);
    }
}

/* The rest of the unit that is cut on the wire comes before everything else. */
static void deliver_fill_cut(struct deliver_packet *p)
{
    struct rc_hub *hub = p->hub;
    struct rc_client *client = p->client;
    const struct rc_heap *heap = &hub->truth->heap;
    if (client->output != 0) {
        struct rc_output *output = rc_truth_output(hub->truth, client->output);
        if (output->cut_sent < output->cut_bytes) {
            deliver_piece(p, RC_PIECE_CUT, (uint8_t *)rc_heap_at(heap, output->cut_block) + output->cut_sent,
                          output->cut_bytes - output->cut_sent, 0, output->cut_sent);
            *(p->taken != NULL ? &hub->truth->layout->took.cut_sent : &output->cut_sent) = output->cut_bytes;
        }
    }
    if (client->cut != 0) {
        struct deliver_source source = {.kind = RC_PIECE_DIRECT};
        if (client->cut == RC_CUT_DIRECT) {
            source.log = rc_truth_log(hub->truth, client->direct_log);
            source.position = source.log->base;
        } else {
            const struct rc_subscription *subscription = rc_truth_subscription(hub->truth, client->cut);
            source.kind = subscription->flags & RC_SUBSCRIPTION_LATEST ? RC_PIECE_LATEST : RC_PIECE_LOG;
            source.subscription = client->cut == client->everybody ? 0 : client->cut;
            source.log = rc_truth_log(hub->truth, rc_truth_group(hub->truth, subscription->group)->log);
            source.position = subscription->cursor;
        }
        const uint32_t frame = rc_channel_log_find(source.log, heap, source.position);
        const uint64_t end = rc_channel_log_frame_position(source.log, heap, frame + 1);
        deliver_add(p, &source, source.position, end);
        client->cut = 0;
        deliver_advance(p, &source, end);
        p->frames++;
    }
}

static void deliver_fill_replies(struct deliver_packet *p)
{
    struct rc_client *client = p->client;
    if (client->output == 0) {
        return;
    }
    struct rc_output *output = rc_truth_output(p->hub->truth, client->output);
    if (output->replies_sent < output->replies_bytes) {
        deliver_piece(p, RC_PIECE_REPLIES,
                      (uint8_t *)rc_heap_at(&p->hub->truth->heap, output->replies) + output->replies_sent,
                      output->replies_bytes - output->replies_sent, 0, output->replies_sent);
        *(p->taken != NULL ? &p->hub->truth->layout->took.replies_sent : &output->replies_sent) = output->replies_bytes;
    }
}

/* The close frame goes last, and nothing after it. */
static void deliver_fill_close(struct deliver_packet *p)
{
    struct rc_client *client = p->client;
    if (!(client->flags & RC_CLIENT_CLOSE_QUEUED) || (client->flags & RC_CLIENT_CLOSE_SENT)) {
        return;
    }
    if (p->more || rc_io_packet_full(p->packet)) {
        p->more = true;
        return;
    }
    const struct rc_output *output = rc_truth_output(p->hub->truth, client->output);
    rc_io_packet_add(p->hub->io, p->packet, RC_PIECE_CLOSE, output->close_frame + output->close_sent,
                     (uint32_t)output->close_bytes - output->close_sent, 0, output->close_sent);
    client->flags |= RC_CLIENT_CLOSE_SENT;
}

/* The close frame has left, or begun to: nothing else may. */
static bool deliver_closing(const struct rc_hub *hub, const struct rc_client *client)
{
    return (client->flags & RC_CLIENT_CLOSE_SENT) ||
           (client->output != 0 && rc_truth_output(hub->truth, client->output)->close_sent > 0);
}

static void deliver_commit(struct deliver_packet *p)
{
    struct rc_hub *hub = p->hub;
    if (p->more) {
        rc_hub_touch(hub, p->client_index); /* the next round */
    }
    if (p->frames > 0) {
        rc_metric_add(hub->metrics, RC_METRIC_DELIVERIES, p->frames);
        rc_metric_observe(hub->metrics, RC_HISTOGRAM_FRAMES_PER_SEND, p->frames);
    }
    rc_io_packet_commit(hub->io, p->packet);
}

/* A connection that is caught up everywhere has passed what it was excluded from once a turn that began later is over: in the second
 * one after. The third makes up for the number that the count of turns leaves out when it starts again. */
static void deliver_forget_exclusions(const struct rc_hub *hub, struct rc_client *client)
{
    if (client->cursor_count == 0 && hub->turn - client->excluded_turn >= 3) {
        client->flags &= (uint16_t)~RC_CLIENT_EXCLUDED;
    }
}

/* Is only the log of `only` to be looked at? */
static inline bool deliver_narrow(const struct rc_client *client, enum rc_turn_scope scope)
{
    return scope == RC_TURN_CRITICAL ||
           (scope == RC_TURN_ALONE && client->cursor_count == 0 && client->direct_log == 0);
}

/* Can something be sent to the client now? Not while nothing carries it. */
static inline bool deliver_writable(const struct rc_hub *hub, const struct rc_client *client)
{
    struct rc_socket *socket = rc_truth_socket_of(hub->truth, client);
    if (socket == NULL) {
        return false;
    }
    if (rc_io_busy(hub->io, client->socket)) {
        rc_turn_block(hub, socket); /* a TLS record is still leaving; writable comes behind it */
    }
    return !(socket->flags & RC_SOCKET_BLOCKED);
}

/* Nothing may be sent, but the client must remember where it stood in the logs that move on now. */
static __attribute__((noinline)) void deliver_hold(struct deliver_packet *p, enum rc_turn_scope scope, uint32_t only)
{
    void (*const hold)(struct deliver_packet *, struct deliver_source *, uint32_t) =
        p->client->flags & RC_CLIENT_POLLED ? deliver_keep_places : deliver_hold_places;
    if (deliver_narrow(p->client, scope)) {
        struct deliver_source source;
        if (deliver_source_of(p->hub, p->client_index, only, true, &source)) {
            hold(p, &source, 1);
        }
    } else {
        const uint32_t count = deliver_collect(p, true);
        hold(p, p->hub->sources, count);
    }
}

/* Inline, as above. */
static inline __attribute__((always_inline)) void deliver_fill(struct deliver_packet *p, struct deliver_source *sources,
                                                               uint32_t count)
{
    if (count == 1 && !(p->client->flags & RC_CLIENT_EXCLUDED) && !deliver_sieves(sources)) {
        deliver_fill_one(p, sources);
    } else if (count > 0) {
        deliver_fill_merged(p, sources, count);
    }
}

static inline __attribute__((always_inline)) void deliver_serve(struct rc_hub *hub, uint32_t client_index,
                                                                enum rc_turn_scope scope, uint32_t only)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    struct deliver_packet p = {.hub = hub, .client = client, .client_index = client_index};
    if (rc_turn_mute(client)) {
        return;
    }
    const bool closing = deliver_closing(hub, client);
    if (!deliver_writable(hub, client) || (client->flags & RC_CLIENT_WAITS_JOIN)) {
        if (!closing) {
            deliver_hold(&p, scope, only);
            rc_hub_mark_ready(hub, client_index);
        }
        return;
    }
    p.packet = rc_io_packet_begin(hub->io, client->socket);
    if (closing) {
        deliver_fill_close(&p);
        rc_io_packet_commit(hub->io, p.packet);
        return;
    }
    if (client->cut != 0 || client->output != 0) {
        deliver_fill_cut(&p);
        deliver_fill_replies(&p); /* `subscribed` goes before what it promises */
    }
    if (RC_UNLIKELY(client->flags & RC_CLIENT_EXCLUDED)) {
        deliver_forget_exclusions(hub, client);
    }
    if (deliver_narrow(client, scope)) {
        struct deliver_source source;
        if (deliver_source_of(hub, client_index, only, false, &source)) {
            deliver_fill(&p, &source, 1);
        }
    } else {
        const uint32_t count = deliver_collect(&p, false);
        deliver_fill(&p, hub->sources, count);
    }
    if (RC_UNLIKELY(client->flags & RC_CLIENT_CLOSE_QUEUED) && scope != RC_TURN_CRITICAL) {
        deliver_fill_close(&p); /* after everything else, which only its turn brings */
    }
    deliver_commit(&p);
}

static bool deliver_stands_at_end(const struct rc_hub *hub, uint32_t index)
{
    const struct rc_subscription *its = rc_truth_subscription(hub->truth, index);
    const struct rc_group *group = rc_truth_group(hub->truth, its->group);
    return (its->flags & RC_SUBSCRIPTION_CURSOR) && group->log != 0 &&
           its->cursor == rc_turn_end(hub, rc_truth_log(hub->truth, group->log));
}

/* Cursors that say where everybody stands are none: see deliver_make_source. */
static __attribute__((noinline)) void deliver_clear_caught_up(struct rc_hub *hub, uint32_t client_index)
{
    const struct rc_client *client = rc_truth_client(hub->truth, client_index);
    hub->caught_up = false;
    if (client->everybody != 0 && deliver_stands_at_end(hub, client->everybody)) {
        rc_hub_everybody_caught_up(hub, client_index);
    }
    for (uint32_t index = client->subscriptions; index != 0; index = rc_truth_subscription(hub->truth, index)->next) {
        if (deliver_stands_at_end(hub, index)) {
            rc_hub_clear_cursor(hub, index);
        }
    }
}

void rc_turn_serve(struct rc_hub *hub, uint32_t client, enum rc_turn_scope scope, uint32_t only)
{
    deliver_serve(hub, client, scope, only);
    if (scope != RC_TURN_CRITICAL) {
        RC_STORE_ORDER(); /* whose packet was begun only has not had its turn */
        rc_truth_client(hub->truth, client)->turn = hub->turn;
        RC_STORE_ORDER();
        if (RC_UNLIKELY(hub->caught_up)) {
            deliver_clear_caught_up(hub, client);
        }
    }
    hub->caught_up = false; /* of a critical log: until its turn */
}

static bool deliver_polled(struct rc_hub *hub, uint32_t client_index, bool of_channels, struct rc_hub_taken *taken)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    struct rc_truth_took *took = &hub->truth->layout->took;
    struct rc_packet packet = {.bytes_max = RC_IO_SEND_BYTES_MAX};
    struct deliver_packet p = {
        .hub = hub, .client = client, .client_index = client_index, .packet = &packet, .taken = taken};
    /* Whoever has lost its socket begins with what was cut on it (output_rewind). */
    RC_ASSERT(!hub->in_turn && client->socket == RC_SOCKET_NONE && client->cut == 0);
    taken->count = 0;
    took->client = 0;
    RC_STORE_ORDER();
    took->socket = took->count = took->cut_sent = took->replies_sent = took->late = 0;
    if (rc_turn_mute(client) || (client->flags & RC_CLIENT_WAITS_JOIN)) {
        return false;
    }
    deliver_fill_cut(&p);
    deliver_fill_replies(&p);
    if (client->flags & RC_CLIENT_EXCLUDED) {
        deliver_forget_exclusions(hub, client);
    }
    if (of_channels) {
        const uint32_t count = deliver_collect(&p, false);
        deliver_fill(&p, hub->sources, count);
    }
    if (hub->caught_up) {
        deliver_clear_caught_up(hub, client_index);
    }
    if (p.frames > 0) {
        rc_metric_add(hub->metrics, RC_METRIC_DELIVERIES, p.frames);
        rc_metric_observe(hub->metrics, RC_HISTOGRAM_FRAMES_PER_SEND, p.frames);
    }
    rc_turn_count_passed(hub); /* nothing of it is put back */
    took->random = client->random;
    RC_STORE_ORDER();
    took->client = client_index;
    return p.more;
}

/* Done again, by the successor of a worker that was killed in it, it comes to the same. */
static void deliver_got_place(struct rc_hub *hub, uint32_t client_index, const struct rc_truth_took_place *place)
{
    const struct rc_truth *truth = hub->truth;
    const struct rc_client *client = rc_truth_client(truth, client_index);
    if (place->kind == RC_PIECE_DIRECT) {
        if (client->direct_log != 0) {
            rc_truth_log(truth, client->direct_log)->base = place->position;
        }
        return;
    }
    const uint32_t index = place->subscription == 0 ? client->everybody : place->subscription;
    if (index == 0 || index >= truth->subscriptions.high ||
        rc_truth_subscription(truth, index)->client != client_index) {
        return; /* it has caught up, or left */
    }
    const struct rc_subscription *its = rc_truth_subscription(truth, index);
    const struct rc_group *group = rc_truth_group(truth, its->group);
    if ((its->flags & RC_SUBSCRIPTION_CURSOR) && its->cursor != RC_CURSOR_IN_HISTORY && group->log != 0) {
        deliver_stand(hub, client_index, rc_truth_log(truth, group->log), place->subscription, place->position);
    }
}

void rc_turn_got(struct rc_hub *hub)
{
    struct rc_truth_took *took = &hub->truth->layout->took;
    const uint32_t index = took->client;
    struct rc_client *client = rc_truth_named(hub->truth, index, took->random);
    if (client != NULL) {
        for (uint32_t i = 0; i < took->count && i < RC_TOOK_MAX; i++) {
            deliver_got_place(hub, index, &took->places[i]);
        }
        if (took->late != 0 && client->cursor_count > 0) {
            client->flags |= RC_CLIENT_LATE;
        }
        if (client->direct_log != 0 &&
            rc_truth_log(hub->truth, client->direct_log)->base == rc_truth_log(hub->truth, client->direct_log)->head) {
            rc_hub_log_free(hub, &client->direct_log);
        }
        if (client->output != 0) {
            struct rc_output *output = rc_truth_output(hub->truth, client->output);
            output->cut_sent = took->cut_sent > 0 ? took->cut_sent : output->cut_sent;
            output->replies_sent = took->replies_sent > 0 ? took->replies_sent : output->replies_sent;
        }
    }
    RC_STORE_ORDER();
    took->client = 0;
}

void rc_hub_got(struct rc_hub *hub)
{
    const struct rc_truth_took *took = &hub->truth->layout->took;
    const uint32_t index = took->client;
    const bool lives = rc_truth_named(hub->truth, index, took->random) != NULL;
    rc_turn_got(hub);
    if (lives) {
        rc_hub_output_settle(hub, index);
    }
}

bool rc_hub_take(struct rc_hub *hub, uint32_t client, struct rc_hub_taken *taken)
{
    return deliver_polled(hub, client, true, taken);
}

bool rc_hub_take_replies(struct rc_hub *hub, uint32_t client, struct rc_hub_taken *taken)
{
    return deliver_polled(hub, client, false, taken);
}

void rc_turn_serve_socket(struct rc_hub *hub, uint32_t socket_index)
{
    struct rc_socket *socket = &hub->truth->sockets[socket_index];
    if (!rc_turn_socket_lives(socket) || socket->output == 0) {
        return; /* it has ended, or a client has taken its answers over */
    }
    if (rc_io_busy(hub->io, socket_index)) {
        rc_turn_block(hub, socket);
    }
    if (socket->flags & RC_SOCKET_BLOCKED) {
        return;
    }
    struct rc_output *output = rc_truth_output(hub->truth, socket->output);
    struct rc_packet *packet = rc_io_packet_begin(hub->io, socket_index);
    if (output->replies_sent < output->replies_bytes) {
        rc_io_packet_add(hub->io, packet, RC_PIECE_ANSWER,
                         (uint8_t *)rc_heap_at(&hub->truth->heap, output->replies) + output->replies_sent,
                         output->replies_bytes - output->replies_sent, 0, output->replies_sent);
        output->replies_sent = output->replies_bytes;
    }
    rc_io_packet_commit(hub->io, packet);
}
