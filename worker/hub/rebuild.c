/*
 * rebuild: the hub's index, made from a truth that another process has written. See hub.h.
 *
 * Nothing is written to the truth: a predecessor that goes on after all finds it as it left it. What is in an order of its own, the lists of
 * what is dirty, comes out as it was: by the order in which this worker took the first message that was not sent.
 */
#include "worker/hub/hub_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "worker/store/truth_found.h"

static int rebuild_no_memory(struct rc_err *err)
{
    return rc_err_set(err, -ENOMEM, "no memory for the channels of a former process");
}

static bool rebuild_is(const struct rc_truth_found *found, enum rc_truth_pool_id pool, uint32_t index)
{
    return rc_truth_was_found(found, pool, index);
}

/* --- names ----------------------------------------------------------------------------------------------------------- */

static int rebuild_names(struct rc_hub *hub, const struct rc_truth_found *found, struct rc_err *err)
{
    const struct rc_truth *truth = hub->truth;
    uint64_t subscribed[RC_CONFIG_NAMESPACES_MAX] = {0};
    if (rc_hashmap_reserve(&hub->names, truth->channels.used) < 0) {
        return rebuild_no_memory(err);
    }
    for (uint32_t c = 1; c < truth->channels.high; c++) {
        if (!rebuild_is(found, RC_TRUTH_POOL_channels, c)) {
            continue;
        }
        const struct rc_channel *channel = rc_truth_channel(truth, c);
        const struct rc_span name = rc_hub_name(hub, channel);
        if (rc_hub_find(hub, channel->hash, name) != 0 || channel->namespace >= hub->config->namespace_count) {
            return rc_err_set(err, -EBADMSG, "channel \"%.*s\" is there twice, or of namespace %u of %u",
                              (int)name.count, (const char *)name.bytes, channel->namespace,
                              hub->config->namespace_count);
        }
        if (rc_hashmap_insert(&hub->names, channel->hash, c) < 0) {
            return rebuild_no_memory(err);
        }
        subscribed[channel->namespace] += channel->subscriber_count;
    }
    for (uint32_t i = 0; i < hub->config->namespace_count; i++) {
        rc_metric_set_subscribed(hub->metrics, i, subscribed[i]);
    }
    hub->everybody = found->everybody;
    for (uint32_t g = rc_truth_channel(truth, hub->everybody)->groups; g != 0; g = rc_truth_group(truth, g)->next) {
        hub->everybody_groups[rc_truth_group(truth, g)->encoding] = g;
    }
    for (uint32_t i = 0; i < RC_ENCODING_COUNT; i++) {
        if (hub->everybody_groups[i] == 0) {
            return rc_err_set(err, -EBADMSG, "channel \"*\" has no group of encoding %u", i);
        }
    }
    return 0;
}

/* --- who is in them -------------------------------------------------------------------------------------------------- */

static int rebuild_member_room(struct rc_members *members, uint32_t count)
{
    uint32_t capacity = 4;
    while (capacity < count) {
        capacity *= 2;
    }
    *members = (struct rc_members){.count = count};
    if (count > 1) {
        members->items = malloc((size_t)capacity * sizeof(*members->items));
        members->capacity = members->items == NULL ? 0 : capacity;
    }
    return count <= 1 || members->items != NULL ? 0 : -ENOMEM;
}

static int rebuild_members(struct rc_hub *hub, const struct rc_truth_found *found, struct rc_err *err)
{
    const struct rc_truth *truth = hub->truth;
    for (uint32_t g = 1; g < truth->groups.high; g++) {
        if (rebuild_is(found, RC_TRUTH_POOL_groups, g) &&
            rebuild_member_room(&hub->members[g], found->groups[g].members) < 0) {
            hub->members[g].count = 0;
            return rebuild_no_memory(err);
        }
    }
    for (uint32_t i = 1; i < truth->subscriptions.high; i++) {
        if (rebuild_is(found, RC_TRUTH_POOL_subscriptions, i)) {
            const struct rc_subscription *its = rc_truth_subscription(truth, i);
            rc_members_items(&hub->members[its->group])[its->member] = i;
        }
    }
    for (uint32_t i = 1; i < truth->pending.high; i++) {
        if (rebuild_is(found, RC_TRUTH_POOL_pending, i) && rc_truth_pending(truth, i)->previous_of_client == 0) {
            hub->waiting[rc_truth_pending(truth, i)->client] = i;
        }
    }
    return 0;
}

/* Who gets messages of a history: the first of a client is the one that none of its is before. */
static void rebuild_replays(struct rc_hub *hub, const struct rc_truth_found *found)
{
    const struct rc_truth *truth = hub->truth;
    uint64_t count = 0;
    for (uint32_t i = 1; i < truth->replays.high; i++) {
        if (!rebuild_is(found, RC_TRUTH_POOL_replays, i) || rc_truth_replay(truth, i)->subscription == 0) {
            continue;
        }
        if ((found->named[i / 8] & (1u << (i % 8))) == 0) {
            hub->replays[rc_truth_subscription(truth, rc_truth_replay(truth, i)->subscription)->client] = i;
        }
        count++;
    }
    for (uint32_t i = 1; count > 0 && i <= hub->clients_high; i++) {
        const struct rc_client *client = rc_truth_client(truth, i);
        if (client->random != 0 && client->in_history && !client->replay_due) {
            rc_recover_waits(hub, i); /* it may */
        }
    }
    rc_metric_set(hub->metrics, RC_METRIC_REPLAYS, count);
}

/* Clients and sockets that the next turn has to look at, by their flags. */
static int rebuild_marks(struct rc_hub *hub, struct rc_err *err)
{
    const struct rc_truth *truth = hub->truth;
    int rc = 0;
    for (uint32_t i = 1; i <= hub->clients_high; i++) {
        const struct rc_client *client = rc_truth_client(truth, i);
        if (client->random == 0) {
            continue;
        }
        hub->everybody_counts[client->encoding] += (client->flags & RC_CLIENT_EVERYBODY) != 0;
        rc |= client->guest ? rc_hub_alias(hub, client->random, i) : 0; /* its sids: rc_engines_rebuild */
        rc |= client->flags & RC_CLIENT_DIRTY ? rc_index_list_push(&hub->dirty_clients, i) : 0;
        rc |= client->replay_due ? rc_index_list_push(&hub->replays_due, i) : 0;
        rc |= client->flags & RC_CLIENT_READY ? rc_index_list_push(&hub->ready, i) : 0;
        rc |= client->flags & (RC_CLIENT_BROKEN | RC_CLIENT_CUT_OFF) ? rc_index_list_push(&hub->ending, i) : 0;
    }
    for (uint32_t i = 0; i < truth->socket_count; i++) {
        rc |= truth->sockets[i].flags & RC_SOCKET_DIRTY ? rc_index_list_push(&hub->dirty_sockets, i) : 0;
    }
    return rc == 0 ? 0 : rebuild_no_memory(err);
}

/* --- what is to be sent ---------------------------------------------------------------------------------------------- */

/* The order in which the first message came that a group has not sent. */
static uint64_t rebuild_order(const struct rc_hub *hub, uint32_t group)
{
    const struct rc_channel_log *log = rc_truth_log(hub->truth, rc_truth_group(hub->truth, group)->log);
    const struct rc_heap *heap = &hub->truth->heap;
    return rc_channel_log_frame(log, heap, rc_channel_log_find(log, heap, log->served))->order;
}

static int rebuild_compare(const void *a, const void *b, void *context)
{
    const uint64_t first = rebuild_order(context, *(const uint32_t *)a);
    const uint64_t second = rebuild_order(context, *(const uint32_t *)b);
    return first < second ? -1 : first > second;
}

static void rebuild_sort(struct rc_hub *hub, struct rc_index_list *list)
{
    if (list->count > 1) {
        qsort_r(list->items, list->count, sizeof(*list->items), rebuild_compare, hub);
    }
}

static void rebuild_newest(struct rc_hub *hub, uint32_t index)
{
    const struct rc_channel_log *log = index == 0 ? NULL : rc_truth_log(hub->truth, index);
    if (log != NULL && log->frames > 0) {
        const uint64_t order = rc_channel_log_frame(log, &hub->truth->heap, log->frames - 1)->order;
        hub->order = order > hub->order ? order : hub->order;
    }
}

static int rebuild_logs(struct rc_hub *hub, const struct rc_truth_found *found, struct rc_err *err)
{
    const struct rc_truth *truth = hub->truth;
    uint64_t behind = 0;
    int rc = 0;
    for (uint32_t g = 1; g < truth->groups.high; g++) {
        if (!rebuild_is(found, RC_TRUTH_POOL_groups, g)) {
            continue;
        }
        const struct rc_group *group = rc_truth_group(truth, g);
        behind += group->behind;
        rebuild_newest(hub, group->log);
        rc |= group->owes_gap ? rc_index_list_push(&hub->owing_groups, g) : 0;
        if (group->log != 0 && rc_truth_log(truth, group->log)->head != rc_truth_log(truth, group->log)->served) {
            const bool critical = rc_hub_critical(hub, group->channel);
            rc |= rc_index_list_push(critical ? &hub->dirty_critical : &hub->dirty_groups, g);
        }
    }
    for (uint32_t i = 1; i <= hub->clients_high; i++) {
        const struct rc_client *client = rc_truth_client(truth, i);
        rebuild_newest(hub, client->random == 0 ? 0 : client->direct_log);
    }
    rebuild_sort(hub, &hub->dirty_groups);
    rebuild_sort(hub, &hub->dirty_critical);
    rc_metric_set(hub->metrics, RC_METRIC_BEHIND, behind);
    return rc == 0 ? 0 : rebuild_no_memory(err);
}

static void rebuild_bytes(struct rc_hub *hub, const struct rc_truth_found *found)
{
    hub->log_bytes = found->bytes[RC_TRUTH_BYTES_LOGS];
    hub->output_bytes = found->bytes[RC_TRUTH_BYTES_OUTPUTS];
    hub->input_bytes = found->bytes[RC_TRUTH_BYTES_INPUTS];
    hub->held_bytes = found->bytes[RC_TRUTH_BYTES_HELD];
    rc_metric_set(hub->metrics, RC_METRIC_LOG_BYTES, hub->log_bytes);
    rc_metric_set(hub->metrics, RC_METRIC_REPLY_BYTES, hub->output_bytes);
    rc_metric_set(hub->metrics, RC_METRIC_INPUT_BYTES, hub->input_bytes);
    rc_metric_set(hub->metrics, RC_METRIC_HELD_BYTES, hub->held_bytes);
    rc_hub_count_channels(hub);
    rc_metric_set(hub->metrics, RC_METRIC_SUBSCRIPTIONS, hub->truth->subscriptions.used);
}

int rc_hub_rebuild(struct rc_hub *hub, const struct rc_truth_found *found, struct rc_err *err)
{
    RC_ASSERT(hub->truth->adopted && hub->everybody == 0);
    hub->turn = hub->kept->turn;
    hub->again = hub->kept->order_of;
    hub->order = hub->kept->order; /* logs whose frames have all left say nothing of it */
    for (uint32_t i = 1; i < hub->truth->places.high; i++) {
        const struct rc_place *place = rc_truth_place(hub->truth, i);
        hub->order = place->channel != 0 && place->order > hub->order ? place->order : hub->order;
    }
    hub->clients_high = found->clients_high;
    int rc = rebuild_names(hub, found, err);
    rc = rc < 0 ? rc : rebuild_members(hub, found, err);
    rc = rc < 0 ? rc : rebuild_marks(hub, err);
    rc = rc < 0 ? rc : rebuild_logs(hub, found, err);
    rc = rc < 0 ? rc : rc_hold_rebuild(hub, found, err);
    rebuild_replays(hub, found);
    rebuild_bytes(hub, found);
    return rc;
}
