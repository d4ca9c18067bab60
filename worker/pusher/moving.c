/* moving: a client on its way to another worker (worker/move): what the truth says of it beside its client, as bytes. See pusher.h. */
#include "worker/pusher/pusher.h"

#include <errno.h>
#include <string.h>

struct moving_head {
    uint32_t rate_ds;
    uint32_t rate_count;
    uint8_t app;
    uint8_t pad[3];
    uint32_t authorize_ds;
    /* followed by its members, as in their block behind its first word */
};

const char *rc_pusher_hindrance(void *context, uint32_t client)
{
    const struct rc_pushers *pushers = context;
    const struct rc_truth *truth = pushers->clients->truth;
    struct rc_pusher_member member;
    uint32_t at = 0;
    while (rc_pusher_member_next(truth, client, &at, &member)) {
        if (member.told != RC_PUSHER_TOLD && rc_pusher_member_stands(pushers, client, member.channel)) {
            return "it was not told yet who is in a channel";
        }
    }
    return rc_truth_pusher(truth, client)->ended ? "it is ending" : NULL;
}

uint64_t rc_pusher_moving_bytes(void *context, uint32_t client)
{
    const struct rc_pushers *pushers = context;
    return sizeof(struct moving_head) + (uint64_t)rc_pusher_members(pushers->clients->truth, client).count;
}

uint32_t rc_pusher_goes(void *context, uint32_t client, uint8_t *out, uint32_t room)
{
    const struct rc_pushers *pushers = context;
    const struct rc_truth *truth = pushers->clients->truth;
    const struct rc_pusher *its = rc_truth_pusher(truth, client);
    const struct moving_head head = {
        .rate_ds = its->rate_ds, .rate_count = its->rate_count, .app = its->app, .authorize_ds = its->authorize_ds};
    const struct rc_span members = rc_pusher_members(truth, client);
    if (sizeof(head) + members.count > room) {
        return 0;
    }
    memcpy(out, &head, sizeof(head));
    if (members.count > 0) {
        memcpy(out + sizeof(head), members.bytes, members.count);
    }
    return (uint32_t)(sizeof(head) + members.count);
}

/* Entries as in the block, each of them told. */
static bool members_right(struct rc_span members)
{
    struct rc_pusher_member_head head;
    while (members.count >= sizeof(head)) {
        memcpy(&head, members.bytes, sizeof(head));
        const size_t bytes = sizeof(head) + head.channel_bytes + head.user_bytes + head.info_bytes;
        if (bytes > members.count || head.channel_bytes == 0 || head.told != RC_PUSHER_TOLD) {
            return false;
        }
        members = rc_span_of(members.bytes + bytes, members.count - bytes);
    }
    return members.count == 0;
}

int rc_pusher_came(void *context, uint32_t client, struct rc_span bytes)
{
    struct rc_pushers *pushers = context;
    struct rc_clients *clients = pushers->clients;
    struct rc_pusher *its = rc_truth_pusher(clients->truth, client);
    struct moving_head head;
    *its = (struct rc_pusher){0};
    if (bytes.count < sizeof(head)) {
        return -EBADMSG;
    }
    memcpy(&head, bytes.bytes, sizeof(head));
    const struct rc_span members = rc_span_of(bytes.bytes + sizeof(head), bytes.count - sizeof(head));
    if (head.app >= clients->config->pusher_app_count || !members_right(members)) {
        return -EBADMSG;
    }
    its->app = head.app;
    its->rate_ds = head.rate_ds;
    its->rate_count = head.rate_count;
    its->authorize_ds = head.authorize_ds;
    if (rc_client_expires(clients, client, rc_client_expiry_due(clients, client)) < 0) {
        return -ENOMEM;
    }
    return members.count == 0 ? 0 : rc_pusher_members_put(pushers, client, members);
}
