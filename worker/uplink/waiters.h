/*
 * waiters: connections that are not read until there is room in the up ring, first come, first served.
 *
 * Owned by the uplink; one thread. RC_SOCKET_WAITS_UPLINK is set exactly while a connection is in the list. The links are private memory
 * beside the sockets, so that nothing can fail later and leaving costs the same for all.
 */
#ifndef RC_WORKER_UPLINK_WAITERS_H
#define RC_WORKER_UPLINK_WAITERS_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/store/truth.h"

#define RC_WAITERS_NOBODY UINT32_MAX

struct rc_waiter;

struct rc_waiters {
    struct rc_truth *truth;  /* borrowed */
    struct rc_waiter *links; /* owner: one per socket; pages stay untouched until somebody waits */
    uint32_t first;          /* RC_WAITERS_NOBODY = the list is empty */
    uint32_t last;
    uint32_t count;
};

/* 0 or -ENOMEM. */
int rc_waiters_open(struct rc_waiters *waiters, struct rc_truth *truth);
void rc_waiters_close(struct rc_waiters *waiters);
/* Those who waited in another process, in the order of their numbers: who came first is not known any more. */
void rc_waiters_rebuild(struct rc_waiters *waiters);

/* Behind all others; nothing if it waits already. */
void rc_waiters_add(struct rc_waiters *waiters, uint32_t socket);
/* Before all others: it had its turn, and there was not room enough. */
void rc_waiters_add_first(struct rc_waiters *waiters, uint32_t socket);
/* Nothing if it does not wait. */
void rc_waiters_remove(struct rc_waiters *waiters, uint32_t socket);

#endif
