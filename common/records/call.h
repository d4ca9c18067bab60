/*
 * call: what the HTTP API of one worker asks of the relay and of other workers, as it travels on the rings.
 *
 * A call's records are envelopes with RC_ENVELOPE_API whose request id is a struct rc_call_tag, by which the answers find the
 * call that waits:
 *
 *   RC_UP_PUBLISH, RC_UP_DIRECT   sequenced like everybody's; a key that the relay has seen is answered RC_ENVELOPE_DUPLICATE
 *   RC_UP_CALL                    to the worker of `target`, or to every worker when it is nobody; the relay answers whom it asked.
 *                                 With Redis other instances are asked too (relay/cluster/calls.h): all of them, or, when the target's
 *                                 worker is RC_WORKER_FOREIGN, the one that the client id names
 *   RC_DOWN_CALL  RC_UP_REPLY  RC_DOWN_REPLY   each of them answers for its own connections
 *
 * The RC_UP_REPLY of a subscribe names the channel: the relay holds it until Redis has confirmed the subscription, or 100 ms, as it does
 * for a client's `subscribed`.
 *
 * Data of a call: struct rc_call_head | user | text | client id | body (RC_CALL_DO). Data of a reply: struct rc_reply_head | entries (RC_CALL_CHANNELS).
 * Everything here comes out of another process's memory when it is read: checked, then believed.
 */
#ifndef RC_COMMON_RECORDS_CALL_H
#define RC_COMMON_RECORDS_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/records/envelope.h"

#define RC_CALL_TEXT_MAX 255u          /* bytes of rc_call_head's user and text, each */
#define RC_CALL_REPLY_BYTES_MAX 65536u /* data of one reply */

struct rc_call_tag {
    uint64_t nonce;  /* of the asking worker's start */
    uint32_t index;  /* of the call in that worker */
    uint32_t serial; /* of the call: indexes are used again */
    uint32_t item;   /* message of a batch */
    uint32_t reserved;
    uint64_t key[2]; /* hash of idempotency key and item; both 0 = none */
};
_Static_assert(sizeof(struct rc_call_tag) == 40 && sizeof(struct rc_call_tag) <= RC_REQUEST_ID_MAX, "call tag layout");

enum rc_call_operation {
    RC_CALL_SUBSCRIBE = 1, /* channel: of the envelope */
    RC_CALL_UNSUBSCRIBE,
    RC_CALL_DISCONNECT, /* close_code, text: reason */
    RC_CALL_CHANNELS,   /* channel: names after it only; text: names that begin with it only; limit */
    /* Operations of POST /api/do for a client, a user's, or those in the channel of a room: `limit` of them from the one at `close_code` on; text: the
     * Socket.IO namespace. Behind all else the body. Clients that all of it could be done for count; of others RC_REPLY_PARTLY tells. */
    RC_CALL_DO,
    RC_CALL_CLIENTS, /* survey.h: clients of this host */
    RC_CALL_HOT,     /* survey.h: its channels, by what goes through them */
};

struct rc_call_head {
    uint8_t operation; /* enum rc_call_operation, or one of sockets.h, whose numbers are others */
    uint8_t user_bytes;
    uint8_t text_bytes;
    uint8_t client_bytes; /* of another instance's client */
    uint16_t close_code;
    uint16_t limit;
};
_Static_assert(sizeof(struct rc_call_head) == 8, "call head layout");

enum rc_reply_flags {
    RC_REPLY_FOUND = 1u << 0, /* the client is here */
    RC_REPLY_MORE = 1u << 1,  /* channels: names after the last entry were left out */
    RC_REPLY_BUSY = 1u << 2,  /* nothing was done */
    /* Of the relay for other instances (origin.worker RC_WORKER_FOREIGN): */
    RC_REPLY_LAST = 1u << 3,       /* no more replies come */
    RC_REPLY_LOCAL = 1u << 4,      /* nobody was asked: Redis went away */
    RC_REPLY_INCOMPLETE = 1u << 5, /* not everybody who was asked has answered in time */
    RC_REPLY_PART = 1u << 7,       /* sockets: another reply with further entries follows */
    RC_REPLY_PARTLY = 1u << 9,     /* do: not all of it could be done for each of the clients */
    RC_REPLY_CLIENT = 1u << 8,     /* sockets: a client's answer to what the call has sent it (emit.h) */
    /* Of the relay, subscribe: Redis has not confirmed in time, or is away: what other hosts publish arrives when it has. */
    RC_REPLY_UNCONFIRMED = 1u << 6,
};

struct rc_reply_head {
    uint32_t flags; /* enum rc_reply_flags */
    uint32_t count; /* connections concerned, or entries */
};
_Static_assert(sizeof(struct rc_reply_head) == 8, "reply head layout");

enum rc_call_scope {
    RC_CALL_SCOPE_HOST,  /* there are no other instances to ask */
    RC_CALL_SCOPE_ALL,   /* others are asked: their replies come, the last one with RC_REPLY_LAST */
    RC_CALL_SCOPE_LOCAL, /* there may be others, but Redis is away */
};

/* The relay's answer to a call says by one bit each which workers it asked, and whether other instances. */
struct rc_call_asked {
    uint64_t bits[RC_WORKERS_MAX / 64];
    uint32_t scope; /* enum rc_call_scope */
    uint32_t reserved;
};
_Static_assert(RC_WORKERS_MAX == 128 && sizeof(struct rc_call_asked) == 24, "a set of workers is two words");

/* The tag of an API record; false when it is none. */
static inline bool rc_call_tag_read(const struct rc_envelope_view *view, struct rc_call_tag *tag)
{
    if (!(view->head.flags & RC_ENVELOPE_API) || view->head.request_id_bytes != sizeof(*tag)) {
        return false;
    }
    memcpy(tag, view->request_id, sizeof(*tag));
    return true;
}

static inline bool rc_call_tag_keyed(const struct rc_call_tag *tag)
{
    return (tag->key[0] | tag->key[1]) != 0;
}

#endif
