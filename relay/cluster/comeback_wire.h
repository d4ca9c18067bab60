/*
 * comeback_wire: what instances say to each other of Socket.IO sockets that come back on another host than they left (comeback.h), as bytes in Redis.
 * Integers are big endian; "n," is a count of one byte and so many.
 *
 *   0x01 | kind | n, instance that says it | token (8) | by kind:
 *
 *   ASK, TAKE  n, "{nsp}#" | pid (20) | n, user | n, offset that the client has | of a TAKE through a Redis Cluster: map (8) | place (8) | count (2)
 *   NONE       code (2): enum rc_sio_session_code
 *   HAVE       sid (20) | n, user | count (2), what was set on its connection | count (2), rooms: names of channels, each ended by a NUL |
 *              of who reads a stream: n, up to which entry
 *   MISSED     1: no more come | total (2), messages of the answer so far, with these | count (2), messages: identity (4) | flags (2) | n, event |
 *              count (4), data
 *   GIVEN      map (8) | place (8) | count (2)
 *
 * Pure. Bytes from Redis are refused, never asserted.
 */
#ifndef RC_RELAY_CLUSTER_COMEBACK_WIRE_H
#define RC_RELAY_CLUSTER_COMEBACK_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/values.h"
#include "common/records/recovery.h"

enum rc_comeback_kind {
    RC_COMEBACK_ASK = 1, /* who has this session? */
    RC_COMEBACK_NONE,    /* not I, or it may not be had */
    RC_COMEBACK_HAVE,
    RC_COMEBACK_TAKE, /* it is mine from here on: what has it missed? */
    RC_COMEBACK_MISSED,
    RC_COMEBACK_GIVEN, /* behind what the owner had heard, through another server than the answer */
};

/* A TAKE, and what says that it was given, goes through each server at which something is heard (relay/redis/places.h). */
struct rc_comeback_through {
    uint64_t map;   /* of the asker: under which its rooms are heard */
    uint64_t place; /* this one's server */
    uint32_t count; /* servers, at least 1 */
};

struct rc_comeback_message {
    enum rc_comeback_kind kind;
    struct rc_span from;
    uint64_t token; /* of the question, in answers, too */
    /* ASK, TAKE */
    struct rc_span channel;
    const uint8_t *pid;  /* RC_PID_BYTES */
    struct rc_span user; /* HAVE, too */
    struct rc_span offset;
    struct rc_span
        read; /* TAKE, HAVE: up to which entry who says it has read other servers' stream; empty: there is none */
    struct rc_comeback_through through; /* TAKE, GIVEN; of one server all zero but its count, which is not written */
    /* NONE */
    uint16_t code;
    /* HAVE */
    const uint8_t *sid; /* RC_SID_BYTES */
    struct rc_span set;
    struct rc_span rooms;
    /* MISSED */
    bool last;
    uint32_t total; /* messages of all parts up to this one, with it */
    uint32_t count;
    struct rc_span messages; /* rc_comeback_next takes one after the other */
};

#define RC_COMEBACK_READ_MAX 44u /* bytes of an entry's id, and a NUL */

/* A message that was missed. */
struct rc_comeback_missed {
    uint32_t identity;
    uint16_t flags; /* RC_ENVELOPE_BINARY, RC_ENVELOPE_ARGS; what else is there is not read */
    struct rc_span event;
    struct rc_span data;
};

/* Bytes before `messages` of a MISSED, and of all others, at most. */
#define RC_COMEBACK_BYTES_MAX (RC_SIO_SESSION_BYTES_MAX + 1024u)

/* Its bytes; `messages` of a MISSED come behind them. At most RC_COMEBACK_BYTES_MAX. */
size_t rc_comeback_write(uint8_t *out, const struct rc_comeback_message *message);
/* 0; -EBADMSG. The spans are of `bytes`; a MISSED's messages are all there. */
int rc_comeback_read(struct rc_comeback_message *message, struct rc_span bytes);

/* Is it as one that rc_wire_read takes? An event in UTF-8; arguments, JSON text or binary. */
bool rc_comeback_missed_sound(const struct rc_comeback_missed *missed);

/* Bytes of one. */
size_t rc_comeback_missed_bytes(const struct rc_comeback_missed *missed);
uint8_t *rc_comeback_missed_write(uint8_t *out, const struct rc_comeback_missed *missed);
/* Takes the next one off. False: there is none. */
bool rc_comeback_next(struct rc_span *messages, struct rc_comeback_missed *missed);

#endif
