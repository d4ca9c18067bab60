/*
 * room: who is in a room, as far as this worker's clients are concerned, for rows that ask (common/records/sockets.h).
 *
 * Owned as all of worker/engine. A count costs nothing; a list one pass over the room's members.
 */
#ifndef RC_WORKER_ENGINE_ROOM_H
#define RC_WORKER_ENGINE_ROOM_H

#include "common/records/sockets.h"
#include "worker/engine/session.h"

struct rc_room_listener {
    void *context;
    void (*entry)(void *context, struct rc_span json); /* a JSON string; valid during the call */
};

/* Of RC_CALL_ROOM_COUNT, MEMBERS or USERS: how many are in the room of that channel, but for the client `except` (0: nobody), and the
 * entries. Clients of other protocols count, and have no socket's id. */
uint32_t rc_room_tell(struct rc_engines *engines, enum rc_sockets_operation what, struct rc_span channel,
                      uint32_t except, const struct rc_room_listener *listener);

#endif
