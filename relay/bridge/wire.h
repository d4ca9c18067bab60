/*
 * wire: the messages that instances and backends exchange through Redis, as bytes.
 *
 * JSON, what anybody may publish (unknown members are ignored, the last of two equal ones counts):
 *
 *   {"sourceInstance":"a","payload":…,"excludeIds":["…"],"key":"…","event":"…","args":true,"boot":123,"seq":456}
 *
 *   payload         any JSON value, carried on byte for byte; required
 *   sourceInstance  who published it: that instance skips it, its clients have it already; absent = a backend
 *   excludeIds      client ids that do not get it
 *   key             of up to 64 bytes: a newer message of the channel and key may replace this one (docs/protocol.md)
 *   event           what the event is called, up to 255 bytes
 *   args            true: the payload is the array of the event's arguments
 *   volatile        true: not for clients that cannot take it when it comes
 *   rooms           of ringcast instances: names of channels, up to 64; it is for who is in any of them, once. The channel that it comes on is one of
 *                   them, and each of the others gets the same
 *   except          names of channels whose members do not get it, up to 64 (of Socket.IO rooms, or ids of sockets)
 *   retain          of ringcast instances: they keep it as a retained value; milliseconds since 1970, by which of two the newer is known
 *   passed          of ringcast instances, for one client: how many of them passed it on to where its socket went
 *   boot, seq       of ringcast instances: the copy of a message that was sent again after a reconnect is known by them
 *   once            in place of seq where there are rooms: who does not know these takes each copy for its own channel
 *
 * Binary, for payloads that are no JSON (and for whoever prefers it); integers are big endian:
 *
 *   0x01 | flags | n, sourceInstance (n bytes) | boot (4) | seq (8) | count (2), count × {n, id (n bytes)} | n, key | n, event |
 *   count (2), count × {n, name} | payload
 *
 *   flags: bit 0 = the payload is JSON text; bit 1 = there is a key; bit 2 = there is an event; bit 3 = the payload is arguments with
 *   binary attachments: size of the JSON text (4), count (2), count × size (4), JSON text, attachments; bit 4 = volatile; bit 5 = there are exceptions; bit 6 = it is a retained
 *   value, its time (8) stands behind the exceptions; bit 7 = it was passed on, how often (1) stands
 *   behind that.
 *   seq 0 = none. 0x03 in place of 0x01 (0x02: placed.h): count (2), count × {n, name} of rooms follow the flags.
 *
 * Used by the bridges, private to the relay; nothing here touches a socket. Bytes from Redis are only ever refused (-EBADMSG,
 * -EMSGSIZE), never asserted.
 */
#ifndef RC_RELAY_BRIDGE_WIRE_H
#define RC_RELAY_BRIDGE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/records/envelope.h"
#include "common/records/select.h"
#include "common/metrics/metrics.h"
#include "common/base/span.h"
#include "relay/bridge/seen.h"

#define RC_WIRE_BINARY 0x01u
#define RC_WIRE_BINARY_ROOMS 0x03u
#define RC_WIRE_FLAG_TEXT 0x01u
#define RC_WIRE_FLAG_KEY 0x02u
#define RC_WIRE_FLAG_EVENT 0x04u
#define RC_WIRE_FLAG_ARGS 0x08u
#define RC_WIRE_FLAG_VOLATILE 0x10u
#define RC_WIRE_FLAG_EXCEPT 0x20u
#define RC_WIRE_FLAG_RETAIN 0x40u
#define RC_WIRE_FLAG_PASSED 0x80u
#define RC_WIRE_RETAIN_MS_MAX (UINT64_C(1) << 53)
#define RC_WIRE_PARTS 3u

struct rc_wire {
    const char *instance_id; /* borrowed */
    uint32_t boot_nonce;
    uint64_t message_bytes_max; /* limits.max_message_size */
    struct rc_metrics *metrics; /* borrowed */
    struct rc_seen seen;
    char own_head[RC_INSTANCE_ID_MAX + 32]; /* how this instance's own JSON begins: known without parsing */
    uint32_t own_head_bytes;
    char *text;                                 /* owner: excludes of a message that goes out */
    struct rc_client_ref refs[RC_EXCLUDES_MAX]; /* of the message that was read last */
    uint8_t key[RC_MESSAGE_KEY_MAX];            /* likewise */
    uint8_t event[RC_EVENT_NAME_MAX];           /* likewise */
    uint32_t rooms_bytes;                       /* likewise: names of its rooms, each ended by a NUL */
    uint32_t except_bytes;                      /* likewise: names that it is not for */
    char rooms[RC_SELECT_NAMES_BYTES];          /* likewise */
    char except[RC_SELECT_NAMES_BYTES];         /* likewise */
    char source[RC_INSTANCE_ID_MAX];            /* likewise, of one that is kept */
    char from[RC_INSTANCE_ID_MAX];              /* likewise: the instance that sent it, if any */
    uint8_t from_bytes;
    uint64_t boot; /* likewise */
    uint64_t sequence;
    uint8_t *args; /* owner: arguments of the message that was read last; grows */
    size_t args_room;
};

int rc_wire_open(struct rc_wire *wire, const char *instance_id, uint32_t boot_nonce, uint64_t message_bytes_max,
                 struct rc_metrics *metrics);
void rc_wire_close(struct rc_wire *wire);

/* What a message of an instance's boot is known by on all hosts: never 0. */
uint32_t rc_wire_identity(struct rc_span instance, uint64_t boot, uint64_t sequence);

enum rc_wire_result {
    RC_WIRE_GOOD,
    RC_WIRE_OWN,       /* this instance's own */
    RC_WIRE_DUPLICATE, /* seen before */
    RC_WIRE_MALFORMED,
    RC_WIRE_TOO_LARGE,
};

/* A message from Redis: fills data, key, event, flags (REMOTE, BINARY, ARGS, RETAIN with its time as token and its instance as request id; else rc_wire_identity as token, 0 = none), time and the excluded clients of this host into `view` (the rest is
 * zero); they live until the next call, data as long as `message` too. Counts what it refuses. `what` names the channel's kind in the log. */
enum rc_wire_result rc_wire_read(struct rc_wire *wire, struct rc_span message, const char *what,
                                 struct rc_envelope_view *view);

/* The same, also of this instance's own messages and of those that were seen before: what is kept in a stream has its place there. */
enum rc_wire_result rc_wire_read_kept(struct rc_wire *wire, struct rc_span message, const char *what,
                                      struct rc_envelope_view *view);
/* The same of one that was delivered long ago, and is read for a copy: it is not counted as one that came from another instance. */
enum rc_wire_result rc_wire_read_again(struct rc_wire *wire, struct rc_span message, const char *what,
                                       struct rc_envelope_view *view);

/* How much a message says besides its payload. */
enum rc_wire_form {
    RC_WIRE_BROADCAST, /* excludeIds always */
    RC_WIRE_CHANNEL,   /* excludeIds if there are any */
    RC_WIRE_SELECT, /* the same, but that its exclude text is as of an RC_DOWN_SELECT: names of `rooms`, if there are several, and of `except` */
    RC_WIRE_ROOMS,  /* the same, with `rooms` if it is only one: its channel is another */
    RC_WIRE_DIRECT, /* payload first, no excludeIds */
};

/* Is the message that was read last one for several rooms, or with exceptions? */
static inline bool rc_wire_selects(const struct rc_wire *wire)
{
    return wire->rooms_bytes + wire->except_bytes > 0;
}

/* Its view is that of an RC_DOWN_SELECT from here on: it came on the channel of that name, and points into `text`. False: no such channel is in a
 * namespace. */
bool rc_wire_select(const struct rc_wire *wire, struct rc_span channel, struct rc_envelope_view *view,
                    char text[RC_SELECT_BYTES]);

/* A sequenced message of this host as parts to be published; they live until the next call, and as long as `view` does. False: its
 * arguments are none (common/records/args.h). */
bool rc_wire_write(struct rc_wire *wire, enum rc_wire_form form, const struct rc_envelope_view *view,
                   struct rc_span parts[RC_WIRE_PARTS]);

#endif
