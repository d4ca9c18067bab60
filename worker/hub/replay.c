/*
 * replay: subscriptions that get messages of their channel's history before those of its log. See hub.h.
 *
 *   a request ──▶ in the history: subscription.cursor is RC_CURSOR_IN_HISTORY ──▶ it has all up to the log's head: recover.c
 *                   ▲ fell off its log (rc_replay_behind)
 */
#include "worker/hub/hub_internal.h"

#include <errno.h>

#include "common/base/check.h"

static uint32_t replay_now_ms(const struct rc_hub *hub)
{
    return (uint32_t)(*hub->now_ns / 1000000u);
}

uint32_t rc_replay_ask(struct rc_hub *hub, const struct rc_hub_from *from)
{
    const uint32_t index = rc_pool_alloc(&hub->truth->replays);
    if (index == 0) {
        rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        return 0;
    }
    *rc_truth_replay(hub->truth, index) = (struct rc_replay){
        .cursor = {.epoch = from->epoch, .offset = from->offset},
        .former = from->former,
        .last = from->last,
        .flags = replay_now_ms(hub) << RC_REPLAY_SINCE_SHIFT | (from->recovers ? (uint32_t)RC_REPLAY_RECOVERS : 0)};
    return index;
}

void rc_replay_recovered(struct rc_hub *hub, uint32_t index)
{
    const uint32_t flags = rc_truth_replay(hub->truth, index)->flags;
    if (flags & RC_REPLAY_TIMED) {
        const uint32_t ms =
            (replay_now_ms(hub) - (flags >> RC_REPLAY_SINCE_SHIFT)) & (UINT32_MAX >> RC_REPLAY_SINCE_SHIFT);
        rc_metric_observe(hub->metrics, RC_HISTOGRAM_RECOVERY, UINT64_C(1000) * ms);
    }
}

void rc_replay_forget(struct rc_hub *hub, uint32_t request)
{
    if (request != 0) {
        rc_pool_free(&hub->truth->replays, request);
    }
}

void rc_replay_begin(struct rc_hub *hub, uint32_t subscription_index, uint32_t index)
{
    const struct rc_truth *truth = hub->truth;
    struct rc_subscription *subscription = rc_truth_subscription(truth, subscription_index);
    struct rc_client *client = rc_truth_client(truth, subscription->client);
    struct rc_replay *replay = rc_truth_replay(truth, index);
    RC_ASSERT(client->cut != subscription_index);
    if (subscription->replay != 0) {
        rc_replay_end(hub, subscription_index);
    }
    rc_hub_set_cursor(hub, subscription_index, RC_CURSOR_IN_HISTORY);
    subscription->flags &= ~(uint32_t)RC_SUBSCRIPTION_LATEST;
    subscription->replay = index;
    replay->subscription = subscription_index;
    replay->flags &= ~(uint32_t)RC_REPLAY_RECOVERS; /* it is no request any more */
    replay->next_of_client = hub->replays[subscription->client];
    hub->replays[subscription->client] = index;
    client->in_history = true;
    rc_metric_add(hub->metrics, RC_METRIC_REPLAYS, 1);
    rc_replay_due(hub, subscription->client);
}

int rc_hub_replay_on(struct rc_hub *hub, uint32_t subscription, const struct rc_replay *stood)
{
    const uint32_t index = rc_replay_ask(hub, &(struct rc_hub_from){.former = stood->former});
    if (index == 0) {
        return -ENOMEM;
    }
    rc_truth_replay(hub->truth, index)->cursor = stood->cursor;
    rc_truth_replay(hub->truth, index)->flags = stood->flags;
    rc_replay_begin(hub, subscription, index);
    return 0;
}

void rc_replay_end(struct rc_hub *hub, uint32_t subscription_index)
{
    const struct rc_truth *truth = hub->truth;
    struct rc_subscription *subscription = rc_truth_subscription(truth, subscription_index);
    const uint32_t index = subscription->replay;
    uint32_t *link = &hub->replays[subscription->client];
    while (*link != index) {
        link = &rc_truth_replay(truth, *link)->next_of_client;
    }
    *link = rc_truth_replay(truth, index)->next_of_client;
    rc_truth_client(truth, subscription->client)->in_history = hub->replays[subscription->client] != 0;
    subscription->replay = 0;
    rc_pool_free(&hub->truth->replays, index);
    rc_metric_sub(hub->metrics, RC_METRIC_REPLAYS, 1);
}

void rc_replay_due(struct rc_hub *hub, uint32_t client_index)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    if (!client->replay_due) {
        const int rc = rc_index_list_push(&hub->replays_due, client_index);
        RC_ASSERT(rc == 0); /* four bytes; without them it would wait for ever */
        client->replay_due = true;
    }
}

/* Offset of the frame's message, which is of the place's epoch: the low bits are in the frame, the log is shorter than the rest. */
static uint64_t replay_offset_of(const struct rc_place *place, const struct rc_frame *frame)
{
    const uint32_t mask = UINT32_MAX >> RC_FRAME_OFFSET_SHIFT;
    return place->position + 1 - (((uint32_t)place->position + 1 - (frame->flags >> RC_FRAME_OFFSET_SHIFT)) & mask);
}

bool rc_replay_behind(struct rc_hub *hub, uint32_t subscription_index, const struct rc_channel_log *log, uint32_t at)
{
    const struct rc_truth *truth = hub->truth;
    const struct rc_subscription *subscription = rc_truth_subscription(truth, subscription_index);
    const struct rc_group *group = rc_truth_group(truth, subscription->group);
    const struct rc_channel *channel = rc_truth_channel(truth, group->channel);
    const struct rc_frame *frame = at < log->frames ? rc_channel_log_frame(log, &truth->heap, at) : NULL;
    if (channel->place == 0 || frame == NULL || (frame->flags & RC_FRAME_GAP)) {
        return false;
    }
    const struct rc_place *place = rc_truth_place(truth, channel->place);
    const struct rc_history_state state = rc_history_state(hub->history, place->slot);
    const uint64_t offset = replay_offset_of(place, frame);
    if (frame->order <= place->order || state.epoch != place->epoch || offset < state.first || offset > state.last) {
        return false;
    }
    const uint32_t replay = rc_replay_ask(hub, &(struct rc_hub_from){0});
    if (replay == 0) {
        return false;
    }
    rc_truth_replay(truth, replay)->cursor =
        (struct rc_history_cursor){.slot = place->slot, .epoch = place->epoch, .offset = offset};
    rc_replay_begin(hub, subscription_index, replay);
    rc_metric_add(hub->metrics, RC_METRIC_SLOW_HEALED, 1);
    return true;
}
