/*
 * conflate: policy `latest`: who fell too far behind gets the newest message of each key, and nothing older. See hub.h.
 *
 * A frame is superseded when a newer one of the log has its key (messages without one have one key together, gap notices
 * another). Marking finds that out for a whole log, once per turn at most. A subscription with RC_SUBSCRIPTION_LATEST passes
 * superseded frames over when it is served, until it has caught up.
 *
 * Conflating a log keeps for these subscriptions what making room would drop: of [base, keep) the frames that are not superseded
 * move up against `keep`, where nobody else's position is:
 *
 *   before  | a1 b1 a2 c1 a3 b2 | c2 a4 …          after        | b2 | c2 a4 …
 *             ^base               ^keep                           ^base ^keep
 */
#include "worker/hub/hub_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/store/named.h"

/* Of the frames of [base, keep) from one on: what is kept. */
struct rc_conflate_kept {
    uint32_t bytes;
    uint32_t frames;
};

/* --- marking --- */

/* A set of the `count_max` keys that come first; slots are a power of two, twice as many at least. False: there is no memory. */
static bool conflate_keys(struct rc_hub *hub, uint32_t count_max)
{
    uint32_t slots = 64;
    while (slots < count_max * 2) {
        slots *= 2;
    }
    if (slots > hub->conflate_slots) {
        uint64_t *more = realloc(hub->conflate_keys, slots * sizeof(*more));
        if (more == NULL) {
            return false;
        }
        hub->conflate_keys = more;
        hub->conflate_slots = slots;
    }
    memset(hub->conflate_keys, 0, hub->conflate_slots * sizeof(*hub->conflate_keys));
    return true;
}

/* Is the key new to the set, and is there room for it? Keys are hashes already; 0, the key of those without, is put aside. */
static bool conflate_first(struct rc_hub *hub, uint64_t key, uint32_t *room)
{
    const uint32_t mask = hub->conflate_slots - 1;
    uint32_t at = (uint32_t)key & mask;
    while (hub->conflate_keys[at] != 0) {
        if (hub->conflate_keys[at] == key) {
            return false;
        }
        at = (at + 1) & mask;
    }
    if (*room == 0) {
        return false; /* those that changed last are kept */
    }
    --*room;
    hub->conflate_keys[at] = key;
    return true;
}

void rc_hub_conflate_mark(struct rc_hub *hub, uint32_t group_index, struct rc_channel_log *log)
{
    const struct rc_truth *truth = hub->truth;
    const struct rc_channel *channel = rc_truth_channel(truth, rc_truth_group(truth, group_index)->channel);
    uint32_t room = hub->config->namespaces[channel->namespace].max_keys;
    if (log->marked == log->head) {
        return;
    }
    log->marked = log->head;
    const bool keys = conflate_keys(hub, room);
    bool none_seen = false;
    bool gap_seen = false;
    for (uint32_t i = log->frames; i-- > 0;) {
        struct rc_frame *frame = rc_channel_log_frame(log, &truth->heap, i);
        bool first;
        if (frame->key == 0 || frame->flags & RC_FRAME_GAP || !keys) {
            bool *seen = frame->flags & RC_FRAME_GAP ? &gap_seen : &none_seen;
            first = !*seen;
            *seen = true;
        } else {
            first = conflate_first(hub, frame->key, &room);
        }
        if (!first) {
            frame->flags |= RC_FRAME_SUPERSEDED;
        }
    }
}

/* --- conflating --- */

/* What is kept of the frames [first, last), from each of them on; the newest that fit `bytes_max`. False: no memory. */
static bool conflate_plan(struct rc_hub *hub, const struct rc_channel_log *log, uint32_t first, uint32_t last,
                          uint64_t bytes_max)
{
    const struct rc_heap *heap = &hub->truth->heap;
    const uint32_t count = last - first;
    if (count >= hub->conflate_kept_capacity) {
        struct rc_conflate_kept *more = realloc(hub->conflate_kept, (size_t)(count + 1) * 2 * sizeof(*more));
        if (more == NULL) {
            return false;
        }
        hub->conflate_kept = more;
        hub->conflate_kept_capacity = (count + 1) * 2;
    }
    struct rc_conflate_kept *kept = hub->conflate_kept;
    kept[count] = (struct rc_conflate_kept){0};
    for (uint32_t i = count; i-- > 0;) {
        const uint64_t bytes = rc_channel_log_frame_position(log, heap, first + i + 1) -
                               rc_channel_log_frame_position(log, heap, first + i);
        kept[i] = kept[i + 1];
        if (!(rc_channel_log_frame(log, heap, first + i)->flags & RC_FRAME_SUPERSEDED)) {
            if (kept[i].bytes + bytes <= bytes_max) {
                kept[i].bytes += (uint32_t)bytes;
                kept[i].frames++;
            } else {
                bytes_max = 0; /* and nothing older */
            }
        }
    }
    return true;
}

static bool conflate_keeps(const struct rc_hub *hub, uint32_t i)
{
    return hub->conflate_kept[i].frames > hub->conflate_kept[i + 1].frames;
}

/* Everybody before `keep` is to get what is kept. */
static void conflate_members(struct rc_hub *hub, uint32_t group_index, const struct rc_channel_log *log, uint64_t keep,
                             uint32_t first, uint32_t last)
{
    struct rc_truth *truth = hub->truth;
    struct rc_members *members = &hub->members[group_index];
    const uint32_t *items = rc_members_items(members);
    for (uint32_t i = 0; i < members->count; i++) {
        struct rc_subscription *subscription = rc_truth_subscription(truth, items[i]);
        if (!(subscription->flags & RC_SUBSCRIPTION_CURSOR) || subscription->cursor >= keep) {
            continue;
        }
        rc_hub_keep_cut_or_break(hub, items[i]);
        if (subscription->cursor < keep) {
            const uint32_t frame = rc_channel_log_find(log, &truth->heap, subscription->cursor);
            const struct rc_conflate_kept *kept = &hub->conflate_kept[frame - first];
            rc_metric_add(hub->metrics, RC_METRIC_SLOW_CONFLATED, last - frame - kept->frames);
            rc_metric_add(hub->metrics, RC_METRIC_FAILED_DELIVERIES, last - frame - kept->frames);
            subscription->cursor = keep - kept->bytes;
            subscription->flags |= RC_SUBSCRIPTION_LATEST;
        }
    }
}

/* Exclusions move with their frames, or go with them. */
static void conflate_exclusions(struct rc_hub *hub, struct rc_channel_log *log, uint64_t keep, uint32_t first)
{
    const struct rc_heap *heap = &hub->truth->heap;
    if (log->exclusion_count == 0) {
        return;
    }
    struct rc_exclusion *list = rc_heap_at(heap, log->exclusions);
    uint32_t count = 0;
    for (uint32_t i = 0; i < log->exclusion_count; i++) {
        struct rc_exclusion exclusion = list[i];
        if (exclusion.position < log->base) {
            continue;
        }
        if (exclusion.position < keep) {
            const uint32_t frame = rc_channel_log_find(log, heap, exclusion.position) - first;
            if (!conflate_keeps(hub, frame)) {
                continue;
            }
            exclusion.position = keep - hub->conflate_kept[frame].bytes;
        }
        list[count++] = exclusion;
    }
    log->exclusion_count = count;
}

/* Moves what is kept up against `keep`, last first, so that nothing is written over that is still to be moved. */
static void conflate_frames(struct rc_hub *hub, struct rc_channel_log *log, uint32_t first, uint32_t last)
{
    struct rc_heap *heap = &hub->truth->heap;
    const uint64_t keep = rc_channel_log_frame_position(log, heap, last);
    uint64_t end = keep;
    uint64_t to = keep;
    uint32_t next = last;
    for (uint32_t i = last; i-- > first;) {
        struct rc_frame frame = *rc_channel_log_frame(log, heap, i);
        const uint64_t from = log->origin + frame.offset;
        if (conflate_keeps(hub, i - first)) {
            to -= end - from;
            memmove(rc_channel_log_at(log, heap, to), rc_channel_log_at(log, heap, from), end - from);
            frame.offset = (uint32_t)(to - log->origin);
            *rc_channel_log_frame(log, heap, --next) = frame;
        }
        end = from;
    }
    /* What is left of the index must stay in order until it is dropped. */
    for (uint32_t i = first; i < next; i++) {
        rc_channel_log_frame(log, heap, i)->offset = (uint32_t)(to - log->origin);
    }
    log->base = to;
    rc_channel_log_compact(log, heap, to);
}

bool rc_hub_conflate(struct rc_hub *hub, uint32_t group_index, struct rc_channel_log *log, uint64_t keep,
                     uint64_t bytes_max)
{
    const struct rc_heap *heap = &hub->truth->heap;
    RC_ASSERT(hub->io->packet_count == 0 && keep <= log->served); /* nothing queued may point into what is moved */
    rc_hub_conflate_mark(hub, group_index, log);
    const uint32_t first = rc_channel_log_find(log, heap, log->base);
    const uint32_t last = rc_channel_log_find(log, heap, keep);
    if (!conflate_plan(hub, log, first, last, bytes_max)) {
        return false;
    }
    rc_hub_fragile_log(hub, log);
    conflate_members(hub, group_index, log, keep, first, last);
    conflate_exclusions(hub, log, keep, first);
    conflate_frames(hub, log, first, last);
    rc_hub_whole_log(hub);
    return true;
}

uint64_t rc_hub_conflate_until(struct rc_hub *hub, uint32_t group_index, struct rc_channel_log *log, uint64_t wanted,
                               uint64_t free_min, uint64_t *freed)
{
    const struct rc_heap *heap = &hub->truth->heap;
    rc_hub_conflate_mark(hub, group_index, log);
    *freed = 0;
    uint64_t from = log->base;
    for (uint32_t i = rc_channel_log_find(log, heap, log->base); from < log->served; i++) {
        const uint64_t to = rc_channel_log_frame_position(log, heap, i + 1);
        if (rc_channel_log_frame(log, heap, i)->flags & RC_FRAME_SUPERSEDED) {
            *freed += to - from;
        }
        from = to;
        if (from >= wanted && *freed >= free_min) {
            break;
        }
    }
    return from;
}
