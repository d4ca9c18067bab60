/*
 * here: channels of this worker alone, and messages that do not come down from the relay: those of an application whose clients the worker
 * holds (worker/link). See hub.h.
 */
#include "worker/hub/hub_internal.h"
#include "worker/hub/turn.h"

#include <errno.h>

#include "common/base/check.h"

uint32_t rc_hub_channel_here(struct rc_hub *hub, struct rc_span name)
{
    RC_ASSERT(name.count > 0 && name.bytes[0] == RC_HUB_HERE_BYTE);
    const uint32_t channel = rc_hub_channel(hub, name);
    if (channel != 0) {
        rc_truth_channel(hub->truth, channel)->flags |= RC_CHANNEL_HERE;
    }
    return channel;
}

int rc_hub_append_here(struct rc_hub *hub, uint32_t channel, const struct rc_envelope_view *view, uint64_t *partial)
{
    struct rc_truth_hub *kept = hub->kept;
    if (hub->in_turn || kept->partial_mask != 0) {
        return -ENOSPC; /* a record of the down ring is half appended: that one first */
    }
    kept->partial_mask = *partial;
    const int rc = rc_hub_append(hub, channel, view);
    *partial = rc == -ENOSPC ? kept->partial_mask : 0;
    kept->partial_mask = 0; /* of records of the ring alone */
    return rc;
}

bool rc_hub_takes(const struct rc_hub *hub, uint32_t index)
{
    const struct rc_client *client = rc_truth_client(hub->truth, index);
    return client->state == RC_CLIENT_OPEN && !rc_turn_mute(client);
}

void rc_hub_append_to(struct rc_hub *hub, uint32_t client, struct rc_span data)
{
    const struct rc_event event = {.type = RC_EVENT_DIRECT, .data = data};
    if (rc_hub_takes(hub, client)) {
        rc_hub_append_own(hub, client, &event);
    }
}

uint64_t rc_hub_backlog(const struct rc_hub *hub, uint32_t index)
{
    const struct rc_client *client = rc_truth_client(hub->truth, index);
    const struct rc_channel_log *log = client->direct_log == 0 ? NULL : rc_truth_log(hub->truth, client->direct_log);
    return rc_hub_unsent(hub, index) + (log == NULL ? 0 : log->head - log->base);
}

/* Of one group's log, from where the subscription stands; 0: the client has none of its own, and stands where everybody does. */
static uint64_t here_unread(const struct rc_hub *hub, uint32_t group_index, uint32_t index)
{
    const struct rc_group *group = rc_truth_group(hub->truth, group_index);
    const struct rc_subscription *its = index == 0 ? NULL : rc_truth_subscription(hub->truth, index);
    if (group->log == 0) {
        return 0;
    }
    const struct rc_channel_log *log = rc_truth_log(hub->truth, group->log);
    const uint64_t at = its != NULL && (its->flags & RC_SUBSCRIPTION_CURSOR) ? its->cursor : log->served;
    return at < log->head ? log->head - at : 0; /* in a history: it is beyond every log */
}

uint64_t rc_hub_unread(const struct rc_hub *hub, uint32_t client_index)
{
    const struct rc_truth *truth = hub->truth;
    const struct rc_client *client = rc_truth_client(truth, client_index);
    uint64_t bytes = rc_hub_backlog(hub, client_index);
    if (client->flags & RC_CLIENT_EVERYBODY) {
        bytes += here_unread(hub, hub->everybody_groups[client->encoding], client->everybody);
    }
    for (uint32_t i = client->subscriptions; i != 0; i = rc_truth_subscription(truth, i)->next) {
        bytes += here_unread(hub, rc_truth_subscription(truth, i)->group, i);
    }
    return bytes;
}

bool rc_hub_caught_up(const struct rc_hub *hub, uint32_t index)
{
    const struct rc_subscription *subscription = rc_truth_subscription(hub->truth, index);
    const struct rc_group *group = rc_truth_group(hub->truth, subscription->group);
    const struct rc_channel_log *log = group->log == 0 ? NULL : rc_truth_log(hub->truth, group->log);
    return !(subscription->flags & RC_SUBSCRIPTION_CURSOR) && (log == NULL || log->head == log->served);
}

uint64_t rc_hub_encodings_behind(struct rc_hub *hub, uint32_t channel)
{
    const struct rc_truth *truth = hub->truth;
    uint64_t behind = 0;
    for (uint32_t i = rc_truth_channel(truth, channel)->groups; i != 0; i = rc_truth_group(truth, i)->next) {
        const struct rc_group *group = rc_truth_group(truth, i);
        const struct rc_channel_log *log = group->log == 0 ? NULL : rc_truth_log(truth, group->log);
        if (log != NULL && log->head != log->served) {
            behind |= UINT64_C(1) << group->encoding;
            rc_metric_add(hub->metrics, RC_METRIC_VOLATILE_DROPPED, hub->members[i].count);
        }
    }
    return behind;
}

uint32_t rc_hub_member_next(struct rc_hub *hub, uint32_t channel, uint32_t *group, uint32_t *member)
{
    if (*group == 0) {
        *group = rc_truth_channel(hub->truth, channel)->groups;
    }
    while (*group != 0 && *member == hub->members[*group].count) {
        *group = rc_truth_group(hub->truth, *group)->next;
        *member = 0;
        if (*group == 0) {
            return 0;
        }
    }
    return *group == 0
               ? 0
               : rc_truth_subscription(hub->truth, rc_members_items(&hub->members[*group])[(*member)++])->client;
}
