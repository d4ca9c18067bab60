/* members: who a client is in its presence channels, written. See pusher.h and worker/store/pusher_members.h. */
#include "worker/pusher/pusher.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* The block becomes another one with one word. */
static void members_take(struct rc_pushers *pushers, uint32_t client, uint32_t made)
{
    struct rc_clients *clients = pushers->clients;
    struct rc_pusher *its = rc_truth_pusher(clients->truth, client);
    uint32_t old = its->members;
    RC_STORE_ORDER();
    its->members = made;
    RC_STORE_ORDER();
    rc_socket_input_free(clients, &old);
}

bool rc_pusher_waits(const struct rc_pushers *pushers, uint32_t client, uint32_t channel)
{
    const struct rc_truth *truth = pushers->clients->truth;
    return rc_truth_client(truth, client)->pending_count > 0 && rc_truth_channel(truth, channel)->pending != 0;
}

bool rc_pusher_member_stands(const struct rc_pushers *pushers, uint32_t client, struct rc_span channel)
{
    struct rc_hub *hub = pushers->clients->hub;
    const uint32_t index = rc_hub_find(hub, rc_channel_hash((const char *)channel.bytes, channel.count), channel);
    return index != 0 && (rc_hub_subscription(hub, client, index) != 0 || rc_pusher_waits(pushers, client, index));
}

/* What there is but for the channel and for those that did not become subscriptions, and room for `more` bytes: where those go; NULL: no memory. *made is the block. */
static uint8_t *members_without(struct rc_pushers *pushers, uint32_t client, struct rc_span channel, uint32_t more,
                                uint32_t *made)
{
    struct rc_clients *clients = pushers->clients;
    struct rc_heap *heap = &clients->truth->heap;
    struct rc_pusher_member member;
    struct rc_pusher_member_head head;
    uint32_t bytes = sizeof(uint32_t) + more;
    uint32_t at = 0;
    while (rc_pusher_member_next(clients->truth, client, &at, &member)) {
        bytes += (uint32_t)(sizeof(head) + member.channel.count + member.user.count + member.info.count);
    }
    *made =
        clients->hub->input_bytes + bytes > clients->config->limits.worker_log_bytes ? 0 : rc_heap_alloc(heap, bytes);
    if (*made == 0) {
        return NULL;
    }
    clients->hub->input_bytes += rc_heap_block_bytes(heap, *made);
    uint8_t *out = (uint8_t *)rc_heap_at(heap, *made) + sizeof(uint32_t);
    const uint8_t *begin = out;
    for (at = 0; rc_pusher_member_next(clients->truth, client, &at, &member);) {
        const size_t count = sizeof(head) + member.channel.count + member.user.count + member.info.count;
        /* Who was told is in, and its entry goes when it leaves: only others have to be looked for. */
        if (!rc_span_equal(member.channel, channel) &&
            (member.told == RC_PUSHER_TOLD || rc_pusher_member_stands(pushers, client, member.channel))) {
            memcpy(out, member.channel.bytes - sizeof(head), count);
            out += count;
        }
    }
    bytes = (uint32_t)(out - begin) + more;
    memcpy(rc_heap_at(heap, *made), &bytes, sizeof(bytes));
    return out;
}

int rc_pusher_member_put(struct rc_pushers *pushers, uint32_t client, struct rc_span channel, struct rc_span user,
                         struct rc_span info)
{
    const struct rc_pusher_member_head head = {
        .channel_bytes = (uint8_t)channel.count, .user_bytes = (uint8_t)user.count, .info_bytes = (uint16_t)info.count};
    uint32_t made;
    uint8_t *out = members_without(pushers, client, channel,
                                   (uint32_t)(sizeof(head) + channel.count + user.count + info.count), &made);
    if (out == NULL) {
        return -ENOMEM;
    }
    memcpy(out, &head, sizeof(head));
    memcpy(out + sizeof(head), channel.bytes, channel.count);
    if (user.count > 0) {
        memcpy(out + sizeof(head) + channel.count, user.bytes, user.count);
    }
    if (info.count > 0) {
        memcpy(out + sizeof(head) + channel.count + user.count, info.bytes, info.count);
    }
    members_take(pushers, client, made);
    return 0;
}

int rc_pusher_members_put(struct rc_pushers *pushers, uint32_t client, struct rc_span members)
{
    struct rc_clients *clients = pushers->clients;
    struct rc_heap *heap = &clients->truth->heap;
    const uint32_t bytes = (uint32_t)members.count;
    const uint32_t made = clients->hub->input_bytes + bytes > clients->config->limits.worker_log_bytes
                              ? 0
                              : rc_heap_alloc(heap, sizeof(bytes) + members.count);
    if (made == 0) {
        return -ENOMEM;
    }
    clients->hub->input_bytes += rc_heap_block_bytes(heap, made);
    memcpy(rc_heap_at(heap, made), &bytes, sizeof(bytes));
    memcpy((uint8_t *)rc_heap_at(heap, made) + sizeof(bytes), members.bytes, members.count);
    members_take(pushers, client, made);
    return 0;
}

void rc_pusher_member_drop(struct rc_pushers *pushers, uint32_t client, struct rc_span channel)
{
    struct rc_pusher_member member;
    uint32_t made = 0;
    uint32_t at = 0;
    uint32_t count = 0;
    if (!rc_pusher_member_find(pushers->clients->truth, client, channel, &member)) {
        return;
    }
    while (rc_pusher_member_next(pushers->clients->truth, client, &at, &member)) {
        count++;
    }
    if (count == 1) {
        members_take(pushers, client, 0);
    } else if (members_without(pushers, client, channel, 0, &made) != NULL) {
        members_take(pushers, client, made); /* without memory it stays, and is replaced when the client comes back */
    }
}

void rc_pusher_member_mark(struct rc_pushers *pushers, uint32_t client, const struct rc_pusher_member *member,
                           enum rc_pusher_told told)
{
    struct rc_truth *truth = pushers->clients->truth;
    uint8_t *text = rc_heap_at(&truth->heap, rc_truth_pusher(truth, client)->members);
    text[sizeof(uint32_t) + member->at + offsetof(struct rc_pusher_member_head, told)] = (uint8_t)told;
}

void rc_pusher_members_free(struct rc_pushers *pushers, uint32_t client)
{
    if (rc_truth_pusher(pushers->clients->truth, client)->members != 0) {
        members_take(pushers, client, 0);
    }
}
