/* place: where the heads of a channel's logs are in its history. Channels without history have none. See hub.h. */
#include "worker/hub/hub_internal.h"

bool rc_place_wanted(const struct rc_hub *hub, const struct rc_channel *channel)
{
    const struct rc_config_namespace *policy = &hub->config->namespaces[channel->namespace];
    return policy->history > 0 && policy->min_interval_ms == 0 && hub->history->slot_count > 0;
}

void rc_place_set(struct rc_hub *hub, uint32_t channel_index, uint64_t epoch, uint64_t position, uint32_t slot)
{
    struct rc_truth *truth = hub->truth;
    struct rc_channel *channel = rc_truth_channel(truth, channel_index);
    if (channel->place == 0) {
        channel->place = rc_pool_alloc(&truth->places);
        if (channel->place == 0) {
            rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
            return;
        }
    }
    *rc_truth_place(truth, channel->place) = (struct rc_place){
        .epoch = epoch, .position = position, .order = hub->order, .slot = slot, .channel = channel_index};
}

void rc_place_drop(struct rc_hub *hub, struct rc_channel *channel)
{
    if (channel->place != 0) {
        rc_truth_place(hub->truth, channel->place)->channel = 0;
        rc_pool_free(&hub->truth->places, channel->place);
        channel->place = 0;
    }
}
