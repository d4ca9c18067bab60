/*
 * sockets: what servers beside this instance ask of its Socket.IO sockets, as it travels on the rings: calls (call.h) with operations of
 * their own.
 *
 *   RC_DOWN_CALL   channel "{nsp}#"; exclude text: which sockets, as in select.h (no rooms: all of the namespace); data: struct
 *                  rc_call_head with the operation, nothing else in it but close_code, then what the operation says
 *   RC_UP_REPLY    data: struct rc_reply_head | `count` entries, each 4 bytes of length and a JSON text (rc_sockets_entry_*). A worker
 *                  whose entries do not fit one record sends several, all but the last with RC_REPLY_PART
 *
 *   RC_CALL_SOCKETS         entries: the sockets as fetchSockets() has them: {"id","handshake","rooms","data"}
 *   RC_CALL_SOCKET_IDS      entries: their ids
 *   RC_CALL_SOCKET_ROOMS    entries: names of the rooms that sockets of the namespace are in, their own rooms (ids) too; may repeat
 *   RC_CALL_SOCKETS_JOIN    data: names of the channels of rooms, each ended by a NUL. No entries, `count` = sockets concerned
 *   RC_CALL_SOCKETS_LEAVE   the same
 *   RC_CALL_SOCKETS_CLOSE   close_code 1: the connections too, 0: the namespace alone
 *   RC_CALL_SERVER_EVENT    to one worker. event: its name; data: JSON array of its arguments; close_code 1: an acknowledgement is wanted,
 *                           which is the one entry. For [[event]] rows from = "server"
 *   RC_CALL_ASKED           to one worker: what a client of another server answers to an event of a backend, or that it does not (emit.h)
 *   RC_CALL_SOCKETS_EMIT    an event that the sockets are to answer (emit.h). No entries, `count` = sockets that got it
 *
 * Workers ask each other, too, by RC_UP_CALL, which the relay hands to those workers besides it that have somebody in the channel:
 *
 *   RC_CALL_ROOM_COUNT      channel: the room's. No entries, `count` = who is in it
 *   RC_CALL_ROOM_MEMBERS    entries: ids of its sockets
 *   RC_CALL_ROOM_USERS      entries: ids of their users; may repeat
 *
 * Everything here comes out of another process's memory when it is read: checked, then believed.
 */
#ifndef RC_COMMON_RECORDS_SOCKETS_H
#define RC_COMMON_RECORDS_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/base/span.h"
#include "common/records/call.h"

/* As rc_call_head.operation, beside enum rc_call_operation. */
enum rc_sockets_operation {
    RC_CALL_SOCKETS = 16,
    RC_CALL_SOCKET_IDS,
    RC_CALL_SOCKET_ROOMS,
    RC_CALL_SOCKETS_JOIN,
    RC_CALL_SOCKETS_LEAVE,
    RC_CALL_SOCKETS_CLOSE,
    RC_CALL_SERVER_EVENT,
    RC_CALL_SOCKETS_EMIT,
    RC_CALL_ROOM_COUNT,
    RC_CALL_ROOM_MEMBERS,
    RC_CALL_ROOM_USERS,
    RC_CALL_ASKED,
};

/* Is it a question about a room, of a worker's row? Its first byte is struct rc_call_head's. */
static inline bool rc_sockets_of_room(const struct rc_envelope_view *view)
{
    return view->head.data_bytes >= sizeof(struct rc_call_head) && view->data[0] >= RC_CALL_ROOM_COUNT &&
           view->data[0] <= RC_CALL_ROOM_USERS;
}

/* Writes an entry behind `used` bytes; the bytes then, or 0 when it does not fit `room`. */
static inline uint32_t rc_sockets_entry_put(uint8_t *out, uint32_t used, uint32_t room, struct rc_span json)
{
    const uint32_t bytes = (uint32_t)json.count;
    if (json.count > UINT32_MAX - 4 || used > room || json.count + 4 > room - used) {
        return 0;
    }
    memcpy(out + used, &bytes, sizeof(bytes));
    memcpy(out + used + sizeof(bytes), json.bytes, json.count);
    return used + 4 + bytes;
}

/* Takes the first entry off; false when there is none, or only a part of one. */
static inline bool rc_sockets_entry_next(struct rc_span *rest, struct rc_span *json)
{
    uint32_t bytes;
    if (rest->count < sizeof(bytes)) {
        return false;
    }
    memcpy(&bytes, rest->bytes, sizeof(bytes));
    if (rest->count - sizeof(bytes) < bytes) {
        return false;
    }
    *json = rc_span_of(rest->bytes + sizeof(bytes), bytes);
    *rest = rc_span_of(json->bytes + bytes, rest->count - sizeof(bytes) - bytes);
    return true;
}

#endif
