/*
 * recoverable: sockets in namespaces that may come back (socketio.recovery): the relay is told of each, and of each change of it, so that
 * it knows who they were when their connection ends, or this worker.
 *
 *   joined ─▶ told: live ─▶ a room, what is set on its connection, who it is changes ─▶ told again, once a pass of the loop
 *     ▲                 └─▶ its connection ends ─▶ told: lost        it leaves, or is sent away ─▶ told: ended
 *     └── it has come back (returning.h): the relay has told this worker
 *
 * What the up ring has no room for is told later, also of who is gone. Owned by engine.h, one thread; the objects are truth (struct
 * rc_recoverable). Without memory for one its socket cannot come back, and is not told a pid.
 */
#ifndef RC_WORKER_ENGINE_RECOVERABLE_H
#define RC_WORKER_ENGINE_RECOVERABLE_H

#include "worker/engine/session.h"
#include "worker/store/truth_found.h"

/* -ENOMEM. */
int rc_recoverable_open(struct rc_engines *engines);
void rc_recoverable_close(struct rc_engines *engines);

/* Made from a truth that another process has written. */
void rc_recoverable_rebuild(struct rc_engines *engines, const struct rc_truth_found *found);

/* The client's socket in the namespace, which it has joined or is coming back to, may come back. `as`: with the pid and sid that it had; NULL: it
 * is new. */
void rc_recoverable_begin(struct rc_engines *engines, uint32_t client, struct rc_span nsp,
                          const struct rc_sio_session_head *as);
/* Its pid; empty: it cannot come back. */
struct rc_span rc_recoverable_pid(const struct rc_engines *engines, uint32_t client, struct rc_span nsp);
/* Does what is emitted to the client's socket alone go by the relay, so that it is there for it when it comes back? */
static inline bool rc_recoverable_emits(const struct rc_engines *engines, uint32_t client, struct rc_span nsp,
                                        bool is_volatile)
{
    return RC_UNLIKELY(engines->session != NULL) && !is_volatile &&
           rc_truth_recoverable_of(engines->clients->truth, client, nsp) != 0;
}
/* It has come back: it is told of from here on, and has the sid that it had. */
void rc_recoverable_came(struct rc_engines *engines, uint32_t client, struct rc_span nsp);
/* Something of the client that all its sockets have is another now; it is in a channel from now on, or not any more. */
void rc_recoverable_changed(struct rc_engines *engines, uint32_t client);
void rc_recoverable_room(struct rc_engines *engines, uint32_t client, uint32_t channel);
/* Its connection has ended: the relay is told so before anybody hears of it, who may bring it back at once. While it is in its rooms. `as`: it was
 * still coming back, as this session (rc_returning.session); empty: as its client stands. */
void rc_recoverable_lost(struct rc_engines *engines, uint32_t client, struct rc_span nsp, struct rc_span as);
/* Its socket is no more. Who was not lost cannot come back. */
void rc_recoverable_end(struct rc_engines *engines, uint32_t client, struct rc_span nsp);
/* A client that goes to another worker, or has come from one. Was the relay told of all its sockets? */
bool rc_recoverables_told(const struct rc_engines *engines, uint32_t client);
/* They are the other worker's: nobody is told. */
void rc_recoverables_went(struct rc_engines *engines, uint32_t client);
/* As bytes into `out` (NULL: only how many they are), how many; RC_RECOVERABLES_NO_ROOM. */
#define RC_RECOVERABLES_NO_ROOM UINT32_MAX
uint32_t rc_recoverables_write(const struct rc_engines *engines, uint32_t client, uint8_t *out, uint32_t room);
/* They are this worker's: the relay is told. -EBADMSG. */
int rc_recoverables_read(struct rc_engines *engines, uint32_t client, struct rc_span bytes);
/* Tells what is to be told, as far as there is room. Before the relay is told of anything else of this pass. */
void rc_recoverables_tell(struct rc_engines *engines);

#endif
