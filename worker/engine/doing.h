/*
 * doing: what POST /api/do wants done for clients of this worker (RC_CALL_DO, common/records/call.h): by the same code as the replies of
 * backends (does.h).
 *
 *   RC_DOWN_CALL ─▶ the clients that are meant ─▶ operations of each, in order ─▶ all are over with ─▶ RC_UP_REPLY: how many
 *                                                    └─ wait for a join before them, or for room: tried again in the next passes
 *
 * The reply is the promise that what was joined is registered. Owned as all of worker/engine, one thread; private memory: who asks a
 * worker that dies hears of it by the missing reply. Bounded: RC_DOING_MAX at a time; what is beyond is answered RC_REPLY_BUSY.
 */
#ifndef RC_WORKER_ENGINE_DOING_H
#define RC_WORKER_ENGINE_DOING_H

#include "worker/engine/session.h"

#define RC_DOING_MAX 256u

/* Is it for here? */
bool rc_doing_mine(const struct rc_envelope_view *view);
void rc_doing_serve(struct rc_engines *engines, const struct rc_envelope_view *view);
/* Is anything being done for the client of that random? */
bool rc_doing_is(const struct rc_engines *engines, uint64_t random);
/* Goes on with those that wait. */
void rc_doing_work(struct rc_engines *engines);
uint32_t rc_doing_sleep_ms(const struct rc_engines *engines, uint32_t most_ms);
void rc_doing_close(struct rc_engines *engines);

#endif
