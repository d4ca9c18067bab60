/*
 * cursor: where a subscription stands that is not where everybody else is, and how long a log is kept for it. See hub.h.
 */
#include "worker/hub/hub_internal.h"
#include "worker/hub/turn.h"

#include <errno.h>

#include "common/base/check.h"

void rc_hub_log_free(struct rc_hub *hub, uint32_t *index)
{
    const uint32_t its = *index;
    struct rc_channel_log *log = rc_truth_log(hub->truth, its);
    *index = 0; /* nobody names it from here on */
    RC_STORE_ORDER();
    hub->log_bytes -= rc_channel_log_bytes(log, &hub->truth->heap);
    rc_metric_set(hub->metrics, RC_METRIC_LOG_BYTES, hub->log_bytes);
    rc_channel_log_clear(log, &hub->truth->heap);
    rc_pool_free(&hub->truth->logs, its);
}

void rc_hub_log_release(struct rc_hub *hub, uint32_t group_index)
{
    struct rc_truth *truth = hub->truth;
    struct rc_group *group = rc_truth_group(truth, group_index);
    if (group->log == 0 || group->behind > 0) {
        return;
    }
    const struct rc_channel_log *log = rc_truth_log(truth, group->log);
    const bool unheard = hub->members[group_index].count == 0 && group->channel != hub->everybody;
    if (log->head != log->served && !unheard) {
        return;
    }
    /* Logs in the lists of dirty groups are looked up through their group, so that a freed one is noticed there. */
    rc_hub_log_free(hub, &group->log);
}

void rc_hub_set_cursor(struct rc_hub *hub, uint32_t index, uint64_t position)
{
    struct rc_subscription *subscription = rc_truth_subscription(hub->truth, index);
    subscription->cursor = position;
    if (!(subscription->flags & RC_SUBSCRIPTION_CURSOR)) {
        subscription->flags |= RC_SUBSCRIPTION_CURSOR;
        rc_truth_group(hub->truth, subscription->group)->behind++;
        rc_truth_client(hub->truth, subscription->client)->cursor_count++;
        rc_metric_add(hub->metrics, RC_METRIC_BEHIND, 1);
    }
}

void rc_hub_clear_cursor(struct rc_hub *hub, uint32_t index)
{
    struct rc_subscription *subscription = rc_truth_subscription(hub->truth, index);
    if (subscription->flags & RC_SUBSCRIPTION_CURSOR) {
        subscription->flags &= ~(uint32_t)(RC_SUBSCRIPTION_CURSOR | RC_SUBSCRIPTION_LATEST);
        struct rc_group *group = rc_truth_group(hub->truth, subscription->group);
        group->behind--;
        struct rc_client *client = rc_truth_client(hub->truth, subscription->client);
        client->cursor_count--;
        if (client->cursor_count == 0) {
            client->flags &= (uint16_t)~RC_CLIENT_LATE;
        }
        rc_metric_sub(hub->metrics, RC_METRIC_BEHIND, 1);
        if (group->behind == 0 && group->log != 0) {
            if (!hub->in_turn) {
                rc_hub_log_release(hub, subscription->group);
            } else {
                /* Pieces of it may be queued: the end of the turn releases it. Forgotten, it goes with its next news. */
                (void)rc_index_list_push(&hub->turn_groups, subscription->group);
            }
        }
    }
}

int rc_hub_everybody_behind(struct rc_hub *hub, uint32_t client_index, uint64_t position)
{
    struct rc_truth *truth = hub->truth;
    struct rc_client *client = rc_truth_client(truth, client_index);
    if (client->everybody == 0) {
        const uint32_t group = hub->everybody_groups[client->encoding];
        const uint32_t index = rc_pool_alloc(&truth->subscriptions);
        if (index == 0 || rc_members_add(&hub->members[group], index) < 0) {
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
    rc_members_remove(hub, &hub->members[group], rc_truth_subscription(truth, index)->member);
    rc_pool_give(&truth->subscriptions, &client->everybody);
}
