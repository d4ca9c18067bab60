/*
 * recovery: connection state recovery of Socket.IO: who may come back, and what they missed (docs/socketio.md).
 *
 *   worker ── RC_UP_SESSION ──▶ sessions       each change of a socket that may come back; when its connection ends: lost
 *   router ── each message ──▶ log             of rooms that some session is in
 *   worker ── RC_QUERY_SESSION, RC_QUERY_MISSED ──▶ a lost session, and then, at one place of the ring, all that it missed before it
 *
 * Sessions of a worker that dies are lost at that moment, as if it had said so. A relay's successor goes on with both. Bounds:
 * socketio.recovery_memory in all, RC_SIO_SESSION_BYTES_MAX and socketio.recovery_max of one session; everything is counted.
 *
 * Owned by the relay's main; one thread. Nothing blocks.
 */
#ifndef RC_RELAY_RECOVERY_RECOVERY_H
#define RC_RELAY_RECOVERY_RECOVERY_H

#include "relay/recovery/recovery_state.h"

/* Takes over what is there. Without socketio.recovery it does nothing, and neither does anything else. 0 or -ENOMEM. */
int rc_recovery_open(struct rc_recovery *recovery, const struct rc_recovery_setup *setup);
void rc_recovery_close(struct rc_recovery *recovery);
void rc_recovery_configure(struct rc_recovery *recovery, const struct rc_config *config);
/* Tells setup.room of the rooms of a predecessor's sessions; once, when there is somebody to hear it. */
void rc_recovery_tell_rooms(struct rc_recovery *recovery);

/* A sequenced message, before anybody gets it. `type` as of a record down. `identity`: rc_wire_identity; 0 = not
 * known. */
void rc_recovery_keep(struct rc_recovery *recovery, enum rc_record_type type, const struct rc_envelope_view *view,
                      uint32_t identity, uint64_t now_ms);
/* Messages of a channel (no name: of any) were missed here; the next message will have `sequence`. */
void rc_recovery_hole(struct rc_recovery *recovery, struct rc_span channel, uint64_t sequence, uint64_t now_ms);

/* An RC_UP_SESSION of a worker. `current`: it runs; else it has died since. Messages of its rooms that its worker did not know of when it came
 * into them (head.position), and that nobody else made us keep, are a hole. */
void rc_recovery_take(struct rc_recovery *recovery, uint32_t worker, uint32_t generation, bool current,
                      const struct rc_envelope_view *view, uint64_t now_ms);
/* That, or (RC_UP_LINK) what clients of an application behind links may come back to. NULL: nobody can. */
void rc_recovery_told(struct rc_recovery *recovery, uint32_t type, uint32_t worker, bool current,
                      const struct rc_envelope_view *view, uint64_t now_ms);
/* The worker's generation is another one now: its clients are gone. */
void rc_recovery_worker_gone(struct rc_recovery *recovery, uint32_t worker, uint32_t generation, uint64_t now_ms);
/* An RC_UP_QUERY of the worker, if it is one of these. */
bool rc_recovery_asked(struct rc_recovery *recovery, uint32_t worker, const struct rc_envelope_view *view,
                       uint64_t now_ms);

/* A sid names the place where its socket was first: the worker where it is now, RC_WORKER_FOREIGN of one that is another instance's. */
void rc_recovery_place(const struct rc_recovery *recovery, struct rc_client_ref *socket);

/* The client of this socket has gone to another worker, or back to its own: by barrier, or as that one says. Nothing, unless it is there live. */
void rc_recovery_moved(struct rc_recovery *recovery, uint64_t token, uint32_t worker);

/* Is there a session, live or lost, of the socket with this token? */
bool rc_recovery_has(const struct rc_recovery *recovery, uint64_t token);

/* What has been lost for too long goes. Once a second. */
void rc_recovery_sweep(struct rc_recovery *recovery, uint64_t now_ms);

#endif
