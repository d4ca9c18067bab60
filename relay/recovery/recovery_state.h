/*
 * recovery_state: what recovery is made of, for the files that are it. Everybody else includes recovery.h.
 */
#ifndef RC_RELAY_RECOVERY_RECOVERY_STATE_H
#define RC_RELAY_RECOVERY_RECOVERY_STATE_H

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

#endif
