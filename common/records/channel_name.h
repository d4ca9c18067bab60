/*
 * channel_name: the one rule for what may be a channel name, wherever the name comes from (client, file, Redis, API).
 *
 * Pure; any process may call.
 */
#ifndef RC_COMMON_RECORDS_CHANNEL_NAME_H
#define RC_COMMON_RECORDS_CHANNEL_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/span.h"

/* What stands before the user's id in the name of its channel. */
#define RC_USER_CHANNEL_HEAD "user:"
#define RC_USER_CHANNEL_HEAD_BYTES (sizeof(RC_USER_CHANNEL_HEAD) - 1)

/* The presence events of a channel go over a channel of their own, whose name is this byte and the channel's: no other name begins with it. */
#define RC_CHANNEL_PRESENCE_BYTE 0x02

static inline bool rc_channel_is_presence(struct rc_span name)
{
    return name.count > 0 && name.bytes[0] == RC_CHANNEL_PRESENCE_BYTE;
}

/* 0 when `name` is 1 to `max` bytes of well-formed UTF-8 without control characters (U+0000-001F, U+007F-009F); -EINVAL
 * otherwise, -ENAMETOOLONG when only the length is wrong. */
int rc_channel_name_check(const char *name, size_t bytes, size_t max);

/*
 * Rooms of Socket.IO are channels: room r of the namespace "/" is channel "r", room r of "/admin" is "/admin#r", and "{nsp}#" is
 * everybody in a namespace. `*room` is empty for everybody. False, and "/" with the whole name as its room: no such name.
 */
bool rc_channel_split(struct rc_span channel, struct rc_span *nsp, struct rc_span *room);
/* Writes the name of a room's channel; its bytes, or 0 when it is longer than `room_bytes`. An empty room: everybody. */
size_t rc_channel_of_room(char *out, size_t capacity, struct rc_span nsp, struct rc_span room);

#endif
