/*
 * member: who somebody is in a channel beyond a user's id, and what becomes known when somebody comes or goes: as it travels on rings.
 *
 *   RC_UP_MEMBER_ADD, _REMOVE with RC_ENVELOPE_MEMBER   data: user's bytes (1) | user | info
 *   RC_DOWN_MEMBER   channel; origin: whose coming it was, if it was one of this host's; data: struct rc_member_told | user | info
 *
 * The relay tells one worker of the host on which it was found out, once for the whole cluster: the first or last client of a channel, or
 * of a user in it, and how many are there. Pure; what is read comes out of another process's memory: checked, then believed.
 */
#ifndef RC_COMMON_RECORDS_MEMBER_H
#define RC_COMMON_RECORDS_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/span.h"

#define RC_MEMBER_INFO_MAX 2048u /* bytes of what is known of a member, JSON */
#define RC_MEMBER_BYTES_MAX (1u + UINT8_MAX + RC_MEMBER_INFO_MAX)

enum rc_member_change {
    RC_MEMBER_ADDED = 1u << 0, /* the user is in the channel now, and was not */
    RC_MEMBER_REMOVED = 1u << 1,
    RC_MEMBER_OCCUPIED = 1u << 2, /* somebody is, and nobody was */
    RC_MEMBER_VACATED = 1u << 3,
    RC_MEMBER_COUNTED = 1u << 4, /* `clients` are subscribed */
};

struct rc_member_told {
    uint32_t changes; /* enum rc_member_change, or-ed */
    uint32_t clients;
    uint32_t user_bytes;
};
_Static_assert(sizeof(struct rc_member_told) == 12, "member told layout");

/* At most RC_MEMBER_BYTES_MAX; the bytes. `user` has at most 255, `info` at most RC_MEMBER_INFO_MAX: what is longer is left out. */
static inline size_t rc_member_write(uint8_t *out, struct rc_span user, struct rc_span info)
{
    info.count = info.count > RC_MEMBER_INFO_MAX ? 0 : info.count;
    out[0] = (uint8_t)user.count;
    if (user.count > 0) {
        memcpy(out + 1, user.bytes, (uint8_t)user.count);
    }
    if (info.count > 0) {
        memcpy(out + 1 + (uint8_t)user.count, info.bytes, info.count);
    }
    return 1u + (uint8_t)user.count + info.count;
}

/* False: it makes no sense. */
static inline bool rc_member_read(struct rc_span data, struct rc_span *user, struct rc_span *info)
{
    if (data.count == 0 || data.count > RC_MEMBER_BYTES_MAX || data.count - 1 < data.bytes[0]) {
        return false;
    }
    *user = rc_span_of(data.bytes + 1, data.bytes[0]);
    *info = rc_span_of(data.bytes + 1 + user->count, data.count - 1 - user->count);
    return info->count <= RC_MEMBER_INFO_MAX;
}

#endif
