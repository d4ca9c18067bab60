/*
 * call_wire: calls between instances, and their replies, as JSON on Redis (docs/redis.md).
 *
 *   ws:instance:{id}:call, ws:instances:call   {"operation":"disconnect","user":"42","call":…,"from":…}
 *   ws:instance:{id}:reply                     {"call":…,"from":…,"found":true,"count":2,"last":true}
 *
 * Anybody who can publish to Redis may have written them: everything is checked here. Pure but for rc_call_*_write, which allocate.
 */
#ifndef RC_RELAY_BRIDGE_CALL_WIRE_H
#define RC_RELAY_BRIDGE_CALL_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/call.h"
#include "common/config/config.h"
#include "common/records/envelope.h"
#include "common/base/span.h"

#define RC_CALL_ID_MAX 32u       /* bytes of `call` */
#define RC_CALL_LIMIT_MAX 1000u  /* channels of one list */
#define RC_CALL_CLOSE_CODE 4501u /* of a disconnect that names none */
#define RC_CALL_CLOSE_REASON "disconnected"
#define RC_CALL_REASON_MAX 123u /* RFC 6455 5.5.1: 125 bytes less the code's two */

struct rc_call_request {
    uint32_t operation; /* enum rc_call_operation, or RC_CALL_ROOM_COUNT, _MEMBERS, _USERS */
    uint16_t code;      /* disconnect */
    uint16_t limit;     /* channels */
    uint8_t call_bytes;
    uint8_t from_bytes; /* 0 = nobody wants a reply, and call_bytes is 0 as well */
    uint8_t client_bytes;
    uint8_t user_bytes;
    uint8_t channel_bytes;
    uint8_t text_bytes;
    char call[RC_CALL_ID_MAX];
    char from[RC_INSTANCE_ID_MAX];
    char client
        [RC_CLIENT_ID_MAX]; /* one of client and user; neither for channels and rooms, nor where do is for a room */
    char user[RC_CHANNEL_NAME_MAX];    /* `user:{id}` is a channel's name */
    char channel[RC_CHANNEL_NAME_MAX]; /* subscribe, unsubscribe, rooms, do for a room; channels: names after it only */
    char text[RC_CHANNEL_NAME_MAX]; /* disconnect: reason; channels: names that begin with it only; do: the namespace */
    struct rc_span body;            /* do: a JSON object, borrowed; `limit` operations of it from `code` on */
};

/* 0, an error of json_scan, or -EINVAL with the reason in *why. */
int rc_call_request_read(struct rc_call_request *request, struct rc_span message, const char **why);
/* The text of a call: NULL without memory; *bytes long, the caller's to free. */
char *rc_call_request_write(const struct rc_call_request *request, size_t *bytes);

struct rc_call_reply {
    uint32_t flags; /* enum rc_reply_flags: FOUND, MORE, BUSY, LAST, INCOMPLETE, UNCONFIRMED */
    bool texts;     /* entries are ids: of who is in a room */
    uint32_t count; /* connections, or entries */
    uint8_t call_bytes;
    uint8_t from_bytes;
    char call[RC_CALL_ID_MAX];
    char from[RC_INSTANCE_ID_MAX];
    struct rc_span entries; /* as an RC_CALL_CHANNELS reply has them on the rings; texts: as sockets.h says */
};

/* The same; entries are written to `scratch` (RC_CALL_REPLY_BYTES_MAX bytes). What does not fit is left out, with RC_REPLY_MORE. */
int rc_call_reply_read(struct rc_call_reply *reply, struct rc_span message, uint8_t *scratch, const char **why);
char *rc_call_reply_write(const struct rc_call_reply *reply, size_t *bytes);

#endif
