/*
 * truth_repair: makes a truth whole again whose writer was killed in the middle of something.
 *
 * For a successor alone, before it looks at the truth with rc_truth_check, which then finds whatever was not put right here. By the rules of
 * docs/outlive.md the most of it is whole at every instruction. What is not: counts and links backwards, which are made anew; objects whose
 * words were just being changed, which are given up; and what is known to be half done, for one client (layout.working_*), or in a log or an
 * output (hub.fragile_*). Whoever needs any of that is marked, and ends: its client by RC_CLIENT_BROKEN, a socket without one by an exchange
 * that nobody has.
 *
 * Replies of the record, or the message, that was being handled are taken back, since it will be handled again.
 *
 * Indexes are looked at before they are followed. Killed in here itself: done again, it comes to the same.
 */
#ifndef RC_WORKER_STORE_TRUTH_REPAIR_H
#define RC_WORKER_STORE_TRUTH_REPAIR_H

#include "common/base/err.h"
#include "worker/store/truth.h"

/* socket.exchange of one that no successor can go on with. */
#define RC_EXCHANGE_LOST UINT32_MAX

struct rc_truth_repaired {
    uint32_t clients; /* marked by this call */
    uint32_t sockets; /* without a client, likewise */
    uint32_t logs;    /* given up, or with a frame that was not counted */
};

/* -ENOMEM; -EBADMSG: somebody may be in a channel of others. The truth is attached, and its pools and heap have no index yet. */
int rc_truth_repair(struct rc_truth *truth, struct rc_truth_repaired *repaired, struct rc_err *err);

/* The client, or who the socket carries, ends. */
void rc_truth_give_up_client(struct rc_truth *truth, uint32_t client, struct rc_truth_repaired *repaired);
void rc_truth_give_up_socket(struct rc_truth *truth, uint32_t socket, struct rc_truth_repaired *repaired);

#endif
