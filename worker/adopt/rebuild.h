/*
 * rebuild: a worker's index, made from the truth that its predecessor has written.
 *
 *   rc_truth_attach ─▶ the rooms are opened as always (rooms.c) ─▶ rc_adopt_rebuild ─▶ sockets, polls, accepts (worker/io) ─▶ loop
 *                                                                        │
 *                                                                        └─ refused: nothing was changed, the predecessor may go on
 *
 * What is rebuilt, and what is lost with which consequence, is in docs/outlive.md; nothing of it concerns bytes that a client was promised.
 * The predecessor must have stopped between two passes of its loop: its batch is settled, no turn is running, no completion is half handled.
 * (What a killed one left in between is put right before: not here.)
 *
 * Called by the worker's main() once, on its one thread, with the configuration that the predecessor had in force: indices of namespaces
 * and end points in the truth are that one's. A reload since then is taken over afterwards, as any.
 */
#ifndef RC_WORKER_ADOPT_REBUILD_H
#define RC_WORKER_ADOPT_REBUILD_H

#include "common/base/err.h"
#include "worker/client/client.h"
#include "worker/engine/engine.h"
#include "worker/hub/hub.h"
#include "worker/store/truth.h"

/* The rooms that have an index of the truth. All are open, and nothing has happened in them yet. Those above the hub may be NULL: then
 * the hub alone is rebuilt (tests of it). */
struct rc_adopt {
    struct rc_truth *truth; /* attached */
    struct rc_hub *hub;
    struct rc_clients *clients;
    struct rc_engines *engines; /* started: its clock runs */
};

/*
 * Looks at all of the truth (truth_check.h) and makes from it: what is free in pools and heap; of the hub names, members, throttles, budgets, what
 * is dirty, owed or about to end, and who waits; of the clients the counters, addresses, timers of sockets (io's wheel) and
 * credentials; of the sessions their timers, who is asked for acknowledgements. Gauges are set to what is there. (The uplink goes on in its
 * rings by itself when it is opened with such a truth; what interests were told is truth.)
 *
 * Of the truth only the links of free objects are written, and which requests sessions wait with, of which who stopped has none. So a predecessor that goes on after all, since something failed behind this, first
 * makes its own allocators anew: rc_truth_check and rc_truth_account.
 *
 * Not made here, as it is the ring's: io.open_count, what is in flight, modes, who is polled (worker/io).
 *
 * 0. -EBADMSG: `err` says the first thing in the truth that is wrong; -ENOMEM. Then the rooms may only be closed, and the truth is to be
 * given up, or left to the predecessor.
 */
int rc_adopt_rebuild(const struct rc_adopt *adopt, struct rc_err *err);

#endif
