/*
 * adapter_response: what Socket.IO servers with an adapter answer to what this instance asks of them (adapter_asks.h).
 *
 *   classic           {"requestId","sockets":[id, …]}                        who is there
 *                     {"type":8,"requestId","clientCount"}                    so many got the event
 *                     {"type":9,"requestId"[,"packet"]}     msgpack           what one of them answers
 *   sharded, streams  {"uid","nsp","type","data":{"requestId", …}}, JSON or msgpack: type 8 with "sockets":[{"id", …}, …], 11, 12
 *
 * Pure; anybody who can publish to Redis may have written it: everything is checked before anything is believed, unknown members are
 * passed over. Errors: those of json_scan and msgpack_json; -EINVAL: it is none of these.
 */
#ifndef RC_RELAY_BRIDGE_ADAPTER_RESPONSE_H
#define RC_RELAY_BRIDGE_ADAPTER_RESPONSE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/records/args.h"
#include "common/text/json_scan.h"

enum rc_adapter_response_type {
    RC_ADAPTER_RESPONSE_NONE, /* of another kind: it is nothing that we ask */
    RC_ADAPTER_RESPONSE_SOCKETS,
    RC_ADAPTER_RESPONSE_COUNT,
    RC_ADAPTER_RESPONSE_ANSWER,
};

/* Views of the message and of the buffer; they live as long as both do. */
struct rc_adapter_response {
    enum rc_adapter_response_type type;
    struct rc_span id;      /* inside of the JSON string; empty where it has escapes, which ours have not */
    uint64_t count;         /* of clients */
    struct rc_span sockets; /* JSON array */
    struct rc_span packet;  /* JSON; empty: it answers nothing */
    struct rc_span attachments[RC_ARGS_ATTACHMENTS_MAX]; /* of which its placeholders are */
    uint32_t attachment_count;
};

/* Bytes of a buffer for a message of so many. */
size_t rc_adapter_response_room(size_t message_bytes);
int rc_adapter_response_read(struct rc_adapter_response *response, struct rc_span message, uint8_t *buffer,
                             size_t room);

/* The next socket's id of the response's `sockets` (rc_json_array_begin), a JSON string with its quotes: of a text, or of an object that has one. 1; 0 at
 * the end; or an error. */
int rc_adapter_response_socket(struct rc_json_cursor *sockets, struct rc_span *id);

#endif
