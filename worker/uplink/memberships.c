/* memberships: see memberships.h. */
#include "worker/uplink/memberships.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/config/pusher.h"
#include "common/records/member.h"
#include "worker/store/pusher_members.h"

/* A change that waits for room. */
struct queued {
    struct rc_client_ref ref;
    uint8_t joined;
    uint8_t channel_bytes;
    uint16_t user_bytes;
    uint16_t flags;
    uint8_t pad[2];
    /* followed by channel and user */
};

/* Who somebody is in a channel. */
struct as_whom {
    struct rc_span user; /* its id; with the flag as common/records/member.h says */
    uint16_t flags;      /* RC_ENVELOPE_MEMBER, or 0 */
    uint8_t scratch[RC_MEMBER_BYTES_MAX];
};

static bool member_wanted(const struct rc_memberships *members, const struct rc_channel *channel)
{
    const struct rc_config *config = members->config;
    const struct rc_config_namespace *policy = &config->namespaces[channel->namespace];
    return policy->presence || rc_pusher_roster(config, rc_truth_channel_name(members->truth, channel)) ||
           (config->redis.url.text[0] != '\0' && config->cluster.subscription_sets == RC_SUBSCRIPTION_SETS_CLIENTS &&
            policy->subscription_set.text[0] != '\0');
}

static bool anything_wanted(const struct rc_config *config)
{
    bool presence = config->pusher_app_count > 0;
    for (uint32_t i = 0; i < config->namespace_count; i++) {
        presence |= config->namespaces[i].presence;
    }
    return presence ||
           (config->redis.url.text[0] != '\0' && config->cluster.subscription_sets == RC_SUBSCRIPTION_SETS_CLIENTS);
}

static int write_change(struct rc_memberships *members, const struct rc_client_ref *ref, struct rc_span channel,
                        struct rc_span user, uint16_t flags, bool joined)
{
    const bool presence = rc_pusher_or_presence(members->config, channel);
    struct rc_envelope_view view = {.head = {.origin = *ref,
                                             .flags = (uint16_t)(flags | (presence ? RC_ENVELOPE_PRESENCE : 0u)),
                                             .channel_bytes = (uint8_t)channel.count,
                                             .data_bytes = (uint32_t)user.count},
                                    .channel = (const char *)channel.bytes,
                                    .data = user.bytes};
    return rc_uplink_write(members->uplink, joined ? RC_UP_MEMBER_ADD : RC_UP_MEMBER_REMOVE, &view);
}

/* --- the queue ------------------------------------------------------------------------------------------------------- */

static void drop_queue(struct rc_memberships *members)
{
    free(members->queue);
    members->queue = NULL;
    members->queue_capacity = members->queue_bytes = members->queue_read = 0;
}

static void tell_again(struct rc_memberships *members)
{
    drop_queue(members); /* older than what will be told */
    members->again = true;
}

static bool queue_reserve(struct rc_memberships *members, uint32_t bytes)
{
    if (members->queue_bytes + bytes <= members->queue_capacity) {
        return true;
    }
    const uint32_t capacity = members->queue_capacity == 0 ? 4096 : members->queue_capacity * 2;
    uint8_t *more = capacity <= RC_MEMBERSHIPS_QUEUE_MAX ? realloc(members->queue, capacity) : NULL;
    if (more == NULL) {
        return false;
    }
    members->queue = more;
    members->queue_capacity = capacity;
    return true;
}

static void member_enqueue(struct rc_memberships *members, const struct rc_client_ref *ref, struct rc_span channel,
                           struct rc_span user, uint16_t flags, bool joined)
{
    const struct queued head = {.ref = *ref,
                                .joined = joined,
                                .channel_bytes = (uint8_t)channel.count,
                                .user_bytes = (uint16_t)user.count,
                                .flags = flags};
    if (!queue_reserve(members, (uint32_t)(sizeof(head) + channel.count + user.count))) {
        tell_again(members);
        return;
    }
    uint8_t *out = members->queue + members->queue_bytes;
    memcpy(out, &head, sizeof(head));
    memcpy(out + sizeof(head), channel.bytes, channel.count);
    if (user.count > 0) {
        memcpy(out + sizeof(head) + channel.count, user.bytes, user.count);
    }
    members->queue_bytes += (uint32_t)(sizeof(head) + channel.count + user.count);
}

static int write_queue(struct rc_memberships *members)
{
    while (members->queue_read < members->queue_bytes) {
        const uint8_t *at = members->queue + members->queue_read;
        struct queued head;
        memcpy(&head, at, sizeof(head));
        const struct rc_span channel = rc_span_of(at + sizeof(head), head.channel_bytes);
        const struct rc_span user = rc_span_of(channel.bytes + channel.count, head.user_bytes);
        if (write_change(members, &head.ref, channel, user, head.flags, head.joined != 0) < 0) {
            return -EAGAIN;
        }
        members->queue_read += (uint32_t)(sizeof(head) + channel.count + user.count);
    }
    if (members->queue != NULL) {
        drop_queue(members);
    }
    return 0;
}

/* --- changes --------------------------------------------------------------------------------------------------------- */

/* False: nobody is told of it: it only watches who is in the channel. */
static bool user_of(const struct rc_memberships *members, uint32_t index, struct rc_span channel, struct as_whom *whom)
{
    const struct rc_client *client = rc_truth_client(members->truth, index);
    struct rc_pusher_member member;
    whom->user = (struct rc_span){0};
    whom->flags = 0;
    if (rc_encoding_is_pusher(client->encoding)) { /* each of its authorisations says so */
        if (rc_pusher_member_find(members->truth, index, channel, &member)) {
            if (member.user.count == 0) {
                return false;
            }
            whom->user = rc_span_of(whom->scratch, rc_member_write(whom->scratch, member.user, member.info));
            whom->flags = RC_ENVELOPE_MEMBER;
        }
    } else if (client->user != 0) {
        const struct rc_user *user = rc_truth_user(members->truth, client->user);
        whom->user = rc_span_of(user->id, user->id_bytes);
    }
    return true;
}

void rc_memberships_changed(struct rc_memberships *members, uint32_t index, uint32_t channel_index, bool joined)
{
    const struct rc_truth *truth = members->truth;
    const struct rc_client *client = rc_truth_client(truth, index);
    const struct rc_channel *channel = rc_truth_channel(truth, channel_index);
    if (client->random == 0 || !member_wanted(members, channel)) {
        return;
    }
    if (members->telling && !joined && index == members->next_client) {
        members->next_subscription = 0; /* those behind it have moved up */
    }
    if (client->moving && !joined) {
        return; /* the worker that has it now tells, and it was there all along */
    }
    const struct rc_client_ref ref = rc_truth_ref(truth, members->worker, index);
    const struct rc_span name = rc_truth_channel_name(members->truth, channel);
    struct as_whom whom;
    if (!user_of(members, index, name, &whom)) {
        return;
    }
    if (members->queue != NULL || write_change(members, &ref, name, whom.user, whom.flags, joined) < 0) {
        member_enqueue(members, &ref, name, whom.user, whom.flags, joined);
    }
}

/* --- everything ------------------------------------------------------------------------------------------------------ */

static int write_mark(struct rc_memberships *members, enum rc_record_type type)
{
    struct rc_envelope_view view = {.head = {.token = members->relay_generation}};
    return rc_uplink_write(members->uplink, type, &view);
}

static int tell_client(struct rc_memberships *members, uint32_t index)
{
    const struct rc_truth *truth = members->truth;
    const struct rc_client *client = rc_truth_client(truth, index);
    const struct rc_client_ref ref = rc_truth_ref(truth, members->worker, index);
    uint32_t place = 0;
    for (uint32_t at = client->random != 0 ? client->subscriptions : 0; at != 0; place++) {
        const struct rc_subscription *subscription = rc_truth_subscription(truth, at);
        const struct rc_channel *channel = rc_truth_channel(truth, rc_truth_group(truth, subscription->group)->channel);
        at = subscription->next;
        if (place < members->next_subscription || !member_wanted(members, channel)) {
            continue;
        }
        struct as_whom whom;
        const struct rc_span name = rc_truth_channel_name(members->truth, channel);
        if (user_of(members, index, name, &whom) &&
            write_change(members, &ref, name, whom.user, whom.flags, true) < 0) {
            members->next_subscription = place;
            return -EAGAIN;
        }
    }
    members->next_subscription = 0;
    return 0;
}

static int tell_everything(struct rc_memberships *members)
{
    const uint32_t generation = rc_control_relay_generation(members->uplink->control);
    if (generation != members->relay_generation || members->again) {
        members->relay_generation = generation;
        members->telling = false;
        members->again = anything_wanted(members->config) || members->again;
        if (!members->again) {
            return 0;
        }
        drop_queue(members);
        if (write_mark(members, RC_UP_MEMBERS_BEGIN) < 0) {
            return -EAGAIN;
        }
        members->again = false;
        members->telling = true;
        members->next_client = 1;
        members->next_subscription = 0;
    }
    for (; members->telling && members->next_client <= *members->clients_high; members->next_client++) {
        if (tell_client(members, members->next_client) < 0) {
            return -EAGAIN;
        }
    }
    if (members->telling) {
        if (write_mark(members, RC_UP_MEMBERS_END) < 0) {
            return -EAGAIN;
        }
        members->telling = false;
    }
    return 0;
}

bool rc_memberships_told(const struct rc_memberships *members)
{
    return members->queue == NULL && !members->again && !members->telling &&
           rc_control_relay_generation(members->uplink->control) == members->relay_generation;
}

void rc_memberships_flush(struct rc_memberships *members)
{
    if (tell_everything(members) == 0) {
        (void)write_queue(members);
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

void rc_memberships_open(struct rc_memberships *members, struct rc_uplink *uplink, const struct rc_truth *truth,
                         const uint32_t *clients_high, uint32_t worker, const struct rc_config *config)
{
    *members = (struct rc_memberships){
        .uplink = uplink, .truth = truth, .clients_high = clients_high, .worker = worker, .config = config};
}

void rc_memberships_close(struct rc_memberships *members)
{
    drop_queue(members);
}

void rc_memberships_reconfigure(struct rc_memberships *members, const struct rc_config *config)
{
    const bool before = anything_wanted(members->config);
    members->config = config;
    members->again |= before || anything_wanted(config);
}
