/* channel: names, and whether somebody wants what they name. See hub.h. */
#include "worker/hub/hub_internal.h"

#include <string.h>

#include "common/base/check.h"
#include "common/text/json_scan.h"

struct channel_key {
    const struct rc_hub *hub;
    struct rc_span name;
};

static bool channel_equal(const void *context, uint32_t index)
{
    const struct channel_key *key = context;
    return rc_span_equal(rc_hub_name(key->hub, rc_truth_channel(key->hub->truth, index)), key->name);
}

uint32_t rc_hub_find(struct rc_hub *hub, uint64_t hash, struct rc_span name)
{
    const struct channel_key key = {.hub = hub, .name = name};
    const uint32_t index = rc_hashmap_find(&hub->names, hash, channel_equal, &key);
    return index == RC_HASHMAP_NONE ? 0 : index;
}

uint8_t rc_hub_namespace(const struct rc_hub *hub, struct rc_span name)
{
    return (uint8_t)(rc_config_namespace_of(hub->config, (const char *)name.bytes, name.count) -
                     hub->config->namespaces);
}

static uint32_t channel_create(struct rc_hub *hub, uint64_t hash, struct rc_span name)
{
    struct rc_truth *truth = hub->truth;
    uint8_t json[RC_CHANNEL_NAME_MAX * 6 + 2];
    const size_t json_bytes = rc_json_string_encode(json, sizeof(json), name);
    const uint32_t block = rc_heap_alloc(&truth->heap, name.count + json_bytes);
    if (block == 0) {
        return 0;
    }
    const uint32_t index = rc_pool_alloc(&truth->channels);
    if (index == 0) {
        rc_heap_free(&truth->heap, block);
        return 0;
    }
    memcpy(rc_heap_at(&truth->heap, block), name.bytes, name.count);
    memcpy((uint8_t *)rc_heap_at(&truth->heap, block) + name.count, json, json_bytes);
    *rc_truth_channel(truth, index) = (struct rc_channel){.hash = hash,
                                                          .name_bytes = (uint8_t)name.count,
                                                          .json_bytes = (uint16_t)json_bytes,
                                                          .namespace = rc_hub_namespace(hub, name)};
    if (rc_hashmap_insert(&hub->names, hash, index) < 0) {
        rc_heap_free(&truth->heap, block);
        rc_pool_free(&truth->channels, index);
        return 0;
    }
    hub->heats[index] = (struct rc_heat){.at_ds = hub->io->now_ds};
    RC_STORE_ORDER();
    rc_truth_channel(truth, index)->name = block; /* it is there from here on */
    rc_hub_count_channels(hub);
    return index;
}

uint32_t rc_hub_channel(struct rc_hub *hub, struct rc_span name)
{
    const uint64_t hash = rc_channel_hash((const char *)name.bytes, name.count);
    const uint32_t index = rc_hub_find(hub, hash, name);
    if (index != 0) {
        return index;
    }
    const bool here = name.count > 0 && name.bytes[0] == RC_HUB_HERE_BYTE;
    const uint64_t kept = here || hub->handlers.here_kept == NULL ? 0 : hub->handlers.here_kept(hub->handlers.context);
    if (hub->truth->channels.used + kept >= hub->config->limits.max_channels_per_worker) {
        rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        return 0;
    }
    return channel_create(hub, hash, name);
}

void rc_hub_update_interest(struct rc_hub *hub, uint32_t index)
{
    struct rc_channel *channel = rc_truth_channel(hub->truth, index);
    const bool wanted =
        channel->subscriber_count > 0 || channel->pending != 0 || (channel->flags & RC_CHANNEL_HELD) != 0;
    if (wanted == ((channel->flags & RC_CHANNEL_WANTED) != 0) || index == hub->everybody ||
        (channel->flags & RC_CHANNEL_HERE)) {
        return;
    }
    channel->flags = (uint16_t)(wanted ? channel->flags | RC_CHANNEL_WANTED
                                       : channel->flags & ~(RC_CHANNEL_WANTED | RC_CHANNEL_ACTIVE));
    if (!wanted) {
        rc_place_drop(hub, channel);
    }
    hub->handlers.interest_changed(hub->handlers.context, index);
}

void rc_hub_hold_channel(struct rc_hub *hub, uint32_t index)
{
    rc_truth_channel(hub->truth, index)->flags |= RC_CHANNEL_HELD;
    rc_hub_update_interest(hub, index);
}

void rc_hub_let_go_channel(struct rc_hub *hub, uint32_t index)
{
    struct rc_channel *channel = rc_truth_channel(hub->truth, index);
    channel->flags &= (uint16_t)~RC_CHANNEL_HELD;
    rc_hub_update_interest(hub, index);
    rc_hub_release(hub, index);
}

void rc_hub_count_channels(const struct rc_hub *hub)
{
    /* "*" is there from the beginning: nobody has subscribed to it. */
    rc_metric_set(hub->metrics, RC_METRIC_CHANNELS, hub->truth->channels.used - 1);
}

void rc_hub_release(struct rc_hub *hub, uint32_t index)
{
    struct rc_truth *truth = hub->truth;
    struct rc_channel *channel = rc_truth_channel(truth, index);
    if (index == hub->everybody || channel->subscriber_count > 0 || channel->pending != 0 ||
        (channel->flags & (RC_CHANNEL_WANTED | RC_CHANNEL_TOLD | RC_CHANNEL_DIRTY | RC_CHANNEL_SETTLING))) {
        return;
    }
    RC_ASSERT(channel->groups == 0 && channel->throttles == 0 && !(channel->flags & RC_CHANNEL_ASKED));
    if ((channel->flags & RC_CHANNEL_HERE) && hub->handlers.here_gone != NULL) {
        hub->handlers.here_gone(hub->handlers.context, channel->token);
    }
    rc_place_drop(hub, channel);
    const bool removed = rc_hashmap_remove(&hub->names, channel->hash, index);
    RC_ASSERT(removed);
    rc_heap_give(&truth->heap, &channel->name); /* which tells free objects from used ones */
    rc_pool_free(&truth->channels, index);
    rc_hub_count_channels(hub);
}
