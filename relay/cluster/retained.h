/*
 * retained: retained values of all instances are the same: the newest wins, by the time of its instance, then by the instance's name.
 *
 *   router keeps a value ── rc_retained_tell ──▶ one script: is it newer? HSET and PUBLISH     {prefix}retained, {prefix}ws:retained
 *   another instance's value ◀── ws:retained ── Redis                                          kept if it is newer than what is there
 *   connected (again) ── HSCAN ──▶ what was missed is kept ── what is newer here is written ──▶ as above
 *
 * A message that is published and kept carries its stamp to the others by itself (relay/bridge/wire.h), so that there, too, the value
 * changes in order with the messages; what comes here behind it is no news. While Redis is away values stand and are written when it is
 * back. What is deleted stays for a day as a value without data, so that nobody who was away brings the old one back.
 *
 *   {prefix}retained is a hash: in a Cluster one slot, one node. Field: channel LF key. Value:
 *   1 SP milliseconds since 1970 SP instance SP flags (0, or b: binary, a: arguments) SP bytes of the event's name LF event data
 *   A message on ws:retained is field LF value.
 *
 * Owned by remote; one thread. Bounded: RC_RETAINED_STEP commands at a time when it catches up, a step each RC_RETAINED_STEP_MS; what
 * finds no room among the link's commands is caught up with a second later. Bytes from Redis are checked, and counted when they are none.
 */
#ifndef RC_RELAY_CLUSTER_RETAINED_H
#define RC_RELAY_CLUSTER_RETAINED_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/history/store.h"
#include "relay/redis/link.h"
#include "relay/timer.h"

#define RC_RETAINED_STEP 16u
#define RC_RETAINED_STEP_MS 5u
#define RC_RETAINED_AGAIN_MS 1000u
#define RC_RETAINED_UNCONFIRMED_MS 50u
#define RC_RETAINED_CURSOR_MAX 24u
#define RC_RETAINED_DIRTY_MAX 1024u /* values that are told in one turn; more are caught up with */

enum rc_retained_state {
    RC_RETAINED_IDLE,
    RC_RETAINED_READING, /* HSCAN */
    RC_RETAINED_WRITING, /* what is not in Redis, or older there */
};

struct rc_cluster_retained {
    struct rc_redis_link *link; /* borrowed */
    struct rc_timers *timers;   /* borrowed */
    struct rc_history *history; /* borrowed */
    struct rc_metrics *metrics; /* borrowed */
    const char *instance_id;    /* borrowed */
    struct rc_redis_subscription subscription;
    struct rc_redis_observer observer;
    struct rc_timer timer;
    enum rc_retained_state state;
    char cursor[RC_RETAINED_CURSOR_MAX];
    uint32_t reference; /* WRITING: the next one that is looked at */
    uint32_t flying;    /* commands of the step that are not answered */
    uint32_t mark;      /* of values that Redis has: of this time */
    bool again;         /* something was not written: once more */
    uint32_t dirty_count;
    uint32_t dirty[RC_RETAINED_DIRTY_MAX]; /* references of values that are to be told */
    uint8_t *bytes;                        /* owner: a value that is written */
    size_t room;
};

void rc_cluster_retained_open(struct rc_cluster_retained *retained, struct rc_redis_link *link,
                              struct rc_timers *timers, struct rc_history *history, const char *instance_id);
/* After the link was closed. */
void rc_cluster_retained_close(struct rc_cluster_retained *retained);

/* Messages were missed while the connection for subscriptions was lost: all is looked at once more. */
void rc_cluster_retained_missed(struct rc_cluster_retained *retained);

/* A value was kept here that is newer than what was known; without data it was deleted. It is told in the next turn. */
void rc_cluster_retained_tell(struct rc_cluster_retained *retained, const struct rc_envelope_view *view);
/* Behind rc_redis_link_turn: messages that are kept leave before their values, and of many values of one key only the last is told. */
void rc_cluster_retained_turn(struct rc_cluster_retained *retained);

/* What stands in Redis as the value of a field, or on ws:retained behind it. False: it is none. The spans are of `text`. */
bool rc_retained_read(struct rc_span field, struct rc_span text, struct rc_envelope_view *view,
                      struct rc_history_stamp *stamp);

#endif
