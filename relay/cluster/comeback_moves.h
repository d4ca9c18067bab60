/*
 * comeback_moves: where Socket.IO sockets went that were this instance's, and have come back on another one (comeback.h): what is for them by their ids
 * goes there, as long as that instance lives.
 *
 * Bounded: RC_COMEBACK_MOVES_MAX, used in a circle; whoever is forgotten is found no more by who knows this instance alone. Owned by comeback, one thread.
 */
#ifndef RC_RELAY_CLUSTER_COMEBACK_MOVES_H
#define RC_RELAY_CLUSTER_COMEBACK_MOVES_H

#include <stdint.h>

#include "common/base/hashmap.h"
#include "common/base/span.h"
#include "common/records/recovery.h"
#include "common/shm/layout.h"

#define RC_COMEBACK_MOVES_MAX 16384u

struct rc_comeback_move {
    uint64_t token; /* of its sid; 0 = free */
    char sid[RC_SID_BYTES];
    char instance[RC_INSTANCE_ID_MAX + 1];
};

struct rc_comeback_moves {
    struct rc_comeback_move *items; /* owner: RC_COMEBACK_MOVES_MAX */
    struct rc_hashmap map;          /* of tokens */
    uint32_t next;
};

/* 0 or -ENOMEM. */
int rc_comeback_moves_open(struct rc_comeback_moves *moves);
void rc_comeback_moves_close(struct rc_comeback_moves *moves);

/* NULL: nowhere, or it is not known any more. */
const struct rc_comeback_move *rc_comeback_moves_find(const struct rc_comeback_moves *moves, uint64_t token);
/* It went there; what is no sid is ignored. */
void rc_comeback_moves_add(struct rc_comeback_moves *moves, const char sid[RC_SID_BYTES], struct rc_span instance);
/* It is here again, or nowhere any more. */
void rc_comeback_moves_drop(struct rc_comeback_moves *moves, uint64_t token);

#endif
