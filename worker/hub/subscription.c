/* subscription: who hears which channel, in groups of one encoding. See hub.h. */
#include "worker/hub/hub_internal.h"
#include "worker/hub/turn.h"

#include <errno.h>

#include "common/base/check.h"

uint32_t rc_hub_group(struct rc_hub *hub, uint32_t index, uint8_t encoding)
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
        RC_STORE_ORDER();
        channel->groups = group;
    }
    return group;
}

void rc_hub_group_release(struct rc_hub *hub, uint32_t index)
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
    const uint32_t channel_index = group->channel;
    const bool deltas = rc_encoding_is_delta(group->encoding);
    rc_pool_free(&truth->groups, index);
    if (RC_UNLIKELY(deltas)) {
        rc_delta_released(hub, channel_index);
    }
}

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

/* What comes from now on is for the subscription, which is new in its group. */
static void subscription_begin(struct rc_hub *hub, uint32_t index)
{
    const struct rc_subscription *subscription = rc_truth_subscription(hub->truth, index);
    const struct rc_group *group = rc_truth_group(hub->truth, subscription->group);
    if (group->log != 0) {
        const struct rc_channel_log *log = rc_truth_log(hub->truth, group->log);
        if (log->head != log->served) {
            rc_hub_set_cursor(hub, index, log->head);
            rc_hub_touch(hub,
                         subscription->client); /* to be seen to have caught up, should the running turn be past it */
        }
    }
}

uint32_t rc_hub_subscribe(struct rc_hub *hub, uint32_t client_index, uint32_t channel_index)
{
    struct rc_truth *truth = hub->truth;
    struct rc_client *client = rc_truth_client(truth, client_index);
    const uint32_t group_index = rc_hub_group(hub, channel_index, client->encoding);
    const uint32_t index = group_index == 0 ? 0 : rc_pool_alloc(&truth->subscriptions);
    if (index == 0 || rc_members_add(&hub->members[group_index], index) < 0) {
        if (index != 0) {
            rc_pool_free(&truth->subscriptions, index);
        }
        if (group_index != 0) {
            rc_hub_group_release(hub, group_index);
        }
        rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        return 0;
    }
    *rc_truth_subscription(truth, index) = (struct rc_subscription){.client = client_index,
                                                                    .group = group_index,
                                                                    .next = client->subscriptions,
                                                                    .member = hub->members[group_index].count - 1};
    subscription_begin(hub, index);
    RC_STORE_ORDER(); /* it is whole before it is linked */
    client->subscriptions = index;
    client->subscription_count++;
    rc_truth_channel(truth, channel_index)->subscriber_count++;
    rc_metric_subscribed(hub->metrics, rc_truth_channel(truth, channel_index)->namespace, 1);
    if (hub->handlers.member_changed != NULL && !(rc_truth_channel(truth, channel_index)->flags & RC_CHANNEL_HERE)) {
        hub->handlers.member_changed(hub->handlers.context, client_index, channel_index, true);
    }
    rc_hub_update_interest(hub, channel_index);
    rc_metric_set(hub->metrics, RC_METRIC_SUBSCRIPTIONS, truth->subscriptions.used);
    return index;
}

void rc_hub_skip(struct rc_hub *hub, uint32_t index)
{
    const struct rc_subscription *subscription = rc_truth_subscription(hub->truth, index);
    const struct rc_group *group = rc_truth_group(hub->truth, subscription->group);
    const struct rc_channel_log *log = group->log == 0 ? NULL : rc_truth_log(hub->truth, group->log);
    RC_ASSERT(rc_truth_client(hub->truth, subscription->client)->cut != index);
    if (log != NULL && log->head != log->served) {
        rc_hub_set_cursor(hub, index, log->head);
        rc_hub_touch(hub, subscription->client); /* as one who has just been subscribed */
    } else {
        rc_hub_clear_cursor(hub, index);
    }
}

void rc_hub_unsubscribe(struct rc_hub *hub, uint32_t client_index, uint32_t index)
{
    struct rc_truth *truth = hub->truth;
    struct rc_client *client = rc_truth_client(truth, client_index);
    struct rc_subscription *subscription = rc_truth_subscription(truth, index);
    const uint32_t group_index = subscription->group;
    const uint32_t channel_index = rc_truth_group(truth, group_index)->channel;
    rc_hub_keep_cut_or_break(hub, index);
    if (RC_UNLIKELY(subscription->replay != 0)) {
        rc_replay_end(hub, index);
    }
    rc_hub_clear_cursor(hub, index);
    if (RC_UNLIKELY(rc_encoding_is_delta(rc_truth_group(truth, group_index)->encoding))) {
        rc_delta_left(hub, channel_index, index);
    }
    uint32_t *link = &client->subscriptions;
    while (*link != index) {
        link = &rc_truth_subscription(truth, *link)->next;
    }
    *link = subscription->next; /* nobody names it from here on */
    RC_STORE_ORDER();
    client->subscription_count--;
    rc_members_remove(hub, &hub->members[group_index], subscription->member);
    rc_pool_free(&truth->subscriptions, index);
    struct rc_channel *channel = rc_truth_channel(truth, channel_index);
    channel->subscriber_count--;
    rc_metric_subscribed(hub->metrics, channel->namespace, -1);
    if (channel->subscriber_count == 0 && channel->throttles != 0) {
        rc_hub_throttle_drop(hub, channel_index);
    }
    if (hub->handlers.member_changed != NULL && !(channel->flags & RC_CHANNEL_HERE)) {
        hub->handlers.member_changed(hub->handlers.context, client_index, channel_index, false);
    }
    rc_hub_group_release(hub, group_index);
    rc_hub_update_interest(hub, channel_index);
    rc_hub_release(hub, channel_index);
    rc_metric_set(hub->metrics, RC_METRIC_SUBSCRIPTIONS, truth->subscriptions.used);
}

void rc_hub_everybody_join(struct rc_hub *hub, uint32_t client_index)
{
    const struct rc_truth *truth = hub->truth;
    struct rc_client *client = rc_truth_client(truth, client_index);
    if (client->flags & RC_CLIENT_EVERYBODY) {
        return;
    }
    client->flags |= RC_CLIENT_EVERYBODY;
    hub->everybody_counts[client->encoding]++;
    const struct rc_group *group = rc_truth_group(truth, hub->everybody_groups[client->encoding]);
    if (group->log != 0 && rc_truth_log(truth, group->log)->head != rc_truth_log(truth, group->log)->served) {
        if (rc_hub_everybody_behind(hub, client_index, rc_truth_log(truth, group->log)->head) < 0) {
            rc_hub_break(hub, client_index);
        }
        rc_hub_touch(hub, client_index);
    }
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

void rc_hub_leave(struct rc_hub *hub, uint32_t client_index)
{
    const struct rc_client *client = rc_truth_client(hub->truth, client_index);
    if (client->state == RC_CLIENT_OPEN && hub->handlers.leaving != NULL) {
        hub->handlers.leaving(hub->handlers.context, client_index);
    }
    while (client->subscriptions != 0) {
        rc_hub_unsubscribe(hub, client_index, client->subscriptions);
    }
    rc_hub_everybody_leave(hub, client_index);
}

void rc_hub_unsubscribe_all(struct rc_hub *hub, uint32_t client_index)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    client->cut = 0; /* the wire is gone: nothing needs to be completed */
    while (client->subscriptions != 0) {
        rc_hub_unsubscribe(hub, client_index, client->subscriptions);
    }
}

/* Is there nothing in the group's log that some of its members have not been served? */
static bool subscription_group_settled(const struct rc_hub *hub, uint32_t group_index)
{
    const struct rc_group *group = rc_truth_group(hub->truth, group_index);
    const struct rc_channel_log *log = group->log == 0 ? NULL : rc_truth_log(hub->truth, group->log);
    return group->owes_gap == 0 && (log == NULL || log->head == log->served);
}

bool rc_hub_may_recode(const struct rc_hub *hub, uint32_t client_index)
{
    const struct rc_truth *truth = hub->truth;
    const struct rc_client *client = rc_truth_client(truth, client_index);
    RC_ASSERT(!hub->in_turn);
    if (rc_turn_mute(client)) {
        return false; /* it is about to end */
    }
    for (uint32_t i = client->subscriptions; i != 0; i = rc_truth_subscription(truth, i)->next) {
        if (!subscription_group_settled(hub, rc_truth_subscription(truth, i)->group)) {
            return false;
        }
    }
    if ((client->flags & RC_CLIENT_EVERYBODY) &&
        !subscription_group_settled(hub, hub->everybody_groups[client->encoding])) {
        return false;
    }
    const struct rc_channel_log *direct = client->direct_log == 0 ? NULL : rc_truth_log(truth, client->direct_log);
    return direct == NULL || direct->turn != hub->turn || direct->target == direct->head;
}

/* The subscription, which is caught up, changes over to another group of its channel. -ENOMEM: it stays. */
static int subscription_recode(struct rc_hub *hub, uint32_t index, uint8_t encoding)
{
    struct rc_subscription *subscription = rc_truth_subscription(hub->truth, index);
    const uint32_t old = subscription->group;
    const uint32_t new = rc_hub_group(hub, rc_truth_group(hub->truth, old)->channel, encoding);
    if (new == 0 || rc_members_add(&hub->members[new], index) < 0) {
        if (new != 0) {
            rc_hub_group_release(hub, new);
        }
        return -ENOMEM;
    }
    rc_members_remove(hub, &hub->members[old], subscription->member);
    subscription->group = new;
    subscription->member = hub->members[new].count - 1;
    if (subscription->replay != 0) { /* its place is in no log */
        rc_truth_group(hub->truth, old)->behind--;
        rc_truth_group(hub->truth, new)->behind++;
        rc_hub_log_release(hub, old);
    }
    rc_hub_group_release(hub, old);
    return 0;
}

int rc_hub_regroup(struct rc_hub *hub, uint32_t index, uint8_t encoding)
{
    rc_hub_clear_cursor(hub, index);
    const int rc = subscription_recode(hub, index, encoding);
    subscription_begin(hub, index);
    return rc;
}

int rc_hub_recode(struct rc_hub *hub, uint32_t client_index, uint8_t encoding)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    RC_ASSERT(client->output == 0 && client->direct_log == 0 && client->everybody == 0);
    RC_ASSERT(client->cursor_count == 0 || client->in_history);
    if (encoding == client->encoding) {
        return 0;
    }
    for (uint32_t i = client->subscriptions; i != 0; i = rc_truth_subscription(hub->truth, i)->next) {
        if (subscription_recode(hub, i, encoding) < 0) {
            rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
            return -ENOMEM;
        }
    }
    if (client->flags & RC_CLIENT_EVERYBODY) {
        hub->everybody_counts[client->encoding]--;
        hub->everybody_counts[encoding]++;
    }
    client->encoding = encoding;
    return 0;
}
