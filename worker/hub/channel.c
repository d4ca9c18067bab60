/* channel: names, groups and subscriptions. See hub.h. */
#include "worker/hub/hub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "common/base/check.h"
#include "common/text/json_scan.h"
#include "common/base/log.h"

struct channel_key {
    const struct rc_hub *hub;
    struct rc_span name;
};

static bool channel_equal(const void *context, uint32_t index)
{
    const struct channel_key *key = context;
    return rc_span_equal(rc_hub_name(key->hub, rc_truth_channel(key->hub->truth, index)), key->name);
}

struct rc_span rc_hub_name(const struct rc_hub *hub, const struct rc_channel *channel)
{
    return rc_truth_channel_name(hub->truth, channel);
}

struct rc_span rc_hub_name_json(const struct rc_hub *hub, const struct rc_channel *channel)
{
    return rc_span_of((const uint8_t *)rc_heap_at(&hub->truth->heap, channel->name) + channel->name_bytes,
                      channel->json_bytes);
}

uint32_t rc_hub_find(struct rc_hub *hub, uint64_t hash, struct rc_span name)
{
    const struct channel_key key = {.hub = hub, .name = name};
    const uint32_t index = rc_hashmap_find(&hub->names, hash, channel_equal, &key);
    return index == RC_HASHMAP_NONE ? 0 : index;
}

static uint8_t channel_namespace(const struct rc_hub *hub, struct rc_span name)
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
                                                          .name = block,
                                                          .name_bytes = (uint8_t)name.count,
                                                          .json_bytes = (uint32_t)json_bytes,
                                                          .namespace = channel_namespace(hub, name)};
    if (rc_hashmap_insert(&hub->names, hash, index) < 0) {
        rc_heap_free(&truth->heap, block);
        rc_pool_free(&truth->channels, index);
        return 0;
    }
    rc_metric_set(hub->metrics, RC_METRIC_CHANNELS, truth->channels.used);
    return index;
}

uint32_t rc_hub_channel(struct rc_hub *hub, struct rc_span name)
{
    const uint64_t hash = rc_channel_hash((const char *)name.bytes, name.count);
    const uint32_t index = rc_hub_find(hub, hash, name);
    if (index != 0) {
        return index;
    }
    if (hub->truth->channels.used >= hub->config->limits.max_channels_per_worker) {
        rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        return 0;
    }
    return channel_create(hub, hash, name);
}

static void channel_update_interest(struct rc_hub *hub, uint32_t index)
{
    struct rc_channel *channel = rc_truth_channel(hub->truth, index);
    const bool wanted = channel->subscriber_count > 0 || channel->pending != 0;
    if (wanted == ((channel->flags & RC_CHANNEL_WANTED) != 0) || index == hub->everybody) {
        return;
    }
    channel->flags = (uint16_t)(wanted ? channel->flags | RC_CHANNEL_WANTED
                                       : channel->flags & ~(RC_CHANNEL_WANTED | RC_CHANNEL_ACTIVE));
    hub->handlers.interest_changed(hub->handlers.context, index);
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
    const bool removed = rc_hashmap_remove(&hub->names, channel->hash, index);
    RC_ASSERT(removed);
    rc_heap_free(&truth->heap, channel->name);
    channel->name = 0; /* tells free objects from used ones */
    rc_pool_free(&truth->channels, index);
    rc_metric_set(hub->metrics, RC_METRIC_CHANNELS, truth->channels.used);
}

/* --- groups and members --- */

static int members_add(struct rc_members *members, uint32_t subscription)
{
    if (members->capacity == 0 && members->count == 0) {
        members->one = subscription;
        members->count = 1;
        return 0;
    }
    if (members->count >= members->capacity) {
        const uint32_t capacity = members->capacity == 0 ? 4 : members->capacity * 2;
        uint32_t *items = realloc(members->capacity == 0 ? NULL : members->items, (size_t)capacity * sizeof(*items));
        if (items == NULL) {
            return -ENOMEM;
        }
        if (members->capacity == 0) {
            items[0] = members->one;
        }
        members->items = items;
        members->capacity = capacity;
    }
    members->items[members->count++] = subscription;
    return 0;
}

static void members_remove(struct rc_hub *hub, struct rc_members *members, uint32_t position)
{
    uint32_t *items = rc_members_items(members);
    RC_ASSERT(position < members->count);
    const uint32_t last = items[--members->count];
    if (position < members->count) {
        items[position] = last;
        rc_truth_subscription(hub->truth, last)->member = position;
    }
    if (members->capacity > 0 && members->count <= 1) {
        const uint32_t one = members->count == 1 ? items[0] : 0;
        free(items);
        members->one = one;
        members->capacity = 0;
    } else if (members->capacity >= 64 && members->count < members->capacity / 4) {
        uint32_t *smaller = realloc(items, (size_t)(members->capacity / 2) * sizeof(*items));
        if (smaller != NULL) {
            members->items = smaller;
            members->capacity /= 2;
        }
    }
}

static uint32_t channel_group(struct rc_hub *hub, uint32_t index, uint8_t encoding)
{
    struct rc_truth *truth = hub->truth;
    struct rc_channel *channel = rc_truth_channel(truth, index);
    for (uint32_t group = channel->groups; group != 0; group = rc_truth_group(truth, group)->next) {
        if (rc_truth_group(truth, group)->encoding == encoding) {
            return group;
        }
    }
    const uint32_t group = rc_pool_alloc(&truth->groups);
    if (group != 0) {
        *rc_truth_group(truth, group) =
            (struct rc_group){.channel = index, .next = channel->groups, .encoding = encoding};
        hub->members[group] = (struct rc_members){0};
        channel->groups = group;
    }
    return group;
}

/* A group without members goes, with its log. */
static void channel_group_release(struct rc_hub *hub, uint32_t index)
{
    struct rc_truth *truth = hub->truth;
    struct rc_group *group = rc_truth_group(truth, index);
    if (hub->members[index].count > 0 || group->channel == hub->everybody) {
        return;
    }
    struct rc_channel *channel = rc_truth_channel(truth, group->channel);
    uint32_t *link = &channel->groups;
    while (*link != index) {
        link = &rc_truth_group(truth, *link)->next;
    }
    *link = group->next;
    RC_ASSERT(group->behind == 0);
    rc_hub_log_release(hub, index);
    RC_ASSERT(group->log == 0);
    group->owes_gap = 0; /* hub->owing_groups may still name it */
    rc_pool_free(&truth->groups, index);
}

/* --- subscriptions --- */

uint32_t rc_hub_subscription(const struct rc_hub *hub, uint32_t client, uint32_t channel)
{
    const struct rc_truth *truth = hub->truth;
    for (uint32_t index = rc_truth_client(truth, client)->subscriptions; index != 0;) {
        const struct rc_subscription *subscription = rc_truth_subscription(truth, index);
        if (rc_truth_group(truth, subscription->group)->channel == channel) {
            return index;
        }
        index = subscription->next;
    }
    return 0;
}

uint32_t rc_hub_subscribe(struct rc_hub *hub, uint32_t client_index, uint32_t channel_index)
{
    struct rc_truth *truth = hub->truth;
    struct rc_client *client = rc_truth_client(truth, client_index);
    const uint32_t group_index = channel_group(hub, channel_index, client->encoding);
    const uint32_t index = group_index == 0 ? 0 : rc_pool_alloc(&truth->subscriptions);
    if (index == 0 || members_add(&hub->members[group_index], index) < 0) {
        if (index != 0) {
            rc_pool_free(&truth->subscriptions, index);
        }
        if (group_index != 0) {
            channel_group_release(hub, group_index);
        }
        rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        return 0;
    }
    struct rc_group *group = rc_truth_group(truth, group_index);
    *rc_truth_subscription(truth, index) = (struct rc_subscription){.client = client_index,
                                                                    .group = group_index,
                                                                    .next = client->subscriptions,
                                                                    .member = hub->members[group_index].count - 1};
    client->subscriptions = index;
    client->subscription_count++;
    rc_truth_channel(truth, channel_index)->subscriber_count++;
    if (hub->handlers.member_changed != NULL) {
        hub->handlers.member_changed(hub->handlers.context, client_index, channel_index, true);
    }
    if (group->log != 0) {
        const struct rc_channel_log *log = rc_truth_log(truth, group->log);
        if (log->head != log->served) {
            rc_hub_set_cursor(hub, index, log->head);
            rc_hub_touch(hub, client_index); /* to be seen to have caught up, should the running turn be past it */
        }
    }
    channel_update_interest(hub, channel_index);
    rc_metric_set(hub->metrics, RC_METRIC_SUBSCRIPTIONS, truth->subscriptions.used);
    return index;
}

void rc_hub_unsubscribe(struct rc_hub *hub, uint32_t client_index, uint32_t index)
{
    struct rc_truth *truth = hub->truth;
    struct rc_client *client = rc_truth_client(truth, client_index);
    struct rc_subscription *subscription = rc_truth_subscription(truth, index);
    const uint32_t group_index = subscription->group;
    const uint32_t channel_index = rc_truth_group(truth, group_index)->channel;
    rc_hub_keep_cut_or_break(hub, index);
    rc_hub_clear_cursor(hub, index);
    uint32_t *link = &client->subscriptions;
    while (*link != index) {
        link = &rc_truth_subscription(truth, *link)->next;
    }
    *link = subscription->next;
    client->subscription_count--;
    members_remove(hub, &hub->members[group_index], subscription->member);
    rc_pool_free(&truth->subscriptions, index);
    struct rc_channel *channel = rc_truth_channel(truth, channel_index);
    channel->subscriber_count--;
    if (channel->subscriber_count == 0 && channel->throttles != 0) {
        rc_hub_throttle_drop(hub, channel_index);
    }
    if (hub->handlers.member_changed != NULL) {
        hub->handlers.member_changed(hub->handlers.context, client_index, channel_index, false);
    }
    channel_group_release(hub, group_index);
    channel_update_interest(hub, channel_index);
    rc_hub_release(hub, channel_index);
    rc_metric_set(hub->metrics, RC_METRIC_SUBSCRIPTIONS, truth->subscriptions.used);
}

/* --- requests that wait for the relay --- */

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
    channel_update_interest(hub, channel_index);
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
    channel_update_interest(hub, pending.channel);
    rc_hub_release(hub, pending.channel);
    return pending;
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

/* The server's own request is settled. A client that does not hear what it relies on must not believe that it does. */
static void pending_joined(struct rc_hub *hub, uint32_t client_index, uint32_t code)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    if (code != 0) {
        rc_hub_break(hub, client_index);
    } else if (client->pending_count == 0) {
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
    if (pending->joins != 0) {
        pending_joined(hub, pending->client, code);
        return;
    }
    if (!goes_on || (code == 0 && pending->id_bytes == 0)) {
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
    channel_update_interest(hub, channel_index);
    rc_hub_release(hub, channel_index);
}

/* --- everybody --- */

void rc_hub_opened(struct rc_hub *hub, uint32_t client_index)
{
    struct rc_truth *truth = hub->truth;
    const struct rc_client *client = rc_truth_client(truth, client_index);
    if (client_index > hub->clients_high) {
        hub->clients_high = client_index;
    }
    if (!(client->flags & RC_CLIENT_EVERYBODY)) {
        return;
    }
    hub->everybody_counts[client->encoding]++;
    const struct rc_group *group = rc_truth_group(truth, hub->everybody_groups[client->encoding]);
    if (group->log != 0 && rc_truth_log(truth, group->log)->head != rc_truth_log(truth, group->log)->served) {
        if (rc_hub_everybody_behind(hub, client_index, rc_truth_log(truth, group->log)->head) < 0) {
            rc_hub_break(hub, client_index);
        }
        rc_hub_touch(hub, client_index);
    }
}

int rc_hub_everybody_behind(struct rc_hub *hub, uint32_t client_index, uint64_t position)
{
    struct rc_truth *truth = hub->truth;
    struct rc_client *client = rc_truth_client(truth, client_index);
    if (client->everybody == 0) {
        const uint32_t group = hub->everybody_groups[client->encoding];
        const uint32_t index = rc_pool_alloc(&truth->subscriptions);
        if (index == 0 || members_add(&hub->members[group], index) < 0) {
            if (index != 0) {
                rc_pool_free(&truth->subscriptions, index);
            }
            return -ENOMEM;
        }
        *rc_truth_subscription(truth, index) = (struct rc_subscription){.client = client_index,
                                                                        .group = group,
                                                                        .member = hub->members[group].count - 1,
                                                                        .flags = RC_SUBSCRIPTION_EVERYBODY};
        client->everybody = index;
    }
    rc_hub_set_cursor(hub, client->everybody, position);
    return 0;
}

void rc_hub_everybody_caught_up(struct rc_hub *hub, uint32_t client_index)
{
    struct rc_truth *truth = hub->truth;
    struct rc_client *client = rc_truth_client(truth, client_index);
    const uint32_t index = client->everybody;
    if (index == 0) {
        return;
    }
    const struct rc_subscription *subscription = rc_truth_subscription(truth, index);
    const uint32_t group = subscription->group;
    rc_hub_clear_cursor(hub, index);
    members_remove(hub, &hub->members[group], rc_truth_subscription(truth, index)->member);
    rc_pool_free(&truth->subscriptions, index);
    client->everybody = 0;
}

void rc_hub_everybody_leave(struct rc_hub *hub, uint32_t client_index)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    if (client->flags & RC_CLIENT_EVERYBODY) {
        rc_hub_everybody_caught_up(hub, client_index);
        client->flags &= (uint16_t)~RC_CLIENT_EVERYBODY;
        hub->everybody_counts[client->encoding]--;
    }
}

void rc_hub_unsubscribe_all(struct rc_hub *hub, uint32_t client_index)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    client->cut = 0; /* the wire is gone: nothing needs to be completed */
    while (client->subscriptions != 0) {
        rc_hub_unsubscribe(hub, client_index, client->subscriptions);
    }
}

void rc_hub_ended(struct rc_hub *hub, uint32_t client_index)
{
    rc_hub_unsubscribe_all(hub, client_index);
    while (hub->waiting[client_index] != 0) {
        (void)pending_drop(hub, hub->waiting[client_index]);
    }
    rc_hub_everybody_leave(hub, client_index);
    rc_hub_output_release(hub, client_index);
    while (hub->clients_high > 0 && rc_truth_client(hub->truth, hub->clients_high)->random == 0) {
        hub->clients_high--;
    }
}

/* --- the hub itself --- */

static void channel_find_critical(struct rc_hub *hub)
{
    hub->has_critical = false;
    for (uint32_t i = 0; i < hub->config->namespace_count; i++) {
        hub->has_critical |= hub->config->namespaces[i].priority == RC_PRIORITY_CRITICAL;
    }
}

bool rc_hub_critical(const struct rc_hub *hub, uint32_t channel)
{
    return hub->has_critical &&
           hub->config->namespaces[rc_truth_channel(hub->truth, channel)->namespace].priority == RC_PRIORITY_CRITICAL;
}

int rc_hub_open(struct rc_hub *hub, struct rc_truth *truth, struct rc_io *io, struct rc_metrics *metrics,
                const struct rc_hub_handlers *handlers, const struct rc_control *control,
                const struct rc_config *config, uint32_t worker, struct rc_err *err)
{
    *hub = (struct rc_hub){.truth = truth,
                           .io = io,
                           .config = config,
                           .metrics = metrics,
                           .handlers = *handlers,
                           .worker = worker,
                           .now_ns = &io->now_ns,
                           .instance_id = control->instance_id,
                           .boot_nonce = control->boot_nonce};
    if (getrandom(hub->random_state, sizeof(hub->random_state), 0) != sizeof(hub->random_state)) {
        return rc_err_set(err, -EIO, "getrandom failed: %s", strerror(errno));
    }
    hub->random_state[0] |= 1;
    const struct rc_deflate_settings deflate = {.level = (uint8_t)config->compression.level,
                                                .memory_level = (uint8_t)config->compression.memory_level};
    if (rc_compressor_open(&hub->compressor, &deflate, metrics) < 0) {
        return rc_err_set(err, -EINVAL, "compression.level or compression.memory_level is out of range");
    }
    hub->compressor.threshold_bytes = config->compression.threshold_bytes;
    if (rc_hashmap_init(&hub->names, 64, truth->channels.count_max) < 0 ||
        rc_hashmap_init(&hub->throttles, 64, truth->throttles.count_max) < 0) {
        return rc_err_set(err, -ENOMEM, "no memory for the channel table");
    }
    hub->members_bytes = (uint64_t)truth->groups.count_max * sizeof(*hub->members);
    hub->members =
        mmap(NULL, hub->members_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (hub->members == MAP_FAILED) {
        hub->members = NULL;
        return rc_err_set(err, -ENOMEM, "no address space for the member lists of %u channels",
                          truth->groups.count_max);
    }
    hub->waiting = calloc(truth->clients.count_max, sizeof(*hub->waiting)); /* untouched pages while nobody waits */
    if (hub->waiting == NULL) {
        return rc_err_set(err, -ENOMEM, "no memory for what %u clients wait for", truth->clients.count_max);
    }
    channel_find_critical(hub);
    const struct rc_span name = RC_SPAN("*");
    hub->everybody = channel_create(hub, rc_channel_hash("*", 1), name);
    RC_ASSERT(hub->everybody != 0);
    for (uint8_t encoding = 0; encoding < RC_ENCODING_COUNT; encoding++) {
        hub->everybody_groups[encoding] = channel_group(hub, hub->everybody, encoding);
        RC_ASSERT(hub->everybody_groups[encoding] != 0);
    }
    return 0;
}

void rc_hub_close(struct rc_hub *hub)
{
    for (uint32_t group = 1; hub->members != NULL && group < hub->truth->groups.high; group++) {
        if (hub->members[group].capacity > 0) {
            free(hub->members[group].items);
        }
    }
    if (hub->members != NULL) {
        munmap(hub->members, hub->members_bytes);
    }
    rc_hashmap_free(&hub->names);
    rc_hashmap_free(&hub->throttles);
    free(hub->dirty_groups.items);
    free(hub->turn_groups.items);
    free(hub->dirty_clients.items);
    free(hub->turn_clients.items);
    free(hub->dirty_sockets.items);
    free(hub->turn_sockets.items);
    free(hub->sources);
    free(hub->waiting);
    rc_compressor_close(&hub->compressor);
    free(hub->dirty_critical.items);
    free(hub->turn_critical.items);
    free(hub->ending.items);
    free(hub->owing_groups.items);
    free(hub->conflate_keys);
    free(hub->conflate_kept);
}

void rc_hub_reconfigure(struct rc_hub *hub, const struct rc_config *config)
{
    hub->config = config;
    hub->compressor.threshold_bytes = config->compression.threshold_bytes;
    channel_find_critical(hub);
    uint32_t cursor = 0;
    uint32_t index;
    while ((index = rc_hashmap_each(&hub->names, &cursor)) != RC_HASHMAP_NONE) {
        struct rc_channel *channel = rc_truth_channel(hub->truth, index);
        channel->namespace = channel_namespace(hub, rc_hub_name(hub, channel));
    }
    rc_hub_throttle_sort(hub);
}

int rc_index_list_push(struct rc_index_list *list, uint32_t item)
{
    if (list->count == list->capacity) {
        const uint32_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        uint32_t *items = realloc(list->items, (size_t)capacity * sizeof(*items));
        if (items == NULL) {
            return -ENOMEM;
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
    return 0;
}

/* xorshift128+: spread, not secrecy; client ids take theirs from getrandom. */
uint64_t rc_hub_random(struct rc_hub *hub)
{
    uint64_t a = hub->random_state[0];
    const uint64_t b = hub->random_state[1];
    hub->random_state[0] = b;
    a ^= a << 23;
    hub->random_state[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return hub->random_state[1] + b;
}
