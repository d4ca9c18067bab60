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
#include "worker/hub/hub_internal.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"

#define THROTTLE_BATCH_MAX 1024u /* messages released between two looks at sockets and rings */

static uint64_t throttle_interval_ms(const struct rc_hub *hub, uint32_t namespace)
{
    return hub->draining ? 0 : hub->config->namespaces[namespace].min_interval_ms;
}

/* The throttle that a message has to wait for, or 0. *key becomes 0 when the channel has too many. */
static uint32_t throttle_of(const struct rc_hub *hub, uint32_t channel_index, uint64_t *key)
{
    const struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    uint32_t index = rc_hold_find(hub, channel_index, *key);
    if (index != 0 || *key == 0) {
        return index;
    }
    index = rc_hold_find(hub, channel_index, 0);
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
    if (index != 0 && rc_hold_keep(hub, index, view, own_key)) {
        return 0;
    }
    const int rc = rc_hub_append(hub, channel_index, view);
    if (rc == 0 && index == 0 && channel->subscriber_count > 0 && throttle_interval_ms(hub, channel->namespace) > 0) {
        rc_hold_open(hub, channel_index, key);
    }
    return rc;
}

/* The time of the first one in a queue is up. -ENOSPC: a turn has to come first. */
static int throttle_due(struct rc_hub *hub, uint32_t index)
{
    struct rc_throttle *throttle = rc_truth_throttle(hub->truth, index);
    if (throttle->held == 0) {
        rc_hold_close(hub, index);
        return 0;
    }
    struct rc_envelope_view view;
    const uint32_t block = throttle->held;
    const int good = rc_envelope_read(&view, rc_heap_at(&hub->truth->heap, block), throttle->held_bytes);
    RC_ASSERT(good == 0);                            /* it was written here */
    const uint64_t others = hub->kept->partial_mask; /* of the record that the down ring has to try again */
    hub->kept->partial_mask = throttle->partial_mask;
    const int rc = rc_hub_append(hub, throttle->channel, &view);
    const uint64_t partial = hub->kept->partial_mask;
    hub->kept->partial_mask = others;
    if (rc == -ENOSPC) {
        throttle->partial_mask = partial;
        return -ENOSPC;
    }
    rc_hold_renew(hub, index);
    return 0;
}

bool rc_hub_timers(struct rc_hub *hub)
{
    if (hub->truth->throttles.used == 0) {
        return true;
    }
    const uint64_t now_ms = rc_hold_now_ms(hub);
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
    const uint64_t now_ms = rc_hold_now_ms(hub);
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

int rc_hub_message(struct rc_hub *hub, const struct rc_envelope_view *view)
{
    const struct rc_span name = rc_span_of(view->channel, view->head.channel_bytes);
    const uint64_t hash = view->head.channel_hash != 0 ? view->head.channel_hash
                                                       : rc_channel_hash(view->channel, view->head.channel_bytes);
    const uint32_t index = rc_hub_find(hub, hash, name);
    if (index == 0) {
        hub->kept->partial_mask = 0; /* of this message, if it was tried before */
        return 0;
    }
    const struct rc_channel *channel = rc_truth_channel(hub->truth, index);
    const bool throttled = hub->config->namespaces[channel->namespace].min_interval_ms > 0 || channel->throttles != 0;
    if (RC_UNLIKELY(throttled)) {
        struct rc_envelope_view plain = *view;
        plain.head.epoch = plain.head.position = 0; /* offsets out of order would tell nobody anything */
        if (RC_UNLIKELY(hub->tracing)) {
            rc_hub_trace_message(hub, index, &plain, true);
        }
        return rc_hub_throttle(hub, index, &plain);
    }
    return view->head.epoch != 0 || channel->place != 0 ? rc_recover_message(hub, index, view)
                                                        : rc_hub_append(hub, index, view);
}
