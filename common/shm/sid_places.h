/*
 * sid_places: which worker has a session of Engine.IO that was moved while it polled (worker/move). Its sid names the worker where it was opened;
 * whoever reads a request of it looks here first.
 *
 *   secret of the sid ──▶ set ──▶ one of RC_SID_PLACE_WAYS entries: {secret, worker, generation of that worker}
 *
 * Entries are the session's that they name: its worker makes one before the session goes for the first time; it says where the session went, and who got
 * it says where it is, whoever is first; its worker then takes it out when the session ends. Those of a worker that lost its clients say a generation
 * that is over: they mean nothing, and make room. A session for which there is no room does not move.
 *
 * In the segment of common/shm/windows.h, with its locks, which are for making entries only: whoever reads, or changes an entry of its own session,
 * needs none, and every state in between is a sound one: an entry's place is written before its secret, and says first whether it may be made another's.
 * Any process and thread may call.
 */
#ifndef RC_COMMON_SHM_SID_PLACES_H
#define RC_COMMON_SHM_SID_PLACES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/shm/layout.h"
#include "common/shm/windows.h"

#define RC_SID_PLACE_SETS 1024u
#define RC_SID_PLACE_WAYS 64u
#define RC_SID_PLACE_NOWHERE UINT32_MAX

struct rc_sid_place_set {
    _Atomic uint64_t secrets[RC_SID_PLACE_WAYS]; /* 0 = free */
    _Atomic uint64_t places[RC_SID_PLACE_WAYS];  /* worker << 32 | its generation */
};
_Static_assert(sizeof(struct rc_sid_place_set) == 1024, "sid place set layout");

/* Pages are touched with use only. */
struct rc_sid_places {
    struct rc_window_lock locks[RC_SID_PLACE_SETS];
    struct rc_sid_place_set sets[RC_SID_PLACE_SETS];
};
_Static_assert(sizeof(struct rc_sid_places) == 1024 * (64 + 1024),
               "sid places layout: raise RC_LIMITS_ABI when a member moves");

/* The session with this secret (never 0) is with the worker from here on. By the worker that has it: there is one. 0; -ENOSPC: there is no room, or the lock
 * was not to be had, which can only be the first time. */
int rc_sid_places_put(struct rc_sid_places *places, const struct rc_core *core, uint64_t secret, uint32_t worker);
/* It went from `from`, which is the caller, to `to` (RC_SID_PLACE_NOWHERE: who knows where): unless somebody has said where it is meanwhile, or that it has
 * ended. Nothing is made for it. */
void rc_sid_places_went(struct rc_sid_places *places, const struct rc_core *core, uint64_t secret, uint32_t from,
                        uint32_t to);
/* It is nowhere any more. By the worker that has it. */
void rc_sid_places_remove(struct rc_sid_places *places, uint64_t secret);
/* The worker that has it; UINT32_MAX: it was not moved, or has ended. */
uint32_t rc_sid_places_find(const struct rc_sid_places *places, const struct rc_core *core, uint64_t secret);

#endif
