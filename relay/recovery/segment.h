/*
 * segment: what a relay keeps for Socket.IO clients that come back, and leaves to its successor. It lies behind struct rc_relay_keep in the
 * relay's keep segment: nobody else looks at it.
 *
 *   head | log: log_bytes, used in a circle | units of RC_RECOVERY_UNIT bytes, in blocks of a power of two: a session each
 *
 *   log    entries one behind the other, [tail, head) as bytes since it was made; none goes round the end. An entry counts when `head` does
 *   block  struct rc_recovery_session, then the session's parts. It counts when its `state` does, and of two with one pid the later one
 *
 * What is found by what is index: the relay's own, made anew by a successor, which believes nothing.
 */
#ifndef RC_RELAY_RECOVERY_SEGMENT_H
#define RC_RELAY_RECOVERY_SEGMENT_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/records/recovery.h"

#define RC_RECOVERY_UNIT 256u
#define RC_RECOVERY_READY 0x52435253u /* "RCRS" */
#define RC_RECOVERY_ALIGN 8u

/* W: relay */
struct rc_recovery_segment {
    _Atomic uint32_t ready; /* RC_RECOVERY_READY. Stored last */
    uint32_t unit_count;    /* 0: nothing is kept */
    uint64_t log_bytes;
    _Atomic uint64_t tail;  /* where the oldest entry begins */
    _Atomic uint64_t head;  /* where the next one goes */
    _Atomic uint64_t floor; /* greatest sequence of those that are gone */
    uint64_t reserved;
    _Atomic uint32_t units_high; /* units from here on were never used */
    uint8_t pad[12];
};
_Static_assert(sizeof(struct rc_recovery_segment) == 64, "recovery head layout");

enum rc_recovery_entry_flags {
    RC_RECOVERY_BINARY = 1u << 0,
    RC_RECOVERY_ARGS = 1u << 1,
    RC_RECOVERY_NO_ECHO = 1u << 2,
    RC_RECOVERY_SELECT = 1u << 3, /* for rooms and except some, as `names` say (common/records/select.h) */
    RC_RECOVERY_DIRECT = 1u << 4, /* for the socket with the token `target` alone */
    RC_RECOVERY_HOLE = 1u << 5,   /* no message: some of the channel were missed here (no name: of any) */
    RC_RECOVERY_PAD = 1u << 6,    /* nothing, up to the end of the circle */
    /* What an application behind links has said (linked.h). channel: its namespace, event: the offset, names: both lists; target: position + 1 of the
     * one before it in the chain of its offset; origin: of whose sockets alone. With HOLE: its messages are not there. */
    RC_RECOVERY_LINKED = 1u << 7,
    RC_RECOVERY_REMOTE = 1u << 8, /* it was heard, and not said here */
};

/* Then channel | event | excludes (16 bytes each) | names | data, up to RC_RECOVERY_ALIGN. */
struct rc_recovery_entry {
    uint64_t sequence;
    uint64_t previous; /* position + 1 of the one before it in its chain; 0 = none */
    uint64_t chain;    /* of the room, the socket, or what else finds it */
    uint64_t time_ms;  /* CLOCK_MONOTONIC when the relay took it */
    uint64_t origin;   /* `random` of the publisher's ref; 0 = none */
    uint64_t target;
    uint32_t bytes; /* of the whole entry */
    uint32_t data_bytes;
    uint32_t names_bytes;
    uint16_t exclude_count;
    uint8_t channel_bytes;
    uint8_t event_bytes;
    uint32_t flags;    /* enum rc_recovery_entry_flags */
    uint32_t identity; /* of the message, the same on all hosts; 0 = not known */
};
_Static_assert(sizeof(struct rc_recovery_entry) == 72, "recovery entry layout");

#define RC_RECOVERY_LIVES 4u

enum rc_recovery_came {
    RC_RECOVERY_OWN,
    RC_RECOVERY_CAME,    /* from another instance */
    RC_RECOVERY_ARRIVES, /* it is on its way: nobody gets it yet */
};

/* A block of a session begins with it; user, set and rooms follow as in its record. */
struct rc_recovery_session {
    _Atomic uint32_t state; /* enum rc_sio_session_state and 1; 0 = nothing. Stored last */
    uint32_t bytes;         /* of the block: a power of two */
    uint64_t version;
    uint64_t lost_ms;                  /* CLOCK_MONOTONIC */
    uint64_t since;                    /* sequence: nothing up to it is for it */
    uint64_t lives[RC_RECOVERY_LIVES]; /* `random` of the clients that it was lately, the newest first; 0 = none */
    uint32_t slot;
    uint32_t worker;
    uint32_t generation; /* of the worker */
    uint8_t channel_bytes;
    uint8_t came; /* enum rc_recovery_came: an offset of another instance means `since` */
    uint8_t
        linked; /* linked.h: `user` is its sid, `rooms` what KEEP says, its pid a digest; since_ms: how long it is kept */
    uint8_t
        spoilt; /* 1: it has changed since, and there was no room for that: it stands for who it is, but cannot come back */
    struct rc_sio_session_head head;
    char channel[RC_CHANNEL_NAME_MAX]; /* "{nsp}#" */
    uint8_t pad1[1];
};
_Static_assert(sizeof(struct rc_recovery_session) == 392, "recovery session layout");

struct rc_recovery_view {
    struct rc_recovery_segment *segment; /* borrowed */
    uint8_t *log;
    uint8_t *units;
    uint64_t log_bytes;
    uint32_t unit_count; /* 0: nothing is kept */
};

/* What is there; a first relay lays it out. -EBADMSG: it is damaged. Without bytes it is one that keeps nothing. */
int rc_recovery_view_open(struct rc_recovery_view *view, void *memory, uint64_t bytes, struct rc_err *err);

#endif
