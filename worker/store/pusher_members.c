/* pusher_members: see pusher_members.h. */
#include "worker/store/pusher_members.h"

#include <string.h>

/* What stands behind the block's first word. */
struct rc_span rc_pusher_members(const struct rc_truth *truth, uint32_t client)
{
    const uint32_t block = rc_truth_pusher(truth, client)->members;
    uint32_t bytes;
    if (block == 0) {
        return (struct rc_span){0};
    }
    const uint8_t *text = rc_heap_at(&truth->heap, block);
    memcpy(&bytes, text, sizeof(bytes));
    /* By what the truth says of the block: whoever checks one has not claimed its blocks yet. */
    const int order = rc_heap_order(&truth->heap, block);
    const uint64_t room = order < 0 ? 0 : ((uint64_t)RC_HEAP_UNIT << order) - sizeof(bytes);
    return rc_span_of(text + sizeof(bytes), bytes < room ? bytes : room);
}

bool rc_pusher_member_next(const struct rc_truth *truth, uint32_t client, uint32_t *at, struct rc_pusher_member *member)
{
    const struct rc_span all = rc_pusher_members(truth, client);
    struct rc_pusher_member_head head;
    if (all.count < sizeof(head) || *at > all.count - sizeof(head)) {
        return false;
    }
    memcpy(&head, all.bytes + *at, sizeof(head));
    const size_t bytes = (size_t)head.channel_bytes + head.user_bytes + head.info_bytes;
    if (bytes > all.count - *at - sizeof(head)) {
        return false;
    }
    const uint8_t *text = all.bytes + *at + sizeof(head);
    *member = (struct rc_pusher_member){
        .channel = rc_span_of(text, head.channel_bytes),
        .user = rc_span_of(text + head.channel_bytes, head.user_bytes),
        .info = rc_span_of(text + head.channel_bytes + head.user_bytes, head.info_bytes),
        .told = (enum rc_pusher_told)head.told,
        .at = *at,
    };
    *at += (uint32_t)(sizeof(head) + bytes);
    return true;
}

bool rc_pusher_member_find(const struct rc_truth *truth, uint32_t client, struct rc_span channel,
                           struct rc_pusher_member *member)
{
    uint32_t at = 0;
    while (rc_pusher_member_next(truth, client, &at, member)) {
        if (rc_span_equal(member->channel, channel)) {
            return true;
        }
    }
    return false;
}

bool rc_pusher_members_whole(const struct rc_truth *truth, uint32_t client)
{
    struct rc_pusher_member member;
    uint32_t at = 0;
    while (rc_pusher_member_next(truth, client, &at, &member)) {}
    return at == rc_pusher_members(truth, client).count;
}
