/* hold: the throttles of a channel and key, and the message that each holds back. What they are for: throttle.c. */
#include "worker/hub/hub_internal.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/store/truth_found.h"

struct hold_key {
    const struct rc_hub *hub;
    uint64_t key;
    uint32_t channel;
};

static bool hold_equal(const void *context, uint32_t index)
{
    const struct hold_key *key = context;
    const struct rc_throttle *throttle = rc_truth_throttle(key->hub->truth, index);
    return throttle->channel == key->channel && throttle->key == key->key;
}

/* Both are good hashes; turned, so that a key named like the channel does not always give the same. */
static uint64_t hold_hash(const struct rc_hub *hub, uint32_t channel, uint64_t key)
{
    return rc_truth_channel(hub->truth, channel)->hash ^ (key << 1 | key >> 63);
}

uint32_t rc_hold_find(const struct rc_hub *hub, uint32_t channel, uint64_t key)
{
    const struct hold_key wanted = {.hub = hub, .key = key, .channel = channel};
    const uint32_t index = rc_hashmap_find(&hub->throttles, hold_hash(hub, channel, key), hold_equal, &wanted);
    return index == RC_HASHMAP_NONE ? 0 : index;
}

uint64_t rc_hold_now_ms(const struct rc_hub *hub)
{
    return *hub->now_ns / 1000000u;
}

static struct rc_throttle_queue *hold_queue(struct rc_hub *hub, const struct rc_throttle *throttle)
{
    return &hub->throttled[rc_truth_channel(hub->truth, throttle->channel)->namespace];
}

static void hold_dequeue(struct rc_hub *hub, const struct rc_throttle *throttle)
{
    const struct rc_truth *truth = hub->truth;
    struct rc_throttle_queue *queue = hold_queue(hub, throttle);
    *(throttle->previous == 0 ? &queue->first : &rc_truth_throttle(truth, throttle->previous)->next) = throttle->next;
    *(throttle->next == 0 ? &queue->last : &rc_truth_throttle(truth, throttle->next)->previous) = throttle->previous;
}

/* At the end: it was opened last. After a reload it may not have been, and then waits as long as who did. */
static void hold_enqueue(struct rc_hub *hub, uint32_t index)
{
    const struct rc_truth *truth = hub->truth;
    struct rc_throttle *throttle = rc_truth_throttle(truth, index);
    struct rc_throttle_queue *queue = hold_queue(hub, throttle);
    throttle->previous = queue->last;
    throttle->next = 0;
    if (queue->last == 0) {
        queue->first = index;
    } else {
        struct rc_throttle *last = rc_truth_throttle(truth, queue->last);
        last->next = index;
        throttle->opened_ms = throttle->opened_ms > last->opened_ms ? throttle->opened_ms : last->opened_ms;
    }
    queue->last = index;
}

static void hold_free_block(struct rc_hub *hub, uint32_t block)
{
    hub->held_bytes -= rc_heap_block_bytes(&hub->truth->heap, block);
    rc_metric_set(hub->metrics, RC_METRIC_HELD_BYTES, hub->held_bytes);
    rc_heap_free(&hub->truth->heap, block);
}

static void hold_let_go(struct rc_hub *hub, struct rc_throttle *throttle)
{
    const uint32_t block = throttle->held;
    throttle->held = 0;
    RC_STORE_ORDER();
    if (block != 0) {
        hold_free_block(hub, block);
    }
}

void rc_hold_close(struct rc_hub *hub, uint32_t index)
{
    const struct rc_truth *truth = hub->truth;
    struct rc_throttle *throttle = rc_truth_throttle(truth, index);
    struct rc_channel *channel = rc_truth_channel(truth, throttle->channel);
    hold_let_go(hub, throttle);
    hold_dequeue(hub, throttle);
    *(throttle->previous_of_channel == 0 ? &channel->throttles
                                         : &rc_truth_throttle(truth, throttle->previous_of_channel)->next_of_channel) =
        throttle->next_of_channel;
    if (throttle->next_of_channel != 0) {
        rc_truth_throttle(truth, throttle->next_of_channel)->previous_of_channel = throttle->previous_of_channel;
    }
    channel->throttle_count--;
    const bool removed = rc_hashmap_remove(&hub->throttles, hold_hash(hub, throttle->channel, throttle->key), index);
    RC_ASSERT(removed);
    throttle->channel = 0;
    rc_pool_free(&hub->truth->throttles, index);
}

void rc_hold_open(struct rc_hub *hub, uint32_t channel_index, uint64_t key)
{
    struct rc_truth *truth = hub->truth;
    struct rc_channel *channel = rc_truth_channel(truth, channel_index);
    const uint32_t index = rc_pool_alloc(&truth->throttles);
    if (index == 0 || rc_hashmap_insert(&hub->throttles, hold_hash(hub, channel_index, key), index) < 0) {
        rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        if (index != 0) {
            rc_pool_free(&truth->throttles, index);
        }
        return;
    }
    *rc_truth_throttle(truth, index) = (struct rc_throttle){
        .opened_ms = rc_hold_now_ms(hub), .key = key, .channel = channel_index, .next_of_channel = channel->throttles};
    if (channel->throttles != 0) {
        rc_truth_throttle(truth, channel->throttles)->previous_of_channel = index;
    }
    channel->throttles = index;
    channel->throttle_count++;
    hold_enqueue(hub, index);
}

/* A block for the record: the one that is there if it fits, within the budget. 0: there is no memory. */
static uint32_t hold_block(struct rc_hub *hub, struct rc_throttle *throttle, uint64_t bytes)
{
    struct rc_heap *heap = &hub->truth->heap;
    if (throttle->held != 0) {
        const uint64_t room = rc_heap_block_bytes(heap, throttle->held);
        if (room >= bytes && room / 8 <= bytes + RC_HEAP_UNIT) {
            return throttle->held;
        }
        hold_let_go(hub, throttle);
    }
    if (hub->held_bytes + bytes > hub->config->limits.worker_log_bytes) {
        return 0;
    }
    const uint32_t block = rc_heap_alloc(heap, bytes);
    if (block != 0) {
        hub->held_bytes += rc_heap_block_bytes(heap, block);
        rc_metric_set(hub->metrics, RC_METRIC_HELD_BYTES, hub->held_bytes);
    }
    return block;
}

bool rc_hold_keep(struct rc_hub *hub, uint32_t index, const struct rc_envelope_view *view, uint64_t key)
{
    struct rc_throttle *throttle = rc_truth_throttle(hub->truth, index);
    struct rc_envelope_view copy = *view;
    copy.head.channel_bytes = 0; /* the throttle knows its channel */
    copy.head.request_id_bytes = 0;
    copy.head.exclude_text_bytes = 0; /* clients of other hosts */
    copy.head.time_ns = 0;            /* waiting here is no latency */
    rc_metric_add(hub->metrics, RC_METRIC_THROTTLED, throttle->held != 0 ? 1 : 0);
    const uint64_t bytes = rc_envelope_bytes(&copy.head);
    throttle->held = hold_block(hub, throttle, bytes);
    if (throttle->held == 0) {
        rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        return false;
    }
    throttle->held_bytes = (uint32_t)bytes;
    throttle->held_key = key;
    rc_envelope_write(rc_heap_at(&hub->truth->heap, throttle->held), &copy);
    throttle->partial_mask = hub->kept->partial_mask;
    hub->kept->partial_mask = 0;
    return true;
}

void rc_hold_renew(struct rc_hub *hub, uint32_t index)
{
    struct rc_throttle *throttle = rc_truth_throttle(hub->truth, index);
    hold_let_go(hub, throttle);
    hold_dequeue(hub, throttle);
    throttle->opened_ms = rc_hold_now_ms(hub);
    throttle->partial_mask = 0;
    hold_enqueue(hub, index);
}

void rc_hub_throttle_drop(struct rc_hub *hub, uint32_t channel)
{
    while (rc_truth_channel(hub->truth, channel)->throttles != 0) {
        rc_hold_close(hub, rc_truth_channel(hub->truth, channel)->throttles);
    }
}

int rc_hold_rebuild(struct rc_hub *hub, const struct rc_truth_found *found, struct rc_err *err)
{
    const struct rc_truth *truth = hub->truth;
    for (uint32_t i = 1; i < truth->throttles.high; i++) {
        if (!rc_truth_was_found(found, RC_TRUTH_POOL_throttles, i)) {
            continue;
        }
        const struct rc_throttle *throttle = rc_truth_throttle(truth, i);
        struct rc_throttle_queue *queue = hold_queue(hub, throttle);
        if ((throttle->previous == 0 && queue->first != 0) || (throttle->next == 0 && queue->last != 0)) {
            return rc_err_set(err, -EBADMSG, "throttles %u and %u begin or end one queue", i,
                              throttle->previous == 0 ? queue->first : queue->last);
        }
        queue->first = throttle->previous == 0 ? i : queue->first;
        queue->last = throttle->next == 0 ? i : queue->last;
        if (rc_hashmap_insert(&hub->throttles, hold_hash(hub, throttle->channel, throttle->key), i) < 0) {
            return rc_err_set(err, -ENOMEM, "no memory for the messages that a former process holds back");
        }
    }
    return 0;
}

void rc_hub_throttle_sort(struct rc_hub *hub)
{
    struct rc_throttle_queue before[RC_CONFIG_NAMESPACES_MAX];
    if (hub->truth->throttles.used == 0) {
        return;
    }
    memcpy(before, hub->throttled, sizeof(before));
    memset(hub->throttled, 0, sizeof(hub->throttled));
    for (uint32_t i = 0; i < RC_CONFIG_NAMESPACES_MAX; i++) {
        for (uint32_t index = before[i].first; index != 0;) {
            const uint32_t next = rc_truth_throttle(hub->truth, index)->next;
            hold_enqueue(hub, index);
            index = next;
        }
    }
}
