/*
 * wheel: one hashed timer wheel for all connections of a worker, in tenths of a second ("ds").
 *
 * Index, private to the worker: every connection has at most one timer, its node is addressed by the socket. Deadlines that are further
 * away than one turn of the wheel wait in a bucket for all of their turn and are spread over the ticks when that begins. Nothing
 * allocates after rc_wheel_open.
 */
#ifndef RC_WORKER_IO_WHEEL_H
#define RC_WORKER_IO_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define RC_WHEEL_TURN 1024u     /* ticks: 102.4 s */
#define RC_WHEEL_FAR_TURNS 256u /* 7 hours; what is even later is looked at once in so many turns */
#define RC_WHEEL_TICK_MS 100u
#define RC_WHEEL_NONE UINT32_MAX
#define RC_WHEEL_FIRST 0x80000000u

struct rc_wheel_node {
    uint32_t next;
    uint32_t previous;    /* node, or RC_WHEEL_FIRST and the bucket that it is the first of */
    uint32_t deadline_ds; /* 0 = not in the wheel */
};

struct rc_wheel {
    struct rc_wheel_node *nodes; /* owned */
    uint32_t count;
    uint32_t now_ds;  /* every bucket up to and including this tick has been expired */
    uint32_t pending; /* nodes in the wheel */
    uint32_t turn;    /* the last one whose far bucket was spread */
    uint32_t buckets[RC_WHEEL_TURN + RC_WHEEL_FAR_TURNS]; /* one for each tick, then one for each turn to come */
};

/* -ENOMEM. `now_ds` is where time starts; it is at least 1. At most RC_WHEEL_FIRST timers. */
int rc_wheel_open(struct rc_wheel *wheel, uint32_t count, uint32_t now_ds);
void rc_wheel_close(struct rc_wheel *wheel);

/* (Re)sets the timer of `index`; a deadline that is not in the future expires at the next tick. */
void rc_wheel_set(struct rc_wheel *wheel, uint32_t index, uint32_t deadline_ds);
void rc_wheel_clear(struct rc_wheel *wheel, uint32_t index);

/* Takes one due timer out of the wheel: its index, or RC_WHEEL_NONE when nothing (more) is due at `now_ds`. */
uint32_t rc_wheel_expire(struct rc_wheel *wheel, uint32_t now_ds);

/* Ticks until the next one that has a timer in its bucket, or spreads a far one's, at most `limit`; for the loop's sleep. */
uint32_t rc_wheel_sleep(const struct rc_wheel *wheel, uint32_t limit);

#endif
