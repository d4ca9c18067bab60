/*
 * wheel: one hashed timer wheel for all connections of a worker, in tenths of a second ("ds").
 *
 * Index, private to the worker: every connection has at most one timer, its node is addressed by the slot. Deadlines further
 * away than the wheel's turn stay in their bucket and are looked at once a turn. Nothing allocates after rc_wheel_open.
 */
#ifndef RC_WORKER_IO_WHEEL_H
#define RC_WORKER_IO_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define RC_WHEEL_BUCKETS 1024u /* 102.4 s */
#define RC_WHEEL_TICK_MS 100u
#define RC_WHEEL_NONE UINT32_MAX

struct rc_wheel_node {
    uint32_t next;
    uint32_t previous;    /* node, or RC_WHEEL_NONE for the first of its bucket */
    uint32_t deadline_ds; /* 0 = not in the wheel */
};

struct rc_wheel {
    struct rc_wheel_node *nodes; /* owned */
    uint32_t count;
    uint32_t now_ds;  /* every bucket up to and including this tick has been expired */
    uint32_t pending; /* nodes in the wheel */
    uint32_t buckets[RC_WHEEL_BUCKETS];
};

/* -ENOMEM. `now_ds` is where time starts; it is at least 1. */
int rc_wheel_open(struct rc_wheel *wheel, uint32_t count, uint32_t now_ds);
void rc_wheel_close(struct rc_wheel *wheel);

/* (Re)sets the timer of `index`; a deadline that is not in the future expires at the next tick. */
void rc_wheel_set(struct rc_wheel *wheel, uint32_t index, uint32_t deadline_ds);
void rc_wheel_clear(struct rc_wheel *wheel, uint32_t index);

/* Takes one due timer out of the wheel: its index, or RC_WHEEL_NONE when nothing (more) is due at `now_ds`. */
uint32_t rc_wheel_expire(struct rc_wheel *wheel, uint32_t now_ds);

/* Ticks until the next one that has a timer in its bucket, at most `limit`; for the loop's sleep. */
uint32_t rc_wheel_sleep(const struct rc_wheel *wheel, uint32_t limit);

#endif
