/*
 * sessions: sockets of Socket.IO namespaces that may come back, live and lost, in shared memory (segment.h).
 *
 * A session is a block; what changes of it is written as another block, which counts before the old one goes: a relay that dies in
 * between leaves two, of which a successor takes the later. When there is no room the one that was lost first goes.
 *
 * Owned by recovery.h; one thread. Memory is taken at the opening, but for the tables.
 */
#ifndef RC_RELAY_RECOVERY_SESSIONS_H
#define RC_RELAY_RECOVERY_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/hashmap.h"
#include "relay/recovery/segment.h"
#include "relay/history/blocks.h"

#define RC_SIO_SESSION_NONE UINT32_MAX

#define RC_RECOVERY_DUE_MS 1024u /* of a tick; those that end in the same one, or that of another round, are a list */
#define RC_RECOVERY_DUE_TICKS 4096u

/* Of a lost one. Names of units: unit + 1; 0 = end. */
struct rc_recovery_index {
    uint32_t older; /* lost ones in the order of their loss */
    uint32_t newer;
    uint32_t before; /* those that end in the same tick */
    uint32_t behind;
    uint32_t tick; /* in which it is looked at, modulo RC_RECOVERY_DUE_TICKS */
};

struct rc_recovery_sessions {
    struct rc_recovery_view view;
    struct rc_blocks blocks;
    struct rc_hashmap pids;          /* to unit */
    struct rc_hashmap tokens;        /* of their sids, to unit */
    struct rc_recovery_index *index; /* owner: one a unit */
    uint32_t oldest;                 /* unit + 1; 0 = none is lost */
    uint32_t newest;
    uint32_t *due;       /* owner: RC_RECOVERY_DUE_TICKS lists: unit + 1; 0 = none */
    uint64_t swept_tick; /* up to it no list has one that is over */
    uint64_t own_ms;     /* how long those that are not of links are kept */
    uint32_t count;
    uint32_t lost_count;
    uint32_t units_high; /* as in the segment */
    uint64_t version;    /* of the one that was written last */
    /* A session goes to make room: it is there during the call. */
    void (*evicted)(void *context, uint32_t unit);
    void *context; /* borrowed */
};

/* Takes over what is there; `own_ms`: how long a lost one that is not of a link is kept. 0 or -ENOMEM. */
int rc_recovery_sessions_open(struct rc_recovery_sessions *sessions, const struct rc_recovery_view *view,
                              uint64_t own_ms);
void rc_recovery_sessions_close(struct rc_recovery_sessions *sessions);

static inline struct rc_recovery_session *rc_recovery_session_at(const struct rc_recovery_sessions *sessions,
                                                                 uint32_t unit)
{
    return (struct rc_recovery_session *)(void *)(sessions->view.units + (uint64_t)unit * RC_RECOVERY_UNIT);
}
/* Its parts, which lie behind it. */
void rc_recovery_session_parts(const struct rc_recovery_session *session, struct rc_sio_session_parts *parts);
/* Token of its sid. */
uint64_t rc_recovery_session_token(const struct rc_recovery_session *session);
static inline enum rc_sio_session_state rc_recovery_session_state(const struct rc_recovery_session *session)
{
    return (enum rc_sio_session_state)(atomic_load_explicit(&session->state, memory_order_relaxed) - 1);
}

/* RC_SIO_SESSION_NONE: there is none. */
uint32_t rc_recovery_sessions_find(const struct rc_recovery_sessions *sessions, const char pid[RC_PID_BYTES]);
uint32_t rc_recovery_sessions_of_token(const struct rc_recovery_sessions *sessions, uint64_t token);

/* A block with this session, in a state, is there beside the one of its pid that was; nobody finds it yet. RC_SIO_SESSION_NONE: no room. */
uint32_t rc_recovery_sessions_make(struct rc_recovery_sessions *sessions, const struct rc_recovery_session *head,
                                   const struct rc_sio_session_parts *parts, enum rc_sio_session_state state);
/* There was no room for that: the one that was stays, as this client and in this state, but spoilt. */
void rc_recovery_sessions_spoil(struct rc_recovery_sessions *sessions, uint32_t unit,
                                const struct rc_recovery_session *head, enum rc_sio_session_state state);
/* One that nobody finds yet goes again. */
void rc_recovery_sessions_unmake(struct rc_recovery_sessions *sessions, uint32_t unit);
/* It is found from here on in place of `old` (RC_SIO_SESSION_NONE: there was none), which is gone. -ENOMEM: that is gone, and nobody finds this one. */
int rc_recovery_sessions_replace(struct rc_recovery_sessions *sessions, uint32_t old, uint32_t unit);
void rc_recovery_sessions_remove(struct rc_recovery_sessions *sessions, uint32_t unit);
/* A live one is lost now. */
void rc_recovery_sessions_lose(struct rc_recovery_sessions *sessions, uint32_t unit, uint64_t now_ms);

/* Is the lost one over? */
bool rc_recovery_session_over(const struct rc_recovery_sessions *sessions, const struct rc_recovery_session *session,
                              uint64_t now_ms);
/* `own_ms` is another one from here on. */
void rc_recovery_sessions_keep_for(struct rc_recovery_sessions *sessions, uint64_t own_ms);
/* Calls `over` for all lost ones that are, which removes them. Looks at no others but those that end in the same ticks. */
void rc_recovery_sessions_sweep(struct rc_recovery_sessions *sessions, uint64_t now_ms,
                                void (*over)(void *context, uint32_t unit), void *context);

#endif
