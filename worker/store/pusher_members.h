/*
 * pusher_members: who a client of the Pusher Channels protocol is in its presence channels: what its authorisations say, a channel each.
 *
 *   heap block:  bytes behind it (4) | head, channel, user, info | head, channel, user, info | …
 *
 * Read by who tells the relay (worker/uplink/memberships.h), written by worker/pusher, which makes another block for each change.
 */
#ifndef RC_WORKER_STORE_PUSHER_MEMBERS_H
#define RC_WORKER_STORE_PUSHER_MEMBERS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "worker/store/truth.h"

/* Does the client know who is there? A question is of the process that asked. */
enum rc_pusher_told { RC_PUSHER_TO_ASK, RC_PUSHER_TOLD, RC_PUSHER_ASKED };

struct rc_pusher_member_head {
    uint8_t channel_bytes;
    uint8_t user_bytes;
    uint8_t told; /* enum rc_pusher_told */
    uint8_t pad;
    uint16_t info_bytes;
    uint16_t pad2;
};
_Static_assert(sizeof(struct rc_pusher_member_head) == 8, "member layout");

/* Spans into the block, until it changes. */
struct rc_pusher_member {
    struct rc_span channel; /* as the broker has it */
    struct rc_span user;    /* empty: it watches who is there */
    struct rc_span info;    /* JSON; empty = none */
    enum rc_pusher_told told;
    uint32_t at; /* place of its head behind the block's first word */
};

/* All of them, as they stand in the block behind its first word. */
struct rc_span rc_pusher_members(const struct rc_truth *truth, uint32_t client);
/* The next one of the client's, behind *at, which begins at 0. False: there is none. */
bool rc_pusher_member_next(const struct rc_truth *truth, uint32_t client, uint32_t *at,
                           struct rc_pusher_member *member);
/* Who it is in that channel. */
bool rc_pusher_member_find(const struct rc_truth *truth, uint32_t client, struct rc_span channel,
                           struct rc_pusher_member *member);
/* Do the entries of its block end where it says? */
bool rc_pusher_members_whole(const struct rc_truth *truth, uint32_t client);

#endif
