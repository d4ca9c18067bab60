/*
 * abroad: sessions of Socket.IO sockets that go to another host, and that come from one. How hosts speak of that: relay/cluster/comeback.h.
 *
 *   the host that has it   found ─▶ given: what it missed up to there goes with it, and here it is gone
 *   the other one          expected: its rooms are heard, nobody gets it yet ─▶ arrived: what came with it, then what was heard here meanwhile and
 *                          did not come with it. A lost session like any other from there on
 *
 * A message is the same on both hosts when its identity is, that of whoever published it. One without an identity, of which the other host has one that
 * reads the same, may be the same or not: then the session ends, for who comes back is not to be told that it has all.
 *
 * Part of recovery: owned by the relay's main; one thread.
 */
#ifndef RC_RELAY_RECOVERY_ABROAD_H
#define RC_RELAY_RECOVERY_ABROAD_H

#include "relay/recovery/recovery.h"

/* A message that a session has missed. */
struct rc_recovery_given {
    uint32_t identity; /* rc_wire_identity; 0 = not known */
    uint16_t flags;    /* RC_ENVELOPE_BINARY, RC_ENVELOPE_ARGS */
    struct rc_span event;
    struct rc_span data;
};

/* Who asks for which session: what stands behind struct rc_query_head. */
struct rc_recovery_asked_for {
    struct rc_span channel; /* "{nsp}#" */
    struct rc_span claim;
};

/* A session that may go: as of RC_UP_SESSION, in memory that the next call uses again, and when its socket was lost (rc_clock_ms). 0, or enum
 * rc_sio_session_code. */
uint16_t rc_recovery_abroad_find(struct rc_recovery *recovery, const struct rc_recovery_asked_for *asked,
                                 uint64_t now_ms, struct rc_span *record, uint64_t *lost_ms);
/* Hands on all that it missed, in its order. The same results; after 0 `gone` is to follow. False of `give` ends it: RC_SIO_SESSION_BUSY. */
uint16_t rc_recovery_abroad_give(struct rc_recovery *recovery, const struct rc_recovery_asked_for *asked,
                                 uint64_t now_ms, bool (*give)(void *context, const struct rc_recovery_given *message),
                                 void *context);
/* It is another host's now, or does not come. */
void rc_recovery_abroad_gone(struct rc_recovery *recovery, const char pid[RC_PID_BYTES]);

/* Names each message behind sequence `since` that the socket alone was told here while it is expected, in their order. */
void rc_recovery_abroad_told(struct rc_recovery *recovery, const char pid[RC_PID_BYTES], uint64_t since,
                             void (*tell)(void *context, const struct rc_recovery_given *message, uint64_t sequence),
                             void *context);

/* A session is on its way here. False: there is no room for it. */
bool rc_recovery_abroad_expect(struct rc_recovery *recovery, struct rc_span channel, struct rc_span record,
                               uint64_t now_ms);
/* Here it is. What was heard here of rooms up to sequence `both`, the other host heard as well before it gave it away. 0, or enum rc_sio_session_code:
 * then it is gone. */
uint16_t rc_recovery_abroad_arrived(struct rc_recovery *recovery, const char pid[RC_PID_BYTES], uint64_t both,
                                    const struct rc_recovery_given *messages, uint32_t count, uint64_t now_ms);

#endif
