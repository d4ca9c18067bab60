/* pending: requests that wait for the relay, and the one way in by a channel's name. See hub.h. */
#include "worker/hub/hub_internal.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"

static int pending_add(struct rc_hub *hub, uint32_t client, uint32_t channel_index, struct rc_span id, bool joins)
{
    struct rc_truth *truth = hub->truth;
    struct rc_channel *channel = rc_truth_channel(truth, channel_index);
    const uint32_t index = rc_pool_alloc(&truth->pending);
    if (index == 0) {
        rc_hub_release(hub, channel_index);
        return -ENOMEM;
    }
    struct rc_pending *pending = rc_truth_pending(truth, index);
    *pending = (struct rc_pending){.previous = channel->pending_last,
                                   .next_of_client = hub->waiting[client],
                                   .channel = channel_index,
                                   .client = client,
                                   .id_bytes = (uint8_t)id.count,
                                   .joins = joins ? 1 : 0};
    if (id.count > 0) {
        memcpy(pending->id, id.bytes, id.count);
    }
    if (channel->pending == 0) {
        channel->pending = index;
    } else {
        rc_truth_pending(truth, channel->pending_last)->next = index;
    }
    channel->pending_last = index;
    if (hub->waiting[client] != 0) {
        rc_truth_pending(truth, hub->waiting[client])->previous_of_client = index;
    }
    hub->waiting[client] = index;
    rc_truth_client(truth, client)->pending_count++;
    rc_hub_update_interest(hub, channel_index);
    if (channel->flags & (RC_CHANNEL_ACTIVE | RC_CHANNEL_REFUSED)) {
        hub->handlers.interest_changed(hub->handlers.context,
                                       channel_index); /* the relay is asked again how far it goes */
    }
    return 0;
}

int rc_hub_wait(struct rc_hub *hub, uint32_t client, uint32_t channel_index, struct rc_span id)
{
    return pending_add(hub, client, channel_index, id, false);
}

int rc_hub_join(struct rc_hub *hub, uint32_t client, uint32_t channel_index)
{
    const int rc = pending_add(hub, client, channel_index, (struct rc_span){0}, true);
    if (rc == 0) {
        rc_truth_client(hub->truth, client)->flags |= RC_CLIENT_WAITS_JOIN;
    }
    return rc;
}

enum rc_subscribed rc_hub_subscribe_name(struct rc_hub *hub, uint32_t client_index, struct rc_span name,
                                         enum rc_subscriber by, struct rc_span id)
{
    const struct rc_truth *truth = hub->truth;
    const struct rc_client *client = rc_truth_client(truth, client_index);
    const uint32_t existing = rc_hub_find(hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    const bool subscribed = existing != 0 && rc_hub_subscription(hub, client_index, existing) != 0;
    /* What others were told where Redis had not confirmed is not known to hold now. */
    const uint32_t doubts = by == RC_SUBSCRIBER_CLIENT ? RC_CHANNEL_LOCAL | RC_CHANNEL_REFUSED : 0;
    if (subscribed && !(rc_truth_channel(truth, existing)->flags & doubts)) {
        return RC_SUBSCRIBED;
    }
    if (!subscribed && by != RC_SUBSCRIBER_SERVER &&
        (uint32_t)client->subscription_count + client->pending_count >= hub->config->limits.max_channels) {
        return RC_SUBSCRIBE_LIMITED;
    }
    const uint32_t channel = rc_hub_channel(hub, name);
    if (channel == 0) {
        return RC_SUBSCRIBE_NO_ROOM;
    }
    const uint32_t state = rc_truth_channel(truth, channel)->flags & (RC_CHANNEL_ACTIVE | (doubts & RC_CHANNEL_LOCAL));
    if (state == RC_CHANNEL_ACTIVE) {
        return rc_hub_subscribe(hub, client_index, channel) != 0 ? RC_SUBSCRIBED : RC_SUBSCRIBE_NO_ROOM;
    }
    const int rc = by == RC_SUBSCRIBER_SERVER ? rc_hub_join(hub, client_index, channel)
                                              : rc_hub_wait(hub, client_index, channel, id);
    return rc == 0 ? RC_SUBSCRIBE_WAITS : RC_SUBSCRIBE_NO_ROOM;
}

/* One request of the client waits no more. */
static void pending_over(struct rc_hub *hub, uint32_t client_index)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    client->pending_count--;
    if (client->pending_count == 0 && (client->flags & RC_CLIENT_WAITS_SUBSCRIBE)) {
        hub->handlers.subscribed(hub->handlers.context, client_index);
    }
}

/* Takes a request out of both of its lists. What the channel is to the relay is not looked at. */
static struct rc_pending pending_remove(struct rc_hub *hub, uint32_t index)
{
    struct rc_truth *truth = hub->truth;
    const struct rc_pending pending = *rc_truth_pending(truth, index);
    struct rc_channel *channel = rc_truth_channel(truth, pending.channel);
    if (pending.previous != 0) {
        rc_truth_pending(truth, pending.previous)->next = pending.next;
    } else {
        channel->pending = pending.next;
    }
    if (pending.next != 0) {
        rc_truth_pending(truth, pending.next)->previous = pending.previous;
    } else {
        channel->pending_last = pending.previous;
    }
    if (pending.previous_of_client != 0) {
        rc_truth_pending(truth, pending.previous_of_client)->next_of_client = pending.next_of_client;
    } else {
        hub->waiting[pending.client] = pending.next_of_client;
    }
    if (pending.next_of_client != 0) {
        rc_truth_pending(truth, pending.next_of_client)->previous_of_client = pending.previous_of_client;
    }
    rc_pool_free(&truth->pending, index);
    pending_over(hub, pending.client);
    return pending;
}

/* The same, and nobody may want the channel any more. */
static struct rc_pending pending_drop(struct rc_hub *hub, uint32_t index)
{
    const struct rc_pending pending = pending_remove(hub, index);
    rc_hub_update_interest(hub, pending.channel);
    rc_hub_release(hub, pending.channel);
    return pending;
}

void rc_hub_wait_end(struct rc_hub *hub, uint32_t client)
{
    while (hub->waiting[client] != 0) {
        (void)pending_drop(hub, hub->waiting[client]);
    }
}

bool rc_hub_wait_cancel(struct rc_hub *hub, uint32_t client, uint32_t channel_index, uint8_t id[RC_REQUEST_ID_MAX],
                        uint8_t *id_bytes)
{
    uint32_t oldest = 0; /* the list begins with the newest */
    for (uint32_t index = hub->waiting[client]; index != 0;
         index = rc_truth_pending(hub->truth, index)->next_of_client) {
        oldest = rc_truth_pending(hub->truth, index)->channel == channel_index ? index : oldest;
    }
    if (oldest == 0) {
        return false;
    }
    const struct rc_pending pending = pending_drop(hub, oldest);
    *id_bytes = pending.id_bytes;
    memcpy(id, pending.id, pending.id_bytes);
    return true;
}

/* A request is settled: who waited for what the server itself asked for goes on after the last one, whoever asked for that. */
static void pending_joined(struct rc_hub *hub, uint32_t client_index)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    if (client->pending_count == 0 && (client->flags & RC_CLIENT_WAITS_JOIN)) {
        client->flags &= (uint16_t)~RC_CLIENT_WAITS_JOIN;
        rc_hub_touch(hub, client_index);
        hub->handlers.joined(hub->handlers.context, client_index);
    }
}

/* Subscribes (code 0) or refuses one connection that waited, and answers if it asked for an answer. */
static void pending_settle(struct rc_hub *hub, uint32_t channel_index, const struct rc_pending *pending, bool local,
                           uint32_t code)
{
    const struct rc_client *client = rc_truth_client(hub->truth, pending->client);
    const bool goes_on = client->state == RC_CLIENT_OPEN && !(client->flags & RC_CLIENT_CLOSE_QUEUED);
    if (goes_on && code == 0 && rc_hub_subscription(hub, pending->client, channel_index) == 0 &&
        rc_hub_subscribe(hub, pending->client, channel_index) == 0) {
        code = RC_CODE_UNAVAILABLE;
    }
    if (pending->joins != 0 && code != 0) {
        rc_hub_break(hub, pending->client); /* it must not believe that it hears what it relies on */
        return;
    }
    pending_joined(hub, pending->client);
    if (pending->joins != 0 || !goes_on || (code == 0 && pending->id_bytes == 0)) {
        return;
    }
    const struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    const struct rc_event event = {
        .type = code == 0 ? RC_EVENT_SUBSCRIBED : RC_EVENT_ERROR,
        .code = (enum rc_code)code,
        .local = local,
        .id = rc_span_of(pending->id, pending->id_bytes),
        .channel = rc_hub_name(hub, channel),
        .channel_json = rc_hub_name_json(hub, channel),
        .message = RC_SPAN("the subscription could not be registered: try again later"),
    };
    if (rc_hub_reply_event(hub, pending->client, &event) < 0) {
        rc_hub_close_client(hub, pending->client, RC_CLOSE_TRY_AGAIN_LATER, NULL, 0, true);
    }
}

void rc_hub_acknowledged(struct rc_hub *hub, uint32_t channel_index, bool local, uint32_t code)
{
    struct rc_truth *truth = hub->truth;
    struct rc_channel *channel = rc_truth_channel(truth, channel_index);
    if (code == 0) {
        channel->flags =
            (uint16_t)((channel->flags & ~RC_CHANNEL_LOCAL) | RC_CHANNEL_ACTIVE | (local ? RC_CHANNEL_LOCAL : 0));
    }
    channel->flags |= RC_CHANNEL_SETTLING;
    while (channel->pending != 0) { /* more may be added meanwhile */
        const struct rc_pending pending = pending_remove(hub, channel->pending);
        pending_settle(hub, channel_index, &pending, local, code);
    }
    channel->flags &= (uint16_t)~RC_CHANNEL_SETTLING;
    rc_hub_update_interest(hub, channel_index);
    rc_hub_release(hub, channel_index);
}
