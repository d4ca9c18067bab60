/*
 * throttle: at most one message per min_interval, channel and key; the newest wins. See hub.h.
 *
 * A throttle is there from a message that went into the logs until min_interval later. What comes meanwhile is held, a newer
 * message in the place of an older one of its key; when the time is up the held one goes into the logs, and the time begins
 * anew. So the first message after a quiet time goes out at once, and the last of a burst always goes out.
 *
 * One message is held per channel and key, all of a worker within a budget like that of the logs. What finds no memory to be
 * held is not throttled instead: it is sooner too early than lost. A held message takes its place in the order of channels when
 * it is released: until then nothing was said of it to anybody but its publisher.
 */
#include "worker/hub/hub.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"

#define THROTTLE_BATCH_MAX 1024u /* messages released between two looks at sockets and rings */

struct throttle_key {
    const struct rc_hub *hub;
    uint64_t key;
    uint32_t channel;
};

static bool throttle_equal(const void *context, uint32_t index)
{
    const struct throttle_key *key = context;
    const struct rc_throttle *throttle = rc_truth_throttle(key->hub->truth, index);
    return throttle->channel == key->channel && throttle->key == key->key;
}

/* Both are good hashes; turned, so that a key named like the channel does not always give the same. */
static uint64_t throttle_hash(const struct rc_hub *hub, uint32_t channel, uint64_t key)
{
    return rc_truth_channel(hub->truth, channel)->hash ^ (key << 1 | key >> 63);
}

static uint32_t throttle_find(const struct rc_hub *hub, uint32_t channel, uint64_t key)
{
    const struct throttle_key wanted = {.hub = hub, .key = key, .channel = channel};
    const uint32_t index = rc_hashmap_find(&hub->throttles, throttle_hash(hub, channel, key), throttle_equal, &wanted);
    return index == RC_HASHMAP_NONE ? 0 : index;
}

static uint64_t throttle_now_ms(const struct rc_hub *hub)
{
    return *hub->now_ns / 1000000u;
}

static uint64_t throttle_interval_ms(const struct rc_hub *hub, uint32_t namespace)
{
    return hub->draining ? 0 : hub->config->namespaces[namespace].min_interval_ms;
}

static struct rc_throttle_queue *throttle_queue(struct rc_hub *hub, const struct rc_throttle *throttle)
{
    return &hub->throttled[rc_truth_channel(hub->truth, throttle->channel)->namespace];
}

static void throttle_dequeue(struct rc_hub *hub, const struct rc_throttle *throttle)
{
    const struct rc_truth *truth = hub->truth;
    struct rc_throttle_queue *queue = throttle_queue(hub, throttle);
    *(throttle->previous == 0 ? &queue->first : &rc_truth_throttle(truth, throttle->previous)->next) = throttle->next;
    *(throttle->next == 0 ? &queue->last : &rc_truth_throttle(truth, throttle->next)->previous) = throttle->previous;
}

/* At the end: it was opened last. After a reload it may not have been, and then waits as long as who did. */
static void throttle_enqueue(struct rc_hub *hub, uint32_t index)
{
    const struct rc_truth *truth = hub->truth;
    struct rc_throttle *throttle = rc_truth_throttle(truth, index);
    struct rc_throttle_queue *queue = throttle_queue(hub, throttle);
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

static void throttle_free_block(struct rc_hub *hub, uint32_t block)
{
    hub->held_bytes -= rc_heap_block_bytes(&hub->truth->heap, block);
    rc_metric_set(hub->metrics, RC_METRIC_HELD_BYTES, hub->held_bytes);
    rc_heap_free(&hub->truth->heap, block);
}

static void throttle_let_go(struct rc_hub *hub, struct rc_throttle *throttle)
{
    if (throttle->held != 0) {
        throttle_free_block(hub, throttle->held);
        throttle->held = 0;
    }
}

static void throttle_close(struct rc_hub *hub, uint32_t index)
{
    const struct rc_truth *truth = hub->truth;
    struct rc_throttle *throttle = rc_truth_throttle(truth, index);
    struct rc_channel *channel = rc_truth_channel(truth, throttle->channel);
    throttle_let_go(hub, throttle);
    throttle_dequeue(hub, throttle);
    *(throttle->previous_of_channel == 0 ? &channel->throttles
                                         : &rc_truth_throttle(truth, throttle->previous_of_channel)->next_of_channel) =
        throttle->next_of_channel;
    if (throttle->next_of_channel != 0) {
        rc_truth_throttle(truth, throttle->next_of_channel)->previous_of_channel = throttle->previous_of_channel;
    }
    channel->throttle_count--;
    const bool removed =
        rc_hashmap_remove(&hub->throttles, throttle_hash(hub, throttle->channel, throttle->key), index);
    RC_ASSERT(removed);
    throttle->channel = 0;
    rc_pool_free(&hub->truth->throttles, index);
}

/* A message has gone into the logs: the next one has to wait. */
static void throttle_open(struct rc_hub *hub, uint32_t channel_index, uint64_t key)
{
    struct rc_truth *truth = hub->truth;
    struct rc_channel *channel = rc_truth_channel(truth, channel_index);
    const uint32_t index = rc_pool_alloc(&truth->throttles);
    if (index == 0 || rc_hashmap_insert(&hub->throttles, throttle_hash(hub, channel_index, key), index) < 0) {
        rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        if (index != 0) {
            rc_pool_free(&truth->throttles, index);
        }
        return;
    }
    *rc_truth_throttle(truth, index) = (struct rc_throttle){
        .opened_ms = throttle_now_ms(hub), .key = key, .channel = channel_index, .next_of_channel = channel->throttles};
    if (channel->throttles != 0) {
        rc_truth_throttle(truth, channel->throttles)->previous_of_channel = index;
    }
    channel->throttles = index;
    channel->throttle_count++;
    throttle_enqueue(hub, index);
}

/* A block for the record: the one that is there if it fits, within the budget. 0: there is no memory. */
static uint32_t throttle_block(struct rc_hub *hub, struct rc_throttle *throttle, uint64_t bytes)
{
    struct rc_heap *heap = &hub->truth->heap;
    if (throttle->held != 0) {
        const uint64_t room = rc_heap_block_bytes(heap, throttle->held);
        if (room >= bytes && room / 8 <= bytes + RC_HEAP_UNIT) {
            return throttle->held;
        }
        throttle_let_go(hub, throttle);
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

/* Keeps the message, whose key is `key`, in the place of the one that is held. False: there is no memory, and nothing is held any more. */
static bool throttle_hold(struct rc_hub *hub, uint32_t index, const struct rc_envelope_view *view, uint64_t key)
{
    struct rc_throttle *throttle = rc_truth_throttle(hub->truth, index);
    struct rc_envelope_view copy = *view;
    copy.head.channel_bytes = 0; /* the throttle knows its channel */
    copy.head.request_id_bytes = 0;
    copy.head.exclude_text_bytes = 0; /* clients of other hosts */
    copy.head.time_ns = 0;            /* waiting here is no latency */
    rc_metric_add(hub->metrics, RC_METRIC_THROTTLED, throttle->held != 0 ? 1 : 0);
    const uint64_t bytes = rc_envelope_bytes(&copy.head);
    throttle->held = throttle_block(hub, throttle, bytes);
    if (throttle->held == 0) {
        rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        return false;
    }
    throttle->held_bytes = (uint32_t)bytes;
    throttle->held_key = key;
    rc_envelope_write(rc_heap_at(&hub->truth->heap, throttle->held), &copy);
    throttle->partial_mask = hub->partial_mask;
    hub->partial_mask = 0;
    return true;
}

/* The throttle that a message has to wait for, or 0. *key becomes 0 when the channel has too many. */
static uint32_t throttle_of(const struct rc_hub *hub, uint32_t channel_index, uint64_t *key)
{
    const struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    uint32_t index = throttle_find(hub, channel_index, *key);
    if (index != 0 || *key == 0) {
        return index;
    }
    index = throttle_find(hub, channel_index, 0);
    if (channel->throttle_count >= hub->config->namespaces[channel->namespace].max_keys) {
        *key = 0;
        return index;
    }
    /* There was no room for its key, now there is: still, it must not overtake its elder. */
    const struct rc_throttle *rest = index == 0 ? NULL : rc_truth_throttle(hub->truth, index);
    return rest != NULL && rest->held != 0 && rest->held_key == *key ? index : 0;
}

int rc_hub_throttle(struct rc_hub *hub, uint32_t channel_index, const struct rc_envelope_view *view)
{
    const struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    if (channel_index == hub->everybody) {
        return rc_hub_append(hub, channel_index, view);
    }
    const uint64_t own_key = rc_hub_key(view);
    uint64_t key = own_key;
    const uint32_t index = throttle_of(hub, channel_index, &key);
    if (index != 0 && throttle_hold(hub, index, view, own_key)) {
        return 0;
    }
    const int rc = rc_hub_append(hub, channel_index, view);
    if (rc == 0 && index == 0 && channel->subscriber_count > 0 && throttle_interval_ms(hub, channel->namespace) > 0) {
        throttle_open(hub, channel_index, key);
    }
    return rc;
}

void rc_hub_throttle_drop(struct rc_hub *hub, uint32_t channel)
{
    while (rc_truth_channel(hub->truth, channel)->throttles != 0) {
        throttle_close(hub, rc_truth_channel(hub->truth, channel)->throttles);
    }
}

/* The time of the first one in a queue is up. -ENOSPC: a turn has to come first. */
static int throttle_due(struct rc_hub *hub, uint32_t index)
{
    struct rc_throttle *throttle = rc_truth_throttle(hub->truth, index);
    if (throttle->held == 0) {
        throttle_close(hub, index);
        return 0;
    }
    struct rc_envelope_view view;
    const uint32_t block = throttle->held;
    const int good = rc_envelope_read(&view, rc_heap_at(&hub->truth->heap, block), throttle->held_bytes);
    RC_ASSERT(good == 0);                      /* it was written here */
    const uint32_t others = hub->partial_mask; /* of the record that the down ring has to try again */
    hub->partial_mask = throttle->partial_mask;
    const int rc = rc_hub_append(hub, throttle->channel, &view);
    const uint32_t partial = hub->partial_mask;
    hub->partial_mask = others;
    if (rc == -ENOSPC) {
        throttle->partial_mask = partial;
        return -ENOSPC;
    }
    throttle_let_go(hub, throttle);
    throttle_dequeue(hub, throttle);
    throttle->opened_ms = throttle_now_ms(hub);
    throttle->partial_mask = 0;
    throttle_enqueue(hub, index);
    return 0;
}

bool rc_hub_timers(struct rc_hub *hub)
{
    if (hub->truth->throttles.used == 0) {
        return true;
    }
    const uint64_t now_ms = throttle_now_ms(hub);
    uint32_t count = 0;
    for (uint32_t i = 0; i < hub->config->namespace_count; i++) {
        const uint64_t interval_ms = throttle_interval_ms(hub, i);
        uint32_t first;
        while ((first = hub->throttled[i].first) != 0 &&
               rc_truth_throttle(hub->truth, first)->opened_ms + interval_ms <= now_ms) {
            if (count++ == THROTTLE_BATCH_MAX || throttle_due(hub, first) == -ENOSPC) {
                return false;
            }
        }
    }
    return true;
}

uint32_t rc_hub_sleep_ms(const struct rc_hub *hub, uint32_t limit)
{
    if (hub->truth->throttles.used == 0) {
        return limit;
    }
    const uint64_t now_ms = throttle_now_ms(hub);
    for (uint32_t i = 0; i < hub->config->namespace_count; i++) {
        if (hub->throttled[i].first != 0) {
            const uint64_t due_ms =
                rc_truth_throttle(hub->truth, hub->throttled[i].first)->opened_ms + throttle_interval_ms(hub, i);
            const uint64_t ms = due_ms > now_ms ? due_ms - now_ms : 0;
            limit = ms < limit ? (uint32_t)ms : limit;
        }
    }
    return limit;
}

bool rc_hub_drain(struct rc_hub *hub)
{
    hub->draining = true;
    return rc_hub_timers(hub);
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
            throttle_enqueue(hub, index);
            index = next;
        }
    }
}
