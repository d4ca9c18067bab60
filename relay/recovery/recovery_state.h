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

#define RC_RECOVERY_MISSED_MAX 16384u                      /* messages of one session */
#define RC_RECOVERY_WALK_MAX (4u * RC_RECOVERY_MISSED_MAX) /* entries that are looked at for it: others' among them */
#define RC_RECOVERY_RECENT \
    16384u /* messages that may be sequenced until it is known who came into a room before them */

struct rc_recovery_setup {
    const struct rc_recovery_view *view; /* borrowed during the call */
    const struct rc_config *config;      /* borrowed: in force */
    struct rc_metrics *metrics;          /* borrowed: the relay's */
    const char *instance_id;             /* borrowed */
    uint32_t boot_nonce;
    uint64_t record_bytes_max; /* of what goes down */
    uint64_t began;            /* greatest sequence that predecessors gave; 0 = there was none */
    /* Which generation of a worker runs, or ran last. */
    uint32_t (*generation)(void *context, uint32_t worker);
    /* Greatest sequence that the worker was sent, by a predecessor too; 0 = none. */
    uint64_t (*sent)(void *context, uint32_t worker);
    /* Sessions are in the room from now on; they are not any more. May be NULL. */
    void (*room)(void *context, struct rc_span channel, bool wanted);
    /* A number for a message that nobody else gets. */
    uint64_t (*sequence)(void *context);
    /* A session is asked for that is not here (channel "{nsp}#", what stands behind struct rc_query_head). 0: it is looked for elsewhere, and is to be
     * asked for again; else enum rc_sio_session_code. May be NULL. */
    uint16_t (*elsewhere)(void *context, struct rc_span channel, struct rc_span claim);
    /* Is the socket with this token another instance's now? May be NULL. */
    bool (*moved)(void *context, uint64_t token);
    /* One record to a worker; as rc_port_send. */
    int (*send)(void *context, uint32_t worker, const struct rc_envelope_view *view);
    void *context; /* borrowed */
};

#define RC_RECOVERY_LINKED_SLOTS 65536u

/* What linked.h finds entries by: position + 1 of the newest, 0 = none. */
struct rc_recovery_linked {
    uint64_t *said;    /* owned, as the next: by what it is for */
    uint64_t *offsets; /* by its offset */
    uint64_t hole;     /* behind it something is missing, nobody knows what */
};

struct rc_recovery {
    struct rc_recovery_setup setup;
    bool on;     /* for sockets of ringcast's own namespaces */
    bool silent; /* the rooms of a predecessor's sessions are not told yet */
    struct rc_recovery_log log;
    struct rc_recovery_sessions sessions;
    struct rc_recovery_linked linked;
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

/* Are there clients behind links who may come back? */
static inline bool rc_recovery_is_linked(const struct rc_recovery *recovery)
{
    return recovery->linked.said != NULL;
}

/* --- for abroad --- */

/* The session that is asked for (channel "{nsp}#", what stands behind struct rc_query_head), if it may be had. Else enum rc_sio_session_code. */
uint16_t rc_recovery_claimed(struct rc_recovery *recovery, struct rc_span channel, struct rc_span asked,
                             uint64_t now_ms, uint32_t *unit, uint64_t *since);
/* Leaves in recovery->found what the session missed behind `since`. 0, or enum rc_sio_session_code. */
uint16_t rc_recovery_missed(struct rc_recovery *recovery, uint32_t unit, uint64_t since, uint32_t *count);

#endif
