/*
 * recovery: connection state recovery of Socket.IO, as it travels on the rings and to clients: offsets, sessions, what a client missed.
 *
 *   RC_UP_SESSION  how a socket of a namespace stands that may come back. channel "{nsp}#", origin: its client; data: struct rc_sio_session_head |
 *                  user | what was set on its connection, JSON | names of its rooms' channels, each ended by a NUL ("{nsp}#" among them);
 *                  position: the sequence up to which the worker had taken messages down when what is new of it became so; 0 = not known;
 *                  code: RC_SIO_SESSION_AGAIN of one that was told of before. Each replaces the one before
 *
 *   RC_QUERY_SESSION  is there a lost one with this pid? channel "{nsp}#", data: struct rc_query_head | struct rc_sio_session_claim | user | offset.
 *                     Answer: code 0, data as of RC_UP_SESSION; else why not (enum rc_sio_session_code)
 *   RC_QUERY_MISSED   the same, once its rooms are registered for the worker: the session is the asker's from there on. Answers: records
 *                     one behind the other with struct rc_missed_head | entries, the last with RC_MISSED_LAST: all that it is to get of what
 *                     was sequenced before that place of the ring; what came later follows in it
 *
 * An offset is what clients see behind the arguments of an event, and say when they come back: 5 characters of the instance and its boot, then the
 * event's sequence in base64url digits. All receivers on a host get the same.
 *
 * Everything here comes out of another process's memory, or from a client, when it is read: checked, then believed. Pure; any process may call.
 */
#ifndef RC_COMMON_RECORDS_RECOVERY_H
#define RC_COMMON_RECORDS_RECOVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/records/sid.h"

#define RC_PID_BYTES 20u
#define RC_OFFSET_ORIGIN_BYTES 5u
#define RC_OFFSET_BYTES_MAX (RC_OFFSET_ORIGIN_BYTES + 11u)
#define RC_SIO_SESSION_BYTES_MAX 61440u /* of one session's record; a larger one cannot come back */

enum rc_sio_session_state {
    RC_SIO_SESSION_LIVE,
    RC_SIO_SESSION_LOST,  /* its connection ended, and it may come back */
    RC_SIO_SESSION_ENDED, /* it may not; all else of the record is empty */
};

#define RC_SIO_SESSION_AGAIN 1u /* code of an RC_UP_SESSION: who does not know it has lost it */

struct rc_sio_session_head {
    uint64_t since_ms; /* CLOCK_MONOTONIC: when it connected; nothing older is for it */
    char pid[RC_PID_BYTES];
    char sid[RC_SID_BYTES];
    uint32_t rooms_bytes;
    uint16_t set_bytes;
    uint8_t state; /* enum rc_sio_session_state */
    uint8_t user_bytes;
};
_Static_assert(sizeof(struct rc_sio_session_head) == 56, "session head layout");

struct rc_sio_session_parts {
    struct rc_span user;
    struct rc_span set;
    struct rc_span rooms;
};

/* What a record of RC_UP_SESSION says. -EBADMSG. */
int rc_sio_session_read(struct rc_span data, struct rc_sio_session_head *head, struct rc_sio_session_parts *parts);
/* Takes the next room off; false at the end. */
bool rc_sio_session_room_next(struct rc_span *rooms, struct rc_span *room);

/* Codes of answers: those of the native protocol. */
enum rc_sio_session_code {
    RC_SIO_SESSION_FOUND = 0,
    RC_SIO_SESSION_FOREIGN_USER = 403, /* it is another user's */
    RC_SIO_SESSION_UNKNOWN = 404,      /* there is none, or it has come back already */
    RC_SIO_SESSION_CONNECTED = 409,    /* its connection has not ended, for all that is known: it may be a moment */
    RC_SIO_SESSION_TOO_OLD = 410,      /* some of what it missed is not kept any more, or was never known here */
    RC_SIO_SESSION_TOO_MUCH = 413,     /* it missed more than socketio.recovery_bytes */
    RC_SIO_SESSION_BUSY = 503,
};

struct rc_sio_session_claim {
    char pid[RC_PID_BYTES];
    uint8_t user_bytes;
    uint8_t offset_bytes; /* 0: it has got none */
    uint16_t reserved;
};
_Static_assert(sizeof(struct rc_sio_session_claim) == 24, "session claim layout");

/* What stands behind struct rc_query_head. -EBADMSG. */
int rc_sio_session_claim_read(struct rc_span data, struct rc_sio_session_claim *claim, struct rc_span *user,
                              struct rc_span *offset);

enum rc_missed_flags {
    RC_MISSED_LAST = 1u << 0,
};

struct rc_missed_head {
    uint32_t count; /* entries of this record */
    uint32_t flags; /* enum rc_missed_flags */
};
_Static_assert(sizeof(struct rc_missed_head) == 8, "missed head layout");

/* Then channel, event and data. */
struct rc_missed_entry {
    uint64_t sequence;
    uint32_t data_bytes;
    uint16_t flags; /* RC_ENVELOPE_BINARY, RC_ENVELOPE_ARGS */
    uint8_t channel_bytes;
    uint8_t event_bytes;
};
_Static_assert(sizeof(struct rc_missed_entry) == 16, "missed entry layout");

struct rc_missed_parts {
    struct rc_span channel;
    struct rc_span event;
    struct rc_span data;
};

/* Takes the first entry off; false when there is none, or only a part of one. */
bool rc_missed_next(struct rc_span *rest, struct rc_missed_entry *entry, struct rc_missed_parts *parts);

/* How offsets of an instance's boot begin. */
void rc_offset_origin(char out[RC_OFFSET_ORIGIN_BYTES], const char *instance_id, uint32_t boot_nonce);
/* No NUL; its bytes. */
size_t rc_offset_write(char out[RC_OFFSET_BYTES_MAX], const char origin[RC_OFFSET_ORIGIN_BYTES], uint64_t sequence);

enum rc_offset_kind {
    RC_OFFSET_INVALID,
    RC_OFFSET_OWN,
    RC_OFFSET_FOREIGN, /* of another instance, or an earlier boot */
};
enum rc_offset_kind rc_offset_read(struct rc_span text, const char origin[RC_OFFSET_ORIGIN_BYTES], uint64_t *sequence);

#endif
