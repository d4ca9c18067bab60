/*
 * adapter_request: what servers with @socket.io/redis-adapter ask one another, as JSON on Redis.
 *
 *   KEY-request#NSP#    {"uid","requestId","type","opts":{"rooms","except"},"rooms","close","data"}, older ones {"sid","room"}
 *   KEY-response#NSP#   {"requestId","sockets"}, {"requestId","rooms"}, {"requestId"}, {"type":6,"requestId","data"}, {"type":8,"requestId","clientCount"}
 *
 * A broadcast whose clients answer (type 7) is msgpack: [uid, …] as adapter_wire.h has it, in a map; so is each answer. Pure; anybody who can publish to
 * Redis may have written it: everything is checked before anything is believed, unknown members are passed over. Errors: those of
 * json_scan and msgpack; -EINVAL: it is none of these.
 */
#ifndef RC_RELAY_BRIDGE_ADAPTER_REQUEST_H
#define RC_RELAY_BRIDGE_ADAPTER_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "relay/bridge/adapter_wire.h"

enum rc_adapter_request_type {
    RC_ADAPTER_SOCKETS = 0, /* ids of sockets */
    RC_ADAPTER_ALL_ROOMS = 1,
    RC_ADAPTER_JOIN = 2,
    RC_ADAPTER_LEAVE = 3,
    RC_ADAPTER_DISCONNECT = 4,
    RC_ADAPTER_FETCH = 5, /* sockets with what is known of them */
    RC_ADAPTER_SERVER_EVENT = 6,
    RC_ADAPTER_BROADCAST = 7,    /* clients answer */
    RC_ADAPTER_CLIENT_COUNT = 8, /* response: how many will */
    RC_ADAPTER_NOTHING = 255,    /* for others, or of a version to come */
};

#define RC_ADAPTER_REQUEST_ID_MAX 64u /* bytes, as it stands in JSON */
#define RC_ADAPTER_ASKER_MAX 64u      /* bytes of an asker's uid */

/* Views of the request; they live as long as it does. */
struct rc_adapter_request {
    enum rc_adapter_request_type type;
    struct rc_span uid;   /* the JSON string's inside; empty: an emitter's of old */
    struct rc_span id;    /* JSON string with quotes; empty: no answer is wanted */
    bool has_options;     /* it says which sockets are meant: all of them, too, must be said */
    struct rc_span rooms; /* JSON arrays; empty: there is none */
    struct rc_span except;
    struct rc_span targets; /* JSON array: rooms to join or leave */
    struct rc_span sid;     /* JSON strings with quotes: the old form */
    struct rc_span room;
    struct rc_span data; /* JSON array: event and arguments */
    bool close;
    struct rc_span id_text;                      /* of RC_ADAPTER_BROADCAST: its id, decoded */
    struct rc_adapter_broadcast broadcast;       /* likewise; its attachments: of `data` too */
    char scratch[RC_ADAPTER_REQUEST_ID_MAX + 2]; /* its id */
};

int rc_adapter_request_read(struct rc_adapter_request *request, struct rc_span message);

#endif
