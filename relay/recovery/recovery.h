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

#include <stdbool.h>
#include <stdint.h>

#include "common/config/config.h"
#include "common/metrics/metrics.h"
#include "common/records/envelope.h"
#include "relay/recovery/log.h"
#include "relay/recovery/sessions.h"

#define RC_RECOVERY_MISSED_MAX 16384u /* messages of one session */
#define RC_RECOVERY_RECENT \
    16384u /* messages that may be sequenced until it is known who came into a room before them */

struct rc_recovery_setup {
    const struct rc_recovery_view *view; /* borrowed during the call */
    const struct rc_config *config;      /* borrowed: in force */
    struct rc_metrics *metrics;          /* borrowed: the relay's */
    const char *instance_id;             /* borrowed */
    uint32_t boot_nonce;
    uint64_t record_bytes_max; /* of what goes down */
    /* Which generation of a worker runs, or ran last. */
    uint32_t (*generation)(void *context, uint32_t worker);
    /* Greatest sequence that the worker was sent by this process; 0 = none. */
    uint64_t (*sent)(void *context, uint32_t worker);
    /* Sessions are in the room from now on; they are not any more. May be NULL. */
    void (*room)(void *context, struct rc_span channel, bool wanted);
    /* One record to a worker; as rc_port_send. */
    int (*send)(void *context, uint32_t worker, const struct rc_envelope_view *view);
    void *context; /* borrowed */
};

struct rc_recovery {
    struct rc_recovery_setup setup;
    bool on;
    bool silent; /* the rooms of a predecessor's sessions are not told yet */
    struct rc_recovery_log log;
    struct rc_recovery_sessions sessions;
    struct rc_recovery_found *found; /* owner: RC_RECOVERY_MISSED_MAX */
    uint8_t *record;                 /* owner: data of one that goes down */
    uint64_t sequence;               /* greatest that was given while some session was there */
    uint64_t newest;                 /* greatest that was given */
    uint64_t *recent;                /* owner: RC_RECOVERY_RECENT: chains of the newest messages; 0 = of none */
    const struct rc_recovery_session *joining; /* borrowed: during rc_recovery_take */
    uint64_t joined; /* of it: sequence that its worker had handled when it came into its newest room; 0 = not known */
    uint64_t joined_ms; /* and when that is told */
    char origin[RC_OFFSET_ORIGIN_BYTES];
};

/* Takes over what is there. Without socketio.recovery it does nothing, and neither does anything else. 0 or -ENOMEM. */
int rc_recovery_open(struct rc_recovery *recovery, const struct rc_recovery_setup *setup);
void rc_recovery_close(struct rc_recovery *recovery);
void rc_recovery_configure(struct rc_recovery *recovery, const struct rc_config *config);
/* Tells setup.room of the rooms of a predecessor's sessions; once, when there is somebody to hear it. */
void rc_recovery_tell_rooms(struct rc_recovery *recovery);

/* A sequenced message, before anybody gets it. `type` as of a record down. */
void rc_recovery_keep(struct rc_recovery *recovery, enum rc_record_type type, const struct rc_envelope_view *view,
                      uint64_t now_ms);
/* Messages of a channel (no name: of any) were missed here; the next message will have `sequence`. */
void rc_recovery_hole(struct rc_recovery *recovery, struct rc_span channel, uint64_t sequence, uint64_t now_ms);

/* An RC_UP_SESSION of a worker. `current`: it runs; else it has died since. Messages of its rooms that its worker did not know of when it came
 * into them (head.position), and that nobody else made us keep, are a hole. */
void rc_recovery_take(struct rc_recovery *recovery, uint32_t worker, uint32_t generation, bool current,
                      const struct rc_envelope_view *view, uint64_t now_ms);
/* The worker's generation is another one now: its clients are gone. */
void rc_recovery_worker_gone(struct rc_recovery *recovery, uint32_t worker, uint32_t generation, uint64_t now_ms);
/* An RC_UP_QUERY of the worker, if it is one of these. */
bool rc_recovery_asked(struct rc_recovery *recovery, uint32_t worker, const struct rc_envelope_view *view,
                       uint64_t now_ms);

/* A sid names the place where its socket was first: the worker where it is now. */
void rc_recovery_place(const struct rc_recovery *recovery, struct rc_client_ref *socket);

/* What has been lost for too long goes. Once a second. */
void rc_recovery_sweep(struct rc_recovery *recovery, uint64_t now_ms);

#endif
