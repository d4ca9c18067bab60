/*
 * refusals: messages that Redis refused "not now", while later ones are on their way over the same connection.
 *
 *   sent: a1 b1 a2 b2     answers: a1 refused, b1 refused, a2 taken ─▶ a1 is overtaken     b2 refused ─▶ to be sent again: b1 b2
 *
 * Order holds per channel. What follows a refused message of its channel and is taken all the same has overtaken it: that one cannot be
 * delivered in order any more. All others go on where they were, in order.
 *
 * Owned by an outbox, one thread. At most RC_REDIS_IN_FLIGHT_MAX; memory only while there are any. Finding costs the same however many
 * there are.
 */
#ifndef RC_RELAY_REDIS_REFUSALS_H
#define RC_RELAY_REDIS_REFUSALS_H

#include <stdbool.h>
#include <stdint.h>

#define RC_REDIS_IN_FLIGHT_MAX 4096u

struct rc_redis_entry;
struct rc_redis_refused_table;

/* All zero is none. */
struct rc_redis_refusals {
    struct rc_redis_refused_table *table; /* owner; NULL exactly while `left` is 0 */
    uint32_t count;                       /* places used in it */
    uint32_t left;                        /* those that were not overtaken */
};

/* Takes the entry over, behind all that are there. False: no memory, it is still the caller's. */
bool rc_redis_refusals_add(struct rc_redis_refusals *refusals, struct rc_redis_entry *entry);
/* The oldest of the same channel as `by`, which was taken; the caller owns it. NULL: no (more). Announcements have no order. */
struct rc_redis_entry *rc_redis_refusals_overtaken(struct rc_redis_refusals *refusals, const struct rc_redis_entry *by);
/* All of them as a list in order, with its end in *last; the caller owns it. NULL: none. */
struct rc_redis_entry *rc_redis_refusals_take(struct rc_redis_refusals *refusals, struct rc_redis_entry **last);

#endif
