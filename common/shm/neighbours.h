/*
 * neighbours: the other instances of the cluster whose listeners can be reached, as the relay knows them from Redis and workers look them
 * up by the first characters of a session id.
 *
 *   Redis ─▶ relay/cluster/registry ── rc_neighbours_write ──▶ report segment ── rc_neighbours_find ──▶ worker
 *
 * One writer, the relay; readers never wait for it. What they read is another process's: it is believed only after it was parsed.
 */
#ifndef RC_COMMON_SHM_NEIGHBOURS_H
#define RC_COMMON_SHM_NEIGHBOURS_H

#include <stdint.h>

#include "common/shm/layout.h"

#define RC_NEIGHBOUR_SIDS_BYTES 5u    /* RC_SID_INSTANCE_BYTES */
#define RC_NEIGHBOUR_ADDRESS_MAX 120u /* its NUL included */

struct rc_neighbour {
    char sids[8];                           /* the first RC_NEIGHBOUR_SIDS_BYTES of its sids, then NULs */
    char address[RC_NEIGHBOUR_ADDRESS_MAX]; /* as rc_advertise_address_parse reads it, NUL-terminated */
};
_Static_assert(sizeof(struct rc_neighbour) == RC_NEIGHBOUR_WORDS * 8, "a neighbour's words");

/* All of them anew, the first RC_NEIGHBOURS_MAX. The writer only; whatever a predecessor left in the middle is made whole. */
void rc_neighbours_write(struct rc_neighbours *neighbours, const struct rc_neighbour *all, uint32_t count);

/* Where the instance of that sid is, NUL-terminated and not parsed. 0; -ENOENT: it is not known, or cannot be reached; -EBADMSG: what
 * stands there is no text; -EAGAIN: it is being written, or was left so. */
int rc_neighbours_find(const struct rc_neighbours *neighbours, const char instance[RC_NEIGHBOUR_SIDS_BYTES],
                       char address[RC_NEIGHBOUR_ADDRESS_MAX]);

#endif
