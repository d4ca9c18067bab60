/*
 * recount: looks whether what this instance told last of how many are in a channel is so, a moment after it told it.
 *
 * Redis counts one after the other, but what comes of it each instance tells by itself: an older number of one may overtake, or be told a second
 * later than, a newer one of another, and would stand until somebody comes or goes. So whoever has told a number looks at Redis when it is old
 * enough that whatever was told before is heard by then, and tells what it finds, if that is something else, and what it found the last time:
 *
 *   told ──▶ WAITING ── RC_RECOUNT_MS ──▶ ASKED ──▶ the same: forgotten
 *               ▲                           └─────▶ another number, which is told when two looks in a row have found it; no answer, or
 *               │                                   an error that passes; something was told meanwhile; nobody took what was told ──┐
 *               └─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * Where people come and go all the time, every instance looks, and none tells a number that it has not counted itself: it would be old when it is heard.
 * When all stands still the last word of each instance is the same number then, in whatever order they are heard. Owned by newcomer; one thread.
 * Bounded by RC_RECOUNTS_MAX channels: what is beyond is told once, as it was found.
 */
#ifndef RC_RELAY_CLUSTER_RECOUNT_H
#define RC_RELAY_CLUSTER_RECOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "relay/redis/link.h"
#include "relay/timer.h"

/* More than the second that a worker keeps a number back (worker/pusher/count.h), by what a message may take. */
#define RC_RECOUNT_MS 2000u
#define RC_RECOUNT_UNTOLD UINT64_MAX /* no count */
#define RC_RECOUNTS_MAX 65536u
#define RC_RECOUNT_BUCKETS 1024u

struct rc_recount;

struct rc_recounts_ops {
    /* So many are in the channel, and something else was told: it is told now. False: nobody takes it now. */
    bool (*found)(void *context, struct rc_span channel, uint32_t clients);
    void *context; /* borrowed */
};

struct rc_recounts {
    struct rc_redis_link *link; /* borrowed; NULL: there is nothing to look at, and nothing is kept */
    struct rc_timers *timers;   /* borrowed: the loop's */
    struct rc_recounts_ops ops;
    struct rc_recount *buckets[RC_RECOUNT_BUCKETS]; /* owner: by the hash of the channel's name */
    struct rc_recount *first;                       /* WAITING, in the order in which they are due */
    struct rc_recount *last;
    struct rc_timer timer;
    uint32_t count;
};

void rc_recounts_open(struct rc_recounts *recounts, struct rc_redis_link *link, struct rc_timers *timers,
                      const struct rc_recounts_ops *ops);
/* When the link is closed: no answer comes any more. */
void rc_recounts_close(struct rc_recounts *recounts);
/* This instance tells that so many are in the channel; RC_RECOUNT_UNTOLD: it was to, and nobody took it, so that whatever is found is told. */
void rc_recounts_told(struct rc_recounts *recounts, struct rc_span channel, uint64_t clients);

#endif
