/*
 * delta: in namespaces with `delta`, subscribers that asked for it get what a message is more than the one before it.
 *
 * They are groups of their own (rc_encoding_delta), so that a delta is made once for all and encoded once for each encoding. Against what it
 * is made, the base, is the message before it of the channel and key, which each member has got: who has not (it has just come, fell off
 * its log, was left out) gets the message whole, in its own log, and is left out of the group's frame; when there are too many of them
 * all get it whole. Versions of a base count up, and a delta says which one it is against: a client that lost a message notices.
 *
 *   prepare ──▶ into the groups' logs, whole to those who lack the base ──▶ commit: it is the base
 *
 * Bases are private memory: a worker that takes connections over has none, and begins with whole messages. Owned by the hub.
 */
#ifndef RC_WORKER_HUB_DELTA_H
#define RC_WORKER_HUB_DELTA_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/hashmap.h"
#include "common/text/fossil_delta.h"

#define RC_DELTA_LACKING_MAX 64u /* of a channel, who are told apart */

/* The message that the next one of its key is compared with. */
struct rc_delta_base {
    uint64_t key;    /* rc_hub_key; 0 = of messages without one */
    uint64_t serial; /* of its channel's commits */
    uint8_t *bytes;  /* owner */
    uint32_t count;
    uint32_t capacity;
    uint32_t state; /* its channel's, + 1; 0 = not in use */
    uint32_t older; /* of the channel, in the order of change: base + 1; 0 = end. Not in use: the next such one */
    uint32_t newer;
    uint32_t version; /* never 0 */
    uint8_t kind;     /* enum rc_data_kind */
};

/* A subscription that has no base that was there, or was made, up to `since`. */
struct rc_delta_lacking {
    uint64_t since;
    uint32_t subscription;
};

struct rc_delta_state {
    uint32_t channel; /* 0 = not in use */
    uint32_t oldest;  /* base + 1; 0 = none */
    uint32_t newest;
    uint32_t count;       /* of its bases */
    uint32_t next_free;   /* state + 1 */
    bool appending;       /* a message is between prepare and commit */
    bool lost;            /* some group did not get it */
    uint64_t serial;      /* of the last commit */
    uint64_t since;       /* bases up to this one are nobody's */
    uint64_t base_serial; /* of what the message that is being appended is compared with */
    uint32_t lacking_count;
    struct rc_delta_lacking lacking[RC_DELTA_LACKING_MAX];
};

struct rc_deltas {
    struct rc_delta_state *states; /* owner */
    struct rc_delta_base *bases;   /* owner */
    uint32_t state_count;
    uint32_t base_count;
    uint32_t free_state; /* + 1; 0 = none */
    uint32_t free_base;  /* + 1; 0 = none */
    struct rc_hashmap by_channel;
    struct rc_hashmap by_key; /* channel and key to base */
    uint64_t bytes;           /* of all bases */
    struct rc_fossil_encoder encoder;
    uint8_t *scratch; /* owner: the delta of the message that is being appended */
    uint32_t scratch_bytes;
};

#endif
