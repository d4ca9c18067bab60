/*
 * append: messages that came down from the relay go into channel logs; making room there, and who pays for it.
 *
 * A log holds [base, head). Everybody without a cursor stands at `served`; those behind hold the log's start. Room is made in
 * this order: forget what nobody needs, a larger block within the budgets, cut off the furthest behind. Whom that disconnects is marked
 * (rc_hub_cut_off) and ends in the turn's next step: nothing here ends a client, so that members and logs stay while a message is
 * being appended. What the running turn
 * has not sent yet is never cut: then the caller has to send first (-ENOSPC).
 */
#include "worker/hub/hub_internal.h"
#include "worker/hub/turn.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/channel_name.h"
#include "common/base/log.h"
#include "worker/store/named.h"

#define APPEND_BLOCK_MIN 1024u
#define APPEND_BLOCK_MAX (UINT64_C(1) << 30) /* of channel_log, too */
#define APPEND_GAPS_MAX 64u                  /* groups told of a loss in one pass of the loop */
#define APPEND_RECLAIM_MAX 1024u             /* logs that are looked at for one message */

static int append_move(struct rc_hub *hub, struct rc_channel_log *log, uint64_t position, uint64_t block_bytes)
{
    struct rc_heap *heap = &hub->truth->heap;
    const uint64_t before = rc_channel_log_bytes(log, heap);
    const int rc =
        rc_channel_log_move(log, heap, &hub->kept->moving, rc_hub_log_index(hub, log), position, block_bytes);
    hub->log_bytes += rc_channel_log_bytes(log, heap) - before;
    rc_metric_set(hub->metrics, RC_METRIC_LOG_BYTES, hub->log_bytes);
    return rc;
}

/* Forgets what is before `position`. */
static void append_compact(struct rc_hub *hub, struct rc_channel_log *log, uint64_t position)
{
    if (append_move(hub, log, position, log->block_bytes) < 0) {
        rc_hub_fragile_log(hub, log);
        rc_channel_log_compact(log, &hub->truth->heap, position);
        rc_hub_whole_log(hub);
    }
}

/* The oldest position that somebody needs. Who gets the latest only does not need what is superseded: `conflate` says that
 * there is somebody before the result; in the middle of a frame it needs the rest of it all the same. */
static uint64_t append_oldest(struct rc_hub *hub, uint32_t group_index, const struct rc_channel_log *log,
                              bool *conflate)
{
    const struct rc_truth *truth = hub->truth;
    uint64_t oldest = log->served;
    uint64_t latest = log->served;
    *conflate = false;
    if (rc_truth_group(truth, group_index)->behind == 0) {
        return oldest;
    }
    struct rc_members *members = &hub->members[group_index];
    const uint32_t *items = rc_members_items(members);
    for (uint32_t i = 0; i < members->count; i++) {
        const struct rc_subscription *subscription = rc_truth_subscription(truth, items[i]);
        if (subscription->flags & RC_SUBSCRIPTION_CURSOR) {
            const bool only_latest = (subscription->flags & RC_SUBSCRIPTION_LATEST) != 0 &&
                                     rc_truth_client(truth, subscription->client)->cut != items[i];
            uint64_t *position = only_latest ? &latest : &oldest;
            *position = subscription->cursor < *position ? subscription->cursor : *position;
        }
    }
    *conflate = latest < oldest;
    return oldest;
}

/* Tells a subscription that it missed messages. */
static void append_tell_gap(struct rc_hub *hub, const struct rc_subscription *subscription)
{
    const struct rc_channel *channel =
        rc_truth_channel(hub->truth, rc_truth_group(hub->truth, subscription->group)->channel);
    const struct rc_event event = {
        .type = RC_EVENT_GAP, .channel = rc_hub_name(hub, channel), .channel_json = rc_hub_name_json(hub, channel)};
    rc_metric_add(hub->metrics, RC_METRIC_GAPS, 1);
    if (rc_hub_reply_event(hub, subscription->client, &event) < 0) {
        rc_hub_break(hub, subscription->client); /* a gap that nobody is told of would be silence */
    }
}

static enum rc_slow_policy append_policy(const struct rc_hub *hub, uint32_t group_index)
{
    const struct rc_truth *truth = hub->truth;
    const struct rc_channel *channel = rc_truth_channel(truth, rc_truth_group(truth, group_index)->channel);
    return hub->config->namespaces[channel->namespace].slow_consumer;
}

static void append_log_slow(const struct rc_hub *hub, const struct rc_subscription *subscription,
                            const struct rc_channel_log *log, uint32_t from)
{
    const struct rc_span name =
        rc_hub_name(hub, rc_truth_channel(hub->truth, rc_truth_group(hub->truth, subscription->group)->channel));
    rc_named_log_client("slow_consumer_disconnected", hub->truth, subscription->client, "behind in a channel",
                        " channel=\"%.*s\" behind_bytes=%llu behind_messages=%u", (int)name.count,
                        (const char *)name.bytes, (unsigned long long)(log->head - subscription->cursor),
                        log->frames - from);
}

/* One subscription fell off: everything before `keep` goes. Its client may be marked to end, but ends later. */
static void append_fell_off(struct rc_hub *hub, uint32_t index, const struct rc_channel_log *log, uint64_t keep,
                            enum rc_slow_policy policy)
{
    struct rc_truth *truth = hub->truth;
    struct rc_subscription *subscription = rc_truth_subscription(truth, index);
    rc_hub_keep_cut_or_break(hub, index);
    if (subscription->cursor >= keep) {
        return;
    }
    const uint32_t from = rc_channel_log_find(log, &truth->heap, subscription->cursor);
    const uint32_t lost = rc_channel_log_find(log, &truth->heap, keep) - from;
    const bool known = rc_turn_mute(rc_truth_client(truth, subscription->client));
    if (!known && policy == RC_SLOW_DISCONNECT) {
        rc_metric_add(hub->metrics, RC_METRIC_SLOW_DISCONNECTED, 1);
        rc_metric_add(hub->metrics, RC_METRIC_FAILED_DELIVERIES, lost);
        append_log_slow(hub, subscription, log, from);
        rc_hub_cut_off(hub, subscription->client);
    } else if (!known) {
        RC_ASSERT(policy == RC_SLOW_SKIP); /* RC_SLOW_LATEST: conflate.c does it for all at once */
        if (rc_replay_behind(hub, index, log, from)) {
            return; /* it has not lost them yet */
        }
        rc_metric_add(hub->metrics, RC_METRIC_SLOW_SKIPPED, lost);
        rc_metric_add(hub->metrics, RC_METRIC_FAILED_DELIVERIES, lost);
        append_tell_gap(hub, subscription);
    }
    subscription->cursor = keep;
    if (RC_UNLIKELY(rc_encoding_is_delta(rc_truth_group(truth, subscription->group)->encoding))) {
        subscription->cursor = log->head; /* what is kept is deltas against what it lacks */
        rc_delta_lacks(hub, index, false);
    }
}

/* Cuts off everybody who needs something before `keep`. */
static void append_cut(struct rc_hub *hub, uint32_t group_index, const struct rc_channel_log *log, uint64_t keep)
{
    const struct rc_truth *truth = hub->truth;
    const enum rc_slow_policy policy = append_policy(hub, group_index);
    struct rc_members *members = &hub->members[group_index];
    const uint32_t *items = rc_members_items(members);
    for (uint32_t i = 0; i < members->count; i++) {
        const struct rc_subscription *subscription = rc_truth_subscription(truth, items[i]);
        if ((subscription->flags & RC_SUBSCRIPTION_CURSOR) && subscription->cursor < keep) {
            append_fell_off(hub, items[i], log, keep, policy);
        }
    }
}

/* What a log may hold by its bytes alone. */
static uint64_t append_bytes_max(const struct rc_hub *hub, uint64_t need)
{
    return hub->config->limits.channel_log_bytes > 2 * need ? hub->config->limits.channel_log_bytes : 2 * need;
}

/* Frames that the log keeps. */
static uint32_t append_kept_frames(const struct rc_hub *hub, const struct rc_channel_log *log)
{
    return log->frames - rc_channel_log_find(log, &hub->truth->heap, log->base);
}

/* Channel_log holds only a few large messages: with it alone, who is not served for a moment would be the slow one. So for those who
 * are behind, not for what the turn has not sent, a log that keeps few may grow on while the others are left half of the budget. */
static uint64_t append_limit(const struct rc_hub *hub, const struct rc_channel_log *log, uint32_t kept_frames,
                             uint64_t need)
{
    const struct rc_config_limits *limits = &hub->config->limits;
    const uint64_t limit = append_bytes_max(hub, need);
    const uint64_t others = hub->log_bytes - log->block_bytes;
    if (kept_frames >= limits->channel_log_messages || log->head - log->served + need > limit ||
        others >= limits->worker_log_bytes / 2) {
        return limit;
    }
    uint64_t larger = limits->worker_log_bytes / 2 - others;
    larger = larger < APPEND_BLOCK_MAX ? larger : APPEND_BLOCK_MAX;
    return larger > limit ? larger : limit;
}

/* Where the frame begins that the log's base is in: of direct messages that is the client's cursor. */
static uint64_t append_first(const struct rc_hub *hub, const struct rc_channel_log *log)
{
    const struct rc_heap *heap = &hub->truth->heap;
    return rc_channel_log_frame_position(log, heap, rc_channel_log_find(log, heap, log->base));
}

/* Moves the log into a block with room for `need` more bytes, within the budgets. */
static bool append_grow(struct rc_hub *hub, struct rc_channel_log *log, uint64_t need)
{
    const uint64_t from = append_first(hub, log);
    const uint32_t kept_frames = append_kept_frames(hub, log);
    const uint64_t kept = log->head - from + (uint64_t)kept_frames * sizeof(struct rc_frame);
    const uint64_t limit = append_limit(hub, log, kept_frames, need);
    uint64_t bytes = APPEND_BLOCK_MIN;
    while (bytes < (kept + need) + (kept + need) / 2) {
        bytes *= 2;
    }
    while (bytes > limit && bytes / 2 >= kept + need) {
        bytes /= 2;
    }
    if (bytes > limit || bytes <= log->block_bytes ||
        hub->log_bytes - log->block_bytes + bytes > hub->config->limits.worker_log_bytes) {
        return false;
    }
    return append_move(hub, log, from, bytes) == 0;
}

/* Room for `need` bytes that nobody has to pay for. */
static bool append_room_free(struct rc_hub *hub, uint32_t group_index, struct rc_channel_log *log, uint64_t need)
{
    struct rc_heap *heap = &hub->truth->heap;
    if (log->block == 0) {
        return append_grow(hub, log, need);
    }
    if (rc_channel_log_room(log) >= need) {
        return true;
    }
    bool conflate;
    const uint64_t oldest = append_oldest(hub, group_index, log, &conflate);
    if (oldest > log->base) {
        const uint64_t keep = rc_channel_log_frame_position(log, heap, rc_channel_log_find(log, heap, oldest));
        if (!conflate) {
            log->base = keep;
        } else {
            (void)rc_hub_conflate(hub, group_index, log, keep, UINT64_MAX);
        }
    }
    /* Moving the live bytes is worth it when they are the smaller part. */
    if (log->head - log->base <= log->block_bytes / 2) {
        append_compact(hub, log, log->base);
        if (rc_channel_log_room(log) >= need) {
            return true;
        }
    }
    if (append_grow(hub, log, need)) {
        return true;
    }
    append_compact(hub, log, log->base);
    return rc_channel_log_room(log) >= need;
}

/* Is what the turn has not sent yet alone too much? Then cutting others off would not help, or not be right: when it is sent the log
 * may grow for them. */
static bool append_room_unsent(const struct rc_hub *hub, const struct rc_channel_log *log, uint64_t need)
{
    const uint32_t frames = log->frames - rc_channel_log_find(log, &hub->truth->heap, log->served);
    const uint64_t unsent = log->head - log->served;
    if (unsent == 0) {
        return false;
    }
    return unsent + frames * sizeof(struct rc_frame) + need > log->block_bytes ||
           (append_kept_frames(hub, log) < hub->config->limits.channel_log_messages &&
            unsent + need > append_bytes_max(hub, need));
}

/* The same for who gets the latest only. Keys are lost only when nothing else is in the way. */
static bool append_room_conflate(struct rc_hub *hub, uint32_t group_index, struct rc_channel_log *log, uint64_t wanted,
                                 uint64_t need)
{
    const uint64_t free_min = need > log->block_bytes / 8 ? need : log->block_bytes / 8;
    uint64_t freed;
    const uint64_t keep = rc_hub_conflate_until(hub, group_index, log, wanted, free_min, &freed);
    if (freed >= need) {
        return rc_hub_conflate(hub, group_index, log, keep, UINT64_MAX);
    }
    const uint64_t bytes = keep - log->base;
    return log->head == log->served &&
           rc_hub_conflate(hub, group_index, log, keep, bytes > free_min ? bytes - free_min : 0);
}

/* Up to where the furthest behind are to be cut off: a quarter of the log at least, so that this is rare. log->base: nobody is behind the turn. */
static uint64_t append_cut_at(const struct rc_hub *hub, const struct rc_channel_log *log, uint64_t need)
{
    const struct rc_heap *heap = &hub->truth->heap;
    const uint64_t wanted = log->base + (need > log->block_bytes / 4 ? need : log->block_bytes / 4);
    const uint64_t keep = wanted < log->served ? wanted : log->served;
    const uint32_t frame = rc_channel_log_find(log, heap, keep);
    return keep == log->base || rc_channel_log_frame_position(log, heap, frame) == keep
               ? keep
               : rc_channel_log_frame_position(log, heap,
                                               frame + 1); /* `served` is a frame's beginning: not beyond it */
}

/* Cuts them off. False: what would be lost by it is worth more. */
static bool append_room_cut(struct rc_hub *hub, uint32_t group_index, struct rc_channel_log *log, uint64_t need,
                            uint64_t keep)
{
    if (append_policy(hub, group_index) == RC_SLOW_LATEST) {
        return append_room_conflate(hub, group_index, log, keep, need);
    }
    append_cut(hub, group_index, log, keep);
    append_compact(hub, log, keep);
    return true;
}

/* Room for a frame at the log's tail; `late`: rc_catch_up_late. -ENOSPC: what the turn is to send is in the way, or somebody is waited for. */
static int append_room(struct rc_hub *hub, uint32_t group_index, struct rc_channel_log *log, uint64_t frame_bytes,
                       bool late)
{
    const uint64_t need = rc_channel_log_need(frame_bytes);
    RC_ASSERT(hub->io->packet_count == 0); /* nothing queued may point into the block */
    while (!append_room_free(hub, group_index, log, need)) {
        if (log->block == 0) {
            return -ENOMEM;
        }
        if (append_room_unsent(hub, log, need)) {
            return -ENOSPC;
        }
        const uint64_t keep = append_cut_at(hub, log, need);
        if (RC_UNLIKELY(late) && keep != log->base && rc_catch_up_waits(hub, group_index, keep)) {
            return -ENOSPC;
        }
        if (keep == log->base || !append_room_cut(hub, group_index, log, need, keep)) {
            /* When the turn has nothing to send either, waiting for it would be for ever. */
            return log->head != log->served ? -ENOSPC : -ENOMEM;
        }
    }
    return 0;
}

static struct rc_channel_log *append_log(struct rc_hub *hub, struct rc_group *group)
{
    if (group->log == 0) {
        group->log = rc_pool_alloc(&hub->truth->logs);
        if (group->log == 0) {
            return NULL;
        }
    }
    return rc_truth_log(hub->truth, group->log);
}

/* A group goes at most once into the list of those with something new. */
static void append_mark(struct rc_hub *hub, uint32_t group_index, const struct rc_channel_log *log,
                        uint64_t head_before)
{
    const uint64_t seen = hub->in_turn && log->turn == hub->turn ? log->target : log->served;
    if (head_before == seen) {
        const bool critical = rc_hub_critical(hub, rc_truth_group(hub->truth, group_index)->channel);
        const int rc = rc_index_list_push(critical ? &hub->dirty_critical : &hub->dirty_groups, group_index);
        RC_ASSERT(rc == 0); /* a few bytes per channel with news; without them nothing can be promised any more */
    }
}

/* Does anybody listen in this group? The members of "*" are all connections, its list names only those behind. */
static bool append_heard(const struct rc_hub *hub, uint32_t group_index, uint8_t encoding)
{
    return group_index == hub->everybody_groups[encoding] ? hub->everybody_counts[encoding] > 0
                                                          : hub->members[group_index].count > 0;
}

/* Does the channel's namespace want its messages compressed? */
static bool append_compresses(const struct rc_hub *hub, uint32_t channel)
{
    return hub->config->namespaces[rc_truth_channel(hub->truth, channel)->namespace].compression;
}

/* Takes what a log keeps for those behind, and most of its block. */
static void append_strip(struct rc_hub *hub, uint32_t group_index, struct rc_channel_log *log)
{
    if (append_policy(hub, group_index) == RC_SLOW_LATEST) {
        (void)rc_hub_conflate(hub, group_index, log, log->served, UINT64_MAX);
    } else {
        append_cut(hub, group_index, log, log->served);
        append_compact(hub, log, log->served);
    }
    const uint64_t live = log->head - log->base + (uint64_t)log->frames * sizeof(struct rc_frame);
    uint64_t bytes = APPEND_BLOCK_MIN;
    while (bytes < live) {
        bytes *= 2;
    }
    if (bytes < log->block_bytes) {
        (void)append_move(hub, log, log->base, bytes);
    }
}

/* The budget is nearly used up and a critical channel has a message: those who are behind in other channels pay first. */
static void append_reclaim(struct rc_hub *hub, uint64_t bytes)
{
    const struct rc_truth *truth = hub->truth;
    for (uint32_t i = 0; i < APPEND_RECLAIM_MAX && i < truth->groups.high &&
                         hub->log_bytes + bytes > hub->config->limits.worker_log_bytes;
         i++) {
        hub->reclaim_next = hub->reclaim_next + 1 < truth->groups.high ? hub->reclaim_next + 1 : 1;
        const struct rc_group *group = rc_truth_group(truth, hub->reclaim_next); /* one not in use has no log */
        if (group->log != 0 && !rc_hub_critical(hub, group->channel)) {
            struct rc_channel_log *log = rc_truth_log(truth, group->log);
            if (log->base < log->served) {
                append_strip(hub, hub->reclaim_next, log);
            }
        }
    }
}

static void append_own(struct rc_hub *hub, uint32_t index, uint8_t encoding, const struct rc_event *event);

/* A message for a group that gets deltas: to members who lack what the delta is against it goes whole, in their own logs, and they are left
 * out of the newest frame. How many they are. */
static uint32_t append_version(struct rc_hub *hub, uint32_t group_index, struct rc_channel_log *log,
                               const struct rc_event *event)
{
    if (event->delta == NULL || event->delta->bytes.count == 0) {
        return 0;
    }
    const struct rc_group *group = rc_truth_group(hub->truth, group_index);
    const uint64_t before = rc_channel_log_bytes(log, &hub->truth->heap);
    struct rc_event_delta delta = *event->delta;
    struct rc_event whole = *event;
    uint32_t count = 0;
    uint32_t index;
    delta.bytes = (struct rc_span){0};
    whole.delta = &delta;
    for (uint32_t at = 0; (index = rc_delta_lacking(hub, group->channel, &at)) != 0;) {
        const struct rc_subscription *subscription = rc_truth_subscription(hub->truth, index);
        struct rc_client *client = rc_truth_client(hub->truth, subscription->client);
        if (subscription->group != group_index) {
            continue;
        }
        if (rc_channel_log_exclude(log, &hub->truth->heap, log->head, client->random) < 0) {
            rc_hub_break(hub, subscription->client); /* no memory to leave it out: it cannot read what comes */
            continue;
        }
        client->flags |= RC_CLIENT_EXCLUDED;
        client->excluded_turn = hub->turn;
        append_own(hub, subscription->client, group->encoding, &whole);
        count++;
    }
    hub->log_bytes += rc_channel_log_bytes(log, &hub->truth->heap) - before;
    rc_metric_add(hub->metrics, RC_METRIC_DELTAS, 1);
    rc_metric_add(hub->metrics, RC_METRIC_DELTA_SAVED,
                  (uint64_t)(hub->members[group_index].count - count) *
                      (event->data.count - event->delta->bytes.count));
    return count;
}

static int append_frame(struct rc_hub *hub, uint32_t group_index, const struct rc_event *event,
                        const struct rc_envelope_view *view)
{
    struct rc_group *group = rc_truth_group(hub->truth, group_index);
    const uint8_t encoding = group->encoding;
    const uint64_t bytes_max = rc_event_unit_bytes_max(encoding, event);
    if (rc_hub_critical(hub, group->channel)) {
        const uint64_t block = group->log == 0 ? APPEND_BLOCK_MIN : rc_truth_log(hub->truth, group->log)->block_bytes;
        append_reclaim(hub, 2 * (block + bytes_max));
    }
    struct rc_channel_log *log = append_log(hub, group);
    const bool late = view != NULL && rc_catch_up_late(hub, view);
    const int rc = log == NULL ? -ENOMEM : append_room(hub, group_index, log, bytes_max, late);
    if (log == NULL) {
        return rc;
    }
    if (rc < 0) {
        if (log->block == 0) {
            rc_hub_log_release(hub, group_index);
        }
        return rc;
    }
    const uint64_t before = log->head;
    uint8_t *tail = rc_channel_log_tail(log, &hub->truth->heap);
    struct rc_compressor *compressor =
        rc_encoding_window_bits(encoding) > 0 && append_compresses(hub, group->channel) ? &hub->compressor : NULL;
    const size_t bytes = rc_event_unit_write(encoding, compressor, event, bytes_max, tail);
    uint32_t flags = event->type == RC_EVENT_GAP ? RC_FRAME_GAP : 0;
    if (view != NULL) {
        flags |= (view->head.flags & RC_ENVELOPE_VOLATILE) != 0 ? RC_FRAME_VOLATILE : 0u;
        flags |= (uint32_t)(view->head.position << RC_FRAME_OFFSET_SHIFT);
        if ((view->head.exclude_count > 0 || (view->head.flags & RC_ENVELOPE_NO_ECHO) != 0) &&
            rc_hub_exclude(hub, group_index, log, view) > 0) {
            flags |= RC_FRAME_EXCLUDES;
        }
    }
    if (RC_UNLIKELY(rc_encoding_is_delta(encoding)) && append_version(hub, group_index, log, event) > 0) {
        flags |= RC_FRAME_EXCLUDES;
    }
    rc_channel_log_append(log, &hub->truth->heap, (uint32_t)bytes, ++hub->order, view == NULL ? 0 : rc_hub_key(view),
                          flags);
    append_mark(hub, group_index, log, before);
    return 0;
}

/* The gap notice that a group is owed. */
static int append_owed_gap(struct rc_hub *hub, uint32_t group_index)
{
    struct rc_group *group = rc_truth_group(hub->truth, group_index);
    const struct rc_channel *channel = rc_truth_channel(hub->truth, group->channel);
    const uint8_t encoding = group->encoding;
    const struct rc_event gap = {
        .type = RC_EVENT_GAP, .channel = rc_hub_name(hub, channel), .channel_json = rc_hub_name_json(hub, channel)};
    const int rc = rc_codec_says(encoding, RC_EVENT_GAP) ? append_frame(hub, group_index, &gap, NULL) : 0;
    if (rc == 0) {
        group->owes_gap = 0;
        rc_metric_add(hub->metrics, RC_METRIC_GAPS, 1);
    }
    return rc;
}

/* Appends one message, behind the gap notice that the group may still be owed. */
static int append_to_group(struct rc_hub *hub, uint32_t group_index, const struct rc_event *event,
                           const struct rc_envelope_view *view)
{
    if (rc_truth_group(hub->truth, group_index)->owes_gap && event->type == RC_EVENT_MESSAGE) {
        const int rc = append_owed_gap(hub, group_index);
        if (rc < 0) {
            return rc;
        }
    }
    return append_frame(hub, group_index, event, view);
}

static void append_owe_gap(struct rc_hub *hub, uint32_t group_index)
{
    struct rc_group *group = rc_truth_group(hub->truth, group_index);
    if (append_heard(hub, group_index, group->encoding) && !group->owes_gap) {
        group->owes_gap = 1;
        (void)rc_index_list_push(&hub->owing_groups, group_index); /* without it they are told with the next message */
    }
}

void rc_hub_owe_gap(struct rc_hub *hub, uint32_t channel)
{
    for (uint32_t group = rc_truth_channel(hub->truth, channel)->groups; group != 0;
         group = rc_truth_group(hub->truth, group)->next) {
        append_owe_gap(hub, group);
    }
}

/* A message that nobody of the group will get. */
static void append_lost(struct rc_hub *hub, uint32_t group_index, uint8_t encoding)
{
    const bool everybody = group_index == hub->everybody_groups[encoding];
    rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
    rc_metric_add(hub->metrics, RC_METRIC_FAILED_DELIVERIES,
                  everybody ? hub->everybody_counts[encoding] : hub->members[group_index].count);
    rc_log_limited(RC_LOG_WARN, 1, "log_memory_full", "bytes=%llu budget=%llu", (unsigned long long)hub->log_bytes,
                   (unsigned long long)hub->config->limits.worker_log_bytes);
    append_owe_gap(hub, group_index);
    if (rc_encoding_is_delta(encoding)) {
        rc_delta_lost(hub, rc_truth_group(hub->truth, group_index)->channel);
    }
}

void rc_hub_tell_gaps(struct rc_hub *hub)
{
    for (uint32_t tries = 0; tries < APPEND_GAPS_MAX && hub->owing_groups.count > 0; tries++) {
        const uint32_t group_index = hub->owing_groups.items[hub->owing_groups.count - 1];
        /* One that was told meanwhile, or is another channel's now, owes nothing. */
        if (rc_truth_group(hub->truth, group_index)->owes_gap && append_owed_gap(hub, group_index) < 0) {
            return; /* still no room: later */
        }
        hub->owing_groups.count--;
    }
}

/* Appends to every group of a channel, or to none of those that could not be reached before a -ENOSPC. 1: somebody of this worker
 * hears it; 0: nobody does. */
static int append_to_channel(struct rc_hub *hub, uint32_t channel_index, const struct rc_event *event,
                             const struct rc_envelope_view *view)
{
    const struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    struct rc_truth_hub *kept = hub->kept;
    const uint64_t sequence = view == NULL ? 0 : view->head.sequence;
    if (kept->partial_mask == 0) {
        rc_record_begin(hub, sequence);
    }
    for (uint32_t index = channel->groups; index != 0;) {
        const struct rc_group *group = rc_truth_group(hub->truth, index);
        const uint32_t next = group->next;
        const uint8_t encoding = group->encoding;
        const bool skip = !rc_codec_says(encoding, event->type) || !append_heard(hub, index, encoding) ||
                          (kept->partial_mask & ((uint64_t)1 << encoding)) != 0;
        if (!skip) {
            const int rc = rc_record_is_in(hub, sequence, group->log) ? 0 : append_to_group(hub, index, event, view);
            if (rc == -ENOSPC) {
                return rc;
            }
            if (rc < 0) {
                append_lost(hub, index, encoding);
            }
            /* Tried again after -ENOSPC of a later group, this one must not get the message twice. */
            kept->partial_mask |= (uint64_t)1 << encoding;
        }
        index = next;
    }
    const bool heard = kept->partial_mask != 0;
    kept->partial_mask = 0;
    return heard;
}

static struct rc_span append_from(const struct rc_hub *hub, const struct rc_envelope_view *view, bool reveal,
                                  char text[RC_CLIENT_ID_MAX])
{
    if (!reveal || view->head.origin.random == 0) {
        return (struct rc_span){0};
    }
    return rc_span_of(text, rc_client_id_write(text, hub->instance_id, hub->boot_nonce, &view->head.origin));
}

static enum rc_data_kind append_kind(const struct rc_envelope_view *view)
{
    return (view->head.flags & RC_ENVELOPE_ARGS)     ? RC_DATA_ARGS
           : (view->head.flags & RC_ENVELOPE_BINARY) ? RC_DATA_BINARY
                                                     : RC_DATA_JSON;
}

void rc_hub_note_time(struct rc_hub_times *times, uint64_t time_ns)
{
    if (times->count < RC_HUB_TIMES_MAX && time_ns != 0) {
        times->ns[times->count++] = time_ns;
    }
}

/* What clients that may come back have as their place: the message's, or where this worker is by now, of one that was held back. */
static struct rc_span append_offset(const struct rc_hub *hub, const struct rc_envelope_view *view,
                                    char text[RC_OFFSET_BYTES_MAX])
{
    if (RC_LIKELY(!hub->recovers) || view->head.sequence == 0 || (view->head.flags & RC_ENVELOPE_VOLATILE)) {
        return (struct rc_span){0};
    }
    const uint64_t last = atomic_load_explicit(&hub->truth->layout->down.last_sequence, memory_order_relaxed);
    return rc_span_of(text,
                      rc_offset_write(text, hub->offsets, view->head.sequence > last ? view->head.sequence : last));
}

/* Inline: it is on the way of every message. */
static inline __attribute__((always_inline)) struct rc_event append_event(const struct rc_hub *hub, uint32_t index,
                                                                          const struct rc_envelope_view *view,
                                                                          struct rc_hub_texts *texts)
{
    const struct rc_channel *channel = rc_truth_channel(hub->truth, index);
    return (struct rc_event){
        .type = RC_EVENT_MESSAGE,
        .data_kind = append_kind(view),
        .begins = channel->place != 0 && view->head.epoch != 0 &&
                  rc_truth_place(hub->truth, channel->place)->epoch != view->head.epoch,
        .epoch = view->head.epoch,
        .offset = view->head.position,
        .unnamed = hub->unnamed,
        .channel = rc_hub_name(hub, channel),
        .channel_json = rc_hub_name_json(hub, channel),
        .data = rc_span_of(view->data, view->head.data_bytes),
        .event = rc_span_of(view->event, view->head.event_bytes),
        .from = append_from(hub, view, hub->config->namespaces[channel->namespace].reveal_publisher, texts->from),
        .standing = append_offset(hub, view, texts->offset),
    };
}

struct rc_event rc_hub_message_event(const struct rc_hub *hub, uint32_t channel, const struct rc_envelope_view *view,
                                     struct rc_hub_texts *texts)
{
    return append_event(hub, channel, view, texts);
}

int rc_hub_append(struct rc_hub *hub, uint32_t index, const struct rc_envelope_view *view)
{
    struct rc_hub_texts texts;
    struct rc_event_delta delta;
    struct rc_event event = append_event(hub, index, view, &texts);
    const bool deltas = RC_UNLIKELY((rc_truth_channel(hub->truth, index)->flags & RC_CHANNEL_DELTA) != 0);
    if (deltas) {
        rc_delta_prepare(hub, index, view, &event, &delta);
    }
    const int rc = append_to_channel(hub, index, &event, view);
    if (deltas && rc >= 0) {
        rc_delta_commit(hub, index, view, &event);
    }
    hub->kept->partial_place = rc == -ENOSPC && event.epoch != 0 ? index : 0;
    if (RC_UNLIKELY(hub->tracing) && rc >= 0) {
        rc_hub_trace_message(hub, index, view, false);
    }
    if (rc > 0) {
        rc_heat_add(&hub->heats[index], hub->io->now_ds, view->head.data_bytes);
        rc_hub_note_time(rc_hub_critical(hub, index) ? &hub->critical_times : &hub->times, view->head.time_ns);
    }
    return rc < 0 ? rc : 0;
}

int rc_hub_gap(struct rc_hub *hub, struct rc_span name)
{
    /* A gap everywhere is told once to every connection, through "*". */
    const uint32_t index = name.count == 0
                               ? hub->everybody
                               : rc_hub_find(hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    hub->kept->partial_place = 0; /* what is tried again is the notice, not a message before it: rc_hub_lost */
    if (index == 0) {
        hub->kept->partial_mask = 0;
        return 0;
    }
    const struct rc_channel *channel = rc_truth_channel(hub->truth, index);
    struct rc_event event = {.type = RC_EVENT_GAP};
    if (name.count > 0) {
        event.channel = rc_hub_name(hub, channel);
        event.channel_json = rc_hub_name_json(hub, channel);
    }
    const int rc = append_to_channel(hub, index, &event, NULL);
    if (rc >= 0) {
        rc_metric_add(hub->metrics, RC_METRIC_GAPS, 1);
    }
    return rc < 0 ? rc : 0;
}

/* Room in a log of direct messages. Its base is the client's cursor and may stand inside a frame; whole frames are moved. */
static bool append_direct_room(struct rc_hub *hub, struct rc_channel_log *log, uint64_t frame_bytes)
{
    const uint64_t need = rc_channel_log_need(frame_bytes);
    if (log->block == 0) {
        return append_grow(hub, log, need);
    }
    if (rc_channel_log_room(log) >= need) {
        return true;
    }
    append_compact(hub, log, append_first(hub, log));
    return rc_channel_log_room(log) >= need || append_grow(hub, log, need);
}

static void append_own(struct rc_hub *hub, uint32_t index, uint8_t encoding, const struct rc_event *event)
{
    struct rc_truth *truth = hub->truth;
    struct rc_client *client = rc_truth_client(truth, index);
    if (client->direct_log == 0) {
        client->direct_log = rc_pool_alloc(&truth->logs);
    }
    struct rc_channel_log *log = client->direct_log == 0 ? NULL : rc_truth_log(truth, client->direct_log);
    const size_t bytes_max = rc_event_unit_bytes_max(encoding, event);
    if (log == NULL || !append_direct_room(hub, log, bytes_max)) {
        /* Directs are for one client alone: when it does not read them, it is the slow consumer. */
        rc_metric_add(hub->metrics, RC_METRIC_SLOW_DISCONNECTED, 1);
        rc_metric_add(hub->metrics, RC_METRIC_FAILED_DELIVERIES, 1);
        rc_named_log_client("slow_consumer_disconnected", truth, index, "behind in its direct messages",
                            " behind_bytes=%llu", (unsigned long long)(log == NULL ? 0 : log->head - log->base));
        rc_hub_cut_off(hub, index);
        return;
    }
    const size_t bytes = rc_event_unit_write(encoding, NULL, event, bytes_max, rc_channel_log_tail(log, &truth->heap));
    if (hub->in_turn && log->turn != hub->turn) {
        log->target =
            log->head; /* it ends here for the running turn, which gets no other log's later messages either */
        RC_STORE_ORDER();
        log->turn = hub->turn;
    }
    rc_channel_log_append(log, &truth->heap, (uint32_t)bytes, ++hub->order, 0, 0);
    log->served = log->head;
    rc_hub_touch(hub, index);
}

void rc_hub_append_own(struct rc_hub *hub, uint32_t index, const struct rc_event *event)
{
    append_own(hub, index, rc_truth_client(hub->truth, index)->encoding, event);
}

struct rc_event rc_hub_event_of(const struct rc_hub *hub, enum rc_event_type type, const struct rc_envelope_view *view,
                                struct rc_hub_texts *texts)
{
    return (struct rc_event){
        .type = type,
        .data_kind = append_kind(view),
        .unnamed = hub->unnamed,
        .channel = rc_span_of(view->channel, view->head.channel_bytes), /* a namespace's, of who has some */
        .data = rc_span_of(view->data, view->head.data_bytes),
        .event = rc_span_of(view->event, view->head.event_bytes),
        .from = append_from(hub, view, hub->config->namespaces[0].reveal_publisher, texts->from),
        .standing = append_offset(hub, view, texts->offset),
    };
}
