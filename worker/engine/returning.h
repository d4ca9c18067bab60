/*
 * returning: sockets of Socket.IO that come back: a CONNECT with the pid of a lost one, and the offset of the last event that it has got.
 *
 *   CONNECT {pid, offset} ─▶ ASKED: is there such a session?     RC_QUERY_SESSION
 *                              ├─ no ─────────────────────────────────────▶ FAILED ─▶ it is somebody new
 *                              └─ yes: its rooms are joined ─▶ JOINING ─▶ all are registered ─▶ ASKED for what it missed     RC_QUERY_MISSED
 *                                                                                           ├─ it cannot be had ─▶ FAILED: the rooms are left
 *                                                                                           └─ all of it, at one place of the down ring ─▶ CAME
 *
 * Until then the client is neither read nor written. At that place what its rooms brought meanwhile is passed over, since it is among
 * what it missed; this is written, then the CONNECT's answer, and what its rooms bring from there on comes behind: nothing twice, nothing not at all.
 *
 * Who it is was asked before, as of everybody; the session of another user is not given. Private memory: a worker that dies takes its clients along,
 * and their sessions are lost ones again. Owned by engine.h, one thread.
 */
#ifndef RC_WORKER_ENGINE_RETURNING_H
#define RC_WORKER_ENGINE_RETURNING_H

#include "worker/engine/session.h"

#define RC_RETURNING_AGAIN_MS 20u /* until a question is asked once more */

enum rc_returning_state {
    RC_RETURNING_ASKED,
    RC_RETURNING_JOINING,
    RC_RETURNING_CAME,
    RC_RETURNING_FAILED,
};

struct rc_returning {
    TAILQ_ENTRY(rc_returning) in_due;
    struct rc_engines *engines;
    uint64_t random; /* of the client */
    uint32_t client;
    enum rc_returning_state state;
    bool takes;        /* what it missed was asked for */
    bool due;          /* true exactly while it is in the list of that name */
    bool holds;        /* its client is held: rc_engine.returning */
    uint64_t token;    /* of the question; 0 = none: it is (ASKED) still to be asked, or again */
    uint64_t again_ms; /* CLOCK_MONOTONIC: not before */
    uint64_t until_ms; /* nor after: so long the end of its former connection is waited for */
    struct rc_sio_session_claim claim;
    uint8_t offset[UINT8_MAX];
    uint8_t nsp_bytes;
    char nsp[RC_CHANNEL_NAME_MAX];
    uint8_t *session; /* owned: as the relay has told it */
    size_t session_bytes;
    uint8_t *missed; /* owned: entries (common/records/recovery.h) */
    size_t missed_bytes;
    size_t missed_capacity;
    uint8_t *reply; /* owned: what a backend wants done once it is connected */
    size_t reply_bytes;
    uint32_t backend; /* rc_backend_mark of whose that is */
};

/* -ENOMEM. Without socketio.recovery there is nobody who comes back. */
int rc_returnings_open(struct rc_engines *engines);
/* Of the client's; NULL: it is not coming back. */
struct rc_returning *rc_returning_of(const struct rc_engines *engines, uint32_t client);
/* Its CONNECT's payload names a session: the relay is asked, and the client waits. False: it is somebody new. The reply is copied. */
bool rc_returning_begin(struct rc_engines *engines, uint32_t client, struct rc_span nsp, struct rc_span auth,
                        struct rc_span reply, uint32_t backend);
/* It is over with, or its client is. */
void rc_returning_end(struct rc_engines *engines, uint32_t client);
/* Those whose rooms are registered go on, and those that are to be asked. Every pass of the loop, which sleeps so long at most. */
void rc_returnings_work(struct rc_engines *engines);
static inline uint32_t rc_returnings_sleep_ms(const struct rc_engines *engines, uint32_t most_ms)
{
    return engines->returning != NULL && !TAILQ_EMPTY(&engines->returnings_due) && most_ms > RC_RETURNING_AGAIN_MS
               ? RC_RETURNING_AGAIN_MS
               : most_ms;
}
void rc_returnings_close(struct rc_engines *engines);

/* What it missed is written to the client, oldest first. */
void rc_returning_write(const struct rc_returning *returning);
/* What the session says. */
void rc_returning_session(const struct rc_returning *returning, struct rc_sio_session_head *head,
                          struct rc_sio_session_parts *parts);
/* What a client says that it was: in its CONNECT's payload. False: nothing. */
bool rc_returning_read(struct rc_span auth, struct rc_sio_session_claim *claim, uint8_t offset[UINT8_MAX]);

#endif
