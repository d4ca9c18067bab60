/*
 * crash: takes over from a worker that was killed, at whatever instruction, or has crashed.
 *
 *   rc_crash_begin    the truth is attached: repaired (worker/store/truth_repair.h), and who cannot be gone on with is marked
 *   rc_adopt_rebuild  (rebuild.h) the index
 *   rc_crash_settle   the batch that was being sent, the turn that was running; what was received and not handled is parked
 *                     ── from here on the truth says all, and the dead process's ring memory is of no use any more ──
 *   rc_io_adopt       (worker/io) sockets
 *   rc_crash_wake     those who wait for something that the dead process knew, or would have done next
 *
 * Whose connection cannot be proven right, byte for byte, is ended: that one only, and counted. What that is:
 *   - whose timer, answer, or input was being handled in that moment, if it is not known which of its operations were carried out
 *     (worker/store/receiving.h: of most of them it is)
 *   - who had an output or a log just being moved (its members in others' logs are told a gap)
 *   - whose descriptor is not in the vault yet (a pass of the loop at most), TLS 1.2 and TLS handshakes,
 *     requests that may have changed something (worker/io/adopt.c)
 *   - with completions that overflowed: whoever had a receive in flight
 * Until rc_crash_settle has returned nothing has left this process: killed before, the next one comes to the same.
 */
#ifndef RC_WORKER_ADOPT_CRASH_H
#define RC_WORKER_ADOPT_CRASH_H

#include "common/base/err.h"
#include "worker/client/client.h"
#include "worker/engine/session.h"
#include "worker/hub/hub.h"
#include "worker/io/memory.h"
#include "worker/store/truth_repair.h"

struct rc_crash {
    struct rc_io_memory *memory; /* owned mapping: the dead process's */
    struct rc_truth_repaired repaired;
    uint32_t unsent;     /* packets of which less than all had left */
    uint32_t unread;     /* receives of which nothing was made */
    uint32_t again;      /* socket whose input was being handled, and 1: what is left of it is parked; 0 = none */
    uint32_t again_from; /* of its bytes */
    uint32_t opening;    /* socket whose TLS input was being read, and is read on, and 1; 0 = none's */
    bool opening_behind; /* the record that was being handled: what it said is in the truth */
    bool untaken;        /* nothing was made yet of the receive that was being handled */
    uint32_t poisoned;   /* who was being worked on by a process that crashed by itself */
};

/* `up_tail`: of its up ring. `by_itself`: nobody killed it; who it was working on is to be named in the log, and counted as quarantined, and a message of
 * the inbox that it was just taking in is thrown away. -EBADMSG: its ring memory cannot be read; -ENOMEM. */
int rc_crash_begin(struct rc_crash *crash, struct rc_truth *truth, struct rc_metrics *metrics, int io_fd,
                   uint64_t up_tail, bool by_itself, struct rc_err *err);
void rc_crash_settle(struct rc_crash *crash, struct rc_clients *clients);
void rc_crash_wake(struct rc_clients *clients, const struct rc_engines *engines);
void rc_crash_close(struct rc_crash *crash);

#endif
